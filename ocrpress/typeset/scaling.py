"""A set page in other pixels: the same words at the same places."""

from __future__ import annotations

from dataclasses import replace
from functools import cache

from ocrpress.typeset.sheet import Face, Run, Sheet


def scaled(sheet: Sheet, width: int, height: int) -> Sheet:
    """The sheet at width × height pixels, its type with it: every word keeps its place on the page.

    Args:
        width, height: in pixels, 1 or more, of the sheet's aspect ratio but for rounding; type follows the width.
    """
    if (width, height) == (sheet.width, sheet.height):
        return sheet
    across, down = width / sheet.width, height / sheet.height

    @cache
    def resized(face: Face) -> Face:
        return replace(face, size=face.size * across)

    runs = tuple(Run(run.text, run.x * across, round(run.y * down), resized(run.face), run.rtl) for run in sheet.runs)
    rules = tuple(
        (round(x0 * across), round(y0 * down), max(round(x0 * across) + 1, round(x1 * across)),
         max(round(y0 * down) + 1, round(y1 * down)))
        for x0, y0, x1, y1 in sheet.rules
    )  # fmt: skip
    return replace(
        sheet, width=width, height=height, dpi=sheet.dpi * across, runs=runs, rules=rules, size=sheet.size * across
    )
