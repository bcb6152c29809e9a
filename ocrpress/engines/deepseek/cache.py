"""The KV cache of a fixed number of slots: every row has a length of its own, so a slot can be refilled at any time."""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F  # noqa: N812, the name that everybody knows
from torch import Tensor

from ocrpress.engines.deepseek.decoder import Attend, Sizes
from ocrpress.engines.deepseek.flash import FlashAttention

BUCKET = 128  # tokens


class KVCache:
    """Keys and values, by layer (slots, capacity, kv_heads, head_dim).

    Args:
        slots: rows.
        capacity: tokens a row can hold.
        flash: a fused kernel that takes per-row lengths; None leaves attention to SDPA, which reads every row as far as
            the longest goes.
    """

    def __init__(
        self, sizes: Sizes, slots: int, capacity: int, device: torch.device, dtype: torch.dtype,
        flash: FlashAttention | None = None,
    ) -> None:  # fmt: skip
        self._sizes, self._flash = sizes, flash
        self.slots, self.capacity = slots, capacity
        shape = (slots, capacity, sizes.kv_heads, sizes.head_dim)
        # Zeros: SDPA multiplies what its mask hides by nought, and nought times NaN is NaN.
        self._keys = [torch.zeros(shape, device=device, dtype=dtype) for _ in range(sizes.layers)]
        self._values = [torch.zeros(shape, device=device, dtype=dtype) for _ in range(sizes.layers)]
        self._views: tuple[int, int, list[tuple[Tensor, Tensor]]] | None = None

    def resize(self, rows: Sequence[int], slots: int, capacity: int) -> None:
        """Keep these rows as the first ones of a cache of other size. One layer at a time is held twice."""
        kept, self._views = min(capacity, self.capacity), None
        index = torch.tensor(rows, dtype=torch.long, device=self._keys[0].device)
        for buffers in (self._keys, self._values):
            for layer, old in enumerate(buffers):
                new = old.new_zeros(slots, capacity, *old.shape[2:])
                new[: len(rows), :kept] = old[index, :kept]
                buffers[layer] = new
        self.slots, self.capacity = slots, capacity

    def copy_row(self, source: int, target: int) -> None:
        """Copy what one row holds into another."""
        for buffer in (*self._keys, *self._values):
            buffer[target] = buffer[source]

    def wipe(self, row: int) -> None:
        """Zeros: what is not finite would reach the row's next sequence through SDPA's mask."""
        for buffer in (*self._keys, *self._values):
            buffer[row].zero_()

    def bucket(self, length: int) -> int:
        """How far the cache must be read for rows of at most `length` tokens: SDPA takes it in steps of BUCKET."""
        return self.capacity if self._flash else min(self.capacity, -(-length // BUCKET) * BUCKET)

    def prefill(self, rows: Tensor, length: int) -> Attend:
        """Attention of whole prompts of at most `length` tokens, shorter ones padded at their end, into these rows.

        What a padded position leaves in the cache lies beyond its row's length and is overwritten before it is read.
        """

        def attend(layer: int, q: Tensor, k: Tensor, v: Tensor) -> Tensor:
            self._keys[layer][rows, :length] = k
            self._values[layer][rows, :length] = v
            return _sdpa(q, k.transpose(1, 2), v.transpose(1, 2), is_causal=True)

        return attend

    def decode(self, lengths: Tensor, prompts: Tensor, bucket: int, alone: bool = False) -> Attend:
        """Attention of one new token a row, for the first rows.

        Args:
            lengths: (rows,), tokens that each row holds already; the new one goes behind them.
            prompts: (rows,), how many of them are prompt.
            bucket: an upper bound of the lengths, the new token included; no more of the cache is read.
            alone: there is one row, and the host may be asked its length: then nothing is read that a mask would hide.
        """
        count = lengths.shape[0]
        places = torch.arange(count, device=lengths.device) * self.capacity + lengths
        views = self._first(count, bucket)
        length = int(lengths[0]) + 1 if alone else bucket
        masks: dict[int, Tensor] = {}

        def attend(layer: int, q: Tensor, k: Tensor, v: Tensor) -> Tensor:
            keys, values = self._keys[layer], self._values[layer]
            for buffer, new in ((keys, k), (values, v)):
                buffer.view(-1, *buffer.shape[2:]).index_copy_(0, places, new.squeeze(1))
            window = self._sizes.windows[layer]
            if self._flash and not window:
                return self._flash(q, keys[:count], values[:count], lengths)
            keys, values = views[layer]
            if alone and not window:
                return _sdpa(q, keys.narrow(2, 0, length), values.narrow(2, 0, length))
            if window not in masks:
                seen = visible(lengths, prompts, bucket, window)[:, None, None]
                masks[window] = torch.zeros_like(seen, dtype=q.dtype).masked_fill_(~seen, -torch.inf)
            return _sdpa(q, keys, values, mask=masks[window])

        return attend

    def _first(self, rows: int, bucket: int) -> list[tuple[Tensor, Tensor]]:
        """By layer, the first tokens of the first rows' keys and values, (rows, kv_heads, bucket, head_dim).

        Made once for as many steps as they serve: on a CPU, views cost as much time as small sums.
        """
        if self._views is None or self._views[:2] != (rows, bucket):
            pairs = zip(self._keys, self._values, strict=True)
            views = [(k[:rows, :bucket].transpose(1, 2), v[:rows, :bucket].transpose(1, 2)) for k, v in pairs]
            self._views = rows, bucket, views
        return self._views[2]


def visible(lengths: Tensor, prompts: Tensor, bucket: int, window: int) -> Tensor:
    """Which of the first `bucket` positions the token at position lengths[i] may see: (rows, bucket), bool.

    With a window: the prompt and the last `window` tokens, itself included (Unlimited-OCR's reference sliding window).
    """
    positions = torch.arange(bucket, device=lengths.device)
    seen = positions <= lengths[:, None]
    if window:
        seen &= (positions < prompts[:, None]) | (positions > lengths[:, None] - window)
    return seen


def _sdpa(q: Tensor, k: Tensor, v: Tensor, mask: Tensor | None = None, is_causal: bool = False) -> Tensor:
    """SDPA of queries (rows, tokens, heads, head_dim), which is also the answer's shape.

    Args:
        k, v: (rows, kv_heads, tokens, head_dim).
    """
    q = q.transpose(1, 2)
    grouped = q.shape[1] != k.shape[1]
    return F.scaled_dot_product_attention(q, k, v, mask, is_causal=is_causal, enable_gqa=grouped).transpose(1, 2)
