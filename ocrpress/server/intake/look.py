"""Look at an upload before it is queued: what is it, can it be opened, and which of its pages are wanted?

Of an image the header is enough, and of most the first bytes. A PDF is opened by a render worker, which is stopped if
it takes too long. A text is only checked to be one: how many pages it fills is known when it is set.
"""

from __future__ import annotations

import asyncio
import threading
import warnings
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, replace
from functools import partial
from io import BytesIO
from mmap import ACCESS_READ, mmap
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from anyio.lowlevel import RunVar

from ocrpress.errors import InputError
from ocrpress.server.errors import TimeLimit
from ocrpress.server.intake.glance import is_excessive, size_at_once
from ocrpress.sources.checks import check_page_count
from ocrpress.sources.image import DECODE_LIMIT, image_file, open_image
from ocrpress.sources.pages import PageRange, parse_ranges, select_pages
from ocrpress.sources.sniff import HEAD_BYTES, Format, sniff

if TYPE_CHECKING:
    from ocrpress.pipeline import Options
    from ocrpress.server.service import Service

SIDE_BY_SIDE = 2  # threads that look: the processors are for reading
FIRST_BYTES = 8 << 10  # of a file just written: they come from memory
MOST_TEXT = 4 << 20  # bytes; some thousand pages
MOST_FRAMES = 10_000  # of an image file, whichever of them are wanted: a decoder walks them all
PART = 0.5  # of a request's time: a PDF that does not open is refused well before it is over
ANY_NUMBER = 1 << 62
TAKEN = "send a PDF, a PNG, JPEG, WebP, TIFF, GIF or BMP image, or text"

# What a decoder thinks of a client's file is told to the client, if it matters.
warnings.filterwarnings("ignore", module=r"PIL\.")

Seen = TypeVar("Seen")


@dataclass(frozen=True)
class Sheet:
    """What is known of a document that will be read.

    Attributes:
        numbers: the pages that are wanted and there, rising; None of a text.
        kind: "pdf", "png", "jpeg", "webp", "tiff", "gif", "bmp" or "text".
    """

    numbers: tuple[int, ...] | None
    kind: str


async def look(path: Path, name: str, options: Options, service: Service) -> Sheet:
    """What an upload is, by its contents.

    Args:
        name: what the client calls it; it tells Markdown from plain text, and is what errors say.
        options: `pages`, `password`, `max_pages`, `page_seconds`, … count.

    Raises:
        UsageError: none of the pages asked for is there.
        PasswordError: encrypted, and the password is missing or wrong.
        InputError: it cannot be read, or has more pages or pixels than are taken.
        EngineError: the renderer cannot run here.
        TimeLimit: it took longer than `request_seconds`.
    """
    head = _head(path)
    if not head:
        raise InputError(f"{name} is empty", "give a file with something in it")
    found = sniff(head[:HEAD_BYTES])
    ranges = None if options.pages is None else parse_ranges(options.pages)
    seconds = service.settings.request_seconds
    if found is None or found == "text":
        await aside(lambda: _check_text(path, name), seconds)
        return Sheet(None, "text")
    if found == "pdf":
        total = await aside(lambda: _pdf_pages(path, name, options, service), seconds)
    elif size := size_at_once(head, found):
        _check_size(name, size, options)
        total = len(image_file(path, name, found))
    else:
        total = await aside(lambda: _frames(path, name, found, options), seconds)
    return Sheet(_chosen(ranges, total, name, options), found)


async def aside(function: Callable[[], Seen], seconds: float) -> Seen:
    """Have something done in a thread, where few things are done at a time.

    A thread cannot be stopped: what takes too long keeps its place until it ends, though nobody waits for it.

    Args:
        function: bounded in time by itself.

    Raises:
        TimeLimit: it took longer, the wait for a place included; or what the function raises.
    """
    try:
        places = _places.get()
    except LookupError:
        places = asyncio.Semaphore(SIDE_BY_SIDE)
        _places.set(places)
    try:
        async with asyncio.timeout(seconds):
            await places.acquire()
            return await _begun(function, places.release)
    except TimeoutError:
        raise TimeLimit(
            f"the document was not looked at within {seconds:g} s", "try again when less is to do"
        ) from None


_places: RunVar[asyncio.Semaphore] = RunVar("ocrpress.look")  # one for each loop


def _begun(function: Callable[[], Seen], release: Callable[[], object]) -> asyncio.Future[Seen]:
    """What the function will give; it runs in a thread of its own, which holds up nobody's end."""
    loop = asyncio.get_running_loop()
    future: asyncio.Future[Seen] = loop.create_future()

    def settle(give: Callable[[], object]) -> None:
        release()
        if not future.done():
            give()

    def run() -> None:
        try:
            seen = function()
            give = partial(future.set_result, seen)
        except Exception as error:
            give = partial(future.set_exception, error)
        with suppress(RuntimeError):  # the loop has gone
            loop.call_soon_threadsafe(settle, give)

    try:
        threading.Thread(target=run, name="ocrpress-look", daemon=True).start()
    except BaseException:
        release()
        raise
    return future


def _head(path: Path) -> bytes:
    with path.open("rb", buffering=0) as file:
        return file.read(FIRST_BYTES)


def _check_text(path: Path, name: str) -> None:
    """Raise InputError unless it is text, and not too much of it."""
    from ocrpress.sources.text import read_text  # brings the fonts along

    with path.open("rb") as file:
        data = file.read(MOST_TEXT + 1)
    if len(data) > MOST_TEXT and sniff(data[:HEAD_BYTES]) == "text":
        raise InputError(f"{name} has more than {MOST_TEXT >> 20} MiB of text, the limit", "split it")
    read_text(BytesIO(data), name, advice=TAKEN)


def _pdf_pages(path: Path, name: str, options: Options, service: Service) -> int:
    """Pages of a PDF, as a render worker counts them."""
    from ocrpress.sources.pdf import PdfSource

    seconds = min(options.page_seconds, PART * service.settings.request_seconds)
    # All pages are asked for: those that are wanted are chosen below, where a file that lies about their number does
    # not have a list of them made.
    bounded = replace(options.of_source(), pages=None, max_pages=ANY_NUMBER, page_seconds=seconds, workers=1)
    source = PdfSource(str(path), name, bounded, None, service.bench)
    source.close()
    return source.page_count


def _frames(path: Path, name: str, found: Format, options: Options) -> int:
    """Frames of an image."""
    with path.open("rb") as file, mmap(file.fileno(), 0, access=ACCESS_READ) as data:
        if is_excessive(data, found, MOST_FRAMES):
            raise InputError(f"{name} has more than {MOST_FRAMES:,} frames, or an endless header", "split it")
    frames = image_file(path, name, found)
    with open_image(path, found) as image:
        _check_size(name, image.size, options)
    return len(frames)


def _check_size(name: str, size: tuple[int, int], options: Options) -> None:
    """Raise InputError for an image that no page could be made of."""
    most = max(DECODE_LIMIT, options.max_pixels)
    if size[0] * size[1] > most:
        raise InputError(f"{name} has {size[0]} × {size[1]} pixels, the limit is {most:,}", "scale it down")


def _chosen(ranges: tuple[PageRange, ...] | None, total: int, name: str, options: Options) -> tuple[int, ...]:
    """The pages that are wanted. Counted before they are listed: a PDF can claim a billion, and be asked for all."""
    merged = None if ranges is None else _merged(ranges, total)
    wanted = total if merged is None else sum(last - first + 1 for first, last in merged)
    check_page_count(name, wanted, options.of_source())
    return tuple(select_pages(merged or ranges, total))


def _merged(ranges: tuple[PageRange, ...], total: int) -> tuple[tuple[int, int], ...]:
    """The ranges without overlaps, as far as there are pages."""
    found: list[tuple[int, int]] = []
    for first, last in sorted((first, min(total, total if last is None else last)) for first, last in ranges):
        if first > last:
            continue
        if found and first <= found[-1][1] + 1:
            found[-1] = (found[-1][0], max(found[-1][1], last))
        else:
            found.append((first, last))
    return tuple(found)
