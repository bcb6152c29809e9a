"""Sheets -> pixels. Knows glyphs; nothing of how the sheet came to be."""

from __future__ import annotations

import numpy as np
from PIL import Image

from ocrpress.typeset.glyphs import PHASES, Ink, Mask, glyphs_of, is_plain
from ocrpress.typeset.sheet import Run, Sheet

Box = tuple[float, float, float, float]


def draw(sheet: Sheet) -> Image.Image:
    """The page as an RGB image: black antialiased text on white. The same sheet gives the same pixels."""
    paper = _Paper(sheet.width, sheet.height)
    face, glyphs = None, None
    for run in sheet.runs:
        if glyphs is None or run.face is not face:
            face, glyphs = run.face, glyphs_of(run.face)
        pixel, phase = divmod(round(run.x * glyphs.steps) * (PHASES // glyphs.steps), PHASES)
        paper.press(glyphs.mask(run.text, phase, rtl=run.rtl), pixel, round(run.y))
    for rule in sheet.rules:
        paper.rule(*rule)
    grey = Image.fromarray(np.invert(paper.ink, out=paper.ink))
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


class _Paper:
    """A page of ink, 0 none to 255 black.

    Ink is merged with what lies under it, or simply laid down where nothing can lie under it, which is three times as
    fast: right of all ink of this line, below all ink of the lines before it, in a column right of all ink so far.
    """

    def __init__(self, width: int, height: int) -> None:
        self.ink: Ink = np.zeros((height, width), np.uint8)
        self.line = 0  # its baseline
        self.base = self.reach = self.far = 0  # where the column begins; where ink ends on the line, on the page
        self.floor = self.lowest = 0  # where ink ends above the line; where it ends with the line

    def press(self, mask: Mask, pen: int, baseline: int) -> None:
        """Lay down ink with the pen at a pixel of a baseline; what falls off the page is lost."""
        ink = mask.ink
        height, width = ink.shape
        left, top = pen + mask.left, baseline + mask.top
        right, bottom = left + width, top + height
        if baseline != self.line:
            self._next_line(baseline, left)
        if left < 0 or top < 0 or right > self.ink.shape[1] or bottom > self.ink.shape[0]:
            ink = ink[max(0, -top) :, max(0, -left) :]
            left, top = max(0, left), max(0, top)
            part = self.ink[top : top + ink.shape[0], left : left + ink.shape[1]]
            np.maximum(part, ink[: part.shape[0], : part.shape[1]], out=part)
        elif left >= self.reach and top >= self.floor:
            self.ink[top:bottom, left:right] = ink
        else:
            part = self.ink[top:bottom, left:right]
            np.maximum(part, ink, out=part)
        if right > self.reach:
            self.reach = right
        if bottom > self.lowest:
            self.lowest = bottom

    def rule(self, left: float, top: float, right: float, bottom: float) -> None:
        """A black rectangle, at least a pixel wide and high."""
        x, y = round(left), round(top)
        self.ink[max(0, y) : max(0, y + 1, round(bottom)), max(0, x) : max(0, x + 1, round(right))] = 255

    def _next_line(self, baseline: int, left: int) -> None:
        self.far = max(self.far, self.reach)
        if baseline > self.line:
            self.floor = self.lowest
        elif left >= self.far:
            self.base, self.floor, self.lowest = self.far, 0, 0
        else:
            self.floor = self.ink.shape[0]
        self.reach = self.base
        self.line = baseline
