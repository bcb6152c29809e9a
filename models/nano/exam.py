"""How well nano reads what it has not seen: greedy decoding of held-out text, in fonts seen and unseen."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import Any

import torch
from feed import Batch, Order, make_batch
from figures import decode
from lessons import ASK, teach
from net import Net
from pages import Fonts
from texts import Texts

LENGTHS = (16, 64, 256, 640)
KINDS = ("letters", "words", "prose")
PAGES = 16


@cache
def _sets(texts: Path | None, fonts: tuple[Path, ...]) -> tuple[Texts, tuple[Fonts, Fonts]]:
    return Texts(texts, test=True), (Fonts(list(fonts)), Fonts(list(fonts), test=True))


@torch.no_grad()
def examine(net: Net, texts: Path | None, fonts: list[Path], device: torch.device, longest: float) -> dict[str, Any]:
    """Shares of characters right, by "kind length font", up to the lengths that training has come to."""
    held, sets = _sets(texts, tuple(fonts))
    result: dict[str, Any] = {}
    for length in (40, 160, 480):
        batch = make_batch(Order(length, PAGES, 512, length, kind="letters"), held, sets[0])
        figures = teach(net, batch, device, reading=False).figures
        result[f"sight {length}"] = {name: round(float(figures[name]), 3) for name in ("patch_right", "cell_right")}
    for length in LENGTHS:
        for kind in KINDS if length <= 1.5 * longest else ():
            for name, chosen in zip(("seen", "unseen"), sets, strict=True):
                if chosen.names:
                    batch = make_batch(Order(length, PAGES, 512, length, kind=kind), held, chosen)
                    result[f"{kind} {length} {name}"] = round(accuracy(net, batch, device), 3)
    return result


def accuracy(net: Net, batch: Batch, device: torch.device) -> float:
    """1 - edits / characters over a batch, greedy."""
    from rapidfuzz.distance import Levenshtein

    limit = int(batch.tokens.shape[1] * 1.1) + 8
    _, cells = net.see(torch.from_numpy(batch.pixels).to(device))
    said = net.greedy(cells, ASK[0], limit).tolist()
    edits = sum(Levenshtein.distance(decode(ids), text) for ids, text in zip(said, batch.texts, strict=True))
    return max(0.0, 1 - edits / sum(map(len, batch.texts)))
