"""What ranks cost on one machine: the same threads as one rank and as several, a step of each in turn.

    python3 Benchmarks/ranks.py [--binary FILE] [--ranks N] [--pairs N] [--mpi]

Qwen3-0.6B's shape with random weights; what is measured are decode steps of a batch, by `swiftlet bench ranks`. With
--mpi the ranks are also processes under mpirun, which can't take turns within a process: each is a run of its own, and
the ratio is as coarse as the machine's speed from one run to the next. Leave the machine alone meanwhile.
Invariant: both sides come from one binary and the same options, but for those that are compared.
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


def compare_processes(arguments, model):
    bench = [
        arguments.binary, "bench", "latency", *model, "--max-model-len", "1024", "--batch-size",
        str(arguments.batch_size), "--input-len", "16", "--output-len", "25", "--num-iters-warmup", "0",
        "--num-iters", "1"]
    share = str(max(1, arguments.threads // arguments.ranks))
    launcher = ["mpirun", "--allow-run-as-root", "--oversubscribe", "-n", str(arguments.ranks)]
    ratios = []
    for turn in range(arguments.rounds):
        steps = {}
        for name in ["one", "several"][::-1 if turn % 2 else 1]:
            command = bench + ["--threads", str(arguments.threads)]
            if name == "several":
                command = launcher + bench + ["--threads", share, "-tp", str(arguments.ranks)]
            steps[name] = step_seconds(command, arguments.batch_size)
        ratios.append(steps["several"] / steps["one"] - 1)
        print(
            f"round {turn + 1}: 1 rank {steps['one'] * 1000:.1f} ms, {arguments.ranks} processes "
            f"{steps['several'] * 1000:.1f} ms, {100 * ratios[-1]:+.1f} %", flush=True)
    print(f"{arguments.ranks} processes: median {100 * statistics.median(ratios):+.1f} %")


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--binary", default=".build/release/swiftlet")
    parser.add_argument("--ranks", type=int, default=2)
    parser.add_argument("--threads", type=int, default=os.cpu_count())
    parser.add_argument("--batch-size", type=int, default=16)
    parser.add_argument("--pairs", type=int, default=200)
    parser.add_argument("--mpi", action="store_true", help="ranks in processes under mpirun, too")
    parser.add_argument("--rounds", type=int, default=4, help="of those")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        with open(os.path.join(folder, "config.json"), "w") as file:
            json.dump(CONFIG, file)
        model = ["--quiet", "--model", folder, "--load-format", "dummy"]
        subprocess.run(
            [arguments.binary, "bench", "ranks", *model, "--batch-size", str(arguments.batch_size), "--pairs",
             str(arguments.pairs), "--threads", str(arguments.threads), "-tp", str(arguments.ranks)], check=True)
        if arguments.mpi:
            compare_processes(arguments, model)


if __name__ == "__main__":
    main()
