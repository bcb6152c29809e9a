"""A Document -> Markdown (CommonMark with GitHub's tables).

What a model wrote keeps its bold, italic and code; its formulas stand as `$…$`, displayed ones between lines of `$$`.

Every page begins with `<!-- page 3 -->` unless page breaks are off. A page that failed leaves a comment
`<!-- page 7 failed: why -->` in its place. A document that was interrupted ends with
`<!-- incomplete: 12 of 40 pages -->`.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from ocrpress.document import Block, block_text
from ocrpress.writers.clean import clean, one_line
from ocrpress.writers.escape import escape_cell, escape_inline, escape_item, escape_paragraph
from ocrpress.writers.flow import failure, incompleteness
from ocrpress.writers.marked import displayed, fenced, written

if TYPE_CHECKING:
    from collections.abc import Iterator

    from ocrpress.document import Document, PageResult
    from ocrpress.writers import WriterOptions

LINE_BREAK = "  \n"  # one that is meant: two spaces change no delimiter in front of them, as a backslash would
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
        return _heading(one_line(text), block.level, block.markup)
    if block.kind == "list":
        return _list(text, block.markup)
    if block.kind == "code":
        return fenced(text.strip("\n")) if text.strip() else ""
    if block.kind == "equation" and block.markup:
        return displayed(text)
    return _paragraph(text, block.markup)


def _paragraph(text: str, markup: bool) -> str:
    return written(text, escape_paragraph).replace("\n", LINE_BREAK) if markup else escape_paragraph(text)


def _heading(text: str, level: int, markup: bool) -> str:
    if not text:
        return ""
    escaped = written(text, escape_inline) if markup else escape_inline(text)
    # Trailing number signs would be taken for the heading's closing mark.
    escaped = re.sub(r"(^|\s)(#+)$", lambda found: found[1] + "\\" + found[2], escaped)
    return f"{'#' * min(6, max(1, level))} {escaped}"


def _figure(block: Block) -> str:
    if block.image:
        from urllib.parse import quote

        labels = re.sub(r"[][]", r"\\\g<0>", escape_inline(one_line(clean(block_text(block)))))
        return f"![{labels or 'Figure'}]({quote(block.image, safe='/', errors='surrogateescape')})"
    return _paragraph(clean(block.text), block.markup) or comment("figure")


def _table(block: Block) -> str:
    width = max(len(row) for row in block.rows)
    rows = [[_cell(clean(cell), block.markup) for cell in row] + [""] * (width - len(row)) for row in block.rows]
    lines = [rows[0], ["---"] * width, *rows[1:]]
    return "\n".join(f"| {' | '.join(cells)} |" for cells in lines)


def _cell(text: str, markup: bool) -> str:
    return written(text, escape_cell, in_cell=True) if markup else escape_cell(text)


def _list(text: str, markup: bool) -> str:
    """Items one a line, nested under the text of their parents, however deep their indentation was."""
    lines: list[str] = []
    open_items: list[tuple[int, int]] = []  # indentation as it came, column of the item's text as written
    for line in filter(str.strip, text.split("\n")):
        found = _ITEM.match(line)
        if found is None:
            said = written(line, escape_paragraph) if markup else escape_paragraph(line)
            if markup and lines:
                lines[-1] += LINE_BREAK.removesuffix("\n")
            lines.append(" " * (open_items[-1][1] if open_items else 0) + said)
            continue
        indent = len(found[1].expandtabs(4))
        while open_items and open_items[-1][0] >= indent:
            open_items.pop()
        column = open_items[-1][1] if open_items else 0
        marker = found[2] if found[2][0].isdigit() else "-"
        open_items.append((indent, column + len(marker) + 1))
        item = written(found[3] or "", escape_item) if markup else escape_item(found[3] or "")
        lines.append(f"{' ' * column}{marker} {item}".rstrip())
    return "\n".join(lines)
