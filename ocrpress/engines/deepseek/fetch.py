"""One file over HTTP into one place, going on where the last try stopped. Knows nothing of checkpoints."""

from __future__ import annotations

import errno
import fcntl
import http.client
import time
import urllib.error
import urllib.request
from collections.abc import Callable
from contextlib import AbstractContextManager
from http.client import HTTPMessage
from pathlib import Path
from typing import IO, BinaryIO
from urllib.parse import urlsplit

from ocrpress import __version__
from ocrpress.errors import EngineError, OutputError

Advance = Callable[[int], object]

TRIES = 5  # in a row without a single new byte
PAUSE = 1.0  # seconds before the second try; each further one doubles it
SECONDS = 30.0  # that the server may be silent
BLOCK = 2**20
PART = ".part"


def fetch(
    url: str, target: Path, size: int, name: str, bar: Callable[[str, int, int], AbstractContextManager[Advance]],
    token: str | None = None,
) -> None:  # fmt: skip
    """Download a URL to a file; what has come is kept beside it, under the name with ".part", until all is there.

    Args:
        size: of the whole file, in bytes.
        name: for messages and the bar.
        token: sent as a bearer token to the URL's own host, to no other that it forwards to.

    Raises:
        EngineError: refused, not found, or broken off again and again; running it once more goes on from there.
        OutputError: no permission, or the disk is full.
    """
    part = target.with_name(target.name + PART)
    try:
        opened = part.open("ab")
    except OSError as error:
        raise OutputError(f"{part} cannot be written ({error.strerror})", "choose another place") from error
    with opened as file:
        _lock(file, name)
        with bar(name, size, min(file.tell(), size)) as advance:
            failures = 0
            while file.tell() < size:
                before = file.tell()
                try:
                    _go_on(url, file, size, advance, token)
                    why = "the connection ended"
                except (OSError, http.client.HTTPException) as error:
                    _give_up_if_final(error, name)
                    why = str(getattr(error, "reason", "") or error) or type(error).__name__
                failures = 0 if file.tell() > before else failures + 1
                if failures == TRIES:
                    raise EngineError(
                        f"the download of {name} broke off at {file.tell() / 1e9:.2f} of {size / 1e9:.2f} GB ({why})",
                        "run it again: it goes on from there",
                    )
                if failures:
                    time.sleep(PAUSE * 2 ** (failures - 1))
        file.truncate(size)
    part.replace(target)


def _go_on(url: str, file: BinaryIO, size: int, advance: Advance, token: str | None) -> None:
    """Append what is missing, as much as comes."""
    request = urllib.request.Request(url, headers={"User-Agent": f"ocrpress/{__version__}"})  # noqa: S310
    request.add_header("Accept-Encoding", "identity")  # or else the offsets would be of something else
    if file.tell():
        request.add_header("Range", f"bytes={file.tell()}-")
    if token:
        request.add_unredirected_header("Authorization", f"Bearer {token}")
    if urlsplit(url).scheme not in ("http", "https"):
        raise EngineError(f"{url} is no web address", "check HF_ENDPOINT")
    with urllib.request.build_opener(_Forward).open(request, timeout=SECONDS) as answer:
        if file.tell() and answer.status != http.client.PARTIAL_CONTENT:
            advance(-file.tell())  # this server cannot resume
            file.truncate(0)
            file.seek(0)
        # read1 hands over what has come; read would hold back up to a block, and lose it with the connection.
        while file.tell() < size and (block := answer.read1(min(BLOCK, size - file.tell()))):
            file.write(block)
            file.flush()
            advance(len(block))


class _Forward(urllib.request.HTTPRedirectHandler):
    """A hub forwards to other hosts, which must not see the token, and within itself, where it is needed."""

    def redirect_request(
        self, req: urllib.request.Request, fp: IO[bytes], code: int, msg: str, headers: HTTPMessage, newurl: str
    ) -> urllib.request.Request | None:
        """The request to send next."""
        new = super().redirect_request(req, fp, code, msg, headers, newurl)
        token = req.get_header("Authorization")
        if new is not None and token and urlsplit(new.full_url)[:2] == urlsplit(req.full_url)[:2]:
            new.add_unredirected_header("Authorization", token)
        return new


def _give_up_if_final(error: Exception, name: str) -> None:
    """Raise what no further try can mend."""
    if isinstance(error, urllib.error.HTTPError):
        if error.code in (401, 403):
            raise EngineError(f"the hub refuses {name} ({error.code})", "run: hf auth login") from error
        if error.code < 500 and error.code not in (408, 416, 429):
            raise EngineError(f"the hub answers {error.code} for {name}", "try again later") from error
    elif isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG):
        raise OutputError(
            f"the disk is full while {name} is written", "make room there and run it again: it goes on from there"
        ) from error


def _lock(file: BinaryIO, name: str) -> None:
    """Two downloads into one file would mix their bytes."""
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        if error.errno in (errno.EAGAIN, errno.EACCES):
            raise EngineError(f"{name} is being downloaded by another process", "wait for it") from error
        # A file system without locks: the checksum will tell.
