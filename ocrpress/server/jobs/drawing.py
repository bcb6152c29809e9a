"""The process that draws pages of uploads and counts what modes would cost them: requests on stdin, replies on stdout.
Run by `studio`, not by people.

It draws {"path", "name", "page", "password", "width" in pixels, "points" across the page once it stands upright (0 if
that is not known), "rotation", "seconds"} and replies {"size"} with a WebP behind it; it counts {"path", "name",
"pages", "password", "max_tiles", "seconds"} and replies {"costs"}. A document that crashes it, hangs or eats all memory
costs one reply.
"""

from __future__ import annotations

import contextlib
from io import BytesIO
from typing import TYPE_CHECKING

from ocrpress.document import UnreadablePage
from ocrpress.errors import OcrpressError, PageError
from ocrpress.sources import SourceOptions, open_source
from ocrpress.sources.checks import MIN_DPI
from ocrpress.sources.child import answer_requests
from ocrpress.sources.protocol import Message, Reply, failed, failed_by
from ocrpress.sources.raster import POINTS_PER_INCH

if TYPE_CHECKING:
    from PIL.Image import Image

MAX_DPI = 600.0
MAX_PIXELS = 16_000_000
TALLEST = 8000  # pixels, of pages that are mostly long
QUALITY = 82  # of WebP; type of 8 points stays sharp
MEMORY_LIMIT = 3 << 30  # bytes of address space


def main() -> None:
    """Answer requests until stdin ends."""
    answer_requests(answer, MEMORY_LIMIT)


def answer(request: Message) -> Reply:
    """The reply to a request. Never raises for what a document can cause."""
    try:
        return _draw(request) if "page" in request else _count(request)
    except OcrpressError as error:
        return failed_by(error)
    except MemoryError:
        return failed("page", "it takes too much memory")
    except Exception as error:  # a decoder may raise anything
        return failed("page", f"{type(error).__name__}: {error}")


def _draw(request: Message) -> Reply:
    image = right(_page(request), request["rotation"])
    image.thumbnail((request["width"], TALLEST))
    data = BytesIO()
    image.save(data, "WEBP", quality=QUALITY, method=2)
    return Reply({"size": image.size}, data.getvalue())


def _page(request: Message) -> Image:
    options = SourceOptions(
        dpi=_dpi(request), pages=str(request["page"]), password=request["password"], max_pixels=MAX_PIXELS, workers=0
    )
    with contextlib.closing(open_source(request["path"], options, name=request["name"])) as source:
        for page in source.pages():
            if isinstance(page, UnreadablePage):
                raise PageError(page.error)
            return page.image
    raise PageError("the document no longer has this page")


def _dpi(request: Message) -> float | None:
    """The resolution at which the righted page is as wide as it is wanted; None if nobody knows its size."""
    points = request["points"]
    return min(MAX_DPI, max(MIN_DPI, POINTS_PER_INCH * request["width"] / points)) if points > 0 else None


def right(image: Image, rotation: int) -> Image:
    """The image turned clockwise by so many degrees: 0, 90, 180 or 270."""
    from PIL import Image as Images

    turns = {90: Images.Transpose.ROTATE_270, 180: Images.Transpose.ROTATE_180, 270: Images.Transpose.ROTATE_90}
    return image.transpose(turns[rotation]) if rotation in turns else image


def _count(request: Message) -> Reply:
    from ocrpress.measure.mode_costs import count

    path, name, pages = request["path"], request["name"], request["pages"]
    costs = count(path, request["max_tiles"], pages, request["password"], workers=0, name=name)
    return Reply({"costs": costs.as_object()})


if __name__ == "__main__":
    main()
