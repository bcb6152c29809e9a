"""Whose page is next: clients take turns, the documents of a client too, a few pages at a time. Knows no engines.

A turn is one page; of documents of more than MANY pages it is more, for each turn opens the document anew.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Set as AbstractSet
from dataclasses import dataclass

from ocrpress.server.desk.work import Work

MANY = 100  # turns that a document takes, about


@dataclass(frozen=True)
class Turn:
    """Pages of a work that are read together.

    Attributes:
        numbers: of the pages; empty for a work that is read in one go.
    """

    work: Work
    numbers: tuple[int, ...]


class Turns:
    """The pages that wait. Of one thread, or under a lock.

    Attributes:
        pages: how many wait; a work without numbers, or without pages, counts as one.
    """

    def __init__(self) -> None:
        self._clients: dict[str, deque[tuple[Work, deque[int]]]] = {}  # the next to have a turn stands first
        self.pages = 0

    @property
    def clients(self) -> AbstractSet[str]:
        """Those that wait for a turn."""
        return self._clients.keys()

    def add(self, work: Work) -> None:
        """A work that waits from now on."""
        self._clients.setdefault(work.client, deque()).append((work, deque(work.numbers or ())))
        self.pages += _pages(work)

    def remove(self, work: Work) -> None:
        """It waits no more; nothing happens if it did not."""
        waiting = self._clients.get(work.client, deque())
        for entry in [entry for entry in waiting if entry[0] is work]:
            waiting.remove(entry)
            self.pages -= len(entry[1]) or 1
        if not waiting:
            self._clients.pop(work.client, None)

    def take(self) -> Turn | None:
        """The next turn."""
        if not self._clients:
            return None
        client, waiting = next(iter(self._clients.items()))
        del self._clients[client]  # its next turn comes after those of all others
        work, numbers = waiting.popleft()
        size = -(-len(work.numbers or ()) // MANY)
        taken = tuple(numbers.popleft() for _ in range(min(size, len(numbers))))
        self.pages -= len(taken) or 1
        if numbers:
            waiting.append((work, numbers))
        if waiting:
            self._clients[client] = waiting
        return Turn(work, taken)


def _pages(work: Work) -> int:
    return len(work.numbers or ()) or 1
