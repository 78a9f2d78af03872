"""What Benchmarks/compare.py is made of."""
