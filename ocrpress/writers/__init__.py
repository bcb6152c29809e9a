"""A Document -> text: Markdown, JSON or plain text. Knows the nouns and nothing of files or engines.

Document ──furniture.mark_furniture──▶ flow.prepare ──▶ markdown.write | plain.write ──▶ clean.encodable
                                   └─────────────────▶ json_schema.write ────────────┘
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from ocrpress.errors import unknown

if TYPE_CHECKING:
    from ocrpress.document import Document

FORMATS: tuple[str, ...] = ("md", "json", "txt")
PAGE_BREAKS: tuple[str, ...] = ("comment", "none")


@dataclass(frozen=True)
class WriterOptions:
    """How a document is written.

    Attributes:
        keep_furniture: keep running heads, running feet and page numbers.
        page_breaks: "comment" puts a mark before every page (Markdown: `<!-- page 3 -->`; plain text: a form feed
            between pages); "none" lets paragraphs run on from page to page.
    """

    keep_furniture: bool = False
    page_breaks: str = "comment"

    def __post_init__(self) -> None:
        """Refuse a kind of page breaks that is not known (UsageError)."""
        if self.page_breaks not in PAGE_BREAKS:
            raise unknown("kind of page breaks", self.page_breaks, PAGE_BREAKS)


def check_format(name: str) -> None:
    """Raise a UsageError for a format that is not known, with the nearest known name."""
    if name not in FORMATS:
        raise unknown("format", name, FORMATS)


def render(document: Document, format: str = "md", options: WriterOptions | None = None) -> str:  # noqa: A002
    """The document as text that always can be encoded as UTF-8.

    Args:
        document: what `ocrpress.convert` gives.
        format: "md", "json" (its schema: `ocrpress.writers.json_schema`) or "txt".
        options: None for the defaults. JSON carries every block with its kind, whatever they say.

    Raises:
        UsageError: unknown format.
    """
    from ocrpress.layout.furniture import mark_furniture
    from ocrpress.writers import json_schema, markdown, plain
    from ocrpress.writers.clean import encodable
    from ocrpress.writers.flow import prepare

    check_format(format)
    options = options or WriterOptions()
    marked = replace(document, pages=mark_furniture(document.pages))
    if format == "json":
        return encodable(json_schema.write(marked))
    write = markdown.write if format == "md" else plain.write
    return encodable(write(prepare(marked, options), options))
