"""Text -> Sheets: the door of the room. Checks the style, finds the blocks, sets them and fills pages with them."""

from __future__ import annotations

import math
import re
from collections.abc import Iterator

from ocrpress.errors import UsageError, unknown
from ocrpress.typeset import markdown as markdown_parser
from ocrpress.typeset import plain
from ocrpress.typeset.blocks import Block, PageBreak, Paragraph, Rule, Table
from ocrpress.typeset.filling import fill_pages, nothing_to_print
from ocrpress.typeset.fonts import REGULAR, chain, is_printable
from ocrpress.typeset.geometry import frame
from ocrpress.typeset.setting import Setter, Strip
from ocrpress.typeset.sheet import Sheet
from ocrpress.typeset.style import Style
from ocrpress.typeset.tables import set_table

_SIZES = (1.0, 400.0)  # points
_LEADINGS = (0.5, 10.0)
_MOST_COLUMNS = 20
_RULE_THICKNESS = 0.05  # ems
_LINE_ENDS = re.compile("\r\n?|[\x0b\x85\u2028]")
_UNPRINTABLE = re.compile("[\x00-\x08\x0e-\x1b\x7f-\x84\x86-\x9f\ufeff\ufffe\uffff]")
_SURROGATES = re.compile("[\ud800-\udfff]")


def lay_out(text: str, style: Style = Style(), *, markdown: bool = False) -> Iterator[Sheet]:  # noqa: B008 - frozen
    """Set a text on pages, in order, lazily: page by page.

    Every printable character of the text stands on exactly one page. Control characters are dropped; lone surrogates
    become U+FFFD.

    Args:
        markdown: the text is CommonMark with tables; else it is plain text (see `plain`).

    Raises:
        UsageError: the style cannot be.
        InputError: the text has no printable character, or its Markdown prints none (while iterating).
    """
    check_style(style)
    text = clean(text)
    if not any(is_printable(character) for character in text):
        raise nothing_to_print()
    blocks = markdown_parser.parse(text) if markdown else plain.parse(text)
    return fill_pages(_strips(blocks, style), style)


def check_style(style: Style) -> None:
    """Raise UsageError for a style that cannot be: a value out of range, an unknown page or font, no room for text."""
    if not _SIZES[0] <= style.size <= _SIZES[1]:
        raise UsageError(f"{style.size:g} point type", f"between {_SIZES[0]:g} and {_SIZES[1]:g} points")
    if not _LEADINGS[0] <= style.leading <= _LEADINGS[1]:
        raise UsageError(
            f"a leading of {style.leading:g}", f"a multiple of the size, {_LEADINGS[0]:g} to {_LEADINGS[1]:g}"
        )
    if not 1 <= style.columns <= _MOST_COLUMNS:
        raise UsageError(f"{style.columns} columns", f"between 1 and {_MOST_COLUMNS}")
    if style.align not in ("left", "justify"):
        raise unknown("alignment", style.align, ["left", "justify"])
    if style.margins is not None and len(style.margins) != 4:
        raise UsageError(f"{len(style.margins)} margins", "give four: left, top, right, bottom")
    for name, values in (("margins", style.margins or ()), ("gutter", (style.gutter or 0.0,))):
        if any(not math.isfinite(value) or value < 0 for value in values):
            raise UsageError(f"{name} of {', '.join(f'{value:g}' for value in values)} points", "not less than 0")
    frame(style)
    chain(style.font, REGULAR)


def clean(text: str) -> str:
    """Line ends as "\\n", no control characters but tab, line end and form feed, no surrogates."""
    text = _LINE_ENDS.sub("\n", text).replace("\u2029", "\n\n")
    return _SURROGATES.sub("\ufffd", _UNPRINTABLE.sub("", text))


def _strips(blocks: Iterator[Block], style: Style) -> Iterator[Strip]:
    place = frame(style)
    setter = Setter(style, place.unit)
    new_page = False
    for block in blocks:
        if isinstance(block, PageBreak):
            new_page = True
            continue
        for strip in _set(block, setter, place.measure, place.bottom - place.top):
            strip.new_page, new_page = new_page, False
            yield strip


def _set(block: Paragraph | Table | Rule, setter: Setter, measure: float, height: float) -> Iterator[Strip]:
    if isinstance(block, Paragraph):
        return setter.paragraph(block, measure)
    if isinstance(block, Table):
        return set_table(block, setter, measure, height)
    return iter([_rule(block, setter, measure)])


def _rule(block: Rule, setter: Setter, measure: float) -> Strip:
    thickness = max(1.0, _RULE_THICKNESS * setter.em)
    left = min(block.left * setter.em, measure / 2)
    height = setter.line_height() / 2
    return Strip(
        height, rules=[(left, height / 2, measure, height / 2 + thickness)], above=block.above * setter.line_height()
    )
