"""Where the service's log goes: lines on stderr, for people or as JSON for programs.

A stderr that nobody reads any more must not stop the service: lines wait in a bounded queue, for a thread that writes
them; what does not fit is dropped.
"""

from __future__ import annotations

import contextlib
import json
import logging
import queue
import threading
from collections.abc import Iterator, Mapping
from logging.handlers import QueueHandler
from typing import Any

from ocrpress.errors import unknown

FORMATS = ("line", "json")
MOST_WAITING = 10_000  # lines
LAST_LINES = 1.0  # seconds for what still waits at the end
OWN = ("ocrpress.access", "ocrpress.server")


@contextlib.contextmanager
def logging_to_stderr(style: str = FORMATS[0], *, quiet: bool = False) -> Iterator[None]:
    """Within, the service logs to stderr.

    Args:
        style: of FORMATS.
        quiet: only what went wrong.

    Raises:
        UsageError: an unknown style.
    """
    if style not in FORMATS:
        raise unknown("log format", style, FORMATS)
    stderr = _Stderr()
    stderr.setFormatter(_Json() if style == "json" else _Line())
    waiting: queue.Queue[logging.LogRecord | None] = queue.Queue(MOST_WAITING)
    writer = threading.Thread(target=_write, args=(waiting, stderr), name="ocrpress-log", daemon=True)
    handler = _Handler(waiting)
    for name in OWN:
        logger = logging.getLogger(name)
        logger.setLevel(logging.WARNING if quiet else logging.INFO)
        logger.propagate = False
        logger.addHandler(handler)
    # It tells of clients that leave and send nonsense; what we answer is in our own log.
    logging.getLogger("uvicorn").setLevel(logging.CRITICAL)
    writer.start()
    try:
        yield
    finally:
        for name in OWN:
            logging.getLogger(name).removeHandler(handler)
        with contextlib.suppress(queue.Full):
            waiting.put(None, timeout=LAST_LINES)
            writer.join(LAST_LINES)


def _write(waiting: queue.Queue[logging.LogRecord | None], handler: logging.Handler) -> None:
    """The thread that writes."""
    while (record := waiting.get()) is not None:
        handler.handle(record)


class _Stderr(logging.StreamHandler[Any]):
    def handleError(self, record: logging.LogRecord) -> None:  # noqa: N802
        """A stderr that is closed or full is nobody's error."""


class _Handler(QueueHandler):
    def prepare(self, record: logging.LogRecord) -> logging.LogRecord:
        """As it is: it is formatted in the thread that writes it."""
        return record

    def enqueue(self, record: logging.LogRecord) -> None:
        """Drop what does not fit."""
        with contextlib.suppress(queue.Full):
            self.queue.put_nowait(record)


class _Line(logging.Formatter):
    def __init__(self) -> None:
        super().__init__("%(asctime)s %(message)s", "%Y-%m-%d %H:%M:%S")


class _Json(logging.Formatter):
    """An object a line. What a message is made of becomes its members."""

    def format(self, record: logging.LogRecord) -> str:
        found: dict[str, Any] = {
            "time": self.formatTime(record, "%Y-%m-%dT%H:%M:%S%z"), "level": record.levelname.lower(),
            "logger": record.name,
        }  # fmt: skip
        if isinstance(record.args, Mapping):
            found |= record.args
        else:
            found["message"] = record.getMessage()
        if record.exc_info:
            found["traceback"] = self.formatException(record.exc_info)
        return json.dumps(found, ensure_ascii=False, default=str)
