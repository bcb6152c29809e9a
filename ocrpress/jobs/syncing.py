"""Files that were written go to the disk itself a moment later, many together, while others are being written.

To wait for the disk after every small file would take longer than reading it does. What a power cut leaves of a file
that had not got there is an empty one, and is noticed as such (`Storage.has`).
"""

from __future__ import annotations

import os
import queue
import threading
import time
from pathlib import Path

PAUSE = 0.5  # seconds: the first of many files that waits for the disk takes the others along


class Syncer:
    """A thread that waits for the disk. `add` and `close` raise the OSError that it has met."""

    def __init__(self) -> None:
        self._paths: queue.SimpleQueue[Path | None] = queue.SimpleQueue()
        self._error: OSError | None = None
        self._thread: threading.Thread | None = None

    def add(self, path: Path) -> None:
        """A file that was written."""
        self._check()
        if self._thread is None:
            self._thread = threading.Thread(target=self._run, daemon=True)
            self._thread.start()
        self._paths.put(path)

    def close(self) -> None:
        """Wait until all files are there. Safe to call twice."""
        if self._thread:
            self._paths.put(None)
            self._thread.join()
            self._thread = None
        self._check()

    def _check(self) -> None:
        if self._error:
            raise self._error

    def _run(self) -> None:
        while (path := self._paths.get()) is not None:
            if self._paths.empty():
                time.sleep(PAUSE)
            try:
                _sync(path)
            except OSError as error:
                self._error = error
                return


def _sync(path: Path) -> None:
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except OSError:
        return  # somebody has taken it away, or made it unreadable: it was written all the same
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
