"""The engine of the service: one reading process, fed with the pages of all clients in turns. Lives in a thread.

    submit ──▶ Turns ──take──▶ Crew ═══▶ reading process
                                │ events
    Work.tell ◀──── desk ◀──────┘       guests (the jobs' ledger) have their ticks here too

An engine that cannot run any more is opened again, with growing pauses; what was to be read is told so.
"""

from __future__ import annotations

import logging
import math
import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from contextlib import ExitStack
from pathlib import Path
from typing import Literal, TypeVar

from ocrpress.document import PageResult
from ocrpress.errors import EngineError, InputError, OcrpressError
from ocrpress.jobs.reading.crew import TICK, Crew
from ocrpress.jobs.reading.link import COMMAND
from ocrpress.jobs.reading.order import Done, Event, Opened, Order, Refused
from ocrpress.jobs.reading.settings import Settings
from ocrpress.server.desk.board import Board
from ocrpress.server.desk.facts import EngineFacts, Guest, Load
from ocrpress.server.desk.pace import Pace
from ocrpress.server.desk.work import Over, Work
from ocrpress.server.errors import Draining, Full
from ocrpress.sources.pages import ranges

Answer = TypeVar("Answer")

PAUSES = (1.0, 2.0, 5.0, 10.0, 30.0, 60.0)  # seconds before a broken engine is opened again; the last one stays
HEALTHY = 120.0  # seconds that an engine must have been open for the pauses to begin anew
DOUBT = 1.0  # seconds that an engine's error may be waiting for another page to show whose fault it was
CLOSING = 30.0  # seconds that the thread may take to end
SOON = 2  # seconds after which to come again when nothing is known

_log = logging.getLogger("ocrpress.server")


class Desk:
    """The engine of the service; the `Orders` of its crew.

    Args:
        settings: of the reading process.
        queue: most documents, other than jobs, at a time.
        guests: live in this thread.
        watch: told of every page that was read or failed, and the cause of failures that no attempt tells of; in the
            desk's thread.
        log: takes the reading process's stderr.
        command: what runs the reading process.

    Attributes:
        state: "starting", "ready", "broken" (it is tried again, with growing pauses) or "closed".
        error: why it is broken; or what it ended with.
        engine: None before it was first open.
    """

    exhausted = False

    def __init__(
        self,
        settings: Settings,
        queue: int,
        guests: Sequence[Guest] = (),
        watch: Callable[[PageResult, str], object] | None = None,
        log: Path | None = None,
        command: Sequence[str] = COMMAND,
    ) -> None:
        self.state: Literal["starting", "ready", "broken", "closed"] = "starting"
        self.error: OcrpressError | None = None
        self.engine: EngineFacts | None = None
        self._settings, self._queue, self._guests = settings, queue, list(guests)
        self._watch, self._log, self._command = watch, log, command
        self._board = Board(max(1, settings.options.workers - 1))
        self._lock = threading.Lock()  # over the state, the crew and the calls
        self._calls: deque[tuple[Callable[[], object], Future[object]]] = deque()
        self._crew: Crew | None = None
        self._pace = Pace()
        self._ticked, self._since = 0.0, math.inf
        self._lost = 0
        self._closing = threading.Event()
        self._opened: Future[None] = Future()
        self._thread = threading.Thread(target=self._run, name="ocrpress-desk", daemon=True)

    @property
    def restarts(self) -> int:
        """How often a reading process was lost."""
        crew = self._crew
        return self._lost + (crew.lost if crew else 0)

    def start(self) -> None:
        """Start the thread, and return when the engine is open. Raises OcrpressError if it cannot be opened."""
        self._thread.start()
        self._opened.result()

    def submit(self, work: Work) -> None:
        """Take a document; from any thread. Raises Full, or Draining when the engine is not to be had."""
        with self._lock:
            if self.state != "ready" or self._closing.is_set():
                raise self._unready()
            if not self._board.add(work, self._queue):
                raise self._full()
            crew = self._crew
        if crew:
            crew.ring()

    def check_room(self) -> None:
        """Raise what `submit` would, now: whoever has not sent a document yet need not send it in vain."""
        if self.state != "ready" or self._closing.is_set():
            raise self._unready()
        if self._board.counts().documents >= self._queue:
            raise self._full()

    def cancel(self, work: Work) -> None:
        """Its client has gone; from any thread. Pages that were not begun are not read. Safe to call twice."""
        work.cancelled = True
        self._board.remove(work)

    def call(self, function: Callable[[], Answer]) -> Future[Answer]:
        """Have something done in the desk's thread, soon. The future raises Draining if that has ended."""
        future: Future[Answer] = Future()
        with self._lock:
            if self.state == "closed":
                future.set_exception(self._unready())
                return future
            self._calls.append((function, future))  # type: ignore[arg-type]
            crew = self._crew
        if crew:
            crew.ring()
        return future

    def load(self) -> Load:
        """How busy it is; from any thread."""
        counts = self._board.counts()
        return Load(
            counts.documents, counts.jobs, counts.waiting, counts.reading, counts.clients, self._pace.rate()
        )  # fmt: skip

    def close(self) -> None:
        """Stop reading: works that are not over are told Over(Draining), jobs are told nothing. Safe to call twice."""
        self._closing.set()
        crew = self._crew
        if crew:
            crew.ring()
        if self._thread.ident is None:
            self._end()
        else:
            self._thread.join(CLOSING)

    def take(self) -> Order | None:
        """The next pages for the crew."""
        while given := self._board.take():
            work, numbers = given.turn.work, given.turn.numbers
            if given.is_first and work.numbers is not None:
                self._tell(work, Opened(0, tuple(work.numbers)))
            if numbers or work.numbers is None:
                pages = ranges(numbers) if numbers else work.options.pages
                return Order(given.key, work.path, work.name, pages, options=work.options)
            self._over(work)
        return None

    def _run(self) -> None:
        """The thread."""
        with ExitStack() as opened:
            try:
                for guest in self._guests:
                    guest.open()
                    opened.callback(self._careful, guest.close)
                self._serve_on()
            except BaseException as error:
                self.error = _as_ours(error)
                if self._opened.done():
                    _log.exception("the desk has ended")
                else:
                    self._opened.set_exception(error)
            finally:
                self._end()

    def _serve_on(self) -> None:
        """Until the desk is closed. The pauses grow with every failure, until the engine has run for a while."""
        failures = 0
        while not self._closing.is_set() and not self._serve():
            failures = 0 if time.monotonic() - self._since > HEALTHY else failures
            self._rest(PAUSES[min(failures, len(PAUSES) - 1)])
            failures += 1

    def _serve(self) -> bool:
        """Read until the engine breaks, or the desk is closed; then True."""
        crew, self._since = Crew(self._settings, self._command, self._log, DOUBT), math.inf
        try:
            with self._lock:
                self._crew = crew
            for _ in crew.opening():
                if self._tick():
                    return True
            self._ready(crew)
            for event in crew.read(self):
                if isinstance(event, Done | Opened | Refused):
                    self._take_event(event)
                elif self._tick():
                    return True
            return True
        except Exception as error:
            if not self._opened.done():
                raise
            if not isinstance(error, OcrpressError):
                _log.exception("in the desk's thread")
            self._break(_as_ours(error).with_traceback(None))  # which would hold the crew
            return False
        finally:
            with self._lock:
                self._crew = None
                self._lost += crew.lost
            crew.close()

    def _ready(self, crew: Crew) -> None:
        self.engine = EngineFacts(crew.engine, crew.mode, crew.capabilities, crew.about)
        with self._lock:
            self.state, self.error = "ready", None
        self._since = time.monotonic()
        if not self._opened.done():
            self._opened.set_result(None)

    def _break(self, error: OcrpressError) -> None:
        """The engine does not run: who waits for it is told so, and nobody is let in."""
        _log.error("the engine does not run: %s", error)
        with self._lock:
            self.state, self.error = "broken", error
        for work in self._board.take_back():
            self._over(work, error, "engine error")

    def _rest(self, seconds: float) -> None:
        """Wait before the engine is tried again."""
        until = time.monotonic() + seconds
        while time.monotonic() < until and not self._tick():
            time.sleep(TICK / 2)

    def _end(self) -> None:
        with self._lock:
            self.state = "closed"
            calls, self._calls = self._calls, deque()
        for work in self._board.take_back():
            if work.durable:
                self._board.remove(work)
            self._over(work, self._unready(), "stopped")
        for _, future in calls:
            if future.set_running_or_notify_cancel():
                future.set_exception(self._unready())
        if not self._opened.done():
            self._opened.set_exception(self._unready())

    def _tick(self) -> bool:
        """Do what others want done here. Is the desk to be closed?"""
        while self._calls:
            with self._lock:
                function, future = self._calls.popleft()
            if future.set_running_or_notify_cancel():
                try:
                    future.set_result(function())
                except BaseException as error:
                    future.set_exception(error)
        for key in self._board.dropped():
            if self._crew:
                self._crew.drop(key)
        now = time.monotonic()
        if now - self._ticked >= TICK:
            self._ticked = now
            for guest in self._guests:
                self._careful(guest.tick)
        return self._closing.is_set()

    def _take_event(self, event: Event) -> None:
        if isinstance(event, Opened):
            self._pages_known(event)
        elif isinstance(event, Done):
            self._page(event.document, event.result, event.cause)
        elif isinstance(event, Refused):
            self._refused(event)

    def _pages_known(self, event: Opened) -> None:
        work, absent = self._board.opened(event.document, event.numbers)
        for number in absent:
            error = "the page was not there when the document was read: it is another file than before"
            self._page(event.document, self._failed(number, error), "changed")
        if work:
            self._tell(work, Opened(0, event.numbers))
        if work and not event.numbers:
            self._over(work)

    def _failed(self, number: int, error: str, mode: str | None = None) -> PageResult:
        mode = mode or self._settings.options.mode or ""
        return PageResult(number, "failed", engine=self._settings.engine, mode=mode, error=error)

    def _page(self, key: int, result: PageResult, cause: str) -> None:
        self._pace.page()
        if watch := self._watch:
            self._careful(lambda: watch(result, cause))
        work, is_last = self._board.came(key, result.number)
        if work:
            self._tell(work, Done(0, result, cause))
        if work and is_last:
            self._over(work)

    def _refused(self, event: Refused) -> None:
        """Pages that are known are failed, each in its place; without any, the document is refused."""
        found = self._board.missing(event.document)
        if found is None:
            return
        work, missing = found
        for number in missing:
            self._page(event.document, self._failed(number, event.error, work.options.mode), event.cause)
        if not missing:
            self._over(work, InputError(event.error, ""), event.cause)

    def _over(self, work: Work, error: OcrpressError | None = None, cause: str = "") -> None:
        if self._board.remove(work):
            self._tell(work, Over(error, cause))

    def _tell(self, work: Work, told: Opened | Done | Over) -> None:
        if not work.cancelled:
            self._careful(lambda: work.tell(told))

    def _careful(self, function: Callable[[], object]) -> None:
        """Whatever one client's affairs raise, the others are served."""
        try:
            function()
        except Exception:
            _log.exception("in the desk's thread")

    def _unready(self) -> Draining:
        if self.state == "broken":
            return Draining("the engine does not run; it is tried again", 5 * SOON)  # why, the log says
        what = "the engine is not open yet" if self.state == "starting" else "the service is being stopped"
        return Draining(what, SOON)

    def _full(self) -> Full:
        return Full(f"{self._queue} documents are being read or wait already", self._wait())

    def _wait(self) -> int:
        """Seconds until there may be room: what a place takes to get free at the present rate."""
        counts, rate = self._board.counts(), self._pace.rate()
        pages = (counts.waiting + counts.reading) / max(1, counts.documents + counts.jobs)
        return max(1, min(60, math.ceil(pages / rate))) if rate else SOON


def _as_ours(error: BaseException) -> OcrpressError:
    return error if isinstance(error, OcrpressError) else EngineError(f"{type(error).__name__}: {error}")
