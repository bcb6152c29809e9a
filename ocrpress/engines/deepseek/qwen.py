"""The second half of DeepSeek-OCR-2's encoder: Qwen2's layers over SAM's compressed features and trained queries.

Features see one another; a query sees all features, the queries before it and itself, and what becomes of the queries
are the vision tokens (DeepSeek-OCR-2, section 3.2). Our own forward over the weights of a loaded transformers module.
Rotary tables and masks are made once a size. Nothing here waits for the device.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F  # noqa: N812, the name that everybody knows
from torch import Tensor

from ocrpress.engines.deepseek.weights import joined


@dataclass(frozen=True)
class Layer:
    """One layer's weights; query, key and value lie in one tensor, gate and up in another."""

    norm1: Tensor
    qkv: Tensor
    bias: Tensor
    out: Tensor
    norm2: Tensor
    gate_up: Tensor
    down: Tensor


@dataclass(frozen=True)
class Tables:
    """What depends on the number of features alone, n; there are as many queries.

    Attributes:
        cos, sin: (2n, 1, head dimension), the sine of the first half negated.
        seen: (query heads a key head × n, 2n), whether a query sees a place.
    """

    cos: Tensor
    sin: Tensor
    seen: Tensor


class QwenEncoder:
    """SAM's features of views -> as many vision tokens.

    Args:
        tower: a `DeepseekOcr2VisionModel`. Its weights must stay where and as they are. Those that are multiplied
            together become views of one tensor, so that nothing is held twice; the module works as before.
    """

    def __init__(self, tower: Any) -> None:
        module = tower.vision_encoder
        config = module.config
        self.heads: int = config.num_attention_heads
        self.kv_heads: int = config.num_key_value_heads
        self.eps: float = config.rms_norm_eps
        self.frequencies: Tensor = module.rotary_emb.inv_freq
        self.norm: Tensor = module.norm.weight
        self.layers = [_layer(layer) for layer in module.layers]
        queries = (tower.query_768_resolution.weight, tower.query_1024_resolution.weight)
        self.queries = {len(each): each for each in queries}
        self.tables: dict[int, Tables] = {}

    def __call__(self, features: Tensor) -> Tensor:
        """(views, side, side, channels) -> (views, side², channels). KeyError for a side without queries."""
        views, side, _, channels = features.shape
        count = side * side
        tables = self.tables_for(count)
        x = torch.cat([features.flatten(1, 2), self.queries[count].expand(views, count, channels)], 1)
        for layer in self.layers:
            qkv = F.linear(self._normed(x, layer.norm1), layer.qkv, layer.bias)
            x += F.linear(self._attend(qkv, tables), layer.out)
            gate, up = F.linear(self._normed(x, layer.norm2), layer.gate_up).chunk(2, -1)
            x += F.linear(F.silu(gate).mul_(up), layer.down)
        return self._normed(x[:, count:], self.norm)

    def tables_for(self, count: int) -> Tables:
        """The tables of so many features and queries, made at the first call."""
        if count not in self.tables:
            places = torch.arange(2 * count, device=self.norm.device)
            angles = places[:, None].float() * self.frequencies.to(places.device)
            cos, sin = angles.cos(), angles.sin()
            seen = places <= places[count:, None]
            self.tables[count] = Tables(
                torch.cat([cos, cos], -1)[:, None].to(self.norm.dtype),
                torch.cat([-sin, sin], -1)[:, None].to(self.norm.dtype),
                seen.repeat(self.heads // self.kv_heads, 1),
            )
        return self.tables[count]

    def _attend(self, qkv: Tensor, tables: Tables) -> Tensor:
        """(views, 2n, channels of query, key and value) -> (views, 2n, channels).

        Query heads that share a key head are laid behind one another, so that keys and values need no copies.
        """
        views, places, _ = qkv.shape
        count, shared = places // 2, self.heads // self.kv_heads
        qk, v = qkv.unflatten(-1, (self.heads + 2 * self.kv_heads, -1)).split(
            [self.heads + self.kv_heads, self.kv_heads], 2
        )
        turned = qk.unflatten(-1, (2, -1)).flip(-2).flatten(-2)
        q, k = torch.addcmul(qk * tables.cos, turned, tables.sin).split([self.heads, self.kv_heads], 2)
        q, k, v = q.unflatten(2, (self.kv_heads, shared)).permute(0, 2, 3, 1, 4), k.transpose(1, 2), v.transpose(1, 2)
        halves = (
            F.scaled_dot_product_attention(q[..., :count, :].flatten(2, 3), k[..., :count, :], v[..., :count, :]),
            F.scaled_dot_product_attention(q[..., count:, :].flatten(2, 3), k, v, tables.seen),
        )
        mixed = torch.cat([half.unflatten(2, (shared, count)) for half in halves], 3)
        return mixed.permute(0, 3, 1, 2, 4).reshape(views, places, -1)

    def _normed(self, x: Tensor, weight: Tensor) -> Tensor:
        return F.rms_norm(x, weight.shape, weight, self.eps)


def _layer(layer: Any) -> Layer:
    attention, mlp = layer.self_attn, layer.mlp
    inputs = (attention.q_proj, attention.k_proj, attention.v_proj)
    return Layer(
        layer.input_layernorm.weight, joined(inputs, "weight"), joined(inputs, "bias"), attention.o_proj.weight,
        layer.post_attention_layernorm.weight, joined((mlp.gate_proj, mlp.up_proj), "weight"), mlp.down_proj.weight,
    )  # fmt: skip
