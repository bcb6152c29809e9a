"""The next token of every row: the likeliest, or drawn at the row's own temperature.

The draw adds Gumbel noise to the scores (the Gumbel-max trick). The noise is a hash of seed, position and token, so
a page's tokens do not depend on what else is in the batch, nor on its slot.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

_MASK = 0xFFFFFFFF
_BITS = 23  # so many that (k + 0.5) / 2^23 is exact in float32, hence never 0 or 1


@dataclass(frozen=True)
class Drawing:
    """The rows that draw their tokens, by number; a row may stand there twice.

    Attributes:
        rows, temperatures, seeds, positions: (drawn,); temperatures above 0, the others int64.
    """

    rows: Tensor
    temperatures: Tensor
    seeds: Tensor
    positions: Tensor


def choose(logits: Tensor, drawing: Drawing | None = None) -> tuple[Tensor, Tensor]:
    """Token ids (rows,), and the highest score of each row: NaN if any is NaN.

    Args:
        logits: (rows, vocabulary).
        drawing: None if no row draws.
    """
    highest, chosen = logits.max(dim=-1)
    if drawing is None:
        return chosen, highest
    noise = gumbel(drawing.seeds, drawing.positions, logits.shape[1])
    noise.addcdiv_(logits[drawing.rows].float(), drawing.temperatures[:, None].clamp(min=1e-3))
    return chosen.index_copy_(0, drawing.rows, noise.argmax(dim=-1)), highest


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
