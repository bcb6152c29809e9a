"""Sheets -> pixels. Knows glyphs; nothing of how the sheet came to be."""

from __future__ import annotations

import numpy as np
from PIL import Image

from ocrpress.typeset.glyphs import PHASES, Ink, glyphs_of, is_plain
from ocrpress.typeset.sheet import Run, Sheet

Box = tuple[float, float, float, float]


def draw(sheet: Sheet) -> Image.Image:
    """The page as an RGB image: black antialiased text on white. The same sheet gives the same pixels."""
    ink: Ink = np.zeros((sheet.height, sheet.width), np.uint8)
    for left, top, right, bottom in sheet.rules:
        x, y = max(0, round(left)), max(0, round(top))
        ink[y : max(y + 1, round(bottom)), x : max(x + 1, round(right))] = 255
    face, glyphs = None, None
    for run in sheet.runs:
        if glyphs is None or run.face is not face:
            face, glyphs = run.face, glyphs_of(run.face)
        pixel, phase = divmod(round(run.x * PHASES), PHASES)
        mask = glyphs.mask(run.text, phase, rtl=run.rtl)
        _press(ink, mask.ink, pixel + mask.left, round(run.y) + mask.top)
    grey = Image.fromarray(np.invert(ink, out=ink))
    return Image.merge("RGB", (grey, grey, grey))  # a third of the time of convert


def glyph_boxes(run: Run) -> list[tuple[str, Box]]:
    """Each character of a run with its box (left, top, right, bottom) in pixels: its advance by the face's height.

    Exact for script that is set glyph by glyph (Latin, Greek, Cyrillic, CJK). Where letters are shaped together the
    boxes part the run by the advances of its beginnings, from the right in a right-to-left paragraph; a mark has a box
    without width.
    """
    glyphs = glyphs_of(run.face)
    ascent, descent = glyphs.ascent_and_descent()
    if not run.rtl and is_plain(run.text):
        edges = glyphs.offsets(run.text)
    else:
        edges = [glyphs.length(run.text[:i], rtl=run.rtl) for i in range(len(run.text) + 1)]
    if run.rtl:
        edges = [edges[-1] - edge for edge in edges]
    top, bottom = run.y - ascent, run.y + descent
    return [
        (character, (run.x + min(edges[i], edges[i + 1]), top, run.x + max(edges[i], edges[i + 1]), bottom))
        for i, character in enumerate(run.text)
    ]


def _press(page: Ink, ink: Ink, x: int, y: int) -> None:
    """Lay ink on the page with its upper left corner at (x, y); what falls outside is lost."""
    if x < 0 or y < 0:
        ink = ink[max(0, -y) :, max(0, -x) :]
        x, y = max(0, x), max(0, y)
    height, width = ink.shape
    part = page[y : y + height, x : x + width]
    if part.shape != ink.shape:
        ink = ink[: part.shape[0], : part.shape[1]]
    np.maximum(part, ink, out=part)
