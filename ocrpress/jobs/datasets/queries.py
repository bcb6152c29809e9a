"""What a data set asks of the ledger: which documents are in no shard yet, which shard holds whose record.

A document's record is up to date where `documents.sharded`, the time at which the reading ended that the record was
made of, is `documents.finished`. Where it is not, the shard holds the record of an earlier reading until the new one is
written. Only documents without an output of their own are meant. Knows nothing of files.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime

from ocrpress.jobs.datasets.files import Key
from ocrpress.jobs.ledger.book import Ledger, Stamp
from ocrpress.jobs.ledger.file import timed
from ocrpress.jobs.ledger.finished import Finished

_PENDING = "state = 'done' AND output = x'' AND (shard IS NULL OR sharded IS NOT finished)"


def record_id(name: bytes) -> str:
    """The `id` of a document's record: its name, made text so that no two are the same.

    >>> record_id(b"sub/x.pdf"), record_id(b"caf\\xe9.pdf")
    ('sub/x.pdf', 'caf\\\\xe9.pdf#16aac950')
    """
    try:
        return name.decode()
    except UnicodeDecodeError:
        return f"{name.decode(errors='backslashreplace')}#{hashlib.sha256(name).hexdigest()[:8]}"


def timestamp(seconds: float) -> str:
    """A time as records have it: ISO 8601, UTC, microseconds."""
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")


def pending(ledger: Ledger, limit: int) -> list[int]:
    """Documents that are done and whose record no shard holds yet, the first of them."""
    found = ledger.rows(f"SELECT id FROM documents WHERE {_PENDING} ORDER BY id LIMIT ?", (limit,))  # noqa: S608
    return [row[0] for row in found]


def is_pending(ledger: Ledger, document: int) -> bool:
    """Is this one of them?"""
    return ledger.row(f"SELECT 1 FROM documents WHERE id = ? AND {_PENDING}", (document,)) is not None  # noqa: S608


def is_whole(ledger: Ledger, document: int) -> bool:
    """Are the contents of all its pages there?"""
    sql = "SELECT COUNT(result) = page_count FROM documents, pages WHERE id = ? AND document = id"
    return bool((ledger.row(sql, (document,)) or (0,))[0])


def read_by(ledger: Ledger, document: int) -> tuple[str, str, int]:
    """The engine and mode that read most of a document, and how many pages the engine of last resort has read.

    Where no page tells, for all are blank, the engine and mode that were asked for.
    """
    most = ledger.row(
        "SELECT engine, mode FROM pages WHERE document = ? AND engine <> '' AND NOT fallback"
        " GROUP BY engine, mode ORDER BY COUNT(*) DESC, engine, mode LIMIT 1",
        (document,),
    )
    (others,) = ledger.row("SELECT SUM(fallback) FROM pages WHERE document = ?", (document,)) or (0,)
    engine, mode = most or _asked(ledger, document)
    return engine, mode, others or 0


def _asked(ledger: Ledger, document: int) -> tuple[str, str]:
    """The engine and mode of the options that a document is read with; empty where they do not tell."""
    sql = "SELECT json FROM options WHERE digest = (SELECT options FROM documents WHERE id = ?)"
    found = ledger.row(sql, (document,))
    options = json.loads(found[0]) if found else {}
    return options.get("engine") or "", options.get("mode") or ""


def shards(ledger: Ledger) -> set[int]:
    """The shards that hold records."""
    return {row[0] for row in ledger.rows("SELECT DISTINCT shard FROM documents WHERE shard IS NOT NULL")}


def shards_of(ledger: Ledger, documents: Iterable[int]) -> set[int]:
    """The shards that hold a record of these documents, up to date or not."""
    found = (ledger.row("SELECT shard FROM documents WHERE id = ?", (document,)) for document in documents)
    return {row[0] for row in found if row and row[0] is not None}


def members(ledger: Ledger, shard: int) -> dict[int, Key]:
    """The records that a shard holds, up to date or not, by the numbers of their documents."""
    rows = ledger.rows("SELECT id, name, sharded FROM documents WHERE shard = ?", (shard,))
    return {document: Key(record_id(name), timestamp(sharded)) for document, name, sharded in rows}


def key_of(ledger: Ledger, document: int) -> Key:
    """What the record of a document that is done is told by."""
    entry = ledger.entry(document)
    return Key(record_id(os.fsencode(entry.name)), timestamp(entry.finished or 0.0))


def pending_of(ledger: Ledger, name: str, key: Key) -> int | None:
    """The document of that name, if it is pending and this is its record."""
    entry = ledger.find(name)
    return entry.id if entry and is_pending(ledger, entry.id) and key_of(ledger, entry.id) == key else None


def odd_names(ledger: Ledger) -> dict[str, str]:
    """The names that are no UTF-8, by their records' ids."""
    names = (row[0] for row in ledger.rows("SELECT name FROM documents"))
    return {found: os.fsdecode(name) for name in names if (found := record_id(name)).encode() != name}


@timed
def set_shard(ledger: Ledger, documents: Sequence[int], shard: int) -> None:
    """The shard holds up-to-date records of these documents.

    The contents of their pages go, but for those of documents with failed pages: they may be asked for again.
    """
    for document in documents:
        ledger._execute("UPDATE documents SET shard = ?, sharded = finished WHERE id = ?", (shard, document))
        ledger._execute(
            "UPDATE pages SET result = NULL WHERE document = ? AND result IS NOT NULL"
            " AND (SELECT failed_pages FROM documents WHERE id = ?) = 0",
            (document, document),
        )


@timed
def lose_shard(ledger: Ledger, shard: int) -> None:
    """The shard is gone. Documents whose pages are not all kept are to be read again."""
    current = ledger.rows(
        "SELECT id FROM documents WHERE shard = ? AND state = 'done' AND sharded IS finished", (shard,)
    )
    ledger._execute("UPDATE documents SET shard = NULL, sharded = NULL WHERE shard = ?", (shard,))
    for (document,) in current:
        if not is_whole(ledger, document):
            ledger.reopen(document)


@timed
def restore(ledger: Ledger, found: Finished) -> int | None:
    """A document that a lost ledger knew as done: it is so again, but for its pages. Gives its number.

    None, and nothing happens, if the ledger knows better.
    """
    entry = ledger.find(found.name)
    if entry is None:
        stamp = Stamp(found.size, found.mtime_ns, found.digest)
        document = ledger.begin(found.name, found.path, "", stamp, found.options)
    elif entry.state in ("waiting", "open") and (entry.stamp.digest, entry.options) == (found.digest, found.options):
        document = entry.id
    else:
        return None
    ledger._execute(
        "UPDATE documents SET state = 'done', numbers = ?, page_count = ?, failed_pages = ?, started = ?, finished = ?,"
        " error = '', cause = '' WHERE id = ?",
        (found.numbers, found.page_count, found.failed_pages, found.started, found.finished, document),
    )
    return document
