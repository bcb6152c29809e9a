"""An HTML table as models write it -> its cells on a grid: every cell in its place, all rows equally long.

Spans are honoured: the text of a cell that spans others stands in its first place, the others are empty. Missing and
misplaced tags, tables that break off, tables in cells and nonsense in attributes are all read somehow; a table has at
most MOST_COLUMNS columns and, by its rows, about MOST_CELLS cells, whatever its spans say; what is over goes into the
last column. Linear in the length of the text. This file knows nothing of blocks.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field

from ocrpress.layout.phrases import read_phrase

MOST_COLUMNS = 500
MOST_CELLS = 250_000
FEWEST_COLUMNS = 4  # of a table with very many rows

Rows = tuple[tuple[str, ...], ...]

TABLE_START = r"<(?:table|thead|tbody|tr|t[dh])(?![\w-])"
_TAG = re.compile(r"<(/?)(table|caption|thead|tbody|tfoot|tr|td|th|colgroup|col)(?![\w-])([^<>]*)(>?)", re.IGNORECASE)
_SPAN = re.compile(r"\b(col|row)span\s*=\s*[\"'“”\\]*\s*(\d{1,5})", re.IGNORECASE)
_LONGEST_STRAY = 80  # characters between two rows that belong to the row above; more is text behind a broken table
_BLANK_LINE = re.compile(r"\n[ \t]*\n")
_HALF_TAG = re.compile(r"</?[A-Za-z]{0,8}$")


@dataclass(frozen=True)
class Table:
    """Rows of a table in the dialect of `ocrpress.inline`, its caption, and where in the text it ends."""

    rows: Rows
    caption: str
    end: int


@dataclass
class _Cell:
    text: list[str]
    columns: int = 1
    rows: int = 1


@dataclass
class _Reader:
    """The state of the scan: rows so far, and what is open."""

    rows: list[list[_Cell]] = field(default_factory=list)
    caption: list[str] = field(default_factory=list)
    depth: int = 0
    in_row: bool = False
    in_cell: bool = False
    in_caption: bool = False

    def tag(self, closing: bool, name: str, attributes: str) -> None:
        """Take a tag of the outermost table."""
        if name == "caption":
            self.in_caption, self.in_cell = not closing, False
        elif name == "tr" or name.startswith(("thead", "tbody", "tfoot")):
            self.in_cell = self.in_caption = False
            self.in_row = name == "tr" and not closing
            if self.in_row:
                self.rows.append([])
        elif name in ("td", "th"):
            self.in_cell = self.in_caption = False
            if not closing:
                self.open_cell(attributes)

    def open_cell(self, attributes: str = "") -> None:
        """Begin a cell, and a row if none is open."""
        if not self.in_row:
            self.rows.append([])
            self.in_row = True
        spans = {kind.lower(): int(count) for kind, count in _SPAN.findall(attributes)}
        self.rows[-1].append(_Cell([], max(1, spans.get("col", 1)), max(1, spans.get("row", 1))))
        self.in_cell = True

    def text(self, text: str, last: bool = False) -> bool:
        """Take text between two tags, or behind the last one; False if the table must have ended in front of it."""
        if self.in_caption:
            self.caption.append(text)
        elif self.in_cell:
            self.rows[-1][-1].text.append(text)
        elif not text.strip():
            return True
        elif not self.rows:
            self.caption.append(text)
        elif _BLANK_LINE.match(text) or (not self.in_row and (last or len(text) > _LONGEST_STRAY)):
            return False
        else:  # text outside the cells: of the cell before it, or of one whose tag was left out
            if not self.rows[-1]:
                self.open_cell()
                self.in_cell = False
            self.rows[-1][-1].text.append(f" {text}")
        return True


def read_html_table(text: str, start: int = 0) -> Table:
    """The table that begins at `start`, with its <table> tag or, where that is missing, with any tag of a row."""
    reader, end = _Reader(), start
    for found in _TAG.finditer(text, start):
        closing, name = bool(found[1]), found[2].lower()
        again = name == "table" and not closing and reader.depth == 1 and not reader.in_cell and reader.rows
        if not reader.text(text[end : found.start()]) or again:
            return _table(reader, text, found.start() if again else end)
        end = found.end()
        if name == "table":
            reader.depth += -1 if closing else 1
            if reader.depth <= 0:
                return _table(reader, text, end)
        elif reader.depth <= 1:
            reader.depth = 1
            reader.tag(closing, name, found[3])
            if not found[4] and reader.in_cell and end < len(text):  # "<td text</td>": what stands there is text
                reader.text(_SPAN.sub("", found[3]))
        elif not closing:  # of a table inside a cell: only its text is kept
            reader.text("<br>" if name == "tr" else " ")
    return _table(reader, text, _broken_off(reader, text, end))


def _broken_off(reader: _Reader, text: str, end: int) -> int:
    """Where a table ends that nothing closes: at the first blank line behind its last tag, or with the text."""
    blank = _BLANK_LINE.search(text, end)
    stop = blank.start() if blank else len(text)
    return stop if reader.text(_HALF_TAG.sub("", text[end:stop]), last=True) else end


def _table(reader: _Reader, text: str, end: int) -> Table:
    rows = [row for row in reader.rows if row]
    caption = read_phrase(" ".join("".join(reader.caption).split()))
    return Table(_on_grid(rows), caption, end)


def even_rows(rows: Sequence[Sequence[str]]) -> Rows:
    """Rows made equally long with empty cells, none longer than a table of so many rows may be; () if all is empty."""
    limit = widest(len(rows))
    cut = [row if len(row) <= limit else [*row[: limit - 1], " ".join(filter(None, row[limit - 1 :]))] for row in rows]
    width = max(map(len, cut), default=0)
    grid = tuple((*row, *[""] * (width - len(row))) for row in cut)
    return grid if any(any(row) for row in grid) else ()


def widest(rows: int) -> int:
    """The most columns that a table of so many rows may have."""
    return min(MOST_COLUMNS, max(FEWEST_COLUMNS, MOST_CELLS // max(1, rows)))


def _on_grid(rows: Sequence[Sequence[_Cell]]) -> Rows:
    limit = widest(len(rows))
    placed: list[list[str]] = []
    taken: dict[int, int] = {}  # columns that cells above still span, and for how many rows
    for row in rows:
        cells: list[str] = []
        column = 0
        for cell in row:
            while column in taken:
                column += 1
            cells += [""] * (min(column, limit) - len(cells))
            cells.append(read_phrase(" ".join("".join(cell.text).split())))
            for spanned in range(column, min(limit, column + cell.columns)):
                taken[spanned] = cell.rows
            column += cell.columns
        taken = {column: left - 1 for column, left in taken.items() if left > 1}
        placed.append(cells)
    return even_rows(placed)
