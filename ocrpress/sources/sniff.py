"""What a file is, by its first bytes: names lie, and uploads have none."""

from __future__ import annotations

from typing import Literal

Format = Literal["pdf", "png", "jpeg", "webp", "tiff", "gif", "bmp"]

HEAD_BYTES = 1024  # readers of PDF accept this much before the header
IMAGE_SUFFIXES = frozenset({".png", ".jpg", ".jpeg", ".jpe", ".webp", ".tif", ".tiff", ".gif", ".bmp"})

_PREFIXES: tuple[tuple[bytes, Format], ...] = (
    (b"\x89PNG\r\n\x1a\n", "png"),
    (b"\xff\xd8\xff", "jpeg"),
    (b"II*\x00", "tiff"),
    (b"MM\x00*", "tiff"),
    (b"II+\x00", "tiff"),
    (b"MM\x00+", "tiff"),
    (b"GIF87a", "gif"),
    (b"GIF89a", "gif"),
)
_BMP_HEADER_SIZES = frozenset({12, 16, 40, 52, 56, 64, 108, 124})


def sniff(head: bytes) -> Format | None:
    """The format of a file that begins with these bytes (HEAD_BYTES are enough); None if it is none of ours."""
    for prefix, name in _PREFIXES:
        if head.startswith(prefix):
            return name
    if head[:4] == b"RIFF" and head[8:12] == b"WEBP":
        return "webp"
    # "BM" alone begins many a text; the size of the second header does not.
    if head[:2] == b"BM" and int.from_bytes(head[14:18], "little") in _BMP_HEADER_SIZES:
        return "bmp"
    return "pdf" if b"%PDF-" in head[:HEAD_BYTES] else None


def describe(head: bytes) -> str:
    """What else a file looks like, for an error message; empty if it tells nothing."""
    if head.startswith(b"PK\x03\x04"):
        return "it looks like an Office, e-book or ZIP file"
    if head.startswith(b"\xd0\xcf\x11\xe0"):
        return "it looks like an old Office file"
    if head.startswith(b"%!PS"):
        return "it looks like PostScript"
    if head[:256].lstrip().lower().startswith((b"<!doctype html", b"<html")):
        return "it looks like a web page"
    return ""
