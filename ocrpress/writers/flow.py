"""What Markdown and plain text share: which blocks are written, and paragraphs that run on over a page break."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from ocrpress.document import FURNITURE, Block, Document, PageResult
from ocrpress.inline import escape
from ocrpress.layout import join_text
from ocrpress.writers.clean import one_line

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from ocrpress.writers import WriterOptions

# What may stand between the two halves of a paragraph: it floats to where there is room, or hangs at the margin.
FLOATS = frozenset({"figure", "table", "caption", "equation"}) | FURNITURE


def prepare(document: Document, options: WriterOptions) -> Document:
    """The document with the blocks that are to be written, in their final order."""
    pages = document.pages
    if not options.keep_furniture:
        pages = tuple(
            replace(page, blocks=tuple(block for block in page.blocks if block.kind not in FURNITURE)) for page in pages
        )
    if options.page_breaks == "none":
        pages = run_on(pages)
    return replace(document, pages=pages)


def run_on(pages: Iterable[PageResult]) -> tuple[PageResult, ...]:
    """Pages whose last paragraph goes on take the first paragraph of the next page; it is gone from there.

    A page that failed, is blank, or is missing between two pages ends the paragraph.
    """
    written: list[PageResult] = []
    going_on: tuple[int, int] | None = None  # page and block of the paragraph that has not ended yet
    for page in pages:
        if written and page.number != written[-1].number + 1:
            going_on = None
        blocks = list(page.blocks)
        first = _first_solid(blocks)
        if going_on and first is not None and blocks[first].kind == "paragraph":
            index, place = going_on
            tail = blocks.pop(first)
            written[index] = _lengthen(written[index], place, tail)
            going_on = going_on if tail.continues and _first_solid(blocks) is None else None
        else:
            going_on = None
        written.append(replace(page, blocks=tuple(blocks)))
        going_on = going_on or _open_end(blocks, len(written) - 1)
    return tuple(written)


def failure(page: PageResult) -> str:
    """The mark that a failed page leaves in its place."""
    return f"page {page.number} failed: {one_line(page.error) or 'no reason given'}"


def incompleteness(document: Document) -> str:
    """The mark that an interrupted document ends with."""
    done = len(document.pages)
    return f"incomplete: {done} of {max(document.page_count, done) if document.page_count else 'unknown'} pages"


def _lengthen(page: PageResult, place: int, tail: Block) -> PageResult:
    blocks = list(page.blocks)
    head = blocks[place]
    markup = head.markup or tail.markup
    first, second = ((escape(part.text) if markup and not part.markup else part.text) for part in (head, tail))
    blocks[place] = replace(head, text=join_text(first, second), continues=tail.continues, markup=markup)
    return replace(page, blocks=tuple(blocks))


def _open_end(blocks: Sequence[Block], index: int) -> tuple[int, int] | None:
    """Where the page's last paragraph is, if it goes on; `index` is the page's."""
    last = next((place for place in reversed(range(len(blocks))) if blocks[place].kind not in FLOATS), None)
    if last is None or blocks[last].kind != "paragraph" or not blocks[last].continues:
        return None
    return index, last


def _first_solid(blocks: Sequence[Block]) -> int | None:
    return next((place for place, block in enumerate(blocks) if block.kind not in FLOATS), None)
