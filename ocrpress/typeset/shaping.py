"""Words -> widths and the faces that draw them. Knows fonts and glyphs; nothing of lines or pages.

A word is cut where the face changes: each cluster of characters goes to the first face of the chain that has all of it.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Sequence
from functools import lru_cache
from typing import NamedTuple

from ocrpress.typeset.bidi import RTL
from ocrpress.typeset.breaking import Piece
from ocrpress.typeset.fonts import REGULAR, chain, covered, packaged, scale_of
from ocrpress.typeset.glyphs import glyphs_of
from ocrpress.typeset.sheet import Face

_LONGEST_KEPT = 64  # characters of a word whose width is kept
_MOST_WORDS = 8_000  # widths kept a size and role


class Part(NamedTuple):
    """What of a word is in one face.

    Attributes:
        dx: from the word's left end, in pixels.
    """

    text: str
    dx: float
    face: Face


class Word(NamedTuple):
    """A piece of a paragraph, measured.

    Attributes:
        width: advance in pixels, without the spaces after it.
        gap: width of those.
        parts: from left to right.
        hyphen: what a line that ends here shows; None for nothing.
    """

    piece: Piece
    width: float
    gap: float
    parts: tuple[Part, ...]
    hyphen: Word | None = None


class Letters:
    """A font in one role and size, with what stands in for it. Made by `letters`, which keeps them.

    Attributes:
        space: width of a word space in pixels.
    """

    def __init__(self, faces: Sequence[Face], covers: Sequence[frozenset[str]], last_resort: Face) -> None:
        self._faces = tuple(faces)
        self._last_resort = last_resort
        self._covers = tuple(covers)
        self._words: dict[Piece, Word] = {}
        self._first = glyphs_of(self._faces[0])
        self.space = self._first.length(" ")

    def word(self, piece: Piece) -> Word:
        """A piece measured, from left to right."""
        found = self._words.get(piece)
        if found is None:
            found = self._measure(piece)
            if len(piece.text) > _LONGEST_KEPT:
                return found
            if len(self._words) >= _MOST_WORDS:
                self._words.clear()
            self._words[piece] = found
        return found

    def spread(self, text: str) -> list[tuple[str, Face]]:
        """The text cut where the face changes. Spaces go with what stands before them."""
        if self._covers[0].issuperset(text):
            return [(text, self._faces[0])] if text else []
        whole = next((i for i, cover in enumerate(self._covers) if cover.issuperset(text)), None)
        if whole is not None and RTL.search(text):
            return [(text, self._faces[whole])]  # in one piece it can be put in order by the rules of its script
        cuts: list[tuple[str, Face]] = []
        for cluster in _clusters(text):
            face = cuts[-1][1] if cluster.isspace() and cuts else self._face_of(cluster)
            if cuts and cuts[-1][1] is face:
                cuts[-1] = (cuts[-1][0] + cluster, face)
            else:
                cuts.append((cluster, face))
        return cuts

    def _measure(self, piece: Piece) -> Word:
        hyphen = self.word(Piece("-", 0)) if piece.soft else None
        if self._covers[0].issuperset(piece.text):
            face = self._faces[0]
            parts = (Part(piece.text, 0.0, face),) if piece.text else ()
            return Word(piece, self._first.length(piece.text), piece.spaces * self.space, parts, hyphen)
        cuts, x = [], 0.0
        for text, face in self.spread(piece.text):
            cuts.append(Part(text, x, face))
            x += glyphs_of(face).length(text)
        # As it is drawn in a line with right-to-left script: a space goes with the face before it.
        space = glyphs_of(cuts[-1].face).length(" ")
        return Word(piece, x, piece.spaces * space, tuple(cuts), hyphen)

    def _face_of(self, cluster: str) -> Face:
        """The first face with the whole cluster, else with its base; the one that draws a box where none has."""
        for wanted in (cluster, cluster[0]):
            for face, cover in zip(self._faces, self._covers, strict=True):
                if cover.issuperset(wanted):
                    return face
        return self._last_resort


@lru_cache(maxsize=32)
def letters(font: str, role: int, size: float) -> Letters:
    """A font in a role (a sum of BOLD, ITALIC, MONO) at a size in pixels.

    Raises:
        UsageError: there is no such font.
    """
    files = chain(font, role)
    size *= scale_of(font, role)
    faces = [Face(file.path, file.index, size) for file in files]
    # DejaVu draws a box for what it lacks, STIX nothing.
    return Letters(faces, [covered(file) for file in files], faces[files.index(packaged("sans", REGULAR))])


def _clusters(text: str) -> list[str]:
    """Each character with the marks, joiners and selectors after it; what a joiner joins stays together."""
    out: list[str] = []
    for character in text:
        joined = bool(out) and (unicodedata.category(character) in {"Mn", "Me", "Mc", "Cf"} or out[-1][-1] == "\u200d")
        if joined:
            out[-1] += character
        else:
            out.append(character)
    return out
