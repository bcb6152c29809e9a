r"""Inline markup: what the text of a Block holds where its `markup` is set; a small dialect of Markdown and LaTeX.

    **bold**   *italic*   `code`   \(formula\)   and   \*  \`  \\   for the characters themselves

All else is text: no tags, no entities, no links. This file knows how to read the dialect and how to write plain text in
it; `layout.phrases` makes it out of what a model wrote, the writers make Markdown or plain text out of it.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Literal

# "mark" is a run of stars; its text are the stars.
Kind = Literal["text", "formula", "code", "mark"]

# Every alternative ends at the next of its own opening marks, so that any text is read in linear time.
_TOKEN = re.compile(r"\\\((?P<formula>(?:[^\\]|\\[^()])*+)\\\)|`(?P<code>[^`\n]++)`|\\(?P<escape>[\\*`])|(?P<mark>\*+)")
_ESCAPED = re.compile(r"[*`]|\\(?=[\\*`(]|$)")


def tokens(text: str) -> Iterator[tuple[Kind, str]]:
    """The parts of a text: formulas without their delimiters, code without its ticks, text without escapes."""
    plain_text, end = "", 0
    for found in _TOKEN.finditer(text):
        plain_text += text[end : found.start()] + (found["escape"] or "")
        end = found.end()
        if found["escape"]:
            continue
        if plain_text:
            yield "text", plain_text
            plain_text = ""
        if found["formula"] is not None:
            yield "formula", found["formula"]
        elif found["code"]:
            yield "code", found["code"]
        else:
            yield "mark", found["mark"]
    if plain_text + text[end:]:
        yield "text", plain_text + text[end:]


def plain(text: str) -> str:
    r"""The text without bold, italic and code marks; formulas keep their LaTeX and their delimiters `\(…\)`."""
    return _TOKEN.sub(_bare, text)


def escape(text: str) -> str:
    """Plain text in the dialect: `plain(escape(text))` is the text."""
    return _ESCAPED.sub(r"\\\g<0>", text)


def is_plain(text: str) -> bool:
    """Whether a text in the dialect means the same read as plain text."""
    return _TOKEN.search(text) is None


def _bare(found: re.Match[str]) -> str:
    if found["formula"] is not None:
        return found.group()
    return found["code"] or found["escape"] or ""
