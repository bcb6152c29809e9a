"""The reading process under supervision: orders in, events out. What crashes, hangs or eats all memory costs one page.

When the process is lost, what it was at is suspect. Pages that it had not begun go to its successor as if nothing had
happened; each suspect is then read by itself, so that it is known for certain which one it was. A page that was suspect
`Settings.tries` times, the last time alone, is failed, with how that looked. An engine that gives up (EngineError) is
treated alike, but no page is failed for it until another one was read; if none is, the error is the batch's.
"""

from __future__ import annotations

import math
import time
from collections import deque
from collections.abc import Generator, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ocrpress.document import Attempt, PageResult
from ocrpress.engines.base import Capabilities
from ocrpress.errors import EngineError, OcrpressError, OutputError
from ocrpress.jobs.ledger import codec
from ocrpress.jobs.reading.bell import Bell
from ocrpress.jobs.reading.held import OPENING, UNOPENED, Place, Stock
from ocrpress.jobs.reading.link import COMMAND, Link
from ocrpress.jobs.reading.losses import BROKEN, CRASH, LATE, MEMORY, Losses
from ocrpress.jobs.reading.order import Done, Event, Opened, Order, Orders, Refused, Tick
from ocrpress.sources.protocol import Message, Reply, as_exception

if TYPE_CHECKING:
    from ocrpress.jobs.reading.settings import Settings

TICK = 0.1  # seconds


@dataclass(frozen=True)
class Loss:
    """How a process ended: in a word to count by, in a sentence, and the error it gave up with, if it did."""

    cause: str
    why: str
    error: OcrpressError | None = None


class Crew:
    """A `Reader` with one process of this machine.

    Args:
        command: what runs the process.
        log: file for its stderr.
        patience: seconds without an order after which doubtful pages are judged as at the end of all orders.

    Attributes:
        engine, mode, capabilities: of the open engine.
        about: how it runs, in one line; empty until it is open, and of an engine that does not say.
        lost: processes that ended before they were told to.
    """

    def __init__(
        self,
        settings: Settings,
        command: Sequence[str] = COMMAND,
        log: Path | None = None,
        patience: float = math.inf,
    ) -> None:
        self.settings = settings
        self.engine, self.mode = settings.engine, settings.options.mode or ""
        self.capabilities = Capabilities((self.mode,))
        self.about = ""
        self.lost = 0
        self._command, self._log, self._patience = command, log, patience
        self._link: Link | None = None
        self._ready = False
        self._last_words: Loss | None = None
        self._stock = Stock()
        self._losses = Losses(settings.tries)
        self._ended = True  # the process knows that nothing more comes for now
        self._bell = Bell()
        self._abandoned: deque[int] = deque()  # documents that were dropped while the process had nothing of them
        self._last_tick = self._last_busy = 0.0

    def open(self) -> None:
        """Start the process and wait until its engine is open. Raises EngineError, UsageError."""
        for _ in self.opening():
            pass

    def opening(self) -> Iterator[Tick]:
        """The same, with a Tick every tenth of a second or so, and after every ring."""
        while not self._ready:
            for _ in self._listen():
                pass
            yield Tick()

    def read(self, orders: Orders) -> Iterator[Event]:
        """See `Reader.read`. Ends the process only where it raises; `close` it."""
        while True:
            yield from self._let_abandoned_go()
            if self._stock.first(orders):  # until there is one, no process is started: all may be done already
                if self._has_doubts_only(orders):
                    yield from self._resolve()
                    continue
                if self._ready:
                    self._hand_out(orders)
                yield from self._listen()
            elif orders.exhausted:
                return
            elif self._link or self.lost:
                yield from self._listen()  # it may end while nothing is to do
            else:
                self._bell.wait(TICK)
            now = time.monotonic()
            if self._bell.heard() or now - self._last_tick >= TICK:
                self._last_tick = now
                yield Tick()

    def ring(self) -> None:
        """There is something new, such as an order; from any thread. A Tick follows at once."""
        self._bell.ring()

    def drop(self, document: int) -> None:
        """Nobody wants the rest of the document: no more of it is drawn. It is settled as soon as may be, somehow.

        Within the thread that reads, at a Tick.
        """
        if document not in self._stock:
            return
        self._stock.abandon(document)
        if document not in self._stock.inside:
            self._abandoned.append(document)
        elif self._link:
            self._link.send({"drop": document})

    def close(self) -> None:
        """Stop the process. Safe to call twice."""
        if self._link:
            self._link.stop()
            self._link = None
        self._ready, self._ended, self._last_words = False, True, None

    def _has_doubts_only(self, orders: Orders) -> bool:
        """Is nothing left to do but to judge doubtful pages?"""
        now = time.monotonic()
        if not self._stock.is_idle:
            self._last_busy = now
            return False
        return orders.exhausted or now - self._last_busy > self._patience

    def _let_abandoned_go(self) -> Iterator[Event]:
        while self._abandoned:
            document = self._abandoned.popleft()
            if document in self._stock and document not in self._stock.inside:
                yield from self._let_go(document)

    def _hand_out(self, orders: Orders) -> None:
        """Give the process what it has room for; a suspect goes in when nothing else is there."""
        stock = self._stock
        if stock.has_suspects:
            if alone := stock.next_alone():
                self._send(alone)
            self._end()
            return
        avoid = self._losses.afflicted
        while len(stock.inside) < self._room and (order := stock.next(orders, avoid)):
            self._send(order)
        if orders.exhausted:
            self._end()

    @property
    def _room(self) -> int:
        """Documents that the process may have: of one page each they must fill the engine and what draws for it."""
        return self.capabilities.in_flight + 2 * max(1, self.settings.options.workers) + 2

    def _send(self, order: Order) -> None:
        self._stock.inside[order.document] = order
        self._ended = False
        if self._link:
            message, pixels = order.as_message()
            self._link.send({"order": message}, pixels)

    def _end(self) -> None:
        if not self._ended and self._link:
            self._ended = True
            self._link.send({"end": True})

    def _listen(self) -> Iterator[Event]:
        """What the process says within a moment, and what follows if it is lost."""
        if self._link is None:
            self._link = Link(self._command, self._log)
            self._link.send({"settings": self.settings.as_message(), "tied": self._link.tied})
        messages = self._link.hear(TICK, self._bell)
        now = time.monotonic()  # before the events are taken, which may take their time
        for message, data in messages:
            yield from self._take(message, data)
        if self._link and self._link.ended:
            cause = MEMORY if self._link.out_of_memory() else CRASH
            yield from self._lost(Loss(cause, self._link.how_it_ended()))
        elif late := self._late(now):
            yield from self._lost(Loss(LATE, f"it took longer than {self.settings.limit:g} s"), late)

    def _late(self, now: float) -> set[Place]:
        """What takes too long. Drawing has a limit of its own, at which its own process is stopped, twice at most."""
        limit, drawing = self.settings.limit, 2 * self.settings.options.page_seconds
        places = self._stock.places()
        return {place for place, (drawn, since) in places.items() if now - since > limit + drawn * drawing}

    def _take(self, message: Message, data: bytes) -> Iterator[Event]:
        stock, now = self._stock, time.monotonic()
        if "done" in message:
            yield from self._done(message["done"], codec.decode(data))
        elif "begun" in message:
            document, page = message["begun"]
            stock[document].drawn.discard(page)
            stock[document].begun[page] = now
        elif "drawing" in message:
            document, page = message["drawing"]
            stock[document].drawing = (page, now)
        elif "drawn" in message:
            document, page = message["drawn"]
            stock[document].drawing = None
            stock[document].drawn.add(page)
        elif "opened" in message:
            yield from self._opened(message["opened"], message["numbers"])
        elif "refused" in message:
            # A part of what an earlier process could open: its pages do not come, and `_let_go` tells why.
            held = stock[message["refused"]]
            if message["cause"] == UNOPENED and held.was_open:
                held.lacking = f" ({message['error']})"
            else:
                stock.refuse(message["refused"], message["error"], message["cause"])
        elif "closed" in message:
            stock.left_the_process(message["closed"])
            yield from self._let_go(message["closed"])
        elif "ready" in message:
            self._ready, self.capabilities = True, _capabilities(message["ready"])
            self.engine, self.mode, self.about = message["engine"], message["mode"], message.get("about", "")
        elif "broken" in message:
            self._last_words = self._gave_up(message)
        elif "crashed" in message:
            self._last_words = Loss(message["cause"], message["crashed"])

    def _gave_up(self, message: Message) -> Loss:
        error: OcrpressError
        if message["broken"] == "output":
            error = OutputError(message["message"], message["advice"])
        else:
            error = as_exception(Reply({**message, "failure": message["broken"]}))
        return Loss(BROKEN, str(error), error)

    def _opened(self, document: int, numbers: Sequence[int]) -> Iterator[Event]:
        held = self._stock[document]
        held.drawing, held.given = None, set(numbers)
        self._losses.clear((document, OPENING))
        if held.left is None:  # not so a part of it that is read again
            held.left = set(numbers)
            yield Opened(document, tuple(numbers))

    def _done(self, document: int, result: PageResult) -> Iterator[Event]:
        yield from self._settle(document, result)
        if result.attempts and result.status != "failed":
            self._losses.read()
            yield from self._resolve()

    def _settle(self, document: int, result: PageResult, cause: str = "") -> Iterator[Event]:
        held = self._stock[document]
        held.drawn.discard(result.number)
        held.begun.pop(result.number, None)
        self._losses.clear((document, result.number))
        if held.left and result.number in held.left:
            held.left.discard(result.number)
            yield Done(document, result, cause)

    def _resolve(self) -> Iterator[Event]:
        """The engine can read, so it is their own fault if pages made it give up; if it never could, it is not."""
        for place, why in self._stock.doubts():
            if not self._losses.ever_read:
                self.close()
                raise EngineError(f"the engine {self.engine} does not run: {why}", self._advice())
            del self._stock[place[0]].doubtful[place[1]]
            yield from self._condemn(place, Loss(BROKEN, why))
            if place[0] not in self._stock.inside:
                yield from self._let_go(place[0])

    def _let_go(self, document: int) -> Iterator[Event]:
        """Nothing of the document is inside; if no part of it waits either, it is settled."""
        held = self._stock[document]
        if self._stock.waits(document):
            return
        self._stock.drop(document)
        self._losses.forget(document)
        if held.refused:
            yield Refused(document, *held.refused)
        elif held.left != set():
            why = f"pages of it did not come: it was another file when it was read again{held.lacking}"
            yield Refused(document, why, "changed")

    def _lost(self, loss: Loss, late: set[Place] | None = None) -> Iterator[Event]:
        """The process is gone or is stopped now: find out which page it was."""
        if self._link:
            for message, data in self._link.rest():  # what it has said in the meantime
                yield from self._take(message, data)
        loss, was_ready = self._last_words or loss, self._ready
        self.lost += 1
        self.close()
        if loss.error and not (was_ready and isinstance(loss.error, EngineError)):
            raise loss.error
        suspects = set(self._stock.places())
        if late is not None and not late & suspects:
            suspects = set()  # they were done at last
        else:
            suspects -= yield from self._blame(suspects, loss)
        for document in self._stock.lost(suspects):
            yield from self._let_go(document)

    def _blame(self, suspects: set[Place], loss: Loss) -> Generator[Event, None, set[Place]]:
        """Judge whose fault it was. Returns the page that is not to be tried again, if there is one."""
        guilty = self._losses.lost(suspects, loss.cause)
        if self._losses.hopeless:
            raise loss.error or EngineError(f"the engine {self.engine} does not run: {loss.why}", self._advice())
        if guilty is None:
            return set()
        if loss.cause == BROKEN:
            self._stock[guilty[0]].doubtful[guilty[1]] = loss.why
        else:
            yield from self._condemn(guilty, loss)
        return {guilty}

    def _condemn(self, guilty: Place, loss: Loss) -> Iterator[Event]:
        document, page = guilty
        times = self._losses.times(guilty)
        error = f"{loss.why} while {'opening the document' if page == OPENING else 'reading this page'}"
        error += f", {times} times" if times > 1 else ""
        if page == OPENING:
            self._stock.refuse(document, error, loss.cause)
        else:
            yield from self._settle(document, self._failed(guilty, error, times), loss.cause)

    def _failed(self, guilty: Place, error: str, times: int) -> PageResult:
        document, page = guilty
        options = self._stock[document].order.options
        mode = (options and options.mode) or self.mode
        attempts = (Attempt(self.engine, mode, "error", 0.0, error, fault="error"),) * times
        return PageResult(page, "failed", engine=self.engine, mode=mode, attempts=attempts, error=error)

    def _advice(self) -> str:
        return f"{self._log} has what it said" if self._log else EngineError.default_advice


def _capabilities(message: Message) -> Capabilities:
    listed: dict[str, Any] = {
        name: tuple(value) if isinstance(value, list) else value for name, value in message.items()
    }
    return Capabilities(**listed)
