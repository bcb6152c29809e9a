"""Attention over an n × n grid with SAM's decomposed relative positions. Knows tensors only, no model and no image.

The score of query (y, x) and key (y', x') is q·k / sqrt(d) + q·R[y, y'] + q·C[x, x'] (Li et al., MViTv2, section 4.1).
Written out, that bias is a number for every pair of patches: 403 MB a page and layer at 1024² in bfloat16. It is never
made whole here. Two exact ways around it; `relative_attention` says which is taken where.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import isqrt
from typing import Protocol

import torch
import torch.nn.functional as F  # noqa: N812, the name that everybody knows
from torch import Tensor

BAND_ELEMENTS = 2**25  # of the bias of one band of query rows: 128 MiB in float32
HEAD_MULTIPLE = 8  # fused kernels take head dimensions that are multiples of this


class RelativeAttention(Protocol):
    """Attention over one grid size in one layer."""

    @property
    def extra(self) -> int:
        """How much longer than d the last dimension of the tensor that it takes is."""
        ...

    def buffer(self, like: Tensor, batch: int) -> Tensor:
        """Make a tensor that it takes, (3, batch, heads, n², d + extra); q, k and v are to be written into the first d.

        What lies beyond d serves every layer of the same grid.

        Args:
            like: its type, device, heads and d: (3, …, heads, n², d).
        """
        ...

    def __call__(self, qkv: Tensor, depth: int) -> Tensor:
        """Attend; of (3, batch, heads, n², depth + extra), patches row by row.

        Returns:
            (batch, heads, n², depth).
        """
        ...


@dataclass(frozen=True)
class Augmented:
    """The bias as part of the dot product: one fused attention without a mask, on head dimension d + 2n.

    A query is lengthened by its n scores against row distances and its n against column distances, a key by two
    one-hot vectors that pick its own row and column. Values are lengthened by zeros: flash kernels want one head
    dimension.

    Attributes:
        distances: as `_joined` makes them, times sqrt(d), which the kernel's scale takes off again.
        keys: (n², 2n and padding): one-hot row, one-hot column, zeros up to the next multiple of 8 for d + 2n.
    """

    distances: Tensor
    keys: Tensor

    @property
    def extra(self) -> int:
        """See RelativeAttention."""
        return self.keys.shape[1]

    def buffer(self, like: Tensor, batch: int) -> Tensor:
        """See RelativeAttention."""
        patches, heads, depth = self.keys.shape[0], like.shape[-3], like.shape[-1]
        buffer = like.new_empty(3, batch, heads, patches, depth + self.extra)
        q, k, v = buffer
        q[..., depth + 2 * isqrt(patches) :] = 0
        k[..., depth:] = self.keys
        v[..., depth:] = 0
        return buffer

    def __call__(self, qkv: Tensor, depth: int) -> Tensor:
        """See RelativeAttention."""
        q, k, v = qkv
        side = isqrt(q.shape[2])
        down, across = _scores(q[..., :depth], self.distances, side)
        grid = q.unflatten(2, (side, side))
        grid[..., depth : depth + side] = down
        grid[..., depth + side : depth + 2 * side] = across
        mixed: Tensor = F.scaled_dot_product_attention(q, k, v, scale=depth**-0.5)
        return mixed[..., :depth]


@dataclass(frozen=True)
class Banded:
    """The bias made for a band of query rows at a time, in one buffer, and handed over as a mask.

    Attributes:
        distances: as `_joined` makes them.
    """

    distances: Tensor
    side: int
    extra = 0

    def buffer(self, like: Tensor, batch: int) -> Tensor:
        """See RelativeAttention."""
        return like.new_empty(3, batch, *like.shape[-3:-2], self.side**2, like.shape[-1])

    def __call__(self, qkv: Tensor, depth: int) -> Tensor:
        """See RelativeAttention."""
        q, k, v = qkv
        batch, heads, patches, _ = q.shape
        down, across = _scores(q, self.distances, self.side)
        lines = max(1, BAND_ELEMENTS // (batch * heads * self.side * patches))
        band = q.new_empty(batch, heads, min(lines, self.side), *(3 * [self.side]))
        out: Tensor = q.new_empty(q.shape)
        for start in range(0, self.side, lines):
            stop = min(start + lines, self.side)
            bias = band[:, :, : stop - start]
            torch.add(down[:, :, start:stop, ..., :, None], across[:, :, start:stop, ..., None, :], out=bias)
            here = slice(start * self.side, stop * self.side)
            mask = bias.view(batch, heads, -1, patches)
            out[:, :, here] = F.scaled_dot_product_attention(q[:, :, here], k, v, attn_mask=mask)
        return out


def relative_attention(rel_h: Tensor, rel_w: Tensor, side: int) -> RelativeAttention:
    """Attention over side × side patches, by the way that is best for the weights' device and type.

    Augmented, except in float32 on the CPU. On a GPU it is what lets flash kernels apply, which take no bias. On the
    CPU, against a whole bias (Xeon with AMX, one thread, processor time, 12 heads of 64; memory at 64 × 64;
    measured when q, k and v were still lengthened by copies):

    | | 32 × 32 | 64 × 64 | 80 × 80 | windows of 14 × 14 | memory |
    | --- | --- | --- | --- | --- | --- |
    | bfloat16, Augmented | 0.70 | 0.67 | 0.80 | 0.64 | 145 of 433 MB |
    | bfloat16, Banded | 0.96 | 0.73 | 0.90 | 1.05 | 115 of 433 MB |
    | float32, Augmented | 1.07 | 1.35 | 1.45 | 0.96 | 192 of 828 MB |
    | float32, Banded | 0.98 | 1.04 | 1.06 | 1.10 | 184 of 828 MB |

    Augmented is also nearer to the truth in bfloat16, since the sum of the two parts of the bias is never rounded.

    Args:
        rel_h, rel_w: (2m - 1, d) each, as trained for m × m patches; resampled to 2 side - 1 distances.
    """
    if rel_h.device.type == "cpu" and rel_h.dtype == torch.float32:
        return banded(rel_h, rel_w, side)
    return augmented(rel_h, rel_w, side)


def banded(rel_h: Tensor, rel_w: Tensor, side: int) -> Banded:
    """Banded from relative positions as trained."""
    return Banded(_joined(rel_h, rel_w, side), side)


def augmented(rel_h: Tensor, rel_w: Tensor, side: int) -> Augmented:
    """Augmented from relative positions as trained."""
    depth = rel_h.shape[1]
    one_hot = torch.eye(side, device=rel_h.device, dtype=rel_h.dtype)
    keys = torch.cat([one_hot.repeat_interleave(side, 0), one_hot.repeat(side, 1)], 1)
    padding = -(depth + 2 * side) % HEAD_MULTIPLE
    return Augmented(_joined(rel_h, rel_w, side) * depth**0.5, F.pad(keys, (0, padding)))


def distances(relative: Tensor, side: int) -> Tensor:
    """(2 side - 1, d): entry [i - j + side - 1] is for a query at i and a key at j. Linearly resampled."""
    count = 2 * side - 1
    if relative.shape[0] == count:
        return relative
    return F.interpolate(relative.float().T[None], size=count, mode="linear")[0].T.to(relative.dtype)


def _joined(rel_h: Tensor, rel_w: Tensor, side: int) -> Tensor:
    """(4 side, d): row distances and column distances, each the largest first and a zero at its end."""
    return torch.cat([F.pad(distances(each, side).flip(0), (0, 0, 0, 1)) for each in (rel_h, rel_w)])


def _scores(q: Tensor, table: Tensor, side: int) -> tuple[Tensor, Tensor]:
    """Every query against its distances to the n rows, and to the n columns: views (batch, heads, n, n, n).

    One product with all distances, of which each query's lie side by side: those of the next row or column begin one
    place earlier. Picking them is a matter of strides.

    Args:
        q: (batch, heads, n², d).
        table: of `_joined`.
    """
    scores = torch.mm(q.flatten(0, 2), table.T)
    width = 4 * side
    line, grid = side * width, side * side * width
    shape, outer = (*q.shape[:2], side, side, side), (q.shape[1] * grid, grid)
    return (
        scores.as_strided(shape, (*outer, line - 1, width, 1), side - 1),
        scores.as_strided(shape, (*outer, line, width - 1, 1), 3 * side - 1),
    )
