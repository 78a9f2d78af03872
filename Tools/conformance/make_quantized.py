#!/usr/bin/env python3
"""Makes tiny folders of quantised weights, and what transformers computes with the same weights expanded.

    make_quantized.py FOLDER    (FOLDER is Tests/Fixtures/quantized)

Needs torch, transformers and compressed-tensors (made with torch 2.13.0, transformers 5.23.0, compressed-tensors
0.20.1). Folders of compressed-tensors are written by that library and read back by transformers. AWQ's and GPTQ's
tools need a GPU: their layouts are written here, from what AutoAWQ 0.2 (WQLinear_GEMM) and AutoGPTQ 0.7 (QuantLinear)
store; --check compares with those classes where their wheels are unpacked. golden.json: `cases[]` of `prompt_ids` and
`last_logits`, float32, of the expanded weights.
"""

import argparse
import importlib.util
import json
import math
import pathlib
import shutil
import sys
import types

import numpy as np
import torch
import transformers
from safetensors.torch import save_file
from transformers import AutoModelForCausalLM, Qwen2Config, Qwen2ForCausalLM, Qwen3Config, Qwen3ForCausalLM

PROMPT_LENGTHS = (1, 40, 90)
AWQ_IMPORTS = {"awq": [], "awq.utils": [], "awq.utils.module": ["try_import"], "awq.utils.utils": ["get_best_device"],
               "awq.utils.packing_utils": ["dequantize_gemm"], "awq.modules": [], "awq.modules.triton": [],
               "awq.modules.triton.gemm": ["awq_gemm_triton", "awq_dequantize_triton"]}
FAMILIES = {"qwen3": (Qwen3Config, Qwen3ForCausalLM), "qwen2": (Qwen2Config, Qwen2ForCausalLM)}


def base(family, hidden, intermediate, seed):
    config_class, model_class = FAMILIES[family]
    config = config_class(
        hidden_size=hidden, intermediate_size=intermediate, num_hidden_layers=1, num_attention_heads=4,
        num_key_value_heads=2, head_dim=hidden // 4, vocab_size=61, max_position_embeddings=256,
        tie_word_embeddings=True, rope_parameters={"rope_type": "default", "rope_theta": 10000.0}, eos_token_id=1)
    config._attn_implementation = "eager"
    model, generator = model_class(config).eval(), torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for name, weight in model.named_parameters():
            noise = torch.randn(weight.shape, generator=generator)
            if name.endswith("norm.weight"):
                weight.copy_(1 + 0.3 * noise)
            elif name.endswith(".bias"):
                weight.copy_(0.5 * noise)
            elif name.endswith("embed_tokens.weight"):
                weight.copy_(3 / math.sqrt(hidden) * noise)
            else:
                weight.copy_(1.3 / math.sqrt(weight.shape[1]) * noise)
    return model, generator


def linears(model):
    return [(name, module) for name, module in model.model.named_modules(prefix="model")
            if isinstance(module, torch.nn.Linear)]


def plain(model, skipped, dtype):
    return {name: weight.detach().to(dtype).contiguous() for name, weight in model.state_dict().items()
            if name != "lm_head.weight" and not any(name == f"{module}.weight" for module in skipped)}


# --- Four bits ----------------------------------------------------------------------------------------------

def quantise(weight, groups_of_columns, group_count, has_zeros):
    """Integers [rows, columns], scales and zero points [rows, groups] by the extremes of each group."""
    rows, columns = weight.shape
    scales, zeros = torch.zeros(rows, group_count), torch.zeros(rows, group_count)
    for group in range(group_count):
        part = weight[:, groups_of_columns == group]
        low, high = part.min(1).values.clamp(max=0), part.max(1).values.clamp(min=0)
        if has_zeros:
            scales[:, group] = ((high - low) / 15).half().float()
            zeros[:, group] = (-low / scales[:, group]).round().clamp(1, 15)
        else:
            scales[:, group] = (torch.maximum(high, -low) / 7).half().float()
            zeros[:, group] = 8
    per_column = groups_of_columns.long()
    integers = (weight / scales[:, per_column] + zeros[:, per_column]).round().clamp(0, 15)
    values = (integers - zeros[:, per_column]) * scales[:, per_column]
    return integers.int(), scales, zeros.int(), values


def words(values, order):
    """[n, m] of four-bit integers to [n, m / 8] words, the one at 8 k + order[i] in nibble i."""
    values = values.numpy().astype(np.uint32)
    result = np.zeros((values.shape[0], values.shape[1] // 8), np.uint32)
    for nibble, place in enumerate(order):
        result |= values[:, place::8] << np.uint32(4 * nibble)
    return torch.from_numpy(result.astype(np.int32))


def awq_tensors(integers, scales, zeros):
    order = (0, 2, 4, 6, 1, 3, 5, 7)
    return {"qweight": words(integers.T, order), "qzeros": words(zeros.T, order), "scales": scales.T.contiguous().half()}


def gptq_tensors(integers, scales, zeros, groups_of_columns):
    order = range(8)
    return {"qweight": words(integers, order).T.contiguous(), "qzeros": words(zeros.T - 1, order),
            "scales": scales.T.contiguous().half(), "g_idx": groups_of_columns.int()}


def write_auto(folder, arguments, method, group, has_zeros, acts, seed):
    model, generator = base("qwen3" if method == "awq" else "qwen2", 128, 128, seed)
    skipped, tensors = [], {}
    for name, module in linears(model):
        columns = module.weight.shape[1]
        groups_of_columns = torch.arange(columns) // group
        if acts:
            # Matrices with the same input have the same order, as measured activations give it.
            kind = "in" if name.endswith(("q_proj", "k_proj", "v_proj")) else \
                "mlp" if name.endswith(("gate_proj", "up_proj")) else name
            shuffle = torch.Generator().manual_seed(sum(kind.encode()))
            groups_of_columns = groups_of_columns[torch.randperm(columns, generator=shuffle)]
        integers, scales, zeros, values = quantise(
            module.weight.detach(), groups_of_columns, columns // group, has_zeros)
        stored = awq_tensors(integers, scales, zeros) if method == "awq" else \
            gptq_tensors(integers, scales, zeros, groups_of_columns)
        if arguments.check:
            check(arguments.check, method, module, group, scales, zeros, values, groups_of_columns, stored)
        tensors.update({f"{name}.{key}": value for key, value in stored.items()})
        module.weight.data.copy_(values)
        skipped.append(name)
    tensors.update(plain(model, skipped, torch.float16))
    if method == "awq":
        description = {"quant_method": "awq", "bits": 4, "group_size": group, "zero_point": True, "version": "gemm",
                       "modules_to_not_convert": None}
    else:
        description = {"quant_method": "gptq", "bits": 4, "group_size": group, "desc_act": acts, "sym": not has_zeros,
                       "damp_percent": 0.01, "static_groups": False, "true_sequential": True, "lm_head": False,
                       "checkpoint_format": "gptq"}
    write(folder, model, tensors, description, "float16")
    for name, parameter in model.named_parameters():
        if not any(name == f"{module}.weight" for module in skipped):
            parameter.data.copy_(parameter.data.half().float())
    write_golden(folder, model, generator)


def check(wheels, method, module, group, scales, zeros, values, groups_of_columns, stored):
    """The same from the tools' own classes; `values` are what the integers stand for, so rounding finds them again."""
    linear = torch.nn.Linear(module.in_features, module.out_features, bias=False)
    linear.weight.data = values.clone()
    for missing in ("autogptq_cuda_256", "autogptq_cuda_64", "awq_ext"):
        sys.modules.setdefault(missing, None)
    if method == "awq":
        # What the class imports is for its products.
        for package, names in AWQ_IMPORTS.items():
            stub = sys.modules.setdefault(package, types.ModuleType(package))
            for missing in names:
                setattr(stub, missing, (lambda *_: "cpu") if "device" in missing else lambda *_: (None, ""))
        source = load(wheels / "awq/modules/linear/gemm.py")
        theirs = source.WQLinear_GEMM.from_linear(linear, 4, group, scales=scales.T.contiguous(),
                                                  zeros=zeros.T.contiguous())
        expected = {"qweight": theirs.qweight, "qzeros": theirs.qzeros, "scales": theirs.scales}
    else:
        source = load(wheels / "auto_gptq/nn_modules/qlinear/qlinear_cuda.py")
        theirs = source.QuantLinear(4, group, module.in_features, module.out_features, False)
        theirs.pack(linear, scales.clone(), zeros.clone().float(), groups_of_columns.int())
        expected = {"qweight": theirs.qweight, "qzeros": theirs.qzeros, "scales": theirs.scales, "g_idx": theirs.g_idx}
    for key, value in expected.items():
        assert torch.equal(value, stored[key]), (method, key)
    print("checked", method, tuple(module.weight.shape))


def load(path):
    spec = importlib.util.spec_from_file_location(path.stem, path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


# --- compressed-tensors -------------------------------------------------------------------------------------

def write_compressed(folder, weights, activations, format, seed):
    from compressed_tensors.compressors import BaseCompressor
    from compressed_tensors.quantization import QuantizationArgs, QuantizationScheme

    is_int4 = weights["num_bits"] == 4
    model, generator = base("qwen3", 128 if is_int4 else 64, 128 if is_int4 else 160, seed)
    model.to(torch.bfloat16)
    arguments = QuantizationArgs(**weights)
    scheme = QuantizationScheme(targets=["Linear"], weights=arguments,
                                input_activations=QuantizationArgs(**activations) if activations else None)
    compressor = BaseCompressor.get_value_from_registry(format)
    skipped, tensors, expanded = [], {}, {}
    for name, module in linears(model):
        weight = module.weight.detach()
        group = weights.get("group_size") or weight.shape[1]
        parts = weight.float().reshape(weight.shape[0], -1, group)
        low, high = parts.amin(-1).clamp(max=0), parts.amax(-1).clamp(min=0)
        bits = weights["num_bits"]
        zero_point = torch.zeros(low.shape, dtype=torch.int8)
        if weights["type"] == "float":
            scale = torch.maximum(high, -low) / 448
        elif weights["symmetric"]:
            scale = torch.maximum(high, -low) / ((2 ** bits - 1) / 2)
        else:
            scale = (high - low) / (2 ** bits - 1)
            zero_point = (-low / scale - 2 ** (bits - 1)).round().clamp(-2 ** (bits - 1), 2 ** (bits - 1) - 1).char()
        state = {"weight": weight, "weight_scale": scale.to(torch.bfloat16)}
        if weights["type"] == "int":
            state["weight_zero_point"] = zero_point
        stored = compressor.compress(state, scheme)
        tensors.update({f"{name}.{key}": value.contiguous() for key, value in stored.items()})
        # With float32 scales the library's product is not rounded.
        wide = dict(stored, weight_scale=stored["weight_scale"].float())
        expanded[f"{name}.weight"] = compressor.decompress(wide, scheme)["weight"].float()
        skipped.append(name)
    tensors.update(plain(model, skipped, torch.bfloat16))
    group = {"targets": ["Linear"], "weights": weights, "input_activations": activations, "output_activations": None,
             "format": format}
    description = {"quant_method": "compressed-tensors", "format": format, "quantization_status": "compressed",
                   "ignore": ["lm_head"], "kv_cache_scheme": None, "config_groups": {"group_0": group}}
    write(folder, model, tensors, description, "bfloat16")
    # Activations are left as they are: only weights are compared.
    reference = fresh(model, {**model.state_dict(), **expanded})
    distance = max(float((a - b).norm() / b.norm()) for a, b in zip(
        read_expanded(folder).state_dict().values(), reference.state_dict().values()))
    assert distance < 4e-3, distance  # transformers rounds the products to bfloat16
    write_golden(folder, reference, generator)


def fresh(model, tensors):
    """The same model in float32: its rotary frequencies were not rounded to another type."""
    config = model.config
    config.dtype = torch.float32
    result = type(model)(config).float().eval()
    result.load_state_dict({name: value.float() for name, value in tensors.items()})
    return result


def read_expanded(folder):
    from transformers import CompressedTensorsConfig
    model = AutoModelForCausalLM.from_pretrained(
        folder, dtype=torch.float32, attn_implementation="eager",
        quantization_config=CompressedTensorsConfig(dequantize=True)).eval()
    names = FAMILIES[model.config.model_type][1](model.config).state_dict()
    return fresh(FAMILIES[model.config.model_type][1](model.config),
                 {name: value for name, value in model.state_dict().items() if name in names})


# --- Blocks of fp8 ------------------------------------------------------------------------------------------

def write_blocks(folder, block, seed):
    model, generator = base("qwen3", 64, 160, seed)
    model.to(torch.bfloat16).float()
    skipped, tensors = [], {}
    for name, module in linears(model):
        weight = module.weight.detach()
        rows, columns = weight.shape
        scales = torch.zeros(-(-rows // block), -(-columns // block))
        stored = torch.zeros(rows, columns, dtype=torch.float8_e4m3fn)
        for down in range(scales.shape[0]):
            for along in range(scales.shape[1]):
                place = (slice(down * block, (down + 1) * block), slice(along * block, (along + 1) * block))
                scales[down, along] = weight[place].abs().max() / 448
                stored[place] = (weight[place] / scales[down, along]).to(torch.float8_e4m3fn)
                module.weight.data[place] = stored[place].float() * scales[down, along]
        tensors.update({f"{name}.weight": stored, f"{name}.weight_scale_inv": scales})
        skipped.append(name)
    tensors.update(plain(model, skipped, torch.bfloat16))
    write(folder, model, tensors, {"quant_method": "fp8", "fmt": "e4m3", "activation_scheme": "dynamic",
                                   "weight_block_size": [block, block]}, "bfloat16")
    write_golden(folder, fresh(model, model.state_dict()), generator)


# --- Folders ------------------------------------------------------------------------------------------------

def write(folder, model, tensors, description, dtype):
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    config = model.config.to_dict()
    config = {key: config[key] for key in (
        "architectures", "model_type", "hidden_size", "intermediate_size", "num_hidden_layers", "num_attention_heads",
        "num_key_value_heads", "head_dim", "vocab_size", "max_position_embeddings", "rms_norm_eps",
        "tie_word_embeddings", "rope_parameters", "eos_token_id") if config.get(key) is not None}
    config["architectures"] = [type(model).__name__]
    config.update(dtype=dtype, quantization_config=description)
    (folder / "config.json").write_text(json.dumps(config, indent=1) + "\n")
    save_file(tensors, folder / "model.safetensors", {"format": "pt"})


def write_golden(folder, model, generator):
    cases = []
    for length in PROMPT_LENGTHS:
        prompt = torch.randint(0, 61, (length,), generator=generator).tolist()
        with torch.no_grad():
            last = model(torch.tensor([prompt]), use_cache=False).logits[0, -1].float()
        cases.append({"prompt_ids": prompt, "last_logits": [float(f"{value:.7g}") for value in last.tolist()]})
    golden = {"engine": f"transformers {transformers.__version__} float32 eager, weights expanded", "cases": cases}
    (folder / "golden.json").write_text(json.dumps(golden, separators=(",", ":")) + "\n")
    size = (folder / "model.safetensors").stat().st_size
    print(f"{folder.name}: {size} bytes, logits' deviation {last.std():.2f}")


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=pathlib.Path)
    parser.add_argument("--check", type=pathlib.Path, help="where AutoAWQ's and AutoGPTQ's wheels are unpacked")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    folder = arguments.folder
    write_auto(folder / "awq-gemm", arguments, "awq", 64, True, False, 1)
    write_auto(folder / "gptq-act-order", arguments, "gptq", 32, True, True, 2)
    integers = {"num_bits": 4, "type": "int", "symmetric": False, "strategy": "group", "group_size": 32}
    write_compressed(folder / "w4a16", integers, None, "pack-quantized", 3)
    channel = {"num_bits": 8, "type": "int", "symmetric": True, "strategy": "channel"}
    token = {"num_bits": 8, "type": "int", "symmetric": True, "strategy": "token", "dynamic": True}
    write_compressed(folder / "w8a8", channel, token, "int-quantized", 4)
    write_compressed(folder / "fp8", dict(channel, type="float"), dict(token, type="float"), "float-quantized", 5)
    write_blocks(folder / "fp8-blocks", 128, 6)


if __name__ == "__main__":
    main()
