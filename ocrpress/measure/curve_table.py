"""A measured curve as rows of tables for people, as CSV with a row a page, and as an object for JSON.

    Curve ──▶ table_rows, bucket_rows ──▶ terminal, report
          ──▶ csv_text, curve_object  ──▶ curve.csv, curve.json

The same curve gives the same rows and bytes: no times, no dates. A cell without pages has a row of dashes.
"""

from __future__ import annotations

import csv
from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict, fields
from io import StringIO
from statistics import fmean
from typing import Any

from ocrpress.measure.accuracy import Score
from ocrpress.measure.curve import BUCKET, Cell, Curve, PageScore, Point, Spread, point, points
from ocrpress.measure.plot_data import NATURAL
from ocrpress.measure.published import SET_PRECISION
from ocrpress.writers.clean import encodable, one_line

NONE = "–"
WIDTH = 120  # characters of a terminal's line
BETWEEN = 2  # spaces between columns, as the terminal's table sets them
# What a narrow terminal does without, first to last; the report and curve.csv have all of it. Not the compression: one
# of its three figures alone misleads.
EXPENDABLE = ("CER", "F1", "median", "vision", "cut%", "loop%")
DECIMALS = 6  # of figures in files
UNSAFE = ("=", "+", "-", "@")  # a spreadsheet takes what begins so for a formula

# Heads of the tables in words.
MEANINGS = {
    "vision": "vision tokens a page",
    "text/v": "text tokens a vision token",
    "text/s": "text tokens a token of the decoder's sequence",
    "char/v": "characters a vision token",
    "edit": "normalised edit distance, mean over the pages (0 = nothing lost)",
    "median": "median of the edit distance",
    "10–90 %": "edit distance of the middle four fifths of the pages, from – to",
    "set-P": "set-of-words precision, the published measure (1 = every word read is on the page)",
    "F1": "of the words as multisets",
    "CER": "character error rate",
    "loop%": "pages whose answer repeated itself, in per cent",
    "cut%": "pages whose answer did not end",
    "fail%": "pages of which no answer was taken, for whatever reason",
    "pixels": "edit distance of a pixel reader on the mode's very pixels: what the pixels lost",
    "tokens": "edit distance beyond that: what the vision tokens lost, negative where they did better",
    "published": "set-of-words precision of DeepSeek-OCR at as many vision tokens, in its paper",
}


def table_rows(curve: Curve, width: int | None = WIDTH) -> list[list[str]]:
    """The head, then a row a cell: means over its pages, distances and shares 0 to 1, faults in per cent.

    MEANINGS says what the heads mean. The last two columns are there where there are pixels-only controls.

    Args:
        width: columns of EXPENDABLE are left out until the table fits so many characters; None keeps all.
    """
    found = [(cell, losses(curve, cell)) for cell in curve.cells]
    split = any(lost for _, lost in found)
    rows = [[*CELL_HEADS, *POINT_COLUMNS, *(LOSS_HEADS if split else ())]]
    for cell, lost in found:
        row = [*names(cell), str(len(cell.pages)), _vision(cell.pages)]
        if cell.pages:
            whole = point(cell.pages)
            row += [show(whole) for show in POINT_COLUMNS.values()]
        else:
            row += [NONE] * len(POINT_COLUMNS)
        if split:
            row += [_share(lost[0]), f"{lost[1]:+.3f}".replace("-", "−")] if lost else [NONE, NONE]
        rows.append(row)
    return rows if width is None else fitting(rows, width, EXPENDABLE)


def bucket_rows(curve: Curve) -> list[list[str]]:
    """The head, then a row a cell and bucket of text tokens, beside the published figure where there is one.

    The published figure is the set-of-words precision of DeepSeek-OCR: it stands beside natural pages that were read
    with as many vision tokens.
    """
    rows = [["engine", "mode", "variant", "text tokens", "pages", "text/v", "text/s", "char/v", "edit", "10–90 %",
             "set-P", "published"]]  # fmt: skip
    for cell in curve.cells:
        for found in points(cell):
            edit = found.spreads["edit_distance"]
            rows.append([
                *names(cell), bucket_name(found.bucket), str(found.pages), _ratio(found.tokens_per_vision_token),
                _ratio(found.tokens_per_sequence_token), _ratio(found.characters_per_vision_token), _share(edit.mean),
                f"{edit.low:.3f}–{edit.high:.3f}", _share(found.spreads["set_precision"].mean),
                _share(published(cell, found.bucket)),
            ])  # fmt: skip
    return rows


def fitting(rows: Sequence[Sequence[str]], width: int, expendable: Iterable[str]) -> list[list[str]]:
    """The rows without so many of the expendable columns (first to last) as it takes to fit the width, if it does."""
    kept = [list(row) for row in rows]
    for name in expendable:
        if table_width(kept) <= width:
            break
        if name in kept[0]:
            index = kept[0].index(name)
            kept = [[*row[:index], *row[index + 1 :]] for row in kept]
    return kept


def meanings(rows: Sequence[Sequence[str]]) -> dict[str, str]:
    """What those heads of a table mean that do not say it themselves."""
    return {name: MEANINGS[name] for name in rows[0] if name in MEANINGS}


def table_width(rows: Sequence[Sequence[str]]) -> int:
    """Characters of the longest line that the terminal's table makes of these rows."""
    return sum(max(map(len, column)) + BETWEEN for column in zip(*rows, strict=True)) - BETWEEN


def published(cell: Cell, bucket: int | None) -> float | None:
    """The published set-of-words precision for a bucket of this cell, 0 to 1; None where there is none."""
    tokens = {page.vision_tokens for page in cell.pages}
    if cell.variant != NATURAL or bucket is None or len(tokens) != 1:
        return None
    return SET_PRECISION.get(tokens.pop(), {}).get(bucket)


def losses(curve: Curve, cell: Cell) -> tuple[float, float] | None:
    """What the pixels lost and what was lost beyond them, as mean edit distances over the pages that both have read.

    The first is the control's own edit distance; the two add up to the cell's. None for controls, and without one.
    """
    control = next(
        (other for other in curve.cells if other.control and (other.mode, other.variant) == (cell.mode, cell.variant)),
        None,
    )
    if control is None or cell.control:
        return None
    pixels = {page.page: page.score.edit_distance for page in control.pages}
    both = [(page.score.edit_distance, pixels[page.page]) for page in cell.pages if page.page in pixels]
    if not both:
        return None
    lost = fmean(by_pixels for _, by_pixels in both)
    return lost, fmean(whole for whole, _ in both) - lost


def bucket_name(bucket: int | None) -> str:
    """From how many to how many text tokens."""
    return NONE if bucket is None else f"{bucket}–{bucket + BUCKET}"


def csv_text(curve: Curve) -> str:
    """A row a page, with every figure; no names that a spreadsheet would run as a formula."""
    out = StringIO()
    writer = csv.writer(out, lineterminator="\n")
    scores = [item.name for item in fields(Score)]
    writer.writerow([
        "engine", "mode", "variant", "control", "page", "bucket", "status", "fault", "text_tokens", "vision_tokens",
        "valid_tokens", "sequence_tokens", "output_tokens", "text_tokens_per_vision_token",
        "text_tokens_per_sequence_token", "characters_per_vision_token", *scores, "error",
    ])  # fmt: skip
    for cell in curve.cells:
        for page in cell.pages:
            alone = point([page])
            writer.writerow([
                _harmless(cell.engine), _harmless(cell.mode), _harmless(cell.variant), int(cell.control),
                _harmless(page.page), page.bucket, page.status, page.fault, page.text_tokens, page.vision_tokens,
                page.valid_tokens, page.sequence_tokens, page.output_tokens, _rounded(alone.tokens_per_vision_token),
                _rounded(alone.tokens_per_sequence_token), _rounded(alone.characters_per_vision_token),
                *(_rounded(getattr(page.score, name)) for name in scores), _harmless(page.error),
            ])  # fmt: skip
    return out.getvalue()


def curve_object(curve: Curve) -> dict[str, Any]:
    """The curve for JSON: what was asked for and measured, every page's figures, and where. Not what was read."""
    return {
        "benchmark": "curve",
        "data": encodable(curve.about),
        "tokens_by": curve.tokens_by,
        "settings": dict(curve.settings),
        "cells": [_cell_object(curve, cell) for cell in curve.cells],
        "left_out": [{"name": encodable(name), "why": encodable(why)} for name, why in curve.left_out],
        **curve.machine,
    }


def names(cell: Cell) -> list[str]:
    """Engine, mode and variant of a cell, as the tables show them."""
    engine = one_line(encodable(cell.engine))
    return [f"{engine} (pixels)" if cell.control else engine, cell.mode, cell.variant]


def _cell_object(curve: Curve, cell: Cell) -> dict[str, Any]:
    lost = losses(curve, cell)
    return {
        "engine": cell.engine, "mode": cell.mode, "variant": cell.variant, "control": cell.control,
        "all": _point_object(point(cell.pages)) if cell.pages else None,
        "buckets": [
            _point_object(found) | {"published_set_precision": published(cell, found.bucket)} for found in points(cell)
        ],
        "edit_distance_of_pixels": _rounded(lost[0]) if lost else None,
        "edit_distance_beyond_pixels": _rounded(lost[1]) if lost else None,
        "pages": [_page_object(page) for page in cell.pages],
    }  # fmt: skip


def _point_object(found: Point) -> dict[str, Any]:
    spreads = {name: _spread_object(spread) for name, spread in found.spreads.items()}
    return {name: _rounded(value) for name, value in vars(found).items() if name != "spreads"} | {"scores": spreads}


def _spread_object(found: Spread) -> dict[str, Any]:
    return {name: _rounded(value) for name, value in asdict(found).items()}


def _page_object(page: PageScore) -> dict[str, Any]:
    figures = {name: value for name, value in vars(page).items() if name not in {"score", "read", "page", "error"}}
    return {"page": encodable(page.page), **figures, "error": encodable(page.error) or None,
            "score": {name: _rounded(value) for name, value in vars(page.score).items()}}  # fmt: skip


def _vision(pages: Sequence[PageScore]) -> str:
    """Vision tokens a page."""
    tokens = [page.vision_tokens for page in pages]
    return f"{fmean(tokens):.0f}" if any(tokens) else NONE


def _share(value: float | None) -> str:
    return NONE if value is None else f"{value:.3f}"


def _ratio(value: float | None) -> str:
    return NONE if value is None else f"{value:.1f}"


def _percent(value: float) -> str:
    return f"{100 * value:.0f}"


def _rounded(value: float | None) -> float | None:
    return value if value is None or isinstance(value, int) else round(value, DECIMALS)


def _harmless(text: str) -> str:
    """On one line, without control characters, and nothing that a spreadsheet would run."""
    shown = one_line(encodable(text))
    return f"'{shown}" if shown.startswith(UNSAFE) else shown


CELL_HEADS = ("engine", "mode", "variant", "pages", "vision")
POINT_COLUMNS: dict[str, Callable[[Point], str]] = {
    "text/v": lambda found: _ratio(found.tokens_per_vision_token),
    "text/s": lambda found: _ratio(found.tokens_per_sequence_token),
    "char/v": lambda found: _ratio(found.characters_per_vision_token),
    "edit": lambda found: _share(found.spreads["edit_distance"].mean),
    "median": lambda found: _share(found.spreads["edit_distance"].median),
    "set-P": lambda found: _share(found.spreads["set_precision"].mean),
    "F1": lambda found: _share(found.spreads["word_f1"].mean),
    "CER": lambda found: _share(found.spreads["character_error_rate"].mean),
    "loop%": lambda found: _percent(found.looped),
    "cut%": lambda found: _percent(found.cut),
    "fail%": lambda found: _percent(found.failed),
}
LOSS_HEADS = ("pixels", "tokens")
