"""File in, PageResults out, in page order: sources -> engine -> layout. No stage holds more than the pages in flight.

with open_reading("paper.pdf", RapidEngine(), Options(mode="base")) as reading:
    for page in reading: ...
"""

from __future__ import annotations

import os
import time
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, fields, replace
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, BinaryIO, Self

from ocrpress.document import (
    Attempt,
    Block,
    Completion,
    Document,
    PageImage,
    PageResult,
    Request,
    UnreadablePage,
)  # fmt: skip
from ocrpress.engines import DEFAULT_ENGINE, open_engine
from ocrpress.errors import EngineError, UsageError, unknown
from ocrpress.figures import FigureWriter
from ocrpress.layout import build_blocks, text_blocks
from ocrpress.modes import get_mode
from ocrpress.quality import has_ink
from ocrpress.sources import open_source
from ocrpress.sources.base import SourceOptions

if TYPE_CHECKING:
    from ocrpress.engines.base import Engine
    from ocrpress.sources.base import Source

PathLike = str | os.PathLike[str]


@dataclass(frozen=True)
class Options:
    """How a document is read. Defaults live here and nowhere else.

    Attributes:
        mode: a resolution mode or "native"; None takes the engine's own default.
        task: what the engine is asked for.
        figures: folder for cropped figures; None crops none.
        figures_base: folder that links to figures are relative to; None is the current one.
        figures_prefix: start of the figures' file names; None is the document's name.
        dpi, pages, password, renderer, max_pixels, max_pages, max_tiles, workers, page_seconds: see SourceOptions.
    """

    mode: str | None = None
    task: str = "markdown"
    figures: Path | None = None
    figures_base: Path | None = None
    figures_prefix: str | None = None
    dpi: float | None = SourceOptions.dpi
    pages: str | None = SourceOptions.pages
    password: str | None = field(default=SourceOptions.password, repr=False)
    renderer: str = SourceOptions.renderer
    max_pixels: int = SourceOptions.max_pixels
    max_pages: int = SourceOptions.max_pages
    max_tiles: int = SourceOptions.max_tiles
    workers: int = SourceOptions.workers
    page_seconds: float = SourceOptions.page_seconds


def stream(path: PathLike | BinaryIO, *, engine: str | Engine = DEFAULT_ENGINE, **options: Any) -> Iterator[PageResult]:
    """Read a document page by page, in page order, in bounded memory.

    Args:
        path: a PDF, an image, a folder of images, "-" for standard input, or an open binary file.
        engine: a name of `ocrpress.engines.ENGINES`, or an engine of your own (then you close it).
        **options: the fields of `Options`.

    Raises:
        OcrpressError: the options, the document as a whole or the engine cannot be used; never for a single page.
    """
    with _opened(path, engine, make_options(options)) as reading:
        yield from reading


def convert(path: PathLike | BinaryIO, *, engine: str | Engine = DEFAULT_ENGINE, **options: Any) -> Document:
    """Read a whole document. Arguments and errors are those of `stream`."""
    with _opened(path, engine, make_options(options)) as reading:
        return reading.document(tuple(reading))


@contextmanager
def _opened(path: PathLike | BinaryIO, engine: str | Engine, options: Options) -> Iterator[Reading]:
    """A reading, closed at the end, and its engine too if it was opened here."""
    opened = open_engine(engine) if isinstance(engine, str) else engine
    try:
        with open_reading(path, opened, options) as reading:
            yield reading
    finally:
        if isinstance(engine, str):
            opened.close()


def make_options(given: dict[str, Any]) -> Options:
    """Options by name. Raises UsageError for a name that is not known, with the nearest one."""
    names = [item.name for item in fields(Options)]
    for name in given:
        if name not in names:
            raise unknown("option", name, names)
    if given.get("figures") is not None:
        given = {**given, "figures": Path(given["figures"])}
    return Options(**given)


def open_reading(path: PathLike | BinaryIO, engine: Engine, options: Options) -> Reading:
    """Open a document for reading. Raises before the first page if document, mode or options cannot be used."""
    mode = options.mode or engine.capabilities.modes[0]
    get_mode(mode)
    if mode not in engine.capabilities.modes:
        known = ", ".join(engine.capabilities.modes)
        raise UsageError(f"engine {engine.name} does not read mode '{mode}'", f"it reads {known}")
    if options.task not in engine.capabilities.tasks:
        raise unknown(f"task of engine {engine.name}", options.task, engine.capabilities.tasks)
    shared = {item.name: getattr(options, item.name) for item in fields(SourceOptions) if item.name != "mode"}
    source = open_source(path, SourceOptions(mode=mode, **shared))
    return Reading(source, engine, replace(options, mode=mode))


class Reading:
    """A document being read: iterate for its PageResults, in page order. Close it, or use it as a context."""

    def __init__(self, source: Source, engine: Engine, options: Options) -> None:
        self.engine = engine
        self.options = options
        self.mode: str = options.mode or ""
        self.name: str = source.name
        self.page_count: int = source.page_count
        self._source = source
        self._figures = _figure_writer(self.name, options)
        self._images: dict[int, PageImage] = {}  # pages in flight
        self._ready: dict[int, PageResult] = {}  # results that wait for an earlier page
        self._order: deque[int] = deque()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close the document and stop its workers."""
        self._source.close()

    def __iter__(self) -> Iterator[PageResult]:
        for completion in self.engine.read(self._requests()):
            page = self._images.pop(completion.key, None)
            if page is None:
                raise EngineError(
                    f"engine {self.engine.name} answered for page {completion.key}, which it does not hold"
                )
            self._ready[completion.key] = self._result(page, completion)
            yield from self._in_order()
        for number, page in self._images.items():
            self._ready[number] = self._failed(page, f"engine {self.engine.name} gave no answer for this page")
        yield from self._in_order()

    def document(self, pages: tuple[PageResult, ...], complete: bool = True) -> Document:
        """The Document that these pages make."""
        return Document(self.name, pages, self.engine.name, self.mode, complete, self.page_count)

    def _in_order(self) -> Iterator[PageResult]:
        while self._order and self._order[0] in self._ready:
            yield self._ready.pop(self._order.popleft())

    def _requests(self) -> Iterator[Request]:
        """Pages that an engine must read; the others get their results here."""
        for page in self._source.pages():
            self._order.append(page.number)
            if isinstance(page, UnreadablePage):
                self._ready[page.number] = self._failed(page, page.error)
            elif not has_ink(page.image):
                self._ready[page.number] = self._blank(page)
            else:
                self._images[page.number] = page
                yield Request(page.number, page, self.mode, self.options.task, self.options.max_tiles)

    def _result(self, page: PageImage, completion: Completion) -> PageResult:
        seconds = {**page.seconds, **completion.seconds}
        attempt = Attempt(
            self.engine.name, self.mode, completion.stop, sum(completion.seconds.values()), completion.error
        )
        if completion.stop == "error":
            return replace(self._failed(page, completion.error), attempts=(attempt,), seconds=seconds)
        points = (page.height, page.width) if completion.rotation in (90, 270) else (page.width, page.height)
        started = time.perf_counter()
        try:
            blocks = _blocks(page, completion, points)
        except Exception as error:  # what an engine says of one page must not end the document
            failed = self._failed(page, f"layout failed ({type(error).__name__}: {error})")
            return replace(failed, attempts=(attempt,), seconds=seconds)
        seconds["layout"] = time.perf_counter() - started
        if self._figures:
            blocks = self._figures.write(page, completion.rotation, points, blocks)
            seconds["figures"] = time.perf_counter() - started - seconds["layout"]
        return PageResult(
            page.number, "ok" if blocks else "blank", blocks, *points, completion.rotation, self.engine.name, self.mode,
            completion.plan, (attempt,), seconds, (*page.warnings, *completion.warnings),
        )  # fmt: skip

    def _blank(self, page: PageImage) -> PageResult:
        return PageResult(
            page.number, "blank", width=page.width, height=page.height, engine=self.engine.name, mode=self.mode,
            seconds=page.seconds, warnings=page.warnings,
        )  # fmt: skip

    def _failed(self, page: PageImage | UnreadablePage, error: str) -> PageResult:
        return PageResult(
            page.number, "failed", width=page.width, height=page.height, engine=self.engine.name, mode=self.mode,
            seconds=page.seconds, error=error,
        )  # fmt: skip


def _blocks(page: PageImage, completion: Completion, points: tuple[float, float]) -> tuple[Block, ...]:
    if not completion.regions:  # an engine that says what stands on the page but not where
        return text_blocks(completion.text, points)
    size = (page.image.width, page.image.height)
    return build_blocks(completion.regions, size[::-1] if completion.rotation in (90, 270) else size, points)


def _figure_writer(name: str, options: Options) -> FigureWriter | None:
    if options.figures is None:
        return None
    prefix = options.figures_prefix or (Path(name).stem if name != "-" else "page") or "page"
    return FigureWriter(options.figures, prefix, options.figures_base or Path())
