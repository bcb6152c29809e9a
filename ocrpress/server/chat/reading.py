"""The documents of one request, side by side through the desk; their pages in order. Knows nothing of chats' words."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Sequence
from contextlib import aclosing, asynccontextmanager
from typing import TYPE_CHECKING

import anyio

from ocrpress.jobs.reading.order import Done, Opened
from ocrpress.server.desk.follow import follow
from ocrpress.server.errors import Full, TimeLimit

if TYPE_CHECKING:
    from ocrpress.document import PageResult
    from ocrpress.server.desk.desk import Desk
    from ocrpress.server.desk.work import Told, Work

SIDE_BY_SIDE = 4  # documents of one request: enough to fill a batch, and others have a place too
LONGEST_NAP = 5.0  # seconds between two tries to get a place

WorkOf = Callable[[Callable[["Told"], object]], "Work"]
Pages = AsyncGenerator["PageResult", None]
_Events = asyncio.Queue[Opened | Done | Exception | None]  # None ends a document, an error too


@asynccontextmanager
async def reading(desk: Desk, works: Sequence[WorkOf], seconds: float) -> AsyncIterator[Pages]:
    """Have documents read: gives the pages of the first in their order, then those of the second, and so on.

    However it ends, what is under way then is cancelled and its places are free.

    Args:
        works: what makes each work, given what it shall be told through.
        seconds: for all of it.

    Raises:
        Full, Draining: from the pages; the desk does not take the first one. TimeLimit: it took longer. What else a
            work ends with.
    """
    last = asyncio.get_running_loop().time() + seconds
    queues = [_Events() for _ in works]
    places = asyncio.Semaphore(SIDE_BY_SIDE)
    tasks = [
        asyncio.create_task(_read(desk, work_of, queue, places, last, patient=number > 0))
        for number, (work_of, queue) in enumerate(zip(works, queues, strict=True))
    ]
    try:
        yield _in_order(queues)
    finally:
        for task in tasks:
            task.cancel()
        with anyio.CancelScope(shield=True):
            await asyncio.wait(tasks)


async def _read(
    desk: Desk, work_of: WorkOf, queue: _Events, places: asyncio.Semaphore, last: float, patient: bool
) -> None:
    """One work into its queue. Those behind the first wait for a place, which those before them may have taken."""
    async with places:
        while True:
            left = last - asyncio.get_running_loop().time()
            try:
                if left <= 0:
                    raise TimeLimit("the request was not read in time", "send fewer pages, or use /v1/jobs")
                async with aclosing(follow(desk, work_of, left)) as events:
                    async for event in events:
                        queue.put_nowait(event)
                queue.put_nowait(None)
            except Full as full:
                if patient:
                    await asyncio.sleep(min(full.retry_after, LONGEST_NAP, left))
                    continue
                queue.put_nowait(full)
            except Exception as error:
                queue.put_nowait(error)
            return


async def _in_order(queues: Sequence[_Events]) -> Pages:
    for queue in queues:
        awaited: deque[int] = deque()
        ready: dict[int, PageResult] = {}
        while (event := await queue.get()) is not None:
            if isinstance(event, Exception):
                raise event
            if isinstance(event, Opened):
                awaited.extend(event.numbers)
            else:
                ready[event.result.number] = event.result
            while awaited and awaited[0] in ready:
                yield ready.pop(awaited.popleft())
