"""The folders of jobs on the disk, one a job: the document, what was asked, and what was made of both.

    jobs/<id>/input-<id>      the document, under a name of ours
    jobs/<id>/request.json    written last, by rename: with it there is a job, without it there is none
    jobs/<id>/….json          what can be computed again
    jobs/<id>/pictures/       likewise

A job that goes is renamed first, so that it is gone whole. Everything here may be read by the service's user alone.
Knows nothing of the ledger.
"""

from __future__ import annotations

import contextlib
import hashlib
import logging
import os
import shutil
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from ocrpress.errors import OutputError
from ocrpress.jobs.ledger.schema import sync_folder
from ocrpress.jobs.ledger.values import Stamp
from ocrpress.server.jobs.record import Record, as_bytes, is_id, new_id, of_bytes

REQUEST = "request.json"
PICTURES = "pictures"
_GOING = ".going-"  # begins the name of a folder that is being removed

log = logging.getLogger("ocrpress.server")


class Folders:
    """The folders of all jobs.

    Args:
        root: made by `prepare`.
    """

    def __init__(self, root: Path) -> None:
        self.root = root
        self._sweeper = ThreadPoolExecutor(1, "ocrpress-sweeper")

    def prepare(self) -> None:
        """Make the root, and remove what earlier runs left unfinished. Raises OutputError."""
        with translated(self.root):
            self.root.mkdir(mode=0o700, parents=True, exist_ok=True)
            for path in list(self.root.iterdir()):
                if path.name.startswith(_GOING) or (is_id(path.name) and not (path / REQUEST).exists()):
                    shutil.rmtree(path, ignore_errors=True)

    def records(self, keep_seconds: float) -> Iterator[Record]:
        """All jobs, in no order. One that cannot be understood is passed over, and removed when it is that old.

        Raises OutputError.
        """
        with translated(self.root):
            found = [path for path in self.root.iterdir() if is_id(path.name)]
        for path in found:
            try:
                yield self.record(path.name)
            except FileNotFoundError:
                continue
            except (OSError, ValueError) as error:
                log.error("job %s cannot be understood: %s", path.name, error)
                with contextlib.suppress(OSError):
                    if time.time() - path.stat().st_mtime > keep_seconds:
                        self.remove(path.name)

    def record(self, job: str) -> Record:
        """What was asked. Raises FileNotFoundError if there is no such job, ValueError if it is damaged, OSError."""
        record = of_bytes((self.root / job / REQUEST).read_bytes())
        if record.id != job:
            raise ValueError(f"it is that of {record.id}")
        return record

    def path(self, record: Record) -> Path:
        """Of the document, absolute."""
        return (self.root / record.id / record.input).absolute()

    def add(self, record: Record, move: Callable[[Path], object]) -> Stamp:
        """A new job, on the disk itself when this returns; what its document is known by.

        Args:
            move: puts the document in the place that it is given.

        Raises:
            OutputError: it cannot be stored; then nothing of it is left.
        """
        folder, path = self.root / record.id, self.path(record)
        try:
            with translated(folder):
                folder.mkdir(mode=0o700)
                move(path)
                with path.open("rb") as stream:
                    os.fsync(stream.fileno())
                    digest = hashlib.file_digest(stream, "sha256").hexdigest()
                write_private(folder / REQUEST, as_bytes(record), sync=True)
                sync_folder(self.root)
                return Stamp(path.stat().st_size, path.stat().st_mtime_ns, digest)
        except BaseException:
            shutil.rmtree(folder, ignore_errors=True)
            raise

    def stamp(self, record: Record) -> Stamp:
        """What the job's document is known by. Raises OutputError."""
        path = self.path(record)
        with translated(path), path.open("rb") as stream:
            found = os.fstat(stream.fileno())
            return Stamp(found.st_size, found.st_mtime_ns, hashlib.file_digest(stream, "sha256").hexdigest())

    def remove(self, job: str) -> bool:
        """The job is no more; its files go soon after. Was it there? Raises OutputError."""
        going = self.root / f"{_GOING}{new_id()}"
        with translated(self.root / job):
            try:
                (self.root / job).rename(going)
            except FileNotFoundError:
                return False
        with contextlib.suppress(RuntimeError):  # closed: the next run removes it
            self._sweeper.submit(shutil.rmtree, going, ignore_errors=True)
        return True

    def close(self) -> None:
        """Wait for what is being removed. Safe to call twice."""
        self._sweeper.shutdown()


def write_private(path: Path, data: bytes, *, sync: bool = False) -> None:
    """Write a file that its owner alone may read, whole or not at all. Raises OSError.

    Args:
        sync: name and contents are on the disk itself when this returns.
    """
    partial = path.with_name(f".{new_id()}.part")
    try:
        descriptor = os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        with os.fdopen(descriptor, "wb") as stream:
            stream.write(data)
            stream.flush()
            if sync:
                os.fsync(descriptor)
        partial.replace(path)
        if sync:
            sync_folder(path.parent)
    except BaseException:
        partial.unlink(missing_ok=True)
        raise


@contextlib.contextmanager
def translated(path: Path) -> Iterator[None]:
    """Errors of the system as OutputError."""
    try:
        yield
    except OSError as error:
        raise OutputError(f"cannot write {path} ({error.strerror or error})") from error
