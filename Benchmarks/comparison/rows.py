"""The comparison's rows, the jobs that measure them, and what the machine's limits allow for each.

A job is what one engine does in one go (read prompts, generate); a row shows one number of a job.
Invariant: a job asks the same work of every engine: prompts of the same lengths, as many new tokens, no early end.
"""

import random
from dataclasses import dataclass

# Qwen3-0.6B's shape, as make_model.py makes it.
LAYERS, HIDDEN, HEADS, HEAD_DIM, VOCABULARY = 28, 1024, 16, 128, 151_936
LAYER_PARAMETERS = LAYERS * (HIDDEN * 128 * (2 * 16 + 2 * 8) + 3 * HIDDEN * 3072)
HEAD_PARAMETERS = VOCABULARY * HIDDEN
PARAMETERS = LAYER_PARAMETERS + HEAD_PARAMETERS
KV_VALUES = 2 * LAYERS * 8 * HEAD_DIM  # of one token

WEIGHT_BYTES = {"bf16": 2.0, "int8": 1.0, "int4": 4.25 / 8}


@dataclass(frozen=True)
class Job:
    name: str
    kind: str  # start, prefill, decode, requests, nano
    weights: str = "bf16"
    kv: str = "auto"  # or int8
    batch: int = 1
    prompt: int = 128
    steps: int = 32
    seconds: int = 120  # hard limit for one engine, loading not counted
    slow: bool = False  # left out by --quick

    def settings(self):
        return {name: getattr(self, name) for name in ("name", "kind", "weights", "kv", "batch", "prompt", "steps")}


@dataclass(frozen=True)
class Row:
    name: str
    title: str
    job: str
    metric: str
    unit: str = "tok/s"

    @property
    def lower_is_better(self):
        return self.unit != "tok/s"


JOBS = {
    job.name: job
    for job in [
        # First, so that its peak memory has loading and batch 1 in it and nothing else.
        Job("decode-1", "decode"),
        Job("start", "start", prompt=32, steps=1),
        Job("prefill", "prefill", prompt=512),
        Job("decode-16", "decode", batch=16),
        Job("requests-64", "requests", batch=64, steps=64, seconds=240),
        Job("decode-16-768", "decode", batch=16, prompt=768, seconds=240),
        Job("decode-16-768-kv8", "decode", kv="int8", batch=16, prompt=768, seconds=240),
        Job("int8-decode-1", "decode", weights="int8"),
        Job("int8-prefill", "prefill", weights="int8", prompt=512),
        Job("int8-decode-64", "decode", weights="int8", batch=64, seconds=240),
        Job("int4-decode-1", "decode", weights="int4"),
        Job("int4-prefill", "prefill", weights="int4", prompt=512),
        Job("nano-vllm", "nano", batch=16, seconds=900, slow=True),
    ]
}

ROWS = [
    Row("prefill", "prefill 512 tokens, bf16", "prefill", "prefill"),
    Row("decode-1", "decode, batch 1, bf16", "decode-1", "decode"),
    Row("decode-16", "decode, batch 16, prompt 128, bf16", "decode-16", "decode"),
    Row("decode-64", "decode, batch 64, prompt 128, bf16", "requests-64", "decode"),
    Row("decode-16-768", "decode, batch 16, prompt 768, bf16", "decode-16-768", "decode"),
    Row("decode-16-768-kv8", "the same with an 8-bit KV cache", "decode-16-768-kv8", "decode"),
    Row("requests-64", "64 requests of 128 in + 64 out, bf16, output in all", "requests-64", "output"),
    Row("int8-prefill", "prefill 512 tokens, 8-bit weights", "int8-prefill", "prefill"),
    Row("int8-decode-1", "decode, batch 1, 8-bit weights", "int8-decode-1", "decode"),
    Row("int8-decode-64", "decode, batch 64, prompt 128, 8-bit weights", "int8-decode-64", "decode"),
    Row("int4-prefill", "prefill 512 tokens, 4-bit weights", "int4-prefill", "prefill"),
    Row("int4-decode-1", "decode, batch 1, 4-bit weights", "int4-decode-1", "decode"),
    Row("nano-vllm", "nano-vLLM's benchmark, 16 requests, bf16, output", "nano-vllm", "output"),
    Row("start", "start: process start to first token, bf16", "start", "start", "s"),
    Row("memory-1", "peak memory (RSS), batch 1, bf16", "decode-1", "peak_memory", "GB"),
    Row("memory-64", "peak memory (RSS), 64 requests, bf16", "requests-64", "peak_memory", "GB"),
    Row("int8-memory-1", "peak memory (RSS), batch 1, 8-bit weights", "int8-decode-1", "peak_memory", "GB"),
    Row("int4-memory-1", "peak memory (RSS), batch 1, 4-bit weights", "int4-decode-1", "peak_memory", "GB"),
]


def nano_lengths(count=16):
    """Prompts and output lengths of nano-vLLM's bench.py with `num_seqs = count`."""
    generator = random.Random(0)
    prompts = [
        [generator.randint(0, 10_000) for _ in range(generator.randint(100, 1024))] for _ in range(count)
    ]  # fmt: skip
    return prompts, [generator.randint(100, 1024) for _ in range(count)]


def random_prompts(count, length, seed=1):
    generator = random.Random(seed)
    return [[generator.randrange(150_000) for _ in range(length)] for _ in range(count)]


# MARK: Limits


class Machine:
    """Seconds that work takes when nothing but the machine's limits holds it up."""

    def __init__(self, probe, weights, kv):
        self.bandwidth = probe["read_bytes"]
        half = probe["bf16_operations"] or probe["float32_operations"]
        # 4-bit weights are multiplied in bf16, and attention always is.
        self.peak = (probe["int8_operations"] or half) if weights == "int8" else half
        self.attention_peak = half
        self.weight_bytes = PARAMETERS * WEIGHT_BYTES[weights]
        self.kv_bytes = KV_VALUES * (1 if kv == "int8" else 2)

    def prefill(self, lengths):
        tokens = sum(lengths)
        products = max(2 * LAYER_PARAMETERS * tokens / self.peak, self.weight_bytes / self.bandwidth)
        attention = sum(4 * LAYERS * HEADS * HEAD_DIM * length * length / 2 for length in lengths)
        return products + attention / self.attention_peak

    def step(self, contexts):
        """One token for each context: weights and products overlap, reading the KV cache comes after."""
        products = max(2 * PARAMETERS * len(contexts) / self.peak, self.weight_bytes / self.bandwidth)
        return products + self.kv_bytes * sum(contexts) / self.bandwidth


def limit(row, probe):
    """What a row could reach by the limits that the probe measured; None where that says nothing."""
    job = JOBS[row.job]
    machine = Machine(probe, job.weights, job.kv)
    if row.metric == "prefill":
        return job.prompt / machine.prefill([job.prompt])
    if row.metric == "decode":
        return job.batch / machine.step([job.prompt + job.steps // 2] * job.batch)
    if row.metric == "output":
        if job.kind == "nano":
            prompts, outputs = nano_lengths(job.batch)
            lengths = [len(prompt) for prompt in prompts]
        else:
            lengths, outputs = [job.prompt] * job.batch, [job.steps] * job.batch
        seconds = machine.prefill(lengths)
        # The first token comes with the prompt.
        for done in range(1, max(outputs)):
            seconds += machine.step([length + done for length, most in zip(lengths, outputs) if done < most])
        return sum(outputs) / seconds
    return None
