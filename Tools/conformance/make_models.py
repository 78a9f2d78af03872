#!/usr/bin/env python3
"""Makes tiny random checkpoints of many shapes, and what Hugging Face transformers computes with each.

    make_models.py FOLDER             all of shapes.py
    make_models.py --fixtures FOLDER  only those that the repository keeps (FOLDER is Tests/Fixtures/models)
    make_models.py --random N FOLDER  N drawn ones instead; --seed draws others

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
import re
import shutil

import safetensors.torch
import torch
import transformers
from transformers import (
    Gemma2Config, Gemma2ForCausalLM, Gemma3Config, Gemma3ForCausalLM, Gemma3ForConditionalGeneration, Gemma3TextConfig,
    LlamaConfig, LlamaForCausalLM, MistralConfig, MistralForCausalLM, Olmo2Config, Olmo2ForCausalLM, Olmo3Config,
    Olmo3ForCausalLM, Phi3Config, Phi3ForCausalLM, Qwen2Config, Qwen2ForCausalLM, Qwen3Config, Qwen3ForCausalLM,
    Qwen3MoeConfig, Qwen3MoeForCausalLM, SmolLM3Config, SmolLM3ForCausalLM)

from shapes import SHAPES, random_shapes

FAMILIES = {
    "qwen3": (Qwen3Config, Qwen3ForCausalLM), "qwen2": (Qwen2Config, Qwen2ForCausalLM),
    "qwen3-moe": (Qwen3MoeConfig, Qwen3MoeForCausalLM),
    "llama": (LlamaConfig, LlamaForCausalLM), "mistral": (MistralConfig, MistralForCausalLM),
    "gemma2": (Gemma2Config, Gemma2ForCausalLM), "gemma3": (Gemma3TextConfig, Gemma3ForCausalLM),
    "gemma3-vision": (Gemma3Config, Gemma3ForConditionalGeneration), "phi3": (Phi3Config, Phi3ForCausalLM),
    "smollm3": (SmolLM3Config, SmolLM3ForCausalLM), "olmo2": (Olmo2Config, Olmo2ForCausalLM),
    "olmo3": (Olmo3Config, Olmo3ForCausalLM)}
FIXTURE_PROMPT_LENGTHS = (1, 70, 130)
STEPS, FIXTURE_STEPS, TOP = 16, 8, 20


def randomise(model, generator):
    """Weights that a wrong kernel can't hide behind: logits and attention have a spread, norms and biases matter."""
    config = model.config.get_text_config()
    hidden = config.hidden_size
    # Gemma's norms are stored less one.
    center = 0 if config.model_type.startswith("gemma") else 1
    with torch.no_grad():
        for name, weight in model.named_parameters():
            noise = torch.randn(weight.shape, generator=generator)
            if name.endswith("norm.weight"):
                weight.copy_(center + 0.3 * noise)
            elif name.endswith(".bias"):
                weight.copy_(0.5 * noise)
            elif name == "lm_head.weight" or (name.endswith("embed_tokens.weight")
                                              and config.tie_word_embeddings):
                weight.copy_(3 / math.sqrt(hidden) * noise)
            elif name.endswith("embed_tokens.weight"):
                weight.copy_(noise)
            elif name.endswith("mlp.gate.weight"):
                # A router that is sure of itself: rounding is not to send tokens elsewhere.
                weight.copy_(4 / math.sqrt(hidden) * noise)
            else:  # the last dimension is the inputs', of all experts in one tensor too
                weight.copy_(1.3 / math.sqrt(weight.shape[-1]) * noise)


def fix_rope(model):
    """Angles as an engine must have them that caches rotated keys: one set for all lengths, that of the longest.

    Written from the formula: with factor f, trained length M and served length L = f M, the base is multiplied by
    (f L / M - (f - 1)) ^ (d / (d - 2)). transformers uses the present length for L, up to M the plain base.
    longrope: the long factors where M is above the original length; transformers goes by the present length.
    """
    config = model.config.get_text_config()
    kind = config.rope_parameters.get("rope_type")
    if kind == "longrope":
        fix_longrope(config, model.model.rotary_emb)
    if kind != "dynamic":
        return
    parameters, embedding = config.rope_parameters, model.model.rotary_emb
    factor, trained = parameters["factor"], config.max_position_embeddings
    width = getattr(config, "head_dim", None) or config.hidden_size // config.num_attention_heads
    stretch = factor * (factor * trained) / trained - (factor - 1)
    base = parameters["rope_theta"] * stretch ** (width / (width - 2))
    embedding.inv_freq = 1.0 / base ** (torch.arange(0, width, 2, dtype=torch.float) / width)
    embedding.rope_type = "default"


def fix_longrope(config, embedding):
    parameters = config.rope_parameters
    if config.max_position_embeddings > parameters["original_max_position_embeddings"]:
        width = getattr(config, "head_dim", None) or config.hidden_size // config.num_attention_heads
        width = int(width * parameters.get("partial_rotary_factor", 1.0))
        waves = parameters["rope_theta"] ** (torch.arange(0, width, 2, dtype=torch.float) / width)
        embedding.inv_freq = 1.0 / (torch.tensor(parameters["long_factor"]) * waves)
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
    fix_rope(model)
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
    whole = json.loads(path.read_text())
    config = whole.get("text_config", whole)
    rope = config.pop("rope_parameters")
    if "full_attention" in rope:
        if config["model_type"] != "olmo3":
            config["rope_local_base_freq"] = rope["sliding_attention"]["rope_theta"]
        rope = rope["full_attention"]
    config["rope_theta"] = rope.pop("rope_theta")
    if "partial_rotary_factor" in rope:
        config["partial_rotary_factor"] = rope.pop("partial_rotary_factor")
    if "_sliding_window_pattern" in config:
        config["sliding_window_pattern"] = config.pop("_sliding_window_pattern")
    kind = rope.pop("rope_type")
    # Both names of the kind were in use; transformers takes no notice of the older one where
    # each type of layer has its rope.
    name = "type" if len(folder.name) % 2 and not config["model_type"].startswith(("gemma3", "olmo3")) else "rope_type"
    config["rope_scaling"] = None if kind == "default" else {name: kind, **rope}
    whole["torch_dtype"] = whole.pop("dtype")
    config.pop("dtype", None)
    config.pop("layer_types", None)
    if config.get("head_dim") == config["hidden_size"] // config["num_attention_heads"] \
            and config["model_type"] not in ("qwen3", "gemma2", "gemma3_text"):
        del config["head_dim"]
    whole["transformers_version"] = "4.51.0"
    path.write_text(json.dumps(whole, indent=2) + "\n")


def drop_keys(folder, keys):
    path = folder / "config.json"
    whole = json.loads(path.read_text())
    config = whole.get("text_config", whole)
    for key in keys:
        config.pop(key, None)
    path.write_text(json.dumps(whole, indent=2) + "\n")


def rename_as_modules(folder):
    """Tensors of a folder that can see, by the names that they have in the code: save_pretrained writes older ones."""
    tensors = safetensors.torch.load_file(folder / "model.safetensors")
    names = {name: re.sub(r"^(vision_tower|multi_modal_projector)", r"model.\1", re.sub(
        r"^language_model\.model\.", "model.language_model.", name)) for name in tensors}
    safetensors.torch.save_file({names[name]: tensor for name, tensor in tensors.items()},
                                folder / "model.safetensors", {"format": "pt"})


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
    if shape.family == "gemma3-vision" and shape.old:
        rename_as_modules(folder)
    drop_keys(folder, shape.drop)
    # Read back, because the rotary frequencies were rounded too, and so that the reference reads this config.json.
    model = read(model_class, folder, torch.float32)
    config = model.config.get_text_config()
    fix_rope(model)

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
    parser.add_argument("--random", type=int, default=0, metavar="N", help="draw this many shapes instead")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--only", default="", help="only shapes with this in their name")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    for shape in random_shapes(arguments.random, arguments.seed) if arguments.random else SHAPES:
        if (shape.fixture or not arguments.fixtures) and arguments.only in shape.name:
            make(shape, arguments.folder / shape.name)


if __name__ == "__main__":
    main()
