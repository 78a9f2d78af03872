"""Hugging Face transformers on PyTorch's CPU build: bf16, SDPA attention, one thread per core, no gradients.

Invariant: decodes are timed alone; a batch's KV is one prompt's, repeated in memory for each row.
"""

import time

import torch
import worker
from rows import random_prompts
from transformers import AutoModelForCausalLM, DynamicCache


class Transformers:
    def __init__(self, settings):
        torch.set_num_threads(settings["threads"])
        torch.set_grad_enabled(False)
        self.model = AutoModelForCausalLM.from_pretrained(
            settings["models"]["bf16"], dtype=torch.bfloat16, attn_implementation="sdpa"
        ).eval()

    def step(self, tokens, cache):
        """Reads `tokens` [rows, new tokens]; returns each row's most likely next one as [rows, 1]."""
        output = self.model(tokens, past_key_values=cache, use_cache=True, logits_to_keep=1)
        return output.logits[:, -1].argmax(-1, keepdim=True)

    def first_token(self):
        return int(self.step(torch.tensor([worker.FIRST_PROMPT]), DynamicCache(config=self.model.config)))

    def run(self, job):
        return getattr(self, "measure_" + job["kind"])(job)

    def measure_prefill(self, job):
        prompts = torch.tensor(random_prompts(4, job["prompt"]))

        def work(count):
            return lambda turn: self.step(prompts[:count], DynamicCache(config=self.model.config))

        one = worker.rate(job["prompt"], work(1), worker.PREFILL_REPEATS)
        four = worker.rate(4 * job["prompt"], work(4), 2, warm_up=0)
        return {"prefill_1": one, "prefill_4": four, "prefill": max(one, four)}

    def measure_decode(self, job):
        count, steps = job["batch"], job["steps"]
        cache = DynamicCache(config=self.model.config)
        tokens = self.step(torch.tensor(random_prompts(1, job["prompt"])), cache)
        if count > 1:
            cache.batch_repeat_interleave(count)
            tokens = tokens.repeat(count, 1)
        tokens = self.step(tokens, cache)
        times = []
        for _ in range(steps):
            start = time.perf_counter()
            tokens = self.step(tokens, cache)
            times.append(time.perf_counter() - start)
        return {"decode": count * steps / sum(times)}


if __name__ == "__main__":
    worker.serve(Transformers)
