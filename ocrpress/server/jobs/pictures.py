"""Pictures of a job's pages, and what each mode would cost it: drawn and counted once, then kept in the job's folder.

A picture stands as the engine has righted the page, so that the blocks' boxes lie where they belong. A page that is not
read yet is drawn as it is, and not kept: nobody knows how it stands.
"""

from __future__ import annotations

import contextlib
import json
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from anyio import to_thread

from ocrpress.errors import InputError, OcrpressError, PageError, UsageError
from ocrpress.server.errors import BadRequest, NotFound
from ocrpress.server.jobs.folders import PICTURES, write_private
from ocrpress.sources.pages import ranges

if TYPE_CHECKING:
    from ocrpress.server.jobs.archive import Archive
    from ocrpress.server.jobs.record import Record
    from ocrpress.server.jobs.studio import Studio

WIDTHS = (240, 480, 720, 1000, 1400, 2000)  # pixels; a picture is as wide as the next of these
MOST_BYTES = 64 << 20  # of pictures that are kept of a job
MODES = "modes.json"


@dataclass(frozen=True)
class Picture:
    """A page to be shown.

    Attributes:
        tag: names its contents, among the pictures of its page.
        lasting: it will never look otherwise.
        data: gives it, as WebP; blocks nothing.
    """

    tag: str
    lasting: bool
    data: Callable[[], Any]


async def picture(archive: Archive, studio: Studio, job: str, number: int, width: int) -> Picture:
    """The picture of a page.

    Args:
        width: in pixels, 1 to 2000.

    Raises:
        BadRequest: a width that is out of range. NotFound: no such page. Gone: no such job any more.
    """
    if not 1 <= width <= WIDTHS[-1]:
        raise BadRequest(f"the width is {width}", f"it must be 1 to {WIDTHS[-1]}")
    record, found, page = await archive.page(job, number)
    wanted = found.numbers or record.numbers
    if number < 1 or (wanted is not None and number not in wanted):
        raise NotFound(f"the job has no page {number}", "its field `pages` has the numbers")
    across = next(each for each in WIDTHS if each >= width)
    rotation = page.rotation if page else 0
    draw = partial(
        _drawn, studio, archive.folders.path(record), record, number, across, page.width if page else 0.0, rotation
    )
    tag = f"{across}-{rotation}"
    if page is None:
        return Picture(tag, False, draw)
    kept = archive.folders.root / job / PICTURES / f"{number}-{tag}.webp"
    return Picture(tag, True, partial(_kept, kept, draw))


async def mode_costs(archive: Archive, studio: Studio, job: str) -> dict[str, Any]:
    """What each mode would cost the document, in tokens: `mode_costs.Costs.as_object`. Raises as `picture`."""
    record = await archive.record(job)
    kept = archive.folders.root / job / MODES
    known = await to_thread.run_sync(_read, kept)
    if known:
        found: dict[str, Any] = json.loads(known)
        return found
    pages = record.options.pages if record.numbers is None else ranges(record.numbers)
    path = archive.folders.path(record)
    try:
        found = await studio.costs(str(path), record.name, pages, record.options.password, record.options.max_tiles)
    except OcrpressError as error:
        raise _named(error, path, record) from error
    await to_thread.run_sync(_write, kept, json.dumps(found).encode())
    return found


async def _kept(path: Path, draw: Callable[[], Any]) -> bytes:
    """From the disk; else drawn, and kept there."""
    found = await to_thread.run_sync(_read, path)
    if found is None:
        found = bytes(await draw())
        await to_thread.run_sync(_keep, path, found)
    return found


async def _drawn(
    studio: Studio, path: Path, record: Record, number: int, width: int, points: float, rotation: int
) -> bytes:
    try:
        return await studio.draw(str(path), record.name, number, width, points, rotation, record.options.password)
    except OcrpressError as error:
        raise _named(error, path, record) from error


def _named(error: OcrpressError, path: Path, record: Record) -> OcrpressError:
    """The error, about the document by its client's name; a page that is not there is not found."""
    if type(error) is UsageError:
        return NotFound("the document has no such page", "")
    if isinstance(error, InputError | PageError):
        return type(error)(error.message.replace(path.name, record.name), error.advice)
    return error


def _read(path: Path) -> bytes | None:
    try:
        return path.read_bytes()
    except OSError:
        return None


def _write(path: Path, data: bytes) -> None:
    with contextlib.suppress(OSError):  # the job has gone, or the disk is full: then it is not kept
        write_private(path, data)


def _keep(path: Path, data: bytes) -> None:
    """Keep a picture; those that were drawn first make room for it."""
    with contextlib.suppress(OSError):
        path.parent.mkdir(mode=0o700, exist_ok=True)
        found = [(entry, entry.stat()) for entry in path.parent.iterdir()]
        found.sort(key=lambda one: one[1].st_mtime_ns)
        total = sum(stat.st_size for _, stat in found) + len(data)
        for entry, stat in found:
            if total <= MOST_BYTES:
                break
            entry.unlink(missing_ok=True)
            total -= stat.st_size
        write_private(path, data)
