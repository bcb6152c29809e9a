"""Markdown -> blocks, by CommonMark with tables and strikethrough. Knows no fonts but roles, and no pages.

What is printed is what a reader of the rendered page sees: no marks. Bullets are "•", links are their text, images
their alternative text, HTML is set as it stands, a task box is "☐" or "☒".
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import TYPE_CHECKING

from ocrpress.typeset import plain
from ocrpress.typeset.blocks import Block, PageBreak, Paragraph, Rule, Span, Table
from ocrpress.typeset.fonts import BOLD, ITALIC, MONO, REGULAR

if TYPE_CHECKING:
    from markdown_it import MarkdownIt
    from markdown_it.token import Token

BULLET = "•"
_HEADINGS = {"h1": 1.7, "h2": 1.4, "h3": 1.2, "h4": 1.05, "h5": 1.0, "h6": 1.0}  # of the running text's size
_ABOVE, _ABOVE_TIGHT, _ABOVE_HEADING = 0.5, 0.15, 0.9  # lines
_BLANK_LINE = 0.8  # lines: of code
_INDENT = 2.0  # ems: of a list's items, and of a quotation
_TAB = 4  # columns
_ROLES = {"strong_open": BOLD, "em_open": ITALIC, "strong_close": -BOLD, "em_close": -ITALIC}
_TASK = re.compile(r"\[([ xX])\] ")
_ALIGN = re.compile(r"text-align:(\w+)")


@dataclass(frozen=True)
class _Place:
    """Where a block stands.

    Attributes:
        left: indent in ems.
        marker: that the next block bears.
        tight: blocks follow each other without white space.
    """

    left: float = 0.0
    marker: str = ""
    tight: bool = False


def parse(text: str) -> Iterator[Block]:
    """The blocks of a cleaned Markdown text: its line ends are "\\n". A form feed begins a page."""
    for number, page in enumerate(text.split("\f")):
        if number:
            yield PageBreak()
        try:
            tokens = _parser().parse(page)
        except RecursionError:  # nested hundreds of levels deep: that is no document
            yield from plain.parse(page)
        else:
            yield from _Walk(tokens).blocks()


@lru_cache(maxsize=1)
def _parser() -> MarkdownIt:
    from markdown_it import MarkdownIt

    # What is nested deeper than maxNesting would be dropped without a word.
    return MarkdownIt("commonmark", {"maxNesting": 1_000_000}).enable(["table", "strikethrough"])


class _Walk:
    """The tokens of a page, read once from first to last."""

    def __init__(self, tokens: Sequence[Token]) -> None:
        self.tokens = tokens
        self.places = [_Place()]
        self.counters: list[int | None] = []  # next number of each open list, None for bullets
        self.parted = True  # what comes next is not of the list that stands before it

    def blocks(self) -> Iterator[Block]:
        """The blocks. Where lines or tight items begin or end there is white space, and a blank line in the text."""
        before: Block | None = None
        for block in self._walk():
            tight = isinstance(block, Paragraph) and block.above < _ABOVE
            if isinstance(before, Paragraph) and not tight:
                before = replace(before, end="\n\n")
            if isinstance(block, Paragraph) and tight and not _ends_line(before):
                block = replace(block, above=_ABOVE)
            if before is not None:
                yield before
            before = block
        if before is not None:
            yield before

    def _walk(self) -> Iterator[Block]:
        index = 0
        while index < len(self.tokens):
            token = self.tokens[index]
            kind = token.type
            if kind == "table_open":
                index, table = self._table(index)
                yield table
                continue
            if kind == "inline":
                yield from self._paragraph(token, self.tokens[index - 1])
            elif kind in ("fence", "code_block", "html_block"):
                yield from self._code(token)
            elif kind == "hr":
                yield Rule(self._take().left)
            else:
                self._nest(token)
            index += 1

    def _nest(self, token: Token) -> None:
        """Enter or leave a list, an item or a quotation."""
        here, kind = self.places[-1], token.type
        if kind in ("bullet_list_open", "ordered_list_open"):
            self.counters.append(int(token.attrGet("start") or 1) if kind == "ordered_list_open" else None)
            if token.attrGet("start") == 0:
                self.counters[-1] = 0
        elif kind in ("bullet_list_close", "ordered_list_close"):
            self.counters.pop()
            self.parted = self.parted or not self.counters
        elif kind == "list_item_open":
            number = self.counters[-1]
            marker = BULLET if number is None else f"{number}{token.markup}"
            self.counters[-1] = None if number is None else number + 1
            outer = f"{here.marker} " if here.marker else ""  # "1. - a": a list that begins an item
            self._take()
            self.places.append(_Place(here.left + _INDENT, outer + marker))
        elif kind == "blockquote_open":
            marker = self._take().marker
            self.places.append(_Place(here.left + _INDENT, marker))
        elif kind in ("list_item_close", "blockquote_close"):
            self.places.pop()

    def _take(self) -> _Place:
        """The place of the next block; the marker is used up."""
        here = self.places[-1]
        self.places[-1] = replace(here, marker="")
        return here

    def _paragraph(self, token: Token, opening: Token) -> Iterator[Block]:
        scale = _HEADINGS.get(opening.tag) if opening.type == "heading_open" else None
        here = self._take()
        lines = list(_lines(token.children or (), BOLD if scale else 0))
        if here.marker and lines and lines[0] and (task := _TASK.match(lines[0][0].text)):
            box = "☐" if task[1] == " " else "☒"
            here = replace(here, marker=box)
            lines[0][0] = Span(lines[0][0].text[task.end() :], lines[0][0].role)
        # A tight list's paragraphs are hidden: its items follow each other without white space.
        tight = opening.hidden
        above = _ABOVE_HEADING if scale else _ABOVE_TIGHT if tight and not self.parted else _ABOVE
        self.parted = False
        for number, spans in enumerate(lines):
            last = number == len(lines) - 1
            yield Paragraph(
                tuple(spans),
                scale=scale or 1.0,
                left=here.left,
                marker="" if number else here.marker,
                above=0.0 if number else above,
                keep=scale is not None,
                end="\n" if tight or not last else "\n\n",
            )

    def _code(self, token: Token) -> Iterator[Block]:
        """Lines of code, or of HTML, as they stand."""
        here = self._take()
        role = REGULAR if token.type == "html_block" else MONO
        lines = token.content.expandtabs(_TAB).split("\n")
        inked = [number for number, line in enumerate(lines) if line.strip()]
        for before, number in zip([-1, *inked], inked, strict=False):
            first = before < 0
            yield Paragraph(
                (Span(lines[number].rstrip(), role),),
                left=here.left,
                marker=here.marker if first else "",
                above=_ABOVE if first else _BLANK_LINE * (number - before - 1),
                kept_spaces=True,
                end="\n\n" if number == inked[-1] else "\n",
            )

    def _table(self, index: int) -> tuple[int, Table]:
        """(index after the table, the table)."""
        here = self._take()
        rows: list[list[tuple[Span, ...]]] = []
        heads, aligns = 0, []
        while self.tokens[index].type != "table_close":
            token = self.tokens[index]
            if token.type == "tr_open":
                rows.append([])
            elif token.type in ("th_open", "td_open"):
                head = token.type == "th_open"
                if head:
                    heads = len(rows)
                    aligned = _ALIGN.search(str(token.attrGet("style") or ""))
                    aligns.append(aligned[1] if aligned else "left")
                spans = [span for line in _lines(self.tokens[index + 1].children or (), BOLD * head) for span in line]
                rows[-1].append(tuple(spans))
            index += 1
        return index + 1, Table(tuple(map(tuple, rows)), heads, tuple(aligns), here.left)


def _ends_line(block: Block | None) -> bool:
    return isinstance(block, Paragraph) and block.end == "\n"


def _lines(children: Sequence[Token], role: int) -> Iterator[list[Span]]:
    """The printed lines of an inline token: hard line breaks part them."""
    spans: list[Span] = []
    depth = {BOLD: int(bool(role & BOLD)), ITALIC: 0}
    for child in children:
        if child.type in _ROLES:
            change = _ROLES[child.type]
            depth[abs(change)] += 1 if change > 0 else -1
        elif child.type == "hardbreak":
            if any(span.text.strip() for span in spans):
                yield spans
            spans = []
        else:
            now = sum(face for face, open_ in depth.items() if open_)
            text = _printed(child)
            if text:
                spans.append(Span(text, now | MONO if child.type == "code_inline" else now))
    if any(span.text.strip() for span in spans) or not children:
        yield spans


def _printed(child: Token) -> str:
    if child.type == "softbreak":
        return " "
    if child.type == "image":
        return "".join(_printed(part) for part in child.children or ())
    return child.content.replace("\n", " ").replace("\t", " ")
