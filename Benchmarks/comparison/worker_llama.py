"""llama.cpp, through the C API that llama-cpp-python carries, as llama-bench and llama-batched-bench use it.

Settings after its docs: threads = cores, flash attention, a KV stream for each sequence, batches of 2048 tokens.
Invariant: every sequence has KV of its own (copied where prompts are not what is measured), as real requests have.
"""

import ctypes
import time

import numpy as np
import worker
from rows import VOCABULARY, nano_lengths, random_prompts
from llama_cpp import llama_cpp as C

FIELDS_OF_KV = {"auto": None, "int8": 8}  # GGML_TYPE_Q8_0


class Llama:
    def __init__(self, settings):
        self.threads = settings["threads"]
        C.llama_backend_init()
        self.keep = C.llama_log_callback(lambda level, text, data: None)
        C.llama_log_set(self.keep, ctypes.c_void_p(0))
        path = settings["models"][settings["job"]["weights"]]
        self.model = C.llama_model_load_from_file(path.encode(), C.llama_model_default_params())
        if not self.model:
            raise RuntimeError("llama.cpp can't load " + path)
        self.context = None

    def open(self, sequences, length, kv="auto"):
        """A context for `sequences` of at most `length` tokens each."""
        if self.context:
            C.llama_free(self.context)
        params = C.llama_context_default_params()
        params.n_seq_max = sequences
        params.n_ctx = sequences * ((length + 255) // 256 * 256)
        params.n_batch, params.n_ubatch = 2048, 512
        params.n_threads = params.n_threads_batch = self.threads
        params.flash_attn_type = 1  # on
        params.kv_unified = False
        if FIELDS_OF_KV[kv]:
            params.type_k = params.type_v = FIELDS_OF_KV[kv]
        self.context = C.llama_init_from_model(self.model, params)
        if not self.context:
            raise RuntimeError("llama.cpp can't make a context")
        self.memory = C.llama_get_memory(self.context)
        self.batch = C.llama_batch_init(2048, 0, 1)

    def run_batch(self, rows):
        """Rows of (token, position, sequence, whether its logits are wanted); at most 2048."""
        batch = self.batch
        batch.n_tokens = len(rows)
        for place, (token, position, sequence, wanted) in enumerate(rows):
            batch.token[place], batch.pos[place], batch.n_seq_id[place] = token, position, 1
            batch.seq_id[place][0], batch.logits[place] = sequence, wanted
        status = C.llama_decode(self.context, batch)
        if status:
            raise RuntimeError(f"llama_decode returned {status}")
        C.llama_synchronize(self.context)

    def best(self, place):
        logits = C.llama_get_logits_ith(self.context, place)
        return int(np.ctypeslib.as_array(logits, (VOCABULARY,)).argmax())

    def prefill(self, prompts, choose=None):
        """Reads prompts, each a sequence; returns each one's next token."""
        following, rows, last = [], [], []
        for sequence, prompt in enumerate(prompts):
            for position, token in enumerate(prompt):
                is_last = position + 1 == len(prompt)
                if is_last:
                    last.append(len(rows))
                rows.append((token, position, sequence, is_last))
                if len(rows) == 2048 or (is_last and sequence + 1 == len(prompts)):
                    self.run_batch(rows)
                    following += [(choose or self.best)(place) for place in last]
                    rows, last = [], []
        return following

    def first_token(self):
        self.open(1, 256)
        return self.prefill([worker.FIRST_PROMPT])[0]

    def run(self, job):
        return getattr(self, "measure_" + job["kind"])(job)

    def measure_prefill(self, job):
        prompts = random_prompts(4, job["prompt"])

        def work(count):
            def once(turn):
                C.llama_memory_clear(self.memory, False)
                self.prefill(prompts[:count])

            return once

        self.open(4, job["prompt"])
        one = worker.rate(job["prompt"], work(1), worker.PREFILL_REPEATS)
        four = worker.rate(4 * job["prompt"], work(4), 2, warm_up=0)
        return {"prefill_1": one, "prefill_4": four, "prefill": max(one, four)}

    def measure_decode(self, job):
        count, length, steps = job["batch"], job["prompt"], job["steps"]
        self.open(count, length + 2 * steps + 2, job["kv"])
        token = self.prefill(random_prompts(1, length))[0]
        for sequence in range(1, count):
            C.llama_memory_seq_cp(self.memory, 0, sequence, -1, -1)
        # One step before the clock: it makes the copies.
        self.run_batch([(token, length, sequence, True) for sequence in range(count)])

        def work(turn):
            for sequence in range(count):
                C.llama_memory_seq_rm(self.memory, sequence, length + 1, -1)
            for step in range(steps):
                position = length + 1 + step
                # As llama-batched-bench: no sampling, some token.
                self.run_batch([(1000 + 7 * step + sequence, position, sequence, True) for sequence in range(count)])

        repeats = worker.DECODE_REPEATS if count == 1 else 1
        return {"decode": worker.rate(count * steps, work, repeats, warm_up=1 if count == 1 else 0)}

    def generate(self, prompts, outputs, choose):
        """All requests at once; returns output tokens a second in all, and while all generate."""
        self.open(len(prompts), max(len(prompt) + most for prompt, most in zip(prompts, outputs)))
        start = time.perf_counter()
        tokens = self.prefill(prompts, choose)
        decode_start, decode_end = time.perf_counter(), None
        for done in range(1, max(outputs)):
            active = [place for place, most in enumerate(outputs) if done < most]
            rows = [(tokens[place], len(prompts[place]) + done - 1, place, True) for place in active]
            self.run_batch(rows)
            for row, place in enumerate(active):
                tokens[place] = choose(row)
            if done + 1 == min(outputs):
                decode_end = time.perf_counter()
        seconds = time.perf_counter() - start
        together = len(prompts) * (min(outputs) - 1) / (decode_end - decode_start)
        return {"output": sum(outputs) / seconds, "decode": together}

    def measure_requests(self, job):
        return self.generate(
            random_prompts(job["batch"], job["prompt"]), [job["steps"]] * job["batch"], self.best
        )

    def measure_nano(self, job):
        chain = C.llama_sampler_chain_init(C.llama_sampler_chain_default_params())
        C.llama_sampler_chain_add(chain, C.llama_sampler_init_temp(0.6))
        C.llama_sampler_chain_add(chain, C.llama_sampler_init_dist(1))
        prompts, outputs = nano_lengths(job["batch"])
        return self.generate(prompts, outputs, lambda place: C.llama_sampler_sample(chain, self.context, place))


if __name__ == "__main__":
    worker.serve(Llama)
