"""Greedy answers to the held-out phrasings, and story samples, from an exported folder.

An answer is judged right when its word-level F1 against the reference is at least 0.8: it then is the
reference itself up to a few words, so a fluent answer to a neighbouring question counts as wrong.
"""

import argparse
import collections
import json
import re

import torch
from safetensors.torch import load_file
from tokenizers import Tokenizer

from model import Cache, Config, DemoModel, generate

FIELDS = set(Config.__dataclass_fields__)


def load(folder):
    with open(f"{folder}/config.json", encoding="utf-8") as file:
        config = Config(**{k: v for k, v in json.load(file).items() if k in FIELDS})
    model = DemoModel(config).eval()
    model.load_state_dict({k: v.float() for k, v in load_file(f"{folder}/model.safetensors").items()})
    with open(f"{folder}/generation_config.json", encoding="utf-8") as file:
        stops = set(json.load(file)["eos_token_id"])
    return model, Tokenizer.from_file(f"{folder}/tokenizer.json"), stops


def words(text):
    return re.findall(r"[a-z0-9]+", text.lower())


def f1(answer, reference):
    a, b = collections.Counter(words(answer)), collections.Counter(words(reference))
    shared = sum((a & b).values())
    return 2 * shared / (sum(a.values()) + sum(b.values()))


def chat(question):
    return f"<|im_start|>user\n{question}<|im_end|>\n<|im_start|>assistant\n"


@torch.inference_mode()
def greedy(model, prompts, stops, max_tokens=160):
    """Greedy answers to many prompts; those of the same length run as one batch."""
    answers, lengths = {}, collections.defaultdict(list)
    for index, prompt in enumerate(prompts):
        lengths[len(prompt)].append(index)
    for group in lengths.values():
        cache, rows = Cache(), torch.tensor([prompts[i] for i in group])
        chosen = []
        for _ in range(max_tokens):
            rows = model(rows, cache)[:, -1].argmax(-1, keepdim=True)
            chosen.append(rows)
            ended = torch.cat(chosen, 1)
            if all(any(t in stops for t in row) for row in ended.tolist()):
                break
        for index, row in zip(group, torch.cat(chosen, 1).tolist()):
            answers[index] = row[: next((i for i, t in enumerate(row) if t in stops), len(row))]
    return [answers[i] for i in range(len(prompts))]


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--model", default="build/run/export")
    parser.add_argument("--heldout", default="build/corpus/heldout.jsonl")
    parser.add_argument("--fields", default="written,template,trained")
    parser.add_argument("--limit", type=int, help="only the first so many questions")
    parser.add_argument("--show-wrong", action="store_true")
    parser.add_argument("--samples", type=int, default=0)
    parser.add_argument("--temperature", type=float, default=0.7)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--threads", type=int, default=1)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    model, tokenizer, stops = load(options.model)
    with open(options.heldout, encoding="utf-8") as file:
        rows = [json.loads(line) for line in file][: options.limit]
    for kind in [f for f in options.fields.split(",") if f]:
        right = exact = 0
        answers = greedy(model, [tokenizer.encode(chat(row[kind])).ids for row in rows], stops)
        for row, answer in zip(rows, answers):
            out = tokenizer.decode(answer)
            good = f1(out, row["answer"]) >= 0.8
            right, exact = right + good, exact + (words(out) == words(row["answer"]))
            if options.show_wrong and not good:
                print(f"[{kind}] {row[kind]}\n  -> {out}\n  reference: {row['answer']}", flush=True)
        print(json.dumps({"phrasing": kind, "questions": len(rows), "right": right, "share": round(right / len(rows), 4),
                          "word_for_word": exact}), flush=True)
    prompts = ["Once upon a time", chat("Tell me a story about Nora and a boat."), "Once upon a time, a little fox",
               "One morning, Ben", chat("How does a paged KV cache work?")]
    for number in range(options.samples):
        prompt, seed = prompts[number % len(prompts)], options.seed + number
        generator = torch.Generator().manual_seed(seed)
        out = generate(model, tokenizer.encode(prompt).ids, stops, 400, options.temperature, generator)
        print(f"--- seed {seed}, temperature {options.temperature}: {prompt!r}\n{tokenizer.decode(out)}\n", flush=True)


if __name__ == "__main__":
    main()
