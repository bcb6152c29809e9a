"""Rows of one column -> paragraphs: where one ends and the next begins."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from statistics import median

from ocrpress.document import Box, RegionKind
from ocrpress.layout.joining import join_text
from ocrpress.layout.lines import Line, union

WIDE_STEP = 1.3  # times the column's usual step from line to line: a new paragraph
TALLER = 1.3  # ratio of line heights at which two lines cannot be of one paragraph
SET_APART = 1.1  # times the column's usual step
INDENT = 0.7  # ems
HEADING_HEIGHT = 1.3  # times the body's line height: a heading even where the layout model saw none
TITLE_HEIGHT = 1.5  # times the body's line height: a title, broken where its author liked
SECTION = re.compile(
    r"^(?:\d{1,2}\.)+\d{0,2}\s|^\d{1,2}(?:\.\d{1,2})*(?:\s+(?=[A-Z])|(?=[A-Z][a-z]))"
)  # number of a section
BULLET = re.compile(r"^\s*[•●○▪■◦‣∙·⁃◆►▶❖✓➢*–—-](?=\s|[^\W\d_])")
DASH = re.compile(r"^\s*[-–—*](?!\s)")  # a dash or star is a bullet only before a space
NUMBER = re.compile(r"^\s*(?:\(?\d{1,3}[.)]|\([a-zA-Z]\)|[a-z]\)|\(?[ivx]{1,5}\))(?=\s)")
ALONE = re.compile(r"^\s*(?:\(?(?:[A-Za-z]|[ivxIVX]{1,5})[.)]|[oO0°])$")  # markers only as fragments of their own
LEADER = re.compile(r"(?:\.\s?){4,}|…{2,}")
STOP = re.compile(r"[.!?:;。！？][\"'”’)\]]*$")


@dataclass(frozen=True)
class Row:
    """One row of a column: a line, or fragments beside each other read as one.

    Attributes:
        marker: the list marker that it begins with, or "".
        text_left: where the text after the marker begins.
        kind: of the layout area that it stands in; "line" in none.
    """

    text: str
    marker: str
    left: float
    text_left: float
    right: float
    top: float
    bottom: float
    height: float
    box: Box
    kind: RegionKind
    confidence: float

    @property
    def middle(self) -> float:
        """Height of its centre."""
        return (self.top + self.bottom) / 2


@dataclass(frozen=True)
class Column:
    """What is usual in a column: its edges, the step from line to line, whether paragraphs hang."""

    left: float
    right: float
    step: float
    hanging: bool
    em: float


def make_row(fragments: Sequence[Line], kind: RegionKind) -> Row:
    """Fragments of one row, left to right, as one row."""
    text = " ".join(fragment.text.strip() for fragment in fragments)
    first, widest = fragments[0], max(fragments, key=lambda line: line.width)
    marker, text_left = "", first.left
    if len(fragments) > 1 and is_marker(first.text):
        marker, text_left = first.text.strip(), fragments[1].left
    elif found := _marker(text):
        marker, text_left = found, first.left + first.width * len(found) / max(len(first.text), 1)
    return Row(
        text, marker, first.left, text_left, fragments[-1].right, min(line.top for line in fragments),
        max(line.bottom for line in fragments), widest.height,
        union([line.box for line in fragments]), kind, median(line.confidence for line in fragments),
    )  # fmt: skip


def is_marker(text: str) -> bool:
    """Whether a fragment of its own is nothing but a list marker."""
    return bool(ALONE.match(text)) or _marker(text + " ") == text.strip()


def _marker(text: str) -> str:
    if (match := BULLET.match(text)) and not DASH.match(text):
        return match.group().strip()
    match = NUMBER.match(text)
    return match.group().strip() if match else ""


def measure_column(rows: Sequence[Row], em: float) -> Column:
    """What is usual among the rows of a column."""
    left, right = min(row.left for row in rows), max(row.right for row in rows)
    steps = [after.middle - before.middle for before, after in pairwise(rows)]
    usual = [step for step in steps if 0.6 * em < step < 2.5 * em]
    column = Column(left, right, median(usual) if usual else 1.3 * em, False, em)
    into = outof = 0
    for before, after in pairwise(rows):
        if _ends_early(before, after, column):
            into += after.left - before.left > INDENT * em
            outof += before.left - after.left > INDENT * em
    return Column(left, right, column.step, outof > into, em)


def split_paragraphs(rows: Sequence[Row], em: float) -> list[list[Row]]:
    """Rows of a column grouped into paragraphs.

    Args:
        rows: from top to bottom.
        em: usual height of a line on the page.
    """
    if not rows:
        return []
    column = measure_column(rows, em)
    groups = [[rows[0]]]
    for before, after, following in zip(rows, rows[1:], [*rows[2:], None], strict=False):
        if begins_paragraph(groups[-1], before, after, following, column):
            groups.append([after])
        else:
            groups[-1].append(after)
    return groups


def begins_paragraph(group: Sequence[Row], before: Row, after: Row, following: Row | None, column: Column) -> bool:
    """Whether a row begins a new paragraph after the row above it; `group` is the paragraph so far."""
    if after.marker or _sets_apart(before, after) or LEADER.search(before.text) or LEADER.search(after.text):
        return True
    step = after.middle - before.middle
    if _one_heading(before, after, step, column):
        return False
    if step > WIDE_STEP * max(column.step, 0.9 * max(before.height, after.height)):
        return True
    small, large = sorted((before.height, after.height))
    apart = step > SET_APART * column.step  # a line that only holds a raised mark is taller, but set no further off
    if large > TALLER * small and apart and min(len(before.text), len(after.text)) > 3 and not after.text[:1].islower():
        return True
    if group[0].marker and abs(after.left - group[0].text_left) < INDENT * column.em:
        # an item's own hanging line, unless the next row shows that it was the indent of a paragraph
        outdented = following is not None and following.left < group[0].text_left - INDENT * column.em / 2
        return outdented and following is not None and not following.marker
    return _indent_begins(group, before, after, column) or _ends_early(before, after, column)


def _one_heading(before: Row, after: Row, step: float, column: Column) -> bool:
    """Whether two rows are one heading in two lines: of one size, close together, large or broken for want of room."""
    small, large = sorted((before.height, after.height))
    titles = all(row.kind == "title" or row.height >= HEADING_HEIGHT * column.em for row in (before, after))
    broken = small >= TITLE_HEIGHT * column.em or not _ends_early(before, after, column)
    return titles and broken and large < 1.2 * small and step < 1.7 * large and not SECTION.match(after.text)


def _indent_begins(group: Sequence[Row], before: Row, after: Row, column: Column) -> bool:
    shift = after.left - before.left
    if column.hanging:
        return shift < -INDENT * column.em and abs(after.left - group[0].left) < INDENT * column.em
    return shift > INDENT * column.em and not (len(group) == 1 and before.text[-1:] in "-,")


def _sets_apart(before: Row, after: Row) -> bool:
    """Whether the layout model sees two different things: a title above text, a caption below it."""
    small, large = sorted((before.height, after.height))
    if after.text[:1].islower() and large < 1.2 * small:
        return False  # an area that ends in the middle of a sentence is a line too small
    plain = {"line", "text", "reference"}
    return before.kind != after.kind and not (before.kind in plain and after.kind in plain)


def _ends_early(before: Row, after: Row, column: Column) -> bool:
    """Whether the upper row was left short by choice: the next one's first word had fitted behind it."""
    if after.text[:1].islower() or before.text[-1:] in ("-", ","):
        return False
    words = after.text.split()
    letter = (before.right - before.left) / max(len(before.text), 1)
    needed = (len(words[0]) + 1 if words else 1) * letter * 1.15 + 1.2 * column.em
    return column.right - before.right > needed


def paragraph_text(rows: Sequence[Row]) -> str:
    """The rows of a paragraph as one text."""
    text = ""
    for row in rows:
        text = join_text(text, row.text)
    return text


def is_open(text: str) -> bool:
    """Whether a paragraph seems to go on after this text: no mark ends it."""
    return bool(text) and not STOP.search(text)
