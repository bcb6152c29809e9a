"""What is measured: so many pages in one mode, with answers of given lengths. Data and arithmetic only."""

from __future__ import annotations

import random
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from ocrpress.document import Decoding, PageImage, Request
from ocrpress.errors import UsageError
from ocrpress.modes import DEFAULT_MAX_TILES

_LENGTHS = re.compile(r"(\d+)(?:-(\d+))?")


@dataclass(frozen=True)
class Lengths:
    """Output tokens of a page: all equal, or spread evenly between `low` and `high`, in random order."""

    low: int
    high: int

    def __post_init__(self) -> None:
        if not 1 <= self.low <= self.high:
            raise UsageError(f"output lengths {self} are out of range", "give one length, 1 or more, or LOW-HIGH")

    def __str__(self) -> str:
        return str(self.low) if self.low == self.high else f"{self.low}-{self.high}"

    def draw(self, pages: int, seed: int) -> list[int]:
        """A length for every page. The lengths are the same for every seed, their order is not."""
        step = (self.high - self.low) / pages
        lengths = [round(self.low + (index + 0.5) * step) for index in range(pages)]
        random.Random(seed).shuffle(lengths)  # noqa: S311, no secret
        return lengths


def parse_lengths(text: str) -> Lengths:
    """ "1000" or "100-1000". Raises UsageError."""
    found = _LENGTHS.fullmatch(text.strip())
    if not found:
        raise UsageError(f"'{text}' is no output length", "give one like 1000, or a spread like 100-1000")
    return Lengths(int(found[1]), int(found[2] or found[1]))


@dataclass(frozen=True)
class Work:
    """Pages to be read.

    Attributes:
        mode: a name of the engine's modes.
        pages: how many, 1 or more.
        lengths: output tokens of each page, forced; None lets the model end by itself.
        task: a name of the engine's tasks.
        seed: of the order of the lengths.
    """

    mode: str
    pages: int
    lengths: Lengths | None = None
    task: str = "markdown"
    max_tiles: int = DEFAULT_MAX_TILES
    seed: int = 0

    def requests(self, images: Iterable[PageImage]) -> Iterator[Request]:
        """A request for each of the first `pages` images; keys count from 0."""
        lengths = self.lengths.draw(self.pages, self.seed) if self.lengths else []
        for key, image in zip(range(self.pages), images, strict=False):
            decoding = Decoding(max_tokens=lengths[key], ignore_end=True) if lengths else Decoding()
            yield Request(key, image, self.mode, self.task, self.max_tiles, decoding=decoding)
