"""What an iterator gives, taken from it ahead of the reader, by a thread."""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable, Iterable, Iterator
from typing import Generic, TypeVar

T = TypeVar("T")


class Ahead(Generic[T]):
    """An iterator whose next items are there already; what it raises, the reader gets.

    Args:
        source: called in the thread, gives the items.
        most: that wait for the reader.

    Attributes:
        seen: items that the thread has got so far; `seen_all` when there are no more.
        ended: the reader has got all.
    """

    def __init__(self, source: Callable[[], Iterable[T]], most: int) -> None:
        self._items: queue.Queue[tuple[T] | BaseException | None] = queue.Queue(most)
        self._stopped = False
        self.seen = 0
        self.seen_all = self.ended = False
        threading.Thread(target=self._run, args=(source,), daemon=True).start()

    def take(self) -> T | None:
        """The next item; None if there is none at the moment, or no more (`ended`)."""
        try:
            return self._opened(self._items.get_nowait())
        except (queue.Empty, StopIteration):
            return None

    def __iter__(self) -> Iterator[T]:
        return self

    def __next__(self) -> T:
        """The next item, as soon as it is there."""
        return self._opened(self._items.get())

    def stop(self) -> None:
        """No more is wanted."""
        self._stopped = True
        while not self._items.empty():
            self._items.get_nowait()

    def _opened(self, item: tuple[T] | BaseException | None) -> T:
        if isinstance(item, tuple):
            return item[0]
        self.ended = True
        self._items.put(None)  # whoever asks again gets the same answer
        if item is None:
            raise StopIteration
        raise item

    def _run(self, source: Callable[[], Iterable[T]]) -> None:
        try:
            for item in source():
                self.seen += 1
                self._items.put((item,))
                if self._stopped:
                    return
            self.seen_all = True
            self._items.put(None)
        except BaseException as error:  # it is the reader's to raise
            self._items.put(error)
