"""Check that an exported folder is what Hugging Face's transformers makes of it.

Loads it as Qwen3ForCausalLM in float32, compares the logits and greedy texts with our own network and the
chat template with the prompt that was trained. Exits with an error at the first difference.
"""

import argparse

import torch
from transformers import AutoModelForCausalLM, AutoTokenizer

from evaluate import chat, load
from model import generate


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--model", default="build/run/export")
    options = parser.parse_args()
    torch.set_num_threads(1)
    ours, tokenizer, stops = load(options.model)
    theirs = AutoModelForCausalLM.from_pretrained(options.model, dtype=torch.float32).eval()
    assert type(theirs).__name__ == "Qwen3ForCausalLM"
    their_tokenizer = AutoTokenizer.from_pretrained(options.model)
    question = "What is a paged KV cache?"
    messages = [{"role": "user", "content": question}]
    rendered = their_tokenizer.apply_chat_template(messages, tokenize=False, add_generation_prompt=True)
    assert rendered == chat(question), rendered
    for prompt in ["Once upon a time", chat(question), "Quantum 東京 naïve 🙂 12345\n\n  x", chat("Tell me a story about Ivy.")]:
        ids = tokenizer.encode(prompt).ids
        assert ids == their_tokenizer(prompt)["input_ids"], prompt
        assert tokenizer.decode(ids, skip_special_tokens=False) == prompt
        with torch.inference_mode():
            a, b = ours(torch.tensor([ids]))[0], theirs(torch.tensor([ids])).logits[0]
        difference = ((a - b).norm() / b.norm()).item()
        assert difference < 1e-4, difference
        mine = generate(ours, ids, stops, 80)
        out = theirs.generate(torch.tensor([ids]), do_sample=False, temperature=None, max_new_tokens=80)[0, len(ids):].tolist()
        out = out[: next((i for i, t in enumerate(out) if t in stops), len(out))]
        assert mine == out, (tokenizer.decode(mine), tokenizer.decode(out))
        print(f"relative difference of the logits {difference:.1e}, {len(mine)} greedy tokens equal")


if __name__ == "__main__":
    main()
