"""The KV cache: one pool of tokens, in which every row holds an extent that is as long as it needs.

A row's keys and values lie one behind the other, so that a kernel finds them by where they begin and how many count. A
long row costs its own length and nothing more; when it outgrows its extent, it is given a longer one.

With a sliding window a row keeps its prompt and the last `window` tokens: the newest overwrites the oldest. Attention
asks for no order, since positions are part of the keys already.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
import torch.nn.functional as F  # noqa: N812, the name that everybody knows
from torch import Tensor

from ocrpress.engines.deepseek.attention import RowAttention, over_extents
from ocrpress.engines.deepseek.decoder import Attend, Sizes

GRANULE = 256  # tokens: extents are multiples of it


def rounded(tokens: int) -> int:
    """Tokens rounded up to a multiple of GRANULE."""
    return -(-tokens // GRANULE) * GRANULE


def on_device(values: Sequence[Any], device: torch.device, dtype: torch.dtype = torch.long) -> Tensor:
    """Numbers of the host as a tensor of the device, without waiting for what the device is doing."""
    tensor = torch.tensor(values, dtype=dtype, pin_memory=device.type == "cuda" and torch.cuda.is_initialized())
    return tensor.to(device, non_blocking=True)


class Extents:
    """Which row holds which part of the pool. First fit, so that what is in use lies together. Sizes in tokens."""

    def __init__(self, tokens: int) -> None:
        self.tokens = tokens
        self._held: dict[int, tuple[int, int]] = {}

    @property
    def free(self) -> int:
        """Tokens that nobody holds, in one piece or not."""
        return self.tokens - sum(size for _, size in self._held.values())

    def get(self, row: int) -> tuple[int, int]:
        """Where a row's extent begins, and its size; (0, 0) if it has none."""
        return self._held.get(row, (0, 0))

    def take(self, row: int, size: int) -> bool:
        """Give a row an extent, in the place of the one it has; False if there is no gap so large."""
        start = 0
        for taken, length in sorted(held for other, held in self._held.items() if other != row):
            if taken - start >= size:
                break
            start = taken + length
        if start + size > self.tokens:
            return False
        self._held[row] = start, size
        return True

    def release(self, row: int) -> None:
        """Take a row's extent back."""
        self._held.pop(row, None)

    def rename(self, row: int, other: int) -> None:
        """Hand an extent over to another row, which has none."""
        self._held[other] = self._held.pop(row)

    def compact(self) -> list[tuple[int, int, int, int]]:
        """Move all extents together, in their order: (row, from, to, size) of those that must move, in turn."""
        moves, end = [], 0
        for row, (start, size) in sorted(self._held.items(), key=lambda item: item[1]):
            if start != end:
                moves.append((row, start, end, size))
                self._held[row] = end, size
            end += size
        return moves


class KVCache:
    """Keys and values of all layers: (layers, 2, tokens, kv_heads, head_dim).

    Args:
        tokens: of the pool.
        rows: the most that are decoded side by side.
        attention: of a decoding step.
    """

    def __init__(
        self, sizes: Sizes, tokens: int, rows: int, device: torch.device, dtype: torch.dtype, attention: RowAttention
    ) -> None:
        self._sizes, self._attention = sizes, attention
        shape = (sizes.layers, 2, tokens, sizes.kv_heads, sizes.head_dim)
        # A kernel may read past a row's last token, and weigh that by 0: on a GPU nothing there may be NaN. On a CPU
        # nothing is read that does not count, and memory is taken as it is written.
        make = torch.zeros if device.type == "cuda" else torch.empty
        self._pool = make(shape, device=device, dtype=dtype)
        self._layers = [(layer[0], layer[1]) for layer in self._pool]
        self._numbers = torch.arange(rows + 1, device=device, dtype=torch.int32)

    def copy(self, source: int, target: int, size: int) -> None:
        """Copy so many tokens of the pool to another place, which may overlap."""
        found = self._pool[:, :, source : source + size]
        overlaps = abs(source - target) < size
        self._pool[:, :, target : target + size] = found.clone() if overlaps else found

    def wipe(self, start: int, size: int) -> None:
        """Fill so many tokens with zeros."""
        self._pool[:, :, start : start + size].zero_()

    def prefill(self, starts: Sequence[int], lengths: Sequence[int]) -> Attend:
        """Attention of whole prompts of these lengths, padded at their end to the longest, into these extents."""
        longest, device = max(lengths), self._pool.device
        placed = [start + place for start, length in zip(starts, lengths, strict=True) for place in range(length)]
        kept = [row * longest + place for row, length in enumerate(lengths) for place in range(length)]
        targets = on_device(placed, device)
        sources = on_device(kept, device) if len(kept) < longest * len(lengths) else None

        def attend(layer: int, q: Tensor, k: Tensor, v: Tensor) -> Tensor:
            for pool, new in zip(self._layers[layer], (k, v), strict=True):
                flat = new.flatten(0, 1)
                pool.index_copy_(0, targets, flat if sources is None else flat.index_select(0, sources))
            q, k, v = (each.transpose(1, 2) for each in (q, k, v))
            grouped = q.shape[1] != k.shape[1]
            return F.scaled_dot_product_attention(q, k, v, is_causal=True, enable_gqa=grouped).transpose(1, 2)

        return attend

    def decode(self, starts: Tensor, capacities: Tensor, lengths: Tensor, prompts: Tensor) -> Attend:
        """Attention of one new token a row, for the first rows.

        Args:
            starts: (rows + 1,), int32; where each row's extent begins.
            capacities: (rows,), the size of each extent.
            lengths: (rows,), tokens that each row has seen already; the new one goes behind them.
            prompts: (rows,), how many of them are prompt.
        """
        rows, window = len(lengths), self._sizes.window
        last = capacities - 1  # rows that are done run on until the host looks: they stay inside
        places = torch.minimum(prompts + (lengths - prompts) % window if window else lengths, last)
        used = torch.minimum(torch.minimum(lengths, prompts + window - 1) if window else lengths, last).int() + 1
        targets = starts[:rows] + places
        numbers, kernel = self._numbers[: rows + 1], self._attention.kernel
        extents = None
        if not self._attention.capturable:  # it would ask for them in every layer
            extents = list(zip(starts.tolist(), used.tolist(), strict=False))

        def attend(layer: int, q: Tensor, k: Tensor, v: Tensor) -> Tensor:
            keys, values = self._layers[layer]
            keys.index_copy_(0, targets, k.squeeze(1))
            values.index_copy_(0, targets, v.squeeze(1))
            if extents is None:
                return kernel(q.squeeze(1), keys, values, numbers, starts, used, self._sizes.context)[:, None]
            return over_extents(q.squeeze(1), keys, values, extents)[:, None]

        return attend
