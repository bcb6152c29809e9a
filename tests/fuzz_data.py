"""Documents that went wrong: bytes of every kind that is read, with something wrong in them. Seeded by whoever asks."""

from __future__ import annotations

import struct
import zlib
from collections.abc import Callable
from functools import cache
from random import Random

from service_tools import pdf, png

KINDS = ("PNG", "JPEG", "WEBP", "TIFF", "GIF", "BMP")
BOUNDARY = b"----fuzz7MA4YWxk"

NUMBERS = (
    b"\x00\x00\x00\x00",
    b"\xff\xff\xff\xff",
    b"\x7f\xff\xff\xff",
    b"\x00\x00\x00\x80",
    b"\x00\x01\x86\xa0",
    b"\xff\xff",
)
SNIPPETS = (
    b"\r\n", b"\n", b"\x00", b'"', b"--", b"--" + BOUNDARY, b"--" + BOUNDARY + b"--", b"%s%n", b"../",
    b"\xf0\x9f\x98\x80",
    b"\xff\xfe", b"<script>", b"{}", b"[" * 300, b";" * 300, b"A" * 5000, b"endobj", b"stream\n", b"/Kids [2 0 R]",
    b"<<" * 200,
)  # fmt: skip
WORDS = (
    "", " ", "\x00", "0", "-1", "1e999", "NaN", "inf", "9" * 400, "true", "null", "tiny", "gundam-m", "native", "ttiny",
    "markdown", "locate=", "locate=a cat", "locate=<|ref|>", "figure", "1-", "-3", "1-3,7", "1-999999999999", "5-2",
    ",", "1,,2",
    "../../etc/passwd", "%00", "\u202e", "\ud7ff", "💥" * 50, "a" * 5000, "json", "md", "txt", "xml", "on", "{}",
    "'; DROP TABLE",
)  # fmt: skip


@cache
def documents() -> tuple[tuple[str, bytes], ...]:
    """Small ones of every kind that is read."""
    images = [(f"page.{kind.lower()}", png((60, 40), kind)) for kind in KINDS]
    texts = [
        ("notes.txt", b"A few words.\n" * 20),
        ("notes.md", b"# Title\n\n| a | b |\n|---|---|\n| 1 | 2 |\n\n- x\n"),
    ]
    return (*images, ("paper.pdf", pdf(2)), ("locked.pdf", pdf(1, user="x")), *texts)


def mutated(random: Random, data: bytes, most: int = 6) -> bytes:
    """The bytes with one to `most` things wrong."""
    for _ in range(random.randint(1, most)):
        at = min(
            random.randrange(len(data) + 1), random.randrange(len(data) + 1)
        )  # heads are where formats are decided
        end = min(len(data), at + random.choice((1, 2, 4, 16, 200)))
        data = random.choice(_BYTE_MUTATIONS)(random, data, at, end)
    return data


_BYTE_MUTATIONS: tuple[Callable[[Random, bytes, int, int], bytes], ...] = (
    lambda random, data, at,
    end: data[:at] + bytes(byte ^ 1 << random.randrange(8) for byte in data[at:end]) + data[end:],
    lambda random, data, at, end: data[:at] + random.randbytes(end - at) + data[end:],
    lambda random, data, at, end: data[:at] + random.choice(NUMBERS) + data[at + 4 :],
    lambda random, data, at, end: data[:at] + random.choice(SNIPPETS) + data[at:],
    lambda random, data, at, end: data[:at] + data[end:],
    lambda random, data, at, end: data[:at] + data[at:end] * random.randint(2, 50) + data[end:],
    lambda random, data, at, end: data[: random.randrange(len(data) + 1)] if random.random() < 0.3 else data,
    lambda random, data, at, end: data[:at] + random.choice(documents())[1][at:],
)  # fmt: skip


def wrong_document(random: Random) -> tuple[str, bytes]:
    """A name and what was a document."""
    name, data = random.choice(documents())
    if random.random() < 0.15:
        return name, _bomb(random)
    data = mutated(random, data)
    if data.startswith(b"\x89PNG") and random.random() < 0.7:
        data = _with_sums(data)
    return (name if random.random() < 0.8 else random.choice(WORDS)), data


def _with_sums(data: bytes) -> bytes:
    """A PNG whose chunks have the sums that belong to them, so that what is wrong within them is read."""
    found, at = data[:8], 8
    while at + 12 <= len(data):
        size = min(int.from_bytes(data[at : at + 4], "big"), len(data) - at - 12)
        chunk = data[at + 4 : at + 8 + size]
        found += struct.pack(">I", size) + chunk + struct.pack(">I", zlib.crc32(chunk))
        at += 12 + size
    return found + data[at:]


def _bomb(random: Random) -> bytes:
    """A PNG or BMP with sound sums that promises more pixels than it has."""
    width, height = (random.choice((0, 1, 9, 30_000, 200_000, 2**31 - 1, 2**32 - 1)) for _ in range(2))
    if random.random() < 0.5:
        head = struct.pack(
            "<IHHIIiiHHIIiiII", 54, 0, 0, 54, 40, width & 0x7FFFFFFF, -(height & 0x7FFFFFFF), 1, 24, 0, 0, 1, 1, 0, 0
        )
        return b"BM" + head
    chunks = [
        (b"IHDR", struct.pack(">IIBBBBB", width, height, random.choice((1, 8, 16)), random.choice((0, 2, 3, 6)), 0, 0,
        0)),
        (b"IDAT", zlib.compress(bytes(random.choice((10, 100_000))))), (b"IEND", b""),
    ]  # fmt: skip
    framed = (
        struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data)) for name, data in chunks
    )
    return b"\x89PNG\r\n\x1a\n" + b"".join(framed)
