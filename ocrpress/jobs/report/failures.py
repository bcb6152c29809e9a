"""What failed, as the ledger tells it: documents, pages, inputs that were left out; by cause, and one by one.

Names are for people here: in one line, and what is no UTF-8 or cannot be printed replaced.
"""

from __future__ import annotations

import os
import sqlite3
from dataclasses import dataclass

LISTED = 200  # failures that are told one by one
LONGEST = 2000  # characters of an error
UNKNOWN = "unknown"

# Only these documents can have failed pages: of millions of pages most need not be looked at.
_SUSPECTS = "SELECT id FROM documents WHERE state <> 'done' OR failed_pages > 0"


@dataclass(frozen=True)
class Cause:
    """How many documents or pages failed for one cause, and what was said of the first."""

    cause: str
    count: int
    example: str


@dataclass(frozen=True)
class FailedDocument:
    """A document that could not be read on."""

    document: str
    cause: str
    error: str


@dataclass(frozen=True)
class FailedPage:
    """A page that could not be read.

    Attributes:
        document: its name, for people; `path` is the file's own, with what it was when it was read: bytes, and
            nanoseconds since 1970.
        number: page number, from 1.
    """

    document: str
    number: int
    cause: str
    error: str
    engine: str
    mode: str
    attempts: int
    path: str
    size: int
    mtime_ns: int


@dataclass(frozen=True)
class LeftOut:
    """An input that was not looked at."""

    path: str
    why: str


@dataclass(frozen=True)
class Failures:
    """All failures by cause, most frequent first, and the first `LISTED` of each kind.

    Attributes:
        left_out: of the newest run; `left_out_count` counts them all.
    """

    document_causes: tuple[Cause, ...] = ()
    page_causes: tuple[Cause, ...] = ()
    documents: tuple[FailedDocument, ...] = ()
    pages: tuple[FailedPage, ...] = ()
    left_out: tuple[LeftOut, ...] = ()
    left_out_count: int = 0


def find_failures(connection: sqlite3.Connection, run: int | None) -> Failures:
    """What failed.

    Args:
        run: number of the newest run; None if there was none.
    """
    (left_out,) = connection.execute("SELECT COUNT(*) FROM notes WHERE run = ?", (run,)).fetchone()
    return Failures(
        _causes(connection, "documents WHERE state = 'failed'", "id"),
        _causes(connection, f"pages WHERE document IN ({_SUSPECTS}) AND state = 'failed'", "document * 1e6 + number"),
        _documents(connection),
        _pages(connection),
        _left_out(connection, run),
        left_out,
    )


def shown_name(name: bytes) -> str:
    """A path as people may see it: one line, printable.

    >>> shown_name(b"a\\xff/b\\n.pdf")
    'a�/b�.pdf'
    """
    return "".join(char if char.isprintable() else "\ufffd" for char in name.decode(errors="replace"))


def in_a_line(text: str | None) -> str:
    """An error message, however long and whatever is in it, in one line of bounded length."""
    words = " ".join((text or "")[: 2 * LONGEST].split())
    return words if len(words) <= LONGEST else f"{words[:LONGEST]}…"


def _causes(connection: sqlite3.Connection, where: str, first: str) -> tuple[Cause, ...]:
    # Beside MIN() SQLite gives the other columns of the row that has it.
    query = f"SELECT cause, COUNT(*), error, MIN({first}) FROM {where} GROUP BY cause ORDER BY 2 DESC, 1"  # noqa: S608
    return tuple(Cause(row[0] or UNKNOWN, row[1], in_a_line(row[2])) for row in connection.execute(query))


def _documents(connection: sqlite3.Connection) -> tuple[FailedDocument, ...]:
    query = "SELECT name, cause, error FROM documents WHERE state = 'failed' ORDER BY id LIMIT ?"
    rows = connection.execute(query, (LISTED,))
    return tuple(FailedDocument(shown_name(name), cause or UNKNOWN, in_a_line(error)) for name, cause, error in rows)


def _pages(connection: sqlite3.Connection) -> tuple[FailedPage, ...]:
    query = f"""SELECT name, number, pages.cause, pages.error, engine, mode, attempts, path, size, mtime_ns
      FROM pages JOIN documents ON documents.id = pages.document
      WHERE document IN ({_SUSPECTS}) AND pages.state = 'failed' ORDER BY document, number LIMIT ?"""  # noqa: S608
    return tuple(
        FailedPage(
            shown_name(name), number, cause or UNKNOWN, in_a_line(error), engine, mode, attempts, os.fsdecode(path),
            size, mtime_ns,
        )
        for name, number, cause, error, engine, mode, attempts, path, size, mtime_ns in connection.execute(
            query, (LISTED,)
        )
    )  # fmt: skip


def _left_out(connection: sqlite3.Connection, run: int | None) -> tuple[LeftOut, ...]:
    query = "SELECT path, why FROM notes WHERE run = ? ORDER BY rowid LIMIT ?"
    return tuple(LeftOut(shown_name(path), in_a_line(why)) for path, why in connection.execute(query, (run, LISTED)))
