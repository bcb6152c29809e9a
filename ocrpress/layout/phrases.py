r"""Inline markup as models write it -> the dialect of `ocrpress.inline`.

Read are Markdown (emphasis, code, links, images, footnote marks, escapes), formulas (`\(…\)`, `\[…\]`, `$…$`, `$$…$$`),
HTML tags and entities. Kept are bold, italic, code and formulas; of links and images their text; of tags nothing but
what they mean for emphasis, raised and lowered figures and line ends. Every step is linear in the length of the text.
This file knows nothing of blocks.
"""

from __future__ import annotations

import html
import re
import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import accumulate
from typing import Literal

from ocrpress.inline import escape
from ocrpress.layout.joining import join_text

_PIECE = re.compile(
    r"""
      \\\((?P<round>(?:[^\\]|\\[^()])*+)\\\)
    | \\\[(?P<square>(?:[^\\]|\\[^][])*+)\\\]
    | \$\$(?P<double>[^$]++)\$\$
    | (?<![\w\\$])\$(?=[^$\n]{0,400}[\\^_{}=<>+]|[^$\n]{1,3}\$)(?P<dollar>[^\s$](?:[^$\n]{0,400}[^\s$\\])?+)\$(?![\w$])
    | (?P<ticks>`{1,3})(?!`)(?P<code>[^`]++)(?P=ticks)(?!`)
    | \\(?P<escape>[!-'*-/:-@\\^-`{-~])
    | &(?P<entity>\#\d{1,7}|\#[xX][0-9a-fA-F]{1,6}|[A-Za-z][A-Za-z0-9]{1,30});
    | <!--[^<>]*+(?<=--)>
    | <(?P<script>su[bp])(?:\s[^<>]*+)?>(?P<shifted>[^<>]*+)</su[bp]\s*>
    | <(?P<address>(?:https?://|mailto:|www\.)[^<>\s]++)>
    | <(?P<close>/?)(?P<tag>[A-Za-z][A-Za-z0-9]*+)(?:\s[^<>]*+|/)?>
    | \[\^(?P<note>[^][\s^]{1,20})\]
    | (?P<run>\*+|(?<![^\W_])_+|_+(?![^\W_])|~~+)
    """,
    re.VERBOSE,
)
_BALANCED = r"(?:[^()\n]|\([^()\n]*+\))*+"
_IMAGE = re.compile(rf"!\[([^][]*+)\]\({_BALANCED}\)")
# A bracket behind a bracket is a link only if an address stands in it: SMILES and mathematics have the same look.
_LINK = re.compile(
    rf"\[([^][]*+)\]\(((?:(?:https?|ftp|mailto|doi|tel):|www\.|[#/]|\.{{1,2}}/){_BALANCED}|<[^<>\n]*+>)\)"
)
_EMPHASIS_TAGS = {"b": "**", "strong": "**", "i": "*", "em": "*"}
_LINE_NAMES = "br p div li ul ol dl dt dd tr table section article blockquote pre center figure hr"
_OTHER_NAMES = """
a abbr acronym audio big button canvas caption cite col colgroup data del details dfn embed figcaption font footer form
h1 h2 h3 h4 h5 h6 head header html body iframe img image input ins kbd label link main map mark math meta nav nobr
object option param q rp rt ruby s samp script select small source span strike style sub summary sup svg tbody td
template textarea tfoot th thead time title tt u var video wbr
"""
_LINE_TAGS = frozenset(_LINE_NAMES.split())
_OTHER_TAGS = frozenset(_OTHER_NAMES.split())
_RAISED = str.maketrans(
    "0123456789+-−=()abcdefghijklmnoprstuvwxyz*†‡§¶,", "⁰¹²³⁴⁵⁶⁷⁸⁹⁺⁻⁻⁼⁽⁾ᵃᵇᶜᵈᵉᶠᵍʰⁱʲᵏˡᵐⁿᵒᵖʳˢᵗᵘᵛʷˣʸᶻ*†‡§¶,"
)
_LOWERED = str.maketrans("0123456789+-−=()aehijklmnoprstuvx", "₀₁₂₃₄₅₆₇₈₉₊₋₋₌₍₎ₐₑₕᵢⱼₖₗₘₙₒₚᵣₛₜᵤᵥₓ")
# Models trained on escaped tables escape twice.
_TWICE = re.compile(r"&amp;(?=(?:lt|gt|amp|quot|nbsp|#\d{1,5});)")
_SPECIAL = re.compile(r"[\\$`&<\[*_~\n\t\u00a0]|  ")
_DELIMITER = re.compile(r"(\\\\)|\\[()]")
_SPACES = re.compile(r"[ \t\u00a0]+")


@dataclass
class _Piece:
    """A stretch of text, or a run of delimiters. `shown` is what is written for it, once that is known."""

    kind: Literal["text", "formula", "code", "run", "line"]
    text: str
    tag: Literal["", "open", "close"] = ""  # of a run that comes from a tag
    shown: str = ""


def read_phrase(text: str) -> str:
    r"""Inline markup on one line, or with line ends that are meant, in the dialect of `ocrpress.inline`.

    >>> read_phrase("**Note:** 5&nbsp;m<sup>2</sup> and $x_1$, [here](https://x.org)")
    '**Note:** 5 m² and \\(x_1\\), here'
    """
    if not _SPECIAL.search(text):
        return text.strip()
    pieces = _pieces(_LINK.sub(_link_text, _IMAGE.sub(r"\1", _TWICE.sub("&", text))))
    for piece in pieces:
        piece.shown = _shown(piece)
    _pair(pieces)
    lines = "".join(piece.shown for piece in pieces).split("\n")
    return "\n".join(line for line in (_SPACES.sub(" ", line).strip() for line in lines) if line)


def join_lines(lines: Sequence[str]) -> str:
    """Lines of one paragraph as one text: words broken by hyphens are made whole; a line end is kept where it is meant.

    Markdown means it by two spaces or a backslash at the end of the line. Formulas are not torn or mended.
    """
    whole = _PIECE.sub(_on_one_line, "\n".join(lines)).split("\n")
    pieces, last = [], ""
    for number, line in enumerate(whole):
        broken = number > 0 and whole[number - 1].endswith(("  ", "\\"))
        if broken or not last:
            pieces.append(last.removesuffix("\\") + "\n" if last else "")
            last = line.strip()
            continue
        joined = join_text(last, line)
        kept = len(joined) - len(line.lstrip())
        pieces.append(joined[:kept])
        last = joined[kept:].rstrip()
    return "".join(pieces) + last


def fold_formula(latex: str) -> str:
    """LaTeX of a formula on one line, without entities and without delimiters inside it."""
    folded = " ".join(_DELIMITER.sub(r"\1", _unescape(latex)).split())
    torn = (len(folded) - len(folded.rstrip("\\"))) % 2  # a control space at the end has lost its space
    return folded[:-1].rstrip() if torn else folded


def _unescape(text: str) -> str:
    for entity, char in (("&lt;", "<"), ("&gt;", ">"), ("&amp;", "&")):
        text = text.replace(entity, char)
    return text


def _on_one_line(found: re.Match[str]) -> str:
    latex_or_code = found["round"] or found["square"] or found["double"] or found["code"]
    return found.group().replace("\n", " ") if latex_or_code else found.group()


def _link_text(found: re.Match[str]) -> str:
    return found[1] or found[2]


def _pieces(text: str) -> list[_Piece]:
    pieces: list[_Piece] = []
    end = 0
    for found in _PIECE.finditer(text):
        if found.start() > end:
            pieces.append(_Piece("text", text[end : found.start()]))
        pieces.append(_piece(found))
        end = found.end()
    if end < len(text):
        pieces.append(_Piece("text", text[end:]))
    return [piece for piece in pieces if piece.text]


def _piece(found: re.Match[str]) -> _Piece:
    latex = found["round"] or found["square"] or found["double"] or found["dollar"]
    if latex:
        return _Piece("formula", fold_formula(latex))
    if found["code"]:
        return _Piece("code", " ".join(found["code"].split()))
    if found["run"]:
        return _Piece("run", found["run"])
    if found["tag"]:
        return _tag_piece(found)
    if found["entity"]:
        return _Piece("text", html.unescape(found.group()))
    if found["script"]:
        table = _RAISED if found["script"] == "sup" else _LOWERED
        return _Piece("text", _shift(html.unescape(found["shifted"]).strip(), table))
    if found["note"]:
        return _Piece("text", note_mark(found["note"]))
    return _Piece("text", found["escape"] or found["address"] or "")


def note_mark(label: str) -> str:
    """How a mark of a footnote is written: raised where its characters can be."""
    return _shift(label, _RAISED) if all(ord(char) in _RAISED for char in label) else f"[{label}]"


def _shift(text: str, table: dict[int, int]) -> str:
    """Raised or lowered characters, or the text as it is if some of it has none."""
    return text.translate(table) if all(ord(char) in table for char in text) else text


def _tag_piece(found: re.Match[str]) -> _Piece:
    name, closing = found["tag"].lower(), bool(found["close"])
    if name in _EMPHASIS_TAGS:
        return _Piece("run", _EMPHASIS_TAGS[name], "close" if closing else "open")
    if name in _LINE_TAGS:
        return _Piece("line", "\n• " if name == "li" and not closing else "\n")
    return _Piece("text", " " if name in ("td", "th") else "" if name in _OTHER_TAGS else found.group())


def _shown(piece: _Piece) -> str:
    if piece.kind == "formula":
        return f"\\({piece.text}\\)"
    if piece.kind == "code":
        return f"`{piece.text}`"
    if piece.kind == "line":
        return piece.text
    return "" if piece.tag else escape(piece.text)


def _pair(pieces: Sequence[_Piece]) -> None:
    """Find the runs that emphasise: their `shown` becomes stars, or nothing where CommonMark could not read them.

    A closer is paired with the nearest openers of its character; what stands between them unpaired is text.
    """
    said = list(accumulate((piece.kind != "run" and not piece.text.isspace() for piece in pieces), initial=0))
    openers: list[tuple[int, str]] = []
    waiting = {"*": 0, "_": 0, "~": 0}
    for index, piece in enumerate(pieces):
        if piece.kind != "run":
            continue
        char, left, marks = piece.text[0], len(piece.text), ""
        before, after = _neighbour(pieces, index, -1), _neighbour(pieces, index, 1)
        closes = _closes(piece, before, after)
        while closes and left and waiting[char]:
            opener, found = openers.pop()
            waiting[found] -= 1
            size = len(pieces[opener].text)
            if found == char and size > left:
                openers.append((opener, found))
                waiting[found] += 1
                break
            if found == char:
                empty = said[opener] == said[index]
                mark = "" if char == "~" or empty or not _readable(pieces, opener, index) else "*" * size
                pieces[opener].shown, marks, left = mark, marks + mark, left - size
        if left < len(piece.text):
            piece.shown = marks + ("" if piece.tag else escape(char * left))
        elif _opens(piece, before, after):
            openers.append((index, char))
            waiting[char] += 1


def _opens(piece: _Piece, before: str, after: str) -> bool:
    if (
        piece.tag == "close"
        or len(piece.text) > 3
        or piece.text.startswith("__")
        or after.isspace()
        or after in ")]}.,;:!?"
    ):
        return False
    return bool(piece.tag) or not (before.isdigit() or (len(piece.text) == 1 and _word(before)))


def _closes(piece: _Piece, before: str, after: str) -> bool:
    if piece.tag == "open" or before.isspace() or before in "([{":
        return False
    return bool(piece.tag) or not (after.isdigit() or (len(piece.text) == 1 and _word(after)))


def _readable(pieces: Sequence[_Piece], opener: int, closer: int) -> bool:
    """Whether CommonMark (6.2) reads the two runs as opening and closing."""
    before, inside = _neighbour(pieces, opener, -1), _neighbour(pieces, opener, 1)
    last, after = _neighbour(pieces, closer, -1), _neighbour(pieces, closer, 1)
    opens = not _punctuation(inside) or before.isspace() or _punctuation(before)
    closes = not _punctuation(last) or after.isspace() or _punctuation(after)
    return opens and closes and not inside.isspace() and not last.isspace()


def _neighbour(pieces: Sequence[_Piece], index: int, step: int) -> str:
    """The character beside a run as it will be written: a mark of punctuation for a formula, code or another run."""
    if not 0 <= index + step < len(pieces):
        return " "
    piece = pieces[index + step]
    if piece.kind in ("text", "line"):
        return piece.text[-1] if step < 0 else piece.text[0]
    return "$"


def _word(char: str) -> bool:
    """Whether a star beside the character is a product or a note, not emphasis (scripts without spaces apart)."""
    return char.isalnum() and char < "\u2e80"


def _punctuation(char: str) -> bool:
    return unicodedata.category(char)[0] in "PS"
