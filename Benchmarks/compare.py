#!/usr/bin/env python3
"""Compares Swiftlet with llama.cpp, vLLM's CPU build and transformers on this machine. See Benchmarks/README.md.

Installs the peers from PyPI into environments of their own under --workdir, makes one random model that all of them
load, and lets the engines take turns, with a probe of the machine's limits around each measurement.
Invariant: engines never run at once, every result is saved when it is there, and a run that was stopped goes on.
"""

import argparse
import os
import platform
import shutil
import subprocess
import sys
import time

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, HERE)

from comparison import engines, install, report, self_test  # noqa: E402
from comparison.results import Results  # noqa: E402
from comparison.rows import JOBS, ROWS  # noqa: E402


def note(text):
    print(text, file=sys.stderr, flush=True)


def arguments(words=None):
    names = ["swiftlet", *engines.PEERS]
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("--engines", default=",".join(names), help=f"some of {','.join(names)} (default: all)")
    parser.add_argument("--rows", help="some of " + ",".join(row.name for row in ROWS) + " (default: all)")
    parser.add_argument("--rounds", type=int, help="times that each engine has its turn (default: 3; --quick: 2)")
    parser.add_argument("--quick", action="store_true", help="two rounds, without nano-vLLM's benchmark")
    parser.add_argument("--threads", type=int, help="threads of each engine (default: the cores of this process)")
    parser.add_argument("--swiftlet", default=os.path.join(HERE, "..", ".build", "release", "swiftlet"),
                        help="the command to measure (default: this checkout's release build)")  # fmt: skip
    parser.add_argument("--workdir", default=os.path.expanduser("~/.cache/swiftlet-compare"),
                        help="environments, models, logs, results: about 8 GB, yours to delete "
                             "(default: ~/.cache/swiftlet-compare)")  # fmt: skip
    parser.add_argument("--results", help="results file (default: results.json in the work folder)")
    parser.add_argument("--report", help="where the report goes, without .md and .svg (default: beside the results)")
    parser.add_argument("--resume", action=argparse.BooleanOptionalAction, default=True,
                        help="keep what the results file has (default) or begin again")  # fmt: skip
    parser.add_argument("--stop-after", type=float, help="begin no measurement after so many seconds")
    parser.add_argument("--install-only", action="store_true", help="install and make the models, measure nothing")
    parser.add_argument("--report-only", action="store_true", help="write the report of the results that are there")
    parser.add_argument("--self-test", action="store_true", help="test this script itself, without any engine")
    options = parser.parse_args(words)
    options.engines = chosen(parser, options.engines, names)
    options.rows = chosen(parser, options.rows, [row.name for row in ROWS])
    options.rounds = options.rounds or (2 if options.quick else 3)
    options.results = options.results or os.path.join(options.workdir, "results.json")
    options.report = options.report or os.path.splitext(options.results)[0]
    return options


def chosen(parser, text, names):
    wanted = text.split(",") if text else list(names)
    for name in wanted:
        if name not in names:
            parser.error(f"there is no {name!r}; there are {', '.join(names)}")
    return wanted


# MARK: The machine


def processors(count):
    """The CPUs to use: of this process's, one of each core first."""
    allowed = sorted(os.sched_getaffinity(0))
    cores = {}
    for cpu in allowed:
        try:
            with open(f"/sys/devices/system/cpu/cpu{cpu}/topology/thread_siblings_list") as file:
                cores.setdefault(file.read().strip(), []).append(cpu)
        except OSError:
            cores.setdefault(str(cpu), []).append(cpu)
    ordered = [siblings[0] for siblings in cores.values()]
    return (ordered + [cpu for cpu in allowed if cpu not in ordered])[: count or len(ordered)]


def describe_machine(cpus):
    fields = {}
    with open("/proc/cpuinfo") as file:
        for line in file:
            name, _, value = line.partition(":")
            fields.setdefault(name.strip(), value.strip())
    with open("/proc/meminfo") as file:
        memory = int(file.readline().split()[1]) / 2**20
    flags = set(fields.get("flags", "").split())
    known = ["avx2", "avx512f", "avx512_vnni", "avx512_bf16", "amx_bf16", "amx_int8"]
    return {
        "cpu": f"{fields.get('model name', platform.machine())} (family {fields.get('cpu family', '?')}, "
               f"model {fields.get('model', '?')})",
        "cpus": cpus, "flags": ", ".join(flag for flag in known if flag in flags) or "no AVX2",
        "memory": f"{memory:.0f} GiB of memory", "system": f"{platform.system()} {platform.release()}",
    }  # fmt: skip


# MARK: Engines


def make_engine(name, options, cpus, place, results):
    if name == "swiftlet":
        if not os.path.exists(options.swiftlet):
            sys.exit(f"error: {options.swiftlet} is not there: run swift build -c release --product swiftlet")
        engine = engines.Swiftlet(options.swiftlet, place.model(), len(cpus))
        version = subprocess.run([options.swiftlet, "--version"], capture_output=True, text=True).stdout.strip()
        results.notes[name] = f"{version}, build {engine.build}, its own defaults, no prefix caching"
        return engine
    peer = engines.PEERS[name]
    python = place.environment(peer["environment"])
    version = place.version(peer["environment"], peer["package"])
    models = {"bf16": place.model()}
    if name == "llama.cpp":
        models = {weights: place.gguf(weights) for weights in ("bf16", "int8", "int4")}
    settings = {"threads": len(cpus), "cpus": cpus, "models": models}
    environment = {"OMP_NUM_THREADS": str(len(cpus)), "HF_HUB_OFFLINE": "1", "TOKENIZERS_PARALLELISM": "false"}
    if name == "vllm":
        environment |= {
            "VLLM_CPU_KVCACHE_SPACE": "2", "VLLM_CPU_OMP_THREADS_BIND": ",".join(map(str, cpus)),
            "VLLM_CACHE_ROOT": place.path("cache", "vllm"), "TORCHINDUCTOR_CACHE_DIR": place.path("cache", "inductor"),
            "VLLM_NO_USAGE_STATS": "1", "VLLM_LOGGING_LEVEL": "WARNING",
            "LD_PRELOAD": place.path("environments", "vllm", "lib", "libiomp5.so"),
        }  # fmt: skip
    results.notes[name] = f"{peer['package'].replace('_', '-')} {version}, {peer['note']}"
    script = os.path.join(HERE, "comparison", peer["script"])
    return engines.Worker(
        name, python, script, settings, environment, version, engines.PEER_JOBS[name], name != "llama.cpp"
    )


# MARK: Measuring


class Comparison:
    """Who measures what next."""

    # Of one CPU: more than this used by anything but the engine spoils a measurement.
    most_disturbed = report.MOST_DISTURBED

    def __init__(self, running, jobs, results, probe, log, stop_after=None):
        self.engines, self.jobs, self.results, self.probe, self.log = running, jobs, results, probe, log
        self.end = time.monotonic() + stop_after if stop_after else float("inf")
        self.failed, self.disturbed = set(), {}

    def missing(self, engine, jobs, turn):
        return [
            job for job in jobs
            if job.name in engine.jobs and (engine.name, job.name, turn) not in self.failed
            and not self.is_done(self.results.find(engine.name, job.name, turn, engine.build))
        ]  # fmt: skip

    @staticmethod
    def is_done(cell):
        return cell is not None and "error" not in cell

    def run(self, rounds):
        for turn in range(1, rounds + 1):
            # Job by job; engines that take long to start do all of theirs in one go.
            quick = [engine for engine in self.engines if not engine.one_process]
            for job in self.jobs:
                # Each round in the other order, so that a drift of the machine hits all alike.
                for engine in quick if turn % 2 else reversed(quick):
                    self.measure(engine, [job], turn)
            for engine in self.engines:
                if engine.one_process:
                    self.measure(engine, self.jobs, turn)

    def measure(self, engine, jobs, turn):
        jobs = self.missing(engine, jobs, turn)
        while jobs and time.monotonic() < self.end:
            probes, start = [], time.time()
            for job, answer in engine.measure(jobs, self.log(engine.name), lambda: probes.append(self.probe())):
                if not probes:
                    probes.append(self.probe())
                self.keep(engine, job, turn, answer, probes[-2:], time.time() - start)
                start = time.time()
            jobs = self.missing(engine, jobs, turn)

    def is_disturbed(self, place, answer):
        """Whether to measure again, because something else used the CPUs; the third time is kept as it is."""
        tries = self.disturbed.get(place, 0)
        if answer.get("others", 0) <= self.most_disturbed or tries == 2:
            return False
        self.disturbed[place] = tries + 1
        note(f"{place[1]}, {place[0]}: measuring again, others used {answer['others'] * 100:.0f} % of a CPU")
        return True

    def keep(self, engine, job, turn, answer, probes, seconds):
        if "error" in answer:
            self.failed.add((engine.name, job.name, turn))
        elif self.is_disturbed((engine.name, job.name, turn), answer):
            return
        rest = {"seconds": round(seconds, 1), "probes": list(probes)}
        self.results.add(engine.name, job.name, turn, engine.build, **answer, **rest)
        shown = {name: report.number(value) for name, value in answer.get("metrics", {}).items() if value}
        numbers = ", ".join(f"{name} {value}" for name, value in shown.items())
        note(f"round {turn}, {job.name}, {engine.name}: {numbers or answer.get('error')} ({seconds:.0f} s)")


def write_report(results, path, command):
    if not results.cells:
        sys.exit("error: there are no results yet")
    os.makedirs(os.path.dirname(os.path.abspath(path)), exist_ok=True)
    for suffix, text in ((".md", report.markdown(results, command)), (".svg", report.svg(results))):
        with open(path + suffix, "w", encoding="utf-8") as file:
            file.write(text)
        note(f"wrote {path}{suffix}")


def command_line(options):
    words = ["python3 Benchmarks/compare.py"] + (["--quick"] if options.quick else [])
    return " ".join(words)


def main():
    options = arguments()
    if options.self_test:
        return self_test.run(Comparison, write_report)
    results = Results(options.results, fresh=not options.resume)
    if not options.report_only:
        cpus = processors(options.threads)
        place = install.Workplace(options.workdir, note)
        results.machine = describe_machine(cpus)
        running = [make_engine(name, options, cpus, place, results) for name in options.engines]
        probe_path = place.probe()
        if options.install_only:
            return None
        wanted = {row.job for row in ROWS if row.name in options.rows}
        jobs = [job for job in JOBS.values() if job.name in wanted and not (options.quick and job.slow)]
        comparison = Comparison(
            running, jobs, results, lambda: install.run_probe(probe_path, cpus), place.log, options.stop_after
        )
        comparison.run(options.rounds)
    write_report(results, options.report, command_line(options))
    return None


if __name__ == "__main__":
    try:
        sys.exit(main())
    except KeyboardInterrupt:
        sys.exit("interrupted; run the same command again to go on")
