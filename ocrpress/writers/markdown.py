"""A Document -> Markdown (CommonMark with GitHub's tables).

Every page begins with `<!-- page 3 -->` unless page breaks are off. A page that failed leaves a comment
`<!-- page 7 failed: why -->` in its place. A document that was interrupted ends with
`<!-- incomplete: 12 of 40 pages -->`.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from ocrpress.writers.clean import clean, one_line
from ocrpress.writers.escape import escape_cell, escape_inline, escape_line_start, escape_paragraph
from ocrpress.writers.flow import failure, incompleteness

if TYPE_CHECKING:
    from collections.abc import Iterator

    from ocrpress.document import Block, Document, PageResult
    from ocrpress.writers import WriterOptions

_ITEM = re.compile(r"(\s*)([-*+•]|\d{1,9}[.)])(?:\s+(.*))?$")


def write(document: Document, options: WriterOptions) -> str:
    """The document as Markdown; the empty string if there is nothing to say."""
    parts: list[str] = []
    for page in document.pages:
        parts += _page(page, options)
    if not document.complete:
        parts.append(comment(incompleteness(document)))
    return "\n\n".join(parts) + "\n" if parts else ""


def comment(text: str) -> str:
    """The text as an HTML comment that it cannot end early."""
    return f"<!-- {re.sub(r'-{2,}', '—', one_line(text)).replace('->', '—>')} -->"


def _page(page: PageResult, options: WriterOptions) -> Iterator[str]:
    if options.page_breaks == "comment":
        yield comment(f"page {page.number}")
    if page.status == "failed":
        yield comment(failure(page))
    yield from filter(None, (_block(block) for block in page.blocks))


def _block(block: Block) -> str:
    if block.kind == "figure":
        return _figure(block)
    if block.rows:
        return _table(block)
    text = clean(block.text)
    if block.kind == "heading":
        return _heading(one_line(text), block.level)
    return _list(text) if block.kind == "list" else escape_paragraph(text)


def _heading(text: str, level: int) -> str:
    if not text:
        return ""
    escaped = escape_inline(text)
    # Trailing number signs would be taken for the heading's closing mark.
    escaped = re.sub(r"(^|\s)(#+)$", lambda found: found[1] + "\\" + found[2], escaped)
    return f"{'#' * min(6, max(1, level))} {escaped}"


def _figure(block: Block) -> str:
    if block.image:
        from urllib.parse import quote

        labels = re.sub(r"[][]", r"\\\g<0>", escape_inline(one_line(clean(block.text))))
        return f"![{labels or 'Figure'}]({quote(block.image, safe='/', errors='surrogateescape')})"
    return escape_paragraph(clean(block.text)) or comment("figure")


def _table(block: Block) -> str:
    width = max(len(row) for row in block.rows)
    rows = [[escape_cell(clean(cell)) for cell in row] + [""] * (width - len(row)) for row in block.rows]
    lines = [rows[0], ["---"] * width, *rows[1:]]
    return "\n".join(f"| {' | '.join(cells)} |" for cells in lines)


def _list(text: str) -> str:
    """Items one a line, nested under the text of their parents, however deep their indentation was."""
    lines: list[str] = []
    open_items: list[tuple[int, int]] = []  # indentation as it came, column of the item's text as written
    for line in filter(str.strip, text.split("\n")):
        found = _ITEM.match(line)
        if found is None:
            lines.append(" " * (open_items[-1][1] if open_items else 0) + escape_paragraph(line))
            continue
        indent = len(found[1].expandtabs(4))
        while open_items and open_items[-1][0] >= indent:
            open_items.pop()
        column = open_items[-1][1] if open_items else 0
        marker = found[2] if found[2][0].isdigit() else "-"
        open_items.append((indent, column + len(marker) + 1))
        item = escape_line_start(escape_inline((found[3] or "").strip()))
        lines.append(f"{' ' * column}{marker} {item}".rstrip())
    return "\n".join(lines)
