"""The shapes that conformance is checked on: one entry per checkpoint, and what to do with its files.

Every entry starts from BASE of its family and changes what its name says. `old` rewrites config.json to the form
before transformers 5 (`rope_theta`, `rope_scaling`, `torch_dtype`, no `layer_types`); `drop` are keys removed from
it, so that the family's defaults count; `shard` is the largest shard; `fused` keeps all experts of a layer in one
tensor.
"""

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
        return {**BASE, **self.changes}


def heads(query, key_value, dimension, **changes):
    return dict(num_attention_heads=query, num_key_value_heads=key_value, head_dim=dimension, **changes)


def rope(kind, theta=10000.0, **parameters):
    return dict(rope_parameters=dict(rope_type=kind, rope_theta=theta, **parameters))


def experts(count, per_token, width, **changes):
    return dict(num_experts=count, num_experts_per_tok=per_token, moe_intermediate_size=width, **changes)


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
]
