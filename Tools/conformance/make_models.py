#!/usr/bin/env python3
"""Makes tiny random checkpoints of many shapes, and what Hugging Face transformers computes with each.

    make_models.py FOLDER             all of shapes.py
    make_models.py --fixtures FOLDER  only those that the repository keeps (FOLDER is Tests/Fixtures/models)

Needs torch and transformers (made with torch 2.13.0, transformers 5.23.0). Weights are rounded to the checkpoint's
type first; outputs are float32, eager attention, no cache. golden.json: `cases[]` of `prompt_ids`, `last_logits`,
`prompt_logprobs` (one fewer than the prompt), `greedy[]` of `id`, `margin`, `top_ids`, `top_logprobs`;
`bfloat16_distance` and `bfloat16_logprobs`, the largest relative L2 of last logits and the largest difference of
log-probabilities when transformers itself computes in bfloat16.
"""

import argparse
import json
import math
import pathlib
import shutil

import torch
import transformers
from transformers import (
    LlamaConfig, LlamaForCausalLM, MistralConfig, MistralForCausalLM, Qwen2Config, Qwen2ForCausalLM, Qwen3Config,
    Qwen3ForCausalLM, Qwen3MoeConfig, Qwen3MoeForCausalLM)

from shapes import SHAPES

FAMILIES = {
    "qwen3": (Qwen3Config, Qwen3ForCausalLM), "qwen2": (Qwen2Config, Qwen2ForCausalLM),
    "qwen3-moe": (Qwen3MoeConfig, Qwen3MoeForCausalLM), "llama": (LlamaConfig, LlamaForCausalLM), "mistral": (MistralConfig, MistralForCausalLM)}
FIXTURE_PROMPT_LENGTHS = (1, 70, 130)
STEPS, FIXTURE_STEPS, TOP = 16, 8, 20


def randomise(model, generator):
    """Weights that a wrong kernel can't hide behind: logits and attention have a spread, norms and biases matter."""
    hidden = model.config.hidden_size
    with torch.no_grad():
        for name, weight in model.named_parameters():
            noise = torch.randn(weight.shape, generator=generator)
            if name.endswith("norm.weight"):
                weight.copy_(1 + 0.3 * noise)
            elif name.endswith(".bias"):
                weight.copy_(0.5 * noise)
            elif name == "lm_head.weight" or (name.endswith("embed_tokens.weight")
                                              and model.config.tie_word_embeddings):
                weight.copy_(3 / math.sqrt(hidden) * noise)
            elif name.endswith("embed_tokens.weight"):
                weight.copy_(noise)
            elif name.endswith("mlp.gate.weight"):
                # A router that is sure of itself: rounding is not to send tokens elsewhere.
                weight.copy_(4 / math.sqrt(hidden) * noise)
            else:  # the last dimension is the inputs', of all experts in one tensor too
                weight.copy_(1.3 / math.sqrt(weight.shape[-1]) * noise)


def fix_dynamic_rope(model):
    """Angles as an engine must have them that caches rotated keys: one base for all lengths, that of the longest.

    Written from the formula: with factor f, trained length M and served length L = f M, the base is multiplied by
    (f L / M - (f - 1)) ^ (d / (d - 2)). transformers uses the present length for L, up to M the plain base.
    """
    config, embedding = model.config, model.model.rotary_emb
    parameters = config.rope_parameters
    if parameters["rope_type"] != "dynamic":
        return
    factor, trained = parameters["factor"], config.max_position_embeddings
    width = getattr(config, "head_dim", None) or config.hidden_size // config.num_attention_heads
    stretch = factor * (factor * trained) / trained - (factor - 1)
    base = parameters["rope_theta"] * stretch ** (width / (width - 2))
    embedding.inv_freq = 1.0 / base ** (torch.arange(0, width, 2, dtype=torch.float) / width)
    embedding.rope_type = "default"


def case(model, prompt, steps):
    def logits(ids):
        with torch.no_grad():
            return model(torch.tensor([ids]), use_cache=False).logits[0].float()

    rows = logits(prompt)
    logprobs = torch.log_softmax(rows, -1)
    greedy, ids = [], list(prompt)
    for step in range(steps):
        last = rows[-1] if step == 0 else logits(ids)[-1]
        values, order = torch.topk(last, min(TOP, len(last)))
        top = torch.log_softmax(last, -1)[order]
        greedy.append({"id": int(order[0]), "margin": float(values[0] - values[1]), "top_ids": order.tolist(),
                       "top_logprobs": top.tolist()})
        ids.append(int(order[0]))
    return {"prompt_ids": prompt, "last_logits": rows[-1].tolist(),
            "prompt_logprobs": [float(logprobs[i, token]) for i, token in enumerate(prompt[1:])], "greedy": greedy}


def read(model_class, folder, dtype):
    # Experts one by one: torch's grouped product takes only widths that suit it.
    eager = dict(attn_implementation="eager", experts_implementation="eager")
    return model_class.from_pretrained(folder, dtype=dtype, **eager).eval()


def bfloat16_distances(model_class, folder, cases):
    """How far rounding alone takes the reference from itself: deep random models, and those with experts, whose routing
    it turns, go past any fixed limit. The largest relative L2 of last logits, and the largest difference of the
    log-probabilities of prompt tokens and of each step's most probable ones."""
    model = read(model_class, folder, torch.bfloat16)
    fix_dynamic_rope(model)
    logits, logprobs = [], []
    for item in cases:
        prompt, greedy = item["prompt_ids"], item["greedy"]
        with torch.no_grad():
            ids = torch.tensor([prompt + [step["id"] for step in greedy[:-1]]])
            rows = model(ids, use_cache=False).logits[0].float()
        last, expected = rows[len(prompt) - 1], torch.tensor(item["last_logits"])
        logits.append(float((last - expected).norm() / expected.norm()))
        rows = torch.log_softmax(rows, -1)
        wanted = [(i, [token], [value]) for i, (token, value) in enumerate(zip(prompt[1:], item["prompt_logprobs"]))]
        wanted += [(len(prompt) - 1 + i, step["top_ids"], step["top_logprobs"]) for i, step in enumerate(greedy)]
        logprobs += [float((rows[row, tokens] - torch.tensor(values)).abs().max()) for row, tokens, values in wanted]
    return {"bfloat16_distance": max(logits), "bfloat16_logprobs": max(logprobs)}


def rewrite_to_old_form(folder):
    path = folder / "config.json"
    config = json.loads(path.read_text())
    rope = config.pop("rope_parameters")
    config["rope_theta"] = rope.pop("rope_theta")
    kind = rope.pop("rope_type")
    # Both names of the kind were in use.
    name = "type" if len(folder.name) % 2 else "rope_type"
    config["rope_scaling"] = None if kind == "default" else {name: kind, **rope}
    config["torch_dtype"] = config.pop("dtype")
    config.pop("layer_types", None)
    if config.get("head_dim") == config["hidden_size"] // config["num_attention_heads"] \
            and config["model_type"] != "qwen3":
        del config["head_dim"]
    config["transformers_version"] = "4.51.0"
    path.write_text(json.dumps(config, indent=2) + "\n")


def drop_keys(folder, keys):
    path = folder / "config.json"
    config = json.loads(path.read_text())
    path.write_text(json.dumps({key: value for key, value in config.items() if key not in keys}, indent=2) + "\n")


def rounded(value):
    if isinstance(value, float):
        return float(f"{value:.7g}")
    if isinstance(value, dict):
        return {key: rounded(item) for key, item in value.items()}
    return [rounded(item) for item in value] if isinstance(value, list) else value


def make(shape, folder):
    shutil.rmtree(folder, ignore_errors=True)
    generator = torch.Generator().manual_seed(sum(shape.name.encode()))
    config_class, model_class = FAMILIES[shape.family]
    # transformers changes the dictionaries that it is given
    config = config_class(**json.loads(json.dumps(shape.members)))
    config._attn_implementation = "eager"
    model = model_class(config).eval()
    randomise(model, generator)
    model.to(getattr(torch, shape.dtype)).save_pretrained(
        folder, max_shard_size=shape.shard, save_original_format=not shape.fused)
    (folder / "generation_config.json").unlink(missing_ok=True)
    if shape.old:
        rewrite_to_old_form(folder)
    drop_keys(folder, shape.drop)
    # Read back, because the rotary frequencies were rounded too, and so that the reference reads this config.json.
    model = read(model_class, folder, torch.float32)
    config = model.config
    fix_dynamic_rope(model)

    lengths, steps = (FIXTURE_PROMPT_LENGTHS, FIXTURE_STEPS) if shape.fixture else (shape.lengths, STEPS)
    cases = [case(model, torch.randint(0, config.vocab_size, (length,), generator=generator).tolist(), steps)
             for length in lengths]
    distances = bfloat16_distances(model_class, folder, cases)
    if shape.fixture:
        for step in [step for item in cases for step in item["greedy"]]:
            del step["top_ids"], step["top_logprobs"]
    golden = {"engine": f"transformers {transformers.__version__} float32 eager", "cases": rounded(cases),
              **rounded(distances)}
    (folder / "golden.json").write_text(json.dumps(golden, separators=(",", ":")) + "\n")
    last = torch.tensor(cases[-1]["last_logits"])
    print(f"{shape.name}: {sum(p.numel() for p in model.parameters())} parameters, logits' deviation {last.std():.2f}")


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=pathlib.Path)
    parser.add_argument("--fixtures", action="store_true", help="only the shapes that the repository keeps")
    parser.add_argument("--only", default="", help="only shapes with this in their name")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    for shape in SHAPES:
        if (shape.fixture or not arguments.fixtures) and arguments.only in shape.name:
            make(shape, arguments.folder / shape.name)


if __name__ == "__main__":
    main()
