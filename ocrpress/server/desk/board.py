"""The works that are not over, and where their pages are: waiting for a turn, given out to be read, or come.

Every method may be called from any thread. Knows nothing of engines or processes.
"""

from __future__ import annotations

import itertools
import threading
from collections import deque
from collections.abc import Collection
from dataclasses import dataclass

from ocrpress.server.desk.turns import Turn, Turns
from ocrpress.server.desk.work import Work


@dataclass
class Given:
    """A turn that was given out.

    Attributes:
        key: names it.
        left: pages of it that are to come; None before it is known which.
        is_first: it is the first of its work.
    """

    key: int
    turn: Turn
    left: set[int] | None
    is_first: bool


@dataclass(frozen=True)
class Counts:
    """How much there is of everything: see `desk.Load`."""

    documents: int
    jobs: int
    waiting: int
    reading: int
    clients: int


class Board:
    """See above.

    Args:
        most_texts: works without numbers that are given out at a time; each keeps a thread that draws until its end.
    """

    def __init__(self, most_texts: int = 1) -> None:
        self._lock = threading.Lock()
        self._most_texts = most_texts
        self._turns, self._texts = Turns(), Turns()  # those of works with and without numbers
        self._left: dict[Work, set[int] | None] = {}  # pages that are to come; None before the first turn, or Opened
        self._given: dict[int, Given] = {}
        self._dropped: deque[int] = deque()
        self._keys = itertools.count(1)
        self._durable = 0

    def add(self, work: Work, most: int) -> bool:
        """Take a work. False if there are so many already that are not durable, as this one."""
        with self._lock:
            if not work.durable and len(self._left) - self._durable >= most:
                return False
            self._left[work] = None
            self._durable += work.durable
            self._lane(work).add(work)
            return True

    def remove(self, work: Work) -> bool:
        """It is over: nothing more of it is given out, or wanted. False if it was over."""
        with self._lock:
            return self._remove(work)

    def take(self) -> Given | None:
        """Give out the next turn; nothing is to come of one without pages, if its work has numbers."""
        with self._lock:
            texts = sum(given.turn.work.numbers is None for given in self._given.values())
            turn = (texts < self._most_texts and self._texts.take()) or self._turns.take()
            if turn is None:
                return None
            work = turn.work
            is_first = self._left[work] is None
            if is_first and work.numbers is not None:
                self._left[work] = set(work.numbers)
            given = Given(next(self._keys), turn, set(turn.numbers) or None, is_first)
            if turn.numbers or work.numbers is None:
                self._given[given.key] = given
            return given

    def opened(self, key: int, numbers: Collection[int]) -> tuple[Work | None, list[int]]:
        """These are the pages of a turn: the work, if they were not known, and those of a turn that are not there."""
        with self._lock:
            given = self._given[key]
            work = given.turn.work
            if given.left is not None:
                return None, sorted(given.left - set(numbers))
            given.left = set(numbers)
            if not given.left:
                del self._given[key]
            if work not in self._left:
                return None, []
            self._left[work] = set(numbers)
            return work, []

    def came(self, key: int, number: int) -> tuple[Work | None, bool]:
        """A page of a turn has come: the work that waits for it, if one does, and whether it was the last."""
        with self._lock:
            given = self._given[key]
            if given.left is not None:
                given.left.discard(number)
                if not given.left:
                    del self._given[key]
            work = given.turn.work
            left = self._left.get(work)
            if not left or number not in left:
                return None, False
            left.discard(number)
            return work, not left

    def missing(self, key: int) -> tuple[Work, list[int]] | None:
        """Pages of a turn that have not come, and whose they are; None if it is no more, or was dropped."""
        with self._lock:
            given = self._given.get(key)
            if given is None or given.turn.work not in self._left:
                self._given.pop(key, None)
                return None
            left = given.turn.numbers if given.left is None else given.left
            if not left:
                del self._given[key]
            return given.turn.work, sorted(left)

    def dropped(self) -> list[int]:
        """Turns that nobody wants any more; each is told once."""
        found = []
        while self._dropped:
            found.append(self._dropped.popleft())
        return found

    def take_back(self) -> list[Work]:
        """What was given out will not come: the works that are not over."""
        with self._lock:
            self._given.clear()
            self._dropped.clear()
            return list(self._left)

    def counts(self) -> Counts:
        """How much there is of everything."""
        with self._lock:
            reading = sum(len(given.left) if given.left else 1 for given in self._given.values())
            documents, waiting = len(self._left) - self._durable, self._turns.pages + self._texts.pages
            clients = len(self._turns.clients | self._texts.clients)
            return Counts(documents, self._durable, waiting, reading, clients)

    def _lane(self, work: Work) -> Turns:
        return self._texts if work.numbers is None else self._turns

    def _remove(self, work: Work) -> bool:
        if work not in self._left:
            return False
        del self._left[work]
        self._durable -= work.durable
        self._lane(work).remove(work)
        self._dropped.extend(given.key for given in self._given.values() if given.turn.work is work)
        return True
