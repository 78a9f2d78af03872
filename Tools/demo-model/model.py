"""The demo model's network: Qwen3's architecture at a few million parameters, in plain PyTorch.

Grouped-query attention with RMSNorm on queries and keys (qk-norm), rotary positions in the half-split
layout, SwiGLU, pre-norm blocks and an output head tied to the embedding. Parameter names are Hugging
Face's, so that `state_dict()` is the checkpoint. Invariant: same arithmetic as transformers'
Qwen3ForCausalLM (checked by check_export.py).
"""

from dataclasses import asdict, dataclass

import torch
import torch.nn.functional as F
from torch import nn


@dataclass
class Config:
    vocab_size: int = 3072
    hidden_size: int = 256
    intermediate_size: int = 512
    num_hidden_layers: int = 5
    num_attention_heads: int = 8
    num_key_value_heads: int = 4
    head_dim: int = 32
    max_position_embeddings: int = 1024
    rms_norm_eps: float = 1e-6
    rope_theta: float = 10000.0

    def as_dict(self):
        return asdict(self)


class RMSNorm(nn.Module):
    def __init__(self, size, eps):
        super().__init__()
        self.weight = nn.Parameter(torch.ones(size))
        self.eps = eps

    def forward(self, x):
        x32 = x.float()
        x32 = x32 * torch.rsqrt(x32.pow(2).mean(-1, keepdim=True) + self.eps)
        return (x32 * self.weight).to(x.dtype)


def rotary_tables(config, length):
    inverse = config.rope_theta ** (-torch.arange(0, config.head_dim, 2).float() / config.head_dim)
    angles = torch.outer(torch.arange(length).float(), inverse)
    angles = torch.cat([angles, angles], dim=-1)  # [length, head_dim]
    return angles.cos(), angles.sin()


def rotate(x, cos, sin):
    half = x.shape[-1] // 2
    turned = torch.cat([-x[..., half:], x[..., :half]], dim=-1)
    return x * cos + turned * sin


class Attention(nn.Module):
    def __init__(self, config):
        super().__init__()
        self.config = config
        hidden, dim = config.hidden_size, config.head_dim
        self.q_proj = nn.Linear(hidden, config.num_attention_heads * dim, bias=False)
        self.k_proj = nn.Linear(hidden, config.num_key_value_heads * dim, bias=False)
        self.v_proj = nn.Linear(hidden, config.num_key_value_heads * dim, bias=False)
        self.o_proj = nn.Linear(config.num_attention_heads * dim, hidden, bias=False)
        self.q_norm = RMSNorm(dim, config.rms_norm_eps)
        self.k_norm = RMSNorm(dim, config.rms_norm_eps)

    def forward(self, x, cos, sin, cache=None, mask=None):
        batch, length, _ = x.shape
        config = self.config
        q = self.q_norm(self.q_proj(x).view(batch, length, config.num_attention_heads, config.head_dim))
        k = self.k_norm(self.k_proj(x).view(batch, length, config.num_key_value_heads, config.head_dim))
        v = self.v_proj(x).view(batch, length, config.num_key_value_heads, config.head_dim)
        q, k, v = (t.transpose(1, 2) for t in (q, k, v))  # [batch, heads, length, dim]
        q = rotate(q, cos, sin).to(v.dtype)
        k = rotate(k, cos, sin).to(v.dtype)
        if cache is not None:
            k, v = cache.extend(self, k, v)
        groups = config.num_attention_heads // config.num_key_value_heads
        k = k.repeat_interleave(groups, dim=1)
        v = v.repeat_interleave(groups, dim=1)
        causal = length > 1 and mask is None
        assert not causal or k.shape[2] == length, "a cached prefix is only followed by single tokens"
        out = F.scaled_dot_product_attention(q, k, v, attn_mask=mask, is_causal=causal)
        return self.o_proj(out.transpose(1, 2).reshape(batch, length, -1))


class MLP(nn.Module):
    def __init__(self, config):
        super().__init__()
        self.gate_proj = nn.Linear(config.hidden_size, config.intermediate_size, bias=False)
        self.up_proj = nn.Linear(config.hidden_size, config.intermediate_size, bias=False)
        self.down_proj = nn.Linear(config.intermediate_size, config.hidden_size, bias=False)

    def forward(self, x):
        return self.down_proj(F.silu(self.gate_proj(x)) * self.up_proj(x))


class Layer(nn.Module):
    def __init__(self, config):
        super().__init__()
        self.input_layernorm = RMSNorm(config.hidden_size, config.rms_norm_eps)
        self.self_attn = Attention(config)
        self.post_attention_layernorm = RMSNorm(config.hidden_size, config.rms_norm_eps)
        self.mlp = MLP(config)

    def forward(self, x, cos, sin, cache=None, mask=None):
        x = x + self.self_attn(self.input_layernorm(x), cos, sin, cache, mask)
        return x + self.mlp(self.post_attention_layernorm(x))


class Decoder(nn.Module):
    def __init__(self, config):
        super().__init__()
        self.embed_tokens = nn.Embedding(config.vocab_size, config.hidden_size)
        self.layers = nn.ModuleList(Layer(config) for _ in range(config.num_hidden_layers))
        self.norm = RMSNorm(config.hidden_size, config.rms_norm_eps)


class DemoModel(nn.Module):
    def __init__(self, config):
        super().__init__()
        self.config = config
        self.model = Decoder(config)
        cos, sin = rotary_tables(config, config.max_position_embeddings)
        self.register_buffer("cos", cos, persistent=False)
        self.register_buffer("sin", sin, persistent=False)
        for name, parameter in self.named_parameters():
            if parameter.dim() == 2:
                scale = 0.02 if "embed" in name else 0.5 / parameter.shape[1] ** 0.5
                nn.init.normal_(parameter, std=scale)
                if name.endswith(("o_proj.weight", "down_proj.weight")):
                    nn.init.normal_(parameter, std=scale / (2 * config.num_hidden_layers) ** 0.5)

    def forward(self, ids, cache=None, mask=None):
        """ids [batch, length] -> logits [batch, length, vocab]; with a cache, of the new positions only.

        `mask` [batch, 1, length, length] says which positions see which; without it, all earlier ones.
        """
        start = 0 if cache is None else cache.length
        cos, sin = self.cos[start : start + ids.shape[1]], self.sin[start : start + ids.shape[1]]
        x = self.model.embed_tokens(ids)
        for layer in self.model.layers:
            x = layer(x, cos, sin, cache, mask)
        if cache is not None:
            cache.length += ids.shape[1]
        return F.linear(self.model.norm(x), self.model.embed_tokens.weight)


class Cache:
    """Keys and values of one batch whose rows all have the same length."""

    def __init__(self):
        self.length = 0
        self.entries = {}

    def extend(self, layer, k, v):
        if layer in self.entries:
            old_k, old_v = self.entries[layer]
            k, v = torch.cat([old_k, k], dim=2), torch.cat([old_v, v], dim=2)
        self.entries[layer] = (k, v)
        return k, v


@torch.inference_mode()
def generate(model, prompt, stop_ids, max_tokens=160, temperature=0.0, generator=None):
    """One sequence, token by token; greedy when the temperature is 0."""
    cache, out = Cache(), []
    logits = model(torch.tensor([prompt]), cache)[0, -1].float()
    while len(out) < max_tokens and cache.length < model.config.max_position_embeddings:
        if temperature == 0:
            token = int(logits.argmax())
        else:
            token = int(torch.multinomial(torch.softmax(logits / temperature, -1), 1, generator=generator))
        if token in stop_ids:
            break
        out.append(token)
        logits = model(torch.tensor([[token]]), cache)[0, -1].float()
    return out
