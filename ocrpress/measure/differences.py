"""What was read beside the truth, word by word, and letter by letter where a word was misread.

    read, truth ──fold──▶ words ──▶ [Piece, Piece, …]

Shows what `accuracy` counts: texts are folded and parted into words as there, so what is no error there is no
difference here. Joined, the pieces give both folded texts again, with a space at the end.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby, pairwise
from typing import Literal

from ocrpress.measure.accuracy import fold, words

Kind = Literal["same", "missing", "added", "replaced"]

MISREAD = 0.65  # similarity (0 to 1) from which a word counts as misread, and not as another word
# Words of one text times words of the other, up to which the most words in common are looked for: it takes a bit each.
SEARCHED = 20_000**2
LETTER_BY_LETTER = 2000  # longest text, in characters, that is compared letter by letter


@dataclass(frozen=True)
class Piece:
    """A stretch of the two texts.

    Attributes:
        kind: "same" (white space may differ), "missing" (of the truth, not read), "added" (read, not in the truth) or
            "replaced" (another text was read).
        truth, read: the stretch in either text; empty where it has none.
    """

    kind: Kind
    truth: str
    read: str


def differences(read: str, truth: str) -> list[Piece]:
    """Where the texts differ, in order; some tenths of a second for texts of 100,000 characters.

    As many words as can be are the same (longest common subsequence; in longer texts, as few as can be are changed:
    Levenshtein), and of words that were misread as many letters. Neighbouring pieces of one kind are one.
    """
    from rapidfuzz.distance import LCSseq, Levenshtein

    true_words, read_words = _words(truth), _words(read)
    numbers = {word: number for number, word in enumerate({word.rstrip(): None for word in [*true_words, *read_words]})}
    old, new = ([numbers[word.rstrip()] for word in part] for part in (true_words, read_words))
    method = LCSseq if len(old) * len(new) <= SEARCHED else Levenshtein
    found: list[Piece] = []
    for changed, group in groupby(method.opcodes(old, new), key=lambda code: code.tag != "equal"):
        codes = list(group)
        before = true_words[codes[0].src_start : codes[-1].src_end]
        after = read_words[codes[0].dest_start : codes[-1].dest_end]
        found += _changed(before, after) if changed else [Piece("same", "".join(before), "".join(after))]
    return list(_joined(found))


def _words(text: str) -> list[str]:
    """The words of a text, each with the space that follows it."""
    folded = fold(text)
    starts, end = [], 0
    for word in words(folded):
        starts.append(folded.index(word, end))
        end = starts[-1] + len(word)
    folded += " "
    return [folded[start:stop] for start, stop in pairwise([*starts, len(folded)])]


def _changed(old: Sequence[str], new: Sequence[str]) -> Iterator[Piece]:
    """A stretch without a word in common: pairs of words where there are as many, else all of it at once."""
    for before, after in zip(old, new, strict=True) if len(old) == len(new) else [("".join(old), "".join(new))]:
        yield from _letters(before, after)


def _letters(old: str, new: str) -> Iterator[Piece]:
    """A word, or several run together or apart, letter by letter if it was misread."""
    from rapidfuzz.distance import Levenshtein

    if not old or not new:
        yield Piece("missing" if old else "added", old, new)
        return
    if max(len(old), len(new)) > LETTER_BY_LETTER or Levenshtein.normalized_similarity(old, new) < MISREAD:
        yield Piece("replaced", old, new)
        return
    kinds: dict[str, Kind] = {"equal": "same", "delete": "missing", "insert": "added", "replace": "replaced"}
    for code in Levenshtein.opcodes(old, new):
        yield Piece(kinds[code.tag], old[code.src_start : code.src_end], new[code.dest_start : code.dest_end])


def _joined(pieces: Sequence[Piece]) -> Iterator[Piece]:
    for kind, group in groupby(pieces, key=lambda piece: piece.kind):
        same = list(group)
        yield Piece(kind, "".join(piece.truth for piece in same), "".join(piece.read for piece in same))
