"""The shapes that conformance is checked on: one entry per checkpoint, and what to do with its files.

Every entry starts from BASE of its family and changes what its name says. `old` rewrites config.json to the form
before transformers 5 (`rope_theta`, `rope_scaling`, `torch_dtype`, no `layer_types`); `drop` are keys removed from
it, so that the family's defaults count; `shard` is the largest shard; `fused` keeps all experts of a layer in one
tensor.
"""

import random
from dataclasses import dataclass, field

BASE = dict(
    hidden_size=64, num_hidden_layers=2, num_attention_heads=4, num_key_value_heads=2, intermediate_size=96,
    vocab_size=257, max_position_embeddings=512, rms_norm_eps=1e-6, tie_word_embeddings=False, bos_token_id=0,
    eos_token_id=2, pad_token_id=0)


@dataclass
class Shape:
    name: str
    family: str
    changes: dict = field(default_factory=dict)
    dtype: str = "bfloat16"
    old: bool = False
    drop: tuple = ()
    shard: str = "1GB"
    lengths: tuple = (1, 5, 70, 200)
    fixture: bool = False
    fused: bool = False

    @property
    def members(self):
        return self.changes if "text_config" in self.changes else {**BASE, **self.changes}


def heads(query, key_value, dimension, **changes):
    return dict(num_attention_heads=query, num_key_value_heads=key_value, head_dim=dimension, **changes)


def rope(kind, theta=10000.0, **parameters):
    return dict(rope_parameters=dict(rope_type=kind, rope_theta=theta, **parameters))


def experts(count, per_token, width, **changes):
    return dict(num_experts=count, num_experts_per_tok=per_token, moe_intermediate_size=width, **changes)


def per_type(full, sliding=None):
    """Rope of families with one for each type of layer: descriptions without `rope_parameters` around them."""
    return dict(rope_parameters=dict(full_attention=full["rope_parameters"],
                                     sliding_attention=(sliding or rope("default"))["rope_parameters"]))


def longrope(pairs, original=64, **parameters):
    """Factors that rise from pair to pair, the long ones faster."""
    return dict(rope("longrope", short_factor=[1 + 0.02 * i for i in range(pairs)],
                     long_factor=[1 + 0.35 * i for i in range(pairs)], **parameters),
                original_max_position_embeddings=original)


def vision(text):
    """A folder whose language model is one part: the other parts are as small as they can be."""
    return dict(
        text_config=dict(BASE, **text), mm_tokens_per_image=4, tie_word_embeddings=text.get("tie_word_embeddings", True),
        vision_config=dict(hidden_size=16, intermediate_size=16, num_hidden_layers=1, num_attention_heads=2,
                           image_size=16, patch_size=4, vision_use_head=False))


LLAMA3 = dict(factor=8.0, low_freq_factor=1.0, high_freq_factor=4.0)

SHAPES = [
    # Heads: query heads per key head, and their width.
    Shape("qwen3-7to1-d24", "qwen3", heads(7, 1, 24, hidden_size=72, vocab_size=331)),
    Shape("qwen3-8to1-d64-tied", "qwen3", heads(8, 1, 64, hidden_size=56, tie_word_embeddings=True), old=True),
    Shape("qwen3-mha-d40-f32", "qwen3", heads(3, 3, 40, hidden_size=136, vocab_size=1001), dtype="float32"),
    Shape("qwen3-3to1-d80-bias", "qwen3", heads(6, 2, 80, attention_bias=True, intermediate_size=172)),
    Shape("qwen3-2to1-d128-sharded", "qwen3", heads(4, 2, 128, intermediate_size=50), shard="60KB"),
    Shape("qwen3-14to2-d96", "qwen3", heads(14, 2, 96, hidden_size=72, vocab_size=131), old=True),
    Shape("qwen2-7to1-d8", "qwen2", dict(num_attention_heads=7, num_key_value_heads=1, hidden_size=56), old=True),
    Shape("qwen2-14to2-d64-f16", "qwen2", heads(14, 2, 64, intermediate_size=100), dtype="float16"),
    Shape("qwen2-6to1-tied-theta1e6", "qwen2", dict(
        heads(6, 1, 32, tie_word_embeddings=True), **rope("default", 1e6))),
    Shape("llama-d256", "llama", heads(2, 1, 256, hidden_size=72)),
    Shape("llama-d96-mha-f32", "llama", heads(3, 3, 96, hidden_size=72, vocab_size=1001), dtype="float32", old=True),
    Shape("llama-16to1-d8", "llama", heads(16, 1, 8, hidden_size=128, vocab_size=3)),
    Shape("llama-5to1-d56", "llama", heads(5, 1, 56, hidden_size=140, intermediate_size=1, vocab_size=259)),
    Shape("llama-9to3-d64-eps", "llama", heads(9, 3, 64, hidden_size=90, rms_norm_eps=1e-2), old=True),
    Shape("llama-hidden8", "llama", heads(2, 1, 16, hidden_size=8, intermediate_size=24)),
    Shape("llama-hidden50", "llama", heads(2, 2, 24, hidden_size=50, intermediate_size=75, vocab_size=1023)),
    Shape("mistral-mha-d48", "mistral", heads(4, 4, 48, sliding_window=None)),
    # Biases.
    Shape("llama-attention-bias", "llama", dict(attention_bias=True, num_attention_heads=8)),
    Shape("llama-mlp-bias-f16", "llama", dict(mlp_bias=True, intermediate_size=100), dtype="float16"),
    Shape("llama-both-biases-sharded", "llama", dict(
        attention_bias=True, mlp_bias=True, tie_word_embeddings=True, intermediate_size=50), shard="20KB", old=True),
    # Rope.
    Shape("llama-linear-bias", "llama", dict(
        attention_bias=True, **rope("linear", factor=4.0)), old=True),
    Shape("qwen2-linear", "qwen2", dict(heads(4, 4, 40), **rope("linear", 1e5, factor=2.5))),
    Shape("llama-llama3", "llama", dict(
        heads(4, 2, 64), **rope("llama3", 500000.0, original_max_position_embeddings=64, **LLAMA3))),
    Shape("llama-llama3-f32", "llama", dict(
        heads(8, 2, 24), **rope("llama3", original_max_position_embeddings=200, factor=32.0, low_freq_factor=0.5,
                                high_freq_factor=3.0)), dtype="float32", old=True),
    Shape("llama-llama3-no-original", "llama", dict(heads(4, 1, 32), **rope("llama3", **LLAMA3)), old=True),
    Shape("qwen3-yarn", "qwen3", dict(
        heads(4, 2, 64, max_position_embeddings=256),
        **rope("yarn", 1e6, factor=4.0, original_max_position_embeddings=64))),
    Shape("qwen2-yarn-old-f32", "qwen2", dict(
        heads(7, 1, 24, max_position_embeddings=128),
        **rope("yarn", 1e6, factor=4.0, original_max_position_embeddings=128)), dtype="float32", old=True),
    Shape("llama-yarn-factor-given", "llama", dict(
        heads(4, 2, 128), **rope("yarn", factor=16.0, original_max_position_embeddings=32, attention_factor=0.85))),
    Shape("llama-yarn-mscale", "llama", dict(
        heads(4, 4, 80), **rope("yarn", factor=40.0, original_max_position_embeddings=16, mscale=0.707,
                                mscale_all_dim=1.3, beta_fast=32.0, beta_slow=1.0)), old=True),
    Shape("llama-yarn-one-mscale", "llama", dict(
        heads(4, 2, 32), **rope("yarn", factor=8.0, original_max_position_embeddings=64, mscale=0.5))),
    Shape("mistral-yarn-no-truncate", "mistral", dict(
        heads(4, 1, 96), **rope("yarn", factor=8.0, original_max_position_embeddings=64, truncate=False,
                                beta_fast=8.0, beta_slow=0.5))),
    Shape("llama-yarn-betas", "llama", dict(
        heads(3, 1, 48, hidden_size=72), **rope(
            "yarn", 5e5, factor=2.0, original_max_position_embeddings=4096, beta_fast=64.0, beta_slow=4.0)), old=True),
    Shape("llama-yarn-no-original", "llama", dict(
        heads(2, 1, 40, max_position_embeddings=128), **rope("yarn", factor=4.0))),
    Shape("llama-dynamic", "llama", dict(
        heads(4, 2, 64, max_position_embeddings=128), **rope("dynamic", factor=4.0))),
    Shape("qwen2-dynamic-old", "qwen2", dict(
        heads(4, 2, 24, max_position_embeddings=160), **rope("dynamic", 1e6, factor=2.5)), old=True),
    # Sliding windows.
    Shape("mistral-window-24", "mistral", heads(6, 2, 24, sliding_window=24)),
    Shape("mistral-window-1", "mistral", heads(4, 2, 16, sliding_window=1), old=True),
    Shape("mistral-window-64-f16", "mistral", heads(7, 1, 40, sliding_window=64, hidden_size=56), dtype="float16"),
    Shape("mistral-window-150", "mistral", heads(4, 4, 128, sliding_window=150), old=True),
    Shape("qwen2-window-upper", "qwen2", dict(
        num_hidden_layers=4, use_sliding_window=True, sliding_window=17, max_window_layers=2)),
    Shape("qwen2-window-upper-old", "qwen2", dict(
        num_hidden_layers=3, use_sliding_window=True, sliding_window=33, max_window_layers=1), old=True),
    Shape("qwen2-window-off-old", "qwen2", dict(
        use_sliding_window=False, sliding_window=8, max_window_layers=0), old=True),
    Shape("qwen3-window-types", "qwen3", dict(
        heads(4, 2, 40), num_hidden_layers=3, use_sliding_window=True, sliding_window=20,
        layer_types=["sliding_attention", "full_attention", "sliding_attention"])),
    # Gemma 2: caps, windows on every second layer, a scale of its own.
    Shape("gemma2-2to1-d32", "gemma2", heads(
        4, 2, 32, num_hidden_layers=4, sliding_window=24, query_pre_attn_scalar=24, tie_word_embeddings=True)),
    Shape("gemma2-tight-caps-f32", "gemma2", heads(
        3, 1, 40, hidden_size=72, sliding_window=64, query_pre_attn_scalar=5, attn_logit_softcapping=2.0,
        final_logit_softcapping=4.0, tie_word_embeddings=True), dtype="float32", old=True),
    Shape("gemma2-untied-no-caps", "gemma2", heads(
        4, 4, 16, attn_logit_softcapping=None, final_logit_softcapping=None, sliding_window=1, attention_bias=True)),
    Shape("gemma2-d256-types", "gemma2", heads(
        4, 1, 256, hidden_size=88, num_hidden_layers=3, sliding_window=33, tie_word_embeddings=True,
        layer_types=["full_attention", "full_attention", "sliding_attention"])),
    Shape("gemma2-defaults", "gemma2", heads(
        8, 4, 256, hidden_size=64, sliding_window=4096, query_pre_attn_scalar=256, max_position_embeddings=8192,
        tie_word_embeddings=True), old=True, drop=(
            "num_attention_heads", "num_key_value_heads", "head_dim", "rms_norm_eps", "max_position_embeddings",
            "query_pre_attn_scalar", "sliding_window", "attn_logit_softcapping", "final_logit_softcapping",
            "tie_word_embeddings", "rope_theta", "rope_scaling", "hidden_activation", "attention_bias")),
    # Gemma 3: a rope for each type of layer, norms of queries and keys.
    Shape("gemma3-window-20", "gemma3", dict(heads(
        4, 1, 32, num_hidden_layers=7, sliding_window=20, query_pre_attn_scalar=32, tie_word_embeddings=True))),
    Shape("gemma3-linear", "gemma3", dict(heads(
        6, 2, 48, hidden_size=72, num_hidden_layers=6, sliding_window=100, query_pre_attn_scalar=20, tie_word_embeddings=True),
        **per_type(rope("linear", 1e6, factor=8.0), rope("default", 2e4)))),
    Shape("gemma3-linear-old", "gemma3", dict(heads(
        8, 4, 24, num_hidden_layers=6, sliding_window=17, query_pre_attn_scalar=24, tie_word_embeddings=True),
        **per_type(rope("linear", 5e5, factor=4.0), rope("default", 3e4))), old=True),
    Shape("gemma3-pattern-2-f32", "gemma3", dict(heads(
        3, 3, 80, num_hidden_layers=4, sliding_window=65, query_pre_attn_scalar=7, sliding_window_pattern=2,
        hidden_size=120)), dtype="float32", old=True),
    Shape("gemma3-caps-yarn", "gemma3", dict(heads(
        4, 2, 64, num_hidden_layers=3, sliding_window=40, query_pre_attn_scalar=64, attn_logit_softcapping=3.0,
        final_logit_softcapping=5.0, tie_word_embeddings=True,
        layer_types=["full_attention", "sliding_attention", "full_attention"]),
        **per_type(rope("yarn", 1e6, factor=4.0, original_max_position_embeddings=128)))),
    Shape("gemma3-defaults", "gemma3", dict(heads(
        8, 4, 256, hidden_size=48, num_hidden_layers=6, sliding_window=4096, query_pre_attn_scalar=256,
        max_position_embeddings=131072, tie_word_embeddings=True)), old=True, drop=(
            "num_attention_heads", "num_key_value_heads", "head_dim", "rms_norm_eps", "max_position_embeddings",
            "query_pre_attn_scalar", "sliding_window", "sliding_window_pattern", "attn_logit_softcapping",
            "final_logit_softcapping", "tie_word_embeddings", "rope_theta", "rope_local_base_freq", "rope_scaling",
            "hidden_activation", "attention_bias", "use_bidirectional_attention")),
    Shape("gemma3-vision", "gemma3-vision", vision(heads(
        4, 2, 24, num_hidden_layers=6, sliding_window=20, query_pre_attn_scalar=24))),
    Shape("gemma3-vision-module-names", "gemma3-vision", vision(heads(
        2, 1, 40, num_hidden_layers=6, sliding_window=31, query_pre_attn_scalar=40, tie_word_embeddings=True)),
        old=True),
    # Phi-3: tensors in one, longrope, heads that turn in part.
    Shape("phi3-plain", "phi3", dict(num_attention_heads=4, num_key_value_heads=4)),
    Shape("phi3-window-gqa", "phi3", dict(
        num_attention_heads=6, num_key_value_heads=2, hidden_size=144, sliding_window=50, intermediate_size=77),
        old=True),
    Shape("phi3-partial", "phi3", dict(
        num_attention_heads=3, num_key_value_heads=1, hidden_size=96, tie_word_embeddings=True,
        **rope("default", partial_rotary_factor=0.75))),
    Shape("phi3-partial-old-f32", "phi3", dict(
        num_attention_heads=2, num_key_value_heads=2, hidden_size=80, **rope("default", partial_rotary_factor=0.4)),
        old=True, dtype="float32"),
    Shape("phi3-longrope-long", "phi3", dict(
        num_attention_heads=4, num_key_value_heads=2, hidden_size=96, **longrope(12))),
    Shape("phi3-longrope-partial-old", "phi3", dict(
        num_attention_heads=4, num_key_value_heads=2, hidden_size=128, tie_word_embeddings=True,
        **longrope(12, partial_rotary_factor=0.75)), old=True),
    Shape("phi3-longrope-short-f16", "phi3", dict(
        num_attention_heads=4, num_key_value_heads=4, **longrope(8, original=512)), dtype="float16"),
    Shape("phi3-longrope-factor-given", "phi3", dict(
        num_attention_heads=2, num_key_value_heads=1, **longrope(16, attention_factor=1.4)), old=True, shard="40KB"),
    Shape("phi3-defaults", "phi3", dict(
        num_attention_heads=32, num_key_value_heads=32, hidden_size=256, max_position_embeddings=4096,
        rms_norm_eps=1e-5), old=True, drop=(
            "num_attention_heads", "num_key_value_heads", "rms_norm_eps", "max_position_embeddings",
            "original_max_position_embeddings", "sliding_window", "tie_word_embeddings", "rope_theta", "rope_scaling",
            "partial_rotary_factor", "hidden_act")),
    # SmolLM3: layers that don't turn.
    Shape("smollm3-every-fourth", "smollm3", dict(num_hidden_layers=5, tie_word_embeddings=True, **rope("default", 5e6))),
    Shape("smollm3-some-listed-old", "smollm3", dict(
        num_hidden_layers=4, no_rope_layers=[0, 1, 1, 0], attention_bias=True, mlp_bias=True), old=True),
    Shape("smollm3-window-interval", "smollm3", dict(
        num_hidden_layers=5, no_rope_layer_interval=2, use_sliding_window=True, sliding_window=21, hidden_size=96,
        num_attention_heads=6, num_key_value_heads=2), old=True, drop=("no_rope_layers",)),
    Shape("smollm3-yarn", "smollm3", dict(
        num_hidden_layers=4, **rope("yarn", 2e6, factor=2.0, original_max_position_embeddings=256))),
    Shape("smollm3-defaults", "smollm3", dict(
        num_attention_heads=16, num_key_value_heads=4, hidden_size=128, num_hidden_layers=4,
        max_position_embeddings=32768, tie_word_embeddings=True, **rope("default", 2e6)), old=True, drop=(
            "num_attention_heads", "num_key_value_heads", "rms_norm_eps", "max_position_embeddings", "no_rope_layers",
            "no_rope_layer_interval", "use_sliding_window", "sliding_window", "tie_word_embeddings", "rope_theta",
            "rope_scaling", "attention_bias", "mlp_bias", "hidden_act")),
    # OLMo 2: norms behind, and over all heads at once.
    Shape("olmo2-mha", "olmo2", dict(num_attention_heads=4, num_key_value_heads=4, **rope("default", 5e5))),
    Shape("olmo2-gqa-bias-f32", "olmo2", dict(
        num_attention_heads=6, num_key_value_heads=2, hidden_size=240, attention_bias=True, num_hidden_layers=3),
        dtype="float32", old=True),
    Shape("olmo2-llama3-tied", "olmo2", dict(
        num_attention_heads=7, num_key_value_heads=1, hidden_size=112, tie_word_embeddings=True,
        **rope("llama3", 5e5, original_max_position_embeddings=128, **LLAMA3))),
    Shape("olmo2-defaults", "olmo2", dict(
        num_attention_heads=32, num_key_value_heads=32, hidden_size=256, max_position_embeddings=2048,
        rms_norm_eps=1e-5), old=True, drop=(
            "num_attention_heads", "num_key_value_heads", "rms_norm_eps", "max_position_embeddings", "rope_theta",
            "rope_scaling", "tie_word_embeddings", "attention_bias", "hidden_act")),
    # OLMo 3: OLMo 2 with windows, and rope scaled where there is none.
    Shape("olmo3-yarn", "olmo3", dict(
        num_attention_heads=4, num_key_value_heads=2, num_hidden_layers=5, sliding_window=33,
        **per_type(rope("yarn", 5e5, factor=4.0, original_max_position_embeddings=128), rope("default", 5e5)))),
    Shape("olmo3-types-bias-f32", "olmo3", dict(
        num_attention_heads=5, num_key_value_heads=1, hidden_size=80, num_hidden_layers=3, sliding_window=64,
        attention_bias=True, tie_word_embeddings=True,
        layer_types=["full_attention", "sliding_attention", "sliding_attention"],
        **per_type(rope("default", 1e4))), dtype="float32"),
    Shape("olmo3-yarn-old", "olmo3", dict(
        num_attention_heads=4, num_key_value_heads=4, num_hidden_layers=4, sliding_window=17,
        **per_type(rope("yarn", 5e5, factor=2.0, original_max_position_embeddings=256, attention_factor=1.2),
                   rope("default", 5e5))), old=True),
    Shape("olmo3-defaults", "olmo3", dict(
        num_attention_heads=32, num_key_value_heads=32, hidden_size=256, num_hidden_layers=4, rms_norm_eps=1e-5,
        max_position_embeddings=2048, sliding_window=4096, **per_type(rope("default", 5e5), rope("default", 5e5))),
        old=True, drop=(
            "num_attention_heads", "num_key_value_heads", "rms_norm_eps", "max_position_embeddings", "sliding_window",
            "rope_theta", "rope_local_base_freq", "rope_scaling", "tie_word_embeddings", "attention_bias",
            "hidden_act")),
    # Sizes: past the tiles of the kernels, past a chunk of the prompt, many layers.
    Shape("llama-long", "llama", heads(
        4, 2, 32, hidden_size=96, max_position_embeddings=2048), lengths=(63, 64, 65, 513, 1300)),
    Shape("mistral-window-long", "mistral", heads(
        7, 1, 24, max_position_embeddings=2048, sliding_window=300), lengths=(299, 300, 301, 1300)),
    Shape("qwen3-yarn-long", "qwen3", dict(
        heads(8, 2, 32, max_position_embeddings=2048),
        **rope("yarn", 1e6, factor=8.0, original_max_position_embeddings=256)), lengths=(255, 257, 1300)),
    Shape("llama-wide-vocabulary", "llama", heads(
        4, 2, 24, vocab_size=65537, hidden_size=24), lengths=(9,)),
    Shape("qwen2-wide-layers", "qwen2", heads(
        28, 4, 24, hidden_size=600, intermediate_size=1739, vocab_size=515), lengths=(3, 130)),
    Shape("qwen3-20-layers", "qwen3", heads(4, 2, 24, num_hidden_layers=20), lengths=(4, 90)),
    Shape("llama-1-layer-theta", "llama", dict(num_hidden_layers=1, **rope("default", 123456.7))),
    # What publishers leave out of config.json.
    Shape("llama-defaults", "llama", dict(
        num_key_value_heads=4, rms_norm_eps=1e-6, max_position_embeddings=2048), old=True, drop=(
            "num_key_value_heads", "rms_norm_eps", "max_position_embeddings", "rope_theta", "rope_scaling",
            "head_dim", "tie_word_embeddings", "attention_bias", "mlp_bias", "hidden_act")),
    Shape("qwen2-defaults", "qwen2", dict(
        num_attention_heads=32, num_key_value_heads=32, hidden_size=256, sliding_window=None), old=True, drop=(
            "num_key_value_heads", "rms_norm_eps", "max_position_embeddings", "rope_theta", "rope_scaling",
            "sliding_window", "use_sliding_window", "max_window_layers", "tie_word_embeddings", "hidden_act")),
    Shape("qwen3-defaults", "qwen3", heads(32, 32, 128, hidden_size=48), drop=(
        "num_key_value_heads", "head_dim", "rms_norm_eps", "max_position_embeddings", "rope_parameters",
        "layer_types", "sliding_window", "use_sliding_window", "max_window_layers", "tie_word_embeddings",
        "attention_bias", "hidden_act")),
    Shape("mistral-defaults", "mistral", heads(16, 8, 8, hidden_size=128), old=True, drop=(
        "num_key_value_heads", "head_dim", "rms_norm_eps", "max_position_embeddings", "rope_theta", "rope_scaling",
        "sliding_window", "tie_word_embeddings", "hidden_act")),
    # Experts.
    Shape("moe-128-top8", "qwen3-moe", experts(128, 8, 24, norm_topk_prob=True)),
    Shape("moe-8-top2-sharded-f32", "qwen3-moe", experts(8, 2, 50), dtype="float32", shard="60KB"),
    Shape("moe-5-top5-old", "qwen3-moe", experts(5, 5, 36, norm_topk_prob=True), old=True),
    Shape("moe-60-top1-d80", "qwen3-moe", {**heads(3, 1, 80, hidden_size=72), **experts(60, 1, 17)}),
    Shape("moe-16-top4-every-2nd", "qwen3-moe", experts(
        16, 4, 33, num_hidden_layers=4, decoder_sparse_step=2, norm_topk_prob=True), dtype="float16"),
    Shape("moe-12-top3-only-some", "qwen3-moe", experts(
        12, 3, 70, num_hidden_layers=4, mlp_only_layers=[0, 2], attention_bias=True)),
    Shape("moe-window", "qwen3-moe", experts(
        9, 2, 40, use_sliding_window=True, sliding_window=29, max_window_layers=1, norm_topk_prob=True)),
    Shape("moe-1-top1", "qwen3-moe", experts(1, 1, 96)),
    Shape("moe-7-top3-fused", "qwen3-moe", experts(7, 3, 41, norm_topk_prob=True), fused=True),
    Shape("moe-200-top10-yarn", "qwen3-moe", {**experts(200, 10, 8, norm_topk_prob=True), **rope(
        "yarn", 10000.0, factor=4.0, original_max_position_embeddings=128)}, fused=True, shard="300KB"),
    Shape("moe-defaults", "qwen3-moe", experts(10, 8, 48, num_key_value_heads=4), old=True, drop=(
        "num_experts_per_tok", "norm_topk_prob", "mlp_only_layers", "decoder_sparse_step", "num_key_value_heads",
        "head_dim", "rms_norm_eps", "sliding_window", "use_sliding_window", "max_window_layers",
        "tie_word_embeddings")),
    # Kept in the repository, so they are as small as they can be.
    Shape("tiny-qwen3-7to1-d24", "qwen3", heads(
        7, 1, 24, hidden_size=24, intermediate_size=50, vocab_size=131, tie_word_embeddings=True), fixture=True),
    Shape("tiny-qwen2-f16", "qwen2", dict(
        heads(3, 3, 8, hidden_size=24, intermediate_size=44, vocab_size=101)), dtype="float16", old=True,
        fixture=True),
    Shape("tiny-llama-yarn", "llama", dict(
        heads(2, 1, 32, hidden_size=32, intermediate_size=40, vocab_size=97),
        **rope("yarn", factor=4.0, original_max_position_embeddings=128, beta_fast=4.0)), fixture=True),
    Shape("tiny-llama-linear-biases", "llama", dict(
        heads(4, 1, 8, hidden_size=40, intermediate_size=36, vocab_size=103, attention_bias=True, mlp_bias=True),
        **rope("linear", factor=4.0)), old=True, shard="12KB", fixture=True),
    Shape("tiny-qwen3-moe-mixed", "qwen3-moe", {
        **heads(2, 1, 16, hidden_size=24, intermediate_size=44, vocab_size=83, num_hidden_layers=3),
        **experts(7, 3, 20, mlp_only_layers=[1])}, shard="20KB", fixture=True),
    Shape("tiny-qwen3-moe-fused", "qwen3-moe", {
        **heads(3, 1, 8, hidden_size=32, intermediate_size=36, vocab_size=79, tie_word_embeddings=True),
        **experts(5, 2, 36, decoder_sparse_step=2, norm_topk_prob=True)}, fused=True, fixture=True),
    Shape("tiny-mistral-window", "mistral", heads(
        2, 1, 40, hidden_size=24, intermediate_size=52, vocab_size=89, sliding_window=11), fixture=True),
    Shape("tiny-qwen3-window-types", "qwen3", dict(
        heads(2, 2, 16, hidden_size=32, intermediate_size=28, vocab_size=67, attention_bias=True), num_hidden_layers=3,
        use_sliding_window=True, sliding_window=19,
        layer_types=["full_attention", "sliding_attention", "full_attention"]), fixture=True),
    Shape("tiny-gemma2", "gemma2", heads(
        3, 1, 24, hidden_size=24, intermediate_size=36, vocab_size=73, num_hidden_layers=2, sliding_window=19,
        query_pre_attn_scalar=15, attn_logit_softcapping=3.0, final_logit_softcapping=6.0, tie_word_embeddings=True),
        old=True, fixture=True),
    Shape("tiny-gemma3-vision", "gemma3-vision", vision(dict(heads(
        2, 1, 16, hidden_size=24, intermediate_size=28, vocab_size=71, num_hidden_layers=3, sliding_window=21,
        query_pre_attn_scalar=11, tie_word_embeddings=True, sliding_window_pattern=3),
        **per_type(rope("linear", 1e6, factor=4.0), rope("default", 3e4)))), old=True, fixture=True),
    Shape("tiny-phi3-longrope", "phi3", dict(
        num_attention_heads=3, num_key_value_heads=1, hidden_size=48, intermediate_size=20, vocab_size=61,
        sliding_window=80, **longrope(6, partial_rotary_factor=0.75)), fixture=True),
    Shape("tiny-smollm3", "smollm3", dict(
        num_attention_heads=3, num_key_value_heads=1, hidden_size=24, intermediate_size=40, vocab_size=79,
        num_hidden_layers=4, use_sliding_window=True, sliding_window=50, no_rope_layer_interval=2,
        tie_word_embeddings=True), old=True, fixture=True),
    Shape("tiny-olmo2", "olmo2", dict(
        num_attention_heads=3, num_key_value_heads=1, hidden_size=48, intermediate_size=30, vocab_size=59),
        fixture=True),
    Shape("tiny-olmo3", "olmo3", dict(
        num_attention_heads=2, num_key_value_heads=1, hidden_size=32, intermediate_size=30, vocab_size=53,
        num_hidden_layers=4, sliding_window=29, attention_bias=True,
        **per_type(rope("yarn", 5e5, factor=4.0, original_max_position_embeddings=128), rope("default", 5e5))),
        fixture=True),
]


def random_shapes(count, seed):
    """Drawn shapes of all families: heads, windows, caps, rope, forms of config.json."""
    draw = random.Random(seed)
    families = ["qwen3", "qwen2", "llama", "mistral", "gemma2", "gemma3", "gemma3", "gemma3-vision", "phi3", "phi3",
                "smollm3", "olmo2", "olmo3", "qwen3-moe"]
    return [random_shape(draw, f"random-{seed}-{index}", draw.choice(families)) for index in range(count)]


def random_rope(draw, dimension):
    kind = draw.choice(["default", "default", "linear", "llama3", "yarn"])
    theta = draw.choice([1e4, 5e5, 1e6, 123456.0])
    factor = dict(factor=draw.choice([2.0, 4.0, 8.0]))
    return rope(kind, theta, **{
        "default": {}, "linear": factor,
        "llama3": dict(factor, low_freq_factor=1.0, high_freq_factor=4.0, original_max_position_embeddings=128),
        "yarn": dict(factor, original_max_position_embeddings=draw.choice([64, 128, 512]))}[kind])


def random_shape(draw, name, family):
    group, key_value = draw.choice([1, 1, 2, 3, 4, 5, 7, 8]), draw.choice([1, 1, 2, 3])
    dimension = 8 * draw.randint(2, draw.choice([4, 12, 32]))
    free_heads = family in ("qwen3", "qwen3-moe", "llama", "mistral", "gemma2", "gemma3", "gemma3-vision")
    if family.startswith("gemma3") or family == "gemma2":
        hidden = group * key_value * draw.randint(2, 12) * 2  # transformers asks for a multiple of the heads
    else:
        hidden = 2 * draw.randint(16, 80) if free_heads else group * key_value * dimension
    changes = dict(
        num_attention_heads=group * key_value, num_key_value_heads=key_value, hidden_size=hidden,
        intermediate_size=draw.randint(8, 200), vocab_size=draw.randint(40, 700),
        num_hidden_layers=draw.randint(1, 7), tie_word_embeddings=draw.random() < 0.5,
        rms_norm_eps=draw.choice([1e-6, 1e-5, 1e-3]))
    if free_heads:
        changes["head_dim"] = dimension
    window, length = draw.choice([1, 7, 16, 24, 63, 64, 65, 150]), draw.choice([70, 130, 200])
    if family in ("gemma2", "gemma3", "gemma3-vision"):
        changes.update(
            sliding_window=window, query_pre_attn_scalar=draw.choice([dimension, 16, 50]),
            attn_logit_softcapping=draw.choice([None, 2.0, 50.0]),
            final_logit_softcapping=draw.choice([None, 4.0, 30.0]))
    if family.startswith("gemma3"):
        changes.update(per_type(random_rope(draw, dimension), rope("default", draw.choice([1e4, 2e4]))),
                       sliding_window_pattern=draw.choice([2, 3, 6]))
    elif family == "olmo3":
        full = random_rope(draw, dimension)
        changes.update(per_type(full, rope("default", full["rope_parameters"]["rope_theta"])), sliding_window=window)
    elif family == "phi3":
        partial = draw.choice([1.0, 0.75, 0.5])
        pairs = int(dimension * partial) // 2
        if draw.random() < 0.6 and int(dimension * partial) % 2 == 0:
            changes.update(longrope(pairs, draw.choice([64, 512]), partial_rotary_factor=partial))
        elif int(dimension * partial) % 2 == 0:
            changes.update(rope("default", partial_rotary_factor=partial))
        changes["sliding_window"] = draw.choice([None, window])
    else:
        changes.update(random_rope(draw, dimension))
    if family == "qwen3-moe":
        count = draw.choice([1, 2, 5, 8, 16, 40, 128])
        changes.update(
            experts(count, draw.randint(1, min(count, 9)), draw.randint(4, 90)), norm_topk_prob=draw.random() < 0.5,
            decoder_sparse_step=draw.choice([1, 1, 1, 2]), mlp_only_layers=draw.choice([[], [], [0], [1, 2]]),
            use_sliding_window=draw.random() < 0.3, sliding_window=window)
    if family == "mistral":
        changes["sliding_window"] = draw.choice([None, window])
    if family == "smollm3" and draw.random() < 0.5:
        changes.update(use_sliding_window=True, sliding_window=window)
    if family == "smollm3":
        changes["no_rope_layer_interval"] = draw.randint(1, 4)
    if family in ("llama", "qwen3", "qwen3-moe", "smollm3", "olmo2", "gemma2", "gemma3"):
        changes["attention_bias"] = draw.random() < 0.3
    if family in ("llama", "smollm3"):
        changes["mlp_bias"] = draw.random() < 0.3
    # The old form can't say what every layer is, nor olmo3's theta for both types.
    old = draw.random() < 0.5 and family != "olmo3"
    return Shape(
        f"{name}-{family}", family, vision(changes) if family == "gemma3-vision" else changes, old=old,
        dtype=draw.choice(["bfloat16", "bfloat16", "float16", "float32"]),
        shard=draw.choice(["1GB", "1GB", "50KB"]) if family != "gemma3-vision" else "1GB",
        lengths=(1, draw.randint(2, 40), length))
