"""The decoder's arithmetic: embeddings in, logits out, attention left to whoever holds the KV cache.

Takes its weights from a loaded transformers model and drives them itself, so that prefill and decode share one small
forward without masks being built or experts swapped. A step asks the host nothing where its experts do not (see
experts.py), so that a CUDA graph can hold it. Knows nothing of pages, slots or tokens' meaning.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F  # noqa: N812, the name that everybody knows
from torch import Tensor

from ocrpress.engines.deepseek.experts import Experts
from ocrpress.engines.deepseek.weights import joined

# (layer, q, k, v), each (rows, tokens, heads, head_dim) -> (rows, tokens, heads, head_dim)
Attend = Callable[[int, Tensor, Tensor, Tensor], Tensor]


@dataclass(frozen=True)
class Sizes:
    """The figures of a decoder.

    Attributes:
        heads, kv_heads, head_dim: of the attention.
        context: longest sequence, in tokens.
        window: how many of the last tokens a token attends to beside the whole prompt (reference sliding-window
            attention), itself included; 0 means all of them.
    """

    layers: int
    hidden: int
    heads: int
    kv_heads: int
    head_dim: int
    vocabulary: int
    context: int
    window: int

    def cache_bytes(self, dtype: torch.dtype) -> int:
        """What one token takes in the KV cache."""
        return 2 * self.layers * self.kv_heads * self.head_dim * dtype.itemsize


@dataclass(frozen=True)
class Layer:
    """The weights of one layer, matrices as (in, out); gate and up projections lie in one tensor, and query, key and
    value in another."""

    input_norm: Norm
    qkv: Tensor
    out: Tensor
    mlp_norm: Norm
    gate_up: Tensor
    down: Tensor
    experts: Experts | None


class Norm:
    """RMS norm (Zhang and Sennrich 2019, equation 4) over the last dimension.

    On a CPU, where torch takes seven operations for it and more to get out of bfloat16 and back, it is
    x · w √n / √(|x|² + n ε), in float32.
    """

    def __init__(self, weight: Tensor, eps: float) -> None:
        self._weight, self._eps = weight, eps
        self._scaled: Tensor | None = None
        if weight.device.type == "cpu":
            self._scaled = weight.float() * len(weight) ** 0.5
            self._least = torch.tensor((len(weight) * eps) ** 0.5)

    def __call__(self, x: Tensor) -> Tensor:
        """Of the shape of x."""
        if self._scaled is None:
            return F.rms_norm(x, self._weight.shape, self._weight, self._eps)
        length = torch.linalg.vector_norm(x, dim=-1, keepdim=True, dtype=torch.float32).hypot_(self._least)
        return x.div(length).mul_(self._scaled).to(x.dtype)


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
            window=0 if config.layer_types[0] == "full_attention" else config.sliding_window,
        )  # fmt: skip
        self._embedding: Tensor = text.embed_tokens.weight
        self._head: Tensor = model.lm_head.weight
        self._norm = Norm(text.norm.weight, config.rms_norm_eps)
        self._layers = [_layer(layer, config.rms_norm_eps) for layer in text.layers[: config.num_hidden_layers]]
        frequencies = text.rotary_emb.inv_freq.to(device=self.device, dtype=torch.float32)
        angles = torch.arange(self.sizes.context, device=self.device, dtype=torch.float32)[:, None] * frequencies
        scale = text.rotary_emb.attention_scaling
        self._cos = (torch.cat((angles, angles), -1).cos() * scale).to(self.dtype)
        self._sin = (torch.cat((-angles, angles), -1).sin() * scale).to(self.dtype)  # see _turn

    @property
    def device(self) -> torch.device:
        """Where the weights lie."""
        return self._embedding.device

    @property
    def dtype(self) -> torch.dtype:
        """Of the weights and the KV cache."""
        return self._embedding.dtype

    @property
    def expert_path(self) -> str:
        """How a decoding step computes the experts (see `experts.expert_path`); "none" if there are none."""
        return next((layer.experts.path for layer in self._layers if layer.experts), "none")

    def embed(self, tokens: Tensor) -> Tensor:
        """Embeddings (…, hidden) of token ids (…)."""
        return F.embedding(tokens, self._embedding)

    def forward(self, x: Tensor, positions: Tensor, attend: Attend, step: bool = False) -> Tensor:
        """The last layer's normalised states.

        Args:
            x: (rows, tokens, hidden).
            positions: (rows or 1, tokens), from 0, below the context.
            attend: keeps each layer's keys and values and does its attention.
            step: this is a decoding step, in which the host must not be asked for a value.
        """
        sizes = self.sizes
        heads, kv_heads = sizes.heads, sizes.kv_heads
        halves = (*x.shape[:2], -1, 2, sizes.head_dim // 2)
        cos, sin = (table[positions].unflatten(-1, halves[3:]).unsqueeze(2) for table in (self._cos, self._sin))
        states = x.flatten(0, 1)
        for index, layer in enumerate(self._layers):
            qkv = torch.mm(layer.input_norm(states), layer.qkv).view(halves)
            qk, v = qkv.split_with_sizes((heads + kv_heads, kv_heads), 2)
            q, k = _turn(qk, cos, sin).split_with_sizes((heads, kv_heads), 2)
            attended = attend(index, q, k, v.flatten(3))
            states = torch.addmm(states, attended.reshape(len(states), -1), layer.out)
            states = _feed_forward(layer, states, step)
        return self._norm(states).view_as(x)

    def logits(self, states: Tensor) -> Tensor:
        """Scores (…, vocabulary) of normalised states (…, hidden), in the weights' type."""
        return torch.matmul(states, self._head.T)


def _feed_forward(layer: Layer, x: Tensor, step: bool) -> Tensor:
    """x and what the layer's second half adds to it; x (tokens, hidden)."""
    normed = layer.mlp_norm(x)
    gate, up = torch.mm(normed, layer.gate_up).split_with_sizes((len(layer.down),) * 2, 1)
    dense = torch.addmm(x, F.silu(gate).mul_(up), layer.down)
    return dense if layer.experts is None else dense + layer.experts(normed, step)


def _turn(x: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
    """Rotary position embedding, halves paired (RoFormer, section 3.2.2, in the layout of Llama).

    Args:
        x: (…, 2, head_dim / 2).
        cos, sin: likewise; the sine of the first half is negated.

    Returns:
        (…, head_dim).
    """
    return torch.addcmul(x * cos, x.flip(-2), sin).flatten(-2)


def _layer(module: Any, eps: float) -> Layer:
    attention, mlp = module.self_attn, module.mlp
    sparse = hasattr(mlp, "experts")
    dense = mlp.shared_experts if sparse else mlp
    return Layer(
        input_norm=Norm(module.input_layernorm.weight, eps),
        qkv=joined((attention.q_proj, attention.k_proj, attention.v_proj)).T,
        out=attention.o_proj.weight.T,
        mlp_norm=Norm(module.post_attention_layernorm.weight, eps),
        gate_up=joined((dense.gate_proj, dense.up_proj)).T,
        down=dense.down_proj.weight.T,
        experts=Experts(mlp.experts.gate_up_proj, mlp.experts.down_proj, mlp.gate) if sparse else None,
    )
