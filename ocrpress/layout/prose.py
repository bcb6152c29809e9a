"""Markdown without formulas, fences and HTML tables -> blocks: headings, lists, pipe tables, captions, paragraphs.

Lines of a paragraph are joined, words broken at their ends made whole. Lists keep their nesting as indentation. Rules
and the marks of quotations are dropped, their text is kept. Linear in the length of the text.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from itertools import pairwise

from ocrpress.document import Block, BlockKind, Box
from ocrpress.inline import is_plain
from ocrpress.layout.html_tables import Rows, even_rows
from ocrpress.layout.lists import ITEM, read_list
from ocrpress.layout.paragraphs import STOP
from ocrpress.layout.phrases import join_lines, note_mark, read_phrase

LONGEST_UNDERLINED = 100  # characters of a heading that is marked by a line of hyphens under it

_HEADING = re.compile(r"[ ]{0,3}(#{1,6})(?:[ \t]+(.*))?$")
_CLOSING_MARKS = re.compile(r"(?:^|[ \t])#+[ \t]*$")
_HTML_HEADING = re.compile(r"[ \t]*<h([1-6])(?:\s[^<>]*)?>(.*)</h\1\s*>[ \t]*$", re.IGNORECASE)
_RULE = re.compile(r"[ ]{0,3}([-*_])(?:[ \t]*\1){2,}[ \t]*$")
_UNDERLINE = re.compile(r"[ ]{0,3}(?:={3,}|-{3,})[ \t]*$")
_QUOTE = re.compile(r"^[ ]{0,3}(?:>[ \t]?)+(?=\s*[^\s\d.])")
_NOTE = re.compile(r"[ ]{0,3}\[\^([^][\s^]{1,20})\]:[ \t]*")
# Lines that begin a paragraph of their own: choices, parts of exercises, entries of a bibliography.
_OWN_LINE = re.compile(
    r"\s*(?:(?:\(?[A-Za-z]\)|\([ivx]{1,5}\)|(?P<mention>\(\d{1,3}\)|\[\d{1,4}\]))(?=\s)"
    r"|[①-⑳]|[(（]?[\d一二三四五六七八九十]{1,3}[、）])"
)
_CENTERED = re.compile(r"\s*<center>(.*?)(?:</center>\s*)?$", re.IGNORECASE | re.DOTALL)
_CAPTION = re.compile(r"\W*(?:fig(?:ure|\.)?|table|tab\.|abb(?:ildung|\.)|chart|scheme|图|圖|表)\s*\S", re.IGNORECASE)
_COUNTED = re.compile(r"^ *(\d{1,3})[.)] ", re.MULTILINE)
_CELL_PIECE = re.compile(r"\\\((?:[^\\]|\\[^()])*+\\\)|`[^`\n]*+`|\\.|\|", re.DOTALL)
_BAR = re.compile(r"((?<!\\)(?:\\\\)*)\\\|")  # also in formulas, by GitHub's rule
_DELIMITER = re.compile(r"--|:-|-:|\|-\|")  # a lone hyphen in a cell says that there is nothing
_DELIMITERS = frozenset("|:-–— \t")


def text_block(kind: BlockKind, text: str, box: Box, level: int = 0) -> Block:
    """A block whose text is in the dialect of `ocrpress.inline`; marked so only where it differs from plain text."""
    lines = text.split("\n")
    meant = len(lines) > 1 and not (kind == "list" and all(map(ITEM.match, lines)))
    return Block(kind, text, box, level, markup=meant or not is_plain(text))


def table_block(rows: Rows, box: Box) -> Block:
    """A table whose cells are in the dialect of `ocrpress.inline`."""
    return Block("table", "", box, rows=rows, markup=not all(is_plain(cell) for row in rows for cell in row))


def read_prose(text: str, box: Box) -> Iterator[Block]:
    """Blocks of a text in its order; all have the same box."""
    if not text.strip():
        return
    paragraph: list[str] = []
    counted = 0  # number of the last item of a list above
    lines = [_QUOTE.sub("", line, count=1) for line in text.expandtabs(4).split("\n")]
    index = 0
    while index < len(lines):
        line = lines[index]
        if paragraph and _UNDERLINE.match(line) and (level := _underlined(paragraph, line)):
            if said := read_phrase(join_lines(paragraph)):
                yield text_block("heading", said, box, level)
            paragraph, index = [], index + 1
            continue
        read = 1 if not line.strip() or _RULE.match(line) else 0
        solid = None if read else _solid(lines, index, {0, 1, counted + 1} if paragraph else None, box)
        if read or solid or (paragraph and _begins(line, paragraph)):
            yield from _paragraph(paragraph, box)
            paragraph = []
        if solid:
            block, read = solid
            counted = int(numbers[-1]) if (numbers := _COUNTED.findall(block.text)) else counted
            if block.text or block.rows:
                yield block
        elif not read:
            paragraph.append(line)
        index += read or 1
    yield from _paragraph(paragraph, box)


def _solid(lines: Sequence[str], index: int, numbers: set[int] | None, box: Box) -> tuple[Block, int] | None:
    """A heading, list, table or footnote that begins at a line, and how many lines it takes.

    Args:
        numbers: with which an item may begin here, in the midst of a paragraph ("in\\n12. May" is none); None is any.
    """
    line = lines[index]
    if heading := read_heading(line):
        text, level = heading
        return text_block("heading", read_phrase(text), box, level), 1
    if found := _HTML_HEADING.match(line):
        return text_block("heading", read_phrase(found[2]), box, int(found[1])), 1
    if (found := ITEM.match(line)) and (numbers is None or _number(found[2]) in numbers):
        text, count = read_list(lines, index)
        return text_block("list", text, box), count
    if "|" in line and (count := _table_lines(lines, index)):
        return table_block(_pipe_table(lines[index : index + count]), box), count
    if found := _NOTE.match(line):
        end = index + 1
        while end < len(lines) and lines[end].strip() and not _NOTE.match(lines[end]):
            end += 1
        text = read_phrase(join_lines([line[found.end() :], *lines[index + 1 : end]]))
        return text_block("paragraph", f"{note_mark(found[1])} {text}", box), end - index
    return None


def read_heading(line: str) -> tuple[str, int] | None:
    """What a line with number signs in front says, without them, and its level; None for other lines."""
    found = _HEADING.match(line)
    return (_CLOSING_MARKS.sub("", found[2] or ""), len(found[1])) if found else None


def _number(marker: str) -> int:
    """Number of an item; 0 for a bullet, -1 for what may as well be a mark within a sentence."""
    return int(marker[:-1]) if marker[0].isdigit() else -1 if marker in "–·" else 0


def _begins(line: str, paragraph: Sequence[str]) -> bool:
    """Whether a line begins a paragraph of its own; "(3)" and "[3]" may also be mentioned in one."""
    found = _OWN_LINE.match(line)
    if not found or not found["mention"]:
        return bool(found)
    return bool(_OWN_LINE.match(paragraph[0])) or bool(STOP.search(paragraph[-1].rstrip()))


def _underlined(paragraph: Sequence[str], line: str) -> int:
    """Level of the heading that a line of hyphens or equals signs makes of a paragraph; 0 if it is a rule below it."""
    if "=" in line:
        return 1
    text = paragraph[0].strip()
    short = len(paragraph) == 1 and len(text) <= LONGEST_UNDERLINED
    return 2 if short and not text.endswith((".", ",", ";", ":", "。", "，", "：")) else 0


def _paragraph(lines: Sequence[str], box: Box) -> Iterator[Block]:
    if not lines:
        return
    text = "\n".join(lines)
    centered = _CENTERED.match(text) if "<center>" in text.lower() else None
    if centered:
        lines = centered[1].split("\n")
    said = read_phrase(join_lines([line for line in lines if line.strip()]))
    if said.startswith("• ") and all(line.startswith("• ") for line in said.split("\n")):  # a list in HTML
        yield text_block("list", re.sub(r"^•", "-", said, flags=re.MULTILINE), box)
    elif said:
        yield text_block("caption" if centered and _CAPTION.match(said) else "paragraph", said, box)


def _table_lines(lines: Sequence[str], index: int) -> int:
    """How many lines from here on are a table: two or more that have a rule below the first or bars at both ends."""
    ruled = index + 1 < len(lines) and _is_delimiter(lines[index + 1])
    end = index
    while end < len(lines) and "|" in lines[end] and (ruled or _barred(lines[end])):
        end += 1
    return end - index if end - index > 1 else 0


def _barred(line: str) -> bool:
    line = line.strip()
    return len(line) > 2 and line[0] == "|" == line[-1]


def _is_delimiter(line: str) -> bool:
    return "|" in line and bool(_DELIMITER.search(line)) and _DELIMITERS.issuperset(line)


def _pipe_table(lines: Sequence[str]) -> Rows:
    return even_rows([_cells(line) for number, line in enumerate(lines) if not (number and _is_delimiter(line))])


def _cells(line: str) -> list[str]:
    """Cells between bars; bars in formulas, in code and behind a backslash do not count."""
    line = line.strip()
    bars = [found.start() for found in _CELL_PIECE.finditer(line) if found.group() == "|"]
    ends = [-1, *bars, len(line)]
    cells = [line[start + 1 : end] for start, end in pairwise(ends)]
    first, last = line.startswith("|"), len(bars) > 1 and bars[-1] == len(line) - 1
    return [read_phrase(_BAR.sub(r"\1|", cell)) for cell in cells[first : len(cells) - last]]
