"""How many pixels a page is worth, and the pixels of a rendered page. Arithmetic only, except for `to_image`."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

from ocrpress.errors import PageError
from ocrpress.modes import Mode, choose_grid, get_mode

if TYPE_CHECKING:
    from PIL.Image import Image

    from ocrpress.sources.base import SourceOptions

Size = tuple[int, int]

POINTS_PER_INCH = 72
NATIVE_DPI = 144.0  # 10-point text is then 20 pixels high, enough for every recogniser we know
NATIVE_LONG_SIDE = 2000  # pixels; a poster at 144 dpi has no more readable lines than this shows
DAMAGED_ADVICE = "fetch the file again, or try to mend it with 'qpdf DAMAGED.pdf MENDED.pdf'"
MOST_STRETCH = 6  # times the view: text squeezed further than that is lost, so rendering more of it is in vain
MAX_SIDE = 32_000  # pixels; renderers use 16-bit coordinates here and there


@dataclass(frozen=True)
class Raster:
    """A rendered page.

    Attributes:
        size: width and height in pixels.
        points: width and height of the page in points.
        pixels: RGB, 3 bytes a pixel, row by row from the top, no padding.
    """

    size: Size
    points: tuple[float, float]
    pixels: bytes | bytearray | memoryview
    warnings: tuple[str, ...] = ()


def to_image(size: Size, pixels: bytes | bytearray | memoryview) -> Image:
    """A Pillow image of RGB bytes as Raster has them."""
    from PIL import Image

    return Image.frombytes("RGB", size, pixels)


def render_size(width: float, height: float, options: SourceOptions) -> Size:
    """The size in pixels at which to render a page: no more than its mode can use, never beyond the limits.

    With `options.dpi`, that resolution. Otherwise by mode: fitted views (base, large) get exactly the long side of the
    view, so that fitting needs no resampling; stretched views (tiny, small) the smallest size that covers the square;
    tiled modes the smallest that covers their grid and the global view; native 144 dpi up to 2000 pixels a side.

    Args:
        width, height: of the page in points.

    Returns:
        (width, height) in pixels, each 1 or more, width × height at most `options.max_pixels`.

    Raises:
        PageError: the page has no area.
    """
    return bounded(wanted_size(width, height, options), options.max_pixels)


def wanted_size(width: float, height: float, options: SourceOptions) -> Size:
    """As `render_size`, before the limits are applied."""
    if not (math.isfinite(width) and math.isfinite(height) and width > 0 and height > 0):
        raise PageError(f"the page has no area ({width:g} × {height:g} points)")
    if options.dpi is not None:
        return _scaled(width, height, options.dpi / POINTS_PER_INCH)
    mode = get_mode(options.mode)
    if not mode.view:
        return _scaled(width, height, min(NATIVE_DPI / POINTS_PER_INCH, NATIVE_LONG_SIDE / max(width, height)))
    if mode.tile:
        return _tiled_size(width, height, mode, options)
    if mode.stretch:
        covering = _covering(width, height, mode.view, mode.view)
        longest = _scaled(width, height, MOST_STRETCH * mode.view / max(width, height))
        return min(covering, longest)
    return _scaled(width, height, mode.view / max(width, height))


def bounded(size: Size, max_pixels: int) -> Size:
    """The size, scaled down until it has at most max_pixels pixels and no side beyond MAX_SIDE."""
    width, height = size
    scale = min(1.0, math.sqrt(max_pixels / (width * height)), MAX_SIDE / max(width, height))
    if scale == 1.0:
        return size
    width, height = max(1, int(width * scale)), max(1, int(height * scale))
    # A side that was kept at 1 pixel leaves less room for the other.
    width = max(1, min(width, max_pixels // height))
    return width, max(1, min(height, max_pixels // width))


def scaled_down(wanted: Size, size: Size) -> tuple[str, ...]:
    """The warning that a page carries when it is smaller than wanted; nothing if it is not."""
    if size == wanted:
        return ()
    return (f"scaled down from {wanted[0]} × {wanted[1]} to {size[0]} × {size[1]} pixels, the limit for one page",)


def _scaled(width: float, height: float, scale: float) -> Size:
    return max(1, round(width * scale)), max(1, round(height * scale))


def _covering(width: float, height: float, cols: int, rows: int) -> Size:
    """The smallest size of this aspect ratio that is at least cols × rows pixels."""
    scale = max(cols / width, rows / height)
    return max(cols, round(width * scale)), max(rows, round(height * scale))


def _tiled_size(width: float, height: float, mode: Mode, options: SourceOptions) -> Size:
    """The size that covers the grid which `modes.plan` will choose for a page of that size.

    The grid depends on the pixels, and the pixels on the grid: start from a size that is large enough for every grid,
    then repeat until both agree. Rounding to whole pixels can make two grids take turns; then the larger size serves.
    """
    most = mode.tile * mode.most_tiles(options.max_tiles)
    size = _covering(width, height, most, most)
    sizes: list[Size] = []
    while size not in sizes:
        sizes.append(size)
        cols, rows = choose_grid(*size, mode, options.max_tiles)
        size = _covering(width, height, max(cols * mode.tile, mode.view), max(rows * mode.tile, mode.view))
    return max(sizes[sizes.index(size) :])
