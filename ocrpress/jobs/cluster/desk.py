"""Single pages for a crew, asked for by several threads that wait for them."""

from __future__ import annotations

import itertools
import threading
from collections import deque
from concurrent.futures import Future
from dataclasses import replace
from typing import TYPE_CHECKING

from ocrpress.document import PageResult
from ocrpress.errors import EngineError, OcrpressError
from ocrpress.jobs.reading.order import Done, Order, Refused

if TYPE_CHECKING:
    from ocrpress.jobs.reading.crew import Crew


class PageDesk:
    """The `Orders` of a crew that reads single pages, each asked for with a Future."""

    exhausted = False

    def __init__(self, crew: Crew) -> None:
        self._crew = crew
        self._keys = itertools.count(1)
        self._lock = threading.Lock()
        self._waiting: deque[Order] = deque()
        self._asked: dict[int, tuple[int, Future[Done]]] = {}  # the page's number, and who waits for it
        self._broken: OcrpressError | None = None
        threading.Thread(target=self._run, daemon=True).start()

    def ask(self, order: Order, number: int) -> Future[Done]:
        """Have a page read. The future raises what ends the crew."""
        future: Future[Done] = Future()
        with self._lock:
            if self._broken:
                future.set_exception(self._broken)
                return future
            key = next(self._keys)  # a page may be here twice: Ray does it again where it had lost sight of it
            self._asked[key] = (number, future)
            self._waiting.append(replace(order, document=key))
        return future

    def take(self) -> Order | None:
        """The next page."""
        return self._waiting.popleft() if self._waiting else None

    def _run(self) -> None:
        try:
            for event in self._crew.read(self):
                if isinstance(event, Done):
                    self._asked.pop(event.document)[1].set_result(event)
                elif isinstance(event, Refused) and event.document in self._asked:
                    number, future = self._asked.pop(event.document)
                    failed = PageResult(number, "failed", error=event.error)
                    future.set_result(Done(event.document, failed, event.cause))
        except Exception as error:
            with self._lock:
                self._broken = (
                    error if isinstance(error, OcrpressError) else EngineError(f"{type(error).__name__}: {error}")
                )
                for _, future in self._asked.values():
                    future.set_exception(self._broken)
