"""Images as pages: a PNG, JPEG, WebP, BMP, each frame of a TIFF or GIF, or all images of a folder. One frame at a time.

The format comes from the first bytes, and the plugin for it is called by itself: Pillow's own `open` would warn about
large images through global settings that belong to the program around us.
"""

from __future__ import annotations

import math
import re
import time
from dataclasses import dataclass
from pathlib import PurePath
from typing import TYPE_CHECKING, Any

from PIL import Image

from ocrpress.document import PageImage, UnreadablePage
from ocrpress.errors import InputError
from ocrpress.sources.checks import check_page_count
from ocrpress.sources.pages import PageRange, select_pages
from ocrpress.sources.pixels import to_rgb
from ocrpress.sources.raster import POINTS_PER_INCH, bounded, scaled_down
from ocrpress.sources.sniff import HEAD_BYTES, IMAGE_SUFFIXES, Format, sniff

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from pathlib import Path

    from ocrpress.sources.base import SourceOptions

# Decoding needs up to 4 bytes a pixel, before anything can be scaled down. An A0 sheet at 300 dpi has 140 million.
DECODE_LIMIT = 178_000_000  # pixels
_MANY_FRAMES: frozenset[Format] = frozenset({"tiff", "gif", "webp", "png"})
_SANE_DPI = (20.0, 5000.0)


@dataclass(frozen=True)
class Frame:
    """Where a page's pixels are.

    Attributes:
        name: of the file, as users know it.
        format: None of an image by its name only.
        index: which frame, from 0.
    """

    path: Path
    name: str
    format: Format | None
    index: int = 0


class ImageSource:
    """Frames of one or more image files as pages.

    Raises:
        UsageError: none of the pages asked for is there.
        InputError: more than `options.max_pages`.
    """

    def __init__(
        self, name: str, frames: Sequence[Frame], options: SourceOptions, ranges: tuple[PageRange, ...] | None
    ) -> None:
        self._name, self._frames, self._options = name, frames, options
        self._numbers = select_pages(ranges, len(frames))
        check_page_count(name, len(self._numbers), options)

    @property
    def name(self) -> str:
        """The name it came under."""
        return self._name

    @property
    def page_count(self) -> int:
        """How many pages `pages` will give."""
        return len(self._numbers)

    @property
    def numbers(self) -> Sequence[int]:
        """The numbers of those pages."""
        return self._numbers

    @property
    def drawn(self) -> bool:
        """Pages are pixels already."""
        return False

    def pages(self) -> Iterator[PageImage | UnreadablePage]:
        """The pages asked for, in order, each decoded when it is asked for."""
        held: Image.Image | None = None
        held_path: Path | None = None
        try:
            for number in self._numbers:
                frame = self._frames[number - 1]
                start = time.perf_counter()
                try:
                    # The file stays open between its frames: each frame of a GIF is painted over the one before.
                    if held is None or frame.path != held_path:
                        if held is not None:
                            held.close()
                        held, held_path = None, frame.path
                        held = open_image(frame.path, frame.format)
                    page: PageImage | UnreadablePage = read_frame(held, frame, number, self._options.max_pixels, start)
                except Exception as error:  # a decoder may raise anything; it costs this page, not the document
                    page = UnreadablePage(number, f"{frame.name} cannot be decoded: {_reason(error)}")
                yield page
        finally:
            if held is not None:
                held.close()

    def redraw(self, number: int, mode: str) -> PageImage | None:
        """None: an image has no other pixels than those that it gave."""

    def close(self) -> None:
        """Nothing is open between two runs of `pages`."""


def image_file(path: Path, name: str, found: Format) -> tuple[Frame, ...]:
    """The frames of one image file. Raises InputError if its header cannot be read."""
    try:
        with open_image(path, found) as image:
            count = _count_frames(image, found)
    except Exception as error:
        raise InputError(f"{name} is a damaged image ({_reason(error)})", "fetch the file again") from error
    return tuple(Frame(path, PurePath(name).name, found, index) for index in range(count))


def image_folder(folder: Path, name: str) -> tuple[Frame, ...]:
    """The frames of all images in a folder, files in natural order (page2 before page10).

    Hidden files, folders and files that are no images are passed over. A damaged image keeps its place.

    Raises:
        InputError: there is no image, or the folder cannot be read.
    """
    try:
        files = sorted((path for path in folder.iterdir() if _visible_file(path)), key=_natural)
    except OSError as error:
        raise InputError(f"the folder {name} cannot be read ({error.strerror})", "check its permissions") from error
    frames = tuple(frame for path in files for frame in _frames_in_folder(path))
    if not frames:
        raise InputError(f"the folder {name} has no images", "give a folder of PNG, JPEG, WebP, TIFF, GIF or BMP files")
    return frames


def open_image(path: Path, found: Format | None) -> Image.Image:
    """The image with its header read and its pixels not yet decoded. Raises whatever the decoder raises."""
    if found is None:
        raise ValueError("it has no image in it")
    return _plugin(found)(path)


def read_frame(image: Image.Image, frame: Frame, number: int, max_pixels: int, start: float) -> PageImage:
    """Decode one frame into a page. Raises whatever the decoder raises, ValueError for an image that is too large."""
    if frame.index or _is_animated(image):
        image.seek(frame.index)
    width, height = image.size
    if width * height > max(DECODE_LIMIT, max_pixels):
        raise ValueError(f"{width} × {height} pixels are too many, the limit is {max(DECODE_LIMIT, max_pixels)}")
    if frame.format == "jpeg" and width * height > max_pixels:
        image.draft("RGB", bounded(image.size, max_pixels))  # the decoder then skips detail that would be thrown away
    points = _points_per_pixel(image)
    pixels = to_rgb(image)
    if (width > height) != (pixels.width > pixels.height):  # righted by its orientation tag
        width, height, points = height, width, (points[1], points[0])
    wanted = (width, height)
    size = bounded(wanted, max_pixels)
    if pixels.size != size and size != wanted:
        pixels = pixels.resize(size, Image.Resampling.BOX, reducing_gap=2.0)
    seconds = {"render": time.perf_counter() - start}
    return PageImage(number, pixels, width * points[0], height * points[1], seconds, scaled_down(wanted, size))


def _plugin(found: Format) -> Callable[[Path], Image.Image]:
    """Pillow's class for the format. JPEG by the plain class: its factory would open every phone picture twice."""
    from PIL import (
        BmpImagePlugin,
        GifImagePlugin,
        JpegImagePlugin,
        PngImagePlugin,
        TiffImagePlugin,
        WebPImagePlugin,
    )  # fmt: skip

    plugins: dict[str, Any] = {
        "bmp": BmpImagePlugin.BmpImageFile, "gif": GifImagePlugin.GifImageFile,
        "jpeg": JpegImagePlugin.JpegImageFile, "png": PngImagePlugin.PngImageFile,
        "tiff": TiffImagePlugin.TiffImageFile, "webp": WebPImagePlugin.WebPImageFile,
    }  # fmt: skip
    plugin: Callable[[Path], Image.Image] = plugins[found]
    return plugin


def _count_frames(image: Image.Image, found: Format) -> int:
    if found not in _MANY_FRAMES:
        return 1
    try:
        return max(1, int(getattr(image, "n_frames", 1)))
    except Exception:  # a chain of frames that breaks off; the first frame was found
        return 1


def _is_animated(image: Image.Image) -> bool:
    return bool(getattr(image, "is_animated", False))


def _frames_in_folder(path: Path) -> tuple[Frame, ...]:
    by_name = path.suffix.lower() in IMAGE_SUFFIXES
    try:
        with path.open("rb") as stream:
            found = sniff(stream.read(HEAD_BYTES))
    except OSError:
        return (Frame(path, path.name, None),) if by_name else ()
    if found is None or found in {"pdf", "text"}:
        return (Frame(path, path.name, None),) if by_name else ()
    if found not in _MANY_FRAMES:
        return (Frame(path, path.name, found),)
    try:
        return image_file(path, path.name, found)
    except InputError:
        return (Frame(path, path.name, found),)


def _visible_file(path: Path) -> bool:
    return not path.name.startswith(".") and path.is_file()


def _natural(path: Path) -> tuple[tuple[tuple[bool, int, str], ...], str]:
    """Sort key: runs of digits by their value, the rest without case; equal names by spelling."""
    pieces = re.findall(r"[0-9]+|[^0-9]+", path.name)
    key = tuple((not p[0].isdecimal(), int(p) if p[0].isdecimal() else 0, p.casefold()) for p in pieces)
    return key, path.name


def _points_per_pixel(image: Image.Image) -> tuple[float, float]:
    """Points a pixel, from the resolution tag where it can be true; else 1 (72 dpi)."""
    try:
        across, down = (float(value) for value in image.info.get("dpi", (0.0, 0.0)))
    except (TypeError, ValueError, ZeroDivisionError):
        return 1.0, 1.0
    low, high = _SANE_DPI
    if not (math.isfinite(across) and math.isfinite(down) and low <= across <= high and low <= down <= high):
        return 1.0, 1.0
    return POINTS_PER_INCH / across, POINTS_PER_INCH / down


def _reason(error: Exception) -> str:
    return " ".join(str(error).split())[:200] or type(error).__name__
