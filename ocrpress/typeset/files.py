"""Page images -> files: PNG pages, or one PDF that is written page by page and never held as a whole.

Grey, 8 bits a pixel, deflated quickly. Both formats hold the same bytes: a PDF's page shows what the PNG would.
Knows nothing of text. PDF: ISO 32000-1, 7.5 (file structure) and 8.9.5 (images). PNG: ISO/IEC 15948.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Callable
from typing import TYPE_CHECKING

from PIL import Image

if TYPE_CHECKING:
    from PIL.Image import Image as Pixels

_LEVEL = 4  # of deflate: level 6 takes half as long again, for a fiftieth less
_INCHES_PER_METRE = 1 / 0.0254
_CATALOGUE, _TREE = 1, 2  # object numbers; pages follow


def png(image: Pixels, dpi: float) -> bytes:
    """An image as a grey PNG that knows its resolution.

    Args:
        image: RGB with three equal planes, or L.
    """
    width, height = image.size
    metre = round(dpi * _INCHES_PER_METRE)
    return b"\x89PNG\r\n\x1a\n" + b"".join([
        _chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)),
        _chunk(b"pHYs", struct.pack(">IIB", metre, metre, 1)),
        _chunk(b"IDAT", _deflated(image)),
        _chunk(b"IEND", b""),
    ])  # fmt: skip


class PdfWriter:
    """A PDF of page images, written as they come.

    Args:
        write: takes the file's bytes, piece by piece.
    """

    def __init__(self, write: Callable[[bytes], None]) -> None:
        """Write the head of the file."""
        self._write, self._position = write, 0
        self._places: dict[int, int] = {}  # object number -> where it begins
        self._pages: list[int] = []
        self._put(b"%PDF-1.5\n%\xe2\xe3\xcf\xd3\n")

    def add(self, image: Pixels, dpi: float) -> None:
        """Write the next page: the image, filling a page of its size at this resolution."""
        width, height = image.size
        across, down = (f"{72 * side / dpi:.4f}".rstrip("0").rstrip(".") for side in image.size)
        picture = _TREE + 1 + 3 * len(self._pages)
        drawing, page = picture + 1, picture + 2
        self._put_stream(
            picture, _deflated(image),
            f"/Type /XObject /Subtype /Image /Width {width} /Height {height} /ColorSpace /DeviceGray "
            f"/BitsPerComponent 8 /Filter /FlateDecode /DecodeParms << /Predictor 15 /Columns {width} >>",
        )  # fmt: skip
        self._put_stream(drawing, f"{across} 0 0 {down} 0 0 cm /Page Do".encode())
        self._put_object(
            page,
            f"<< /Type /Page /Parent {_TREE} 0 R /MediaBox [0 0 {across} {down}] /Contents {drawing} 0 R "
            f"/Resources << /XObject << /Page {picture} 0 R >> >> >>",
        )
        self._pages.append(page)

    def finish(self) -> None:
        """Write what comes after the last page. Raises ValueError for a PDF without pages, which is none."""
        if not self._pages:
            raise ValueError("a PDF has a page or more")
        kids = " ".join(f"{page} 0 R" for page in self._pages)
        self._put_object(_TREE, f"<< /Type /Pages /Count {len(self._pages)} /Kids [{kids}] >>")
        self._put_object(_CATALOGUE, f"<< /Type /Catalog /Pages {_TREE} 0 R >>")
        start, size = self._position, len(self._places) + 1
        entries = "".join(f"{self._places[number]:010} 00000 n \n" for number in range(1, size))
        self._put(f"xref\n0 {size}\n0000000000 65535 f \n{entries}".encode())
        self._put(f"trailer\n<< /Size {size} /Root {_CATALOGUE} 0 R >>\nstartxref\n{start}\n%%EOF\n".encode())

    def _put_stream(self, number: int, data: bytes, entries: str = "") -> None:
        head = f"<< {entries} /Length {len(data)} >>\nstream\n".encode()
        self._put_object(number, head + data + b"\nendstream")

    def _put_object(self, number: int, body: bytes | str) -> None:
        self._places[number] = self._position
        data = body.encode() if isinstance(body, str) else body
        self._put(f"{number} 0 obj\n".encode() + data + b"\nendobj\n")

    def _put(self, data: bytes) -> None:
        self._write(data)
        self._position += len(data)


def _deflated(image: Pixels) -> bytes:
    """The grey rows as a PNG and a PDF with predictor 15 have them: each begins with a 0, for "not filtered"."""
    grey = image if image.mode == "L" else image.getchannel(0)
    rows = Image.new("L", (grey.width + 1, grey.height))
    rows.paste(grey, (1, 0))
    return zlib.compress(rows.tobytes(), _LEVEL)


def _chunk(name: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))
