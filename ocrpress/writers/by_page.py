"""The Markdown of a document in one piece a page: joined they are the text, and each is what its page gave.

For text that is used without its pages beside it: no page comments, no links to pictures, and nothing of a page that
failed. A paragraph that runs on over a page break stays one paragraph, cut where the page ends. So that its halves
stand side by side, figures, tables and captions at the break make room: those of the first page move before the
paragraph, those of the second behind it. A displayed formula at the break ends the paragraph.
"""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise
from typing import TYPE_CHECKING

from ocrpress.document import FURNITURE, Block, Document, PageResult
from ocrpress.inline import escape
from ocrpress.layout import join_text
from ocrpress.layout.furniture import mark_furniture
from ocrpress.writers import WriterOptions, markdown
from ocrpress.writers.clean import clean, encodable
from ocrpress.writers.flow import FLOATS

if TYPE_CHECKING:
    from collections.abc import Sequence

BETWEEN = "\n\n"  # two blocks; it belongs to the page of the first
CUT = "\ufdd1"  # stands where the page ends while the paragraph is escaped; no character by Unicode
_MOVABLE = FLOATS - {"equation"}
_NO_BREAKS = WriterOptions(page_breaks="none")

Part = tuple[int, Block]  # index of the page that a block or a part of a paragraph came from


def text_by_page(document: Document, keep_furniture: bool = False) -> list[str]:
    """One string for each page, in order; empty for pages that are blank, failed or hold no text.

    Args:
        document: any.
        keep_furniture: keep running heads, running feet and page numbers.
    """
    pieces = [""] * len(document.pages)
    last: int | None = None
    for group in _groups(mark_furniture(document.pages), keep_furniture):
        for paragraph in _written(group):
            said = [(index, text) for index, text in paragraph if text]
            if said and last is not None:
                pieces[last] += BETWEEN
            for index, text in said:
                pieces[index] += text
                last = index
    return pieces


def _groups(pages: Sequence[PageResult], keep_furniture: bool) -> list[list[Part]]:
    """The blocks in their final order; in one group the parts of a paragraph that runs on from page to page."""
    kept = [_kept(page, keep_furniture) for page in pages]
    groups: list[list[Part]] = []
    runs_out = False
    for index, blocks in enumerate(kept):
        runs_in = runs_out
        follows = index + 1 < len(pages) and pages[index + 1].number == pages[index].number + 1
        runs_out = follows and _runs_on(blocks, kept[index + 1])
        if runs_in:
            groups[-1].append((index, blocks.pop(_solid(blocks)[0])))
            if runs_out and not _solid(blocks):  # all the page's text is of this paragraph
                runs_out = not blocks  # what else is on the page must follow it, and ends it so
        if runs_out and blocks:
            blocks.append(blocks.pop(_solid(blocks)[-1]))
        groups += [[(index, block)] for block in blocks]
    return groups


def _kept(page: PageResult, keep_furniture: bool) -> list[Block]:
    if page.status != "ok":  # what a failed page holds is left of answers that were not taken
        return []
    return [
        replace(block, text=block.text.replace(CUT, ""), image="")
        for block in page.blocks
        if (keep_furniture or block.kind not in FURNITURE)
        and (block.kind != "figure" or block.rows or clean(block.text).strip())
    ]


def _runs_on(blocks: Sequence[Block], following: Sequence[Block]) -> bool:
    """Does the last paragraph of a page go on in the first of the next?"""
    ends, begins = _solid(blocks), _solid(following)
    if not ends or not begins:
        return False
    last, first = blocks[ends[-1]], following[begins[0]]
    return last.kind == "paragraph" and last.continues and first.kind == "paragraph"


def _solid(blocks: Sequence[Block]) -> list[int]:
    """Where the blocks are that do not move."""
    return [place for place, block in enumerate(blocks) if block.kind not in _MOVABLE]


def _written(group: Sequence[Part]) -> list[list[tuple[int, str]]]:
    """A group as paragraphs, each with what the pages gave to it."""
    alone = [[(index, _markdown(block))] for index, block in group]
    if len(group) == 1:
        return alone
    joined, cuts = _joined([block for _, block in group])
    edges = [0, *cuts, len(joined.text)]
    marked = CUT.join(joined.text[start:end] for start, end in pairwise(edges))
    parts = _markdown(replace(joined, text=marked)).split(CUT)
    # Where a mark of Markdown stands right at the break, what is escaped may hang on both sides: then two paragraphs.
    if len(parts) != len(group) or "".join(parts) != _markdown(joined):
        return alone
    return [[(index, part) for (index, _), part in zip(group, parts, strict=True)]]


def _joined(blocks: Sequence[Block]) -> tuple[Block, list[int]]:
    """The parts of a paragraph as one, and where in its text each but the first begins."""
    markup = any(block.markup for block in blocks)
    texts = [escape(block.text) if markup and not block.markup else block.text for block in blocks]
    text, cuts = texts[0], []
    for following in texts[1:]:
        part = following.lstrip()
        text = join_text(text, part)
        cuts.append(len(text) - len(part))
    return replace(blocks[0], text=text, markup=markup), cuts


def _markdown(block: Block) -> str:
    page = PageResult(1, "ok", (block,))
    return encodable(markdown.write(Document("", (page,)), _NO_BREAKS)).removesuffix("\n")
