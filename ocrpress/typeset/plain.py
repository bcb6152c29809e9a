"""Plain text -> blocks. Knows lines of characters; nothing of fonts or pages.

Blank lines part paragraphs; a form feed begins a page. Whether a single line end is kept is decided so:

- A paragraph is hard-wrapped if each of its lines ends because the next word would not have fitted: three lines or
  more, the longest of 55 to 200 characters, not every line beginning with a capital. It is joined, and the middle one
  of the widths of such paragraphs is the text's width.
- In other paragraphs a line end is joined if the line's next word would not have fitted into the text's width, unless
  the next line is indented deeper or begins a list item.
- Every other line end is kept, and with it indents and runs of spaces: verse, lists, addresses, code, tables made of
  characters.

A word hyphenated at a joined line end keeps its hyphen and is joined without a space.
"""

from __future__ import annotations

import re
import statistics
import unicodedata
from collections.abc import Iterator, Sequence
from itertools import pairwise

from ocrpress.typeset.blocks import Block, PageBreak, Paragraph, Span

_TAB = 8  # columns
_NARROWEST, _WIDEST = 55, 200  # characters of a hard-wrapped line
_LEAST_LINES = 3  # of a paragraph that shows how wide a text is wrapped
_ITEM = re.compile(r"\s*(?:[-*+•‣◦–—]|\(?(?:\d{1,4}|[A-Za-z])[.)])\s+")
# An indent, or a run of spaces that does not end a sentence.
_SPACED = re.compile(r"^ |[^.!?:;)\"'”’] {2}| {3}")
_HYPHENATED = re.compile(r"\w-$")


def parse(text: str) -> Iterator[Block]:
    """The blocks of a cleaned text: its line ends are "\\n"."""
    width = wrapped_width(text)
    for number, page in enumerate(text.split("\f")):
        if number:
            yield PageBreak()
        for lines in _groups(page):
            yield from _paragraphs(lines, width)


def wrapped_width(text: str) -> int:
    """At how many characters the lines of a text were wrapped; 0 if they were not."""
    widths = [max(map(len, lines)) for page in text.split("\f") for lines in _groups(page) if _is_wrapped(lines)]
    return int(statistics.median_low(widths)) if widths else 0


def _groups(page: str) -> Iterator[list[str]]:
    """Runs of lines between blank ones, tabs expanded and ends stripped."""
    lines: list[str] = []
    for line in page.split("\n"):
        line = line.expandtabs(_TAB).rstrip()
        if line:
            lines.append(line)
        elif lines:
            yield lines
            lines = []
    if lines:
        yield lines


def _is_wrapped(lines: Sequence[str]) -> bool:
    """Whether a paragraph shows by itself that its lines were wrapped."""
    if len(lines) < _LEAST_LINES or any(_ITEM.match(line) for line in lines[1:]):
        return False
    width = max(map(len, lines))
    if not _NARROWEST <= width <= _WIDEST or all(line.lstrip()[:1].isupper() for line in lines):
        return False
    if any(_indent(line) > _indent(lines[0]) for line in lines[1:]) and not _ITEM.match(lines[0]):
        return False
    return all(_is_full(line, after, width) for line, after in pairwise(lines))


def _is_full(line: str, after: str, width: int) -> bool:
    """Whether the first word of the line after would not have fitted into this one."""
    return len(line) + 1 + len(after.split(maxsplit=1)[0]) > width


def _paragraphs(lines: Sequence[str], width: int) -> Iterator[Paragraph]:
    """The paragraphs of a group: line ends that are kept part them, without white space between."""
    joined: list[list[str]] = []
    wrapped = _is_wrapped(lines)
    for line in lines:
        if joined and (wrapped or (width and _continues(joined[-1][-1], line, width))):
            joined[-1].append(line)
        else:
            joined.append([line])
    for number, parts in enumerate(joined):
        last = number == len(joined) - 1
        kept = len(parts) == 1 and len(parts[0]) <= _WIDEST and _SPACED.search(parts[0]) is not None
        text = parts[0] if kept else _join(parts)
        yield Paragraph((Span(text),), above=0.0 if number else 0.5, kept_spaces=kept, end="\n\n" if last else "\n")


def _continues(line: str, after: str, width: int) -> bool:
    if _ITEM.match(after) or not _is_full(line, after, width):
        return False
    indent, item = _indent(after), _ITEM.match(line)
    return indent <= (item.end() if item else _indent(line))


def _indent(line: str) -> int:
    return len(line) - len(line.lstrip())


def _join(lines: Sequence[str]) -> str:
    """One line of several."""
    text = lines[0].strip()
    for line in lines[1:]:
        line = line.strip()
        apart = not (_HYPHENATED.search(text) and line[0].islower()) and not (_is_wide(text[-1]) and _is_wide(line[0]))
        text += " " * apart + line
    return text


def _is_wide(character: str) -> bool:
    """Whether a character is of a script that sets no spaces between words."""
    return unicodedata.east_asian_width(character) in "WF" and not "\uac00" <= character <= "\ud7a3"
