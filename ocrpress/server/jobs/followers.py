"""Who follows jobs: server-sent events of the pages that are there, then of those that come.

    desk's thread ──wake──▶ Wire of the job ──▶ its followers, however many: each page is read and written down once

A follower holds nothing but how far it is. Followers of one job that are at the same place share what is sent; one that
is behind has the pages from the ledger, a few at a time, when it can take them. All but `wake` is for the event loop.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections import OrderedDict
from collections.abc import AsyncGenerator, Callable
from contextlib import aclosing
from typing import TYPE_CHECKING

from ocrpress.server.answers.sse import BEAT_SECONDS, HEARTBEAT, encode
from ocrpress.server.answers.writing import page_said
from ocrpress.server.errors import Draining, Full, Gone
from ocrpress.server.jobs.job import Progress

if TYPE_CHECKING:
    from ocrpress.document import PageResult
    from ocrpress.server.jobs.archive import Archive
    from ocrpress.server.jobs.record import Record

MOST = 2000  # followers
AT_ONCE = 8  # pages that are read together
RECENT_BYTES = 4 << 20  # of events that followers of a job share
LOOK = 1.0  # seconds between two looks whether the service is being stopped


class Wire:
    """What the followers of a job have in common.

    Attributes:
        followers: how many there are.
        order: the pages that came, in the order in which they are told.
        job: the event that says how the job is; `found` is how far it is.
    """

    def __init__(self, job: str, archive: Archive) -> None:
        self.followers = 0
        self.order: list[int] = []
        self.job = b""
        self.found = Progress()
        self.gone = False
        self._id, self._archive = job, archive
        self._done = b""
        self._reading = asyncio.Lock()
        self._news = asyncio.Event()
        self._stale = True
        self._recent: OrderedDict[int, bytes] = OrderedDict()
        self._bytes = 0

    @property
    def over(self) -> bool:
        """Will no more come?"""
        return self.found.state in ("done", "failed")

    @property
    def done(self) -> bytes:
        """The event that ends it."""
        return self._done

    def wake(self) -> None:
        """There is something new."""
        self._stale = True
        self._news.set()

    async def wait(self, seconds: float) -> None:
        """Until there is something new, at most so long."""
        news = self._news
        if not self._stale:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(seconds):
                    await news.wait()

    async def refresh(self) -> None:
        """Know how far the job is; one follower asks for all. Raises Draining, OutputError."""
        async with self._reading:
            if not self._stale or self.gone:
                return
            self._stale, self._news = False, asyncio.Event()
            try:
                job, self.found = await self._archive.progress(self._id)
            except Gone:
                self.gone = True
                return
            except BaseException:
                self._stale = True
                raise
            known = set(self.order)
            self.order += [number for number in self.found.order if number not in known]
            self.job = encode("job", {"job": job})
            if self.over:
                self._done = encode("done", {"job": job})

    async def page(self, place: int) -> bytes | None:
        """The event of the page at that place of the order; None if it is there no more. Raises as `refresh`."""
        if place not in self._recent:
            async with self._reading:
                if place not in self._recent:
                    await self._fetch(place)
        return self._recent.get(place)

    async def _fetch(self, place: int) -> None:
        numbers = self.order[place : place + AT_ONCE]
        places = {number: place + index for index, number in enumerate(numbers)}

        def event(page: PageResult, record: Record) -> bytes:
            return encode("page", page_said(page, record.name, record.writing), places[page.number] + 1)

        events = await self._archive.pages(self._id, self.found.document, numbers, event)
        for number, found in events.items():
            self._recent[places[number]] = found
            self._bytes += len(found)
        while self._bytes > RECENT_BYTES and len(self._recent) > AT_ONCE:
            self._bytes -= len(self._recent.popitem(last=False)[1])


class Followers:
    """All followers of all jobs."""

    def __init__(self, archive: Archive) -> None:
        self._archive = archive
        self._wires: dict[str, Wire] = {}
        self._loop: asyncio.AbstractEventLoop | None = None
        self._count = 0

    def wake(self, job: str) -> None:
        """There is something new of a job, in the ledger; or it is gone. From any thread."""
        if self._loop and job in self._wires:  # most jobs are followed by nobody
            with contextlib.suppress(RuntimeError):  # the loop is closed
                self._loop.call_soon_threadsafe(self._wake, job)

    def _wake(self, job: str) -> None:
        wire = self._wires.get(job)
        if wire:
            wire.wake()

    def follow(self, job: str, after: int, stopping: Callable[[], bool]) -> AsyncGenerator[bytes, None]:
        """The events of a job: how it is, pages, and how it ended; comments where nothing happens for a while.

        It ends early, without the last event, when the service is being stopped or the job is deleted.

        Args:
            after: how many pages the follower has had already: the id of the last event.
            stopping: is the service being stopped?

        Raises:
            Full: there are too many followers.
        """
        if self._count >= MOST:
            raise Full(f"{MOST} requests follow jobs already", 30)
        return self._follow(job, after, stopping)

    async def _follow(self, job: str, after: int, stopping: Callable[[], bool]) -> AsyncGenerator[bytes, None]:
        self._loop = asyncio.get_running_loop()
        wire = self._wires.setdefault(job, Wire(job, self._archive))
        self._count += 1
        wire.followers += 1
        try:
            async with aclosing(_events(wire, after, stopping)) as events:
                async for event in events:
                    yield event
        finally:
            self._count -= 1
            wire.followers -= 1
            if not wire.followers and self._wires.get(job) is wire:
                del self._wires[job]


async def _events(wire: Wire, after: int, stopping: Callable[[], bool]) -> AsyncGenerator[bytes, None]:
    place, state, said = after, None, time.monotonic()
    while not stopping():
        try:
            await wire.refresh()
        except Draining:  # the ledger is being made anew
            await asyncio.sleep(LOOK)
            continue
        if wire.gone:
            return
        place = min(place, len(wire.order))  # what was told of a ledger that was lost since may be more
        if state is None or (wire.found.state != state and not wire.over):
            state, said = wire.found.state, time.monotonic()
            yield wire.job
        ends, done = wire.over, wire.done
        while place < len(wire.order) and not stopping():
            event = await wire.page(place)
            place += 1
            if event:
                yield event
                said = time.monotonic()
        if ends:
            if not stopping():
                yield done
            return
        await wire.wait(LOOK)
        if time.monotonic() - said >= BEAT_SECONDS:
            said = time.monotonic()
            yield HEARTBEAT
