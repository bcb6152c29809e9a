"""Samples -> pages, one at a time: set, decoded or rendered when they are asked for."""

from __future__ import annotations

import time
from collections.abc import Generator, Iterator, Sequence
from contextlib import closing
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING

from ocrpress.document import PageImage, UnreadablePage
from ocrpress.errors import InputError, UsageError
from ocrpress.measure.samples.sample import Sample
from ocrpress.modes import DEFAULT_MAX_TILES
from ocrpress.sources.base import SourceOptions
from ocrpress.sources.image import Frame, ImageSource
from ocrpress.sources.pages import parse_ranges
from ocrpress.sources.pdf import PdfSource
from ocrpress.sources.raster import POINTS_PER_INCH
from ocrpress.sources.sniff import HEAD_BYTES, Format, sniff
from ocrpress.typeset import draw, lay_out

if TYPE_CHECKING:
    from PIL.Image import Image

Pages = Generator[PageImage | UnreadablePage, None, None]

_NO_IMAGES: frozenset[Format | None] = frozenset({"pdf", "text"})


class SampleSource:
    """Samples as a document (see `sources.base.Source`): page n, from 1, is the n-th sample.

    Pages of a PDF that follow each other are rendered from one opening of it, as the mode wants them. A sample whose
    pixels cannot be had is an UnreadablePage in its place.

    Args:
        samples: in the order in which they are to be read.
        mode, max_tiles: what will read the pages.
    """

    def __init__(self, samples: Sequence[Sample], mode: str, max_tiles: int = DEFAULT_MAX_TILES) -> None:
        self._samples = samples
        self._options = SourceOptions(mode=mode, max_tiles=max_tiles)
        self._again: tuple[str, PdfSource] | None = None  # the PDF of which a page was drawn once more

    @property
    def name(self) -> str:
        """What it is."""
        return "samples"

    @property
    def page_count(self) -> int:
        """How many pages `pages` will give."""
        return len(self._samples)

    @property
    def numbers(self) -> Sequence[int]:
        """The numbers of those pages."""
        return range(1, len(self._samples) + 1)

    @property
    def drawn(self) -> bool:
        """Whether any page is drawn at the size that the mode asks for."""
        return any(sample.origin == "pdf" for sample in self._samples)

    def pages(self) -> Pages:
        """All pages, in order."""
        number = 1
        for run in _runs(self._samples):
            with closing(self._run(run)) as pages:
                for page in pages:
                    yield replace(page, number=number)
                    number += 1

    def redraw(self, number: int, mode: str) -> PageImage | None:
        """A page of a PDF drawn once more, as another mode would see it; None for what is pixels already."""
        sample = self._samples[number - 1]
        if sample.origin != "pdf":
            return None
        if self._again is None or self._again[0] != sample.file:
            self.close()
            try:
                self._again = (sample.file, self._open(sample))
            except (InputError, UsageError):
                return None
        page = self._again[1].redraw(sample.page, mode)
        return page and replace(page, number=number)

    def close(self) -> None:
        """Close what `redraw` opened. Safe to call twice."""
        if self._again:
            self._again[1].close()
        self._again = None

    def _run(self, run: Sequence[Sample]) -> Pages:
        try:
            if run[0].origin == "pdf":
                yield from self._rendered(run)
            elif run[0].origin == "image":
                yield self._decoded(run[0])
            else:
                yield _set(run[0])
        except (InputError, UsageError) as error:  # of opening, before any page
            yield from (UnreadablePage(1, str(error)) for _ in run)

    def _rendered(self, run: Sequence[Sample]) -> Pages:
        source = self._open(run[0], ",".join(str(sample.page) for sample in run))
        with closing(source), closing(source.pages()) as pages:
            for sample in run:  # a document that has lost pages lacks the last ones
                gone = UnreadablePage(1, f"{Path(sample.file).name} has no page {sample.page} any more")
                yield next(pages, gone)

    def _open(self, sample: Sample, pages: str | None = None) -> PdfSource:
        options = replace(self._options, password=sample.password)
        return PdfSource(sample.file, Path(sample.file).name, options, parse_ranges(pages) if pages else None)

    def _decoded(self, sample: Sample) -> PageImage | UnreadablePage:
        path = Path(sample.file)
        try:
            with path.open("rb") as stream:
                found = sniff(stream.read(HEAD_BYTES))
        except OSError as error:
            return UnreadablePage(1, f"{path.name} cannot be read ({error.strerror or error})")
        frame = Frame(path, path.name, None if found in _NO_IMAGES else found)
        return next(ImageSource(path.name, (frame,), self._options, None).pages())


def page_image(sample: Sample, mode: str, max_tiles: int = DEFAULT_MAX_TILES) -> Image | None:
    """The page of a sample as an engine gets it in that mode; None if its pixels cannot be had."""
    with closing(SampleSource((sample,), mode, max_tiles)) as source, closing(source.pages()) as pages:
        page = next(pages)
    return page.image if isinstance(page, PageImage) else None


def _runs(samples: Sequence[Sample]) -> Iterator[Sequence[Sample]]:
    """Pages of one PDF that follow each other in rising order; every other sample by itself."""
    start = 0
    for end, (one, other) in enumerate(pairwise(samples), 1):
        together = one.origin == other.origin == "pdf" and one.file == other.file and one.page < other.page
        if not together:
            yield samples[start:end]
            start = end
    if samples:
        yield samples[start:]


def _set(sample: Sample) -> PageImage:
    """A page set from its text; the first sheet holds all of it, or it would not be a sample."""
    start = time.perf_counter()
    sheet = next(lay_out(sample.text, sample.style))
    image = draw(sheet)
    width, height = (side * POINTS_PER_INCH / sheet.dpi for side in image.size)
    return PageImage(1, image, width, height, {"render": time.perf_counter() - start})
