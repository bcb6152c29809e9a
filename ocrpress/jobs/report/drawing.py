"""The process that draws thumbnails: requests on stdin, PNGs on stdout. Run by `thumbnails`, not by people.

A page that has failed may crash, hang or eat all memory once more when it is drawn. Here that costs one thumbnail.
"""

from __future__ import annotations

import contextlib
from io import BytesIO
from typing import TYPE_CHECKING

from ocrpress.document import UnreadablePage
from ocrpress.errors import OcrpressError, PageError
from ocrpress.sources import SourceOptions, open_source
from ocrpress.sources.child import answer_requests
from ocrpress.sources.protocol import Message, Reply, failed

if TYPE_CHECKING:
    from PIL.Image import Image

SIZE = (240, 320)  # pixels wide and high, at most
DPI = 60.0
GREYS = 16
MAX_PIXELS = 4_000_000
MEMORY_LIMIT = 3 << 30  # bytes of address space


def main() -> None:
    """Answer requests until stdin ends."""
    answer_requests(answer, MEMORY_LIMIT)


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


if __name__ == "__main__":
    main()
