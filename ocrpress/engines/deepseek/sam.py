"""DeepEncoder's first half: SAM's ViT with windowed and global attention, its neck, and the 16-fold compressor.

Our own forward over the weights of a loaded transformers module, channels last throughout. What depends on the size of
a view alone (position tables) is made once a size. Nothing here waits for the device.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F  # noqa: N812, the name that everybody knows
from torch import Tensor

from ocrpress.engines.deepseek.relative import RelativeAttention, relative_attention
from ocrpress.errors import EngineError

Step = Callable[[Tensor], Tensor]


@dataclass(frozen=True)
class Layer:
    """One layer's parts.

    Attributes:
        window: side of its windows in patches; 0 attends to the whole view.
        padding: what a patch of zeros projects to: queries, keys and values (3 × channels).
        rel_h, rel_w: relative positions as trained, (2m - 1, head dimension).
    """

    norm1: Step
    qkv: Step
    proj: Step
    norm2: Step
    widen: Step
    act: Step
    narrow: Step
    window: int
    padding: Tensor
    rel_h: Tensor
    rel_w: Tensor


@dataclass(frozen=True)
class Cut:
    """How a view is cut into windows, padded to whole ones.

    Attributes:
        places: (side², heads): where each head of a patch stands among (windows, heads, patches of a window).
        padding: (…, heads), the places that are left.
        windows: how many there are.
    """

    places: Tensor
    padding: Tensor
    windows: int


@dataclass(frozen=True)
class Tables:
    """What depends on the grid of patches alone.

    Attributes:
        absolute: (1, side, side, channels), added to the patches.
        attention: one for each layer.
        cuts: by side of a window.
    """

    absolute: Tensor
    attention: tuple[RelativeAttention, ...]
    cuts: dict[int, Cut]


class SamEncoder:
    """Patches of views -> features, one for each 4 × 4 patches.

    Args:
        module: an `UnlimitedOcrSamVisionEncoder`. Its weights must stay where and as they are: tables made from them
            are kept.

    Raises:
        EngineError: the module has no position embeddings.
    """

    def __init__(self, module: Any) -> None:
        config, neck, compressor = module.config, module.neck, module.proj
        if not (config.use_abs_pos and config.use_rel_pos):
            raise EngineError("the checkpoint's SAM encoder has no position embeddings", "take another checkpoint")
        self.heads: int = config.num_attention_heads
        self.layers = [_layer(layer) for layer in module.layers]
        self.positions: Tensor = module.pos_embed
        self.patch_weight: Tensor = module.patch_embed.projection.weight.flatten(1)
        self.patch_bias: Tensor = module.patch_embed.projection.bias
        self.neck_weight: Tensor = neck.conv1.weight.flatten(1)
        self.neck_norms = (neck.layer_norm1, neck.layer_norm2)
        self.kernels: list[Tensor] = [
            convolution.weight.contiguous(memory_format=torch.channels_last)
            for convolution in (neck.conv2, compressor.conv1, compressor.conv2)
        ]
        self.windowed = [_attention(layer, layer.window) if layer.window else None for layer in self.layers]
        self.tables: dict[int, Tables] = {}

    def __call__(self, patches: Tensor) -> Tensor:
        """(views, side, side, channels × y × x of a patch) -> (views, side / 4, side / 4, channels)."""
        tables = self.tables_for(patches.shape[1])
        x = F.linear(patches, self.patch_weight, self.patch_bias) + tables.absolute
        buffers: dict[int, Tensor] = {}
        for layer, attention in zip(self.layers, tables.attention, strict=True):
            x += self._attend(layer, attention, x, tables, buffers)
            x += layer.narrow(layer.act(layer.widen(layer.norm2(x))))
        return self._compress(x)

    def tables_for(self, side: int) -> Tables:
        """The tables of a side × side grid of patches, made at the first call."""
        if side not in self.tables:
            attention = tuple(
                windowed or _attention(layer, side) for windowed, layer in zip(self.windowed, self.layers, strict=True)
            )
            cuts = {
                layer.window: cut(side, layer.window, self.heads, self.positions.device)
                for layer in self.layers
                if layer.window
            }
            self.tables[side] = Tables(resample(self.positions, side), attention, cuts)
        return self.tables[side]

    def _attend(
        self, layer: Layer, attention: RelativeAttention, x: Tensor, tables: Tables, buffers: dict[int, Tensor]
    ) -> Tensor:
        """One layer's attention, without the residual: (views, side, side, channels).

        Args:
            buffers: by window, what layers write q, k and v into; empty before the first layer.
        """
        views, side, _, _ = x.shape
        qkv = layer.qkv(layer.norm1(x)).view(views, side**2, 3, self.heads, -1).permute(2, 0, 1, 3, 4)
        depth = qkv.shape[-1]
        if not layer.window:
            qkv = qkv.transpose(2, 3)
            if attention.extra:
                buffer = self._buffer(buffers, layer, attention, qkv, views)
                as_int64(buffer[..., :depth]).copy_(as_int64(qkv))
                qkv = buffer
            return layer.proj(attention(qkv, depth).transpose(1, 2).reshape_as(x))
        made = tables.cuts[layer.window]
        buffer = self._buffer(buffers, layer, attention, qkv.transpose(2, 3), views * made.windows)
        inner = as_int64(buffer[..., :depth]).unflatten(1, (views, -1)).flatten(2, 4)
        inner[:, :, made.places] = as_int64(qkv)
        inner[:, :, made.padding] = as_int64(layer.padding.view(3, 1, 1, self.heads, depth))
        mixed = as_int64(attention(buffer, depth)).unflatten(0, (views, -1)).flatten(1, 3)
        return layer.proj(mixed[:, made.places].view(x.dtype).view_as(x))

    @staticmethod
    def _buffer(
        buffers: dict[int, Tensor], layer: Layer, attention: RelativeAttention, qkv: Tensor, batch: int
    ) -> Tensor:
        """What the layers of one kind share, made by the first of them."""
        if layer.window not in buffers:
            buffers[layer.window] = attention.buffer(qkv, batch)
        return buffers[layer.window]

    def _compress(self, x: Tensor) -> Tensor:
        """The neck, then two convolutions that halve both sides."""
        middle, half, quarter = self.kernels
        x = _normed(self.neck_norms[0], F.linear(x, self.neck_weight)).permute(0, 3, 1, 2)
        x = F.conv2d(x, middle, padding=1).permute(0, 2, 3, 1)
        x = _normed(self.neck_norms[1], x).permute(0, 3, 1, 2)
        x = F.conv2d(F.conv2d(x, half, stride=2, padding=1), quarter, stride=2, padding=1)
        return x.permute(0, 2, 3, 1)


def _layer(layer: Any) -> Layer:
    attention, mlp = layer.attn, layer.mlp
    bias, weight = attention.qkv.bias, attention.qkv.weight
    return Layer(
        norm1=layer.layer_norm1, qkv=attention.qkv, proj=attention.proj,
        norm2=layer.layer_norm2, widen=mlp.lin1, act=mlp.act, narrow=mlp.lin2,
        window=layer.window_size, padding=weight.new_zeros(weight.shape[0]) if bias is None else bias,
        rel_h=attention.rel_pos_h, rel_w=attention.rel_pos_w,
    )  # fmt: skip


def _attention(layer: Layer, side: int) -> RelativeAttention:
    return relative_attention(layer.rel_h, layer.rel_w, side)


def _normed(norm: torch.nn.LayerNorm, x: Tensor) -> Tensor:
    """A norm of the neck over the last axis; called itself it would want channels first."""
    return F.layer_norm(x, norm.normalized_shape, norm.weight, norm.bias, norm.eps)


def resample(table: Tensor, side: int) -> Tensor:
    """(1, m, m, channels) absolute positions for side × side places: bicubic, antialiased, in float32."""
    if table.shape[1:3] == (side, side):
        return table
    planes = table.float().permute(0, 3, 1, 2)
    planes = F.interpolate(planes, size=(side, side), mode="bicubic", align_corners=False, antialias=True)
    return planes.permute(0, 2, 3, 1).to(table.dtype).contiguous()


def as_int64(x: Tensor) -> Tensor:
    """The same memory as int64: kernels that move one element at a time then move 8 bytes.

    The last dimension is contiguous and takes a multiple of 8 bytes, as do all strides.
    """
    return x.view(torch.int64)


def cut(side: int, window: int, heads: int, device: torch.device) -> Cut:
    """Cut a view of side × side patches into windows.

    SAM pads with zeros after the norm and before the projection, and its padding takes part in attention. Padded after
    the projection, with what zeros project to, it comes to the same, and the padding (42 % of the rows in a view of
    512²) need not be projected.
    """
    across = -(-side // window)
    cells = torch.arange((across * window) ** 2 * heads, device=device)
    cells = cells.view(across, across, heads, window, window).permute(0, 3, 1, 4, 2)
    grid = cells.reshape(across * window, across * window, heads)
    padding = torch.cat([grid[:side, side:].flatten(0, 1), grid[side:].flatten(0, 1)])
    return Cut(grid[:side, :side].flatten(0, 1), padding, across**2)
