"""The reading process's supply of pages: documents are opened and drawn by threads, several side by side, ahead of the
engine. Pages of many documents come to the engine as one stream, so that its batch never runs empty between them.

    orders ──▶ drawing threads (a source each, render workers from one bench) ──▶ drawn ──▶ pull ──▶ engine

What happens is said as messages: {"drawing": [document, page]} (page 0: it is being opened), {"opened": document,
"numbers": […]}, {"drawn": [document, page]}, {"begun": [document, page]}, {"refused": document,
"error", "cause"}, {"closed": document} when nothing more comes of it. Knows nothing of engines or processes.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from ocrpress.document import PageImage, UnreadablePage
from ocrpress.errors import EngineError, InputError, OcrpressError, PasswordError
from ocrpress.jobs.reading.losses import MEMORY
from ocrpress.jobs.urls.files import opened
from ocrpress.pipeline.flow import NUDGED, Leaf, Pulled
from ocrpress.sources import open_source
from ocrpress.sources.bench import Bench

if TYPE_CHECKING:
    from ocrpress.jobs.reading.order import Order
    from ocrpress.pipeline import Options
    from ocrpress.pipeline.case import Finisher
    from ocrpress.sources.base import Source

Say = Callable[[dict[str, Any]], object]


@dataclass(eq=False)
class Desk:
    """A document whose pages are being read; the `Origin` of its pages.

    It stays open until its last page is settled, for pages may have to be drawn again.
    """

    order: Order
    finish: Finisher
    options: Options
    bench: Bench
    say: Say
    dropped: bool = False  # nobody wants more of it
    _source: Source | None = None
    _unsettled: int = 1  # the drawing itself counts as one
    _lock: threading.Lock = field(default_factory=threading.Lock)  # a source serves one thread at a time
    _count: threading.Lock = field(default_factory=threading.Lock)

    def draw(self, more: Callable[[Leaf], bool]) -> None:
        """Open the document and hand over its pages, until `more` says to stop.

        Raises:
            EngineError: nothing can be drawn here.
        """
        try:
            for page in self._pages():
                with self._count:
                    self._unsettled += 1
                if not more(Leaf(self, page)):
                    break
        except EngineError:
            raise  # it is not settled: others may be able to draw it
        except Exception as error:  # one document must not end the others, whatever a library raises
            self.say({"refused": self.order.document, "error": in_a_line(error), "cause": cause_of(error)})
        self.settle()

    def redraw(self, number: int, mode: str) -> PageImage | None:
        """A page drawn once more; a page that came as pixels is drawn from its document, if that can be opened."""
        with self._lock:
            try:
                self._source = self._source or self._open()
                return self._source.redraw(number, mode)
            except Exception:  # whatever a library raises, the page has the pixels that it came with
                return None

    def settle(self) -> None:
        """One page less to come, or the end of the drawing."""
        with self._count:
            self._unsettled -= 1
            if self._unsettled:
                return
        with self._lock:
            if self._source:
                self._source.close()
        self.say({"closed": self.order.document})

    def _pages(self) -> Iterator[PageImage | UnreadablePage]:
        document, page = self.order.document, self.order.page
        if self.dropped:
            return
        if page is not None:
            self.say({"opened": document, "numbers": [page.number]})
            yield page
            return
        self.say({"drawing": [document, 0]})
        self._source = source = self._open()
        numbers = list(source.numbers)
        self.say({"opened": document, "numbers": numbers})
        pages = iter(source.pages())
        for number in numbers:
            if self.dropped:
                return
            with self._lock:
                self.say({"drawing": [document, number]})
                drawn = next(pages, None)
                if drawn and number == numbers[-1]:
                    next(pages, None)  # ends it, which gives the render worker back: the engine may take a while
            if drawn is None:
                raise InputError(f"{source.name} ended before page {number}", "read it again when it is whole")
            self.say({"drawn": [document, number]})
            yield drawn

    def _open(self) -> Source:
        taken = replace(self.options.of_source(), pages=self.order.pages, workers=1)
        with opened(self.order.path) as file:
            return open_source(file, taken, self.bench, self.order.name)


class Feed:
    """Pages for an engine.

    Args:
        options: how documents are read whose orders do not say; `workers` of them are drawn side by side, each by one
            render worker.
        finisher: what makes the results of an order's pages.
        say: takes the messages; called from several threads.
        give_up: takes what ends the reading as a whole (EngineError: nothing can be drawn here).
    """

    def __init__(
        self,
        options: Options,
        finisher: Callable[[Order, Options], Finisher],
        say: Say,
        give_up: Callable[[BaseException], object],
    ) -> None:
        self._options, self._finisher, self._say, self._give_up = options, finisher, say, give_up
        self._most = max(1, options.workers)
        self._bench = Bench()
        # One lock, and a condition for each kind of thread that waits: to wake them all for everything costs more than
        # many a page.
        lock = threading.Lock()
        self._ordered, self._arrived = threading.Condition(lock), threading.Condition(lock)
        self._answerable, self._room = threading.Condition(lock), threading.Condition(lock)
        self._orders: deque[Desk] = deque()
        self._desks: list[Desk] = []  # whose pages are being drawn
        self._drawn: deque[Leaf] = deque()
        self._ended = self._closed = self._nudged = False
        self._threads: list[threading.Thread] = []

    def add(self, order: Order) -> None:
        """One more document."""
        options = order.options or self._options
        desk = Desk(order, self._finisher(order, options), options, self._bench, self._say)
        with self._ordered:
            self._orders.append(desk)
            self._ended = False
            self._ordered.notify()
            self._arrived.notify()
            if len(self._threads) < self._most:
                self._threads.append(threading.Thread(target=self._draw_on, daemon=True))
                self._threads[-1].start()

    def drop(self, document: int) -> None:
        """Draw no more of a document."""
        with self._ordered:
            for desk in (*self._orders, *self._desks):
                if desk.order.document == document:
                    desk.dropped = True

    def end(self) -> None:
        """No more documents for now: the engine need not wait for more pages than are on their way."""
        with self._answerable:
            self._ended = True
            self._answerable.notify_all()

    def wait(self) -> None:
        """Until there is a document."""
        with self._arrived:
            self._arrived.wait_for(lambda: self._orders or self._desks or self._drawn)

    def nudge(self) -> None:
        """Have `pull` not wait any longer: NUDGED comes once."""
        with self._answerable:
            self._nudged = True
            self._answerable.notify_all()

    def pull(self) -> Pulled:
        """The next page, as soon as there is one; None if none is on its way and `end` was said."""
        with self._answerable:
            self._answerable.wait_for(self._may_answer)
            if self._nudged:
                self._nudged = False
                return NUDGED
            if not self._drawn:
                return None
            leaf = self._drawn.popleft()
            self._room.notify()
        origin = leaf.origin
        if isinstance(origin, Desk):
            self._say({"begun": [origin.order.document, leaf.page.number]})
        return leaf

    def close(self) -> None:
        """Stop drawing."""
        with self._ordered:
            self._closed = True
            for condition in (self._ordered, self._arrived, self._answerable, self._room):
                condition.notify_all()
        self._bench.close()

    def _may_answer(self) -> bool:
        ended = self._ended and not self._orders and not self._desks
        return bool(self._drawn) or ended or self._nudged or self._closed

    def _draw_on(self) -> None:
        try:
            while (desk := self._next_desk()) is not None:
                desk.draw(self._hand_over)
                with self._answerable:
                    self._desks.remove(desk)
                    if self._ended:
                        self._answerable.notify_all()
        except BaseException as error:  # without this thread the engine might wait for ever
            self._give_up(error)

    def _next_desk(self) -> Desk | None:
        with self._ordered:
            self._ordered.wait_for(lambda: self._orders or self._closed)
            if self._closed:
                return None
            self._desks.append(self._orders.popleft())
            return self._desks[-1]

    def _hand_over(self, leaf: Leaf) -> bool:
        """Wait until the page is wanted: of those drawn by threads no more wait than there are threads."""
        with self._room:
            self._room.wait_for(lambda: len(self._drawn) < self._most or self._closed)
            self._drawn.append(leaf)
            self._answerable.notify()
            return not self._closed


def in_a_line(error: Exception) -> str:
    """What a document's reader was raised, as the ledger has it."""
    return str(error) if isinstance(error, OcrpressError) else f"{type(error).__name__}: {error}"


def cause_of(error: Exception) -> str:
    """A word or two for it, to count by."""
    if isinstance(error, PasswordError):
        return "password"
    if isinstance(error, MemoryError):
        return MEMORY
    return "cannot be opened" if isinstance(error, OcrpressError) else "error"
