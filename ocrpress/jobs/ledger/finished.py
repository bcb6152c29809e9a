"""finished.jsonl: one line a finished document, appended and never changed; from it a lost ledger is made again.

A line holds what the ledger knows of the document when it is done. The last line of a name counts. A line that is torn
or damaged is passed over, and no line is believed further than its output stands there: see `stands`.
"""

from __future__ import annotations

import hashlib
import json
import os
import time
from collections.abc import Iterator
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

_SYNC_SECONDS = 1.0


@dataclass(frozen=True)
class Finished:
    """A finished document; the fields are those of the ledger's table `documents`."""

    name: str
    path: str
    output: str
    size: int
    mtime_ns: int
    digest: str
    options: str
    numbers: str
    page_count: int
    failed_pages: int
    output_bytes: int
    output_digest: str
    started: float
    finished: float

    def line(self) -> bytes:
        """As a line of the file: JSON, ASCII; bytes that are no UTF-8 in names are lone surrogates."""
        return json.dumps(vars(self), separators=(",", ":")).encode() + b"\n"


def stands(path: Path, size: int, digest: str) -> bool:
    """Is this file there, with that size in bytes and that SHA-256 (hexadecimal)?"""
    try:
        with path.open("rb") as stream:
            if os.fstat(stream.fileno()).st_size != size:
                return False
            return hashlib.file_digest(stream, "sha256").hexdigest() == digest
    except (OSError, ValueError):
        return False


_TYPES: dict[str, tuple[type, ...]] = {
    item.name: {"str": (str,), "int": (int,), "float": (float, int)}[str(item.type)] for item in fields(Finished)
}


class FinishedLog:
    """The file, open for appending. Lines wait in memory for `flush`. All methods but `add` may raise OSError."""

    def __init__(self, path: Path) -> None:
        self._waiting: list[bytes] = []
        self._dirty, self._synced = False, time.monotonic()
        self._descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o666)
        try:
            self._end = _whole_lines(self._descriptor)
            os.ftruncate(self._descriptor, self._end)  # a torn last line would spoil the next one
        except OSError:
            self.close()
            raise

    def add(self, document: Finished) -> None:
        """Have a line written by the next `flush`."""
        self._waiting.append(document.line())

    def flush(self) -> None:
        """Write the lines that wait; if that fails, none of them is there.

        They are in the hands of the system then, which SIGKILL does not touch; on the disk itself they are within a
        second, or when the file is closed. A power cut that costs the lines of a second costs no more than reading
        these documents again, and only if it has spoilt the ledger, too.
        """
        if self._waiting:
            data = b"".join(self._waiting)
            try:
                view = memoryview(data)
                while view.nbytes:
                    view = view[os.write(self._descriptor, view) :]
            except OSError:
                os.ftruncate(self._descriptor, self._end)
                raise
            self._end += len(data)
            self._waiting.clear()
            self._dirty = True
        if self._dirty and time.monotonic() - self._synced >= _SYNC_SECONDS:
            self._sync()

    def _sync(self) -> None:
        os.fsync(self._descriptor)
        self._synced, self._dirty = time.monotonic(), False

    def close(self) -> None:
        """Close the file; lines that still wait are dropped. Safe to call twice."""
        if self._descriptor >= 0:
            try:
                if self._dirty:
                    self._sync()
            finally:
                os.close(self._descriptor)
                self._descriptor = -1


def read_finished(path: Path) -> Iterator[Finished]:
    """Every sound line of the file, in order; nothing if there is no file. Raises OSError."""
    if not path.exists():
        return
    with path.open("rb") as stream:
        for line in stream:
            found = _parse(line) if line.endswith(b"\n") else None
            if found:
                yield found


def _parse(line: bytes) -> Finished | None:
    try:
        found: Any = json.loads(line)
    except (ValueError, RecursionError):
        return None
    if not isinstance(found, dict) or found.keys() != _TYPES.keys():
        return None
    if not all(type(found[name]) in types for name, types in _TYPES.items()):
        return None
    return Finished(**found)


def _whole_lines(descriptor: int) -> int:
    """Length of the file up to the end of its last whole line."""
    end = os.lseek(descriptor, 0, os.SEEK_END)
    while end:
        start = max(0, end - 65536)
        cut = os.pread(descriptor, end - start, start).rfind(b"\n")
        if cut >= 0:
            return start + cut + 1
        end = start
    return 0
