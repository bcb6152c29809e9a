"""What a reading process has and will be given: documents that are not settled, and the parts of them that wait.

Knows nothing of processes or of time.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Collection, Iterator
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from ocrpress.sources.pages import ranges

if TYPE_CHECKING:
    from ocrpress.jobs.reading.order import Order, Orders

NOTHING = -1  # no document
OPENING = 0  # the "page" of a document that is being opened

UNOPENED = "cannot be opened"  # a cause

Place = tuple[int, int]  # document, page


@dataclass
class Held:
    """A document that is not settled yet.

    Attributes:
        left: pages that are to come; None until it is open.
        given: those of the pages that the process has or had; None until it has opened what it was given.
        drawing: the page that is being drawn, and since when.
        drawn: pages that wait for the engine.
        begun: pages that the engine has, and since when.
        doubtful: pages that ended their process with an error of the engine, and how; they are not tried again, but
            failed as soon as another page shows that the engine does read.
        refused: why no more of it will come than what is drawn; error and cause.
        lacking: why a part of it did not come that should be there; in brackets, or empty.
        abandoned: nobody wants it: what a lost process had of it is not read again.
    """

    order: Order
    left: set[int] | None = None
    given: set[int] | None = None
    drawing: tuple[int, float] | None = None
    drawn: set[int] = field(default_factory=set)
    begun: dict[int, float] = field(default_factory=dict)
    doubtful: dict[int, str] = field(default_factory=dict)
    refused: tuple[str, str] | None = None
    lacking: str = ""
    abandoned: bool = False

    @property
    def was_open(self) -> bool:
        """Has an earlier process opened it, and this one not yet what it was given of it?"""
        return self.left is not None and self.given is None

    def refuse(self, error: str, cause: str) -> None:
        """No more of it will be drawn."""
        self.refused, self.drawing = (error, cause), None
        self.left = (self.left or set()) & {*self.drawn, *self.begun}

    def forget(self) -> None:
        """The process has nothing of it any more."""
        self.given = self.drawing = None
        self.drawn.clear()
        self.begun.clear()


class Stock:
    """The documents that are held, by their numbers.

    Attributes:
        inside: documents of which the process has something, and what it was told to read.
    """

    def __init__(self) -> None:
        self.inside: dict[int, Order] = {}
        self._held: dict[int, Held] = {}
        self._again: deque[Order] = deque()  # new, or parts that a lost process had
        self._alone: deque[Order] = deque()  # parts that are to be read by themselves
        self._by_itself = NOTHING  # document of which such a part was given last
        self._later: deque[Order] = deque()  # documents that are ordered anew while they are held

    def __bool__(self) -> bool:
        return bool(self._held or self._later)

    def __getitem__(self, document: int) -> Held:
        return self._held[document]

    def __contains__(self, document: int) -> bool:
        return document in self._held

    @property
    def has_suspects(self) -> bool:
        """Is there a part to be read by itself, or is one being read?"""
        return bool(self._alone) or self._by_itself in self.inside

    @property
    def is_idle(self) -> bool:
        """Has the process nothing, and is nothing there that it could be given?"""
        return not (self.inside or self._again or self._alone or self._later)

    def places(self) -> dict[Place, tuple[bool, float]]:
        """What the process is at: is it only being drawn, and since when."""
        found: dict[Place, tuple[bool, float]] = {}
        for document in self.inside:
            held = self._held[document]
            if held.drawing:
                found[document, held.drawing[0]] = (True, held.drawing[1])
            found.update({(document, page): (False, since) for page, since in held.begun.items()})
        return found

    def doubts(self) -> Iterator[tuple[Place, str]]:
        """The doubtful pages, and how they ended."""
        for document, held in list(self._held.items()):
            for page, why in list(held.doubtful.items()):
                yield (document, page), why

    def first(self, orders: Orders) -> bool:
        """Is there a document, or is one to be had? It is not sent yet."""
        if not self and (order := self.next(orders)):
            self._again.append(order)
        return bool(self)

    def next(self, orders: Orders, avoid: Collection[int] = ()) -> Order | None:
        """What the process is given next; of the documents to avoid only if there is nothing else."""
        return self._part(avoid) or self._new(orders) or self._part()

    def next_alone(self) -> Order | None:
        """A part to be read by itself: the next one, once nothing is inside."""
        if self.inside or not self._alone:
            return None
        order = self._alone.popleft()
        self._by_itself = order.document
        return order

    def waits(self, document: int) -> bool:
        """Will the process be given more of the document, or is a page of it doubtful?"""
        waiting = any(order.document == document for order in (*self._again, *self._alone))
        return waiting or bool(self._held[document].doubtful)

    def refuse(self, document: int, error: str, cause: str) -> None:
        """No more of the document will be read than what is drawn."""
        self._held[document].refuse(error, cause)
        for parts in (self._again, self._alone):
            for order in [order for order in parts if order.document == document]:
                parts.remove(order)

    def abandon(self, document: int) -> None:
        """Nobody wants the document: no more of it will be read than what is drawn, and that once at most."""
        held = self._held[document]
        drawing = held.drawing
        self.refuse(document, "nobody wants it any more", "dropped")
        held.abandoned, held.drawing = True, drawing  # what is being drawn may still take too long
        held.doubtful.clear()

    def drop(self, document: int) -> Held:
        """The document is settled."""
        return self._held.pop(document)

    def left_the_process(self, document: int) -> None:
        """The process has nothing of the document any more."""
        self._held[document].forget()
        self.inside.pop(document, None)
        if document == self._by_itself:
            self._by_itself = NOTHING

    def lost(self, suspects: Collection[Place]) -> list[int]:
        """The process is gone: what it had waits again, each of the suspects by itself. Returns what it had."""
        inside, self.inside, self._by_itself = self.inside, {}, NOTHING
        for document, order in inside.items():
            held = self._held[document]
            mine = {page for place, page in suspects if place == document}
            given = held.given
            held.forget()
            if held.abandoned:
                held.doubtful.clear()
                continue
            if given is None:
                if OPENING not in held.doubtful and not held.refused:
                    (self._alone if mine else self._again).append(order)
                continue
            rest = given & (held.left or set()) - set(held.doubtful)
            self._alone += [part for page in sorted(rest & mine) for part in _parts(held.order, {page})]
            self._again += _parts(held.order, rest - mine)
        return list(inside)

    def _part(self, avoid: Collection[int] = ()) -> Order | None:
        for index, order in enumerate(self._again):
            if order.document not in self.inside and order.document not in avoid:
                del self._again[index]
                return order
        return None

    def _new(self, orders: Orders) -> Order | None:
        for index, order in enumerate(self._later):
            if order.document not in self._held:
                del self._later[index]
                return self._hold(order)
        while found := orders.take():
            if found.document not in self._held:
                return self._hold(found)
            self._later.append(found)
        return None

    def _hold(self, order: Order) -> Order:
        self._held[order.document] = Held(order)
        return order


def _parts(order: Order, pages: set[int]) -> list[Order]:
    """The order for these pages of it; nothing if there are none."""
    return [replace(order, pages=ranges(sorted(pages)))] if pages else []
