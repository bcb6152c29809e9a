"""The process that draws thumbnails: requests on stdin, PNGs on stdout. Run by `thumbnails`, not by people.

A page that has failed may crash, hang or eat all memory once more when it is drawn. Here that costs one thumbnail.
"""

from __future__ import annotations

import contextlib
import logging
import os
import signal
import sys
from io import BytesIO
from typing import TYPE_CHECKING, BinaryIO

from ocrpress.document import UnreadablePage
from ocrpress.errors import OcrpressError, PageError
from ocrpress.sources import SourceOptions, open_source
from ocrpress.sources.pool import write_all
from ocrpress.sources.protocol import HEADER, Message, Reply, encode, failed

if TYPE_CHECKING:
    from PIL.Image import Image

SIZE = (240, 320)  # pixels wide and high, at most
DPI = 60.0
GREYS = 16
MAX_PIXELS = 4_000_000
MEMORY_LIMIT = 3 << 30  # bytes of address space


def main() -> None:
    """Answer requests until stdin ends."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the parent's to handle
    logging.disable(logging.CRITICAL)
    _limit_memory()
    answers = os.dup(1)
    os.dup2(os.open(os.devnull, os.O_WRONLY), 1)  # whatever a library prints must not end up among the pixels
    with contextlib.suppress(BrokenPipeError, EOFError):
        while True:
            request = _hear(sys.stdin.buffer)
            # A parent that dies while a page hangs cannot stop us.
            signal.alarm(request["seconds"] + 1)
            reply = answer(request)
            signal.alarm(0)
            write_all(answers, encode(reply.message, len(reply.pixels)))
            write_all(answers, reply.pixels)


def answer(request: Message) -> Reply:
    """Draw the page of a request {"path", "page", "password"}. Never raises for what a document can cause."""
    try:
        return Reply({}, small_png(_draw(request)))
    except OcrpressError as error:
        return failed("page", error.message)
    except MemoryError:
        return failed("page", "it takes too much memory")
    except Exception as error:  # a decoder may raise anything
        return failed("page", f"{type(error).__name__}: {error}")


def small_png(image: Image) -> bytes:
    """An image in 16 greys, at most `SIZE`: 5 to 20 KB."""
    found = image.convert("L")
    found.thumbnail(SIZE)
    data = BytesIO()
    found.quantize(GREYS).save(data, "PNG", optimize=True)
    return data.getvalue()


def _draw(request: Message) -> Image:
    options = SourceOptions(
        dpi=DPI, pages=str(request["page"]), password=request["password"], max_pixels=MAX_PIXELS, workers=0
    )
    with contextlib.closing(open_source(request["path"], options)) as source:
        for page in source.pages():
            if isinstance(page, UnreadablePage):
                raise PageError(page.error)
            return page.image
    raise PageError("the document no longer has this page")


def _hear(stream: BinaryIO) -> Message:
    """The next request. Raises EOFError."""
    import json

    header = stream.read(HEADER.size)
    if len(header) < HEADER.size:
        raise EOFError
    message: Message = json.loads(stream.read(HEADER.unpack(header)[0]))
    return message


def _limit_memory() -> None:
    import resource

    hard = resource.getrlimit(resource.RLIMIT_AS)[1]
    limit = MEMORY_LIMIT if hard == resource.RLIM_INFINITY else min(MEMORY_LIMIT, hard)
    resource.setrlimit(resource.RLIMIT_AS, (limit, hard))
    resource.setrlimit(resource.RLIMIT_CORE, (0, resource.getrlimit(resource.RLIMIT_CORE)[1]))


if __name__ == "__main__":
    main()
