"""What a work is told, as a stream of a loop: every way in which it can end gives the work's place back."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Awaitable, Callable
from contextlib import aclosing
from dataclasses import dataclass, field

import pytest

from ocrpress.document import PageResult
from ocrpress.errors import EngineError, InputError, OcrpressError
from ocrpress.jobs.reading.order import Done, Opened
from ocrpress.pipeline import Options
from ocrpress.server.desk.follow import follow
from ocrpress.server.desk.work import Over, Told, Work
from ocrpress.server.errors import Draining, Full, TimeLimit

OPENED = Opened(0, (1, 2))
PAGES = [Done(0, PageResult(number, "ok")) for number in (1, 2)]


@dataclass
class Played:
    """A desk: tells works what it is given, from a thread of its own."""

    refuses: OcrpressError | None = None
    submitted: list[Work] = field(default_factory=list)
    cancelled: list[Work] = field(default_factory=list)

    def submit(self, work: Work) -> None:
        if self.refuses:
            raise self.refuses
        self.submitted.append(work)

    def cancel(self, work: Work) -> None:
        self.cancelled.append(work)

    def tell(self, *told: Told, pause: float = 0.0) -> threading.Thread:
        def run() -> None:
            for each in told:
                time.sleep(pause)
                self.submitted[-1].tell(each)

        thread = threading.Thread(target=run)
        thread.start()
        return thread

    def follow(self, seconds: float = 20.0):
        return follow(self, lambda tell: Work("/x", "a.pdf", Options(), "a", (1, 2), tell), seconds)  # type: ignore[arg-type]


def run(desk: Played, reading: Callable[[], Awaitable[object]]) -> object:
    """In a loop; whatever happens, the work is cancelled once, which the desk takes for what is over too."""
    with asyncio.Runner() as runner:
        try:
            return runner.run(reading())  # type: ignore[arg-type]
        finally:
            assert desk.cancelled == desk.submitted


def test_events_come_as_they_are_told() -> None:
    desk = Played()

    async def reading() -> list[Told]:
        found: list[Told] = []
        async with aclosing(desk.follow()) as events:
            first = asyncio.ensure_future(anext(events))
            await asyncio.sleep(0.01)
            thread = desk.tell(OPENED, *PAGES, Over(), pause=0.001)
            found = [await first, *[event async for event in events]]
            thread.join()
        return found

    assert run(desk, reading) == [OPENED, *PAGES]


@pytest.mark.parametrize("error", [InputError("torn"), EngineError("it is gone", "reboot"), Draining("the end", 2)])
def test_what_ends_a_work_is_raised_to_each_who_follows_it_by_itself(error: OcrpressError) -> None:
    """One error of the engine is told to all: its traceback must not grow with them."""
    desk = Played()
    raised: list[OcrpressError] = []

    async def reading() -> None:
        for _ in range(3):
            with pytest.raises(type(error), match=error.message) as found:
                async with aclosing(desk.follow()) as events:
                    asyncio.get_running_loop().call_later(0.01, lambda: desk.tell(OPENED, Over(error, "cause")))
                    async for _event in events:
                        pass
            raised.append(found.value)

    run(desk, reading)
    assert [str(each) for each in raised] == [str(error)] * 3
    assert len({id(each) for each in raised}) == 3
    assert error.__traceback__ is None


@pytest.mark.parametrize("error", [Full("full", 3), Draining("closed", 3)])
def test_what_is_not_taken_is_raised_at_once(error: OcrpressError) -> None:
    desk = Played(refuses=error)

    async def reading() -> None:
        with pytest.raises(type(error)):
            async with aclosing(desk.follow()) as events:
                await anext(events)

    run(desk, reading)


@pytest.mark.parametrize("pages", [0, 1])
def test_a_work_that_takes_too_long_is_over(pages: int) -> None:
    desk = Played()

    async def reading() -> int:
        seen, started = 0, time.monotonic()
        with pytest.raises(TimeLimit, match=r"a\.pdf was not read within 0.1 s"):
            async with aclosing(desk.follow(0.1)) as events:
                asyncio.get_running_loop().call_later(0.01, lambda: desk.tell(OPENED, *PAGES[:pages]))
                async for _event in events:
                    seen += 1
        assert 0.09 < time.monotonic() - started < 10
        return seen

    assert run(desk, reading) == 1 + pages


def test_the_limit_does_not_strike_while_a_slow_client_takes_a_page() -> None:
    """What was read in time is handed on, and nothing but TimeLimit is raised, and only here."""
    desk = Played()

    async def reading() -> list[Told]:
        found: list[Told] = []
        async with aclosing(desk.follow(0.1)) as events:
            asyncio.get_running_loop().call_later(0.01, lambda: desk.tell(OPENED, *PAGES, Over()))
            async for event in events:
                await asyncio.sleep(0.1)
                found.append(event)
        return found

    assert run(desk, reading) == [OPENED, *PAGES]

    async def late() -> int:
        seen = 0
        with pytest.raises(TimeLimit):
            async with aclosing(desk.follow(0.1)) as events:
                asyncio.get_running_loop().call_later(0.01, lambda: desk.tell(OPENED))
                async for _event in events:
                    await asyncio.sleep(0.2)
                    seen += 1
        await asyncio.sleep(0)  # no cancellation is left over
        return seen

    assert run(desk, late) == 1


def test_who_leaves_early_takes_the_work_along() -> None:
    desk = Played()

    async def reading() -> None:
        async with aclosing(desk.follow()) as events:
            asyncio.get_running_loop().call_later(0.01, lambda: desk.tell(OPENED, *PAGES))
            async for event in events:
                if event is PAGES[0]:
                    break
            assert not desk.cancelled
        assert desk.cancelled

    run(desk, reading)


def test_a_task_that_is_cancelled_takes_the_work_along() -> None:
    desk = Played()

    async def reading() -> None:
        async def take() -> None:
            async with aclosing(desk.follow()) as events:
                async for _event in events:
                    pass

        task = asyncio.create_task(take())
        while not desk.submitted:
            await asyncio.sleep(0.005)
        desk.tell(OPENED).join()
        await asyncio.sleep(0.01)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert desk.cancelled

    run(desk, reading)


def test_what_is_told_after_the_loop_has_ended_is_told_to_nobody() -> None:
    desk = Played()

    async def reading() -> None:
        async with aclosing(desk.follow(0.02)) as events:
            with pytest.raises(TimeLimit):
                await anext(events)

    run(desk, reading)
    desk.submitted[0].tell(Over())
