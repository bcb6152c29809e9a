"""Small pictures of pages that failed, drawn from the inputs as they are now, or why there is none.

failed pages ──choose──▶ a few of every cause ──▶ drawing process, limited in time and memory ──▶ PNG
"""

from __future__ import annotations

import math
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import zip_longest
from pathlib import Path
from typing import TYPE_CHECKING

from ocrpress.errors import EngineError
from ocrpress.jobs.report.failures import in_a_line
from ocrpress.sources.pool import Worker, ask
from ocrpress.sources.protocol import Reply

if TYPE_CHECKING:
    from ocrpress.jobs.report.failures import FailedPage

COMMAND = (sys.executable, "-P", "-m", "ocrpress.jobs.report.drawing")
MOST = 24
PAGE_SECONDS = 5  # for one page
ALL_SECONDS = 30.0  # for all of them together
_NO_TIME = Reply({"failure": "late", "message": "the time for pictures was used up"})


@dataclass(frozen=True)
class Thumbnail:
    """A page that failed, and how it looks: a PNG, or if that is empty, why there is none."""

    page: FailedPage
    png: bytes = b""
    why: str = ""


def choose(pages: Sequence[FailedPage], most: int = MOST) -> list[FailedPage]:
    """Pages to show: of every cause in turn, in the order given."""
    by_cause: dict[str, list[FailedPage]] = {}
    for page in pages:
        by_cause.setdefault(page.cause, []).append(page)
    turns = zip_longest(*by_cause.values())
    chosen = {id(page) for page in [page for turn in turns for page in turn if page][:most]}
    return [page for page in pages if id(page) in chosen]


def draw_thumbnails(
    pages: Sequence[FailedPage],
    password: str | None = None,
    seconds: float = ALL_SECONDS,
    command: Sequence[str] = COMMAND,
) -> list[Thumbnail]:
    """One for each of the pages.

    Args:
        password: of encrypted PDFs.
        seconds: that it may take, whatever is in the pages.
        command: what runs the drawing process.
    """
    studio = _Studio(command, password, time.monotonic() + seconds)
    try:
        return list(studio.draw(pages))
    finally:
        studio.close()


class _Studio:
    """The drawing process, and a new one when it is lost."""

    def __init__(self, command: Sequence[str], password: str | None, until: float) -> None:
        self._command, self._password, self._until = command, password, until
        self._worker: Worker | None = None

    def draw(self, pages: Sequence[FailedPage]) -> Iterator[Thumbnail]:
        for page in pages:
            why = _reason_against(page)
            reply = None if why else self._ask(page)
            if reply is not None and not reply.failure:
                yield Thumbnail(page, bytes(reply.pixels))
            else:
                yield Thumbnail(page, why=why if reply is None else _told(reply, page))

    def close(self) -> None:
        if self._worker:
            self._worker.stop()
            self._worker = None

    def _ask(self, page: FailedPage) -> Reply:
        left = self._until - time.monotonic()
        if left <= 0:
            return _NO_TIME
        seconds = min(float(PAGE_SECONDS), left)
        request = {
            "path": page.path, "page": page.number, "password": self._password, "seconds": math.ceil(seconds),
        }  # fmt: skip
        try:
            self._worker = self._worker or Worker(self._command, "the process that draws it")
        except EngineError as error:
            return Reply({"failure": "engine", "message": error.message})
        reply = ask(self._worker, request, seconds)
        if reply.failure in {"late", "lost"}:
            self.close()
        return _NO_TIME if reply.failure == "late" and seconds < PAGE_SECONDS else reply


def _reason_against(page: FailedPage) -> str:
    """Why the page need not be drawn; empty if nothing is known against it."""
    if "://" in page.path:
        return "the input is not on this machine"
    try:
        found = Path(page.path).stat()
    except (OSError, ValueError) as error:
        return f"the input cannot be opened ({getattr(error, 'strerror', None) or error})"
    if (found.st_size, found.st_mtime_ns) != (page.size, page.mtime_ns):
        return "the input has changed since"
    return ""


def _told(reply: Reply, page: FailedPage) -> str:
    """Why the drawing process has no picture; the document's name stands beside it already."""
    if reply.failure == "late" and reply is not _NO_TIME:
        return f"it takes longer than {PAGE_SECONDS} s to draw"
    return in_a_line(str(reply.message["message"]).replace(page.path, "the input"))
