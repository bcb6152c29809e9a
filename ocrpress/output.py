"""Files that are whole or not there: written beside their place under a hidden name, then renamed.

A process that is killed while it writes leaves the hidden file behind and never half a file under the final name.
"""

from __future__ import annotations

import contextlib
import functools
import os
import stat
from itertools import count
from pathlib import Path
from typing import TYPE_CHECKING

from ocrpress.errors import OutputError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

_numbers = count(1)
_unfinished: set[Path] = set()


def write_text(path: Path, text: str) -> None:
    """Write text as UTF-8; see `write_bytes`."""
    write_bytes(path, text.encode("utf-8", "replace"))


def write_bytes(path: Path, data: bytes, *, sync: bool = True) -> None:
    """Write a file under this name, whole or not at all. A device or a pipe is written to as it is.

    Args:
        sync: wait until it is on the disk itself; without, a power cut soon after may leave it empty.

    Raises OutputError; what stood under the name before then still stands there.
    """
    with writing(path, sync=sync) as write:
        write(data)


@contextlib.contextmanager
def writing(path: Path, *, sync: bool = True) -> Iterator[Callable[[bytes], None]]:
    """A file written piece by piece, whole or not at all: it gets its name when the context ends without an error.

    Gives the function that writes the next piece. Raises OutputError; see `write_bytes`.
    """
    try:
        if _is_special(path):
            with path.open("wb", buffering=0) as stream:
                yield functools.partial(_write, stream.fileno())
            return
        target = Path(os.path.realpath(path))  # a link keeps pointing where it points
        with _partial(target.parent) as (partial, descriptor):
            yield functools.partial(_write, descriptor)
            if sync:
                os.fsync(descriptor)  # a full disk may be noticed as late as here
            partial.replace(target)
    except OSError as error:
        raise _cannot_write(path, error) from error


def check_writable(path: Path) -> None:
    """Find out now whether `write_text` could write there: makes missing parent folders, leaves nothing else behind.

    Raises OutputError.
    """
    try:
        if path.is_dir():
            raise OutputError(f"cannot write {path} (a folder of that name is in the way)")
        if not _is_special(path):
            check_folder(Path(os.path.realpath(path)).parent)
    except OSError as error:
        raise _cannot_write(path, error) from error


def check_folder(folder: Path) -> None:
    """Make the folder where it is missing and find out whether files can be made in it. Raises OutputError."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with _partial(folder):
            pass
    except OSError as error:
        raise _cannot_write(folder, error) from error


def discard_unfinished() -> None:
    """Remove the hidden files of this process; for a signal handler that is about to end it."""
    for partial in tuple(_unfinished):
        with contextlib.suppress(OSError):
            partial.unlink()


@contextlib.contextmanager
def _partial(folder: Path) -> Iterator[tuple[Path, int]]:
    """A new hidden file in the folder, open for writing; gone at the end unless it was renamed."""
    partial = folder / f".ocrpress-{os.getpid()}-{next(_numbers)}.part"
    _unfinished.add(partial)
    try:
        # Not the tempfile module: its files could be read by nobody else, whatever the umask says.
        descriptor = os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | getattr(os, "O_CLOEXEC", 0), 0o666)
        try:
            yield partial, descriptor
        finally:
            os.close(descriptor)
    finally:
        partial.unlink(missing_ok=True)
        _unfinished.discard(partial)


def _write(descriptor: int, data: bytes) -> None:
    view = memoryview(data)
    while view.nbytes:
        view = view[os.write(descriptor, view) :]


def _is_special(path: Path) -> bool:
    """Is there something under this name that is neither a file nor a folder: a device, a pipe?"""
    try:
        kind = path.stat().st_mode
    except FileNotFoundError:
        return False
    return not (stat.S_ISREG(kind) or stat.S_ISDIR(kind))


def _cannot_write(path: Path, error: OSError) -> OutputError:
    return OutputError(f"cannot write {path} ({error.strerror or error})")
