"""One face's metrics and its ink, cached. Knows Pillow and numpy; nothing of lines, pages or fallback.

Plain script (Latin, Greek, Cyrillic, CJK, …) is set glyph by glyph: advances and pair kerning come from Pillow once and
are then added up, ink is drawn once a glyph and quarter of a pixel. Any other script is shaped and drawn whole by Raqm.
Glyphs are drawn larger and averaged down, since FreeType as Pillow drives it places and hints them on whole pixels.
"""

from __future__ import annotations

import math
import re
import threading
from dataclasses import dataclass
from functools import lru_cache
from itertools import pairwise
from typing import Any

import numpy as np
from PIL import Image, ImageDraw, ImageFont, features

from ocrpress.errors import UsageError
from ocrpress.typeset.sheet import Face

PHASES = 4  # horizontal positions of a glyph within a pixel
_PLAIN = (
    "\u0020-\u02ff\u0370-\u0482\u048a-\u058f\u10a0-\u10ff\u1e00-\u200a\u2010-\u2027\u202f-\u205f\u2070-\u20cf\u2100-\u2bff"
    "\u2c00-\u2cee\u2cf2-\u2cff\u2e00-\u3029\u3030-\u3098\u309b-\ua4cf\ua640-\ua66e\ua680-\ua69d\ua6a0-\ua6ef\ua700-\ua7ff"
    "\uac00-\ud7a3\uf900-\ufaff\ufb00-\ufb06\ufe30-\ufe4f\uff01-\uffef\U0001d400-\U0001d7ff\U00020000-\U0003fffd"
)
_SHAPED = re.compile(f"[^{_PLAIN}]")
_KERNED_BELOW = "\u2028"  # scripts further on have no kerning pairs worth the measuring
_LARGE, _HUGE = 48.0, 110.0  # pixels; above these fewer samples do
_SMALL = 14.0  # pixels
_MOST_FACES = 96
_MOST_METRICS = 30_000  # advances, and pairs, of a face
_MOST_BYTES = 48 << 20
_LONGEST_KEPT = 32  # characters of a word whose ink is kept

Ink = np.ndarray[Any, np.dtype[np.uint8]]


@dataclass(frozen=True, slots=True)
class Mask:
    """Ink around a pen position.

    Attributes:
        left, top: of `ink` from the pen's whole pixel; top is negative above the baseline.
        ink: rows × columns, 0 none to 255 black.
    """

    left: int
    top: int
    ink: Ink


_NOTHING = Mask(0, 0, np.zeros((0, 0), np.uint8))


@lru_cache(maxsize=1)
def has_raqm() -> bool:
    """Whether this Pillow shapes scripts that need it."""
    return bool(features.check("raqm"))


def is_plain(text: str) -> bool:
    """Whether a text can be set glyph by glyph, from left to right."""
    return text.isascii() or _SHAPED.search(text) is None


class Glyphs:
    """Metrics in pixels and ink of one face. Made by `glyphs_of`, which keeps them."""

    def __init__(self, face: Face) -> None:
        self.face = face
        self.samples = 4 if face.size <= _LARGE else 2 if face.size <= _HUGE else 1
        try:
            self._font = ImageFont.truetype(
                face.file,
                face.size * self.samples,
                index=face.index,
                layout_engine=ImageFont.Layout.RAQM if has_raqm() else ImageFont.Layout.BASIC,
            )
        except (OSError, ValueError) as error:
            raise UsageError(f"{face.file} cannot be used as a font ({error})") from error
        # Ligatures would make a pair narrower than its letters; kerning is what is asked for.
        self._pairwise: dict[str, Any] = {"features": ["-liga", "-clig", "-calt"]} if has_raqm() else {}
        self._advances: dict[str, float] = {}
        self._steps: dict[str, float] = {}
        self._masks: dict[tuple[str, int, bool], Mask] = {}
        # Rows above the baseline, and in all, of nearly every glyph's ink.
        self._box = (math.ceil(1.3 * face.size) + 2, math.ceil(1.8 * face.size) + 4)
        self._boxes: dict[tuple[str, int], tuple[int, int, int, Ink]] = {}
        # Words stand on quarters of a pixel, in larger type on halves: nobody sees it there, and more words are alike.
        self.steps = PHASES if face.size < _SMALL else PHASES // 2

    def length(self, text: str, *, rtl: bool = False) -> float:
        """Advance of a text that is drawn in one go."""
        return self.offsets(text)[-1] if not rtl and is_plain(text) else self._measure(text, rtl)

    def offsets(self, text: str) -> list[float]:
        """Where each glyph of a plain text starts, and where the last one ends: one more than characters."""
        if not text:
            return [0.0]
        x, out, steps = 0.0, [0.0], self._steps
        for first, second in pairwise(text):
            step = steps.get(first + second)
            x += self._step(first, second) if step is None else step
            out.append(x)
        out.append(x + self._advance(text[-1]))
        return out

    def ascent_and_descent(self) -> tuple[float, float]:
        """Above and below the baseline, both positive."""
        ascent, descent = self._font.getmetrics()
        return ascent / self.samples, descent / self.samples

    def mask(self, text: str, phase: int = 0, *, rtl: bool = False) -> Mask:
        """The ink of a text whose pen stands `phase` quarters of a pixel right of a whole pixel."""
        key = (text, phase, rtl)
        found = self._masks.get(key)
        if found is not None:
            return found
        made = self._compose(text, phase) if len(text) > 1 and not rtl and is_plain(text) else None
        made = made or self._render(text, phase, rtl)
        if len(text) <= _LONGEST_KEPT:
            self._masks[key] = made
            _account(made.ink.nbytes + 300)
        return made

    def forget(self) -> None:
        """Drop the ink, which can be drawn again."""
        self._masks.clear()
        self._boxes.clear()

    def _advance(self, character: str) -> float:
        """Width of a character, measured once."""
        advance = self._advances.get(character)
        if advance is None:
            if len(self._advances) >= _MOST_METRICS:
                self._advances.clear()
            advance = self._advances[character] = self._font.getlength(character) / self.samples
        return advance

    def _step(self, first: str, second: str) -> float:
        """From where a character starts to where the next one does, kerned; remembered where there is kerning."""
        if first >= _KERNED_BELOW or second >= _KERNED_BELOW:
            return self._advance(first)
        if len(self._steps) >= _MOST_METRICS:
            self._steps.clear()
        together = self._font.getlength(first + second, **self._pairwise) / self.samples
        step = self._steps[first + second] = together - self._advance(second)
        return step

    def _measure(self, text: str, rtl: bool) -> float:
        return float(self._font.getlength(text, direction=self._direction(rtl))) / self.samples

    def _direction(self, rtl: bool) -> str | None:
        # Without Raqm a direction is an error, and the letters come out unjoined in the order of the text.
        return ("rtl" if rtl else "ltr") if has_raqm() else None

    def _compose(self, text: str, phase: int) -> Mask | None:
        """Put a word together from its glyphs; None where one of them is too tall or too wide to be boxed.

        It is done by columns: glyphs boxed to one height follow each other in memory, which halves the time.
        """
        above, rows = self._box
        offsets = self.offsets(text)
        word: Ink = np.zeros((int(offsets[-1]) + 2 * rows, rows), np.uint8)
        boxes = self._boxes
        left, right, top, bottom = len(word), 0, rows, 0
        for character, offset in zip(text, offsets, strict=False):
            quarters = round(offset * PHASES) + phase
            key = (character, quarters % PHASES)
            box = boxes.get(key) or self._boxed(*key)
            if box is None:
                return None
            x, y0, y1, ink = box
            x += rows + quarters // PHASES
            end = x + len(ink)
            if x < 0 or end > len(word):
                return None
            part = word[x:end]
            np.maximum(part, ink, out=part)
            if x < left:  # not min(): it takes three times as long
                left = x
            if end > right:
                right = end
            if y0 < top:
                top = y0
            if y1 > bottom:
                bottom = y1
        if right <= left or bottom <= top:
            return _NOTHING
        return Mask(left - rows, top - above, word[left:right, top:bottom].T.copy())

    def _boxed(self, character: str, phase: int) -> tuple[int, int, int, Ink] | None:
        """A glyph by columns, all of one height: left, first and last row with ink, columns × rows."""
        mask = self.mask(character, phase)
        above, rows = self._box
        height, width = mask.ink.shape
        top = mask.top + above
        if top < 0 or top + height > rows:
            return None
        ink: Ink = np.zeros((width, rows), np.uint8)
        ink[:, top : top + height] = mask.ink.T
        box = (mask.left, top, top + height, ink) if width else (0, rows, 0, ink)
        self._boxes[character, phase] = box
        _account(ink.nbytes + 300)
        return box

    def _render(self, text: str, phase: int, rtl: bool) -> Mask:
        """Draw at `samples` times the size and average down."""
        samples, direction = self.samples, None if len(text) == 1 else self._direction(rtl)
        left, top, right, bottom = self._font.getbbox(text, anchor="ls", direction=direction)
        before = math.ceil((max(0.0, -left) + 2) / samples)
        above = math.ceil((max(0.0, -top) + 2) / samples)
        width = before + math.ceil((max(0.0, right) + samples + 2) / samples)
        height = above + math.ceil((max(0.0, bottom) + 2) / samples)
        large = Image.new("L", (width * samples, height * samples))
        pen = (before * samples + phase * samples // PHASES, above * samples)
        ImageDraw.Draw(large).text(pen, text, fill=255, font=self._font, anchor="ls", direction=direction)
        small = large.reduce(samples) if samples > 1 else large
        box = small.getbbox()
        if box is None:
            return _NOTHING
        return Mask(box[0] - before, box[1] - above, np.array(small.crop(box)))


_kept: dict[Face, Glyphs] = {}
_held = 0  # bytes of ink since it was last dropped, about
_lock = threading.Lock()


def glyphs_of(face: Face) -> Glyphs:
    """The glyphs of a face, made once and kept while memory allows.

    Raises:
        UsageError: the file is no font.
    """
    found = _kept.get(face)
    if found is None:
        found = Glyphs(face)
        with _lock:
            while len(_kept) >= _MOST_FACES:
                _kept.pop(next(iter(_kept))).forget()
            _kept[face] = found
    return found


def _account(size: int) -> None:
    """Count what ink took; drop all ink when it is too much."""
    global _held
    _held += size
    if _held > _MOST_BYTES:
        with _lock:
            _held = 0
            for glyphs in _kept.values():
                glyphs.forget()
