"""Write the model in Hugging Face's layout: the five files that the binary embeds.

Weights are bfloat16, one safetensors file whose tensors start at multiples of 64 bytes (the header is
padded with spaces and every tensor here is a multiple of 64 bytes long), the tied head left out. Each
file is written beside its place and renamed, so that a reader never sees half of one.
"""

import json
import os
import struct

import torch

CHAT_TEMPLATE = (
    "{%- for message in messages %}"
    "{{- '<|im_start|>' + message['role'] + '\\n' + message['content'] + '<|im_end|>' + '\\n' }}"
    "{%- endfor %}"
    "{%- if add_generation_prompt %}{{- '<|im_start|>assistant\\n' }}{%- endif %}"
)
SPECIALS = ["<|endoftext|>", "<|im_start|>", "<|im_end|>"]


def safetensors(tensors):
    header, blobs, offset = {"__metadata__": {"format": "pt"}}, [], 0
    for name, tensor in sorted(tensors.items()):
        blob = tensor.to(torch.bfloat16).contiguous().view(torch.int16).numpy().tobytes()
        header[name] = {"dtype": "BF16", "shape": list(tensor.shape), "data_offsets": [offset, offset + len(blob)]}
        blobs.append(blob)
        offset += len(blob)
        assert offset % 64 == 0, name
    text = json.dumps(header, separators=(",", ":")).encode()
    text += b" " * (-(len(text) + 8) % 64)
    return struct.pack("<Q", len(text)) + text + b"".join(blobs)


def model_config(config, ids):
    return {
        "architectures": ["Qwen3ForCausalLM"],
        "model_type": "qwen3",
        "attention_bias": False,
        "attention_dropout": 0.0,
        "bos_token_id": None,
        "eos_token_id": ids["<|im_end|>"],
        "pad_token_id": ids["<|endoftext|>"],
        "hidden_act": "silu",
        "initializer_range": 0.02,
        **config.as_dict(),
        "rope_scaling": None,
        "sliding_window": None,
        "use_sliding_window": False,
        "tie_word_embeddings": True,
        "torch_dtype": "bfloat16",
        "use_cache": True,
    }


def tokenizer_config(ids, length):
    added = {
        str(ids[token]): {"content": token, "lstrip": False, "normalized": False, "rstrip": False,
                          "single_word": False, "special": True}
        for token in SPECIALS
    }
    return {
        "tokenizer_class": "PreTrainedTokenizerFast",
        "add_bos_token": False,
        "add_prefix_space": False,
        "added_tokens_decoder": added,
        "bos_token": None,
        "eos_token": "<|im_end|>",
        "pad_token": "<|endoftext|>",
        "unk_token": None,
        "clean_up_tokenization_spaces": False,
        "model_max_length": length,
        "chat_template": CHAT_TEMPLATE,
    }


def export(model, tokenizer_path, folder):
    os.makedirs(folder, exist_ok=True)
    with open(tokenizer_path, encoding="utf-8") as file:
        tokenizer = json.load(file)
    ids = {entry["content"]: entry["id"] for entry in tokenizer["added_tokens"]}
    generation = {
        "do_sample": True,
        "temperature": 0.7,
        "eos_token_id": [ids["<|im_end|>"], ids["<|endoftext|>"]],
        "pad_token_id": ids["<|endoftext|>"],
    }
    config = model.config

    def text(value, compact=False):
        style = {"separators": (",", ":")} if compact else {"indent": 2}
        return (json.dumps(value, ensure_ascii=False, **style) + "\n").encode()

    files = {
        "config.json": text(model_config(config, ids)),
        "generation_config.json": text(generation),
        "tokenizer.json": text(tokenizer, compact=True),
        "tokenizer_config.json": text(tokenizer_config(ids, config.max_position_embeddings)),
        "model.safetensors": safetensors({n: p.detach() for n, p in model.named_parameters()}),
    }
    for name, data in files.items():
        with open(f"{folder}/{name}.new", "wb") as file:
            file.write(data)
        os.replace(f"{folder}/{name}.new", f"{folder}/{name}")
    size = sum(len(data) for data in files.values())
    assert size < 8_000_000, size
    return size
