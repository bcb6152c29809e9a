"""Tables -> strips: columns measured, cells wrapped, thin rules. Knows measures; nothing of pages."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import accumulate

from ocrpress.typeset.bidi import is_rtl
from ocrpress.typeset.blocks import Paragraph, Span, Table
from ocrpress.typeset.setting import Setter, Strip, fill, text_of, width_of
from ocrpress.typeset.shaping import Word

_PADDING = 0.5  # ems, left and right of a cell's text
_PADDING_ABOVE = 0.2  # lines, above and below
_RULE_THICKNESS = 0.05  # ems
_LEAST_EMS = 2.5  # of a cell's measure; a table whose columns would be narrower is set cell by cell


@dataclass(frozen=True)
class _Grid:
    """Columns of a table in pixels: left edges of the cells' text, and measures."""

    lefts: tuple[float, ...]
    measures: tuple[float, ...]
    aligns: tuple[str, ...]
    left: float
    right: float


def set_table(table: Table, setter: Setter, measure: float, height: float) -> Iterator[Strip]:
    """The rows of a table in a column of `measure` × `height` pixels, one strip each.

    A table with too many columns, and a row higher than the column, are set cell by cell, as paragraphs.
    """
    grid = _measure(table, setter, measure)
    for number, row in enumerate(table.rows):
        last = number == len(table.rows) - 1
        strip = None if grid is None else _row(row, grid, setter)
        if strip is None or grid is None or strip.height > height:
            for place, cell in enumerate(cell for cell in row if _text(cell)):
                above = 0.0 if number or place else table.above
                yield from setter.paragraph(Paragraph(cell, left=table.left, above=above, end="\n"), measure)
            continue
        thickness = max(1.0, _RULE_THICKNESS * setter.em)
        if not number:
            strip.rules.append((grid.left, 0.0, grid.right, thickness))
            strip.above = table.above * setter.line_height()
        if last or number == table.heads - 1:
            strip.rules.append((grid.left, strip.height - thickness, grid.right, strip.height))
        strip.keep = number < table.heads and not last
        strip.joint = "\n\n" if last else "\n"
        yield strip


def _measure(table: Table, setter: Setter, measure: float) -> _Grid | None:
    """Columns as wide as their text where there is room; else what is over goes to the wide ones in proportion."""
    count = max((len(row) for row in table.rows), default=0)
    left = min(table.left * setter.em, measure / 2)
    padding = _PADDING * setter.em
    room = measure - left - 2 * padding * count
    if not count or room < count * _LEAST_EMS * setter.em:
        return None
    natural, least = [0.0] * count, [_LEAST_EMS * setter.em] * count
    for row in table.rows:
        for place, cell in enumerate(row):
            words = setter.words(cell, room)
            natural[place] = max(natural[place], width_of(words))
            least[place] = max([least[place], *(word.width for word in words)])
    widths = _share(natural, least, room, _LEAST_EMS * setter.em)
    starts = list(accumulate((width + 2 * padding for width in widths), initial=left))
    aligns = tuple(table.aligns[place] if place < len(table.aligns) else "left" for place in range(count))
    return _Grid(tuple(start + padding for start in starts[:-1]), tuple(widths), aligns, left, starts[-1])


def _share(natural: Sequence[float], least: Sequence[float], room: float, floor: float) -> list[float]:
    """Widths that fill at most `room`.

    Args:
        natural: widths that need no line breaks.
        least: widths that break no word.
        floor: no column is narrower; all of them fit.
    """
    if sum(natural) <= room:
        return list(natural)
    if sum(least) > room:
        over = room - floor * len(least)
        wanted = [width - floor for width in least]
        return [floor + over * want / sum(wanted) for want in wanted]
    # What is left is shared by how much a column would like to have.
    want = [max(0.0, wide - narrow) for wide, narrow in zip(natural, least, strict=True)]
    over = room - sum(least)
    return [narrow + over * part / sum(want) for narrow, part in zip(least, want, strict=True)]


def _row(row: Sequence[tuple[Span, ...]], grid: _Grid, setter: Setter) -> Strip:
    """The cells of a row side by side."""
    above = _PADDING_ABOVE * setter.line_height()
    strip, texts, most = Strip(0.0), [], 0
    for cell, left, measure, align in zip(row, grid.lefts, grid.measures, grid.aligns, strict=False):
        words = setter.words(cell, measure)
        rtl = is_rtl(_text(cell))
        y = above + setter.baseline()
        lines = list(fill(words, measure))
        pieces = []
        for start, end in lines:
            line = words[start:end]
            x = left + _shift(line, measure, "left" if rtl else align)
            strip.inks.extend(setter.line(line, x, y, measure, rtl=rtl))
            pieces.append(text_of(line) + " " * line[-1].piece.spaces)
            y += setter.line_height()
        texts.append("".join(pieces).rstrip())
        most = max(most, len(lines))
    strip.height = max(1, most) * setter.line_height() + 2 * above
    strip.text = "\t".join(texts).rstrip("\t")
    return strip


def _shift(line: Sequence[Word], measure: float, align: str) -> float:
    """How far an aligned line begins from the left."""
    if align == "left":
        return 0.0
    spare = measure - width_of(line)
    return max(0.0, spare) / (2 if align == "center" else 1)


def _text(cell: Sequence[Span]) -> str:
    return "".join(span.text for span in cell)
