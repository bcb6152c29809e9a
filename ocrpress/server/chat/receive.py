"""A request's body as a buffer, and its files on disk: where what a chat brings lies while it is being read.

A body of more than IN_MEMORY bytes lies in a file without a name, mapped into memory: a hundred large requests cost no
more memory than small ones. How much and how slowly a client may send is for `guard` to say.
"""

from __future__ import annotations

import mmap
import os
import secrets
import tempfile
from collections.abc import AsyncIterator, Sequence
from contextlib import ExitStack, asynccontextmanager
from pathlib import Path
from typing import IO, TYPE_CHECKING

from anyio import to_thread

from ocrpress.server.chat.body import Body, Buffer
from ocrpress.server.chat.data_url import decode
from ocrpress.server.errors import BadRequest, TooLarge

if TYPE_CHECKING:
    from starlette.requests import Request

    from ocrpress.server.chat.request import Attachment

IN_MEMORY = 1 << 20  # bytes


@asynccontextmanager
async def received(request: Request, folder: Path) -> AsyncIterator[Buffer]:
    """The body of a request.

    Args:
        folder: for what is large.

    Raises:
        BadRequest: it is not sent as JSON.
    """
    _check_head(request)
    with ExitStack() as stack:
        held, file = bytearray(), None
        async for piece in request.stream():
            held += piece
            if len(held) >= IN_MEMORY:
                if file is None:
                    file = stack.enter_context(await to_thread.run_sync(_unnamed, folder))
                await to_thread.run_sync(file.write, bytes(held))
                held.clear()
        buffer: Buffer = bytes(held)
        if file is not None:
            mapped: mmap.mmap = await to_thread.run_sync(_mapped, file, bytes(held))
            buffer = stack.enter_context(mapped)
        yield buffer


def spool(body: Body, attachments: Sequence[Attachment], folder: Path, most: int, stack: ExitStack) -> list[Path]:
    """The files of a request, on disk.

    Args:
        most: bytes of one file.
        stack: they are there until this is closed, also those that were written before something went wrong.

    Raises:
        BadRequest: one is no base64.
        TooLarge: one is.
    """
    paths = []
    for attachment in attachments:
        path = folder / f"{secrets.token_hex(16)}.part"
        stack.callback(path.unlink, missing_ok=True)
        _write(body, attachment, path, most)
        paths.append(path)
    return paths


def _check_head(request: Request) -> None:
    kind = request.headers.get("content-type", "application/json").partition(";")[0].strip().lower()
    if kind != "application/json" and not kind.endswith("+json"):
        raise BadRequest("the body is not sent as JSON", "send the header 'Content-Type: application/json'")
    if request.headers.get("content-encoding", "identity").strip().lower() != "identity":
        raise BadRequest("the body is compressed", "send it as it is; images and PDFs gain nothing by it")


def _unnamed(folder: Path) -> IO[bytes]:
    return tempfile.TemporaryFile(dir=folder)


def _mapped(file: IO[bytes], last: bytes) -> mmap.mmap:
    file.write(last)
    file.flush()
    return mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)


def _write(body: Body, attachment: Attachment, path: Path, most: int) -> None:
    size = 0
    with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
        for piece in decode(body.pieces(attachment.text), attachment.skip, attachment.where):
            size += len(piece)
            if size > most:
                raise TooLarge(f"{attachment.where} has more than {most:,} bytes", "send less at a time")
            file.write(piece)
