#!/usr/bin/env python3
"""What serving costs: the same requests as an offline run and as streams of `swiftlet serve`, on one machine.

    swift build -c release --product swiftlet
    python3 Benchmarks/serving.py                   Qwen3-0.6B's shape with random weights, 32 streams
    python3 Benchmarks/serving.py --model demo      the built-in model: steps so short that the server is what is measured

Offline and served runs take turns; the load generator shares the processors with the server. Prints, of the medians:
the served share of the offline rate, the 99th percentile of the time between two tokens while no prompt is read, in
steps, and what a token costs beside the engine. Standard library only.
Invariant: both runs have the same lengths, sampling, KV blocks and threads; each has its KV memory before it is measured;
a run beside which something else used the processors is made again.
"""

import argparse
import json
import os
import signal
import statistics
import subprocess
import sys
import tempfile
import time

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, HERE)

from comparison.make_model import make_shape  # noqa: E402

BLOCK = 64
# Of one CPU: more than this used by anything else spoils a run, as in compare.py. It is made again, twice at most.
MOST_DISTURBED = 0.05


def arguments():
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("--model", default="qwen3-0.6b", help="qwen3-0.6b (default), demo, or a folder")
    parser.add_argument("--sequences", type=int, default=32, help="streams at a time (default: 32)")
    parser.add_argument("--input-len", type=int, default=32, help="tokens of each prompt (default: 32)")
    parser.add_argument("--output-len", type=int, default=128, help="tokens to generate for each (default: 128)")
    parser.add_argument("--rounds", type=int, default=3, help="times that each of the two is measured (default: 3)")
    parser.add_argument("--endpoint", default="/v1/completions", help="or /v1/chat/completions")
    parser.add_argument("--swiftlet", default=os.path.join(HERE, "..", ".build", "release", "swiftlet"),
                        help="the command to measure (default: this checkout's release build)")  # fmt: skip
    parser.add_argument("--json", help="write all numbers to a file, too")
    parser.add_argument("options", nargs="*", help="behind --: more options for the engine, in both runs")
    return parser.parse_args()


# MARK: Runs


class Run:
    """What one run of either kind gave."""

    def __init__(self, rate, decode_rate, others, p99_gap=None, client_cpu=None, server_cpu=None):
        self.rate, self.decode_rate, self.others, self.p99_gap = rate, decode_rate, others, p99_gap
        self.client_cpu, self.server_cpu = client_cpu, server_cpu


def busy_seconds():
    """CPU time that everything on this machine has used, what the host took included."""
    with open("/proc/stat") as file:
        user, nice, system, _, _, irq, softirq, steal = map(int, file.readline().split()[1:9])
    return (user + nice + system + irq + softirq + steal) / os.sysconf("SC_CLK_TCK")


def watched(words, server=None):
    """Runs a command. Its CPU time, the server's, and what share of a CPU all others used meanwhile."""
    start, busy, before = time.monotonic(), busy_seconds(), server.cpu_seconds() if server else 0
    child = subprocess.Popen(words, stdout=subprocess.DEVNULL)
    _, status, usage = os.wait4(child.pid, 0)
    child.returncode = os.waitstatus_to_exitcode(status)
    if child.returncode != 0:
        sys.exit(f"error: {' '.join(words[1:3])} ended with status {child.returncode}")
    own, served_cpu = usage.ru_utime + usage.ru_stime, (server.cpu_seconds() if server else 0) - before
    others = (busy_seconds() - busy - own - served_cpu) / (time.monotonic() - start)
    return own, served_cpu, max(0, others)


def undisturbed(measure):
    for turn in range(3):
        run = measure()
        if run.others <= MOST_DISTURBED:
            break
        print(f"others used {run.others:.0%} of a CPU" + (": measuring again" if turn < 2 else ""), file=sys.stderr)
    return run


def offline(options, engine, folder):
    path = os.path.join(folder, "offline.json")
    words = [options.swiftlet, "bench", "throughput", "--num-prompts", str(options.sequences),
             "--input-len", str(options.input_len), "--output-len", str(options.output_len), "--json", path, "--quiet"]  # fmt: skip
    _, _, others = watched(words + engine)
    with open(path) as file:
        result = json.load(file)
    return Run(result["output_tokens_per_second"], result["decode_tokens_per_second"], others)


class Server:
    """`swiftlet serve` on a free port."""

    def __init__(self, options, engine):
        words = [options.swiftlet, "serve", "--port", "0", "--log-level", "warning", *engine]
        self.process = subprocess.Popen(words, stderr=subprocess.PIPE, stdin=subprocess.DEVNULL, text=True)
        for line in self.process.stderr:
            if line.startswith("serving "):
                self.url = line.split()[1]
                return
        sys.exit("error: the server did not start")

    def cpu_seconds(self):
        with open(f"/proc/{self.process.pid}/stat") as file:
            fields = file.read().rpartition(")")[2].split()
        return sum(map(int, fields[11:13])) / os.sysconf("SC_CLK_TCK")

    def end(self):
        self.process.send_signal(signal.SIGTERM)
        if self.process.wait(60) != 0:
            sys.exit(f"error: the server ended with status {self.process.returncode}")


def served(options, server, folder, seed):
    path = os.path.join(folder, "served.json")
    words = [options.swiftlet, "bench", "serve", "--base-url", server.url, "--num-prompts", str(options.sequences),
             "--input-len", str(options.input_len), "--output-len", str(options.output_len), "--ignore-eos",
             "--temperature", "1", "--seed", str(seed), "--endpoint", options.endpoint,
             "--json", path, "--save-detailed", "--quiet"]  # fmt: skip
    client_cpu, server_cpu, others = watched(words, server)
    with open(path) as file:
        result = json.load(file)
    tokens = options.sequences * options.output_len
    if result["failed"] or result["total_output_tokens"] != tokens:
        sys.exit(f"error: {result['total_output_tokens']} of {tokens} tokens came: {result['failures']}")
    rate, gaps = steady(result)
    return Run(result["output_throughput"], rate, others, percentile(gaps, 99), client_cpu / tokens, server_cpu / tokens)


def steady(result):
    """Tokens a second, and the times between two, while every stream generates: prompts are read and streams have ended
    outside of it."""
    streams = []
    for start, first, gaps in zip(result["start_times"], result["ttfts"], result["itls"]):
        times = [start + first]
        for gap in gaps:
            times.append(times[-1] + gap)
        streams.append(times)
    begin, end = max(times[0] for times in streams), min(times[-1] for times in streams)
    if end <= begin:
        sys.exit("error: the streams did not all run at one time: raise --output-len")
    inside = [[time for time in times if begin < time <= end] for times in streams]
    # Both ends move to where no step's tokens are expected, as bench throughput does it.
    shift = (end - begin) / (4 * max(1, max(map(len, inside))))
    count = sum(1 for times in streams for time in times if begin + shift < time <= end + shift)
    gaps = [later - time for times in streams for time, later in zip(times, times[1:]) if begin <= time and later <= end]
    return count / (end - begin) * result["tokens_per_chunk"], gaps


def percentile(values, percent):
    ordered = sorted(values)
    place = (len(ordered) - 1) * percent / 100
    below = int(place)
    above = min(below + 1, len(ordered) - 1)
    return ordered[below] + (ordered[above] - ordered[below]) * (place - below)


# MARK: Report


def report(options, offline_runs, served_runs):
    def median(runs, name):
        return statistics.median(getattr(run, name) for run in runs)

    def spread(runs, name):
        values = [getattr(run, name) for run in runs]
        return f"{median(runs, name):.4g} ({min(values):.4g} to {max(values):.4g})"

    step = options.sequences / median(offline_runs, "decode_rate")
    gap = median(served_runs, "p99_gap")
    overhead = 1 / median(served_runs, "decode_rate") - 1 / median(offline_runs, "decode_rate")
    numbers = {
        "share": median(served_runs, "rate") / median(offline_runs, "rate"),
        "decode_share": median(served_runs, "decode_rate") / median(offline_runs, "decode_rate"),
        "step_ms": step * 1e3,
        "p99_gap_steps": gap / step,
        "overhead_us_per_token": overhead * 1e6,
        "client_cpu_us_per_token": median(served_runs, "client_cpu") * 1e6,
        "server_cpu_us_per_token": median(served_runs, "server_cpu") * 1e6,
    }
    print(f"{options.model}, {options.sequences} streams, {options.input_len} tokens in, {options.output_len} out, "
          f"{options.endpoint}, median of {options.rounds}")  # fmt: skip
    print(f"offline        {spread(offline_runs, 'rate')} output tok/s, "
          f"{spread(offline_runs, 'decode_rate')} while all generate")  # fmt: skip
    print(f"served         {spread(served_runs, 'rate')} output tok/s, "
          f"{spread(served_runs, 'decode_rate')} while all generate")  # fmt: skip
    print(f"share          {numbers['share']:.1%} of offline, {numbers['decode_share']:.1%} while all generate")
    print(f"p99 ITL        {gap * 1e3:.4g} ms while all generate, {gap / step:.2f} x the offline step of "
          f"{step * 1e3:.4g} ms")  # fmt: skip
    print(f"each token     {numbers['overhead_us_per_token']:.3g} us more than offline; processor time: server "
          f"{numbers['server_cpu_us_per_token']:.4g} us, load generator {numbers['client_cpu_us_per_token']:.3g} us")  # fmt: skip
    others = max(run.others for run in offline_runs + served_runs)
    if others > MOST_DISTURBED:
        print(f"disturbed      others used up to {others:.0%} of a CPU: measure again on a machine that does nothing else")
    if options.json:
        runs = {name: [vars(run) for run in runs] for name, runs in (("offline", offline_runs), ("served", served_runs))}
        with open(options.json, "w") as file:
            json.dump({**vars(options), **numbers, **runs}, file, indent=1)


def main():
    options = arguments()
    if not os.path.exists(options.swiftlet):
        sys.exit(f"error: {options.swiftlet} is not there: run swift build -c release --product swiftlet")
    blocks = options.sequences * -(-(options.input_len + options.output_len) // BLOCK)
    engine = ["--num-gpu-blocks-override", str(blocks), "--block-size", str(BLOCK), *options.options]
    with tempfile.TemporaryDirectory(prefix="swiftlet-serving-") as folder:
        if options.model == "qwen3-0.6b":
            make_shape(folder)
            engine += ["--model", folder, "--load-format", "dummy", "--max-model-len", "2048"]
        elif options.model != "demo":
            engine += ["--model", options.model]
        server = Server(options, engine)
        try:
            served(options, server, folder, seed=0)
            offline_runs, served_runs = [], []
            for turn in range(1, options.rounds + 1):
                offline_runs.append(undisturbed(lambda: offline(options, engine, folder)))
                served_runs.append(undisturbed(lambda: served(options, server, folder, seed=turn)))
                print(f"round {turn}: offline {offline_runs[-1].rate:.4g}, served {served_runs[-1].rate:.4g} tok/s",
                      file=sys.stderr)  # fmt: skip
            server.end()
        finally:
            if server.process.poll() is None:
                server.process.kill()
    report(options, offline_runs, served_runs)


if __name__ == "__main__":
    main()
