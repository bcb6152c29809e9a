"""Lines inside a table area -> rows of cells, where they align."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from statistics import median

from ocrpress.layout.joining import join_text
from ocrpress.layout.lines import Line
from ocrpress.layout.order import Item, rows
from ocrpress.layout.paragraphs import is_marker

GAP = 0.45  # ems: the least width of the strip between two columns
CROSSED = 0.18  # share of rows whose cells may reach over such a strip: spanning heads
FILLED = 0.35  # least share of cells with text
UNMARKED_FILLED = 0.6  # the same for a table that the layout model did not see
UNMARKED_ROWS = 3  # rows of several cells that such a table has at least
FAR = 4.0  # ems from row to row at most
ROW_GAP = 1.35  # times the least usual pitch: a wider step begins a new row where some rows have several lines

BAND_GAP = 1.22  # times the least step between lines of the fullest column: a wider one begins a new row
BANDS_NAMED = 0.7  # share of such rows that have something in the first column

Rows = tuple[tuple[str, ...], ...]


def find_tables(part: Sequence[Sequence[Line]], em: float) -> list[tuple[int, int, Rows]]:
    """Tables that nobody marked among the rows of a column: stretches of rows with several fragments that align.

    Returns:
        (first row, row after the last, cells) of each, from top to bottom.
    """
    several = [len(row) > 1 and not is_marker(row[0].text) for row in part]
    found = []
    start = 0
    while start < len(part):
        end = start + 1
        if several[start]:
            while end < len(part) and _goes_on(part, several, end, em):
                end += 1
            while not several[end - 1]:
                end -= 1
            if sum(several[start:end]) >= UNMARKED_ROWS:
                cells = build_table([line for row in part[start:end] for line in row], em, UNMARKED_FILLED)
                if cells:
                    found.append((start, end, cells))
        start = end
    return found


def _goes_on(part: Sequence[Sequence[Line]], several: Sequence[bool], index: int, em: float) -> bool:
    """Whether a row still belongs to a table: cells beside each other, or one between two such rows, close by."""
    step = min(line.middle for line in part[index]) - max(line.middle for line in part[index - 1])
    near = several[index - 1 : index + 2]
    return step < FAR * em and (
        several[index] or sum(near) > 1 or (several[index - 1] and any(several[index : index + 3]))
    )


def build_table(lines: Sequence[Line], em: float, least: float = FILLED) -> Rows | None:
    """The cells of a table, all rows equally long, or None if the lines do not align as one.

    Args:
        lines: the table's lines in the straightened frame.
        em: usual height of a line of text.
        least: share of cells that must hold text.
    """
    if len(lines) < 4:
        return None
    items = [Item(index, line.left, line.top, line.right, line.bottom) for index, line in enumerate(lines)]
    grid = rows(items)
    edges = column_edges(grid, em)
    if not edges or len(grid) < 2:
        return None
    cells = _banded(items, edges, lines, em) or _merge_continuations(
        [_cells(row, edges, lines) for row in grid], [median(item.middle for item in row) for row in grid]
    )
    filled = sum(bool(cell) for row in cells for cell in row)
    if len(cells) < 2 or filled < least * len(cells) * (len(edges) + 1):
        return None
    return tuple(tuple(row) for row in cells)


def column_edges(grid: Sequence[Sequence[Item]], em: float) -> list[float]:
    """Middles of the upright strips that (nearly) no cell crosses, left to right."""
    items = [item for row in grid for item in row]
    allowed = CROSSED * len(grid)
    points = sorted({item.left for item in items} | {item.right for item in items})
    strips: list[list[float]] = []
    for left, right in pairwise(points):
        middle = (left + right) / 2
        if sum(item.left < middle < item.right for item in items) <= allowed:
            if strips and strips[-1][1] >= left:
                strips[-1][1] = right
            else:
                strips.append([left, right])
    return [(left + right) / 2 for left, right in strips if right - left >= GAP * em and _parts(items, left, right, em)]


def _parts(items: Sequence[Item], left: float, right: float, em: float) -> bool:
    """Whether at least two boxes stand on each side of a strip."""
    before = sum(item.right <= left + 0.2 * em for item in items)
    return before >= 2 and sum(item.left >= right - 0.2 * em for item in items) >= 2


def _cells(row: Sequence[Item], edges: Sequence[float], lines: Sequence[Line]) -> list[str]:
    cells = [""] * (len(edges) + 1)
    for item in row:
        column = _column(item, edges, lines)
        cells[column] = f"{cells[column]} {lines[item.index].text}".strip()
    return cells


def _column(item: Item, edges: Sequence[float], lines: Sequence[Line]) -> int:
    """Number of the column that a cell stands in; one that spans columns stands in the first with a good part of it."""
    start = item.left + min(0.25 * item.width, lines[item.index].height)
    return sum(edge < start for edge in edges)


def _banded(items: Sequence[Item], edges: Sequence[float], lines: Sequence[Line], em: float) -> list[list[str]] | None:
    """Cells of a table whose rows are as high as the tallest of their cells, the others centred beside it.

    The column with most lines tells the rows, if its lines stand in groups with room between them and every other cell
    stands beside a group; else None.
    """
    columns: list[list[Item]] = [[] for _ in range(len(edges) + 1)]
    for item in items:
        columns[_column(item, edges, lines)].append(item)
    most = max(len(column) for column in columns)
    fullest = sorted(next(column for column in columns if len(column) == most), key=lambda item: item.middle)
    steps = [after.middle - before.middle for before, after in pairwise(fullest)]
    if not steps or min(steps) < 0.5 * em or max(steps) < BAND_GAP * min(steps):
        return None
    bands = [[fullest[0]]]
    for step, item in zip(steps, fullest[1:], strict=True):
        if step > BAND_GAP * min(steps):
            bands.append([item])
        else:
            bands[-1].append(item)
    spans = [(band[0].top - 0.3 * em, band[-1].bottom + 0.3 * em) for band in bands]
    cells = [[""] * len(columns) for _ in bands]
    for column, members in enumerate(columns):
        for item in sorted(members, key=lambda item: (item.middle, item.left)):
            row = next((index for index, (top, bottom) in enumerate(spans) if top < item.middle < bottom), None)
            if row is None:
                return None
            cells[row][column] = join_text(cells[row][column], lines[item.index].text)
    filled = sum(bool(row[0]) for row in cells)
    return cells if filled >= BANDS_NAMED * len(cells) else None


def _merge_continuations(cells: list[list[str]], middles: Sequence[float]) -> list[list[str]]:
    """Rows that only carry on the cells above: the first cell empty, and a closer step than between true rows."""
    pitches = [after - before for before, after in pairwise(middles)]
    close = min(pitches) * ROW_GAP
    if all(pitch < close for pitch in pitches):  # no two kinds of step: every line is a row
        return cells
    merged = [cells[0]]
    for row, pitch in zip(cells[1:], pitches, strict=True):
        if not row[0] and pitch < close:
            merged[-1] = [join_text(above, below) for above, below in zip(merged[-1], row, strict=True)]
        else:
            merged.append(row)
    return merged
