"""Draws pages, and counts what modes cost, in processes of its own: at most two, limited in time and memory.

Uploads are strangers' files. What crashes or hangs here costs one answer, and no page that is being read waits for it.
"""

from __future__ import annotations

import math
import sys
import threading
import time
from collections.abc import Sequence
from functools import cached_property, partial
from typing import Any

from anyio import CapacityLimiter, to_thread

from ocrpress.errors import InputError
from ocrpress.server.errors import Draining, TimeLimit
from ocrpress.sources.pool import Worker, ask
from ocrpress.sources.protocol import Message, Reply, as_exception

COMMAND = (sys.executable, "-P", "-m", "ocrpress.server.jobs.drawing")
SIDE_BY_SIDE = 2
PAGE_SECONDS = 20.0  # for one page
COUNT_SECONDS = 120.0  # for the modes of a document
MOST_REQUESTS = 500  # then a process is replaced: what libraries leak goes with it
IDLE_SECONDS = 60.0  # after which a process is ended


class Studio:
    """The processes that draw.

    Args:
        command: what runs one.
    """

    def __init__(self, command: Sequence[str] = COMMAND) -> None:
        self._command = command
        self._lock = threading.Lock()
        self._idle: list[tuple[Worker, float]] = []
        self._closed = False

    async def draw(
        self,
        path: str,
        name: str,
        page: int,
        width: int,
        points: float = 0.0,
        rotation: int = 0,
        password: str | None = None,
    ) -> bytes:
        """A page as WebP, as wide as that if it has so many pixels.

        Args:
            name: what its client calls the document.
            width: in pixels, of the page once it stands upright; `points` is the same in points, 0 if it is not known.
            rotation: clockwise degrees by which it is turned.

        Raises:
            InputError, PageError, UsageError: it cannot be drawn, or is not there. TimeLimit: that takes too long.
            Draining: the service is being stopped.
        """
        request = {
            "path": path, "name": name, "page": page, "password": password, "width": width, "points": points,
            "rotation": rotation,
        }  # fmt: skip
        return bytes((await self._ask(request, PAGE_SECONDS)).pixels)

    async def costs(
        self, path: str, name: str, pages: str | None, password: str | None, max_tiles: int | None
    ) -> dict[str, Any]:
        """What each mode would cost a document: `mode_costs.Costs.as_object`. Raises as `draw`."""
        request = {"path": path, "name": name, "pages": pages, "password": password, "max_tiles": max_tiles}
        found: dict[str, Any] = (await self._ask(request, COUNT_SECONDS)).message["costs"]
        return found

    def rest(self) -> None:
        """End processes that have had nothing to do for a while. From any thread."""
        now = time.monotonic()
        with self._lock:
            tired = [worker for worker, since in self._idle if now - since > IDLE_SECONDS]
            self._idle = [(worker, since) for worker, since in self._idle if worker not in tired]
        for worker in tired:
            worker.stop()

    def close(self) -> None:
        """End those that are here, and each that comes back. Safe to call twice."""
        with self._lock:
            idle, self._idle, self._closed = self._idle, [], True
        for worker, _ in idle:
            worker.stop()

    @cached_property
    def _places(self) -> CapacityLimiter:
        return CapacityLimiter(SIDE_BY_SIDE)

    async def _ask(self, request: dict[str, Any], seconds: float) -> Reply:
        asked = {**request, "seconds": math.ceil(seconds)}
        reply = await to_thread.run_sync(partial(self._answer, asked, seconds), limiter=self._places)
        if reply.failure == "late":
            raise TimeLimit(f"that takes longer than {seconds:g} s", "")
        if reply.failure == "lost":
            raise InputError(f"the page cannot be drawn ({reply.message['message']})", "")
        if reply.failure:
            raise as_exception(reply)
        return reply

    def _answer(self, request: Message, seconds: float) -> Reply:
        worker = self._take()
        try:
            reply = ask(worker, request, seconds)
        except BaseException:
            worker.stop()
            raise
        if reply.failure in {"late", "lost"}:
            worker.stop()
        else:
            self._give(worker)
        return reply

    def _take(self) -> Worker:
        while True:
            with self._lock:
                if self._closed:
                    raise Draining("the service is being stopped", 10)
                worker = self._idle.pop()[0] if self._idle else None
            if worker is None:
                return Worker(self._command, "the process that draws it")
            if worker.alive:
                return worker
            worker.stop()

    def _give(self, worker: Worker) -> None:
        with self._lock:
            if not self._closed and worker.requests < MOST_REQUESTS:
                self._idle.append((worker, time.monotonic()))
                return
        worker.stop()
