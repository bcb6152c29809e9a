"""What a text is made of before it is set: paragraphs, tables, rules and page breaks. Data only.

`plain` and `markdown` make blocks, `setting` and `tables` set them.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Span:
    """Characters in one role: a sum of `fonts.BOLD`, `ITALIC` and `MONO`."""

    text: str
    role: int = 0


@dataclass(frozen=True)
class Paragraph:
    """Text that is broken into lines.

    Attributes:
        spans: without line ends.
        scale: of the type, beside the running text.
        left: indent in ems of the running text.
        marker: stands left of the first line, inside the indent: a bullet or a number.
        above: white space over it in lines of running text; none at the head of a column.
        keep: does not stand alone at the foot of a column: a heading.
        kept_spaces: runs of spaces and indents are set as they are, and lines are never justified.
        end: what parts its text from what follows.
    """

    spans: tuple[Span, ...]
    scale: float = 1.0
    left: float = 0.0
    marker: str = ""
    above: float = 0.5
    keep: bool = False
    kept_spaces: bool = False
    end: str = "\n\n"


@dataclass(frozen=True)
class Table:
    """Rows of cells, each a tuple of spans; rows may be of different lengths.

    Attributes:
        heads: how many of the first rows are headings.
        aligns: "left", "center" or "right", a column.
    """

    rows: tuple[tuple[tuple[Span, ...], ...], ...]
    heads: int = 0
    aligns: tuple[str, ...] = ()
    left: float = 0.0
    above: float = 0.5


@dataclass(frozen=True)
class Rule:
    """A line across the column."""

    left: float = 0.0
    above: float = 0.5


@dataclass(frozen=True)
class PageBreak:
    """What follows begins a new page."""


Block = Paragraph | Table | Rule | PageBreak
