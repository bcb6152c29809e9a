"""An output folder behind a URL: results are put there; the ledger is made again from what lies there, at the start.

    OUT/.ocrpress/pages/*.parquet     what was read of which document (`cluster.records`)
    OUT/.ocrpress/finished/*.jsonl    documents whose output was written (`finished`)
    OUT/.ocrpress/lock                who writes there now

The ledger itself is a file in a temporary folder of this machine, for SQLite needs one. So any machine can go on with
the batch, and what is lost with this one is only what no record tells of yet: pages in flight.
"""

from __future__ import annotations

import contextlib
import json
import os
import secrets
import shutil
import socket
import tempfile
import threading
import time
from pathlib import Path
from typing import Any, Self

from ocrpress.errors import OutputError, UsageError
from ocrpress.jobs.cluster.records import check_pyarrow, restore
from ocrpress.jobs.ledger.book import Ledger, open_ledger
from ocrpress.jobs.ledger.finished import Finished, read_finished
from ocrpress.jobs.ledger.schema import FINISHED, RECORDS, state_folder
from ocrpress.jobs.ledger.values import Entry
from ocrpress.jobs.urls.files import get_all, get_one, joined, put, put_file, remove, sizes_below

REPORT = "report.html"
BEAT = 20.0  # seconds between signs of life
STALE = 90.0  # seconds without one, after which a lock counts for nothing
PUSH = 5.0  # seconds after which it is known there that a document is finished


class UrlLock:
    """One run at a time on one output folder: a file there that names who has it, and is written again and again.

    A store has no locks: two runs that begin within the same second may both believe that they have it for a moment;
    the one that finds the other's name in it gives up.

    Raises:
        UsageError: another run has it.
        OutputError: the place cannot be written to.
    """

    def __init__(self, out: str) -> None:
        self._path, self._out = joined(out, ".ocrpress", "lock"), out
        self._mine = {"host": socket.gethostname(), "pid": os.getpid(), "id": secrets.token_hex(8)}
        holder = self._holder()
        if holder and _is_alive(holder):
            raise self._held(holder)
        self.beat()
        holder = self._holder()
        if holder and holder["id"] != self._mine["id"]:
            raise self._held(holder)

    def beat(self) -> None:
        """Say that this run is alive. Raises OutputError."""
        put(self._path, json.dumps({**self._mine, "beat": time.time()}).encode())

    def release(self) -> None:
        """Let go."""
        remove(self._path)

    def _holder(self) -> dict[str, Any] | None:
        try:
            data = get_one(self._path)
            found: dict[str, Any] = json.loads(data) if data else {}
            return found if {"host", "pid", "id", "beat"} <= found.keys() else None
        except (ValueError, AttributeError):
            return None

    def _held(self, holder: dict[str, Any]) -> UsageError:
        who = f"process {holder['pid']} on {holder['host']} is writing to {self._out}"
        return UsageError(who, f"wait until it has ended; if it was killed, {STALE:g} seconds are enough")


def _is_alive(holder: dict[str, Any]) -> bool:
    if holder["host"] != socket.gethostname():
        return bool(time.time() - holder["beat"] < STALE)
    try:
        os.kill(holder["pid"], 0)
    except ProcessLookupError:
        return False
    except OSError:
        return True
    return True


class UrlOut:
    """The output folder of a batch, held by this run from here to `close`; a context.

    Attributes:
        url: of the folder.
        folder: temporary, of this machine: ledger and report.

    Raises:
        UsageError: another run has it, or a package is missing.
        InputError: what lies there cannot be read. OutputError: nothing can be written there.
    """

    def __init__(self, url: str) -> None:
        check_pyarrow()
        self.url = url.rstrip("/")
        self._lock = UrlLock(self.url)
        self.folder = Path(tempfile.mkdtemp(prefix="ocrpress-batch-"))
        self._pushed = 0  # bytes of finished.jsonl that are there too
        self._pushes = 0
        self._run = f"{time.strftime('%Y%m%dT%H%M%S', time.gmtime())}-{secrets.token_hex(3)}"
        self._error: OutputError | None = None
        self._ending = threading.Event()
        self._beating = threading.Thread(target=self._beat, daemon=True, name="url-out")
        try:
            self._sizes = sizes_below(self.url)
        except BaseException:
            self.close()
            raise

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    @property
    def records(self) -> str:
        """URL of the folder for records of pages."""
        return joined(self.url, RECORDS)

    def open_ledger(self) -> Ledger:
        """The ledger, made from what lies there. Raises as this class does."""
        finished = self._finished()

        def written(entry: Entry) -> Finished | None:
            found = finished.get(entry.name)
            if found is None or (found.digest, found.options) != (entry.stamp.digest, entry.options):
                return None
            return found if self._sizes.get(entry.output) == found.output_bytes else None

        ledger = open_ledger(self.folder)
        try:
            restore(ledger, self.records, written)
        except BaseException:
            ledger.close()
            raise
        self._pushed = _size(self._log)  # what came from there need not go there
        self._beating.start()
        return ledger

    def has(self, output: str, size: int = 0) -> bool:
        """Is there a file of that name, and not an empty one where there was something?"""
        there = self._sizes.get(output)
        return there is not None and (there > 0 or size == 0)

    def write(self, output: str, data: bytes) -> None:
        """Write an output, whole or not at all. Raises OutputError."""
        if self._error:
            raise self._error
        put(joined(self.url, output), data)
        self._sizes[output] = len(data)

    def close(self) -> None:
        """Say what is finished, put the report there, let others write. Close the ledger before. Safe to call twice.

        Raises OutputError: the place cannot be written to any more.
        """
        if not self.folder.exists():
            return
        self._ending.set()
        try:
            if self._beating.is_alive():
                self._beating.join()
                self._push()
                if (self.folder / REPORT).exists():
                    put_file(joined(self.url, REPORT), self.folder / REPORT)
        finally:
            shutil.rmtree(self.folder, ignore_errors=True)
            with contextlib.suppress(OutputError):
                self._lock.release()

    @property
    def _log(self) -> Path:
        return state_folder(self.folder) / FINISHED

    def _finished(self) -> dict[str, Finished]:
        """By name, what the last run that finished a document said of it."""
        there = self.folder / "there.jsonl"
        with there.open("wb") as stream:
            for _, data in get_all(joined(self.url, ".ocrpress/finished"), ".jsonl"):
                stream.write(data)
        found = {line.name: line for line in read_finished(there)}
        there.unlink()
        return found

    def _beat(self) -> None:
        beaten = time.monotonic()
        while not self._ending.wait(PUSH):
            try:
                self._push()
                if time.monotonic() - beaten > BEAT:
                    self._lock.beat()
                    beaten = time.monotonic()
            except OutputError as error:
                self._error = error  # the next output that is written raises it
                return

    def _push(self) -> None:
        """Put the new lines of finished.jsonl into a file there."""
        with contextlib.suppress(FileNotFoundError), self._log.open("rb") as stream:
            stream.seek(self._pushed)
            data = stream.read()
            data = data[: data.rfind(b"\n") + 1]
            if data:
                self._pushes += 1
                put(joined(self.url, ".ocrpress/finished", f"{self._run}-{self._pushes:06d}.jsonl"), data)
                self._pushed += len(data)


def _size(path: Path) -> int:
    return path.stat().st_size if path.exists() else 0
