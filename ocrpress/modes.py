"""The resolution modes and what a page costs in each. Arithmetic only: no pixels, the standard library alone.

A mode says which views of a page the encoder sees: one global view, and for the gundam modes and `dynamic` a grid of
tiles. A q × q view becomes (q / 64)² vision tokens (DeepSeek-OCR, section 3.2, table 1; DeepSeek-OCR-2, section 3).
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from ocrpress.errors import UsageError, unknown

PIXELS_PER_TOKEN = 64  # side of the square of pixels behind one vision token: patches of 16, compressed 4 × 4
DEFAULT_MAX_TILES = 9


@dataclass(frozen=True)
class Mode:
    """A row of the mode table.

    Attributes:
        view: side of the global view in pixels; 0 for `native`, which has none.
        tile: side of a tile in pixels; 0 where the mode has no tiles.
        stretch: the global view is stretched to the square (True) or fitted and padded (False).
        tiled_above: a page is tiled when a side exceeds this, in pixels.
        max_tiles: never more than these, whoever asks; None leaves it to the checkpoint.
        newlines: whether a newline token ends each row of vision tokens.
    """

    name: str
    view: int
    tile: int = 0
    stretch: bool = False
    tiled_above: int = 640
    max_tiles: int | None = None
    newlines: bool = True

    @property
    def view_tokens(self) -> int:
        """Vision tokens of the global view."""
        return (self.view // PIXELS_PER_TOKEN) ** 2

    @property
    def tile_tokens(self) -> int:
        """Vision tokens of one tile."""
        return (self.tile // PIXELS_PER_TOKEN) ** 2

    @property
    def view_sequence(self) -> int:
        """Sequence tokens of the global view: its vision tokens, row ends, and the separator after it."""
        return self.view_tokens + self.newlines * self.view // PIXELS_PER_TOKEN + 1 if self.view else 0

    def most_tiles(self, wanted: int | None) -> int:
        """The largest number of tiles of a page, where so many are wanted; None stands for the default."""
        wanted = wanted or DEFAULT_MAX_TILES
        return min(wanted, self.max_tiles or wanted)


MODES: dict[str, Mode] = {
    mode.name: mode
    for mode in (
        Mode("tiny", 512, stretch=True),
        Mode("small", 640, stretch=True),
        Mode("base", 1024),
        Mode("large", 1280),
        Mode("gundam", 1024, tile=640),
        Mode("gundam-m", 1280, tile=1024),
        Mode("dynamic", 1024, tile=768, tiled_above=768, max_tiles=6, newlines=False),
    )
}
NATIVE = Mode("native", 0)  # the extra mode of engines that read pixels directly


@dataclass(frozen=True)
class Plan:
    """What one page costs in one mode.

    Attributes:
        width, height: the page in pixels.
        grid: (columns, rows) of tiles; (1, 1) means no tiles, the global view alone.
        vision_tokens: what the encoder makes of all views.
        valid_tokens: those that stand for page rather than for padding.
        sequence_tokens: length in the decoder's sequence, row ends and separators included.
    """

    mode: str
    width: int
    height: int
    grid: tuple[int, int]
    vision_tokens: int
    valid_tokens: int
    sequence_tokens: int

    @property
    def tiles(self) -> int:
        """Number of tiles; 0 where the global view stands alone."""
        cols, rows = self.grid
        return cols * rows if cols * rows > 1 else 0


def get_mode(name: str) -> Mode:
    """The mode of that name, `native` included. Raises UsageError with the nearest known name."""
    if name == NATIVE.name:
        return NATIVE
    if name not in MODES:
        raise unknown("mode", name, [*MODES, NATIVE.name])
    return MODES[name]


def plan(width: int, height: int, mode: str, max_tiles: int | None = None) -> Plan:
    """What a page of width × height pixels costs in a mode.

    Args:
        width, height: in pixels, 1 or more.
        mode: a name of MODES, or `native`.
        max_tiles: largest number of tiles of the gundam modes, 2 or more (DeepSeek-OCR's code has 9, vLLM 6,
            Unlimited-OCR 32); None is 9. `dynamic` never has more than 6.

    Raises:
        UsageError: unknown mode, or a size or number of tiles out of range.
    """
    spec = get_mode(mode)
    if width < 1 or height < 1:
        raise UsageError(f"a page of {width} × {height} pixels has no plan", "both sides must be 1 pixel or more")
    if max_tiles is not None and max_tiles < 2:
        raise UsageError(f"max_tiles is {max_tiles}", "it must be 2 or more")
    if spec is NATIVE:
        return Plan(mode, width, height, (1, 1), 0, 0, 0)
    grid = choose_grid(width, height, spec, max_tiles) if spec.tile else (1, 1)
    cols, rows = grid
    tiles = cols * rows if cols * rows > 1 else 0
    local = tiles * spec.tile_tokens
    row_ends = rows * spec.tile // PIXELS_PER_TOKEN if tiles and spec.newlines else 0
    sequence = local + row_ends + spec.view_sequence
    valid = spec.view_tokens if spec.stretch else _valid(spec.view_tokens, width, height)
    return Plan(mode, width, height, grid, local + spec.view_tokens, local + valid, sequence)


def choose_grid(width: int, height: int, mode: Mode, max_tiles: int | None = None) -> tuple[int, int]:
    """(columns, rows) of tiles whose aspect ratio is nearest to the page's; (1, 1) for a page that needs none.

    Between grids equally near, fewer tiles win unless the page has more than half the pixels of the larger grid: with
    tiles of 640², a page of 1000² takes 2 × 2, one of 5000² takes 3 × 3.
    """
    if max(width, height) <= mode.tiled_above:
        return (1, 1)
    most = mode.most_tiles(max_tiles)
    sizes = range(1, most + 1)
    grids = sorted(
        ((cols, rows) for cols in sizes for rows in sizes if 2 <= cols * rows <= most),
        key=lambda grid: grid[0] * grid[1],
    )
    aspect = width / height
    best, best_distance = (1, 1), math.inf
    for cols, rows in grids:
        distance = abs(aspect - cols / rows)
        if distance < best_distance:
            best, best_distance = (cols, rows), distance
        elif distance == best_distance and width * height > 0.5 * mode.tile**2 * cols * rows:
            best = (cols, rows)
    return best


def _valid(tokens: int, width: int, height: int) -> int:
    """Vision tokens of a fitted and padded view that stand for page (DeepSeek-OCR, equation 1)."""
    longer, shorter = max(width, height), min(width, height)
    return -(-tokens * shorter // longer)
