"""What a file is, by its first bytes: names lie, and uploads have none. Only of text the name says more."""

from __future__ import annotations

import re
from pathlib import PurePath
from typing import Literal

from ocrpress.sources.encoding import is_text

Format = Literal["pdf", "png", "jpeg", "webp", "tiff", "gif", "bmp", "text"]

HEAD_BYTES = 1024  # readers of PDF accept this much before the header
IMAGE_SUFFIXES = frozenset({".png", ".jpg", ".jpeg", ".jpe", ".webp", ".tif", ".tiff", ".gif", ".bmp"})
MARKDOWN_SUFFIXES = frozenset({".md", ".markdown", ".mdown", ".mkd"})

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

# Text of these names was meant to be something else, or is the source of something else.
_OTHER_SUFFIXES = IMAGE_SUFFIXES | {
    ".pdf", ".ps", ".eps", ".svg", ".djvu", ".epub", ".zip", ".rtf", ".doc", ".docx", ".odt", ".ppt", ".pptx", ".xls",
    ".xlsx", ".html", ".htm", ".xhtml", ".xml", ".tex",
}  # fmt: skip
_PAGE = re.compile(rb"\s*<(!doctype\s+html|html\b)", re.IGNORECASE)
_XML = re.compile(rb"\s*<(\?xml|svg\b)", re.IGNORECASE)
_HTML = re.compile(
    rb"\s*<(!--|(head|title|meta|link|style|script|body|header|main|div|span|p|h[1-6]|table|ul|ol|a|b|br|hr|img|center)"
    rb"[\s/>])",
    re.IGNORECASE,
)
_LATEX = re.compile(rb"^\s*\\documentclass\b", re.MULTILINE)


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
    if b"%PDF-" in head[:HEAD_BYTES]:
        return "pdf"
    return "text" if is_text(head, whole=len(head) < HEAD_BYTES) else None


def describe(head: bytes) -> str:
    """What else a file looks like, for an error message; empty if it tells nothing."""
    if head.startswith(b"PK\x03\x04"):
        return "it looks like an Office, e-book or ZIP file"
    if head.startswith(b"\xd0\xcf\x11\xe0"):
        return "it looks like an old Office file"
    if head.startswith(b"%!PS"):
        return "it looks like PostScript"
    if head.startswith(rb"{\rtf"):
        return "it looks like RTF"
    if _PAGE.match(head):
        return "it looks like a web page"
    return "it looks like XML" if _XML.match(head) else ""


def describe_text(head: bytes, name: str) -> str:
    """Why a text is not one to typeset as it stands, for an error message; empty if it is.

    Args:
        name: of the file; Markdown may hold HTML, and text under the name of a PDF is no text to its owner.
    """
    suffix = PurePath(name).suffix.lower()
    if looks := describe(head):
        return looks
    if suffix in MARKDOWN_SUFFIXES:
        return ""
    if _HTML.match(head):
        return "it looks like HTML"
    if _LATEX.search(head):
        return "it looks like LaTeX"
    return f"it is text, not what its name, {suffix}, says" if suffix in _OTHER_SUFFIXES else ""


def is_markdown(name: str) -> bool:
    """Whether a text of that name is Markdown."""
    return PurePath(name).suffix.lower() in MARKDOWN_SUFFIXES
