"""Documents for a reader, as they are found: those that are done are passed over, the others become orders.

A thread looks for them, some way ahead; what is in the ledger decides what is still to be read.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable
from typing import TYPE_CHECKING

from ocrpress.jobs.ahead import Ahead
from ocrpress.jobs.finding.found import Found, LeftOut
from ocrpress.jobs.finding.places import place
from ocrpress.jobs.ledger.values import Stamp
from ocrpress.jobs.reading.order import Order
from ocrpress.jobs.storage import Candidate, Storage
from ocrpress.sources.pages import ranges

if TYPE_CHECKING:
    from ocrpress.jobs.ledger.book import Entry, Ledger
    from ocrpress.jobs.plan import Plan

AHEAD = 64  # documents that are found before they are asked for
MOMENT = 0.05  # seconds that are spent on passing documents over before somebody else has a turn


class Supply:
    """`Orders` for a reader.

    Attributes:
        found: documents that were looked at so far; `passed` of them had nothing left to be read, or cannot be.
        failed_now: of these, those that cannot be read; `failed_before`: those of which an earlier run says so.
        lost: inputs that were left out though there may be documents in them.
    """

    def __init__(self, plan: Plan, ledger: Ledger, storage: Storage, finished: Callable[[int], object]) -> None:
        self._plan, self._ledger, self._storage = plan, ledger, storage
        self._finished = finished  # takes a document of which every page is there already
        self._search = Ahead(storage.candidates, AHEAD)
        self._is_fresh = ledger.is_empty()  # then a document that was not seen in this run is in nobody's ledger
        self._again: deque[Order] = deque()
        self._parts: set[int] = set()
        self.found = self.passed = self.lost = self.failed_now = self.failed_before = 0

    @property
    def exhausted(self) -> bool:
        """Is there nothing more to be had?"""
        return self._search.ended and not self._again

    @property
    def ended(self) -> bool:
        """Has everything been found?"""
        return self._search.ended

    def take(self) -> Order | None:
        """The next document that has pages left to read."""
        if self._again:
            return self._again.popleft()
        until = time.monotonic() + MOMENT
        while time.monotonic() < until and (found := self._search.take()) is not None:
            if isinstance(found, LeftOut):
                self._ledger.note(found.path, found.why)
                self.lost += found.lost
            elif order := self._consider(found):
                return order
        return None

    def is_part(self, document: int) -> bool:
        """Was only a part of the document ordered, because an earlier run has read the rest?"""
        return document in self._parts

    def once_more(self, name: str) -> None:
        """A document that was begun again."""
        entry = self._ledger.find(name)
        if entry:
            self._again.append(self._order(entry.id, entry.path, entry.name, entry.output, self._plan.pages))

    def stop(self) -> None:
        """No more is wanted."""
        self._search.stop()

    def _consider(self, candidate: Candidate) -> Order | None:
        self.found += 1
        found, stamp = candidate.found, candidate.stamp
        entry = None if self._is_fresh else self._ledger.find(found.name)
        if stamp is None:
            self._ledger.fail(self._begin(candidate, entry)[0], candidate.error, candidate.cause)
            self.passed += 1
            self.failed_now += 1
            return None
        same = entry and entry.stamp.digest == stamp.digest and entry.options == self._plan.options_digest
        if entry and same and not self._plan.force:
            if (entry.path, entry.stamp) != (found.path, stamp):
                self._ledger.touch(entry.id, found.path, stamp)
            return self._rest_of(entry, found)
        document, output = self._begin(candidate, entry)
        return self._order(document, found.path, found.name, output, self._plan.pages)

    def _begin(self, candidate: Candidate, entry: Entry | None) -> tuple[int, str]:
        """The document's number and its output."""
        found = candidate.found
        output = ""
        if not self._plan.sharded:
            held = entry.output if entry else ""
            output = held if held.endswith(self._plan.ending) else self._place(found)
        stamp = candidate.stamp or Stamp(0, 0, "")
        document = self._ledger.begin(found.name, found.path, output, stamp, self._plan.options_digest)
        if self._storage.holds_inputs:
            self._ledger.commit()  # or a kill could leave an output of which nobody knows that it is none of the user's
        return document, output

    def _place(self, found: Found) -> str:
        def is_taken(output: str) -> bool:
            if self._storage.holds_inputs and self._storage.has(output):
                return True  # by what no batch has written: maybe a document
            return self._ledger.is_taken(output, found.name)

        return place(found.name, self._plan.ending, found.crowded, is_taken)

    def _rest_of(self, entry: Entry, found: Found) -> Order | None:
        """What is left of a document that is as it was when it was begun."""
        if entry.state == "done" and not self._plan.sharded and not self._storage.has(entry.output, entry.output_bytes):
            self._ledger.reopen(entry.id)  # the output is gone
        elif entry.state == "done" and not (entry.failed_pages and self._plan.retry_failed):
            self._pass_over(entry.failed_pages)
            return None
        elif entry.state == "failed" and not self._plan.retry_failed:
            self._pass_over(1)
            return None
        elif entry.state in {"done", "failed"}:
            self._ledger.drop_failed(entry.id)
            self._ledger.reopen(entry.id)
        if entry.page_count == 0 or entry.state == "waiting":
            return self._order(entry.id, found.path, found.name, entry.output, self._plan.pages)
        left = self._ledger.left(entry.id)
        if not left:
            self._finished(entry.id)
            return None
        self._parts.add(entry.id)
        return self._order(entry.id, found.path, found.name, entry.output, ranges(left))

    def _pass_over(self, failed: int) -> None:
        self.passed += 1
        self.failed_before += bool(failed)

    def _order(self, document: int, path: str, name: str, output: str, pages: str | None) -> Order:
        figures = self._storage.figures(output) if self._plan.figures and output else None
        return Order(document, path, name, pages, figures)
