"""DeepEncoder's second half: CLIP's ViT over SAM's compressed features in place of patches.

Our own forward over the weights of a loaded transformers module. Position tables are made once a size. Nothing here
waits for the device.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from math import isqrt
from typing import Any

import torch
import torch.nn.functional as F  # noqa: N812, the name that everybody knows
from torch import Tensor

from ocrpress.engines.deepseek.sam import resample
from ocrpress.engines.deepseek.weights import joined

Step = Callable[[Tensor], Tensor]
QUICK = 1.702  # of the quick GELU


@dataclass(frozen=True)
class Layer:
    """One layer's parts; weight and bias make query, key and value in one product."""

    norm1: Step
    weight: Tensor
    bias: Tensor
    out: Step
    norm2: Step
    mlp: Step


class ClipEncoder:
    """SAM's features of views -> as many features that have seen the whole view.

    Args:
        module: an `UnlimitedOcrVisionEncoder`. Its weights must stay where and as they are. Those of query, key and
            value become views of one tensor, so that nothing is held twice; the module works as before.
    """

    def __init__(self, module: Any) -> None:
        self.heads: int = module.config.num_attention_heads
        self.first: Tensor = module.embeddings.class_embedding
        self.trained: Tensor = module.embeddings.position_embedding.weight
        self.norm: Step = module.pre_layrnorm
        self.layers = [_layer(layer) for layer in module.encoder.layers]
        self.positions: dict[int, Tensor] = {}

    def __call__(self, features: Tensor) -> Tensor:
        """(views, side, side, channels) -> (views, side², channels)."""
        views, side, _, channels = features.shape
        first = self.first.expand(views, 1, channels)
        x = self.norm(torch.cat([first, features.flatten(1, 2)], 1) + self.positions_for(side))
        for layer in self.layers:
            qkv = F.linear(layer.norm1(x), layer.weight, layer.bias)
            q, k, v = qkv.view(views, side * side + 1, 3, self.heads, -1).permute(2, 0, 3, 1, 4)
            x += layer.out(F.scaled_dot_product_attention(q, k, v).transpose(1, 2).flatten(2))
            x += layer.mlp(layer.norm2(x))
        return x[:, 1:]

    def positions_for(self, side: int) -> Tensor:
        """(1, 1 + side², channels): the class token's position, then those of side × side places."""
        if side not in self.positions:
            trained = isqrt(self.trained.shape[0] - 1)
            places = resample(self.trained[1:].view(1, trained, trained, -1), side)
            self.positions[side] = torch.cat([self.trained[None, :1], places.flatten(1, 2)], 1)
        return self.positions[side]


class QuickMlp:
    """CLIP's MLP with the quick GELU, x · sigmoid(1.702 x).

    That is silu(1.702 x) / 1.702; both factors belong to products, so that the activation is one pass and not three.
    """

    def __init__(self, mlp: Any) -> None:
        self._widen, self._narrow, self._narrow_bias = mlp.fc1.weight.T, mlp.fc2.weight.T, mlp.fc2.bias
        self._widen_bias = (mlp.fc1.bias.float() * QUICK).to(mlp.fc1.bias.dtype)

    def __call__(self, x: Tensor) -> Tensor:
        """Of the shape of x, (views, features, channels)."""
        hidden = torch.addmm(self._widen_bias, x.flatten(0, 1), self._widen, alpha=QUICK)
        F.silu(hidden, inplace=True)
        return torch.addmm(self._narrow_bias, hidden, self._narrow, alpha=1 / QUICK).view_as(x)


def _layer(layer: Any) -> Layer:
    from transformers.activations import QuickGELUActivation

    attention = layer.self_attn
    parts = (attention.q_proj, attention.k_proj, attention.v_proj)
    mlp = QuickMlp(layer.mlp) if isinstance(layer.mlp.activation_fn, QuickGELUActivation) else layer.mlp
    return Layer(layer.layer_norm1, joined(parts), joined(parts, "bias"), attention.out_proj, layer.layer_norm2, mlp)
