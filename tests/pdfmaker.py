"""PDFs made by hand, byte by byte, for tests: whole ones, odd ones, encrypted ones (RC4, 40 bits) and broken ones."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

LETTER = (612.0, 792.0)
_PAD = bytes.fromhex("28BF4E5E4E758A4164004E56FFFA01082E2E00B6D0683E802F0CA9FE6453697A")
_ID = bytes(range(16))


@dataclass(frozen=True)
class Page:
    """A page: its content stream, its size in points, further entries, and objects it brings along.

    `objects` are whole objects, numbered from `FIRST_FREE`; give them to one page only.
    """

    content: bytes = b""
    size: tuple[float, float] = LETTER
    entries: bytes = b""
    objects: tuple[bytes, ...] = ()
    broken: bool = False


def text(*lines: str, size: int = 14, left: int = 72, top: int = 720) -> bytes:
    """A content stream that shows lines of text in Helvetica."""
    shown = b" ".join(b"(%s) Tj T*" % line.encode("latin-1") for line in lines)
    return b"BT /F1 %d Tf %d TL %d %d Td %s ET" % (size, round(size * 1.3), left, top, shown)


def box(red: float, green: float, blue: float, x: float, y: float, width: float, height: float) -> bytes:
    """A content stream that fills a rectangle; colours from 0 to 1, points from the lower left."""
    return b"%f %f %f rg %f %f %f %f re f\n" % (red, green, blue, x, y, width, height)


def stream(data: bytes, entries: bytes = b"") -> bytes:
    """A stream object."""
    return b"<< /Length %d %s >>\nstream\n%s\nendstream" % (len(data), entries, data)


def first_free(pages: int) -> int:
    """Number of the first of the objects that pages bring along."""
    return 4 + 2 * pages


def make_pdf(pages: Sequence[Page], *, catalog: bytes = b"", user: str | None = None, owner: str = "owner") -> bytes:
    """A PDF of these pages; encrypted if there is a user password (it may be empty)."""
    kids = b" ".join(b"%d 0 R" % (4 + 2 * index) for index in range(len(pages)))
    objects: list[bytes] = [
        b"<< /Type /Catalog /Pages 2 0 R %s >>" % catalog,
        b"<< /Type /Pages /Count %d /Kids [%s] >>" % (len(pages), kids),
        b"<< /Type /Font /Subtype /Type1 /BaseFont /Helvetica >>",
    ]
    extra: list[bytes] = []
    for index, page in enumerate(pages):
        width, height = page.size
        resources = b"" if b"/Resources" in page.entries else b"/Resources << /Font << /F1 3 0 R >> >>"
        described = b"<< /Type /Page /Parent 2 0 R /MediaBox [0 0 %f %f] /Contents %d 0 R %s %s >>" % (
            width, height, 5 + 2 * index, resources, page.entries,
        )  # fmt: skip
        objects += [b"null" if page.broken else described, stream(page.content)]
        extra += page.objects
    return _assemble(objects + extra, user, owner)


def make_text_pdf(pages: int, lines: int = 3, **options: str) -> bytes:
    """A PDF of plain pages that say which page they are."""
    made = [Page(text(*(f"Page {n}, line {i}" for i in range(1, lines + 1)))) for n in range(1, pages + 1)]
    return make_pdf(made, **options)  # type: ignore[arg-type]


def endless_page(depth: int = 12, width: int = 12) -> Page:
    """A page of a few kilobytes that takes ages: forms that draw forms that draw forms (for a document of one page)."""
    return nested_page(1, depth, width)


def nested_page(pages: int, depth: int = 12, width: int = 12) -> Page:
    """As `endless_page`, for a document of so many pages."""
    first = first_free(pages)
    calls = b"/X Do\n" * width
    head = b"/Type /XObject /Subtype /Form /BBox [0 0 612 792]"
    forms = [
        stream(calls, head + b" /Resources << /XObject << /X %d 0 R >> >>" % (first + level + 1))
        for level in range(depth)
    ]
    forms.append(stream(box(0, 0, 0, 10, 10, 500, 500) * 10, head))
    return Page(calls, entries=b"/Resources << /XObject << /X %d 0 R >> >>" % first, objects=tuple(forms))


def _assemble(objects: Sequence[bytes], user: str | None, owner: str) -> bytes:
    """Objects, cross-reference table and trailer."""
    key, encryption = (b"", b"") if user is None else _encryption(user, owner)
    out = bytearray(b"%PDF-1.6\n%\xe2\xe3\xcf\xd3\n")
    offsets = []
    for number, body in enumerate(objects, 1):
        offsets.append(len(out))
        out += b"%d 0 obj\n%s\nendobj\n" % (number, _encrypt(key, number, body) if key else body)
    start = len(out)
    out += b"xref\n0 %d\n0000000000 65535 f \n" % (len(objects) + 1)
    for offset in offsets:
        out += b"%010d 00000 n \n" % offset
    name = _ID.hex().encode()
    out += b"trailer\n<< /Size %d /Root 1 0 R /ID [<%s> <%s>] %s >>\n" % (len(objects) + 1, name, name, encryption)
    out += b"startxref\n%d\n%%%%EOF\n" % start
    return bytes(out)


def _encryption(user: str, owner: str) -> tuple[bytes, bytes]:
    """Key and /Encrypt entry of the standard security handler, revision 2."""
    user_pad, owner_pad = (_padded(word) for word in (user, owner))
    owner_entry = _rc4(hashlib.md5(owner_pad).digest()[:5], user_pad)  # noqa: S324
    rights = -4
    seed = user_pad + owner_entry + rights.to_bytes(4, "little", signed=True) + _ID
    key = hashlib.md5(seed).digest()[:5]  # noqa: S324
    entry = b"/Encrypt << /Filter /Standard /V 1 /R 2 /P %d /O <%s> /U <%s> >>" % (
        rights, owner_entry.hex().encode(), _rc4(key, _PAD).hex().encode(),
    )  # fmt: skip
    return key, entry


def _padded(word: str) -> bytes:
    return (word.encode("latin-1") + _PAD)[:32]


def _encrypt(key: bytes, number: int, body: bytes) -> bytes:
    """The object with its stream encrypted; our objects hold no strings outside streams."""
    head, mark, rest = body.partition(b"\nstream\n")
    if not mark:
        return body
    data = rest.removesuffix(b"\nendstream")
    own = hashlib.md5(key + number.to_bytes(3, "little") + b"\0\0").digest()[:10]  # noqa: S324
    return head + mark + _rc4(own, data) + b"\nendstream"


def _rc4(key: bytes, data: bytes) -> bytes:
    state = list(range(256))
    j = 0
    for i in range(256):
        j = (j + state[i] + key[i % len(key)]) % 256
        state[i], state[j] = state[j], state[i]
    out = bytearray()
    i = j = 0
    for byte in data:
        i = (i + 1) % 256
        j = (j + state[i]) % 256
        state[i], state[j] = state[j], state[i]
        out.append(byte ^ state[(state[i] + state[j]) % 256])
    return bytes(out)
