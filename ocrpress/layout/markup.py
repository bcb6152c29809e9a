"""What a vision-language model wrote for a page -> its blocks, in the model's own order.

    text ──grounding──▶ elements ──labels──▶ what each is
                           └─────segments──▶ Markdown, HTML tables and LaTeX of each ──▶ blocks

The label of an element says what it is, its boxes where; its text says the rest. Text without boxes has the box of the
whole page. Nothing here raises for any text, or evaluates any of it.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import groupby

from ocrpress.document import FURNITURE, Block, BlockKind, Box, block_text
from ocrpress.inline import plain
from ocrpress.layout.grounding import GRID, GridBox, Grounded, read_grounding
from ocrpress.layout.html_tables import TABLE_START
from ocrpress.layout.labels import Role, role_of, title_level
from ocrpress.layout.lines import union
from ocrpress.layout.paragraphs import SECTION, is_open
from ocrpress.layout.phrases import join_lines, read_phrase
from ocrpress.layout.prose import read_heading, text_block
from ocrpress.layout.segments import read_equation, read_markdown

LOCATE = "locate="
CARRIED_ON = frozenset({"markdown", "text"})  # tasks whose last paragraph may go on in the next page
FLOATS = frozenset({"figure", "table", "caption", "equation"}) | FURNITURE  # a paragraph goes on behind them
_LABEL_LIKE = re.compile(r"[A-Za-z][A-Za-z0-9_ -]{0,40}")
_OPENS_TABLE = re.compile(TABLE_START, re.IGNORECASE)


@dataclass(frozen=True)
class _Element:
    """An element with its role, in points of the page."""

    role: Role
    label: str
    boxes: tuple[Box, ...]
    box: Box
    text: str


def markup_blocks(text: str, points: tuple[float, float], task: str = "markdown") -> tuple[Block, ...]:
    """Blocks of a page that a model read, in its order. Any text has a reading; none raises.

    Args:
        text: as generated: Markdown, HTML tables and formulas, with or without grounding (`layout.grounding`).
        points: width and height of the page in points; blocks come in points.
        task: what the model was asked for. "locate=WHAT" gives one figure a box found, with the label and the
            coordinates (0 to 999) as its text; other tasks give what the text says.
    """
    found = read_grounding(text)
    if task.startswith(LOCATE):
        return tuple(_located(found, task.removeprefix(LOCATE).strip(), points))
    blocks = list(_merged_lists(_blocks(_elements(found, points))))
    solid = next((block for block in reversed(blocks) if block.kind not in FLOATS), None)
    return tuple(
        replace(block, continues=False) if block.continues and (block is not solid or task not in CARRIED_ON) else block
        for block in blocks
    )


def _located(found: Sequence[Grounded], sought: str, points: tuple[float, float]) -> Iterator[Block]:
    for element in found:
        label = " ".join(element.label.split()) or sought
        for box in element.boxes:
            yield Block("figure", f"{label} [{', '.join(map(str, box))}]", _in_points(box, points))


def _in_points(box: GridBox, points: tuple[float, float]) -> Box:
    width, height = points
    left, top, right, bottom = (edge / GRID for edge in box)
    return (left * width, top * height, right * width, bottom * height)


def _elements(found: Sequence[Grounded], points: tuple[float, float]) -> Iterator[_Element]:
    page = (0.0, 0.0, *points)
    labelled = [element for element in found if element.label]
    # The model puts what it reads where the labels belong ("OCR this image" makes it do so): "Table" may be a word.
    spoken = 2 * sum(not element.text and role_of(element.label) is None for element in labelled) > len(labelled)
    for element in found:
        role, text = role_of(element.label), element.text
        cut = element.truncated and not element.boxes
        if spoken and not text:
            role = None
        if role is None and element.label and not cut and not (text and _LABEL_LIKE.fullmatch(element.label)):
            text = f"{element.label}\n{text}" if text else element.label
        boxes = tuple(_in_points(box, points) for box in element.boxes)
        yield _Element(role or "text", element.label, boxes, union(boxes) if boxes else page, text)


def _blocks(elements: Iterator[_Element]) -> Iterator[Block]:
    awaited: Box | None = None  # of a table whose cells come behind its caption
    titled = False
    for element in elements:
        blocks = list(_headed(element, titled) if element.role == "heading" else _element_blocks(element))
        titled = titled or any(block.kind == "heading" for block in blocks)
        if element.role == "table" and not blocks:
            awaited = element.box if element.boxes else None
            continue
        if awaited and element.role != "table":
            place = next((number for number, block in enumerate(blocks) if block.kind == "table"), None)
            if place is not None:
                blocks[place] = replace(blocks[place], box=awaited)
        if element.role != "caption" or any(block.kind == "table" for block in blocks):
            awaited = None
        yield from blocks


def _element_blocks(element: _Element) -> Iterator[Block]:
    text, box = element.text, element.box
    if element.role == "figure":
        yield from _figures(element)
    elif element.role == "equation":
        yield from read_equation(text, box)
    elif element.role == "code" and "```" not in text and "<table" not in text:
        if text.strip():
            yield Block("code", text, box)
    elif element.role in ("header", "footer", "page_number"):
        yield from _one_block(element.role, text, box)
    elif element.role == "caption":
        for block in read_markdown(text, box):
            yield replace(block, kind="caption", level=0) if block.kind in ("paragraph", "heading") else block
    else:
        yield from _text(element)


def _text(element: _Element) -> Iterator[Block]:
    """Blocks of text; the last paragraph is open if no mark ends it."""
    blocks = list(read_markdown(element.text, element.box))
    if blocks and blocks[-1].kind == "paragraph" and element.role == "text" and is_open(block_text(blocks[-1])):
        blocks[-1] = replace(blocks[-1], continues=True)
    yield from blocks


def _figures(element: _Element) -> Iterator[Block]:
    """A figure for every box: each is a picture, and what stands between two of them is not.

    What the element says is the text of the first one, but for tables, formulas and code, which follow. Without a box
    there is nothing to show, and all that it says is text.
    """
    said: list[Block] = []
    others: list[Block] = []
    for block in read_markdown(element.text, element.box):
        inside = element.boxes and block.kind in ("paragraph", "caption", "heading", "list")
        (said if inside else others).append(block)
    for number, box in enumerate(element.boxes):
        yield text_block("figure", "" if number else "\n".join(block.text for block in said), box)
    yield from others


def _one_block(kind: BlockKind, text: str, box: Box) -> Iterator[Block]:
    said = " ".join(block_text(block) for block in read_markdown(text, box))
    if said.strip():
        yield Block(kind, " ".join(said.split()), box)


def _headed(element: _Element, titled: bool) -> Iterator[Block]:
    """A heading, and what stands behind it in the same element.

    Its level is that of its number signs, else of its section number, else of its label; but a page has one title only.
    """
    if _OPENS_TABLE.search(element.text):
        yield from read_markdown(element.text, element.box)
        return
    lines = element.text.strip().split("\n")
    text, signs = read_heading(lines[0]) or (lines[0], 0)
    first = [text]
    rest = 1
    while rest < len(lines) and lines[rest].strip() and not read_heading(lines[rest]):
        first.append(lines[rest])
        rest += 1
    said = read_phrase(join_lines(first).replace("\n", " "))
    if said:
        level = signs or _section_level(plain(said)) or max(title_level(element.label), 2 if titled else 1)
        yield text_block("heading", said, element.box, level)
    yield from read_markdown("\n".join(lines[rest:]), element.box)


def _section_level(text: str) -> int:
    """Level of a heading by its section number ("3.2.1 Data"); 0 without one."""
    number = SECTION.match(text)
    return min(6, 1 + len(re.findall(r"\d+", number.group()))) if number else 0


def _merged_lists(blocks: Iterator[Block]) -> Iterator[Block]:
    """The blocks, with lists that follow each other as one: models ground every item by itself."""
    for kind, run in groupby(blocks, key=lambda block: block.kind):
        if kind != "list":
            yield from run
            continue
        lists = list(run)
        text, box = "\n".join(block.text for block in lists), union([block.box for block in lists])
        yield text_block("list", text, box)
