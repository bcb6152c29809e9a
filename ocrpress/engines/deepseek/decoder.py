"""The decoder's arithmetic: embeddings in, logits out, attention left to whoever holds the KV cache.

Takes its weights from a loaded transformers model and drives them itself, so that prefill and decode share one small
forward without masks being built, experts swapped or the host being asked anything: every step can be captured in a
CUDA graph. Knows nothing of pages, slots or tokens' meaning.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch
import torch.nn.functional as F  # noqa: N812, the name that everybody knows
from torch import Tensor

from ocrpress.engines.deepseek.experts import Experts

if TYPE_CHECKING:
    from torch import nn

# (layer, q, k, v), each (rows, tokens, heads, head_dim) -> (rows, tokens, heads, head_dim)
Attend = Callable[[int, Tensor, Tensor, Tensor], Tensor]


@dataclass(frozen=True)
class Sizes:
    """The figures of a decoder.

    Attributes:
        heads, kv_heads, head_dim: of the attention.
        context: longest sequence, in tokens.
        windows: by layer, how many of the last tokens it attends to beside the whole prompt (reference sliding-window
            attention); 0 means all of them.
    """

    layers: int
    hidden: int
    heads: int
    kv_heads: int
    head_dim: int
    vocabulary: int
    context: int
    windows: tuple[int, ...]

    def cache_bytes(self, dtype: torch.dtype) -> int:
        """What one token takes in the KV cache."""
        return 2 * self.layers * self.kv_heads * self.head_dim * dtype.itemsize


@dataclass(frozen=True)
class Layer:
    """The weights of one layer; gate and up projections, and query, key and value, lie in one tensor each."""

    input_norm: Tensor
    qkv: Tensor
    out: Tensor
    mlp_norm: Tensor
    gate_up: Tensor
    down: Tensor
    experts: Experts | None


class Decoder:
    """The text half of the model.

    Args:
        model: a loaded UnlimitedOcrForConditionalGeneration; its weights are shared, not copied.
    """

    def __init__(self, model: Any) -> None:
        config, text = model.config.text_config, model.model.language_model
        self.sizes = Sizes(
            layers=config.num_hidden_layers, hidden=config.hidden_size, heads=config.num_attention_heads,
            kv_heads=config.num_key_value_heads, head_dim=config.head_dim, vocabulary=config.vocab_size,
            context=config.max_position_embeddings,
            windows=tuple(
                0 if kind == "full_attention" else config.sliding_window
                for kind in config.layer_types[: config.num_hidden_layers]
            ),
        )  # fmt: skip
        self._eps: float = config.rms_norm_eps
        self._embedding: Tensor = text.embed_tokens.weight
        self._head: Tensor = model.lm_head.weight
        self._norm: Tensor = text.norm.weight
        self._layers = [_layer(layer) for layer in text.layers[: config.num_hidden_layers]]
        frequencies = text.rotary_emb.inv_freq.to(device=self.device, dtype=torch.float32)
        angles = torch.arange(self.sizes.context, device=self.device, dtype=torch.float32)[:, None] * frequencies
        scale = text.rotary_emb.attention_scaling
        self._cos = (torch.cat((angles, angles), -1).cos() * scale).to(self.dtype)
        self._sin = (torch.cat((angles, angles), -1).sin() * scale).to(self.dtype)

    @property
    def device(self) -> torch.device:
        """Where the weights lie."""
        return self._embedding.device

    @property
    def dtype(self) -> torch.dtype:
        """Of the weights and the KV cache."""
        return self._embedding.dtype

    @property
    def capturable(self) -> bool:
        """Whether a step asks the host nothing, so that a CUDA graph can hold it."""
        return all(layer.experts is None or layer.experts.grouped for layer in self._layers)

    def embed(self, tokens: Tensor) -> Tensor:
        """Embeddings (…, hidden) of token ids (…)."""
        return F.embedding(tokens, self._embedding)

    def forward(self, x: Tensor, positions: Tensor, attend: Attend) -> Tensor:
        """The last layer's normalised states.

        Args:
            x: (rows, tokens, hidden).
            positions: (rows or 1, tokens), from 0, below the context.
            attend: keeps each layer's keys and values and does its attention.
        """
        cos, sin = self._cos[positions].unsqueeze(2), self._sin[positions].unsqueeze(2)
        shape = (*x.shape[:2], -1, self.sizes.head_dim)
        parts = [n * self.sizes.head_dim for n in (self.sizes.heads, self.sizes.kv_heads, self.sizes.kv_heads)]
        for index, layer in enumerate(self._layers):
            q, k, v = F.linear(self._normed(x, layer.input_norm), layer.qkv).split(parts, dim=-1)
            attended = attend(index, _turn(q.view(shape), cos, sin), _turn(k.view(shape), cos, sin), v.view(shape))
            x = x + F.linear(attended.flatten(2), layer.out)
            x = x + _feed_forward(layer, self._normed(x, layer.mlp_norm))
        return self._normed(x, self._norm)

    def logits(self, states: Tensor) -> Tensor:
        """Scores (…, vocabulary) in float32 of normalised states (…, hidden)."""
        return F.linear(states, self._head).float()

    def _normed(self, x: Tensor, weight: Tensor) -> Tensor:
        return F.rms_norm(x, weight.shape, weight, self._eps)


def _feed_forward(layer: Layer, x: Tensor) -> Tensor:
    gate, up = F.linear(x, layer.gate_up).chunk(2, dim=-1)
    dense = F.linear(F.silu(gate) * up, layer.down)
    if layer.experts is None:
        return dense
    return dense + layer.experts(x.flatten(0, 1)).view_as(x)


def _turn(x: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
    """Rotary position embedding, halves paired (RoFormer, section 3.2.2, in the layout of Llama)."""
    first, second = x.chunk(2, dim=-1)
    return x * cos + torch.cat((-second, first), dim=-1) * sin


def _layer(module: Any) -> Layer:
    attention, mlp = module.self_attn, module.mlp
    sparse = hasattr(mlp, "experts")
    dense = mlp.shared_experts if sparse else mlp
    return Layer(
        input_norm=module.input_layernorm.weight,
        qkv=_joined(attention.q_proj, attention.k_proj, attention.v_proj),
        out=attention.o_proj.weight,
        mlp_norm=module.post_attention_layernorm.weight,
        gate_up=_joined(dense.gate_proj, dense.up_proj),
        down=dense.down_proj.weight,
        experts=Experts(mlp.experts.gate_up_proj, mlp.experts.down_proj, mlp.gate) if sparse else None,
    )


def _joined(*linears: nn.Linear) -> Tensor:
    """The weights of linear layers in one tensor, of which the layers' own become views: no memory is taken twice."""
    joined = torch.cat([linear.weight.data for linear in linears])
    for linear, part in zip(linears, joined.split([linear.weight.shape[0] for linear in linears]), strict=True):
        linear.weight.data = part
    return joined
