"""Reading order: which of the boxes on a page is read after which.

A recursive cut. At each level the best gutter is looked for: an upright strip that separates boxes which stand beside
each other and read like columns. Boxes that cross it (titles, wide figures) cut the group into zones from top to
bottom; between them the left side is read before the right one. Without a gutter, rows are read from top to bottom.

Knows nothing of text or kinds: boxes in, an order out.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from statistics import median

NARROWEST = 5.0  # ems: a narrower side is a column of list markers or numbers, not of prose
FULLNESS = 0.55  # a side's median row fills at least this share of its width
GUTTER = 0.25  # ems: a column gap is at least this wide
SHRINK = 0.2  # ems by which a box is narrowed on each side: detected boxes are a little generous
OVERREACH = 0.06  # share of its width by which a long line may reach over a gutter, but not more than an em
LEVEL = 0.3  # ems by which the middles of two rows may differ that stand side by side
BESIDE = 0.85  # share of the rows of a table's side that have one beside them
FEWEST_ROWS = 3  # of a table
SPARSE = 0.6  # of the other side's rows: a side with fewer has gaps between them
MANY_CELLS = 0.6  # share of a side's rows that hold several cells
CROSSING_COST = 0.5  # ems of parallel columns that one box across the gutter must be worth


@dataclass(frozen=True)
class Item:
    """A box to be put in order: a line of text, or a whole figure or table (`solid`)."""

    index: int
    left: float
    top: float
    right: float
    bottom: float
    solid: bool = False

    @property
    def middle(self) -> float:
        """Height of its centre."""
        return (self.top + self.bottom) / 2

    @property
    def width(self) -> float:
        """From left to right."""
        return self.right - self.left


@dataclass(frozen=True)
class Gutter:
    """A strip between columns: the boxes left of it, right of it and across it."""

    left: list[Item]
    right: list[Item]
    across: list[Item]
    worth: float


def reading_order(items: Sequence[Item], em: float) -> list[list[list[Item]]]:
    """Put boxes in reading order.

    Args:
        items: in the coordinates of an unskewed page.
        em: usual height of a line of text, in the same unit.

    Returns:
        Runs in reading order; the rows of one run stand below each other in one column, each from left to right.
    """
    if not items:
        return []
    gutter = best_gutter(items, em)
    if gutter is None:
        return [rows(items)]
    runs: list[list[list[Item]]] = []
    for zone, crossed in zones(gutter):
        if crossed and len(zone) < len(items):
            runs += reading_order(zone, em)
        elif crossed:
            runs.append(rows(zone))
        else:
            members = {item.index for item in gutter.left}
            runs += reading_order([item for item in zone if item.index in members], em)
            runs += reading_order([item for item in zone if item.index not in members], em)
    return runs


def rows(items: Sequence[Item]) -> list[list[Item]]:
    """Boxes grouped into rows from top to bottom, each from left to right; boxes share a row when half of one does."""
    found: list[list[Item]] = []
    for item in sorted(items, key=lambda item: item.middle):
        row = found[-1] if found else []
        if any(_beside(item, other) for other in row):
            row.append(item)
        else:
            found.append([item])
    return [sorted(row, key=lambda item: item.left) for row in found]


def _beside(one: Item, other: Item) -> bool:
    shared = min(one.bottom, other.bottom) - max(one.top, other.top)
    apart = one.left >= other.right - 1 or other.left >= one.right - 1
    return apart and shared > 0.5 * min(one.bottom - one.top, other.bottom - other.top)


def best_gutter(items: Sequence[Item], em: float) -> Gutter | None:
    """The strip that separates most parallel text at the least cost of boxes across it; None if there is none."""
    best: Gutter | None = None
    for x in candidates(items, em):
        left = [item for item in items if item.right - _slack(item, em) <= x]
        right = [item for item in items if item.left + _slack(item, em) >= x]
        taken = {item.index for item in left} | {item.index for item in right}
        across = [item for item in items if item.index not in taken]
        if not (left and right):
            continue
        gutter = Gutter(left, right, across, 0.0)
        worth = sum(
            _parallel(zone, gutter, em) for zone, crossed in zones(gutter) if not crossed
        ) - CROSSING_COST * em * len(across)
        if worth > max(em, best.worth if best else 0.0):
            best = Gutter(left, right, across, worth)
    return best


def is_tabular(left: Sequence[Item], right: Sequence[Item], em: float) -> bool:
    """Whether what stands on two sides of a strip are cells of common rows rather than columns of text.

    The rows of the sides must stand side by side; and one side must have gaps between its rows, like terms beside
    their explanations, or hold several cells a row that are no columns themselves.
    """
    if any(item.solid for item in (*left, *right)):
        return False
    sides = sorted((_common(left, right), _common(right, left)), key=len)
    fewer, more = ([_middle(row) for row in side] for side in sides)
    beside = sum(any(abs(middle - other) < LEVEL * em for other in more) for middle in fewer)
    if len(fewer) < FEWEST_ROWS or beside < BESIDE * len(fewer):
        return False
    return len(fewer) < SPARSE * len(more) or any(_cellular(side, em) for side in sides)


def _common(side: Sequence[Item], other: Sequence[Item]) -> list[list[Item]]:
    """Rows of a side over the height that the other side has too."""
    top, bottom = min(item.top for item in other), max(item.bottom for item in other)
    return rows([item for item in side if top < item.middle < bottom])


def _cellular(side: Sequence[Sequence[Item]], em: float) -> bool:
    """Whether the rows of a side hold several cells that are no columns themselves."""
    several = sum(len(row) > 1 for row in side)
    return several > MANY_CELLS * len(side) and best_gutter([item for row in side for item in row], em) is None


def _middle(row: Sequence[Item]) -> float:
    return sum(item.middle for item in row) / len(row)


def _slack(item: Item, em: float) -> float:
    """By how much a box may reach over a gutter and still stand beside it: detection runs into rules and specks."""
    return max(SHRINK * em, min(em, OVERREACH * item.width))


def candidates(items: Sequence[Item], em: float) -> list[float]:
    """Middles of the upright strips, at least a gutter wide, between a right edge and the next left edge beside it."""
    found = set()
    lefts = sorted(item.left + SHRINK * em for item in items)
    for item in items:
        edge = item.right - SHRINK * em
        following = next((left for left in lefts if left >= edge + GUTTER * em), None)
        if following is not None:
            # the widest strip that begins here: other boxes may end inside it
            ends = [other.right - SHRINK * em for other in items if edge < other.right - SHRINK * em < following]
            found.add((max(ends, default=edge) + following) / 2)
    return sorted(found)


def zones(gutter: Gutter) -> list[tuple[list[Item], bool]]:
    """The group cut from top to bottom at the boxes across the gutter: (boxes, whether they stand across it).

    Neighbouring boxes across belong together when not both sides have boxes between them: the short last line of a
    wide paragraph stands on one side only.
    """
    sides = sorted([*gutter.left, *gutter.right], key=lambda item: item.middle)
    lefts = {item.index for item in gutter.left}
    bands: list[list[float]] = []
    for item in sorted(gutter.across, key=lambda item: item.middle):
        if bands:
            between = [other.index in lefts for other in sides if bands[-1][1] < other.middle < item.middle]
            if not (any(between) and not all(between)):
                bands[-1][1] = max(bands[-1][1], item.middle)
                continue
        bands.append([item.middle, item.middle])
    found: list[tuple[list[Item], bool]] = []
    rest = sorted([*sides, *gutter.across], key=lambda item: item.middle)
    for top, bottom in bands:
        above = [item for item in rest if item.middle < top]
        inside = [item for item in rest if top <= item.middle <= bottom]
        rest = [item for item in rest if item.middle > bottom]
        found += [(above, False)] if above else []
        found.append((inside, True))
    return found + ([(rest, False)] if rest else [])


def _parallel(zone: list[Item], gutter: Gutter, em: float) -> float:
    """Height over which both sides of a zone hold text that reads like columns."""
    members = {item.index for item in gutter.left}
    left = [item for item in zone if item.index in members]
    right = [item for item in zone if item.index not in members]
    if not (left and right and _is_column(left, em) and _is_column(right, em)) or is_tabular(left, right, em):
        return 0.0
    top = max(min(item.top for item in left), min(item.top for item in right))
    bottom = min(max(item.bottom for item in left), max(item.bottom for item in right))
    return max(0.0, bottom - top)


def _is_column(side: list[Item], em: float) -> bool:
    """Whether a side reads like columns: wide enough, its rows mostly full; one with a figure or table always does."""
    if any(item.solid for item in side):
        return True
    width = max(item.right for item in side) - min(item.left for item in side)
    fullness = median(sum(item.width for item in row) for row in rows(side))
    return width >= NARROWEST * em and fullness >= FULLNESS * width
