"""Text that stays text in Markdown: characters are escaped where they would be read as markup, and only there.

By the rules of CommonMark 0.31 (delimiter runs: section 6.2) and GitHub's tables and strikethrough.
"""

from __future__ import annotations

import re
import unicodedata

_LINE_MARK = re.compile(r"(?:#{1,6}|[-+*])(?=\s|$)|>|[-=]+\s*$|(?:`{3,}|~{3,})|(?:([-_*])\s*)(?:\1\s*){2,}$")
_LINE_NUMBER = re.compile(r"(\d{1,9})([.)])(?=\s|$)")
_DEFINITION = re.compile(r"^\[(?=[^\]]+\]:)", re.MULTILINE)
_PAIRED = re.compile(r"[*_`~]")
_TABLE_RULE = re.compile(r"[|:\-\s]*-[|:\-\s]*$")
_HTML = re.compile(r"<(?=[A-Za-z/!?]|[^\s<>]+@)")
_ENTITY = re.compile(r"&(?=#\d{1,7};|#[xX][0-9a-fA-F]{1,6};|[A-Za-z][A-Za-z0-9]*;)")
_BACKSLASH = re.compile(r"\\(?=[!-/:-@\[-`{-~]|[ \t]*(?:\n|$))")
DELIMITERS = "*_~`"
_RUNS = {mark: re.compile(re.escape(mark) + "+") for mark in DELIMITERS}


def escape_inline(text: str, eager: str = "") -> str:
    """Escape what would be read as emphasis, code, a link, an image, HTML, an entity or an escape.

    Args:
        eager: delimiters to escape even where they are harmless: all in text whose line ends become tags, some in
            text that stands beside real ones.

    >>> escape_inline("snake_case and 5 * 3 stay, *this* and <b> do not")
    'snake_case and 5 * 3 stay, \\\\*this\\\\* and &lt;b> do not'
    """
    text = _BACKSLASH.sub(r"\\\\", text)
    for mark in DELIMITERS:
        if mark in text:
            text = text.replace(mark, "\\" + mark) if mark in eager else _escape_runs(text, mark)
    text = _HTML.sub("&lt;", _ENTITY.sub("&amp;", text))
    return text.replace("](", "]\\(")


def escape_line_start(line: str) -> str:
    """Escape what would turn a line, already escaped inline and without leading space, into another kind of block.

    >>> escape_line_start("1. Not a list"), escape_line_start("# not a heading")
    ('1\\\\. Not a list', '\\\\# not a heading')
    """
    if mark := _LINE_MARK.match(line):
        if _PAIRED.match(line):  # one backslash would leave the rest to pair with others
            return _PAIRED.sub(r"\\\g<0>", mark.group()) + line[mark.end() :]
        return "\\" + line
    if _DEFINITION.match(line) or _TABLE_RULE.match(line):
        return "\\" + line
    return _LINE_NUMBER.sub(r"\1\\\2", line, count=1) if _LINE_NUMBER.match(line) else line


def escape_item(text: str, eager: str = "") -> str:
    """Text of one line as what a list item says."""
    return escape_line_start(escape_inline(text.strip(), eager))


def escape_paragraph(text: str, eager: str = "") -> str:
    """Text of one or more lines as a paragraph: neither its lines nor its words are markup."""
    lines = (line.strip() for line in escape_inline(text.strip(), eager).split("\n"))
    # The label of a link definition may run over line ends.
    return _DEFINITION.sub(r"\[", "\n".join(escape_line_start(line) for line in lines if line))


def escape_cell(text: str, eager: str = "") -> str:
    """Text of a table cell: on one line, its bars escaped."""
    text = text.strip()
    lines = (line.strip() for line in escape_inline(text, DELIMITERS if "\n" in text else eager).split("\n"))
    return "<br>".join(line.replace("|", "\\|") for line in lines if line)


def _escape_runs(text: str, mark: str) -> str:
    """Escape runs of a delimiter if one of them can open and a later one close."""
    runs = [(found, *_flanks(text, *found.span(), mark)) for found in _RUNS[mark].finditer(text)]
    first_opener = next((index for index, run in enumerate(runs) if run[1]), len(runs))
    if not any(run[2] for run in runs[first_opener + 1 :]):
        return text
    pieces, end = [], 0
    for found, opens, closes in runs:
        pieces.append(text[end : found.start()])
        pieces.append("".join("\\" + char for char in found.group()) if opens or closes else found.group())
        end = found.end()
    return "".join((*pieces, text[end:]))


def _flanks(text: str, start: int, end: int, mark: str) -> tuple[bool, bool]:
    """Whether a run can open and can close."""
    if mark == "`":
        return True, True
    before, after = text[start - 1 : start] or " ", text[end : end + 1] or " "
    left = not after.isspace() and (not _punctuation(after) or before.isspace() or _punctuation(before))
    right = not before.isspace() and (not _punctuation(before) or after.isspace() or _punctuation(after))
    if mark == "_":
        return left and (not right or _punctuation(before)), right and (not left or _punctuation(after))
    return left, right


def _punctuation(char: str) -> bool:
    return unicodedata.category(char)[0] in "PS"
