"""A new ledger in the place of a lost or damaged one, which is kept aside as ledger.sqlite.damaged-N.

    finished.jsonl ──▶ documents whose output stands there, byte for byte: done
    the old ledger ──▶ the same, where a line is lost; pages of documents under way, as far as SQLite still gives them
                       and their checksums are right; runs

The old file is only read until the new one is whole. To die on the way leaves either the old ledger, or none and the
old one aside; then the next rebuild begins again.
"""

from __future__ import annotations

import contextlib
import os
import re
import sqlite3
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ocrpress.jobs.ledger.finished import Finished, read_finished, stands
from ocrpress.jobs.ledger.schema import (
    APPLICATION_ID,
    FINISHED,
    LEDGER,
    PARTIAL,
    VERSION,
    beside,
    make_partial,
    place_partial,
    state_folder,
    sync_folder,
    translated,
)  # fmt: skip
from ocrpress.jobs.ledger.values import as_numbers, output_key, seal_of, unsealed

_ASIDE = re.compile(re.escape(LEDGER) + r"\.damaged-(\d+)")
_SPAN = 500  # rows that are asked for at once
_MOST_ODD = 200  # damaged places in a table; a tree that goes in circles has no end of them
_LAST = 1 << 60  # beyond any row
_LONGEST = 1 << 28  # bytes of a value; a damaged length may claim anything
_UNREADABLE = (sqlite3.Error, MemoryError)
_TYPES = {"INT": (int,), "INTEGER": (int,), "REAL": (float, int), "TEXT": (str,), "BLOB": (bytes,)}


def rebuild_ledger(folder: Path) -> None:
    """Make the ledger of an output folder anew. The caller holds its lock.

    Raises:
        OutputError: the disk is full or does not answer; the old ledger is still there, or aside.
    """
    state = state_folder(folder)
    path, partial = state / LEDGER, state / PARTIAL
    with translated(path):
        old = path if path.exists() else _last_aside(path)
        make_partial(partial)
        with contextlib.closing(sqlite3.connect(partial, isolation_level=None)) as new:
            new.execute("BEGIN")
            _add_finished(new, folder, state / FINISHED)
            if old:
                _salvage(new, old, folder)
            new.execute("COMMIT")
        if path.exists():
            _set_aside(path)
        place_partial(partial, path)


def _asides(path: Path) -> list[int]:
    """Numbers of the ledgers that were set aside, in order."""
    found = (_ASIDE.fullmatch(item.name) for item in path.parent.iterdir())
    return sorted(int(match[1]) for match in found if match)


def _set_aside(path: Path) -> None:
    aside = path.with_name(f"{path.name}.damaged-{max(_asides(path), default=0) + 1}")
    path.rename(aside)
    _move_log(path, aside)
    sync_folder(path.parent)


def _last_aside(path: Path) -> Path | None:
    """The ledger that was set aside last, if there is one, with its log, which a kill may have parted from it."""
    numbers = _asides(path)
    if not numbers:
        return None
    aside = path.with_name(f"{path.name}.damaged-{numbers[-1]}")
    _move_log(path, aside)
    return aside


def _move_log(path: Path, aside: Path) -> None:
    """SQLite must not find the log of the old ledger beside the new one: it would play it back."""
    with contextlib.suppress(FileNotFoundError):
        beside(path, "-wal").rename(beside(aside, "-wal"))
    beside(path, "-shm").unlink(missing_ok=True)


# What finished.jsonl says


def _add_finished(new: sqlite3.Connection, folder: Path, log: Path) -> None:
    """The documents whose outputs stand, as done. The last line of a name or an output counts."""
    for line in read_finished(log):
        with contextlib.suppress(UnicodeEncodeError):  # no name of a file
            new.execute(_ADD_FINISHED, _as_row(line))
    last = 0
    while found := new.execute(_SOME_FINISHED, (last, _SPAN)).fetchall():
        for document, output, size, digest in found:
            if not stands(folder / os.fsdecode(output), size, digest):
                new.execute("DELETE FROM documents WHERE id = ?", (document,))
        last = found[-1][0]


_ADD_FINISHED = """INSERT OR REPLACE INTO documents (name, path, output, output_key, state, size, mtime_ns, digest,
    options, numbers, page_count, failed_pages, output_bytes, output_digest, started, finished)
    VALUES (?, ?, ?, ?, 'done', ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)"""
_SOME_FINISHED = "SELECT id, output, output_bytes, output_digest FROM documents WHERE id > ? ORDER BY id LIMIT ?"


def _as_row(line: Finished) -> tuple[Any, ...]:
    return (
        os.fsencode(line.name), os.fsencode(line.path), os.fsencode(line.output), output_key(line.output), line.size,
        line.mtime_ns, line.digest, line.options, line.numbers, line.page_count, line.failed_pages, line.output_bytes,
        line.output_digest, line.started, line.finished,
    )  # fmt: skip


# What the old ledger still says


def _salvage(new: sqlite3.Connection, old: Path, folder: Path) -> None:
    """Whatever can be read of the old ledger and is sound. Only errors of the new one are raised."""
    try:
        connection = sqlite3.connect(f"{old.absolute().as_uri()}?mode=ro", isolation_level=None, uri=True)
    except sqlite3.Error:
        return
    with contextlib.closing(connection):
        connection.text_factory = lambda data: data.decode("utf-8", "replace")
        connection.setlimit(sqlite3.SQLITE_LIMIT_LENGTH, _LONGEST)
        try:
            connection.execute("PRAGMA writable_schema = ON")  # else a file that was cut short gives nothing
            marks = [connection.execute(f"PRAGMA {name}").fetchone()[0] for name in ("application_id", "user_version")]
        except _UNREADABLE:
            return
        if marks == [APPLICATION_ID, VERSION]:  # of another version, the columns may mean other things
            _Salvage(connection, new, folder).run()


@dataclass
class _Salvage:
    """From the old ledger of an output folder into the new one."""

    old: sqlite3.Connection
    new: sqlite3.Connection
    folder: Path
    kinds: dict[str, list[tuple[type, ...]]] = field(default_factory=dict)  # of the columns of a table
    names: dict[str, list[str]] = field(default_factory=dict)

    def run(self) -> None:
        for table in ("documents", "pages", "runs", "notes", "options"):
            columns = self.new.execute(f"PRAGMA table_info({table})").fetchall()
            self.names[table] = [column[1] for column in columns]
            self.kinds[table] = [_TYPES[column[2]] for column in columns]
        for table in ("runs", "notes", "options"):
            for row in self._span(table, "rowid", ""):
                self._insert(table, row)
        for row in self._span("documents", "id", ""):
            self._document(dict(zip(self.names["documents"], row, strict=True)))

    def _document(self, found: dict[str, Any]) -> None:
        """A document of the old ledger, unless finished.jsonl knows better; and its pages."""
        before, found["id"] = found["id"], None
        known = self.new.execute(
            "SELECT id, digest, options, numbers FROM documents WHERE name = ?", (found["name"],)
        ).fetchone()
        same = known is not None and known[1:] == (found["digest"], found["options"], found["numbers"])
        if same:
            self._pages(before, found, known[0])
        elif known is None or found["state"] in ("waiting", "open"):  # else the line is of a later reading
            self.new.execute("DELETE FROM documents WHERE name = ?", (found["name"],))
            self._unlisted(before, found)

    def _unlisted(self, before: int, found: dict[str, Any]) -> None:
        """A document that finished.jsonl does not know as it is here: most likely one under way."""
        if found["state"] == "done" and not self._stands(found):
            found["state"] = "open" if found["numbers"] else "waiting"
        found |= {"shard": None, "sharded": None}  # what is in which shard is for the shards to say
        document = self._insert("documents", list(found.values()))
        if document:
            self._pages(before, found, document)
            if found["state"] == "open":  # a page without its contents is no page for a document not yet written
                self.new.execute("DELETE FROM pages WHERE document = ? AND result IS NULL", (document,))

    def _stands(self, found: dict[str, Any]) -> bool:
        """Is the output there, as it was written?"""
        if not found["output"]:
            return False
        return stands(self.folder / os.fsdecode(found["output"]), found["output_bytes"], found["output_digest"])

    def _pages(self, before: int, found: dict[str, Any], document: int) -> None:
        try:
            numbers = as_numbers(found["numbers"])
        except ValueError:
            return
        if not numbers:
            return
        wanted, seal = set(numbers), seal_of(found["name"])
        for row in self._span("pages", "number", "document = ? AND", (before,)):
            number, data = row[1], row[-1]
            if number in wanted and (data is None or _is_sound(data, seal, number)):
                self._insert("pages", [document, *row[1:]])

    def _insert(self, table: str, row: list[Any]) -> int:
        """The row's number; 0 if a rule of the table is against it."""
        marks = ", ".join("?" * len(row))
        try:
            cursor = self.new.execute(f"INSERT OR IGNORE INTO {table} VALUES ({marks})", row)  # noqa: S608
        except (sqlite3.IntegrityError, OverflowError):
            return 0
        return cursor.lastrowid or 0 if cursor.rowcount > 0 else 0

    def _span(self, table: str, column: str, where: str, given: tuple[int, ...] = ()) -> Iterator[list[Any]]:
        """The sound rows of a table in the order of a column of whole numbers; what cannot be read is passed over."""
        names = ", ".join([column, *self.names[table]])
        sql = f"SELECT {names} FROM {table} WHERE {where} {column} > ? ORDER BY {column} LIMIT ?"  # noqa: S608
        after, odd = 0, 0
        while odd < _MOST_ODD:
            rows = self._ask(sql, (*given, after, _SPAN))
            if rows is None:
                rows = self._ask(sql, (*given, after, 1))
            if rows is None:
                after = self._beyond(f"SELECT {column} FROM {table} WHERE {where} {column} > ? LIMIT 1", given, after)  # noqa: S608
                odd += 1
                continue
            if not rows:
                return
            yield from (list(row[1:]) for row in rows if self._fits(table, row[1:]))
            last = rows[-1][0]
            forward = isinstance(last, int) and last > after
            after = last if forward else after + 1
            odd += not forward

    def _ask(self, sql: str, given: tuple[int, ...]) -> list[tuple[Any, ...]] | None:
        try:
            return self.old.execute(sql, given).fetchall()
        except _UNREADABLE:
            return None

    def _beyond(self, sql: str, given: tuple[int, ...], after: int) -> int:
        """The number after which rows can be read again, when the next one cannot: by doubling, then halving."""
        found = self._ask(sql, (*given, after))
        if found is not None:  # the row is there, but not its contents
            return found[0][0] if found and isinstance(found[0][0], int) and found[0][0] > after else after + 1
        bad, good = 0, 1
        while self._ask(sql, (*given, after + good)) is None:
            if after + good > _LAST:
                return _LAST
            bad, good = good, good * 2
        while good - bad > 1:
            middle = (bad + good) // 2
            if self._ask(sql, (*given, after + middle)) is None:
                bad = middle
            else:
                good = middle
        return after + good

    def _fits(self, table: str, row: tuple[Any, ...]) -> bool:
        """Is every value of the kind that its column holds?"""
        return all(value is None or type(value) in kind for value, kind in zip(row, self.kinds[table], strict=True))


def _is_sound(data: bytes, seal: int, number: int) -> bool:
    try:
        unsealed(data, seal, number)
    except ValueError:
        return False
    return True
