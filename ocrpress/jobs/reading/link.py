"""A process that reads pages, and messages to and from it: JSON objects, each with bytes behind it.

The parent's end. It never waits for a message to be whole, nor for the process to take one: what has come is kept until
the rest is there, and what cannot be sent yet is sent while one hears.
"""

from __future__ import annotations

import contextlib
import json
import os
import select
import sys
import threading
import time
from collections import deque
from collections.abc import Sequence
from pathlib import Path
from typing import IO

from ocrpress.errors import OutputError
from ocrpress.jobs.reading.bell import Bell
from ocrpress.sources.pool import Worker
from ocrpress.sources.protocol import HEADER, Message, Pixels, encode

COMMAND = (sys.executable, "-P", "-m", "ocrpress.jobs.reading.worker")
CHUNK = 1 << 20
REST_SECONDS = 10.0  # for what a killed process had said; a child of its own may keep the pipe open

Heard = tuple[Message, bytes]


class Link:
    """One reading process.

    Args:
        command: what to run.
        log: file that takes its stderr; None throws it away.

    Attributes:
        ended: no more can come.
        tied: it was started by a thread that lasts as long as this process, so it may end with that.

    Raises:
        EngineError: it cannot be started.
        OutputError: the log cannot be written.
    """

    def __init__(self, command: Sequence[str] = COMMAND, log: Path | None = None) -> None:
        errors = _open_log(log) if log else None
        try:
            self._worker = Worker(command, "the reading process", errors)
        finally:
            if errors:
                errors.close()
        self.pid = self._worker.pid
        self.ended = False
        self.tied = threading.current_thread() is threading.main_thread()
        self._starved = _starved()
        self._incoming, self._outgoing = bytearray(), deque[memoryview]()
        self._poll = select.poll()
        self._poll.register(self._worker.fileno, select.POLLIN)
        os.set_blocking(self._worker.stdin_fileno, False)

    def send(self, message: Message, data: Pixels = b"") -> None:
        """Hand over a message; a process that is no more shows by `ended`."""
        size = memoryview(data).nbytes
        self._outgoing.append(memoryview(encode(message, size)))
        if size:
            self._outgoing.append(memoryview(data).cast("B"))
        self._flush()

    def hear(self, seconds: float, bell: Bell | None = None) -> list[Heard]:
        """The messages that have come; `ended` when no more can come.

        Args:
            seconds: to wait for the first.
            bell: ends the waiting when it is rung.
        """
        if self._outgoing:
            self._poll.register(self._worker.stdin_fileno, select.POLLOUT)
        if bell:
            self._poll.register(bell.fileno, select.POLLIN)
        found = {descriptor for descriptor, _ in self._poll.poll(max(0, round(seconds * 1000)))}
        if bell and bell.fileno in found:
            bell.silence()
        if self._outgoing:
            self._flush()
            self._poll.unregister(self._worker.stdin_fileno)
        if self._worker.fileno in found and not self.ended:
            data = os.read(self._worker.fileno, CHUNK)
            self.ended = not data
            self._incoming += data
        return self._whole()

    def rest(self) -> list[Heard]:
        """Stop the process; what it had said before."""
        self._worker.kill()
        self._outgoing.clear()
        heard, end = [], time.monotonic() + REST_SECONDS
        while not self.ended and time.monotonic() < end:
            heard += self.hear(1.0)
        return heard

    def how_it_ended(self) -> str:
        """In words; once `ended`."""
        return self._worker.how_it_ended()

    def out_of_memory(self) -> bool:
        """Has the system killed a process, since this one was started, because there was no memory left?"""
        return self._worker.how_it_ended().endswith("(SIGKILL)") and _starved() > self._starved

    def stop(self) -> None:
        """End the process at once. Safe to call twice."""
        self._worker.stop()

    def _flush(self) -> None:
        """Send what can be sent at once."""
        while self._outgoing:
            try:
                written = os.write(self._worker.stdin_fileno, self._outgoing[0])
            except BlockingIOError:
                return
            except BrokenPipeError:
                self._outgoing.clear()
                return
            rest = self._outgoing.popleft()[written:]
            if rest:
                self._outgoing.appendleft(rest)

    def _whole(self) -> list[Heard]:
        heard, start = [], 0
        while len(self._incoming) - start >= HEADER.size:
            text_bytes, data_bytes = HEADER.unpack_from(self._incoming, start)
            middle = start + HEADER.size + text_bytes
            if len(self._incoming) < middle + data_bytes:
                break
            message = json.loads(self._incoming[start + HEADER.size : middle])
            heard.append((message, bytes(self._incoming[middle : middle + data_bytes])))
            start = middle + data_bytes
        del self._incoming[:start]
        return heard


def _open_log(path: Path) -> IO[bytes]:
    try:
        return path.open("ab")
    except OSError as error:
        raise OutputError(f"cannot write {path} ({error.strerror or error})") from error


def _starved() -> int:
    """How many processes the system has killed for want of memory, where it says so (Linux)."""
    with contextlib.suppress(OSError, ValueError):
        for line in Path("/proc/vmstat").read_text().splitlines():
            if line.startswith("oom_kill "):
                return int(line.split()[1])
    return 0
