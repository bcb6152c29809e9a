"""Regions of one page -> its blocks in reading order: headings, paragraphs, lists, tables, figures, furniture."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from statistics import median

from ocrpress.document import Block, BlockKind, Box, Region, RegionKind
from ocrpress.layout.joining import join_text
from ocrpress.layout.kinds import column_blocks
from ocrpress.layout.lines import Frame, Line, body_height, find_frame, straight_lines, union
from ocrpress.layout.margins import split_margins
from ocrpress.layout.order import Item, best_gutter, reading_order, rows
from ocrpress.layout.paragraphs import is_open, make_row
from ocrpress.layout.tables import Rows, build_table, find_tables

FIGURE_SURE = 0.5
FIGURE_TEXT = 0.35  # share of its area under text lines from which a "figure" is really text
LONG_LABEL = 24  # characters
MOST_LONG_LABELS = 8  # lines of that length that a figure may hold before it is text
COLUMN_LETTERS = 30  # in the usual line of a column of text; the cells of a table are shorter
COLUMN_HEIGHT = 12.0  # ems over which such columns stand beside each other
LABEL_REACH = 0.5  # ems from a figure within which a line may be its label
LABEL_WIDTH = 0.5  # of the figure's width: a wider line is text
SIDE_MARGIN = 0.08  # of the page's width


@dataclass(frozen=True)
class Solid:
    """Something that is read as a whole: a figure or a table, with the lines inside it."""

    kind: BlockKind
    box: Box
    lines: tuple[Line, ...]
    rows: Rows = ()
    confidence: float = 1.0


@dataclass(frozen=True)
class Page:
    """What the steps share: the straightened frame, the layout areas in it, the usual line height."""

    frame: Frame
    areas: tuple[tuple[Region, Box], ...]
    em: float


def build_blocks(regions: Sequence[Region], size: tuple[int, int], points: tuple[float, float]) -> tuple[Block, ...]:
    """Blocks of a page in reading order, furniture first and last.

    Args:
        regions: lines and areas, in pixels of the righted page.
        size: of the righted page, in pixels.
        points: the same in points; blocks come in points.
    """
    frame = find_frame(regions, size)
    every = straight_lines(regions, frame)
    lines = [line for line in every if not line.sideways]
    areas = [region for region in regions if region.kind != "line"]
    page = Page(frame, tuple((area, frame.straighten(area.box)) for area in areas), body_height(lines))
    head, body, foot = split_margins(lines, areas, frame, size[1], page.em)
    solids, loose = take_solids(body, page)
    aside = sideways_blocks([line for line in every if line.sideways], size[0])
    blocks = [*margin_blocks(head), *flow_blocks(loose, solids, page), *aside, *margin_blocks(foot)]
    x_scale, y_scale = points[0] / size[0], points[1] / size[1]
    return tuple(replace(block, box=_scaled(block.box, x_scale, y_scale)) for block in blocks)


def text_blocks(text: str, points: tuple[float, float]) -> tuple[Block, ...]:
    """Text without places as paragraphs, one for each run of lines between blank ones; their box is the whole page."""
    parts = (" ".join(part.split()) for part in re.split(r"\n\s*\n", text))
    return tuple(Block("paragraph", part, (0.0, 0.0, *points)) for part in parts if part)


def take_solids(lines: Sequence[Line], page: Page) -> tuple[list[Solid], list[Line]]:
    """Figures and tables with the lines inside them, and the lines that are left."""
    solids: list[Solid] = []
    loose = list(lines)
    for area, box in page.areas:
        if area.kind not in ("figure", "table") or any(_covers(solid.box, box) for solid in solids):
            continue
        figure = area.kind == "figure"
        inside = [line for line in loose if _holds(box, line) or (figure and _labels(box, line, page))]
        solid = _figure(area, box, inside) if figure else None
        solid = solid or _table(area, inside, page.em)  # a "figure" full of text is often a table
        if solid:
            solids.append(solid)
            loose = [line for line in loose if line not in inside]
    return solids, loose


def _figure(area: Region, box: Box, inside: Sequence[Line]) -> Solid | None:
    surface = (box[2] - box[0]) * (box[3] - box[1])
    covered = sum(line.width * (line.bottom - line.top) for line in inside)
    long = sum(len(line.text) >= LONG_LABEL for line in inside)
    if area.confidence < FIGURE_SURE or surface <= 0 or covered > FIGURE_TEXT * surface or long > MOST_LONG_LABELS:
        return None
    return Solid("figure", union([area.box, *(line.box for line in inside)]), tuple(inside), confidence=area.confidence)


def _labels(box: Box, line: Line, page: Page) -> bool:
    """Whether a line just outside a figure is a label of it: short, touching it, in no area of text."""
    reach = LABEL_REACH * page.em
    touches = (
        line.left < box[2] + reach and line.right > box[0] - reach
        and line.top < box[3] + reach and line.bottom > box[1] - reach
    )  # fmt: skip
    return touches and line.width < LABEL_WIDTH * (box[2] - box[0]) and _kind(line, page) == "line"


def _table(area: Region, inside: Sequence[Line], em: float) -> Solid | None:
    if _reads_like_columns(inside, em):  # a page of text that the layout model took for a table
        return None
    cells = build_table(inside, em)
    if not cells:
        return None
    return Solid("table", union([line.box for line in inside]), tuple(inside), cells, area.confidence)


def _reads_like_columns(lines: Sequence[Line], em: float) -> bool:
    """Whether lines are long and stand in columns beside each other over a good part of a page."""
    if not lines or median(len(line.text) for line in lines) < COLUMN_LETTERS:
        return False
    items = [Item(index, line.left, line.top, line.right, line.bottom) for index, line in enumerate(lines)]
    gutter = best_gutter(items, em)
    return gutter is not None and gutter.worth > COLUMN_HEIGHT * em


def flow_blocks(lines: Sequence[Line], solids: Sequence[Solid], page: Page) -> list[Block]:
    """The body's blocks in reading order, paragraphs carried on over column breaks and past figures."""
    items = [Item(index, line.left, line.top, line.right, line.bottom) for index, line in enumerate(lines)]
    straight = [page.frame.straighten(solid.box) for solid in solids]
    items += [Item(len(lines) + index, *box, solid=True) for index, box in enumerate(straight)]
    blocks: list[Block] = []
    for run in reading_order(items, page.em):
        fresh = True  # the next paragraph is the first of its column
        for part in _parts(run, len(lines)):
            if isinstance(part, int):
                blocks.append(_solid_block(solids[part - len(lines)]))
                continue
            for block in _part_blocks([[lines[item.index] for item in row] for row in part], page):
                _append(blocks, block, fresh)
                fresh = False
    if blocks and blocks[-1].kind == "paragraph" and is_open(blocks[-1].text):
        blocks[-1] = replace(blocks[-1], continues=True)
    return blocks


def _part_blocks(part: Sequence[Sequence[Line]], page: Page) -> Iterator[Block]:
    """Rows of lines in one column -> blocks; rows whose cells align are tables even if the layout model saw none."""
    done = 0
    for start, end, cells in find_tables(part, page.em):
        yield from column_blocks([make_row(row, _row_kind(row, page)) for row in part[done:start]], page.em)
        inside = [line for row in part[start:end] for line in row]
        confidence = median(line.confidence for line in inside)
        yield Block("table", "", union([line.box for line in inside]), rows=cells, confidence=confidence)
        done = end
    yield from column_blocks([make_row(row, _row_kind(row, page)) for row in part[done:]], page.em)


def _parts(run: Sequence[Sequence[Item]], solid_from: int) -> Iterator[int | list[list[Item]]]:
    """A column cut at its figures and tables: rows of lines, and the numbers of solids."""
    rest: list[list[Item]] = []
    for row in run:
        texts = [item for item in row if item.index < solid_from]
        if texts:
            rest.append(texts)
        for item in row:
            if item.index >= solid_from:
                if rest:
                    yield rest
                rest = []
                yield item.index
    if rest:
        yield rest


def _append(blocks: list[Block], block: Block, fresh: bool) -> None:
    """Add a block, or carry on the paragraph that an earlier column or a figure broke off."""
    behind = len(blocks) - 1
    while behind >= 0 and blocks[behind].kind in ("figure", "table", "caption"):
        behind -= 1
    passed = behind < len(blocks) - 1
    if block.kind == "paragraph" and (fresh or passed) and behind >= 0 and blocks[behind].kind in ("paragraph", "list"):
        open_text = blocks[behind].text
        carried = block.text[:1].islower() or (not passed and fresh and open_text.endswith("-"))
        if is_open(open_text) and carried:
            box = union([blocks[behind].box, block.box])
            blocks[behind] = replace(blocks[behind], text=join_text(open_text, block.text), box=box)
            return
    if block.kind == "list" and blocks and blocks[-1].kind == "list":
        text, box = f"{blocks[-1].text}\n{block.text}", union([blocks[-1].box, block.box])
        blocks[-1] = replace(blocks[-1], text=text, box=box)
        return
    blocks.append(block)


def sideways_blocks(lines: Sequence[Line], width: float) -> Iterator[Block]:
    """Lines that run down the page, after the text: furniture in the side margins, paragraphs elsewhere."""
    for line in lines:
        middle = (line.left + line.right) / 2 / width
        kind: BlockKind = "footer" if min(middle, 1 - middle) < SIDE_MARGIN else "paragraph"
        yield Block(kind, line.text, line.box, confidence=line.confidence)


def margin_blocks(lines: Sequence[tuple[Line, BlockKind]]) -> Iterator[Block]:
    """Running heads, feet and page numbers, each line a block, row by row."""
    items = [Item(index, line.left, line.top, line.right, line.bottom) for index, (line, _) in enumerate(lines)]
    for row in rows(items):
        for item in row:
            line, kind = lines[item.index]
            yield Block(kind, line.text, line.box, confidence=line.confidence)


def _solid_block(solid: Solid) -> Block:
    items = [Item(index, line.left, line.top, line.right, line.bottom) for index, line in enumerate(solid.lines)]
    text = (
        "" if solid.rows else "\n".join(" ".join(solid.lines[item.index].text for item in row) for row in rows(items))
    )
    return Block(solid.kind, text, solid.box, rows=solid.rows, confidence=solid.confidence)


def _row_kind(row: Sequence[Line], page: Page) -> RegionKind:
    """Kind of a row: a title if any of it is one, else that of its first fragment."""
    kinds = [_kind(line, page) for line in row]
    return "title" if "title" in kinds else kinds[0]


def _kind(line: Line, page: Page) -> RegionKind:
    """Kind of the smallest area that holds a line's centre."""
    holding = [(_surface(box), area.kind) for area, box in page.areas if _holds(box, line)]
    kinds = [kind for _, kind in sorted(holding) if kind not in ("figure", "table", "header", "footer")]
    return kinds[0] if kinds else "line"


def _holds(box: Box, line: Line) -> bool:
    x = (line.left + line.right) / 2
    return box[0] <= x <= box[2] and box[1] <= line.middle <= box[3]


def _covers(box: Box, other: Box) -> bool:
    x, y = (other[0] + other[2]) / 2, (other[1] + other[3]) / 2
    return box[0] <= x <= box[2] and box[1] <= y <= box[3]


def _surface(box: Box) -> float:
    return (box[2] - box[0]) * (box[3] - box[1])


def _scaled(box: Box, x_scale: float, y_scale: float) -> Box:
    return (box[0] * x_scale, box[1] * y_scale, box[2] * x_scale, box[3] * y_scale)
