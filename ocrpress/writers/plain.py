"""A Document -> plain text: blocks separated by blank lines, cells by tabs, pages by form feeds."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ocrpress.document import Block, Document, PageResult, block_rows, block_text
from ocrpress.writers.clean import clean, one_line
from ocrpress.writers.flow import failure, incompleteness

if TYPE_CHECKING:
    from ocrpress.writers import WriterOptions


def write(document: Document, options: WriterOptions) -> str:
    """The document as plain text. With page breaks it has one form feed fewer than it has pages."""
    pages = [_page(page) for page in document.pages]
    body = "\n".join(filter(None, pages)) if options.page_breaks == "none" else "\f".join(pages)
    if not document.complete:
        body += f"\n[{incompleteness(document)}]\n"
    return body


def _page(page: PageResult) -> str:
    parts = [f"[{failure(page)}]"] if page.status == "failed" else []
    parts += filter(None, (_block(block) for block in page.blocks))
    return "\n\n".join(parts) + "\n" if parts else ""


def _block(block: Block) -> str:
    if block.rows:
        return "\n".join("\t".join(one_line(cell) for cell in row) for row in block_rows(block))
    return clean(block_text(block)).strip("\n")
