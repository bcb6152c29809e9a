"""Documents that are done ──▶ records in shards: OUT/documents-00000.jsonl or .parquet.

A document that is done waits in the ledger, page by page, until it is in a shard that is whole. The shard that is
being written grows a little with every `write`, in the ledger's folder; if the process dies, its documents still wait.
What is in memory is one document at a time, and in Parquet one row group.
"""

from __future__ import annotations

import contextlib
import math
import os
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from ocrpress.document import Document
from ocrpress.jobs.datasets import files
from ocrpress.jobs.datasets import queries as told
from ocrpress.jobs.datasets.shelf import Shelf
from ocrpress.jobs.ledger.book import Ledger
from ocrpress.jobs.ledger.schema import translated
from ocrpress.writers.dolma import dolma_record

SHARD_BYTES = 256 << 20  # of text, as UTF-8
SHARD_DOCUMENTS = 10_000
SLICE = 0.25  # seconds that a `write` takes, about
LOOK_SHARE = 0.02  # of the time at most goes into looking for what waits
_YEAR_9999 = 253_370_764_800 * 10**9  # in nanoseconds since 1970; what comes later is no date


class ShardWriter:
    """Writes the shards of an output folder. All methods may raise OutputError and LedgerError.

    To make one puts right what an earlier run left half done (`Shelf.recover`), so do it before the ledger is asked
    what is done. It looks into the ledger for what there is to write, and need not be told.

    Args:
        out: the output folder.
        format: "jsonl" or "parquet".
        ledger: open for writing. Its documents have no output of their own (`output` is empty), and are finished with
            their pages kept.
        keep_furniture: keep running heads, running feet and page numbers.
        most_bytes, most_documents: a shard that has as much is closed.

    Raises:
        UsageError: no such format, or pyarrow is missing.
    """

    def __init__(
        self,
        out: Path,
        format: str,  # noqa: A002
        ledger: Ledger,
        *,
        keep_furniture: bool = False,
        most_bytes: int = SHARD_BYTES,
        most_documents: int = SHARD_DOCUMENTS,
    ) -> None:
        files.check_format(format)
        self._out = out
        self._ledger = ledger
        self._shelf = Shelf(out, ledger)
        self._made = self._shelf.workshop / f"documents-new.{format}"
        self._keep_furniture = keep_furniture
        self._most_bytes = most_bytes
        self._most_documents = most_documents
        self._shard: _Shard | None = None
        self._waiting: deque[int] = deque()
        self._next_look = 0.0
        with translated(out):
            self._shelf.recover()

    def due(self) -> bool:
        """Is there something to write? Cheap to ask often: it does not look each time."""
        if not self._waiting and time.monotonic() >= self._next_look:
            self._look()
        return bool(self._waiting)

    def write(self, all: bool = False) -> list[Path]:  # noqa: A002
        """Write on for a moment (`SLICE`), or with `all` everything that waits. Gives the shards that got whole.

        Without `all` a shard gets whole when it has as much as one may have; with `all` the last one does, too.
        """
        until = math.inf if all else time.monotonic() + SLICE
        written: list[Path | None] = []
        try:
            with translated(self._out):
                while (document := self._next(at_once=all)) is not None:
                    shard = self._add(document)
                    if shard and (shard.size >= self._most_bytes or len(shard.documents) >= self._most_documents):
                        written.append(self._finish())
                    if time.monotonic() >= until:
                        break
                if all:
                    written.append(self._finish())
        except BaseException:
            self.close()
            raise
        return [path for path in written if path]

    def close(self) -> None:
        """Drop the shard that is not whole; its documents wait. Safe to call twice."""
        shard, self._shard = self._shard, None
        self._waiting.clear()
        if shard:
            shard.drop()

    def _next(self, at_once: bool) -> int | None:
        if not self._waiting and (at_once or time.monotonic() >= self._next_look):
            self._look()
        return self._waiting.popleft() if self._waiting else None

    def _look(self) -> None:
        """Find documents that wait and are not in the shard that is being written."""
        began = time.monotonic()
        taken = set(self._shard.documents) if self._shard else set()
        found = told.pending(self._ledger, self._most_documents + len(taken))
        self._waiting.extend(document for document in found if document not in taken)
        now = time.monotonic()
        self._next_look = now + (now - began) / LOOK_SHARE

    def _add(self, document: int) -> _Shard | None:
        """Add a document to the shard that is being written, and give that."""
        if not told.is_pending(self._ledger, document):
            return self._shard
        if not told.is_whole(self._ledger, document):
            self._ledger.reopen(document)  # finished without keeping its pages, by mistake: better read again
            return self._shard
        record = self._record(document)
        self._shard = self._shard or _Shard.begin(self._made)
        self._shard.add(record)
        self._shard.documents.append(document)
        self._shard.size += len(record["text"].encode())
        return self._shard

    def _finish(self) -> Path | None:
        """The shard that is being written is whole."""
        shard, self._shard = self._shard, None
        if shard is None:
            return None
        shard.stack.close()
        return self._shelf.put(self._made, shard.documents)

    def _record(self, document: int) -> files.Record:
        entry = self._ledger.entry(document)
        pages = tuple(self._ledger.results(document))
        engine, mode, others = told.read_by(self._ledger, document)
        stamp = entry.stamp
        return dolma_record(
            Document(entry.name, pages, engine, mode, page_count=entry.page_count),
            id=told.record_id(os.fsencode(entry.name)),
            added=told.timestamp(entry.finished or 0.0),
            created=told.timestamp(stamp.mtime_ns // 10**9) if 0 < stamp.mtime_ns < _YEAR_9999 else "",
            metadata={"total-fallback-pages": others, "Source-SHA256": stamp.digest, "Source-Bytes": stamp.size},
            keep_furniture=self._keep_furniture,
        )


@dataclass
class _Shard:
    """A shard that is being written.

    Attributes:
        stack: holds the file open.
        add: takes a record.
        documents: of the records so far.
        size: bytes of their text.
    """

    stack: contextlib.ExitStack
    add: Callable[[files.Record], None]
    documents: list[int] = field(default_factory=list)
    size: int = 0

    @staticmethod
    def begin(path: Path) -> _Shard:
        stack = contextlib.ExitStack()
        return _Shard(stack, stack.enter_context(files.writing_shard(path)))

    def drop(self) -> None:
        """Let the file go, unfinished."""
        with contextlib.suppress(_DropError), self.stack:
            raise _DropError


class _DropError(Exception):
    """Ends the writing of a file that is not wanted."""
