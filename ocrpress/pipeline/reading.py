"""A document being read: its pages through the flow, their results in page order."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Self

from ocrpress.document import Document, PageImage, PageResult, UnreadablePage
from ocrpress.figures import FigureWriter
from ocrpress.pipeline.case import Finisher
from ocrpress.pipeline.flow import Flow, Leaf

if TYPE_CHECKING:
    from types import TracebackType

    from ocrpress.engines.base import Engine
    from ocrpress.pipeline.options import Options
    from ocrpress.pipeline.substitute import Substitute
    from ocrpress.sources.base import Source


class Reading:
    """A document being read: iterate for its PageResults, in page order. Close it, or use it as a context.

    A page whose answers were all rejected goes to the substitute; failing that it is "failed", with its reason and with
    the blocks that were worth keeping.
    """

    def __init__(self, source: Source, engine: Engine, options: Options, substitute: Substitute | None = None) -> None:
        self.engine, self.options = engine, options
        self.mode: str = options.mode or ""
        self.name: str = source.name
        self.page_count: int = source.page_count
        self.finish = Finisher(engine.name, self.mode, options.task, figure_writer(self.name, options))
        self._source = source
        self._pages: Iterator[PageImage | UnreadablePage] | None = None
        self._drawing = threading.Lock()  # a source serves one thread at a time
        self._ready: dict[int, PageResult] = {}  # results that wait for an earlier page
        self._order: deque[int] = deque()
        self._flow = Flow(engine, options.fallback, self._pull, self._deliver, substitute)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close the document and stop its workers. A substitute of its own finishes its page first."""
        self._source.close()
        self._flow.close()

    def __iter__(self) -> Iterator[PageResult]:
        try:
            for _ in self._flow.steps():
                yield from self._in_order()
        except Exception:
            yield from self._in_order()
            raise
        yield from self._in_order()

    def document(self, pages: tuple[PageResult, ...], complete: bool = True) -> Document:
        """The Document that these pages make."""
        return Document(self.name, pages, self.engine.name, self.mode, complete, self.page_count)

    def redraw(self, number: int, mode: str) -> PageImage | None:
        """A page drawn once more, as another mode would see it; None if no other pixels are to be had of it."""
        with self._drawing:
            return self._source.redraw(number, mode)

    def _pull(self) -> Leaf | None:
        with self._drawing:
            if self._pages is None:
                self._pages = iter(self._source.pages())
            page = next(self._pages, None)
        if page is None:
            return None
        self._order.append(page.number)
        return Leaf(self, page)

    def _deliver(self, origin: object, result: PageResult) -> None:
        self._ready[result.number] = result

    def _in_order(self) -> Iterator[PageResult]:
        while self._order and self._order[0] in self._ready:
            yield self._ready.pop(self._order.popleft())


def figure_writer(name: str, options: Options) -> FigureWriter | None:
    """What crops the figures of the document of that name; None if none are to be cropped."""
    if options.figures is None:
        return None
    prefix = options.figures_prefix or (Path(name).stem if name != "-" else "page") or "page"
    return FigureWriter(options.figures, prefix, options.figures_base or Path())
