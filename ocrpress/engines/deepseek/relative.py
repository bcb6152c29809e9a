"""Attention over an n × n grid with SAM's decomposed relative positions. Knows tensors only, no model and no image.

The score of query (y, x) and key (y', x') is q·k / sqrt(d) + q·R[y, y'] + q·C[x, x'] (Li et al., MViTv2, section 4.1).
Written out, that bias is a number for every pair of patches: 403 MB a page and layer at 1024² in bfloat16. It is never
made whole here. Two exact ways around it; `relative_attention` says which is taken where.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import torch
import torch.nn.functional as F  # noqa: N812, the name that everybody knows
from torch import Tensor

BAND_ELEMENTS = 2**25  # of the bias of one band of query rows: 128 MiB in float32
HEAD_MULTIPLE = 8  # fused kernels take head dimensions that are multiples of this


class RelativeAttention(Protocol):
    """Attention over one grid size in one layer."""

    def __call__(self, q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        """Of (batch, heads, n², d) each, patches row by row; the result has the same shape."""
        ...


@dataclass(frozen=True)
class Augmented:
    """The bias as part of the dot product: one fused attention without a mask, on head dimension d + 2n.

    A query is lengthened by its n scores against row distances and its n against column distances, a key by two
    one-hot vectors that pick its own row and column. Values are lengthened by zeros: flash kernels want one head
    dimension.

    Attributes:
        rows, columns: (n, n, d), times sqrt(d), which the kernel's scale takes off again.
        keys: (n², 2n and padding): one-hot row, one-hot column, zeros up to the next multiple of 8 for d + 2n.
    """

    rows: Tensor
    columns: Tensor
    keys: Tensor

    def __call__(self, q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        """See RelativeAttention."""
        depth, extra = q.shape[-1], self.keys.shape[-1]
        down, across = _scores(q, self.rows, self.columns)
        zeros = self.keys[:, down.shape[-1] + across.shape[-1] :].expand(*q.shape[:2], -1, -1)
        longer_q = torch.cat([q, down, across, zeros], -1)
        longer_k = torch.cat([k, self.keys.expand(*k.shape[:2], -1, -1)], -1)
        longer_v = F.pad(v, (0, extra))
        return F.scaled_dot_product_attention(longer_q, longer_k, longer_v, scale=depth**-0.5)[..., :depth]


@dataclass(frozen=True)
class Banded:
    """The bias made for a band of query rows at a time, in one buffer, and handed over as a mask.

    Attributes:
        rows, columns: (n, n, d).
    """

    rows: Tensor
    columns: Tensor

    def __call__(self, q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        """See RelativeAttention."""
        batch, heads, patches, _ = q.shape
        side = self.rows.shape[0]
        down, across = _scores(q, self.rows, self.columns)
        band = side * max(1, BAND_ELEMENTS // (batch * heads * side * patches))
        buffer = q.new_empty(batch, heads, min(band, patches), side, side)
        out = q.new_empty(q.shape)
        for start in range(0, patches, band):
            here = slice(start, min(start + band, patches))
            bias = buffer[:, :, : here.stop - start]
            torch.add(down[:, :, here, :, None], across[:, :, here, None, :], out=bias)
            out[:, :, here] = F.scaled_dot_product_attention(q[:, :, here], k, v, attn_mask=bias.flatten(-2))
        return out


def relative_attention(rel_h: Tensor, rel_w: Tensor, side: int) -> RelativeAttention:
    """Attention over side × side patches, by the way that is best for the weights' device and type.

    Augmented, except in float32 on the CPU. On a GPU it is what lets flash kernels apply, which take no bias. On the
    CPU, against a whole bias (Xeon with AMX, one thread, processor time, 12 heads of 64; memory at 64 × 64):

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
    rows, columns = distance_table(rel_h, side), distance_table(rel_w, side)
    if rel_h.device.type == "cpu" and rel_h.dtype == torch.float32:
        return Banded(rows, columns)
    return augmented(rows, columns)


def augmented(rows: Tensor, columns: Tensor) -> Augmented:
    """Augmented from two distance tables."""
    side, depth = rows.shape[0], rows.shape[2]
    one_hot = torch.eye(side, device=rows.device, dtype=rows.dtype)
    keys = torch.cat([one_hot.repeat_interleave(side, 0), one_hot.repeat(side, 1)], 1)
    padding = -(depth + 2 * side) % HEAD_MULTIPLE
    return Augmented(rows * depth**0.5, columns * depth**0.5, F.pad(keys, (0, padding)))


def distance_table(relative: Tensor, side: int) -> Tensor:
    """(side, side, d): entry [i, j] is for a query at i and a key at j. From (2m - 1, d), linearly resampled."""
    distances = 2 * side - 1
    if relative.shape[0] != distances:
        resampled = F.interpolate(relative.float().T[None], size=distances, mode="linear")
        relative = resampled[0].T.to(relative.dtype)
    place = torch.arange(side, device=relative.device)
    return relative[place[:, None] - place + side - 1]


def _scores(q: Tensor, rows: Tensor, columns: Tensor) -> tuple[Tensor, Tensor]:
    """Every query against the distances to the n rows, and to the n columns: (batch, heads, n², n) each."""
    side = rows.shape[0]
    grid = q.view(*q.shape[:2], side, side, -1)
    down = torch.einsum("bhyxc,ykc->bhyxk", grid, rows)
    across = torch.einsum("bhyxc,xkc->bhyxk", grid, columns)
    return down.flatten(2, 3), across.flatten(2, 3)
