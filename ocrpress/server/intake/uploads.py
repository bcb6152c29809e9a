"""An upload: from the body of a request into a file of our own, bounded in bytes and in time.

The client's name for it is only ever shown. The file goes when the request is over, unless it was kept.
"""

from __future__ import annotations

import asyncio
import os
import secrets
import time
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from itertools import count
from pathlib import Path
from typing import TYPE_CHECKING

from anyio import to_thread
from starlette.requests import ClientDisconnect

from ocrpress.server.errors import BadRequest, TooLarge, TooSlow
from ocrpress.server.intake.forms import MOST_BESIDE, Form
from ocrpress.server.settings import SLOWEST
from ocrpress.sources.pool import write_all

if TYPE_CHECKING:
    from starlette.requests import Request
    from starlette.types import Message, Receive

    from ocrpress.server.service import Service

FOLDER = "uploads"  # in the service's own
AT_ONCE = 64 << 10  # bytes that are written without a thread: it would cost more than the writing
HELD = 256 << 10  # bytes that wait in memory until they are written
PARSED = 64 << 10  # bytes that are parsed before others have their turn

_PREFIX, _NUMBERS = secrets.token_hex(12), count()  # names of this process: they occur in no text by chance


@dataclass
class Upload:
    """A file that a client has sent.

    Attributes:
        path: absolute. Its name is ours.
        name: what the client calls it, in one line of printable characters, without folders; never empty.
        size: in bytes; 0 for an empty file.
        fields: the other fields of the form.
    """

    path: Path
    name: str
    size: int
    fields: Mapping[str, str]

    def keep(self, path: Path) -> None:
        """Move the file to a place of its own, in the same file system; it stays there. Raises OSError."""
        self.path.replace(path)
        self.path = path


@asynccontextmanager
async def receive(request: Request, service: Service) -> AsyncIterator[Upload]:
    """Receive the form of a request: `async with receive(request, service) as upload`.

    Raises:
        BadRequest: it is no form, a broken one, cut short, or it has no file in the field `file`, or several.
        TooLarge: as soon as that is clear.
        TooSlow: nothing came for `upload_seconds`, or less than 64 KiB/s in all.
        ClientDisconnect: nobody is there to be told anything.
    """
    settings = service.settings
    form = Form(request.headers.get("content-type", ""), settings.max_bytes)
    _check_head(request, settings.max_bytes)
    file = _File((settings.folder / FOLDER).absolute())
    try:
        await _fill(file, form, request, settings.upload_seconds)
        yield Upload(file.path, form.name, form.size, form.fields)
    finally:
        file.remove()


class _File:
    """The file of an upload, made when there is something to write."""

    def __init__(self, folder: Path) -> None:
        self._descriptor, self._written = -1, 0
        self.path = folder / f"{_PREFIX}{next(_NUMBERS):08x}.part"

    def write(self, pieces: Sequence[memoryview]) -> None:
        """Add to it. Raises OSError."""
        if self._descriptor < 0:
            self._descriptor = self._open()
        for piece in pieces:
            write_all(self._descriptor, piece)
            self._written += len(piece)

    def close(self) -> None:
        """No more will be written. Safe to call twice."""
        if self._descriptor >= 0:
            descriptor, self._descriptor = self._descriptor, -1
            os.close(descriptor)

    def remove(self) -> None:
        """Close it; it is gone, unless it was moved. A large one takes a moment, for which nobody waits."""
        self.close()
        if self._written <= HELD:
            self._unlink()
        else:
            asyncio.get_running_loop().run_in_executor(None, self._unlink)

    def _unlink(self) -> None:
        with suppress(OSError):
            self.path.unlink(missing_ok=True)

    def _open(self) -> int:
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC
        try:
            return os.open(self.path, flags, 0o600)
        except FileNotFoundError:
            self.path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            return os.open(self.path, flags, 0o600)


async def _fill(file: _File, form: Form, request: Request, seconds: float) -> None:
    """The body of the request into the form, and its file into ours."""
    clock = _Clock(seconds)
    more = True
    while more:
        message = await clock.within(request.receive)
        if message["type"] == "http.disconnect":
            raise ClientDisconnect
        body, more = message.get("body", b""), message.get("more_body", False)
        clock.received += len(body)
        for start in range(0, len(body), PARSED):
            form.feed(body[start : start + PARSED] if len(body) > PARSED else body)
            if start:
                await asyncio.sleep(0)
        if form.waiting > HELD:
            await _write(file, form.take(), HELD)
    form.finish()
    await _write(file, form.take(), form.size)
    file.close()


async def _write(file: _File, pieces: Sequence[memoryview], size: int) -> None:
    if size <= AT_ONCE:
        file.write(pieces)
    else:
        await to_thread.run_sync(file.write, pieces)  # it ends before a cancellation does: the file must stay open


class _Clock:
    """Is an upload in time?

    Args:
        seconds: that nothing may come; and that all of it may take besides its bytes at SLOWEST.
    """

    def __init__(self, seconds: float) -> None:
        self._seconds, self._since = seconds, time.monotonic()
        self.received = 0

    async def within(self, receive: Receive) -> Message:
        """The next message. Raises TooSlow."""
        last = self._since + self._seconds + self.received / SLOWEST
        try:
            async with asyncio.timeout(min(self._seconds, last - time.monotonic())):
                return await receive()
        except TimeoutError:
            raise TooSlow("the upload does not come, or too slowly", "send it again, faster than 64 KiB/s") from None


def _check_head(request: Request, max_bytes: int) -> None:
    """Refuse by what the headers say, before anything of the body is read. Raises BadRequest, TooLarge."""
    if request.headers.get("content-encoding", "identity").strip().lower() not in {"", "identity"}:
        raise BadRequest("the body of the request is compressed", "send it as it is, without Content-Encoding")
    length = request.headers.get("content-length", "0")
    if length.isascii() and length.isdigit() and int(length[:20]) > max_bytes + MOST_BESIDE:
        raise _too_large(max_bytes)


def _too_large(max_bytes: int) -> TooLarge:
    return TooLarge(f"the file is larger than {max_bytes:,} bytes", "send a smaller one, or split it")
