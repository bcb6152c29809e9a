"""What a work is told, as an asynchronous stream: events cross from the desk's thread to the loop of the caller."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Callable
from contextlib import suppress
from copy import copy
from typing import TYPE_CHECKING

from ocrpress.jobs.reading.order import Done, Opened
from ocrpress.server.desk.work import Over, Told, Work
from ocrpress.server.errors import TimeLimit

if TYPE_CHECKING:
    from ocrpress.server.desk.desk import Desk


async def follow(
    desk: Desk, work_of: Callable[[Callable[[Told], object]], Work], seconds: float
) -> AsyncGenerator[Opened | Done, None]:
    """Submit a work and give what it is told, until all its pages have come.

    Close it (`contextlib.aclosing`): however it ends, the work is cancelled and frees its place.

    Args:
        work_of: makes the work, given what it shall be told through.
        seconds: for all of it, from now on. Events that are there are given after that too.

    Raises:
        Full, Draining: the desk does not take it. TimeLimit: it took longer. What `Over` says, if it says so.
    """
    loop, events = asyncio.get_running_loop(), asyncio.Queue[Told]()
    end = loop.time() + seconds

    def tell(told: Told) -> None:
        with suppress(RuntimeError):  # the loop has gone
            loop.call_soon_threadsafe(events.put_nowait, told)

    work = work_of(tell)
    desk.submit(work)
    try:
        while True:
            async with asyncio.timeout_at(end):  # not around the yield: it would cancel whatever is done there
                told = await events.get()
            if isinstance(told, Over):
                if told.error:
                    raise copy(told.error)  # it is told to many, and a traceback grows with each who raises it
                return
            yield told
    except TimeoutError:
        raise TimeLimit(
            f"{work.name} was not read within {seconds:g} s", "send fewer pages, or use /v1/jobs, which has no limit"
        ) from None
    finally:
        desk.cancel(work)
