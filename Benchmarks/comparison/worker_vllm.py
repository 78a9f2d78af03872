"""vLLM's CPU build, through its engine's own loop, one step at a time so that each token's time is known.

Settings after its docs: threads bound to the cores, Intel's OpenMP preloaded, room for the KV cache named; on AMD's
Zen with zentorch, which vLLM's `zen` extra installs. Compiled as by default.
Invariant: all requests are there before the first step, none ends early, and no prefix is cached.
"""

import time

import worker
from rows import nano_lengths, random_prompts


class VLLM:
    def __init__(self, settings):
        from vllm import LLM

        self.llm = LLM(
            model=settings["models"]["bf16"], dtype="bfloat16", max_model_len=2048, max_num_seqs=64,
            enable_prefix_caching=False, seed=0, disable_log_stats=True,
        )  # fmt: skip

    def generate(self, prompts, outputs, temperature=0.0):
        """Seconds, and for each request when its tokens came."""
        from vllm import SamplingParams
        from vllm.sampling_params import RequestOutputKind

        engine = self.llm.llm_engine
        start = time.perf_counter()
        for place, (prompt, most) in enumerate(zip(prompts, outputs)):
            params = SamplingParams(
                temperature=temperature, max_tokens=most, ignore_eos=True, detokenize=False,
                output_kind=RequestOutputKind.DELTA,
            )  # fmt: skip
            engine.add_request(str(place), {"prompt_token_ids": prompt}, params)
        times = [[] for _ in prompts]
        while engine.has_unfinished_requests():
            answers = engine.step()
            now = time.perf_counter() - start
            for answer in answers:
                times[int(answer.request_id)] += [now] * len(answer.outputs[0].token_ids)
                self.token = answer.outputs[0].token_ids[-1]
        seconds = time.perf_counter() - start
        if [len(moments) for moments in times] != list(outputs):
            raise RuntimeError("a request ended early")
        return seconds, times

    def first_token(self):
        self.generate([worker.FIRST_PROMPT], [1])
        return self.token

    def run(self, job):
        return getattr(self, "measure_" + job["kind"])(job)

    def measure_prefill(self, job):
        prompts = random_prompts(4, job["prompt"])

        def work(count):
            return lambda turn: self.generate(prompts[:count], [1] * count)

        one = worker.rate(job["prompt"], work(1), worker.PREFILL_REPEATS)
        four = worker.rate(4 * job["prompt"], work(4), 2, warm_up=0)
        return {"prefill_1": one, "prefill_4": four, "prefill": max(one, four)}

    def measure_decode(self, job):
        count = job["batch"]
        # A batch is read in several steps: long enough that all generate together for `steps` tokens.
        steps = 1 + job["steps"] + (count * job["prompt"] // 4096 if count > 1 else 0)
        rates = []
        for turn in range(worker.DECODE_REPEATS if count == 1 else 1):
            _, times = self.generate(random_prompts(count, job["prompt"], seed=turn), [steps] * count)
            rates.append(worker.decode_rate(times))
        return {"decode": sorted(rates)[len(rates) // 2]}

    def measure_requests(self, job):
        self.generate(random_prompts(1, 16, seed=2), [4])
        prompts = random_prompts(job["batch"], job["prompt"])
        seconds, times = self.generate(prompts, [job["steps"]] * job["batch"])
        return {"output": job["batch"] * job["steps"] / seconds, "decode": worker.decode_rate(times)}

    def measure_nano(self, job):
        prompts, outputs = nano_lengths(job["batch"])
        seconds, times = self.generate(prompts, outputs, temperature=0.6)
        return {"output": sum(outputs) / seconds, "decode": worker.decode_rate(times)}


if __name__ == "__main__":
    worker.serve(VLLM)
