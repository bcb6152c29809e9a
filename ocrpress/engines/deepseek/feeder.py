"""Requests become views in threads of their own, ahead of the engine and never more than it has room for.

One thread takes pages from the source, so that a page being rendered holds up no decoding; others cut the views (Pillow
lets go of the interpreter meanwhile).
"""

from __future__ import annotations

import os
import queue
import threading
import time
from collections.abc import Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

from ocrpress.document import Request
from ocrpress.engines.deepseek.device import use_device
from ocrpress.engines.deepseek.vision import PixelViews, pixel_views
from ocrpress.modes import Plan, plan
from ocrpress.views import make_views

if TYPE_CHECKING:
    import torch

MOST_THREADS = 8
PATIENCE = 5.0  # seconds that closing waits for a source that is in the middle of a page


@dataclass(frozen=True)
class Prepared:
    """A request with its views, or why it has none."""

    request: Request
    plan: Plan | None
    views: PixelViews | None
    seconds: float
    error: str = ""


class Feeder:
    """Views of the requests, in order, as they get ready.

    Args:
        requests: pulled in a thread of the feeder's own.
        room: how many requests may be out, from being pulled until `release`.
        pin: put the views into pinned memory.
        device: the GPU for which they are pinned.
    """

    def __init__(self, requests: Iterable[Request], room: int, pin: bool, device: torch.device | None = None) -> None:
        self._requests = iter(requests)
        self._room = threading.Semaphore(room)
        self._pin = pin
        self._ready: queue.SimpleQueue[Future[Prepared] | BaseException | None] = queue.SimpleQueue()
        self._next: Future[Prepared] | BaseException | None = None
        self._closed = False
        self.exhausted = False
        threads = min(MOST_THREADS, os.cpu_count() or 1)
        # Pinning in a thread whose current device is another GPU would take memory on that one.
        begin = partial(use_device, device) if device else None
        self._pool = ThreadPoolExecutor(threads, thread_name_prefix="ocrpress-views", initializer=begin)
        self._thread = threading.Thread(target=self._pull, name="ocrpress-feeder", daemon=True)
        self._thread.start()

    def take(self, most: int, wait: bool) -> Iterator[Prepared]:
        """Up to `most` prepared pages, in order; those that are ready, or, with `wait`, at least one unless exhausted.

        Raises whatever the source raised, once all pages before it were taken.
        """
        for taken in range(most):
            following = self._peek(wait)
            if isinstance(following, BaseException):
                if taken:
                    return
                self.exhausted = True
                raise following
            if following is None or not (wait or following.done()):
                return
            self._next = None
            yield following.result()
            wait = False

    def release(self) -> None:
        """A page was answered: there is room for another."""
        self._room.release()

    def close(self) -> None:
        """Stop pulling; waits a little for a page that the source is in the middle of."""
        self._closed = True
        self._room.release()
        self._ready.put(None)  # whoever waits for a page waits no longer
        self._pool.shutdown(wait=False, cancel_futures=True)
        self._thread.join(PATIENCE)

    def _peek(self, wait: bool) -> Future[Prepared] | BaseException | None:
        """The next page's views, ready or not, or what the source raised; None if no page is there, yet or ever."""
        if self._next is None and not self.exhausted:
            try:
                following = self._ready.get(block=wait)
            except queue.Empty:
                return None
            self._next, self.exhausted = following, following is None
        return self._next

    def _pull(self) -> None:
        try:
            while True:
                self._room.acquire()
                request = None if self._closed else next(self._requests, None)
                if request is None or self._closed:
                    break
                self._ready.put(self._pool.submit(_prepare, request, self._pin))
            self._ready.put(None)
        except BaseException as error:  # it is raised where the pages are taken
            self._ready.put(error)


def _prepare(request: Request, pin: bool) -> Prepared:
    started = time.perf_counter()
    image = request.page.image
    try:
        made = plan(image.width, image.height, request.mode, request.max_tiles)
        views = pixel_views(make_views(image, made), pin)
    except Exception as error:  # a page that fails must not end the document, whatever it raises
        return Prepared(request, None, None, time.perf_counter() - started, f"{type(error).__name__}: {error}")
    return Prepared(request, made, views, time.perf_counter() - started)
