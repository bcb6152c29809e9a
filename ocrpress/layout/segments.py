r"""Markdown as models write it -> blocks. First it is cut into code, tables, displayed formulas and the prose between.

A fence, an HTML table and a formula end where their closing mark stands, or, if there is none, where a blank line or
the text ends. Linear in the length of the text: what has been searched is never searched again.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from ocrpress.document import Block, Box
from ocrpress.layout.html_tables import TABLE_START, read_html_table
from ocrpress.layout.phrases import fold_formula
from ocrpress.layout.prose import read_prose, table_block, text_block

_START = re.compile(
    rf"""
      (?P<fence>^[ ]{{0,3}}(?P<ticks>`{{3,}}|~{{3,}})[ \t]*(?P<language>[\w+.-]*)[^\n`]*$)
    | (?P<table>{TABLE_START})
    | \\\((?:[^\\]|\\[^()])*+\\\) | `[^`\n]*+` | \\\\      # what looks like a start inside of these is none
    | (?P<square>\\\[)
    | (?P<dollars>\$\$)
    | \\begin\{{(?P<environment>(?:equation|displaymath|align|alignat|gather|multline|eqnarray|math)\*?)\}}
    """,
    re.VERBOSE | re.MULTILINE | re.IGNORECASE,
)
_FENCE_END = re.compile(r"^[ ]{0,3}(`{3,}|~{3,})[ \t]*$", re.MULTILINE)
_SQUARE_END = re.compile(r"\\\\|(?P<end>\\\])|(?P<stop>\\\[|\n[ \t]*\n)")
_DOLLARS_END = re.compile(r"\\\$|(?P<end>\$\$)|(?P<stop>\n[ \t]*\n)")
_ENVIRONMENT_END = re.compile(
    r"(?P<end>\\end\{[a-z]+\*?\})|(?P<stop>\\begin\{(?:equation|displaymath|gather|multline)\*?\}|\n[ \t]*\n)"
)
_DISPLAY_ONLY = frozenset({"equation", "displaymath", "math"})  # environments that say no more than a delimiter
_INLINE_ONLY = re.compile(r"(?:\\\(|\$(?!\$))((?:[^\\$]|\\[^()])*+)(?:\\\)|\$)")
_DELIMITED = re.compile(r"\\\(|(?<!\\)\\\[|\$|\\begin\{(?:equation|displaymath)|<t[rdah]")
_NUMBER = re.compile(r"[ \t]*\n?[ \t]*\(([A-Za-z]?\d{1,3}(?:[.-]\d{1,3})*[a-z]?)\)[ \t]*(?=\n|$)")
_STOP = re.compile(r"[ \t]*([.,;])[ \t]*(?=\n|$)")
_MARKDOWN = frozenset({"markdown", "md", "html"})
_LATEX = frozenset({"latex", "tex", "math", "katex"})
_TABULAR = re.compile(r"\\begin\{(?:tabular|document|tikz)|\\documentclass")


def read_markdown(text: str, box: Box, fenced: bool = False) -> Iterator[Block]:
    """Blocks of a text in its order; all have the same box. Any text has a reading.

    Args:
        fenced: the text stands in a fence that says it is Markdown or LaTeX; a fence in it is code.
    """
    text = _unwrapped(text)
    start = at = 0
    while found := _START.search(text, at):
        at = found.end()
        if not (found["fence"] or found["table"] or found["square"] or found["dollars"] or found["environment"]):
            continue
        blocks, end = _solid(text, found, box, fenced)
        if end < 0:
            continue
        yield from read_prose(text[start : found.start()], box)
        yield from blocks
        start = at = end
    yield from read_prose(text[start:], box)


def equation_block(latex: str, box: Box) -> Block:
    """A displayed formula: its LaTeX without delimiters, without blank lines."""
    lines = (fold_formula(line) for line in latex.split("\n"))
    return Block("equation", "\n".join(line for line in lines if line), box, markup=True)


def read_equation(text: str, box: Box, fenced: bool = False) -> Iterator[Block]:
    """Blocks of what is said to be a formula: LaTeX with or without delimiters, or prose with formulas in it."""
    inner = _INLINE_ONLY.fullmatch(text.strip())
    if inner or not _DELIMITED.search(text):
        block = equation_block(inner[1] if inner else text, box)
        if block.text:
            yield block
    else:
        yield from read_markdown(text, box, fenced)


def _unwrapped(text: str) -> str:
    """The text without a fence around all of it that says it is Markdown."""
    head, _, body = text.lstrip().partition("\n")
    if head.strip().lower() not in ("```markdown", "```md"):
        return text
    body = body.rstrip()
    return body.removesuffix("```") if body.endswith("```") or not _FENCE_END.search(body) else text


def _solid(text: str, found: re.Match[str], box: Box, fenced: bool) -> tuple[list[Block], int]:
    """The blocks of what begins here, and where it ends; -1 if nothing begins here."""
    if found["fence"]:
        return _fence(text, found, box, fenced)
    if found["table"]:
        table = read_html_table(text, found.start())
        blocks = [text_block("caption", table.caption, box)] if table.caption else []
        return [*blocks, *([table_block(table.rows, box)] if table.rows else [])], max(table.end, found.end())
    body, end = _formula(text, found)
    if end < 0:
        return [], -1
    if (number := _NUMBER.match(text, end)) and "\\tag" not in body:
        body, end = rf"{body.rstrip()} \tag{{{number[1]}}}", number.end()
    elif stop := _STOP.match(text, end):
        body, end = body.rstrip() + stop[1], stop.end()
    block = equation_block(body, box)
    return ([block] if block.text else []), end


def _fence(text: str, found: re.Match[str], box: Box, fenced: bool) -> tuple[list[Block], int]:
    ticks, language = found["ticks"], found["language"].lower()
    stop = end = len(text)
    for closing in _FENCE_END.finditer(text, found.end()):
        if closing[1].startswith(ticks):
            stop, end = closing.start(), closing.end()
            break
    body = text[found.end() : stop].strip("\n").rstrip()
    if not body.strip():
        return [], end
    if fenced or not (language in _MARKDOWN or (language in _LATEX and not _TABULAR.search(body))):
        return [Block("code", body, box)], end
    return list((read_markdown if language in _MARKDOWN else read_equation)(body, box, fenced=True)), end


def _formula(text: str, found: re.Match[str]) -> tuple[str, int]:
    """LaTeX of the formula that begins here, and where it ends; -1 if it is no formula."""
    start = found.end()
    ends = _SQUARE_END if found["square"] else _DOLLARS_END if found["dollars"] else _ENVIRONMENT_END
    body_end = end = len(text)
    closed = False
    for mark in ends.finditer(text, start):
        closed = bool(mark["end"]) and mark["end"] in ("\\]", "$$", rf"\end{{{found['environment']}}}")
        if closed or mark["stop"]:
            body_end, end = mark.start(), mark.end() if closed else mark.start()
            break
    if not closed and not text[start:body_end].strip():
        return "", -1
    if found["dollars"] and not closed:
        line = text.rfind("\n", 0, found.start()) + 1 if end == len(text) else 0
        if end < len(text) or text[line : found.start()].strip():
            return "", -1  # not a formula that breaks off, but two signs for money
    body, environment = text[start:body_end], found["environment"]
    if environment and environment.rstrip("*") not in _DISPLAY_ONLY:
        body = rf"\begin{{{environment}}}{body}\end{{{environment}}}"
    return body, end
