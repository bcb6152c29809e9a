"""What the ledger's rows are made of: documents and their stamps, pages as sealed bytes, page ranges, names of outputs.

Values only; knows nothing of SQLite.
"""

from __future__ import annotations

import os
import unicodedata
import zlib
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

from ocrpress.document import PageResult
from ocrpress.jobs.ledger import codec

_MOST_PAGES = 10_000_000  # of a document; more are a sign of damage

State = Literal["waiting", "open", "done", "failed"]


@dataclass(frozen=True)
class Stamp:
    """What a file is known by.

    Attributes:
        size: in bytes.
        mtime_ns: when it was changed last, in nanoseconds.
        digest: SHA-256 of its bytes, in hexadecimal.
    """

    size: int
    mtime_ns: int
    digest: str


@dataclass(frozen=True)
class Entry:
    """A document in the ledger.

    Attributes:
        id: its number; it gets another one when it is begun again.
        name: in the mirrored tree, with its ending; no two documents share one.
        path: of the file, when it was last seen.
        output: relative to the output folder; empty where it has none of its own.
        options: digest of the options that it is read with.
        numbers: the pages to be read, as ranges; empty before the document was opened.
        page_count: how many these are; 0 if unknown.
        failed_pages: known when it is done.
        error, cause: why it failed.
        shard: that holds the document's record, maybe one of an earlier reading; None if none does.
        output_bytes, output_digest: of the output that was written.
        started, finished: seconds since 1970; None if it has not.
        changes: how often it changed while it was being read.
    """

    id: int
    name: str
    path: str
    output: str
    state: State
    stamp: Stamp
    options: str
    numbers: str = ""
    page_count: int = 0
    failed_pages: int = 0
    error: str = ""
    cause: str = ""
    shard: int | None = None
    output_bytes: int = 0
    output_digest: str = ""
    started: float | None = None
    finished: float | None = None
    changes: int = 0


# The content of a page as it lies in the ledger: four bytes of checksum, then the codec's bytes, compressed. The
# checksum takes in the document's name and the page's number: a damaged database gives no page to another.


def seal_of(name: bytes) -> int:
    """What ties contents to the document of that name."""
    return zlib.crc32(name)


def sealed(result: PageResult, seal: int) -> bytes:
    """A page as the ledger holds it."""
    data = zlib.compress(codec.encode(result), 1)
    return _checksum(data, seal, result.number) + data


def unsealed(data: object, seal: int, number: int) -> PageResult:
    """The page that was sealed. Raises ValueError if it is damaged, or another one."""
    if not isinstance(data, bytes) or data[:4] != _checksum(data[4:], seal, number):
        raise ValueError(f"the content of page {number} does not match its checksum")
    try:
        result = codec.decode(zlib.decompress(data[4:]))
    except zlib.error as error:
        raise ValueError(str(error)) from error
    if result.number != number:
        raise ValueError(f"the content of page {number} is that of page {result.number}")
    return result


def _checksum(data: bytes, seal: int, number: int) -> bytes:
    return zlib.crc32(data, zlib.crc32(b"%d" % number, seal)).to_bytes(4, "big")


def output_key(output: str) -> bytes | None:
    """An output's name as file systems see it that fold case and compose accents; None for no name."""
    folded = unicodedata.normalize("NFD", unicodedata.normalize("NFD", output).casefold())
    return os.fsencode(folded) if output else None


def as_ranges(numbers: Iterable[int]) -> str:
    """Page numbers as users write them.

    >>> as_ranges([3, 1, 2, 7])
    '1-3,7'
    """
    runs: list[list[int]] = []
    for number in sorted(set(numbers)):
        if runs and number == runs[-1][1] + 1:
            runs[-1][1] = number
        else:
            runs.append([number, number])
    return ",".join(f"{first}-{last}" if last > first else f"{first}" for first, last in runs)


def as_numbers(ranges: str) -> list[int]:
    """The numbers that `as_ranges` wrote, in order. Raises ValueError for another text, or one of ten million pages."""
    numbers: list[int] = []
    for part in ranges.split(",") if ranges else ():
        first, dash, last = part.partition("-")
        found = range(int(first), int(last if dash else first) + 1)
        if not found or (numbers and found[0] <= numbers[-1]) or len(numbers) + len(found) > _MOST_PAGES:
            raise ValueError(f"'{ranges[:80]}' are no page numbers")
        numbers.extend(found)
    return numbers
