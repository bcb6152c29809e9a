"""Where text lines stand: the detection network's map -> rotated rectangles (differentiable binarisation, DB).

Thresholds are PP-OCR's published ones. Components are found by joining runs of pixels row by row, and each becomes the
rectangle of least area around it: numpy alone, no OpenCV.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from statistics import median

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from ocrpress.engines.rapid.models import Network

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

TEXT_ABOVE = 0.3  # a pixel belongs to text
BOX_ABOVE = 0.5  # mean over a component for it to be a line
UNCLIP = 1.6  # the network marks a shrunken core: grow it by area × this / perimeter
SHORT_SIDE = 736  # smaller pages are enlarged to this, in pixels
LONG_SIDE = 1440  # larger pages are reduced to this
LONGEST_SIDE = 2016  # or to this, if their lines are
SIZE_STEP = 96  # a multiple of 32, which the network needs
FINE_PRINT = 11.0  # pixels high, boxes' margins included
MIN_CORE = 3.0  # pixels of the map


@dataclass(frozen=True)
class LineBox:
    """A line of text as a rotated rectangle, in pixels.

    Attributes:
        x, y: centre.
        width: along the baseline; height: across it.
        angle: radians, clockwise on the screen, in (-π/4, π/4].
    """

    x: float
    y: float
    width: float
    height: float
    angle: float
    score: float

    @property
    def upright(self) -> bool:
        """Whether the line runs down the page rather than across it."""
        return self.height >= 1.5 * self.width

    @property
    def bounds(self) -> tuple[float, float, float, float]:
        """The upright box around it: left, top, right, bottom."""
        cos, sin = abs(math.cos(self.angle)), abs(math.sin(self.angle))
        x, y = (self.width * cos + self.height * sin) / 2, (self.width * sin + self.height * cos) / 2
        return (self.x - x, self.y - y, self.x + x, self.y + y)

    @property
    def degrees(self) -> float:
        """The angle in degrees."""
        return math.degrees(self.angle)

    @property
    def thickness(self) -> float:
        """Extent across the direction of reading: the height of a line of text, the width of one that runs down."""
        return self.width if self.upright else self.height


def find_lines(image: Image.Image, network: Network) -> list[LineBox]:
    """All text lines of an RGB image, in no order, in its pixels.

    A large page is looked at in reduced size first, which finds the same lines at half the cost; one that turns out to
    be set very small is looked at again.
    """
    boxes = _find_at(image, network, LONG_SIDE)
    seen = min(1.0, LONG_SIDE / max(image.size))
    if seen < 1 and boxes and median(box.thickness for box in boxes) * seen < FINE_PRINT:
        boxes = _find_at(image, network, LONGEST_SIDE)
    return boxes


def _find_at(image: Image.Image, network: Network, long_side: int) -> list[LineBox]:
    size = network_size(image.width, image.height, long_side)
    pixels = image if size == image.size else image.resize(size, Image.Resampling.BILINEAR, reducing_gap=2.0)
    share = network(to_batch(pixels))[0][0, 0]
    return boxes_from_map(share, image.width / size[0], image.height / size[1])


def to_batch(image: Image.Image) -> NDArray[np.float32]:
    """RGB image -> (1, 3, h, w), channels in the order blue, green, red, values -1 to 1."""
    planes = np.asarray(image)[..., ::-1].transpose(2, 0, 1).astype(np.float32, order="C")
    planes *= 2 / 255
    planes -= 1
    return planes[None]


def network_size(width: int, height: int, long_side: int) -> tuple[int, int]:
    """Size that the network sees: the short side at least about 736, the long one at most about `long_side`.

    Sides are multiples of a coarse step, at the cost of a slight stretch: the runtime prepares each size once and keeps
    what it prepared, so that pages of a hundred sizes would cost a gigabyte.
    """
    scale = max(1.0, SHORT_SIDE / min(width, height))
    scale = min(scale, long_side / max(width, height))
    return max(SIZE_STEP, round(width * scale / SIZE_STEP) * SIZE_STEP), max(
        SIZE_STEP, round(height * scale / SIZE_STEP) * SIZE_STEP
    )


def boxes_from_map(share: NDArray[np.float32], x_scale: float, y_scale: float) -> list[LineBox]:
    """Rotated rectangles of the components of a map of text share (h, w), 0 to 1, scaled to the page's pixels."""
    text = share > TEXT_ABOVE
    mask = text.copy()  # closing one-pixel gaps to the right and below, as the published post-processing does
    mask[:, 1:] |= text[:, :-1]
    mask[1:] |= mask[:-1]
    rows, starts, ends, labels = label_runs(mask)
    if not len(rows):
        return []
    sums = np.concatenate([np.zeros((len(share), 1)), np.cumsum(share, axis=1, dtype=np.float64)], axis=1)
    order = np.argsort(labels, kind="stable")
    bounds = np.flatnonzero(np.diff(labels[order])) + 1
    boxes = []
    for runs in np.split(order, bounds):
        area = (ends[runs] - starts[runs]).sum()
        score = (sums[rows[runs], ends[runs]] - sums[rows[runs], starts[runs]]).sum() / area
        if score < BOX_ABOVE:
            continue
        points = np.concatenate([
            np.stack([starts[runs], rows[runs]], axis=1), np.stack([ends[runs] - 1, rows[runs]], axis=1)
        ]).astype(np.float64)  # fmt: skip
        points *= (x_scale, y_scale)
        box = smallest_rectangle(points, float(score))
        if min(box.width / x_scale, box.height / y_scale) >= MIN_CORE:
            boxes.append(grow(box))
    return boxes


def label_runs(mask: NDArray[np.bool_]) -> tuple[Ints, Ints, Ints, Ints]:
    """Connected components (8 neighbours) of a mask (h, w), as runs of pixels.

    Returns:
        row, start, end (exclusive) and component number of each run. A component's number is that of its first run.
    """
    edges = np.diff(np.pad(mask, ((0, 0), (1, 1))).astype(np.int8), axis=1)
    rows, starts = np.nonzero(edges == 1)
    ends = np.nonzero(edges == -1)[1]
    width = mask.shape[1] + 2
    # Runs of neighbouring rows touch when each starts no later than the other ends. On one axis, row after row:
    lower = np.searchsorted(rows * width + ends, (rows - 1) * width + starts, side="left")
    upper = np.searchsorted(rows * width + starts, (rows - 1) * width + ends, side="right")
    counts = np.maximum(upper - lower, 0)
    child = np.repeat(np.arange(len(rows)), counts)
    offsets = np.arange(counts.sum()) - np.repeat(np.cumsum(counts) - counts, counts)
    parent = np.repeat(lower, counts) + offsets
    labels = np.arange(len(rows))
    while True:  # every round joins neighbours and halves the paths: a few rounds for a page
        before = labels.copy()
        least = np.minimum(labels[child], labels[parent])
        np.minimum.at(labels, labels[child], least)
        np.minimum.at(labels, labels[parent], least)
        np.minimum.at(labels, child, least)
        np.minimum.at(labels, parent, least)
        labels = labels[labels]
        if np.array_equal(labels, before):
            return rows, starts, ends, labels


def smallest_rectangle(points: Floats, score: float) -> LineBox:
    """The rectangle of least area around points (n, 2); one of its sides lies on an edge of the convex hull."""
    hull = convex_hull(points)
    edges = np.roll(hull, -1, axis=0) - hull
    angles = np.unique(np.arctan2(edges[:, 1], edges[:, 0]) % (np.pi / 2))
    axes = np.stack([np.cos(angles), np.sin(angles)], axis=1)
    along = hull @ axes.T
    across = hull @ np.stack([-axes[:, 1], axes[:, 0]])
    widths, heights = np.ptp(along, axis=0), np.ptp(across, axis=0)
    best = int(np.argmin(widths * heights))
    u = (along[:, best].max() + along[:, best].min()) / 2
    v = (across[:, best].max() + across[:, best].min()) / 2
    (cos, sin), angle = axes[best], float(angles[best])
    width, height = float(widths[best]), float(heights[best])
    if angle > np.pi / 4:  # name as width the side that is nearer to the horizontal
        width, height, angle = height, width, angle - np.pi / 2
    return LineBox(float(u * cos - v * sin), float(u * sin + v * cos), width, height, angle, score)


def convex_hull(points: Floats) -> Floats:
    """Convex hull (m, 2) of points (n, 2), in order round it (Andrew's monotone chain)."""
    ordered = [(float(x), float(y)) for x, y in np.unique(points, axis=0)]
    if len(ordered) < 3:
        return np.array(ordered)

    def chain(sequence: list[tuple[float, float]]) -> list[tuple[float, float]]:
        kept: list[tuple[float, float]] = []
        for x, y in sequence:
            while len(kept) > 1:
                (ax, ay), (bx, by) = kept[-2], kept[-1]
                if (bx - ax) * (y - ay) - (by - ay) * (x - ax) > 0:
                    break
                kept.pop()
            kept.append((x, y))
        return kept[:-1]

    return np.array(chain(ordered) + chain(ordered[::-1]))


def grow(box: LineBox) -> LineBox:
    """The whole line from its shrunken core (DB's unclip of a rectangle: the same distance on every side)."""
    distance = box.width * box.height * UNCLIP / (2 * (box.width + box.height))
    return LineBox(box.x, box.y, box.width + 2 * distance, box.height + 2 * distance, box.angle, box.score)
