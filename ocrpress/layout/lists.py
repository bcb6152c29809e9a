"""Lines of a Markdown list -> the text of a list block: items one a line, nested ones indented by two spaces."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field

from ocrpress.layout.phrases import join_lines, read_phrase

NESTED = 2  # columns by which an item stands further to the right than the item it belongs to
_BULLETS = "•●▪■◦‣○∙⁃◆►▶❖✓➢"

ITEM = re.compile(rf"([ ]*)([-*+·–](?=[ ]+\S)|[{_BULLETS}](?=[ ]*\S)|\d{{1,3}}[.)](?=[ ]+\S))[ ]*(.*)$")
# What ends an item without a blank line: a heading, a fence, a row of a table, a rule.
_ENDS = re.compile(r"[ ]{0,3}(?:#{1,6}[ ]|`{3}|~{3}|\|.*\|[ ]*$|<table|\[\^[^][\s]+\]:|([-*_])(?:[ ]*\1){2,}[ ]*$)")


@dataclass
class _Item:
    """An item: its indentation as it came, its marker, and its paragraphs as lines."""

    indent: int
    marker: str
    paragraphs: list[list[str]] = field(default_factory=list)


def read_list(lines: Sequence[str], start: int) -> tuple[str, int]:
    """The list that begins at a line, and how many lines it takes.

    Args:
        lines: without tabs.

    Returns:
        Its text in the dialect of `ocrpress.inline`: bullets as "-", numbers as they came, further paragraphs of an
        item on lines of their own under its text.
    """
    items: list[_Item] = []
    index, blank = start, False
    while index < len(lines):
        line = lines[index]
        found = ITEM.match(line)
        if not line.strip():
            blank = True
        elif found and not _ENDS.match(line):
            items.append(_Item(len(found[1]), _marker(found[2]), [[found[3]]]))
            blank = False
        elif (blank and line[: items[0].indent + NESTED].strip()) or _ENDS.match(line):
            break
        elif blank:
            items[-1].paragraphs.append([line])
            blank = False
        else:
            items[-1].paragraphs[-1].append(line)
        index += 1
    while index > start and not lines[index - 1].strip():
        index -= 1
    return _text(items), index - start


def _marker(marker: str) -> str:
    return marker if marker[0].isdigit() else "-"


def _text(items: Sequence[_Item]) -> str:
    lines: list[str] = []
    parents: list[int] = []  # indentation of the items that the next one may be nested in
    for item in items:
        while parents and item.indent < parents[-1] + NESTED:
            parents.pop()
        indent = "  " * len(parents)
        said = [read_phrase(join_lines(paragraph)) for paragraph in item.paragraphs]
        first, *rest = "\n".join(text for text in said if text).split("\n")
        if not first:
            continue
        parents.append(item.indent)
        lines.append(f"{indent}{item.marker} {first}")
        lines += [f"{indent}  {text}" for text in rest]
    return "\n".join(lines)
