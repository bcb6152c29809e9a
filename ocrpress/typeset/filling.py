"""Strips -> Sheets: columns and pages filled from top to bottom. Knows heights; nothing of words or fonts."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator

from ocrpress.errors import InputError
from ocrpress.typeset.geometry import Frame, frame
from ocrpress.typeset.setting import Strip
from ocrpress.typeset.sheet import Run, Sheet
from ocrpress.typeset.style import Style

_SLACK = 0.01  # pixels: sums of heights are not exact


class _Page:
    """A page being filled."""

    def __init__(self, place: Frame) -> None:
        self.place = place
        self.column = 0
        self.y = place.top
        self.runs: list[Run] = []
        self.rules: list[tuple[float, float, float, float]] = []
        self.text: list[str] = []
        self.joint = ""
        self.filled = False

    @property
    def at_top(self) -> bool:
        """Nothing stands in this column so far."""
        return self.y == self.place.top

    def has_room(self, strips: list[Strip]) -> bool:
        """Whether strips fit in what is left of the column."""
        height = sum(strip.height + strip.above for strip in strips) - (strips[0].above if self.at_top else 0.0)
        return self.y + height <= self.place.bottom + _SLACK

    def next_column(self) -> bool:
        """Go to the head of the next column; False if there is none."""
        if self.column + 1 >= len(self.place.lefts):
            return False
        self.column += 1
        self.y = self.place.top
        return True

    def add(self, strip: Strip) -> None:
        """Set a strip under what stands there."""
        if not self.at_top:
            self.y += strip.above
        left, top = self.place.lefts[self.column], self.y
        self.runs += [Run(text, left + x, math.floor(top + y + 0.5), face, rtl) for text, x, y, face, rtl in strip.inks]
        for x0, y0, x1, y1 in strip.rules:
            self.rules.append((left + x0, top + y0, left + x1, top + y1))
        if strip.text:
            self.text += [self.joint, strip.text]
        self.joint = strip.joint if strip.text else self.joint
        self.y += strip.height
        self.filled = True

    def sheet(self, number: int, size: float, *, last: bool) -> Sheet:
        """The page as data."""
        place = self.place
        text = "".join(self.text[1:])
        joint = "" if last else self.joint
        return Sheet(
            number, place.width, place.height, place.dpi, tuple(self.runs), tuple(self.rules), text, size, joint
        )


def fill_pages(strips: Iterable[Strip], style: Style) -> Iterator[Sheet]:
    """Fill pages with strips, in order. A strip higher than a column stands alone and runs over its foot.

    Raises:
        InputError: there are no strips.
    """
    place = frame(style)
    size = style.size * place.unit
    page, number = _Page(place), 1
    for group in _groups(strips):
        # First the group as a whole: it moves on together. Then each strip: a group may be higher than a column.
        for wanted in (group, *([strip] for strip in group)):
            full = not page.at_top and not page.has_room(wanted) and not page.next_column()
            if full or (wanted[0].new_page and page.filled):
                yield page.sheet(number, size, last=False)
                page, number = _Page(place), number + 1
            wanted[0].new_page = False
            if wanted is not group:
                page.add(wanted[0])
    if page.filled:
        yield page.sheet(number, size, last=True)
    elif number == 1:
        raise nothing_to_print()


def nothing_to_print() -> InputError:
    """The error for a text that gives no page."""
    return InputError("the text has no printable characters", "give a text with words in it")


def _groups(strips: Iterable[Strip]) -> Iterator[list[Strip]]:
    """Strips that must stand in one column where they can: headings with the first line of what follows."""
    held: list[Strip] = []
    for strip in strips:
        if held and strip.new_page:
            yield held
            held = []
        held.append(strip)
        if not strip.keep:
            yield held
            held = []
    if held:
        yield held
