"""A thread with an event loop, in which many answers are awaited at a time.

One loop rather than a thread a page: what is awaited can then be given up at once and its connection closed, and a time
limit holds for a whole answer, however slowly it drips. A thread that blocks in a read can do neither.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Awaitable, Callable, Coroutine
from concurrent.futures import CancelledError, Future
from typing import Any, TypeVar

Found = TypeVar("Found")

GRACE = 5.0  # seconds for connections to close; after that the thread is left behind


class Background:
    """The thread starts at once and ends with `close`; it never keeps the program from ending."""

    def __init__(self) -> None:
        self._closed = False
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="ocrpress-server", daemon=True)
        self._thread.start()

    def start(self, work: Coroutine[Any, Any, Found]) -> Future[Found]:
        """Begin to await `work`. Cancelling the future cancels the work. Raises CancelledError after `close`."""
        if self._closed:
            work.close()
            raise CancelledError
        return asyncio.run_coroutine_threadsafe(work, self._loop)

    def close(self, at_last: Callable[[], Awaitable[object]]) -> None:
        """Cancel all work, await `at_last`, end the thread. To be called once."""
        self._closed = True
        asyncio.run_coroutine_threadsafe(self._wind_up(at_last), self._loop)
        self._thread.join(GRACE)
        if not self._thread.is_alive():
            self._loop.close()

    async def _wind_up(self, at_last: Callable[[], Awaitable[object]]) -> None:
        try:
            work = asyncio.all_tasks() - {asyncio.current_task()}
            for task in work:
                task.cancel()
            await asyncio.gather(*work, return_exceptions=True)
            await at_last()
        finally:
            self._loop.stop()
