"""Blocks -> strips: lines of words with their places, still on no page. Knows measures; nothing of pages or columns."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import groupby

from ocrpress.typeset.bidi import RTL, is_rtl, visual_order
from ocrpress.typeset.blocks import Paragraph, Span
from ocrpress.typeset.breaking import SOFT_HYPHEN, ZERO_WIDTH_SPACE, Piece, clusters, pieces
from ocrpress.typeset.fonts import REGULAR
from ocrpress.typeset.glyphs import glyphs_of
from ocrpress.typeset.shaping import Letters, Part, Word, letters
from ocrpress.typeset.sheet import Face
from ocrpress.typeset.style import Style

_WIDEST_STRETCH = 1.0  # ems that a space may grow by; a line that needs more stays ragged
_SLACK = 1e-6  # pixels: sums of widths are not exact
_ASCENT = 0.8  # of the size, above the baseline: the room that is centred in a line's height
_TAKEN_AWAY = frozenset((" ", SOFT_HYPHEN, ZERO_WIDTH_SPACE))
Roles = Sequence[tuple[int, int]]  # (end offset, role) of each stretch of a text


# A run before its page is known: text, x from the column's left, y from the strip's top (pixels), face, right to left.
# A bare tuple: a page has a thousand of them, and a named one takes five times as long to make.
Ink = tuple[str, float, float, Face, bool]


@dataclass(slots=True)
class Strip:
    """What is never parted over pages: a line, or a row of a table.

    Attributes:
        height: in pixels.
        text: its part of the sheet's text.
        joint: what stands between this text and the next strip's.
        above: white space over it, in pixels, where it does not begin a column.
        keep: something must follow it in its column.
        new_page: it begins a page.
    """

    height: float
    inks: list[Ink] = field(default_factory=list)
    rules: list[tuple[float, float, float, float]] = field(default_factory=list)
    text: str = ""
    joint: str = ""
    above: float = 0.0
    keep: bool = False
    new_page: bool = False


@dataclass(frozen=True)
class Setter:
    """Sets paragraphs in a style.

    Attributes:
        unit: pixels a point.
    """

    style: Style
    unit: float

    @property
    def em(self) -> float:
        """Size of the running text in pixels."""
        return self.style.size * self.unit

    def line_height(self, scale: float = 1.0) -> float:
        """Baseline to baseline in pixels."""
        return self.em * scale * self.style.leading

    def baseline(self, scale: float = 1.0) -> float:
        """From a line's top to its baseline in pixels."""
        return (self.line_height(scale) - self.em * scale) / 2 + _ASCENT * self.em * scale

    def letters(self, role: int, scale: float = 1.0) -> Letters:
        """The font in a role."""
        return letters(self.style.font, role, self.em * scale)

    def paragraph(self, block: Paragraph, measure: float) -> Iterator[Strip]:
        """The lines of a paragraph in a column of `measure` pixels, one strip each."""
        left = min(block.left * self.em, measure / 2)
        rtl = is_rtl("".join(span.text for span in block.spans))
        words = self.words(block.spans, measure - left, block.scale, kept_spaces=block.kept_spaces)
        lines = list(fill(words, measure - left))
        justified = self.style.align == "justify" and not block.kept_spaces
        for number, (start, end) in enumerate(lines):
            last = number == len(lines) - 1
            line = words[start:end]
            strip = Strip(self.line_height(block.scale), keep=block.keep)
            y = self.baseline(block.scale)
            place = 0.0 if rtl else left
            strip.inks.extend(self.line(line, place, y, measure - left, rtl=rtl, justified=justified and not last))
            strip.text, strip.joint = text_of(line), block.end if last else " " * line[-1].piece.spaces
            if not number:
                strip.above = block.above * self.line_height()
                if block.marker:
                    strip.inks[:0] = self.marker(block.marker, y, left, measure, rtl=rtl)
                    strip.text = f"{block.marker} {strip.text}"
            yield strip

    def marker(self, marker: str, y: float, left: float, measure: float, *, rtl: bool) -> list[Ink]:
        """A bullet or number beside the first line: half an em from it."""
        word = self.letters(REGULAR).word(Piece(marker, 0))
        x = measure - left + self.em / 2 if rtl else max(0.0, left - self.em / 2 - word.width)
        return [(text, x + dx, y, face, rtl) for text, dx, face in word.parts]

    def words(
        self, spans: Sequence[Span], measure: float, scale: float = 1.0, *, kept_spaces: bool = False
    ) -> list[Word]:
        """The words of spans, those wider than the measure broken."""
        measured: Iterable[Word]
        if len(spans) == 1:
            measured = map(self.letters(spans[0].role, scale).word, pieces(spans[0].text, kept_spaces=kept_spaces))
        else:
            measured = (self._word(*found, scale) for found in _with_roles(spans, kept_spaces=kept_spaces))
        out: list[Word] = []
        for word in measured:
            if word.width <= measure:
                out.append(word)
            else:
                out.extend(_broken(word, measure))
        if kept_spaces and out and not out[0].piece.text:  # a deep indent leaves room for text
            out[0] = out[0]._replace(gap=min(out[0].gap, measure / 2))
        return out

    def _word(self, piece: Piece, roles: Roles, space: int, scale: float) -> Word:
        """A piece of several roles, measured; `space` is the role of the spaces after it."""
        words, start = [], 0
        for end, role in roles:
            words.append(self.letters(role, scale).word(Piece(piece.text[start:end], 0, piece.soft)))
            start = end
        gap = piece.spaces * self.letters(space, scale).space
        return _joined(piece, words)._replace(gap=gap, hyphen=words[-1].hyphen)

    def line(
        self, words: Sequence[Word], x: float, y: float, measure: float, *, rtl: bool = False, justified: bool = False
    ) -> list[Ink]:
        """The inks of a line that begins at x."""
        text = text_of(words)
        if rtl or RTL.search(text):
            return self._bidirectional(words, x, y, measure, rtl=rtl)
        hyphen = words[-1].hyphen
        stretch = self._stretch(words, measure) if justified else 0.0
        out = []
        for word in words:
            for text, dx, face in word.parts:
                out.append((text, x + dx, y, face, False))
            x += word.width + word.gap + (stretch if word.gap else 0.0)
        if hyphen:
            x -= words[-1].gap
            out.extend((text, x + dx, y, face, False) for text, dx, face in hyphen.parts)
        return out

    def _stretch(self, words: Sequence[Word], measure: float) -> float:
        """What each space of a line grows by so that the line fills the measure; 0 where that would be too much."""
        gaps = sum(1 for word in words[:-1] if word.gap)
        last = words[-1]
        spare = measure - width_of(words) - (last.hyphen.width if last.hyphen else 0.0)
        return spare / gaps if gaps and 0 < spare / gaps <= _WIDEST_STRETCH * self.em else 0.0

    def _bidirectional(self, words: Sequence[Word], x: float, y: float, measure: float, *, rtl: bool) -> list[Ink]:
        """A line with right-to-left script: one run a stretch in one face; aligned right where `rtl`."""
        indent = words[0].gap if not words[0].piece.text else 0.0
        cuts = _stretches(words)
        widths = [glyphs_of(face).length(text, rtl=rtl) for text, face in cuts]
        x += measure - indent - sum(widths) if rtl else indent
        out: dict[int, Ink] = {}
        for i in visual_order([text for text, _ in cuts], rtl=rtl):
            text, face = cuts[i]
            out[i] = (text, x, y, face, rtl)
            x += widths[i]
        return [out[i] for i in sorted(out)]


def fill(words: Sequence[Word], measure: float) -> Iterator[tuple[int, int]]:
    """First fit: (start, end) of each line's words. A line holds at least one."""
    start, count = 0, len(words)
    while start < count:
        x, end, i = 0.0, start, start
        for i in range(start, count):
            _, width, gap, _, hyphen = words[i]
            x += width
            if x > measure + _SLACK and i > start:
                break
            if hyphen is None or x + hyphen.width <= measure or i == count - 1:
                end = i + 1
            x += gap
        end = max(end, start + 1)
        yield start, end
        start = end


def text_of(words: Sequence[Word]) -> str:
    """What a reader reads of a line."""
    return "".join([word.piece.text + " " * word.piece.spaces for word in words[:-1]]) + words[-1].piece.text


def width_of(words: Sequence[Word]) -> float:
    """Width of a line in pixels, without the spaces at its end; 0 for no words."""
    return sum(word.width + word.gap for word in words) - words[-1].gap if words else 0.0


def _stretches(words: Sequence[Word]) -> list[tuple[str, Face]]:
    """A line's text cut where the face changes, spaces with what stands before them."""
    cuts: list[tuple[str, Face]] = []
    for i, word in enumerate(words):
        last = i == len(words) - 1
        parts = [*word.parts, *(word.hyphen.parts if last and word.hyphen else ())]
        for part in parts:
            if cuts and cuts[-1][1] == part.face:
                cuts[-1] = (cuts[-1][0] + part.text, part.face)
            else:
                cuts.append((part.text, part.face))
        if cuts and not last:
            cuts[-1] = (cuts[-1][0] + " " * word.piece.spaces, cuts[-1][1])
    return cuts


def _with_roles(spans: Sequence[Span], *, kept_spaces: bool) -> Iterator[tuple[Piece, Roles, int]]:
    """Pieces of the spans' text together, the roles of each, and the role of the spaces after it."""
    # Breaking takes away spaces and what is invisible, nothing else.
    inked = [span.role for span in spans for c in span.text if c not in _TAKEN_AWAY]
    place = 0
    for piece in pieces("".join(span.text for span in spans), kept_spaces=kept_spaces):
        roles: list[tuple[int, int]] = []
        for offset, character in enumerate(piece.text):
            role = inked[place] if character != " " else inked[max(0, place - 1)]
            place += character != " "
            if roles and roles[-1][1] == role:
                roles[-1] = (offset + 1, role)
            else:
                roles.append((offset + 1, role))
        before, after = inked[max(0, place - 1)], inked[min(place, len(inked) - 1)]
        yield piece, roles or [(0, after)], before if before == after else before & after


def _joined(piece: Piece, words: Sequence[Word]) -> Word:
    """Words side by side as one, without a gap."""
    parts: list[Part] = []
    x = 0.0
    for word in words:
        parts.extend(Part(text, x + dx, face) for text, dx, face in word.parts)
        x += word.width
    return Word(piece, x, 0.0, tuple(parts))


def _broken(word: Word, measure: float) -> Iterator[Word]:
    """A word wider than the measure in pieces that fit: cut between grapheme clusters."""
    units: list[Word] = []
    width = 0.0
    for text, _, face in word.parts:
        glyphs = glyphs_of(face)
        for cluster in clusters(text):
            unit = Word(Piece(cluster, 0), glyphs.length(cluster), 0.0, (Part(cluster, 0.0, face),))
            if units and width + unit.width > measure:
                yield _whole(units)
                units, width = [], 0.0
            units.append(unit)
            width += unit.width
    last = _whole(units)
    yield last._replace(piece=word.piece._replace(text=last.piece.text), gap=word.gap, hyphen=word.hyphen)


def _whole(units: Sequence[Word]) -> Word:
    """Clusters in a row as one word: those in one face are drawn together, as they may join."""
    runs: list[Word] = []
    for face, row in groupby(units, key=lambda unit: unit.parts[0].face):
        text = "".join(unit.piece.text for unit in row)
        runs.append(Word(Piece(text, 0), glyphs_of(face).length(text), 0.0, (Part(text, 0.0, face),)))
    return _joined(Piece("".join(run.piece.text for run in runs), 0), runs)
