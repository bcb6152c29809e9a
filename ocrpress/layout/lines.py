"""Lines of text on a page made straight: the frame in which order, paragraphs and tables are found."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from ocrpress.document import Box, Region

LONG = 5.0  # times its height: a line long enough to tell the page's skew
SIDEWAYS = 2.0  # times its width: the height of a line that runs down the page
MOST_SKEW = 15.0  # degrees; steeper lines are decoration


@dataclass(frozen=True)
class Line:
    """A line of text in the straightened frame.

    Attributes:
        box: where it stands on the page as it is; left to bottom: the same after the page's skew is taken out.
        height: across the baseline, in pixels.
    """

    text: str
    box: Box
    left: float
    top: float
    right: float
    bottom: float
    height: float
    confidence: float

    @property
    def middle(self) -> float:
        """Height of its centre."""
        return (self.top + self.bottom) / 2

    @property
    def width(self) -> float:
        """From left to right."""
        return self.right - self.left

    @property
    def sideways(self) -> bool:
        """Whether it runs down the page: a stamp in the margin, the label of an axis."""
        return self.bottom - self.top > SIDEWAYS * self.width and len(self.text) > 2


class Written(Protocol):
    """Text of some height: a line, or a row of fragments."""

    @property
    def text(self) -> str:
        """What it says."""
        ...

    @property
    def height(self) -> float:
        """Across the baseline."""
        ...


@dataclass(frozen=True)
class Frame:
    """The rotation that takes a page's skew out: about the page's centre, by `skew` degrees."""

    skew: float
    x: float
    y: float

    def straighten(self, box: Box, angle: float = 0.0, height: float = 0.0) -> Box:
        """The box of something that stands in `box` on the page, its baseline falling by `angle` degrees."""
        left, top, right, bottom = box
        if not self.skew:
            return box
        turn = math.radians(-self.skew)
        dx, dy = (left + right) / 2 - self.x, (top + bottom) / 2 - self.y
        x = self.x + dx * math.cos(turn) - dy * math.sin(turn)
        y = self.y + dx * math.sin(turn) + dy * math.cos(turn)
        width = right - left
        if height:
            slope = math.radians(abs(angle))
            width = max(1.0, (width - height * math.sin(slope)) / math.cos(slope))
        tall = height or bottom - top
        return (x - width / 2, y - tall / 2, x + width / 2, y + tall / 2)


def find_frame(regions: Sequence[Region], size: tuple[int, int]) -> Frame:
    """The page's skew: the median angle of its long lines, each weighing as much as it is wide."""
    angles = sorted(
        (region.angle, region.box[2] - region.box[0])
        for region in regions
        if region.kind == "line"
        and abs(region.angle) < MOST_SKEW
        and region.box[2] - region.box[0] > LONG * max(region.height, 1.0)
    )
    half, skew = sum(width for _, width in angles) / 2, 0.0
    for angle, width in angles:
        half -= width
        if half <= 0:
            skew = angle
            break
    return Frame(skew, size[0] / 2, size[1] / 2)


def straight_lines(regions: Sequence[Region], frame: Frame) -> list[Line]:
    """The lines among the regions, in the straightened frame."""
    found = []
    for region in regions:
        if region.kind == "line":
            height = region.height or region.box[3] - region.box[1]
            box = frame.straighten(region.box, region.angle, height)
            found.append(Line(region.text, region.box, *box, height, region.confidence))
    return found


def body_height(lines: Sequence[Written]) -> float:
    """Usual height of a line of text: the median over characters; 1 where there are no lines."""
    heights = sorted((line.height, len(line.text)) for line in lines)
    half = sum(length for _, length in heights) / 2
    for height, length in heights:
        half -= length
        if half <= 0:
            return max(height, 1.0)
    return 1.0


def union(boxes: Sequence[Box]) -> Box:
    """The smallest box around all."""
    return (
        min(box[0] for box in boxes), min(box[1] for box in boxes),
        max(box[2] for box in boxes), max(box[3] for box in boxes),
    )  # fmt: skip
