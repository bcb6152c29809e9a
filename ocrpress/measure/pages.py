"""Pages to measure with: drawn here, or taken from the user's own files over and over."""

from __future__ import annotations

import contextlib
import random
from collections.abc import Iterator, Sequence
from functools import lru_cache
from itertools import cycle

from PIL import Image, ImageDraw, ImageFont

from ocrpress.document import PageImage, UnreadablePage
from ocrpress.errors import InputError
from ocrpress.modes import DEFAULT_MAX_TILES

LETTER = (612, 792)  # points; its aspect takes 2 × 3 tiles in gundam
DPI = 144
DISTINCT = 16  # pages drawn; more are these again
MARGIN = 0.11  # of the width
TEXT_POINTS = 10.5
LEADING = 1.25
_LETTERS = "etaoinshrdlucmfwypvbgkjqxz"
_WEIGHTS = [12.7, 9.1, 8.2, 7.5, 7, 6.7, 6.3, 6.1, 6, 4.3, 4, 2.8, 2.8, 2.4, 2.4, 2.4, 2.2, 2, 1.9, 1.5, 1, 0.8, 0.15,
            0.15, 0.1, 0.1]  # fmt: skip


def drawn_pages(count: int, seed: int = 0) -> list[PageImage]:
    """Letter pages at 144 dpi (1224 × 1584 pixels) full of words that mean nothing, black on white.

    Args:
        count: 1 or more. No more than 16 of them differ: the others are the same images under other numbers.
    """
    images = [_draw(seed, index) for index in range(min(count, DISTINCT))]
    width, height = LETTER
    return [PageImage(index + 1, images[index % DISTINCT], width, height) for index in range(count)]


def file_pages(
    files: Sequence[str], mode: str, max_tiles: int = DEFAULT_MAX_TILES, password: str | None = None
) -> Iterator[PageImage]:
    """The pages of documents as the mode wants them rendered, one document after the other, over and over without end.

    Raises:
        InputError: a document or one of its pages cannot be read.
    """
    from ocrpress.sources import SourceOptions, open_source

    options = SourceOptions(mode=mode, max_tiles=max_tiles, password=password)
    for file in cycle(files):
        with contextlib.closing(open_source(file, options)) as source:
            for page in source.pages():
                if isinstance(page, UnreadablePage):
                    raise InputError(
                        f"page {page.number} of {file} cannot be read ({page.error})", "measure with another file"
                    )
                yield page


@lru_cache(DISTINCT)
def _draw(seed: int, index: int) -> Image.Image:
    """One page of text in paragraphs."""
    chance = random.Random(f"{seed}/{index}")  # noqa: S311, no secret
    width, height = (round(side * DPI / 72) for side in LETTER)
    size = TEXT_POINTS * DPI / 72
    page = Image.new("L", (width, height), 255)
    pen, font = ImageDraw.Draw(page), ImageFont.load_default(size)
    left, right, y = MARGIN * width, (1 - MARGIN) * width, MARGIN * width
    while y < height - MARGIN * width - size:
        lines = chance.randint(3, 8)
        for line in range(lines):
            room = (right - left) * (1 if line < lines - 1 else chance.uniform(0.2, 0.9))
            pen.text((left, y), _line(chance, font, room), fill=0, font=font)
            y += LEADING * size
        y += 0.6 * LEADING * size
    return page.convert("RGB")


def _line(chance: random.Random, font: ImageFont.FreeTypeFont | ImageFont.ImageFont, room: float) -> str:
    """Words that fill so many pixels."""
    words, space = [_word(chance).capitalize()], font.getlength(" ")
    room -= font.getlength(words[0])
    while (room := room - space - font.getlength(word := _word(chance))) >= 0:
        words.append(word)
    return " ".join(words)


def _word(chance: random.Random) -> str:
    return "".join(chance.choices(_LETTERS, _WEIGHTS, k=chance.randint(1, 9)))
