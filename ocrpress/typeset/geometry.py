"""How large a page is, and where on it text stands. Arithmetic on a `Style`; knows nothing of fonts or text."""

from __future__ import annotations

import re
from dataclasses import dataclass

from ocrpress.errors import UsageError, unknown
from ocrpress.modes import MODES
from ocrpress.typeset.style import Style

MILLIMETRE = 72 / 25.4
POINTS = {"mm": MILLIMETRE, "cm": 10 * MILLIMETRE, "in": 72.0, "pt": 1.0}
# In points: ISO 216, and the American sizes.
PAPERS = {
    "a3": (297 * MILLIMETRE, 420 * MILLIMETRE),
    "a4": (210 * MILLIMETRE, 297 * MILLIMETRE),
    "a5": (148 * MILLIMETRE, 210 * MILLIMETRE),
    "letter": (612.0, 792.0),
    "legal": (612.0, 1008.0),
}
DEFAULT_DPI = 144.0
MODE_DPI = 72.0  # a point is a pixel
MAX_PIXELS = 50_000_000
DPI_RANGE = (18.0, 1200.0)
_TILED = (2, 3)  # columns and rows of tiles on the page of a tiled mode: the grid nearest to a sheet of paper
_LEAST_EMS = 2  # of a column's measure
_SIZE = re.compile(r"(\d{1,9}(?:\.\d+)?)\s*[x×]\s*(\d{1,9}(?:\.\d+)?)\s*(mm|cm|in|pt|px)")


@dataclass(frozen=True)
class Frame:
    """The page and its columns, in pixels.

    Attributes:
        lefts: left edge of each column.
        measure: width of a column.
        top, bottom: of every column.
    """

    width: int
    height: int
    dpi: float
    lefts: tuple[float, ...]
    measure: float
    top: float
    bottom: float

    @property
    def unit(self) -> float:
        """Pixels a point."""
        return self.dpi / 72


def page_size(style: Style) -> tuple[int, int, float]:
    """(pixels wide, pixels high, pixels an inch) of the pages of a style.

    A mode's page has the mode's pixels; that of gundam and gundam-m is 2 × 3 tiles.

    Raises:
        UsageError: the page size is unknown, or has no or more than 50 million pixels, or dpi is out of range.
    """
    name = style.page.strip().lower()
    mode = MODES.get(name)
    dpi = style.dpi if style.dpi is not None else MODE_DPI if mode else DEFAULT_DPI
    if not DPI_RANGE[0] <= dpi <= DPI_RANGE[1]:
        raise UsageError(f"{dpi:g} dpi", f"between {DPI_RANGE[0]:g} and {DPI_RANGE[1]:g}")
    if mode and mode.tile:
        width, height = mode.tile * _TILED[0], mode.tile * _TILED[1]
    elif mode:
        width = height = mode.view
    else:
        width, height = (round(side) for side in _sides(style.page, name, dpi))
    if width < 1 or height < 1:
        raise UsageError(f"a page of {style.page} at {dpi:g} dpi has no pixels", "make it larger")
    if width * height > MAX_PIXELS:
        raise UsageError(
            f"a page of {style.page} at {dpi:g} dpi has {width} × {height} pixels",
            f"{MAX_PIXELS // 1_000_000} million are the most: choose a smaller page or fewer dpi",
        )
    return width, height, dpi


def frame(style: Style) -> Frame:
    """Where the columns of a style stand.

    Raises:
        UsageError: the page cannot be, or margins, columns and gutter leave no room for text.
    """
    width, height, dpi = page_size(style)
    unit = dpi / 72
    default = min(width, height) / 10
    left, top, right, bottom = (margin * unit for margin in style.margins) if style.margins else (default,) * 4
    gutter = (2 * style.size if style.gutter is None else style.gutter) * unit
    measure = (width - left - right - gutter * (style.columns - 1)) / style.columns
    if measure < _LEAST_EMS * style.size * unit or height - top - bottom < style.size * style.leading * unit:
        columns = f"{style.columns} column{'s' * (style.columns > 1)}"
        raise UsageError(
            f"{columns} of {style.size:g} point text do not fit into a page of {style.page} with these margins",
            "make the page larger, or the margins, the columns or the type smaller",
        )
    lefts = tuple(left + i * (measure + gutter) for i in range(style.columns))
    return Frame(width, height, dpi, lefts, measure, top, height - bottom)


def _sides(page: str, name: str, dpi: float) -> tuple[float, float]:
    """Width and height in pixels of a named paper, or of WIDTHxHEIGHT with a unit."""
    if name in PAPERS:
        width, height = PAPERS[name]
        return width * dpi / 72, height * dpi / 72
    found = _SIZE.fullmatch(name)
    if found:
        factor = 1.0 if found[3] == "px" else POINTS[found[3]] * dpi / 72
        return float(found[1]) * factor, float(found[2]) * factor
    if name[:1].isdigit():
        raise UsageError(f"'{page}' is no page size", "write WIDTHxHEIGHT and a unit, such as 148x210mm or 800x600px")
    raise unknown("page size", page, [*PAPERS, *MODES, "WIDTHxHEIGHT with mm, cm, in, pt or px"])
