"""What ranks cost on one machine: the same threads as one rank and as several, in turns.

    python3 Benchmarks/ranks.py [--binary FILE] [--ranks N] [--rounds N] [--mpi]

Qwen3-0.6B's shape with random weights; what is measured are decode steps of a batch. Prints every reading, the
medians and their ratio. Leave the machine alone meanwhile.
Invariant: all readings of a round come from one binary and the same options, but for those that are compared.
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
sys.modules.setdefault("numpy", type(sys)("numpy"))  # make_model needs it for weights, not for the config
from comparison.make_model import CONFIG  # noqa: E402

def step_seconds(command, batch):
    """Of a step in which every request of the batch makes a token."""
    with tempfile.NamedTemporaryFile(suffix=".json") as report:
        subprocess.run(command + ["--json", report.name], check=True, stdout=subprocess.DEVNULL)
        return batch / json.load(open(report.name))["decode_tokens_per_second"]


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--binary", default=".build/release/swiftlet")
    parser.add_argument("--ranks", type=int, default=2)
    parser.add_argument("--threads", type=int, default=os.cpu_count())
    parser.add_argument("--batch-size", type=int, default=16)
    parser.add_argument("--rounds", type=int, default=6)
    parser.add_argument("--mpi", action="store_true", help="ranks in processes under mpirun, too")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        with open(os.path.join(folder, "config.json"), "w") as file:
            json.dump(CONFIG, file)
        bench = [
            arguments.binary, "bench", "latency", "--quiet", "--model", folder, "--load-format", "dummy",
            "--max-model-len", "1024", "--batch-size", str(arguments.batch_size), "--input-len", "16",
            "--output-len", "25", "--num-iters-warmup", "0", "--num-iters", "1"]
        ranks = ["-tp", str(arguments.ranks)]
        threads = ["--threads", str(arguments.threads)]
        jobs = {"one rank": bench + threads, f"{arguments.ranks} ranks": bench + threads + ranks}
        if arguments.mpi:
            share = ["--threads", str(max(1, arguments.threads // arguments.ranks))]
            jobs[f"{arguments.ranks} processes"] = [
                "mpirun", "--allow-run-as-root", "--oversubscribe", "-n", str(arguments.ranks)] + bench + share + ranks
        readings = {name: [] for name in jobs}
        for turn in range(arguments.rounds):
            for name in list(jobs)[::-1 if turn % 2 else 1]:
                step = step_seconds(jobs[name], arguments.batch_size)
                readings[name].append(step)
                print(f"round {turn + 1}, {name}: {step * 1000:.2f} ms a step", flush=True)
        for name, values in readings.items():
            # Neighbours in time, because the machine's speed swings.
            ratios = [value / base for value, base in zip(values, readings["one rank"])]
            print(
                f"{name}: {statistics.median(values) * 1000:.2f} ms a step of {arguments.batch_size}; of one rank's, in "
                f"each round: median {100 * (statistics.median(ratios) - 1):+.1f} %, "
                f"{100 * (min(ratios) - 1):+.1f} % to {100 * (max(ratios) - 1):+.1f} %")


if __name__ == "__main__":
    main()
