"""Makes the model that all engines load: Qwen3-0.6B's shape with random bf16 weights.

Run by compare.py inside the `tools` environment (numpy, gguf):
    make_model.py hf DIR            a Hugging Face directory: safetensors, configs, tokenizer
    make_model.py gguf DIR FILE     that directory as a bf16 GGUF for llama.cpp

Invariant: the seed is fixed, so every run on every machine makes the same weights, and both forms hold the same bits.
"""

import json
import math
import os
import struct
import sys

LAYERS, HIDDEN, FFN, HEADS, KV_HEADS, HEAD_DIM, VOCABULARY = 28, 1024, 3072, 16, 8, 128, 151_936
END_OF_TEXT = 151_643

CONFIG = {
    "architectures": ["Qwen3ForCausalLM"],
    "attention_bias": False,
    "attention_dropout": 0.0,
    "bos_token_id": END_OF_TEXT,
    "eos_token_id": END_OF_TEXT,
    "head_dim": HEAD_DIM,
    "hidden_act": "silu",
    "hidden_size": HIDDEN,
    "initializer_range": 0.02,
    "intermediate_size": FFN,
    "max_position_embeddings": 40960,
    "max_window_layers": LAYERS,
    "model_type": "qwen3",
    "num_attention_heads": HEADS,
    "num_hidden_layers": LAYERS,
    "num_key_value_heads": KV_HEADS,
    "rms_norm_eps": 1e-6,
    "rope_scaling": None,
    "rope_theta": 1_000_000,
    "sliding_window": None,
    "tie_word_embeddings": True,
    "torch_dtype": "bfloat16",
    "use_cache": True,
    "use_sliding_window": False,
    "vocab_size": VOCABULARY,
}

# Qwen's rule for words, as in its published tokenizer.json.
WORDS = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
)
SPECIAL = ["<|endoftext|>", "<|im_start|>", "<|im_end|>"]


def tensors():
    """Name, shape and whether it is a norm, in the file's order."""
    yield "model.embed_tokens.weight", (VOCABULARY, HIDDEN), False
    for layer in range(LAYERS):
        name = f"model.layers.{layer}."
        yield name + "input_layernorm.weight", (HIDDEN,), True
        yield name + "self_attn.q_proj.weight", (HEADS * HEAD_DIM, HIDDEN), False
        yield name + "self_attn.k_proj.weight", (KV_HEADS * HEAD_DIM, HIDDEN), False
        yield name + "self_attn.v_proj.weight", (KV_HEADS * HEAD_DIM, HIDDEN), False
        yield name + "self_attn.q_norm.weight", (HEAD_DIM,), True
        yield name + "self_attn.k_norm.weight", (HEAD_DIM,), True
        yield name + "self_attn.o_proj.weight", (HIDDEN, HEADS * HEAD_DIM), False
        yield name + "post_attention_layernorm.weight", (HIDDEN,), True
        yield name + "mlp.gate_proj.weight", (FFN, HIDDEN), False
        yield name + "mlp.up_proj.weight", (FFN, HIDDEN), False
        yield name + "mlp.down_proj.weight", (HIDDEN, FFN), False
    yield "model.norm.weight", (HIDDEN,), True


def bfloat16(values):
    """float32 to bf16 bits, to nearest even."""
    import numpy as np

    bits = values.astype(np.float32).view(np.uint32)
    return ((bits + 0x7FFF + ((bits >> 16) & 1)) >> 16).astype(np.uint16)


def write_weights(path):
    import numpy as np

    header, offset = {"__metadata__": {"format": "pt"}}, 0
    for name, shape, _ in tensors():
        size = 2 * math.prod(shape)
        header[name] = {"dtype": "BF16", "shape": list(shape), "data_offsets": [offset, offset + size]}
        offset += size
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)
    generator = np.random.Generator(np.random.PCG64(0))
    with open(path, "wb") as file:
        file.write(struct.pack("<Q", len(text)))
        file.write(text)
        for _, shape, is_norm in tensors():
            values = generator.standard_normal(shape, dtype=np.float32)
            file.write(bfloat16(1 + 0.05 * values if is_norm else 0.02 * values).tobytes())


def byte_letters():
    """GPT-2's printable stand-ins for the 256 bytes."""
    plain = [*range(33, 127), *range(161, 173), *range(174, 256)]
    letters, extra = {byte: chr(byte) for byte in plain}, 0
    for byte in range(256):
        if byte not in letters:
            letters[byte] = chr(256 + extra)
            extra += 1
    return [letters[byte] for byte in sorted(letters)]


def vocabulary():
    """As many tokens and merges as Qwen3 has: all words of 2 and 3 letters, then of 4."""
    tokens, merges = byte_letters(), []
    alphabet = "abcdefghijklmnopqrstuvwxyz"
    level = list(alphabet)
    while len(tokens) < END_OF_TEXT:
        longer = []
        for word in level:
            for letter in alphabet:
                if len(tokens) == END_OF_TEXT:
                    return tokens, merges
                longer.append(word + letter)
                tokens.append(word + letter)
                merges.append(f"{word} {letter}")
        level = longer
    return tokens, merges


def write_tokenizer(folder):
    tokens, merges = vocabulary()
    added = [
        {"id": END_OF_TEXT + place, "content": text, "special": True, "normalized": False, "lstrip": False,
         "rstrip": False, "single_word": False}
        for place, text in enumerate(SPECIAL)
    ]  # fmt: skip
    byte_level = {"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": False, "use_regex": False}
    split = {"type": "Split", "pattern": {"Regex": WORDS}, "behavior": "Isolated", "invert": False}
    tokenizer = {
        "version": "1.0",
        "truncation": None,
        "padding": None,
        "added_tokens": added,
        "normalizer": {"type": "NFC"},
        "pre_tokenizer": {"type": "Sequence", "pretokenizers": [split, byte_level]},
        "post_processor": byte_level,
        "decoder": byte_level,
        "model": {
            "type": "BPE", "dropout": None, "unk_token": None, "continuing_subword_prefix": "",
            "end_of_word_suffix": "", "fuse_unk": False, "byte_fallback": False, "ignore_merges": False,
            "vocab": {token: place for place, token in enumerate(tokens)}, "merges": merges,
        },
    }  # fmt: skip
    write_json(folder, "tokenizer.json", tokenizer)
    described = {str(item["id"]): {key: item[key] for key in item if key != "id"} for item in added}
    write_json(
        folder,
        "tokenizer_config.json",
        {
            "added_tokens_decoder": described, "bos_token": None, "eos_token": SPECIAL[0], "pad_token": SPECIAL[0],
            "unk_token": None, "clean_up_tokenization_spaces": False, "model_max_length": 40960,
            "tokenizer_class": "PreTrainedTokenizerFast",
        },  # fmt: skip
    )


def write_json(folder, name, value):
    with open(os.path.join(folder, name), "w", encoding="utf-8") as file:
        json.dump(value, file, ensure_ascii=False, indent=None if name == "tokenizer.json" else 1)


def make_shape(folder):
    """All but the weights, for `--load-format dummy`: nothing but the standard library is needed."""
    os.makedirs(folder, exist_ok=True)
    write_json(folder, "config.json", CONFIG)
    write_json(folder, "generation_config.json", {"eos_token_id": END_OF_TEXT, "pad_token_id": END_OF_TEXT})
    write_tokenizer(folder)


def make_directory(folder):
    make_shape(folder)
    write_weights(os.path.join(folder, "model.safetensors"))


# MARK: GGUF

GGUF_NAMES = {
    "model.embed_tokens.weight": "token_embd.weight",
    "model.norm.weight": "output_norm.weight",
    "input_layernorm": "attn_norm",
    "self_attn.q_proj": "attn_q",
    "self_attn.k_proj": "attn_k",
    "self_attn.v_proj": "attn_v",
    "self_attn.q_norm": "attn_q_norm",
    "self_attn.k_norm": "attn_k_norm",
    "self_attn.o_proj": "attn_output",
    "post_attention_layernorm": "ffn_norm",
    "mlp.gate_proj": "ffn_gate",
    "mlp.up_proj": "ffn_up",
    "mlp.down_proj": "ffn_down",
}


def gguf_name(name):
    if name in GGUF_NAMES:
        return GGUF_NAMES[name]
    _, _, layer, rest = name.split(".", 3)
    return f"blk.{layer}.{GGUF_NAMES[rest.removesuffix('.weight')]}.weight"


def make_gguf(folder, path):
    import gguf
    import numpy as np

    writer = gguf.GGUFWriter(path, "qwen3")
    writer.add_name("Random weights of Qwen3-0.6B's shape")
    writer.add_file_type(gguf.LlamaFileType.MOSTLY_BF16)
    writer.add_context_length(CONFIG["max_position_embeddings"])
    writer.add_embedding_length(HIDDEN)
    writer.add_block_count(LAYERS)
    writer.add_feed_forward_length(FFN)
    writer.add_head_count(HEADS)
    writer.add_head_count_kv(KV_HEADS)
    writer.add_key_length(HEAD_DIM)
    writer.add_value_length(HEAD_DIM)
    writer.add_rope_freq_base(CONFIG["rope_theta"])
    writer.add_layer_norm_rms_eps(CONFIG["rms_norm_eps"])
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre("qwen2")
    tokens, merges = vocabulary()
    kinds = [gguf.TokenType.NORMAL] * len(tokens) + [gguf.TokenType.CONTROL] * len(SPECIAL)
    unused = [f"[PAD{place}]" for place in range(len(tokens) + len(SPECIAL), VOCABULARY)]
    writer.add_token_list(tokens + SPECIAL + unused)
    writer.add_token_types(kinds + [gguf.TokenType.UNUSED] * len(unused))
    writer.add_token_merges(merges)
    writer.add_eos_token_id(END_OF_TEXT)
    writer.add_pad_token_id(END_OF_TEXT)
    writer.add_add_bos_token(False)

    source = os.path.join(folder, "model.safetensors")
    with open(source, "rb") as file:
        size = struct.unpack("<Q", file.read(8))[0]
        header = json.loads(file.read(size))
    for name, shape, is_norm in tensors():
        start = 8 + size + header[name]["data_offsets"][0]
        bits = np.memmap(source, dtype=np.uint16, mode="r", offset=start, shape=shape)
        if is_norm:
            writer.add_tensor(gguf_name(name), (bits.astype(np.uint32) << 16).view(np.float32))
        else:
            data = bits.view(np.uint8)  # rows of bytes, as gguf wants a raw type
            writer.add_tensor(gguf_name(name), data, raw_dtype=gguf.GGMLQuantizationType.BF16)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


if __name__ == "__main__":
    if sys.argv[1] == "hf":
        make_directory(sys.argv[2])
    else:
        make_gguf(sys.argv[2], sys.argv[3])
