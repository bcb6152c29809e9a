"""The jobs of a service, for its requests: what comes in, what is asked of it, and what goes.

Blocking calls are for threads; what is read of the ledger, `archive` reads.
"""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import TimeoutError as NoAnswer
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from ocrpress.errors import LedgerError
from ocrpress.server.answers.compression import token_counter
from ocrpress.server.errors import Draining, Full
from ocrpress.server.jobs.archive import Archive
from ocrpress.server.jobs.followers import Followers
from ocrpress.server.jobs.keeper import Keeper
from ocrpress.server.jobs.record import Record
from ocrpress.server.jobs.studio import Studio

if TYPE_CHECKING:
    from ocrpress.server.settings import ServerSettings

ANSWER_SECONDS = 30.0  # for the desk's thread
MENDED = 10.0  # seconds after a ledger was opened, in which complaints are about the one before
SOON, LATE = 5, 600  # seconds until a place may be free

_T = TypeVar("_T")


class JobStore(Keeper):
    """All jobs of a service; a guest of the desk, which is to be attached.

    Attributes:
        archive: what was read. followers: who is told as it is. studio: draws pages.
    """

    def __init__(self, settings: ServerSettings) -> None:
        super().__init__(settings, self._spread)
        self.archive = Archive(self.folder, self.folders, settings.keep_hours, self.mend)
        self.followers = Followers(self.archive)
        self.studio = Studio()
        self._lock = threading.Lock()
        self._reserved = 0

    def counts(self) -> dict[str, int]:
        """Jobs by state; from any thread."""
        return self.index.counts()

    @contextlib.contextmanager
    def reserved(self) -> Iterator[None]:
        """A place for a job that is on its way in. Raises Full."""
        most = self.settings.max_jobs
        with self._lock:
            if self.index.unfinished + self._reserved >= most:
                raise Full(f"{most} jobs are not finished yet, the limit", self._wait())
            self._reserved += 1
        try:
            yield
        finally:
            with self._lock:
                self._reserved -= 1

    def accept(self, record: Record, move: Callable[[Path], object]) -> None:
        """A new job: when this returns, it survives a restart. Blocks; `move` puts its document into a place.

        Raises:
            OutputError, LedgerError: it cannot be stored. Draining: the service is being stopped. Then nothing of it
            is left.
        """
        stamp = self.folders.add(record, move)
        try:
            self._call(partial(self._begin, record, stamp))
        except BaseException:
            self.folders.remove(record.id)
            raise

    def remove(self, job: str) -> None:
        """Delete a job, also one that is being read. Blocks. Raises OutputError, Draining."""
        self._call(partial(self._remove, job))

    def mend(self, error: LedgerError) -> None:
        """Somebody who reads the ledger says that it is damaged: it is made anew, soon. From any thread."""
        self.desk.call(partial(self._mend, error))

    def open(self) -> None:
        """See Keeper."""
        super().open()
        # It takes a second, in which nothing else runs here: better while the engine is being opened.
        threading.Thread(target=token_counter, name="ocrpress-counter", daemon=True).start()

    def tick(self) -> None:
        """See Keeper."""
        super().tick()
        self.studio.rest()

    def close(self) -> None:
        """See Keeper."""
        super().close()
        self.studio.close()

    def _mend(self, error: LedgerError) -> None:
        if self._ledger and time.monotonic() - self._opened_at > MENDED:  # else it is being seen to, or has been
            self._lose_ledger(error)

    def _spread(self, job: str) -> None:
        self.followers.wake(job)

    def _call(self, function: Callable[[], _T]) -> _T:
        try:
            return self.desk.call(function).result(ANSWER_SECONDS)
        except NoAnswer as error:
            raise Draining("the service is too busy, or is being stopped", SOON) from error

    def _wait(self) -> int:
        """Seconds until a job may be finished, at the present rate."""
        load = self.desk.load()
        pages = (load.waiting + load.reading) / max(1, load.jobs + load.documents)
        return max(SOON, min(LATE, round(pages / load.rate))) if load.rate else 2 * SOON
