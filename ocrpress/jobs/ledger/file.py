"""The ledger as a file that one process writes: transactions, errors, time spent, and the runs that it was written by.

What is written goes into one open transaction until `commit`.
"""

from __future__ import annotations

import contextlib
import functools
import json
import math
import os
import sqlite3
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Concatenate, ParamSpec, TypeVar

from ocrpress.document import PageResult
from ocrpress.errors import OcrpressError, OutputError
from ocrpress.jobs.ledger.finished import FinishedLog
from ocrpress.jobs.ledger.lock import Lock
from ocrpress.jobs.ledger.read import ReadLedger
from ocrpress.jobs.ledger.schema import beside, translate, translated

SYNC_SECONDS = 1.0

_P = ParamSpec("_P")
_T = TypeVar("_T")
_Call = Callable[Concatenate[Any, _P], _T]  # of a LedgerFile


def timed(call: _Call[_P, _T]) -> _Call[_P, _T]:
    """A method of LedgerFile that adds what it took to `seconds`, and puts its errors in our words."""
    # Only a commit waits for the disk. With every other call a clock would count what other threads and processes do.
    clock = time.perf_counter if call.__name__ in {"commit", "close"} else time.thread_time

    @functools.wraps(call)
    def wrapped(ledger: LedgerFile, /, *args: _P.args, **kwargs: _P.kwargs) -> _T:
        if ledger.inside:  # the call of another such method, which does both
            return call(ledger, *args, **kwargs)
        started = clock()
        ledger.inside = True
        try:
            return call(ledger, *args, **kwargs)
        except (sqlite3.Error, OSError, UnicodeError) as error:
            found = translate(error, ledger.path)
            if found is error:
                raise
            ledger.broken = True  # SQLite may have given up the whole transaction
            raise found from error
        finally:
            ledger.inside = False
            ledger.seconds += clock() - started

    return wrapped


class LedgerFile(ReadLedger):
    """A ledger that this process alone writes; a context.

    All methods may raise OutputError: the disk is full, or gone. Then the transaction is lost, those before it stand,
    and only `close` is of use. They may raise LedgerError where the file turns out to be damaged.

    Attributes:
        seconds: of the processor, spent in here so far, and those that commits took.
        broken: a write has failed, or the ledger is closed.
        inside: a method is at work.
    """

    def __init__(self, connection: sqlite3.Connection, path: Path, log: FinishedLog, lock: Lock) -> None:
        super().__init__(connection, path)
        self.seconds = 0.0
        self.broken = False
        self.inside = False
        self._log = log
        self._lock = lock
        self._inode = path.stat().st_ino
        self._synced = 0.0
        self._run = 0
        self._pages = self._failed = self._documents = 0
        self._stages: dict[str, float] = {}

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        with contextlib.suppress(*([OcrpressError] if kind else [])):
            self.close()

    # The file

    @timed
    def commit(self) -> None:
        """What was written so far survives the end of this process; within SYNC_SECONDS also a power cut.

        To wait for the disk every time would cost more than reading a small page does.
        """
        self._check()
        self.flush()
        if not self.connection.in_transaction:
            return
        if self.path.stat().st_ino != self._inode:  # SQLite would go on into a file that has no name any more
            raise OutputError(f"the ledger {self.path} is no longer there")
        self._log.flush()
        self.connection.execute("COMMIT")
        if time.monotonic() - self._synced >= SYNC_SECONDS:
            self._sync()

    def _sync(self) -> None:
        """Have the commits on the disk itself."""
        self._synced = time.monotonic()
        with contextlib.suppress(FileNotFoundError):  # not in WAL mode: then COMMIT itself has waited for the disk
            descriptor = os.open(beside(self.path, "-wal"), os.O_RDONLY)
            try:
                os.fsync(descriptor)
            finally:
                os.close(descriptor)

    def close(self) -> None:
        """Commit, close the file and let others use the folder. Safe to call twice."""
        with translated(self.path), contextlib.ExitStack() as last:
            last.callback(self._lock.release)
            last.callback(self.connection.close)
            last.callback(self._log.close)
            try:
                if not self.broken:
                    self.commit()
            finally:
                self.broken = True

    def execute(self, sql: str, given: Sequence[Any] = ()) -> None:
        """A statement of one's own, in the transaction."""
        self.flush()
        self._write(sql, given)

    @timed
    def _write(self, sql: str, given: Sequence[Any]) -> None:
        self._execute(sql, given)

    def _execute(self, sql: str, given: Sequence[Any] = ()) -> sqlite3.Cursor:
        self._begin()
        return self.connection.execute(sql, given)

    def _begin(self) -> None:
        self._check()
        if not self.connection.in_transaction:
            self.connection.execute("BEGIN IMMEDIATE")

    def _check(self) -> None:
        if self.broken:
            raise OutputError(f"the ledger {self.path} cannot be written any more")

    def flush(self) -> None:
        """Have what was put off in the transaction, so that queries see it; for classes that put something off."""

    def rows(self, sql: str, given: Sequence[Any] = ()) -> list[tuple[Any, ...]]:
        """See ReadLedger."""
        self.flush()
        return self._rows(sql, given)

    def row(self, sql: str, given: Sequence[Any] = ()) -> tuple[Any, ...] | None:
        """See ReadLedger."""
        self.flush()
        return self._row(sql, given)

    @timed
    def _rows(self, sql: str, given: Sequence[Any] = ()) -> list[tuple[Any, ...]]:
        return self.connection.execute(sql, given).fetchall()

    @timed
    def _row(self, sql: str, given: Sequence[Any] = ()) -> tuple[Any, ...] | None:
        found: tuple[Any, ...] | None = self.connection.execute(sql, given).fetchone()
        return found

    # Runs

    @timed
    def start_run(self, about: Mapping[str, Any]) -> int:
        """A run begins; gives its number. `about` is what JSON can say of it: engine, mode, format, inputs, …"""
        now = time.time()
        cursor = self._execute(
            "INSERT INTO runs (started, beat, pid, about) VALUES (?, ?, ?, ?)",
            (now, now, os.getpid(), json.dumps(dict(about))),
        )
        self._run = cursor.lastrowid or 0
        return self._run

    @timed
    def save_options(self, digest: str, text: str) -> None:
        """What the digest of the options stands for, as JSON."""
        self._execute("INSERT OR IGNORE INTO options VALUES (?, ?)", (digest, clean(text)))

    @timed
    def note(self, path: str, why: str) -> None:
        """An input was left out of this run."""
        self._execute("INSERT INTO notes VALUES (?, ?, ?)", (self._run, os.fsencode(path), clean(why)))

    @timed
    def beat(self) -> None:
        """The run is alive: its time and its counts so far."""
        stages = json.dumps({**self._stages, "ledger": self.seconds})
        counts = (time.time(), self._pages, self._failed, self._documents, stages, self._run)
        self._execute("UPDATE runs SET beat = ?, pages = ?, failed = ?, documents = ?, stages = ? WHERE id = ?", counts)

    @timed
    def end_run(self, exit_code: int) -> None:
        """The run ends."""
        self.beat()
        self._execute("UPDATE runs SET ended = beat, exit_code = ? WHERE id = ?", (exit_code, self._run))

    def _count(self, result: PageResult) -> None:
        self._pages += 1
        self._failed += result.status == "failed"
        for stage, seconds in result.seconds.items():
            if math.isfinite(seconds):
                self._stages[stage] = self._stages.get(stage, 0.0) + seconds


def clean(text: str) -> str:
    """Text that SQLite takes: bytes of file names that are no UTF-8 become replacement signs."""
    return text if text.isascii() else text.encode("utf-8", "surrogatepass").decode("utf-8", "replace")
