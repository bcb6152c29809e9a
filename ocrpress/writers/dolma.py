"""A Document -> a record of a text corpus, in the fields of Dolma and of olmOCR; knows nothing of files.

    {
      "id": "sub/paper.pdf",           one record has it in the data set; it stays when the document is read again
      "text": "…",                     Markdown
      "source": "ocrpress",
      "added": "2026-11-22T05:50:00Z", when it was read
      "created": "2019-03-01T12:00:00Z",   when the document was made, as far as is known; left out if not
      "metadata": {
        "Source-File": "sub/paper.pdf", "ocrpress-version": "0.1.0", "engine": "rapid", "mode": "native",
        "complete": true,              false if reading was interrupted
        "pdf-total-pages": 12,         pages that were read, or tried; then how many of them are blank, failed, and
        "total-blank-pages": 1, "total-failed-pages": 1, "total-fallback-pages": 0,   read by the substitute engine
        "total-vision-tokens": 2560, "total-input-tokens": 2730, "total-output-tokens": 9011, …},
                                       of the answers that were taken; input is the decoder's sequence; 0 without tokens
      "attributes": {                  one entry a page, in order
        "pdf_page_numbers": [[0, 1840, 1], [1840, 1840, 2], [1840, 3702, 3]],   start, end, page number
        "page_status": ["ok", "failed", "ok"],   "ok" | "blank" | "failed"
        "page_error": ["", "why", ""],
        "rotation_correction": [0, 0, 90]}   clockwise degrees by which the page was turned to stand upright
    }

The text is what a corpus wants of the Markdown that `--format md` writes. Headings, lists, tables and formulas stay:
plain text loses them. Page comments, running heads, links to pictures and what is left of failed pages go: a model
would learn them as language. A paragraph that runs on over a page break is one paragraph (`by_page`).

Spans count characters (Unicode code points, as Python does). They follow each other without gap or overlap, from 0 to
the end of the text: `text[start:end]` is what that page gave, with the blank line behind it. A paragraph that runs on
is cut between the pages where the page ended, in a word if need be. A blank or failed page has an empty span.

The shape is the same for every record, and no list holds a null, so that readers that guess a schema guess the same.
"""

from __future__ import annotations

from itertools import accumulate, pairwise
from typing import TYPE_CHECKING, Any

from ocrpress import __version__
from ocrpress.writers.by_page import text_by_page
from ocrpress.writers.clean import encodable, one_line

if TYPE_CHECKING:
    from collections.abc import Mapping

    from ocrpress.document import Document, PageResult

SOURCE = "ocrpress"
Value = str | int | float | bool


def dolma_record(
    document: Document,
    *,
    id: str,  # noqa: A002
    added: str,
    created: str = "",
    metadata: Mapping[str, Value] | None = None,
    keep_furniture: bool = False,
) -> dict[str, Any]:
    """The record of a document: dictionaries, lists, strings and numbers that JSON can carry.

    Args:
        document: with all its pages, the failed ones too.
        id: unique in the data set.
        added: when it was read, ISO 8601.
        created: when the document was made, ISO 8601; empty leaves the field out.
        metadata: what else is known; it wins over what the document says.
        keep_furniture: keep running heads, running feet and page numbers.
    """
    pieces = text_by_page(document, keep_furniture)
    edges = accumulate(map(len, pieces), initial=0)
    spans = [
        [start, end, page.number] for (start, end), page in zip(pairwise(edges), document.pages, strict=True)
    ]  # fmt: skip
    more = {name: encodable(value) if isinstance(value, str) else value for name, value in (metadata or {}).items()}
    return {
        "id": encodable(id),
        "text": "".join(pieces),
        "source": SOURCE,
        "added": added,
        **({"created": created} if created else {}),
        "metadata": _metadata(document) | more,
        "attributes": {
            "pdf_page_numbers": spans,
            "page_status": [page.status for page in document.pages],
            "page_error": [encodable(one_line(page.error)) for page in document.pages],
            "rotation_correction": [page.rotation for page in document.pages],
        },
    }


def _metadata(document: Document) -> dict[str, Value]:
    read = [page for page in document.pages if page.status != "failed"]
    plans = [page.plan for page in read if page.plan]
    return {
        "Source-File": encodable(document.source),
        "ocrpress-version": __version__,
        "engine": document.engine,
        "mode": document.mode,
        "complete": document.complete,
        "pdf-total-pages": len(document.pages),
        "total-blank-pages": sum(page.status == "blank" for page in document.pages),
        "total-failed-pages": len(document.failed),
        "total-fallback-pages": sum(bool(page.engine) and page.engine != document.engine for page in read),
        "total-vision-tokens": sum(plan.vision_tokens for plan in plans),
        "total-input-tokens": sum(plan.sequence_tokens for plan in plans),
        "total-output-tokens": sum(map(_output_tokens, read)),
    }


def _output_tokens(page: PageResult) -> int:
    return (page.attempts[-1].output_tokens or 0) if page.attempts else 0
