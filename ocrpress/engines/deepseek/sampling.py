"""The next token of every row: the likeliest, or drawn at the row's own temperature.

The draw adds Gumbel noise to the scores (the Gumbel-max trick). The noise is a hash of seed, position and token, so
a page's tokens do not depend on what else is in the batch, nor on its slot.
"""

from __future__ import annotations

import torch
from torch import Tensor

_MASK = 0xFFFFFFFF
_BITS = 23  # so many that (k + 0.5) / 2^23 is exact in float32, hence never 0 or 1


def choose(logits: Tensor, temperatures: Tensor | None, seeds: Tensor, positions: Tensor) -> Tensor:
    """Token ids (rows,).

    Args:
        logits: (rows, vocabulary), float32.
        temperatures: (rows,), 0 for the likeliest token; None if no row draws.
        seeds, positions: (rows,), int64.
    """
    if temperatures is None:
        return logits.argmax(dim=-1)
    drawing = temperatures[:, None] > 0
    noise = gumbel(seeds, positions, logits.shape[1])
    scaled = logits / temperatures[:, None].clamp(min=1e-3)
    return torch.where(drawing, scaled + noise, logits).argmax(dim=-1)


def gumbel(seeds: Tensor, positions: Tensor, vocabulary: int) -> Tensor:
    """Standard Gumbel noise (rows, vocabulary), float32, the same for the same seed and position."""
    tokens = torch.arange(vocabulary, device=seeds.device)
    row = _mix(_mix(seeds & _MASK) + positions)
    uniform = (_mix(row[:, None] + tokens * 0x9E3779B1) >> (32 - _BITS)).float().add(0.5).div(2.0**_BITS)
    return -torch.log(-torch.log(uniform))


def _mix(x: Tensor) -> Tensor:
    """32-bit finalizer of MurmurHash3, in int64."""
    x = x & _MASK
    x = ((x ^ (x >> 16)) * 0x85EBCA6B) & _MASK
    x = ((x ^ (x >> 13)) * 0xC2B2AE35) & _MASK
    return x ^ (x >> 16)
