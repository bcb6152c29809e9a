"""Pages into the ledger and out of it again.

A page waits in memory until the next commit. Where its document is finished before that, as most of one page are, its
contents are never written: nobody would read them.
"""

from __future__ import annotations

import math
import sqlite3
import time
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from ocrpress.document import PageResult
from ocrpress.jobs.ledger.file import LedgerFile, clean, timed
from ocrpress.jobs.ledger.finished import FinishedLog
from ocrpress.jobs.ledger.lock import Lock
from ocrpress.jobs.ledger.values import seal_of, sealed

_MOST_WAITING = 64  # pages


class Coming:
    """A document whose pages are coming in.

    Attributes:
        seal: what ties its pages to it.
        missing: the pages that are not there yet.
        waiting: those that are not in the database yet, with their rows.
        stored: how many are.
    """

    __slots__ = ("missing", "seal", "stored", "waiting")

    def __init__(self, seal: int, missing: Iterable[int], stored: int) -> None:
        self.seal = seal
        self.missing = set(missing)
        self.stored = stored
        self.waiting: dict[int, tuple[PageResult, tuple[Any, ...]]] = {}


class PageLedger(LedgerFile):
    """The pages of a ledger that is open for writing."""

    def __init__(self, connection: sqlite3.Connection, path: Path, log: FinishedLog, lock: Lock) -> None:
        super().__init__(connection, path, log, lock)
        self._coming: dict[int, Coming] = {}
        self._waiting = 0

    @timed
    def add_page(self, document: int, result: PageResult, cause: str = "", fallback: bool = False) -> bool:
        """A page is read, blank or failed.

        Args:
            cause: of a failure that the page's attempts do not tell of.
            fallback: the engine of last resort has read it.

        Returns:
            False, and nothing happens, if the page is not asked for: the document is not open, was begun again, does
            not want this page or has it already.
        """
        coming = self._come(document)
        if coming is None or result.number not in coming.missing:
            return False
        coming.waiting[result.number] = result, _as_row(document, result, cause, fallback)
        coming.missing.discard(result.number)
        self._waiting += 1
        self._count(result)
        if self._waiting >= _MOST_WAITING:
            self.flush()
        return True

    def results(self, document: int) -> Iterator[PageResult]:
        """See ReadLedger."""
        coming = self._coming.get(document)
        if coming and not coming.stored:
            yield from [coming.waiting[number][0] for number in sorted(coming.waiting)]
            return
        if coming:
            self._store(coming, keep=True)
        pages = super().results(document)
        while page := self._next(pages):
            yield page

    def left(self, document: int) -> list[int]:
        """Pages of a document that are to be read and have no result, in order; none before it was first opened.

        It is known across runs. Raises KeyError if there is no document of that number.
        """
        coming = self._coming.get(document)
        return sorted(coming.missing) if coming else super().left(document)

    def is_complete(self, document: int) -> bool:
        """Is the document open or done, and is every page of it there? False if there is no such document."""
        coming = self._coming.get(document)
        return not coming.missing if coming else super().is_complete(document)

    @timed
    def flush(self) -> None:
        """Have the pages that wait in the transaction."""
        if self._waiting:
            for coming in self._coming.values():
                self._store(coming, keep=True)

    @timed
    def _next(self, pages: Iterator[PageResult]) -> PageResult | None:
        return next(pages, None)

    @timed
    def _store(self, coming: Coming, *, keep: bool) -> None:
        """Have the pages of a document that wait in the transaction, with their contents or without."""
        if not coming.waiting:
            return
        if keep:
            rows = [(*row, sealed(result, coming.seal)) for result, row in coming.waiting.values()]
        else:
            rows = [(*row, None) for _, row in coming.waiting.values()]
        self._begin()
        self.connection.executemany(_ADD_PAGE, rows)
        coming.stored += len(rows)
        self._waiting -= len(rows)
        coming.waiting.clear()

    def _settle(self, document: int, *, keep: bool = True) -> None:
        """No more pages of a document are coming; those that wait are stored."""
        coming = self._coming.get(document)
        if coming:
            self._store(coming, keep=keep)
            del self._coming[document]

    def _forget(self, document: int) -> None:
        """The pages of a document that wait are of no use any more."""
        coming = self._coming.pop(document, None)
        if coming:
            self._waiting -= len(coming.waiting)

    def _is_stored(self, document: int) -> bool:
        """May there be pages of a document in the database?"""
        coming = self._coming.get(document)
        return coming is None or coming.stored > 0

    def _count_failed(self, document: int) -> int:
        coming = self._coming.get(document)
        waiting = coming.waiting.values() if coming else ()
        failed = sum(result.status == "failed" for result, _ in waiting)
        if not self._is_stored(document):
            return failed
        return failed + int(self._execute(_COUNT_FAILED, (document,)).fetchone()[0])

    def _come(self, document: int) -> Coming | None:
        """What is known of an open document, which an earlier run may have opened."""
        coming = self._coming.get(document)
        if coming is None:
            found = self._execute("SELECT name FROM documents WHERE id = ? AND state = 'open'", (document,)).fetchone()
            if found:
                coming = self._expect(document, seal_of(found[0]), super()._numbers(document))
        return coming

    def _expect(self, document: int, seal: int, numbers: Iterable[int]) -> Coming:
        """These pages of a document will come, but for those that are there; others that it has go."""
        wanted = set(numbers)
        have = {row[0] for row in self._execute("SELECT number FROM pages WHERE document = ?", (document,))}
        for number in have - wanted:
            self._execute("DELETE FROM pages WHERE document = ? AND number = ?", (document, number))
        self._coming[document] = Coming(seal, wanted - have, len(have & wanted))
        return self._coming[document]


_COUNT_FAILED = "SELECT COUNT(*) FROM pages WHERE document = ? AND state = 'failed'"
_ADD_PAGE = "INSERT OR REPLACE INTO pages VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)"


def _as_row(document: int, result: PageResult, cause: str, fallback: bool) -> tuple[Any, ...]:
    """A page as a row of the table, but for its contents."""
    attempts, plan, failed = result.attempts, result.plan, result.status == "failed"
    if failed and not cause:
        cause = (attempts[-1].fault or "error") if attempts else "unreadable page"
    seconds = sum(result.seconds.values())
    return (
        document, result.number, result.status, len(attempts), clean(result.engine), clean(result.mode),
        plan.vision_tokens if plan else 0, plan.sequence_tokens if plan else 0,
        attempts[-1].output_tokens if attempts else None, seconds if math.isfinite(seconds) else 0.0,
        clean(result.error), clean(cause) if failed else "", fallback, time.time(),
    )  # fmt: skip
