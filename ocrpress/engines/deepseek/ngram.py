"""The sliding-window n-gram rule, twice: for all rows at once without asking the host, and on the host.

No run of n tokens may occur twice among the last `window` generated tokens, the next one included: what followed an
earlier occurrence of the last n - 1 tokens is banned (the rule published with DeepSeek-OCR's vLLM recipe).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor


def ban_repeats(
    logits: Tensor, recent: Tensor, ngrams: Tensor, windows: Tensor, exempt: Tensor, longest: int
) -> Tensor:
    """The logits, with what the rule bans set to -inf in place.

    Args:
        logits: (rows, vocabulary), finite.
        recent: (rows, lookback), each row's last generated tokens, the newest last, -1 before the first one.
        ngrams, windows: (rows,), each row's n (0: no rule) and window; neither exceeds `longest` and the lookback.
        exempt: (vocabulary,), bool: tokens that may repeat always.
        longest: the largest n of any row.
    """
    lookback = recent.shape[1]
    if longest < 1 or lookback < 1:
        return logits
    # Column p asks: is recent[p] what once followed the last n - 1 tokens? Its k-th predecessor is recent[p - k].
    padded = torch.nn.functional.pad(recent, (longest - 1, 0), value=-1)
    runs = padded.unfold(1, longest, 1)  # (rows, lookback, longest): runs[:, p, -1 - k] is recent[p - k]
    ending = padded[:, lookback:]  # (rows, longest - 1): the last longest - 1 tokens
    back = torch.arange(longest - 1, 0, -1, device=recent.device)  # of runs' columns before the last: k
    asked = back < ngrams[:, None]
    alike = ((runs[:, :, :-1] == ending[:, None, :]) | ~asked[:, None, :]).all(dim=2)
    age = torch.arange(lookback, 0, -1, device=recent.device)  # the newest token has age 1
    first = age + ngrams[:, None] - 1  # age of the run's first token
    in_window = (first <= windows[:, None]) & (ngrams[:, None] > 0)
    candidates = recent.clamp(min=0)
    banned = alike & in_window & (recent >= 0) & ~exempt[candidates]
    # A run must lie within what was generated: its first token is no padding.
    oldest = torch.gather(padded, 1, _first_columns(lookback, longest, ngrams))
    # Added, so that a token that stands in two columns, banned in one of them alone, is banned.
    added = torch.where(banned & (oldest >= 0), -torch.inf, 0.0).to(logits.dtype)
    return logits.scatter_add_(1, candidates, added)


def _first_columns(lookback: int, longest: int, ngrams: Tensor) -> Tensor:
    """Column in the padded tokens of the first token of the run of n that ends at each of `lookback` columns."""
    columns = torch.arange(lookback, device=ngrams.device) + longest - 1
    return columns - (ngrams[:, None].clamp(min=1) - 1)


def ban_repeats_here(logits: Tensor, recent: Sequence[Any], ngrams: Sequence[int], exempt: Tensor) -> None:
    """The same in place and row by row, for logits on the CPU: a search in memory instead of thirty operations.

    Args:
        logits: (rows, vocabulary), float.
        recent: each row's last generated tokens, its window of them at most, as a NumPy array of integers.
        ngrams: each row's n (0: no rule).
        exempt: (vocabulary,), bool: tokens that may repeat always.
    """
    for row, (tokens, n) in enumerate(zip(recent, ngrams, strict=True)):
        if not n or len(tokens) < n:
            continue
        size = tokens.itemsize
        past, ending = tokens[:-1].tobytes(), tokens[len(tokens) - n + 1 :].tobytes()
        banned = tokens if n == 1 else [tokens[at // size + n - 1] for at in _places(past, ending, size)]
        for token in {int(token) for token in banned if token >= 0}:
            if not exempt[token]:
                logits[row, token] = -torch.inf


def _places(past: bytes, sought: bytes, size: int) -> list[int]:
    """Where in `past` the bytes stand, at multiples of `size`."""
    found, at = [], past.find(sought)
    while at >= 0:
        if at % size == 0:
            found.append(at)
        at = past.find(sought, at + 1)
    return found
