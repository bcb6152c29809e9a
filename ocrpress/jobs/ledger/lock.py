"""One run at a time on one output folder: an advisory lock (flock) on a file that names its holder.

The system lets go of the lock when its holder dies, however it dies. The file stays; only the lock on it counts.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import json
import os
import socket
import time
import weakref
from dataclasses import dataclass
from pathlib import Path

from ocrpress.errors import OutputError, UsageError

_PATIENCE = 0.5  # seconds: somebody may only be looking whether the lock is held
_held: weakref.WeakSet[Lock] = weakref.WeakSet()


@dataclass(frozen=True)
class Holder:
    """The process that holds a lock."""

    pid: int
    host: str

    def __str__(self) -> str:
        return f"process {self.pid}" if self.host == socket.gethostname() else f"process {self.pid} on {self.host}"


class Lock:
    """The lock, held from here to `release`.

    Args:
        path: of the file, made if it is not there; its folder must be.
        what: that is locked, for the error message.

    Raises:
        UsageError: another process holds it, or this one does already.
        OutputError: the file cannot be made, or the file system knows no locks.
    """

    def __init__(self, path: Path, what: str) -> None:
        self._descriptor = -1
        try:
            self._descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o666)
            self._acquire(path, what)
            os.ftruncate(self._descriptor, 0)
            mine = {"pid": os.getpid(), "host": socket.gethostname()}
            os.pwrite(self._descriptor, json.dumps(mine).encode() + b"\n", 0)
        except OSError as error:
            self.release()
            reason = "the file system has no locks" if error.errno == errno.ENOTSUP else error.strerror or error
            raise OutputError(f"cannot lock {path} ({reason})") from error
        except UsageError:
            self.release()
            raise
        _held.add(self)

    def release(self) -> None:
        """Let go. Safe to call twice."""
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1

    def _acquire(self, path: Path, what: str) -> None:
        until = time.monotonic() + _PATIENCE
        while not _try_lock(self._descriptor, fcntl.LOCK_EX):
            if time.monotonic() > until:
                holder = _read(path)
                who = f"{holder} is" if holder else "another process is"
                advice = "wait until it has ended, or stop it; or choose another place with -o"
                raise UsageError(f"{who} writing to {what}", advice)
            time.sleep(0.02)


def holder(path: Path) -> Holder | None:
    """Who holds the lock now; None if nobody does or the file cannot be read."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except OSError:
        return None
    try:
        return None if _try_lock(descriptor, fcntl.LOCK_SH) else _read(path)
    except OSError:
        return None
    finally:
        os.close(descriptor)


def _try_lock(descriptor: int, kind: int) -> bool:
    try:
        fcntl.flock(descriptor, kind | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _read(path: Path) -> Holder | None:
    try:
        found = json.loads(path.read_bytes())
        return Holder(int(found["pid"]), str(found["host"]))
    except (OSError, ValueError, TypeError, KeyError):
        return None


def _forget_in_child() -> None:
    """A forked child shares the lock and would hold it beyond its parent's death."""
    for lock in list(_held):
        with contextlib.suppress(OSError):
            lock.release()


os.register_at_fork(after_in_child=_forget_in_child)
