"""What a ledger says of documents and pages. Reads only; works while a run writes."""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Self

from ocrpress.document import PageResult
from ocrpress.errors import LedgerError, UsageError
from ocrpress.jobs.ledger.schema import LEDGER, connect_to_read, damaged, state_folder, translated
from ocrpress.jobs.ledger.values import Entry, Stamp, State, as_numbers, seal_of, unsealed

_ENTRY = (
    "id, name, path, output, state, size, mtime_ns, digest, options, numbers, page_count, failed_pages, error, cause,"
    " shard, output_bytes, output_digest, started, finished, changes"
)
_BATCH = 32  # pages that are fetched at once


class ReadLedger:
    """A ledger that is open for reading; a context. `read_ledger` opens one.

    All methods may raise LedgerError (it is damaged) and OutputError (the disk does not answer).
    """

    def __init__(self, connection: sqlite3.Connection, path: Path) -> None:
        self.connection = connection
        self.path = path

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the file. Safe to call twice."""
        self.connection.close()

    def rows(self, sql: str, given: Sequence[Any] = ()) -> list[tuple[Any, ...]]:
        """The rows of a query of one's own; the tables are those of `schema`."""
        return self._rows(sql, given)

    def row(self, sql: str, given: Sequence[Any] = ()) -> tuple[Any, ...] | None:
        """The first row of a query of one's own; None if there is none."""
        return self._row(sql, given)

    def is_empty(self) -> bool:
        """Are there no documents?"""
        return self.row("SELECT 1 FROM documents LIMIT 1") is None

    def find(self, name: str) -> Entry | None:
        """The document of that name."""
        found = self._row(f"SELECT {_ENTRY} FROM documents WHERE name = ?", (os.fsencode(name),))  # noqa: S608
        return self._entry(found) if found else None

    def entry(self, document: int) -> Entry:
        """The document of that number. Raises KeyError if there is none (any more)."""
        found = self._row(f"SELECT {_ENTRY} FROM documents WHERE id = ?", (document,))  # noqa: S608
        if found is None:
            raise KeyError(document)
        return self._entry(found)

    def entries(self, state: State | None = None) -> Iterator[Entry]:
        """All documents, or those in a state, by their numbers. They may be changed on the way."""
        where = "id > ?" if state is None else "id > ? AND state = ?"
        last = 0
        while True:
            given = (last,) if state is None else (last, state)
            found = self._rows(f"SELECT {_ENTRY} FROM documents WHERE {where} ORDER BY id LIMIT 100", given)  # noqa: S608
            yield from map(self._entry, found)
            if not found:
                return
            last = found[-1][0]

    def results(self, document: int) -> Iterator[PageResult]:
        """What was read of a document, in page order; a few pages at a time are in memory.

        Raises:
            LedgerError: the content of a page is damaged, or was not kept.
        """
        seal = self._seal(document)
        last = 0
        sql = "SELECT number, result FROM pages WHERE document = ? AND number > ? ORDER BY number LIMIT ?"
        while found := self._rows(sql, (document, last, _BATCH)):
            for number, data in found:
                if data is None:
                    what = f"page {number} of {os.fsencode(self.entry(document).name).decode(errors='replace')}"
                    raise LedgerError(f"the ledger {self.path} no longer holds {what}", "read it again with --force")
                try:
                    yield unsealed(data, seal, number)
                except ValueError as error:
                    raise damaged(self.path, str(error)) from error
            last = found[-1][0]

    def left(self, document: int) -> list[int]:
        """Pages that are to be read and have no result, in order; none before the document was opened.

        Raises KeyError if there is no document of that number.
        """
        have = {number for (number,) in self._rows("SELECT number FROM pages WHERE document = ?", (document,))}
        return [number for number in self._numbers(document) if number not in have]

    def is_complete(self, document: int) -> bool:
        """Is the document open or done, and is every page of it there? False if there is no such document."""
        found = self._row("SELECT 1 FROM documents WHERE id = ? AND state IN ('open', 'done')", (document,))
        return found is not None and not self.left(document)

    def _rows(self, sql: str, given: Sequence[Any] = ()) -> list[tuple[Any, ...]]:
        with translated(self.path):
            return self.connection.execute(sql, given).fetchall()

    def _row(self, sql: str, given: Sequence[Any] = ()) -> tuple[Any, ...] | None:
        with translated(self.path):
            found: tuple[Any, ...] | None = self.connection.execute(sql, given).fetchone()
            return found

    def _numbers(self, document: int) -> list[int]:
        try:
            return as_numbers(self.entry(document).numbers)
        except ValueError as error:
            raise damaged(self.path, str(error)) from error

    def _seal(self, document: int) -> int:
        return seal_of(os.fsencode(self.entry(document).name))

    def _entry(self, row: tuple[Any, ...]) -> Entry:
        identity, name, path, output, state, size, mtime_ns, digest, *rest = row
        try:
            named = os.fsdecode(name), os.fsdecode(path), os.fsdecode(output)
        except TypeError as error:
            raise damaged(self.path, str(error)) from error
        return Entry(identity, *named, state, Stamp(size, mtime_ns, digest), *rest)


def read_ledger(folder: Path) -> ReadLedger:
    """Open the ledger of an output folder for reading, whether a run writes there or not.

    Raises:
        UsageError: there is none.
        LedgerError: it is damaged, or of another version.
        OutputError: the disk does not let it be opened.
    """
    path = state_folder(folder) / LEDGER
    try:
        found = path.exists()
    except OSError:
        found = True  # what is wrong with it says the attempt
    if not found:
        raise UsageError(f"{folder} holds no batch", "name the output folder of an 'ocrpress batch'")
    return ReadLedger(connect_to_read(path), path)
