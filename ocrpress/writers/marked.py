r"""The inline dialect of `ocrpress.inline` -> Markdown: formulas as `$…$`, the text around them escaped."""

from __future__ import annotations

import re
from collections.abc import Callable
from itertools import zip_longest

from ocrpress.inline import tokens

BAR = "\\|"  # one that does not end its cell
PLACE = "\ufdd0"  # stands for a formula, code or a mark while the text around it is escaped; no character by Unicode
_TAG_LIKE = re.compile(r"<(?=[A-Za-z/!?])")
_MONEY = re.compile(r"\\.|\$", re.DOTALL)
_BARS = re.compile(r"\\\\|\\\||\|")
# What would begin another block at the start of a line; an empty group in front of it changes nothing in LaTeX.
_LINE_START = re.compile(r"^(?=[-+*=>#~|_]|\d+[.)])", re.MULTILINE)


def written(text: str, write: Callable[[str, str], str], in_cell: bool = False) -> str:
    """Text in the dialect as Markdown.

    Args:
        text: in the dialect.
        write: escapes plain text; its second argument are the marks that it must escape wherever they stand.
        in_cell: of a table, where bars end the cell.
    """
    parts = list(tokens(text.replace(PLACE, "")))
    kinds = {kind for kind, _ in parts}
    plain = "".join(said if kind == "text" else PLACE for kind, said in parts)
    pieces = write(plain, "*`" if kinds & {"mark", "code"} else "").split(PLACE)
    atoms = [_atom(kind, said, in_cell) for kind, said in parts if kind != "text"]
    found: list[str] = []
    for piece, atom in zip_longest(pieces, atoms, fillvalue=""):
        if "formula" in kinds:
            piece = piece.replace("$", "\\$")
        if atom and (len(piece) - len(piece.rstrip("\\"))) % 2:
            piece += "\\"
        found += (piece, atom)
    return "".join(found)


def displayed(latex: str) -> str:
    """A formula of its own as Markdown; empty if there is none."""
    lines = (_safe(line).strip() for line in latex.split("\n"))
    body = "\n".join(line for line in lines if line)
    return f"$$\n{_LINE_START.sub('{}', body)}\n$$" if body else ""


def fenced(code: str) -> str:
    """Code as Markdown, in a fence longer than any run of ticks in it."""
    longest = max((len(run) for run in re.findall(r"`+", code)), default=0)
    fence = "`" * max(3, longest + 1)
    return f"{fence}\n{code}\n{fence}"


def _atom(kind: str, said: str, in_cell: bool) -> str:
    if kind == "mark":
        return said
    if kind == "code":
        return f"`{said.replace('|', BAR) if in_cell else said}`"
    latex = _safe(said)
    return f"${(_BARS.sub(_barless, latex) if in_cell else latex).strip()}$"


def _safe(latex: str) -> str:
    """LaTeX that Markdown reads neither as HTML nor as code, and that holds no sign that could end the formula."""
    latex = _TAG_LIKE.sub("< ", latex).replace("`", "‘")
    return _MONEY.sub(lambda found: found.group() if len(found.group()) > 1 else "\\$", latex)


def _barless(found: re.Match[str]) -> str:
    return {"\\|": "\\Vert ", "|": BAR}.get(found.group(), found.group())
