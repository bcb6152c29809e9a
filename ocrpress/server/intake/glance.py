"""Bounds on an image before a decoder sees it: its size, if the first bytes tell, and whether its frames are too many.

A decoder walks all that a file claims to have, and some walk in quadratic time: a file of 20 MB can have a million
frames, one of a kilobyte can claim a billion. What is found here only refuses; what is true, the decoder says.
"""

from __future__ import annotations

from collections.abc import Callable
from mmap import mmap
from struct import Struct, error

from ocrpress.sources.sniff import Format

Bytes = bytes | mmap

MOST_CHUNKS = 4096  # before the pixels; a real file has a few, or a hundred with a large colour profile
MOST_BLOCKS = 2_000_000  # of a GIF, 255 bytes each

MOST_TAGS = 1_000_000  # of all frames of a TIFF, some twenty each

# Of these a decoder unpacks what they hold.
_PACKED = frozenset({b"zTXt", b"iTXt", b"iCCP", b"eXIf", b"acTL"})
_FRAME_HEADERS = frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}  # of JPEG
_WITHOUT_LENGTH = frozenset({0x00, 0x01, 0xFF, *range(0xD0, 0xDA)})
_CHUNK, _SIZE, _RIFF_CHUNK = Struct(">I4s"), Struct(">II"), Struct("<4sI")
_JPEG_SIZE = Struct(">HHxHH")  # marker, length; then height and width
_COUNT = Struct(">I")


def size_at_once(head: bytes, found: Format) -> tuple[int, int] | None:
    """Width and height of an image of one frame whose header ends within these bytes and unpacks nothing; else None."""
    sizes: dict[str, Callable[[bytes], tuple[int, int] | None]] = {"png": _png, "jpeg": _jpeg, "bmp": _bmp}
    if found not in sizes:
        return None
    try:
        return sizes[found](head)
    except (error, IndexError, _EndlessError):  # it goes on behind them
        return None


def is_excessive(data: Bytes, found: Format, most: int) -> bool:
    """Has the file more than `most` frames, or a header that takes more steps than any real one?"""
    walks: dict[str, Callable[[Bytes, int], bool]] = {
        "png": _png_excess, "jpeg": _jpeg_excess, "gif": _gif_excess, "tiff": _tiff_excess, "webp": _webp_excess,
    }  # fmt: skip
    try:
        return found in walks and walks[found](data, most)
    except (error, IndexError):  # it ends in the middle: what is there is not too much
        return False


def _png(head: bytes) -> tuple[int, int] | None:
    if _CHUNK.unpack_from(head, 8) != (13, b"IHDR"):
        return None
    at = 8
    while True:
        length, kind = _CHUNK.unpack_from(head, at)
        if kind == b"IDAT":
            width, height = _SIZE.unpack_from(head, 16)
            return width, height
        if kind in _PACKED:
            return None
        at += 12 + length


def _png_excess(data: Bytes, most: int) -> bool:
    at = 8
    for _ in range(MOST_CHUNKS):
        length, kind = _CHUNK.unpack_from(data, at)
        if kind == b"IDAT":
            return False
        if kind == b"acTL" and _COUNT.unpack_from(data, at + 8)[0] > most:
            return True
        at += 12 + length
    return True


def _jpeg(head: bytes) -> tuple[int, int] | None:
    at = _jpeg_frame(head)
    if at is None:
        return None
    _, _, height, width = _JPEG_SIZE.unpack_from(head, at)
    return width, height


def _jpeg_frame(data: Bytes) -> int | None:
    """Where the header of the frame begins, if all headers end well; None if there is none."""
    at, frame = 2, None
    for _ in range(MOST_CHUNKS):
        marker = data[at + 1]
        if data[at] != 0xFF:
            return None
        if marker == 0xDA:  # the pixels
            return frame
        if marker in _FRAME_HEADERS:
            frame = at
        at += 1 if marker == 0xFF else 2
        if marker not in _WITHOUT_LENGTH:
            at += int.from_bytes(data[at : at + 2], "big")
    raise _EndlessError


class _EndlessError(Exception):
    """A header that does not end."""


def _jpeg_excess(data: Bytes, most: int) -> bool:
    try:
        _jpeg_frame(data)
    except _EndlessError:
        return True
    return False


def _bmp(head: bytes) -> tuple[int, int] | None:
    wide = 2 if head[14] == 12 else 4
    width, height = (int.from_bytes(head[at : at + wide], "little", signed=wide == 4) for at in (18, 18 + wide))
    return width, abs(height)


def _gif_excess(data: Bytes, most: int) -> bool:
    at = 13 + _colours(data[10])
    frames = blocks = 0
    while blocks < MOST_BLOCKS:
        kind = data[at]
        blocks += 1
        if kind == 0x3B:
            return False
        if kind == 0x2C:
            frames += 1
            if frames > most:
                return True
            at += 11 + _colours(data[at + 9])
        elif kind == 0x21:
            at += 2
        else:  # decoders pass over it
            at += 1
            continue
        while (length := data[at]) and blocks < MOST_BLOCKS:
            at += length + 1
            blocks += 1
        at += 1
    return True


def _colours(flags: int) -> int:
    """Bytes of the table that these flags announce."""
    return 3 << (flags & 7) + 1 if flags & 0x80 else 0


def _tiff_excess(data: Bytes, most: int) -> bool:
    order = "<" if data[:2] == b"II" else ">"
    is_big = 43 in (data[2], data[3])
    count, at, entry = (Struct(f"{order}Q"), 8, 20) if is_big else (Struct(f"{order}H"), 4, 12)
    place = Struct(f"{order}{'Q' if is_big else 'I'}")
    seen: set[int] = set()
    tags = 0
    while (at := place.unpack_from(data, at)[0]) and at not in seen:
        seen.add(at)
        here = count.unpack_from(data, at)[0]
        tags += here
        if len(seen) > most or tags > MOST_TAGS:
            return True
        at += count.size + entry * here
    return False


def _webp_excess(data: Bytes, most: int) -> bool:
    at, frames = 12, 0
    for _ in range(most + MOST_CHUNKS):
        kind, length = _RIFF_CHUNK.unpack_from(data, at)
        frames += kind == b"ANMF"
        if frames > most:
            return True
        at += 8 + length + length % 2
    return True
