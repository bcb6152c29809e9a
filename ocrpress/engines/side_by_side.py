"""Pages answered side by side: requests are pulled in a thread of their own, answers come as they are ready.

So an engine may be fed for ever: a request that is long in coming holds up no answer. Knows nothing of engines.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future
from queue import SimpleQueue
from types import TracebackType
from typing import Self

from ocrpress.document import Completion, Request

PATIENCE = 5.0  # seconds that closing waits for a source that is in the middle of a page


class SideBySide:
    """Requests under way; a context, iterated once: gives the futures in the order in which they are done.

    Args:
        start: begins to answer a request; called in the pulling thread.
        most: requests that may be out, from being pulled until their future was given.

    Attributes:
        under_way: the futures that were not given yet and the one given last, with the keys of their pages.
    """

    def __init__(self, requests: Iterable[Request], start: Callable[[Request], Future[Completion]], most: int) -> None:
        self._requests, self._start = iter(requests), start
        self._room = threading.Semaphore(most)
        self._done: SimpleQueue[Future[Completion] | None] = SimpleQueue()  # None: no more are started
        self._raised: BaseException | None = None
        self._closed = False
        self.under_way: dict[Future[Completion], int] = {}
        self._thread = threading.Thread(target=self._pull, name="ocrpress-requests", daemon=True)
        self._thread.start()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Start no more, cancel what is under way; waits a little for a page that the source is in the middle of."""
        self.stop()
        self._thread.join(PATIENCE)
        for future in list(self.under_way):
            future.cancel()

    def __iter__(self) -> Iterator[Future[Completion]]:
        """Raises whatever the source raised, once all pages before it were answered."""
        more = True
        while more or self.under_way:
            future = self._done.get()
            if future is None:
                more = False
                continue
            yield future
            del self.under_way[future]
            self._room.release()
        if self._raised:
            raise self._raised

    def stop(self) -> dict[Future[Completion], int]:
        """Start no more; what is under way."""
        self._closed = True
        self._room.release()
        return dict(self.under_way)

    def _pull(self) -> None:
        try:
            while True:
                self._room.acquire()
                request = None if self._closed else next(self._requests, None)
                if request is None or self._closed:
                    break
                future = self._start(request)
                self.under_way[future] = request.key
                future.add_done_callback(self._done.put)
        except BaseException as error:  # it is raised where the answers are taken
            self._raised = error
        self._done.put(None)
