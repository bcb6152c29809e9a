"""What was read -> what a client is sent: whole documents in its format, single pages in events, the counts in headers.

Short texts are written at once, long ones in a thread: others must not wait for them.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any, TypeVar

from anyio import to_thread

from ocrpress.document import Document, PageResult
from ocrpress.layout.furniture import mark_furniture
from ocrpress.writers import WriterOptions, json_schema, render

if TYPE_CHECKING:
    from collections.abc import Iterable

Written = TypeVar("Written")

MEDIA_TYPES: Mapping[str, str] = {
    "md": "text/markdown; charset=utf-8", "json": "application/json", "txt": "text/plain; charset=utf-8",
}  # fmt: skip
NAMES: Mapping[str, str] = {"md": "markdown", "json": "json", "txt": "text"}
"""Format -> what a field that holds such a text is called."""

SHORT = 4000  # characters of text, and blocks and rows times 40: about a millisecond


def headers_of(pages: Iterable[PageResult]) -> dict[str, str]:
    """How many pages there are, how many failed, and what the answers that were taken cost."""
    count = failed = tokens = 0
    for page in pages:
        count += 1
        failed += page.status == "failed"
        tokens += page.plan.vision_tokens if page.plan and page.status != "failed" else 0
    return {
        "Ocrpress-Pages": str(count), "Ocrpress-Failed-Pages": str(failed), "Ocrpress-Vision-Tokens": str(tokens),
    }  # fmt: skip


async def aptly(pages: Sequence[PageResult], write: Callable[[], Written]) -> Written:
    """What `write` gives, which writes these pages: at once if they are short, else from a thread."""
    size = sum(40 + len(block.text) + 40 * len(block.rows) for page in pages for block in page.blocks)
    return write() if size <= SHORT else await to_thread.run_sync(write)


def page_said(page: PageResult, name: str, writing: WriterOptions | None = None) -> dict[str, Any]:
    """A page as events tell of it: `page` by the schema of the JSON format, `markdown` of it alone.

    Args:
        name: of its document.
    """
    alone = Document(name, (page,), page.engine, page.mode, True, 1)
    return {"page": json_schema.page_object(page), "markdown": render(alone, "md", writing)}


def document_said(document: Document, form: str, writing: WriterOptions | None = None) -> dict[str, Any]:
    """A document as events tell of it: {"markdown": …}, {"text": …} or {"json": {…}}."""
    if form != "json":
        return {NAMES[form]: render(document, form, writing)}
    return {NAMES[form]: json_schema.as_object(replace(document, pages=mark_furniture(document.pages)))}
