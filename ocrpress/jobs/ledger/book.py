"""What became of every document and every page of a batch, on the disk: SQLite, one writer.

    begin ──▶ opened ──▶ add_page … add_page ──▶ (results ▶ output file) ──▶ finish
      └───────── fail ◀─────┘

All writes lie in one open transaction until `commit`; what was committed survives SIGKILL, and a second later power
cuts. The process may die at any moment, between two calls or inside one, and the next run goes on from there. Knows
nothing of engines, and of outputs only their names, sizes and digests.
"""

from __future__ import annotations

import os
import sqlite3
import time
from collections.abc import Sequence
from pathlib import Path

from ocrpress.jobs.ledger.file import clean, timed
from ocrpress.jobs.ledger.finished import Finished, FinishedLog
from ocrpress.jobs.ledger.lock import Lock
from ocrpress.jobs.ledger.pages import PageLedger
from ocrpress.jobs.ledger.read import ReadLedger, read_ledger
from ocrpress.jobs.ledger.schema import FINISHED, LEDGER, LOCK, connect, create, damaged, state_folder, translate
from ocrpress.jobs.ledger.values import Entry, Stamp, State, as_numbers, as_ranges, output_key, seal_of
from ocrpress.output import check_folder

__all__ = [
    "Entry", "Ledger", "ReadLedger", "Stamp", "State", "as_numbers", "as_ranges", "open_ledger", "read_ledger",
]  # fmt: skip


class Ledger(PageLedger):
    """A ledger that is open for writing, by this process alone; a context. `open_ledger` opens one.

    What the methods may raise besides what they say, see LedgerFile.
    """

    def __init__(self, connection: sqlite3.Connection, path: Path, log: FinishedLog, lock: Lock) -> None:
        super().__init__(connection, path, log, lock)
        (known,) = connection.execute("SELECT MAX(id) FROM documents").fetchone()
        (read,) = connection.execute("SELECT MAX(document) FROM pages").fetchone()
        self._last_id = max(known or 0, read or 0)

    def is_taken(self, output: str, by: str | None = None) -> bool:
        """May no document but `by` be written to this place, because another is, or its folder is another's output?

        Names that a file system without cases takes for one are one.
        """
        key = output_key(output)
        if key is None:
            return False
        own = None if by is None else os.fsencode(by)
        parts = key.split(b"/")
        for end in range(1, len(parts) + 1):
            above = b"/".join(parts[:end])
            if self._row("SELECT 1 FROM documents WHERE output_key = ? AND name IS NOT ?", (above, own)):
                return True
        below = "SELECT 1 FROM documents WHERE output_key > ? AND output_key < ? AND name IS NOT ? LIMIT 1"
        return self._row(below, (key + b"/", key + b"0", own)) is not None  # "0" comes next after "/"

    @timed
    def begin(self, name: str, path: str, output: str, stamp: Stamp, options: str) -> int:
        """A document that is new, has changed or is to be read anew: "waiting", with no pages. Gives its number.

        It is a new number each time: what is still on its way from an earlier reading finds no document any more. The
        document stays in its shard until another record of it is written.

        Raises:
            ValueError: another document is written to that output.
        """
        key = os.fsencode(name)
        self._last_id += 1
        found = (
            self._last_id, os.fsencode(path), os.fsencode(output), output_key(output), stamp.size, stamp.mtime_ns,
            stamp.digest, options,
        )  # fmt: skip
        try:
            if self._execute(_INSERT, (*found, key)).rowcount:
                return self._last_id
            old = self._execute("SELECT id, state, digest, changes FROM documents WHERE name = ?", (key,)).fetchone()
            before, state, digest, changes = old
            changed = state in ("waiting", "open") and digest != stamp.digest
            self._execute(_BEGIN_AGAIN, (*found, changes + 1 if changed else 0, key))
        except sqlite3.IntegrityError as error:
            raise ValueError(f"another document is written to {output!r}") from error
        # In this order: to die here leaves rows of a document that is no more, and that no number comes back to.
        self._execute("DELETE FROM pages WHERE document = ?", (before,))
        self._forget(before)
        return self._last_id

    @timed
    def touch(self, document: int, path: str, stamp: Stamp) -> None:
        """The same contents as before, elsewhere or with another time."""
        self._execute(
            "UPDATE documents SET path = ?, size = ?, mtime_ns = ?, digest = ? WHERE id = ?",
            (os.fsencode(path), stamp.size, stamp.mtime_ns, stamp.digest, document),
        )

    @timed
    def opened(self, document: int, numbers: Sequence[int]) -> bool:
        """The document is "open"; these are the pages to be read. Others that it had go; results of these stay.

        False, and nothing happens, if there is no document of that number any more.
        """
        ranges, count = as_ranges(numbers), len(set(numbers))
        found = self._execute("SELECT name FROM documents WHERE id = ?", (document,)).fetchone()
        if found is None:
            return False
        self._settle(document)
        self._execute(_OPENED, (ranges, count, time.time(), document))
        self._expect(document, seal_of(found[0]), numbers)
        return True

    @timed
    def finish(self, document: int, output_bytes: int, output_digest: str, *, keep: bool) -> None:
        """The document is "done": its output stands there.

        Args:
            output_bytes, output_digest: size and SHA-256 (hexadecimal) of the output file.
            keep: the contents of its pages stay in the ledger. Without, their rows stay.

        Raises:
            ValueError: pages are missing.
            KeyError: there is no document of that number.
        """
        entry = self.entry(document)
        if not self.is_complete(document):
            raise ValueError(f"document {document} is not complete")
        failed, now = self._count_failed(document), time.time()
        if entry.output:
            stamp = entry.stamp
            self._log.add(
                Finished(
                    entry.name, entry.path, entry.output, stamp.size, stamp.mtime_ns, stamp.digest, entry.options,
                    entry.numbers, entry.page_count, failed, output_bytes, output_digest, entry.started or now, now,
                )
            )  # fmt: skip
        self._execute(_FINISH, (failed, output_bytes, output_digest, now, document))
        # Only now: a document that is not done must not lose the contents of its pages, come what may in between.
        stored = not keep and self._is_stored(document)
        self._settle(document, keep=keep)
        if stored:
            self._execute("UPDATE pages SET result = NULL WHERE document = ? AND result IS NOT NULL", (document,))
        self._documents += 1

    @timed
    def fail(self, document: int, error: str, cause: str) -> None:
        """The document cannot be read (on): "failed". The pages that it has stay."""
        self._settle(document)
        self._execute(
            "UPDATE documents SET state = 'failed', error = ?, cause = ?, finished = ? WHERE id = ?",
            (clean(error), clean(cause), time.time(), document),
        )
        self._documents += 1

    @timed
    def drop_failed(self, document: int) -> int:
        """Forget the failed pages, so that they are read again; gives their number. `reopen` the document, too."""
        self._settle(document)
        return self._execute("DELETE FROM pages WHERE document = ? AND state = 'failed'", (document,)).rowcount

    @timed
    def remove(self, document: int) -> None:
        """Forget a document and its pages, whole; what is still on its way of it finds no document any more.

        Nothing happens if there is none of that number. Of an output, the list of finished documents still tells.
        """
        self._execute("DELETE FROM documents WHERE id = ?", (document,))
        self._execute("DELETE FROM pages WHERE document = ?", (document,))
        self._forget(document)

    @timed
    def reopen(self, document: int) -> None:
        """The document is not done after all. Pages whose contents were not kept are to be read again."""
        self._settle(document)
        self._execute("DELETE FROM pages WHERE document = ? AND result IS NULL", (document,))
        self._execute(_REOPEN, (document,))


_INSERT = """INSERT INTO documents (id, path, output, output_key, size, mtime_ns, digest, options, state, name)
    VALUES (?, ?, ?, ?, ?, ?, ?, ?, 'waiting', ?) ON CONFLICT (name) DO NOTHING"""
_BEGIN_AGAIN = """UPDATE documents SET id = ?, path = ?, output = ?, output_key = ?, size = ?, mtime_ns = ?, digest = ?,
    options = ?, changes = ?, state = 'waiting', numbers = '', page_count = 0, failed_pages = 0, error = '', cause = '',
    output_bytes = 0, output_digest = '', started = NULL, finished = NULL WHERE name = ?"""
_OPENED = """UPDATE documents SET state = 'open', numbers = ?, page_count = ?, started = COALESCE(started, ?),
    finished = NULL, error = '', cause = '' WHERE id = ?"""
_FINISH = """UPDATE documents SET state = 'done', failed_pages = ?, output_bytes = ?, output_digest = ?, finished = ?,
    error = '', cause = '', changes = 0 WHERE id = ?"""
_REOPEN = """UPDATE documents SET state = CASE numbers WHEN '' THEN 'waiting' ELSE 'open' END, finished = NULL,
    error = '', cause = '' WHERE id = ?"""


def open_ledger(folder: Path, *, rebuild: bool = False) -> Ledger:
    """Open the ledger of an output folder for writing; makes the folder and the ledger where they are not there.

    Args:
        rebuild: set the ledger aside and make a new one: from the outputs that stand there, and from what can still be
            read of the old one.

    Raises:
        UsageError: another run is using the folder; the message names it.
        LedgerError: the ledger is damaged, lost or of another version.
        OutputError: the folder cannot be written to.
    """
    state = state_folder(folder)
    check_folder(state)
    lock = Lock(state / LOCK, str(folder))
    try:
        return _open(folder, state, lock, rebuild)
    except BaseException:
        lock.release()
        raise


def _open(folder: Path, state: Path, lock: Lock, rebuild: bool) -> Ledger:
    path = state / LEDGER
    if rebuild:
        from ocrpress.jobs.ledger.rebuild import rebuild_ledger

        rebuild_ledger(folder)
    if not path.exists():
        if (state / FINISHED).exists() or any(state.glob(f"{LEDGER}?*")):
            raise damaged(path, "it is not there, though a batch has run here")
        create(path)
    connection = connect(path)
    try:
        return Ledger(connection, path, FinishedLog(state / FINISHED), lock)
    except (sqlite3.Error, OSError) as error:
        connection.close()
        raise translate(error, path) from error
