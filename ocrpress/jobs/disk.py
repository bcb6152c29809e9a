"""A batch's files on this machine: what is found is stamped, results are written by rename."""

from __future__ import annotations

import errno
import hashlib
import os
import re
import stat
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from ocrpress.errors import OutputError
from ocrpress.jobs.ahead import Ahead
from ocrpress.jobs.finding.found import Found, LeftOut
from ocrpress.jobs.ledger.read import ReadLedger, read_ledger
from ocrpress.jobs.ledger.schema import STATE_FOLDER
from ocrpress.jobs.ledger.values import Stamp, output_key
from ocrpress.jobs.storage import Candidate, PlaceError
from ocrpress.jobs.syncing import Syncer
from ocrpress.output import write_bytes

# What is wrong with one place, and not with the disk.
_LOCAL = frozenset({
    errno.EISDIR, errno.ENOTDIR, errno.EEXIST, errno.ENAMETOOLONG, errno.EILSEQ, errno.EINVAL, errno.EACCES,
    errno.ELOOP,
})  # fmt: skip

MOST_SEEN = 100_000  # inputs that are seen before they are looked at: some 40 MB

_OWN = re.compile(r"report\.html|documents-\d{5,}\.(jsonl|parquet)")
_FIGURE = re.compile(r"(?:^|/)([^/]+)\.figures/\1-p\d{4,}-\d+\.png$", re.DOTALL)


@dataclass
class Disk:
    """Inputs and outputs on this machine. See `storage.Storage`.

    Args:
        out: folder for the outputs.
        found: the inputs. Results among them are not taken for documents.
        checksum: read every file, also those whose size and time are as the ledger says.

    Attributes:
        holds_inputs: some document lies in the folder for the outputs.
    """

    out: Path
    found: Iterator[Found | LeftOut]
    checksum: bool = False
    holds_inputs: bool = False
    _folders: set[Path] = field(default_factory=set)

    def __post_init__(self) -> None:
        self._inside = os.path.realpath(self.out).rstrip("/") + "/"
        self._syncer = Syncer()
        self._walk: Ahead[Found | LeftOut] | None = None
        self._folder = ("", "")  # of the last document, without and with its links followed

    def candidates(self) -> Iterator[Candidate | LeftOut]:
        """Inputs with their stamps, as they are found."""
        with read_ledger(self.out) as known:  # a connection of the thread that asks
            self._walk = Ahead(lambda: self.found, MOST_SEEN)
            nothing_known = self.checksum or known.is_empty()
            for found in self._walk:
                if isinstance(found, LeftOut):
                    yield found
                elif not self._is_result(found, known):
                    yield self._candidate(found, None if nothing_known else known)

    @property
    def seen(self) -> int:
        """How many inputs there are at least."""
        return self._walk.seen if self._walk else 0

    @property
    def seen_all(self) -> bool:
        """Are those all?"""
        return self._walk is not None and self._walk.seen_all

    def changed(self, path: str, stamp: Stamp) -> Stamp | None:
        """The stamp that the file has now, if it is another one."""
        try:
            status = Path(path).stat()
            if (status.st_size, status.st_mtime_ns) == (stamp.size, stamp.mtime_ns):
                return None
            now = _stamp(path)
        except (OSError, ValueError):
            return None
        return None if now.digest == stamp.digest else now

    def gone(self, path: str) -> bool:
        """Is there no such file any more?"""
        try:
            Path(path).stat()
        except FileNotFoundError:
            return True
        except (OSError, ValueError):
            return False
        return False

    def has(self, output: str, size: int = 0) -> bool:
        """Is there a file of that name where outputs are, and not an empty one where there was something?"""
        try:
            status = (self.out / output).stat()
        except (OSError, ValueError):
            return False
        return stat.S_ISREG(status.st_mode) and (status.st_size > 0 or size == 0)

    def write(self, output: str, data: bytes) -> None:
        """Write an output, whole or not at all."""
        path = self.out / output
        for is_last in (False, True):
            try:
                self._make_folder(path.parent)
                write_bytes(path, data, sync=False)
                self._syncer.add(path)
            except (OSError, OutputError) as error:
                cause = error if isinstance(error, OSError) else error.__cause__
                if not isinstance(cause, OSError):
                    raise
                self._folders.clear()  # somebody may have removed one
                if is_last or cause.errno != errno.ENOENT:
                    raise self._error(path, cause) from error
            else:
                return

    def close(self) -> None:
        """Wait until all outputs are on the disk itself. Raises OutputError."""
        try:
            self._syncer.close()
        except OSError as error:
            raise OutputError(f"cannot write {self.out} ({error.strerror or error})") from error

    def figures(self, output: str) -> tuple[str, str]:
        """Folder for the figures of an output, beside it, and how their names begin."""
        stem = output.rpartition(".")[0]
        return str((self.out / f"{stem}.figures").absolute()), Path(stem).name

    def _make_folder(self, folder: Path) -> None:
        """Make a folder for outputs; not the one of the batch itself: where that is gone, the ledger is, too."""
        if folder not in self._folders and folder != self.out:
            self._make_folder(folder.parent)
            folder.mkdir(exist_ok=True)
            self._folders.add(folder)

    def _error(self, path: Path, error: OSError) -> OutputError:
        what = f"cannot write {path} ({error.strerror or error})"
        return PlaceError(what) if error.errno in _LOCAL and self.out.is_dir() else OutputError(what)

    def _is_result(self, found: Found, known: ReadLedger) -> bool:
        """Is it something that a batch has written here, rather than a document?"""
        folder, name = os.path.split(found.path)
        if folder != self._folder[0]:  # files come folder by folder
            self._folder = folder, os.path.realpath(folder).rstrip("/") + "/"
        if not self._folder[1].startswith(self._inside):
            return False
        name = (self._folder[1] + name)[len(self._inside) :]
        if _OWN.fullmatch(name) or name.startswith(f"{STATE_FOLDER}/") or _FIGURE.search(name):
            return True
        sql = "SELECT 1 FROM documents WHERE output_key = ? AND output = ?"
        if known.row(sql, (output_key(name), os.fsencode(name))):
            return True
        self.holds_inputs = True
        return False

    def _candidate(self, found: Found, known: ReadLedger | None) -> Candidate:
        try:
            status = Path(found.path).stat()
            if not status.st_size:
                return Candidate(found, None, "it is empty: give a document with pages", "empty")
            entry = known.find(found.name) if known else None
            # Another file of that name may have the same size and time: those of an archive often do.
            if entry and entry.path == found.path and entry.stamp.digest:
                held = entry.stamp
                if (held.size, held.mtime_ns) == (status.st_size, status.st_mtime_ns):
                    return Candidate(found, held)
            return Candidate(found, _stamp(found.path))
        except FileNotFoundError:
            return Candidate(found, None, "it was there a moment ago and is gone", "vanished")
        except (OSError, ValueError) as error:
            why = getattr(error, "strerror", None) or error
            return Candidate(found, None, f"it cannot be read ({why}): check its permissions", "cannot be opened")


def _stamp(path: str) -> Stamp:
    with Path(path).open("rb") as stream:
        status = os.fstat(stream.fileno())
        digest = hashlib.file_digest(stream, "sha256").hexdigest()
    return Stamp(status.st_size, status.st_mtime_ns, digest)
