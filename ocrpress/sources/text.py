"""Text as pages: a plain text or Markdown file, set as `ocrpress.typeset` sets it by default.

The whole text is laid out when it is opened, for only then its pages are counted; they wait on disk and are drawn one
at a time, as the mode sees them.
"""

from __future__ import annotations

import time
from dataclasses import replace
from typing import TYPE_CHECKING, BinaryIO

from ocrpress.document import PageImage
from ocrpress.errors import InputError
from ocrpress.sources.checks import shown_name
from ocrpress.sources.encoding import ENCODING_ADVICE, decode, is_text_of_another_encoding
from ocrpress.sources.pages import PageRange, select_pages
from ocrpress.sources.raster import POINTS_PER_INCH, bounded, scaled_down, wanted_size
from ocrpress.sources.sniff import HEAD_BYTES, describe_text, is_markdown, sniff
from ocrpress.typeset import draw, lay_out, missing
from ocrpress.typeset.scaling import scaled
from ocrpress.typeset.shelf import Shelf
from ocrpress.typeset.style import Style

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from ocrpress.sources.base import SourceOptions
    from ocrpress.typeset.sheet import Sheet

FORMATS_ADVICE = "give a PDF, a PNG, JPEG, WebP, TIFF, GIF or BMP image, a folder of images, or text"
NAMED = 8  # characters that a warning names
MOST_BYTES = 256 << 20  # some 100,000 pages; text is held in memory as a whole


def read_text(stream: BinaryIO, name: str, *, as_it_stands: bool = False, advice: str = FORMATS_ADVICE) -> str:
    """The text of a file, line ends "\\n".

    Args:
        stream: at the beginning of the file; read to its end, not closed.
        name: what the user calls it.
        as_it_stands: take text that is the source of something else (a web page, LaTeX, RTF, …) as plain text too.
        advice: what to give instead of a file that is no text.

    Raises:
        InputError: it is no text, too long, or in another encoding than UTF-8 (UTF-16 and UTF-32 with their mark).
    """
    shown = shown_name(name)
    try:
        head = stream.read(HEAD_BYTES)
        _check(head, name, as_it_stands, advice)
        data = head + stream.read(MOST_BYTES + 1 - len(head))
    except OSError as error:
        raise InputError(f"{shown} cannot be read ({error.strerror or error})", "check the path") from error
    if len(data) > MOST_BYTES:
        raise InputError(f"{shown} has more than {MOST_BYTES >> 20} MiB of text, the limit", "split it")
    return decode(data, shown)


def _check(head: bytes, name: str, as_it_stands: bool, advice: str) -> None:
    """Raise InputError unless a file that begins like this is text that is meant to be read as it stands."""
    shown, found = shown_name(name), sniff(head)
    if not head:
        raise InputError(f"{shown} is empty", "give a file with something in it")
    if found not in {None, "text"}:
        raise InputError(f"{shown} is no text, but {found.upper()}", f"to read it, run: ocrpress convert {name}")
    if found is None and is_text_of_another_encoding(head):
        raise InputError(f"{shown} looks like text, but not in UTF-8", ENCODING_ADVICE)
    looks = "" if found and as_it_stands else describe_text(head, name)
    if found is None or looks:
        raise InputError(f"{shown} is of no format that ocrpress reads{f' ({looks})' if looks else ''}", advice)


class TextSource:
    """A text being set.

    Args:
        path: of a regular file.
        name: what the user calls it; tells Markdown from plain text.
        ranges: pages asked for; None for all.
        style: how it is set. Its resolution is of no effect: a page is drawn at the size that its mode can use.

    Raises:
        UsageError: none of the pages asked for is there.
        InputError: it is no text that can be set, or has more than `options.max_pages` pages.
    """

    def __init__(
        self, path: Path, name: str, options: SourceOptions, ranges: tuple[PageRange, ...] | None,
        style: Style = Style(),  # noqa: B008 - frozen
    ) -> None:  # fmt: skip
        self._name, self._options, self._style = name, options, style
        self._shelf: Shelf | None = Shelf()
        try:
            with path.open("rb") as stream:
                text = read_text(stream, name)
            total = self._lay_out(text, ranges, self._shelf)
            self._numbers: Sequence[int] = select_pages(ranges, total)
        except BaseException:
            self.close()
            raise

    @property
    def name(self) -> str:
        """The name it came under."""
        return self._name

    @property
    def page_count(self) -> int:
        """How many pages `pages` will give."""
        return len(self._numbers)

    @property
    def numbers(self) -> Sequence[int]:
        """The numbers of those pages."""
        return self._numbers

    @property
    def drawn(self) -> bool:
        """Pages are drawn at the size that the options ask for."""
        return True

    def pages(self) -> Iterator[PageImage]:
        """The pages asked for, in order, each drawn when it is asked for."""
        for number in self._numbers:
            if self._shelf is None:
                found = f"{shown_name(self._name)} was closed while it was read"
                raise InputError(found, "keep it open until the last page")
            yield self._draw(self._shelf.get(number), self._options)

    def redraw(self, number: int, mode: str) -> PageImage | None:
        """A page drawn once more, as another mode would see it; None if the options fix its size."""
        if self._options.dpi is not None or self._shelf is None:
            return None
        return self._draw(self._shelf.get(number), replace(self._options, mode=mode))

    def close(self) -> None:
        """Give up the pages. Safe to call twice."""
        if self._shelf:
            self._shelf.close()
        self._shelf = None

    def _lay_out(self, text: str, ranges: tuple[PageRange, ...] | None, shelf: Shelf) -> int:
        """Lay the pages asked for on the shelf; returns how many there are up to the last that may be asked for."""
        ends = [last for _, last in ranges or ((1, None),)]
        end = None if None in ends else max(last for last in ends if last is not None)
        total = 0
        for sheet in self._sheets(text):
            total = sheet.number
            if _is_chosen(total, ranges):
                if len(shelf) == self._options.max_pages:
                    found = f"{shown_name(self._name)} gives more than {len(shelf)} pages, the limit"
                    raise InputError(found, "choose some with --pages")
                shelf.put(sheet)
            if total == end:
                break
        return total

    def _sheets(self, text: str) -> Iterator[Sheet]:
        try:
            yield from lay_out(text, self._style, markdown=is_markdown(self._name))
        except InputError as error:
            raise InputError(f"{shown_name(self._name)}: {error.message}", error.advice) from error

    def _draw(self, sheet: Sheet, options: SourceOptions) -> PageImage:
        start = time.perf_counter()
        width, height = (side * POINTS_PER_INCH / sheet.dpi for side in (sheet.width, sheet.height))
        wanted = wanted_size(width, height, options)
        size = bounded(wanted, options.max_pixels)
        image = draw(scaled(sheet, *size))
        warnings = (*scaled_down(wanted, size), *lacking(missing(sheet.text, self._style), self._style))
        return PageImage(sheet.number, image, width, height, {"render": time.perf_counter() - start}, warnings)


def lacking(characters: Sequence[str], style: Style) -> tuple[str, ...]:
    """The warning that these characters have no shape in the font, by the first few; nothing if there are none."""
    if not characters:
        return ()
    named = ", ".join(f"U+{ord(char):04X} {char}" for char in characters[:NAMED])
    more = f" and {len(characters) - NAMED} more" if len(characters) > NAMED else ""
    return (f"the font {style.font} lacks {named}{more}",)


def _is_chosen(number: int, ranges: tuple[PageRange, ...] | None) -> bool:
    return ranges is None or any(first <= number and (last is None or number <= last) for first, last in ranges)
