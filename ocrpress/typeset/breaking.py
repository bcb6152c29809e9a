"""Where a line may end: Unicode's line breaking algorithm (UAX #14, revision 53), made quick for ordinary text.

`uniseg` knows all the rules and takes 0.1 ms a character. So words of letters, digits and ASCII go by those rules that
concern them, as one regular expression over their classes. In other words letters are replaced by one letter and
ideographs by one ideograph, which changes nothing, and answers are kept. Two ideographs in a row may always be parted.
Across spaces, only the characters next to them count. Thai, Lao, Khmer and Burmese would need a dictionary: they are
broken at their spaces, else between grapheme clusters.
"""

from __future__ import annotations

import re
import unicodedata
from functools import lru_cache
from itertools import groupby
from typing import NamedTuple

SOFT_HYPHEN, ZERO_WIDTH_SPACE = "\u00ad", "\u200b"
_LETTERS = (
    "A-Za-z\u00c0-\u00d6\u00d8-\u00f6\u00f8-\u024f\u0370-\u0373\u0376\u0377\u0386\u0388-\u038a\u038e-\u03a1\u03a3-\u03ce"
    "\u0400-\u0481\u048a-\u052f"
)
# With the kana that may begin a line: small ones may not.
_IDEOGRAPHS = (
    "\u3400-\u4dbf\u4e00-\u9fff\U00020000-\U0002fffd\u3042\u3044\u3046\u3048\u304a-\u3062\u3064-\u3082\u3084\u3086\u3088-\u308d"
    "\u308f-\u3094\u30a2\u30a4\u30a6\u30a8\u30aa-\u30c2\u30c4-\u30e2\u30e4\u30e6\u30e8-\u30ed\u30ef-\u30f4\u30f7-\u30fa"
)
_BETWEEN_IDEOGRAPHS = re.compile(f"(?<=[{_IDEOGRAPHS}])(?=[{_IDEOGRAPHS}])")
# Letters of Arabic and Thai, which go by the same rules; marks on letters, which go by their letter's.
_MORE_LETTERS = "\u0620-\u064a\u0671-\u06d3\u0e01-\u0e30\u0e32\u0e33\u0e40-\u0e46"
_MARKS = "\u0300-\u034e\u0350-\u035b\u0363-\u036f\u064b-\u065f\u0670\u0e31\u0e34-\u0e3a\u0e47-\u0e4e"
_KINDS = tuple(
    (re.compile(f"[{kind}]"), sample)
    for kind, sample in (
        (_LETTERS + _MORE_LETTERS, "a"),
        ("0-9", "0"),
        (_IDEOGRAPHS, "一"),
        ("\uac00-\ud7a3", "가"),
    )
)
_MARKED = re.compile(f"(?<=a)[{_MARKS}]+")
_MARKED_LETTERS = re.compile(f"[{_LETTERS}\u0620-\u064a][{_MARKS}]*")
_INSIDE_LETTERS = re.compile("(?<=[a0])[a0]+(?=[a0])")
# Classes as letters: A(L), N(U), O(P), C(L), (C)P, E(X), I(S), S(Y), H(Y), B(A), (P)R, (P)T for PO, Q(U).
_CLASSES = str.maketrans(
    {
        **{chr(code): "A" for code in range(0x21, 0x7F)},
        **dict.fromkeys("0123456789", "N"),
        **dict.fromkeys("([{", "O"),
        **dict.fromkeys(")]", "P"),
        **dict.fromkeys("!?", "E"),
        **dict.fromkeys(",.:;", "I"),
        **dict.fromkeys("$+\\", "R"),
        **dict.fromkeys("\"'", "Q"),
        "}": "C",
        "/": "S",
        "-": "H",
        "|": "B",
        "%": "T",
        **{chr(code): "A" for code in range(0xC0, 0x530) if re.match(f"[{_LETTERS}]", chr(code))},
    }
)
_KNOWN = re.compile(f"[\x21-\x7e{_LETTERS}]*")
# What follows a digit within a number (LB25) is written small.
_NUMBER = re.compile("(?<=N)[SI]*[CP]?")
_CLASS_BREAKS = re.compile(
    "(?<=[BCEcSs])(?=A)|(?<=.H)(?=A)|(?<=[BCEcS])(?=N)|(?<=[BCcEHIiSsPp])(?=O)|(?<=[RT])(?=O(?!I?N))|(?<=[BCEHISPRT])(?=[RT])"
)
_MOST_MARKS = 30  # in a row: as many as text has that is safe to stream (UAX #15)
_LONGEST_GLUED = 200  # characters
_LONGEST_KEPT = 64  # characters of a word whose pieces are kept
_CONTEXT = 5  # characters next to a space: a mark of punctuation, what is before it, and what may hang on both
# A line may end at a space between any of these.
_ORDINARY = frozenset(chr(code) for code in range(0x530) if re.match(f"[!-~{_LETTERS}]", chr(code)))
_PLAIN_ENDS = _ORDINARY - frozenset("([{") | frozenset("’”–—…")
_PLAIN_STARTS = _ORDINARY - frozenset("!?)]}/.,:;") | frozenset("“‘")


class Piece(NamedTuple):
    """Characters between two places where a line may end.

    Attributes:
        text: without spaces at its end; never broken unless it is wider than the measure.
        spaces: after it, which vanish where a line ends.
        soft: a line that ends here shows a hyphen.
    """

    text: str
    spaces: int
    soft: bool = False


def pieces(text: str, *, kept_spaces: bool = False) -> list[Piece]:
    """A paragraph's pieces, in order.

    Args:
        text: without line ends and tabs. Soft hyphens and zero-width spaces are used up here.
        kept_spaces: runs of spaces count; else a run is one space, and none stands at the beginning or the end.
    """
    out: list[Piece] = []
    if not kept_spaces:
        for word in text.split(" "):
            if word:
                out.extend(_cut(word, 1))
    else:
        for word, spaces in _spaced(text):
            cut = _cut(word, spaces)
            if cut or not out:
                out.extend(cut or [Piece("", spaces)])
            else:  # a word without ink
                out[-1] = out[-1]._replace(spaces=out[-1].spaces + spaces)
    if out and not kept_spaces:
        out[-1] = out[-1]._replace(spaces=0)
    return _glue(out)


def breaks(word: str) -> list[int]:
    """Offsets inside a text without spaces where a line may end."""
    if _KNOWN.fullmatch(word):
        classes = _NUMBER.sub(lambda tail: tail[0].lower(), word.translate(_CLASSES))
        return [found.start() for found in _CLASS_BREAKS.finditer(classes)]
    out, start = [], 0
    for chunk in _BETWEEN_IDEOGRAPHS.split(word):
        if start:
            out.append(start)
        if len(chunk) > 1:
            out.extend(start + offset for offset in _chunk_breaks(chunk))
        start += len(chunk)
    return out


def clusters(text: str) -> list[str]:
    """Grapheme clusters (UAX #29): where a word too wide for the measure may be broken."""
    if text.isascii():
        return list(text)
    units = _MARKED_LETTERS.findall(text)
    if sum(map(len, units)) == len(text):
        return units
    if _has_endless_marks(text):
        return [text[start : start + _MOST_MARKS] for start in range(0, len(text), _MOST_MARKS)]
    from uniseg.graphemecluster import grapheme_clusters

    return list(grapheme_clusters(text))


def _spaced(text: str) -> list[tuple[str, int]]:
    """Words with the number of spaces after each; an empty first word carries an indent."""
    return [(match[1], len(match[2])) for match in re.finditer("([^ ]*)( *)", text) if match[0]]


def _cut(word: str, spaces: int) -> tuple[Piece, ...]:
    """The pieces of a word with spaces after it; none for a word without ink."""
    return _cut_and_kept(word, spaces) if len(word) <= _LONGEST_KEPT else _cut_now(word, spaces)


def _cut_now(word: str, spaces: int) -> tuple[Piece, ...]:
    if word.isalnum() and word.isascii():
        return (Piece(word, spaces),)
    out, start = [], 0
    for end in [*breaks(word), len(word)]:
        text = word[start:end]
        soft = text.endswith(SOFT_HYPHEN) and end < len(word)
        text = text.replace(SOFT_HYPHEN, "").replace(ZERO_WIDTH_SPACE, "")
        if text:
            out.append(Piece(text, 0, soft))
        start = end
    return (*out[:-1], Piece(out[-1].text, spaces)) if out else ()


_cut_and_kept = lru_cache(maxsize=16384)(_cut_now)


def _chunk_breaks(chunk: str) -> list[int]:
    chunk = _sample(chunk)
    if _has_endless_marks(chunk):
        return []
    # No line ends among letters and digits: only the outer ones of a row of them matter.
    taken, removed = [], 0
    for inner in _INSIDE_LETTERS.finditer(chunk):
        taken.append((inner.start() - removed, inner.end() - inner.start()))
        removed += inner.end() - inner.start()
    taken.reverse()
    out, shift = [], 0
    for offset in _unicode_breaks(_INSIDE_LETTERS.sub("", chunk)):
        while taken and taken[-1][0] < offset:
            shift += taken.pop()[1]
        out.append(offset + shift)
    return out


def _has_endless_marks(text: str) -> bool:
    """Whether marks or invisible characters follow each other on and on: `uniseg` takes the square of their number."""
    if len(text) <= _MOST_MARKS:
        return False
    kinds = groupby(unicodedata.category(character)[0] in "MC" for character in text)
    return any(mark and sum(1 for _ in run) > _MOST_MARKS for mark, run in kinds)


def _sample(text: str) -> str:
    """The text with one letter for all letters, and so on."""
    for kind, sample in _KINDS:
        text = kind.sub(sample, text)
    return _MARKED.sub(lambda marks: "a" * len(marks[0]), text)


@lru_cache(maxsize=8192)
def _unicode_breaks(text: str) -> tuple[int, ...]:
    from uniseg.linebreak import line_break_boundaries

    return tuple(offset for offset in line_break_boundaries(text) if 0 < offset < len(text))


def _glue(found: list[Piece]) -> list[Piece]:
    """Join pieces between which no line may end in spite of a space: "( a", "a !", "« a »"."""
    out: list[Piece] = []
    before = Piece("", 0)
    for piece in found:
        if (
            not before[1]
            or (before[0][-1:] in _PLAIN_ENDS and piece[0][:1] in _PLAIN_STARTS)
            or _may_part(before[0][-_CONTEXT:], f"{piece[0]}{' ' * piece[1]}"[:_CONTEXT])
            or len(before[0]) > _LONGEST_GLUED
        ):
            out.append(piece)
        else:
            out[-1] = piece = Piece(before.text + " " * before.spaces + piece.text, piece.spaces, piece.soft)
        before = piece
    return out


@lru_cache(maxsize=8192)
def _may_part(before: str, after: str) -> bool:
    """Whether a line may end at a space, by the characters on each side of it."""
    if not before or not after.strip(" "):
        return True
    before, after = _sample(before), _sample(after)
    return len(before) + 1 in _unicode_breaks(f"{before} {after}")
