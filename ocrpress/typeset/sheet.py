"""A page of set text: which words stand where. Data only; `drawing` makes pixels of it."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Face:
    """A font at a size: what Pillow needs to draw with it.

    Attributes:
        file: path of the font file.
        index: of the face in a collection.
        size: in pixels.
    """

    file: str
    index: int
    size: float


@dataclass(frozen=True, slots=True)
class Run:
    """Characters drawn in one go: a word, or what of it is in one face; of a line with right-to-left script, the line.

    Attributes:
        text: what is drawn, in logical order.
        x: left end, in pixels.
        y: baseline, in pixels; drawn on a whole one.
        rtl: its paragraph runs from right to left.
    """

    text: str
    x: float
    y: float
    face: Face
    rtl: bool = False


@dataclass(frozen=True)
class Sheet:
    """One page of set text.

    Attributes:
        number: from 1.
        width, height: in pixels.
        dpi: pixels an inch.
        runs: in reading order.
        rules: black rectangles (left, top, right, bottom) in pixels.
        text: what a perfect reader reads of it: its part of the text without Markdown's marks. Blank lines part
            paragraphs, line ends part items of tight lists, kept lines, lines of code and table rows, tabs part cells.
        size: of the running text in pixels.
        joint: what stands between this text and the next page's: "" inside a word, a space inside a paragraph, line
            ends between them; "" on the last page. All `text + joint` in a row are the whole text.
    """

    number: int
    width: int
    height: int
    dpi: float
    runs: tuple[Run, ...]
    rules: tuple[tuple[float, float, float, float], ...]
    text: str
    size: float
    joint: str = ""
