"""What was read of jobs, and how far they are: from the ledger, read only, and from the jobs' folders. In threads.

A connection is opened for each question: that takes less than a millisecond, and none outlives a ledger that was made
anew. Questions that take longer have threads of their own, so that those after a job's state need not wait for them.
"""

from __future__ import annotations

import contextlib
import json
import os
import threading
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from functools import cached_property, partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from anyio import CapacityLimiter, to_thread

from ocrpress.document import Document, PageResult
from ocrpress.errors import LedgerError, UsageError
from ocrpress.jobs.ledger.book import ReadLedger, read_ledger
from ocrpress.jobs.ledger.values import seal_of, unsealed
from ocrpress.server.answers.compression import compression
from ocrpress.server.answers.writing import headers_of
from ocrpress.server.errors import Draining, Gone, NotYet
from ocrpress.server.jobs.course import as_error
from ocrpress.server.jobs.folders import Folders, write_private
from ocrpress.server.jobs.job import Progress, as_object, progress
from ocrpress.writers import WriterOptions, render

if TYPE_CHECKING:
    from ocrpress.server.jobs.record import Record

QUICK, LONG = 4, 2  # threads for questions that take milliseconds, and for others
COMPRESSION = "compression.json"

_T = TypeVar("_T")


@dataclass(frozen=True)
class Result:
    """A document as it was read, written in a format.

    Attributes:
        headers: what they say of its pages.
    """

    data: bytes
    format: str
    headers: dict[str, str]


class Archive:
    """What is known of jobs.

    Args:
        folder: of the service.
        keep_hours: how long finished jobs are kept.
        mend: told that the ledger is damaged.

    All methods raise Gone (the job is no more), Draining (the ledger is being made anew) and OutputError (the disk).
    """

    def __init__(
        self, folder: Path, folders: Folders, keep_hours: float, mend: Callable[[LedgerError], object]
    ) -> None:
        self._folder, self.folders, self._keep = folder, folders, keep_hours * 3600
        self._mend = mend
        self._counting = threading.Lock()

    async def job(self, job: str) -> dict[str, Any]:
        """The job as clients see it."""
        found, _ = await self.progress(job)
        return found

    async def jobs(self, jobs: Sequence[str]) -> list[dict[str, Any]]:
        """Those of these jobs that are still there; their compression where it is known already."""
        return await self._quickly(partial(self._jobs, jobs))

    async def progress(self, job: str) -> tuple[dict[str, Any], Progress]:
        """The job as clients see it, and which of its pages came in which order."""
        record, found, known = await self._quickly(partial(self._known, job))
        if known is None and found.state == "done":
            known = await self._at_length(partial(self._compress, job, found.document))
        return as_object(record, found, known, self._keep), found

    async def pages(
        self, job: str, document: int, numbers: Sequence[int], made: Callable[[PageResult, Record], _T]
    ) -> dict[int, _T]:
        """What is made, in a thread, of what was read of these pages; those that are no more are left out."""
        return await self._quickly(partial(self._pages, job, document, numbers, made))

    async def page(self, job: str, number: int) -> tuple[Record, Progress, PageResult | None]:
        """How far a job is, and a page of it, if it was read."""
        return await self._quickly(partial(self._page, job, number))

    async def result(self, job: str, format: str | None, writing: Callable[[WriterOptions], WriterOptions]) -> Result:  # noqa: A002
        """The whole document.

        Args:
            format: None takes the job's own.
            writing: makes of the job's own way of writing the one that is wanted.

        Raises:
            NotYet: it is not done. InputError, …: why it could not be read.
        """
        return await self._at_length(partial(self._result, job, format, writing))

    async def record(self, job: str) -> Record:
        """What was asked."""
        return await self._quickly(lambda: self._record(job))

    # In threads

    def _quickly(self, question: Callable[[], _T]) -> Awaitable[_T]:
        return to_thread.run_sync(question, limiter=self._quick)

    def _at_length(self, question: Callable[[], _T]) -> Awaitable[_T]:
        return to_thread.run_sync(question, limiter=self._long)

    @cached_property
    def _quick(self) -> CapacityLimiter:
        return CapacityLimiter(QUICK)

    @cached_property
    def _long(self) -> CapacityLimiter:
        return CapacityLimiter(LONG)

    def _record(self, job: str) -> Record:
        try:
            return self.folders.record(job)
        except (FileNotFoundError, ValueError) as error:
            raise Gone("the job was deleted, or has expired", "send its document again") from error

    def _ask(self, question: Callable[[ReadLedger], _T]) -> _T:
        try:
            with read_ledger(self._folder) as ledger:
                return question(ledger)
        except LedgerError as error:
            self._mend(error)
            raise Draining("the record of the jobs is damaged; it is being made anew", 10) from error
        except UsageError as error:
            if type(error) is not UsageError:  # OutputError, Gone, NotYet, …
                raise
            raise Draining("the record of the jobs is being made anew", 10) from error

    def _progress(self, job: str) -> tuple[Record, Progress]:
        record = self._record(job)
        return record, self._ask(lambda ledger: progress(ledger, job))

    def _known(self, job: str) -> tuple[Record, Progress, dict[str, Any] | None]:
        record, found = self._progress(job)
        return record, found, self._compression(job) if found.state == "done" else None

    def _jobs(self, jobs: Sequence[str]) -> list[dict[str, Any]]:
        def all_of_them(ledger: ReadLedger) -> list[dict[str, Any]]:
            found = []
            for job in jobs:
                with contextlib.suppress(Gone):
                    record = self._record(job)
                    found.append(as_object(record, progress(ledger, job), self._compression(job), self._keep))
            return found

        return self._ask(all_of_them)

    def _page(self, job: str, number: int) -> tuple[Record, Progress, PageResult | None]:
        record, found = self._progress(job)
        return record, found, self._results(job, found.document, [number]).get(number)

    def _pages(
        self, job: str, document: int, numbers: Sequence[int], made: Callable[[PageResult, Record], _T]
    ) -> dict[int, _T]:
        record = self._record(job)
        return {number: made(page, record) for number, page in self._results(job, document, numbers).items()}

    def _results(self, job: str, document: int, numbers: Sequence[int]) -> dict[int, PageResult]:
        seal, marks = seal_of(os.fsencode(job)), ", ".join("?" * len(numbers))
        sql = f"SELECT number, result FROM pages WHERE document = ? AND number IN ({marks})"  # noqa: S608

        def decoded(ledger: ReadLedger) -> dict[int, PageResult]:
            try:
                return {number: unsealed(data, seal, number) for number, data in ledger.rows(sql, (document, *numbers))}
            except ValueError as error:
                raise LedgerError(f"a page of job {job} is damaged ({error})") from error

        return self._ask(decoded)

    def _whole(self, document: int) -> tuple[PageResult, ...]:
        return self._ask(lambda ledger: tuple(ledger.results(document)))

    def _result(self, job: str, format: str | None, writing: Callable[[WriterOptions], WriterOptions]) -> Result:  # noqa: A002
        record, found = self._progress(job)
        if found.state == "failed":
            raise as_error(found.error, found.cause)
        if found.state != "done":
            raise NotYet(
                f"the job is {found.state}: {len(found.order)} of {len(found.numbers) or '?'} pages are read",
                f"ask again later, or follow /v1/jobs/{job}/events",
            )
        pages = self._whole(found.document)
        document = Document(record.name, pages, record.engine, record.options.mode or "", True, len(pages))
        wanted = format or record.format
        return Result(render(document, wanted, writing(record.writing)).encode(), wanted, headers_of(pages))

    def _compression(self, job: str) -> dict[str, Any] | None:
        try:
            known: dict[str, Any] = json.loads((self.folders.root / job / COMPRESSION).read_bytes())
        except (OSError, ValueError):
            return None
        return known

    def _compress(self, job: str, document: int) -> dict[str, Any]:
        """Count, once for all; who asks in the meantime waits."""
        with self._counting:
            known = self._compression(job)
            if known is None:
                known = compression(self._whole(document))
                with contextlib.suppress(OSError):  # it has gone, or the disk is full
                    write_private(self.folders.root / job / COMPRESSION, json.dumps(known).encode())
            return known
