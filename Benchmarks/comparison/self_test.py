"""`compare.py --self-test`: what can be checked without an engine, in a second.

The engines are small Python workers that speak the real protocol; everything is in a temporary folder.
Invariant: it runs the same code as a comparison does: plan, worker processes, time limits, results file, report.
"""

import contextlib
import io
import json
import os
import sys
import tempfile
import time
import unittest
import xml.etree.ElementTree

from . import engines, report, results, rows

HERE = os.path.dirname(os.path.abspath(__file__))
PROBE = {"read_bytes": 33e9, "float32_operations": 233e9, "bf16_operations": 465e9, "int8_operations": 930e9}

WORKER = f"""
import sys, os, time
sys.path.insert(0, {HERE!r})
import worker
class Fake:
    def __init__(self, settings):
        self.settings = settings
        print("a library's noise", flush=True)
        with open(settings["trace"], "a") as file: file.write("load\\n")
        if settings["mode"] == "unloadable": sys.exit(3)
    def first_token(self): return 5
    def run(self, job):
        print("more noise", flush=True)
        if self.settings["mode"] == "failing" and job["name"] == "prefill": raise ValueError("no prefill")
        if self.settings["mode"] == "hanging" and job["name"] == "prefill": time.sleep(600)
        if self.settings["mode"] == "dying" and job["name"] == "prefill": os._exit(9)
        return {{"prefill": self.settings["rate"], "decode": self.settings["rate"] / 20}}
worker.serve(Fake)
"""


def fake(folder, name, rate, mode="good", build="1", one_process=False):
    script = os.path.join(folder, "worker_fake.py")
    with open(script, "w") as file:
        file.write(WORKER)
    settings = {"rate": rate, "mode": mode, "trace": os.path.join(folder, name + ".trace")}
    jobs = ["decode-1", "start", "prefill"]
    return engines.Worker(name, sys.executable, script, settings, {}, build, jobs, one_process)


def loads(folder, name):
    with open(os.path.join(folder, name + ".trace")) as file:
        return file.read().count("load")


class Tests(unittest.TestCase):
    Comparison = write_report = None

    def setUp(self):
        self.temporary = tempfile.TemporaryDirectory()
        self.addCleanup(self.temporary.cleanup)
        self.folder = self.temporary.name
        self.path = os.path.join(self.folder, "results.json")
        self.jobs = [rows.JOBS[name] for name in ("decode-1", "start", "prefill", "int8-prefill")]

    def store(self):
        stored = results.Results(self.path)
        stored.machine = {"cpu": "A <small> CPU", "cpus": [0, 1], "flags": "avx2", "memory": "8 GiB", "system": "Linux"}
        stored.notes = {"swiftlet": "its defaults"}
        return stored

    def compare(self, running, rounds=1, jobs=None, stop_after=None, most_disturbed=float("inf")):
        stored = self.store()
        log = lambda name: os.path.join(self.folder, name + ".log")  # noqa: E731
        comparison = Tests.Comparison(running, jobs or self.jobs, stored, lambda: dict(PROBE), log, stop_after)
        comparison.most_disturbed = most_disturbed
        with contextlib.redirect_stderr(io.StringIO()):
            comparison.run(rounds)
        return results.Results(self.path)

    def test_statistics(self):
        self.assertEqual(results.median([3, 1, 2]), 2)
        self.assertEqual(results.median([4, 1, 2, 3]), 2.5)
        self.assertIsNone(results.median([]))
        cell = {"probes": [{"read_bytes": 30}, {"read_bytes": 40}]}
        self.assertEqual(results.mean_probe(cell), {"read_bytes": 35})
        self.assertEqual([report.number(value) for value in (1234.5, 99.44, 9.876)], ["1,234", "99.4", "9.88"])

    def test_limits(self):
        """The limits of 33 GB/s and 465 GFLOP/s, computed by hand to within a hundredth."""
        expected = {"prefill": 495, "decode-1": 27.3, "decode-16-768": 189, "int8-decode-1": 53.9, "start": None}
        for row in rows.ROWS:
            if row.name in expected:
                value = rows.limit(row, PROBE)
                self.assertEqual(value and round(value / expected[row.name], 2), expected[row.name] and 1)
        prompts, outputs = rows.nano_lengths()
        self.assertEqual((sum(map(len, prompts)), sum(outputs)), (8743, 7496))
        self.assertTrue(all(row.job in rows.JOBS for row in rows.ROWS))

    def test_turns_and_resume(self):
        ours, peer = fake(self.folder, "swiftlet", 400), fake(self.folder, "llama.cpp", 200)
        stored = self.compare([ours, peer], rounds=2)
        order = [(cell["round"], cell["job"], cell["engine"]) for cell in stored.cells]
        self.assertEqual(len(order), 12)  # neither fake has 8-bit weights
        self.assertEqual([engine for _, _, engine in order[:4]], ["swiftlet", "llama.cpp"] * 2)
        self.assertEqual([engine for _, _, engine in order[6:8]], ["llama.cpp", "swiftlet"])
        self.assertTrue(all(cell["probes"] == [PROBE, PROBE] for cell in stored.cells if cell["job"] != "start"))
        self.assertEqual(loads(self.folder, "swiftlet"), 6)
        # Nothing is measured again, and a third round only adds what it lacks.
        self.compare([ours, peer], rounds=2)
        self.assertEqual(loads(self.folder, "swiftlet"), 6)
        self.compare([ours], rounds=3)
        self.assertEqual(loads(self.folder, "swiftlet"), 9)
        # Another build measures again and hides the old one's numbers.
        stored = self.compare([fake(self.folder, "swiftlet", 500, build="2")])
        self.assertEqual([cell["metrics"]["prefill"] for cell in stored.of("swiftlet", "prefill")], [500])
        self.assertEqual(len(stored.of("llama.cpp", "prefill")), 2)

    def test_one_process(self):
        stored = self.compare([fake(self.folder, "vllm", 300, one_process=True)])
        self.assertEqual(loads(self.folder, "vllm"), 1)
        self.assertEqual(len(stored.cells), 3)
        memory = stored.of("vllm", "decode-1")[0]["metrics"]["peak_memory"]
        self.assertTrue(0.001 < memory < 1, memory)
        self.assertTrue(0 < stored.of("vllm", "start")[0]["metrics"]["start"] < 30)

    def test_stopping(self):
        stored = self.compare([fake(self.folder, "vllm", 300)], stop_after=1e-9)
        self.assertEqual(stored.cells, [])

    def test_failures(self):
        """A failure costs its own job, not the engine's other ones, and is tried again by the next run."""
        for mode, reason in [("failing", "no prefill"), ("dying", "ended with status 9")]:
            engine = fake(self.folder, mode, 1, mode, one_process=True)
            jobs = [self.jobs[2], self.jobs[0]]
            stored = self.compare([engine], jobs=jobs)
            self.assertIn(reason, stored.of(mode, "prefill")[0]["error"])
            self.assertIn("metrics", stored.of(mode, "decode-1")[0])
            again = self.compare([fake(self.folder, mode, 1, one_process=True)], jobs=jobs)
            self.assertIn("metrics", again.of(mode, "prefill")[0])

    def test_time_limit(self):
        jobs = [rows.Job("prefill", "prefill", seconds=1), rows.JOBS["decode-1"]]
        start = time.monotonic()
        stored = self.compare([fake(self.folder, "slow", 1, "hanging", one_process=True)], jobs=jobs)
        self.assertLess(time.monotonic() - start, 300)
        self.assertIn("time limit", stored.of("slow", "prefill")[0]["error"])
        self.assertIn("metrics", stored.of("slow", "decode-1")[0])

    def test_disturbance(self):
        """A spoiled measurement is made three times, and the last one is kept."""
        stored = self.compare([fake(self.folder, "llama.cpp", 1)], jobs=self.jobs[:1], most_disturbed=-1)
        self.assertEqual((loads(self.folder, "llama.cpp"), len(stored.cells)), (3, 1))
        process = engines.Process([sys.executable, "-c", "input()"])
        try:
            quiet = engines.Disturbance(process)
            time.sleep(0.3)
            self.assertTrue(0 <= quiet.share() <= os.cpu_count() + 0.5)
            self.assertEqual(quiet.share(own=1e6), 0)
        finally:
            process.end()

    def test_unloadable(self):
        stored = self.compare([fake(self.folder, "broken", 1, "unloadable", one_process=True)])
        self.assertEqual(loads(self.folder, "broken"), 1)
        self.assertTrue(all("while loading" in cell["error"] for cell in stored.cells) and len(stored.cells) == 3)

    def test_report(self):
        """Ratios by hand, losing rows shown, failures named, the drawing is XML."""
        stored = self.store()
        for engine, decode, start in (("swiftlet", 20, 2.0), ("llama.cpp", 25, 1.0), ("vllm", 10, 8.0)):
            metrics = {"decode": decode, "peak_memory": 2.0}
            stored.add(engine, "decode-1", 1, "b", metrics=metrics, probes=[PROBE, PROBE])
            stored.add(engine, "start", 1, "b", metrics={"start": start}, probes=[PROBE])
        stored.add("vllm", "prefill", 1, "b", error="out of <memory>", probes=[PROBE])
        text = report.markdown(stored, "compare.py")
        self.assertIn("| decode, batch 1, bf16 | 20.0 (73 %) | 25.0 (92 %) | 10.0 (37 %) | 27.3 | 0.80 x |", text)
        self.assertIn("| start: process start to first token, bf16 (s) | 2.00 | 1.00 | 8.00 | – | 0.50 x |", text)
        self.assertIn("| – | – | failed | – | – |", text)
        self.assertIn("out of <memory>", text)
        self.assertIn("A <small> CPU", text)
        drawing = xml.etree.ElementTree.fromstring(report.svg(stored))
        self.assertEqual(len([part for part in drawing.iter() if part.tag.endswith("rect")]), 1 + 3 + 3)
        with contextlib.redirect_stderr(io.StringIO()):
            Tests.write_report(stored, os.path.join(self.folder, "out", "report"), "compare.py")
        self.assertEqual(sorted(os.listdir(os.path.join(self.folder, "out"))), ["report.md", "report.svg"])

    def test_file(self):
        stored = self.store()
        stored.add("swiftlet", "start", 1, "b", metrics={"start": 1})
        with open(self.path) as file:
            self.assertEqual(len(json.load(file)["cells"]), 1)
        self.assertEqual(results.Results(self.path).cells, stored.cells)
        self.assertEqual(results.Results(self.path, fresh=True).cells, [])

    def test_help(self):
        """Options of the command are found in its help by name and value."""
        ours = engines.Swiftlet.__new__(engines.Swiftlet)
        ours.help = "  --dtype <type>  int8 is not one\n  --quantization <kind> (values: none, int8)\n  --seed <n>"
        self.assertTrue(ours.offers("--quantization", "int8"))
        self.assertFalse(ours.offers("--quantization", "int4") or ours.offers("--kv-cache-dtype", "int8"))


def run(comparison, write_report):
    Tests.Comparison, Tests.write_report = comparison, staticmethod(write_report)
    suite = unittest.defaultTestLoader.loadTestsFromTestCase(Tests)
    return 0 if unittest.TextTestRunner().run(suite).wasSuccessful() else 1
