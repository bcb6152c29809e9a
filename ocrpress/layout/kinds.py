"""Paragraphs of a column -> blocks of a kind: heading, paragraph, list, caption, equation."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from statistics import median

from ocrpress.document import Block, BlockKind
from ocrpress.layout.lines import body_height, union
from ocrpress.layout.paragraphs import HEADING_HEIGHT, SECTION, STOP, Row, paragraph_text, split_paragraphs

HEADING_LENGTH = 160  # characters
NUMBERED_HEIGHT = 1.03  # like HEADING_HEIGHT, for a line that begins with the number of a section
TALLER_THAN_COLUMN = 0.9  # of the column's own line height counts beside the page's: in large print all lines are tall
LEVELS = ((1.6, 1), (1.3, 2))  # times the body's line height -> heading level; else 3
GLUED_NUMBER = re.compile(r"^(\d{1,2}(?:\.\d{1,2})*)(?=[A-Z][a-z])")  # "2Modes": recognition drops wide spaces
NUMBERED = re.compile(r"\w[.)]")  # a list marker that counts; any other is a bullet
ITEM_INDENT = 1.2  # ems from one level of a list to the next


def column_blocks(made: Sequence[Row], em: float) -> Iterator[Block]:
    """Rows of a column -> headings, paragraphs, captions, equations and lists."""
    items: list[list[Row]] = []
    usual = max(em, TALLER_THAN_COLUMN * body_height(made))
    for group in split_paragraphs(made, em):
        kind = group_kind(group, usual)
        if kind == "list":
            items.append(group)
            continue
        if items:
            yield list_block(items, em)
            items = []
        box, text = union([row.box for row in group]), paragraph_text(group)
        level = heading_level(group, text, em) if kind == "heading" else 0
        if level:
            text = GLUED_NUMBER.sub(r"\1 ", text)
        yield Block(kind, text, box, level, confidence=median(row.confidence for row in group))
    if items:
        yield list_block(items, em)


def group_kind(group: Sequence[Row], usual: float) -> BlockKind:
    """What kind of block the rows of a paragraph make; `usual` is the height that a heading must exceed by a third."""
    text = " ".join(row.text for row in group)
    kinds = {row.kind for row in group}
    tall = median(row.height for row in group) >= HEADING_HEIGHT * usual
    if len(text) <= HEADING_LENGTH and len(group) <= 4 and any(character.isalpha() for character in text):
        begins = text.lstrip("\"'“‘([")[:1]
        plain = kinds <= {"line", "text", "title", "reference"} and not group[0].marker
        numbered = bool(SECTION.match(text)) and len(group) <= 2 and not STOP.search(text)
        larger = median(row.height for row in group) >= NUMBERED_HEIGHT * usual
        if (kinds == {"title"} or (plain and (tall or (numbered and larger)))) and not (
            text.endswith(",") or begins.islower()
        ):
            return "heading"
    if group[0].kind in ("figure_caption", "table_caption"):
        return "caption"
    if kinds == {"equation"}:
        return "equation"
    return "list" if group[0].marker else "paragraph"


def heading_level(group: Sequence[Row], text: str, em: float) -> int:
    """1 to 6: from the section number where there is one, else from the size."""
    ratio = median(row.height for row in group) / em
    if (match := SECTION.match(text)) and ratio < LEVELS[0][0]:
        return min(6, 1 + len(re.findall(r"\d+", match.group())))
    return next((level for limit, level in LEVELS if ratio >= limit), 3)


def list_block(groups: Sequence[Sequence[Row]], em: float) -> Block:
    """Items one a line with their markers, deeper ones indented by two spaces a level."""
    stops: list[float] = []
    texts = []
    for group in groups:
        left = group[0].left
        while stops and left < stops[-1] - ITEM_INDENT * em / 2:
            stops.pop()
        if not stops or left > stops[-1] + ITEM_INDENT * em:
            stops.append(left)
        text = paragraph_text(group).removeprefix(group[0].marker).strip()
        marker = group[0].marker if NUMBERED.search(group[0].marker) else "-"
        texts.append(f"{'  ' * (len(stops) - 1)}{marker} {text}")
    every = [row for group in groups for row in group]
    box = union([row.box for row in every])
    return Block("list", "\n".join(texts), box, confidence=median(row.confidence for row in every))
