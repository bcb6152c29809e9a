"""Which way up a page stands: found from the lines already detected, and from reading a few of them both ways.

A page that stands upright costs nothing but the reading of its few longest lines.
"""

from __future__ import annotations

from collections.abc import Callable
from statistics import fmean

from PIL import Image

from ocrpress.engines.rapid.detect import LineBox
from ocrpress.engines.rapid.recognise import Reading
from ocrpress.views import turn

SAMPLE = 5  # lines read to judge a rotation
SURE = 0.85  # mean confidence above which a rotation is taken without trying others
MARGIN = 0.05  # by which another rotation must read better

ReadBoxes = Callable[[Image.Image, list[LineBox]], list[Reading]]


def find_rotation(image: Image.Image, boxes: list[LineBox], read: ReadBoxes) -> int:
    """Clockwise degrees (0, 90, 180, 270) that put a page upright; 0 where nothing can be told.

    Args:
        boxes: the page's text lines as it stands now.
        read: reads lines of an image.
    """
    sample = sorted(boxes, key=lambda box: -max(box.width, box.height))[:SAMPLE]
    if not sample:
        return 0
    across = sum(max(box.width, box.height) for box in boxes if not box.upright)
    down = sum(max(box.width, box.height) for box in boxes if box.upright)
    candidates = (0, 180) if across >= down else (90, 270, 0)
    best, best_score = 0, 0.0
    for rotation in candidates:
        score = _confidence(image, sample, rotation, read)
        if score > best_score + MARGIN:
            best, best_score = rotation, score
        if best_score > SURE:
            break
    return best


def _confidence(image: Image.Image, sample: list[LineBox], rotation: int, read: ReadBoxes) -> float:
    turned = [_turned(box, rotation, image.size) for box in sample]
    return fmean(line.confidence for line in read(turn(image, rotation), turned))


def _turned(box: LineBox, rotation: int, size: tuple[int, int]) -> LineBox:
    """The same line on the page turned clockwise; size is that of the page before."""
    width, height = size
    x, y = {
        0: (box.x, box.y), 90: (height - box.y, box.x), 180: (width - box.x, height - box.y),
        270: (box.y, width - box.x),
    }[rotation]  # fmt: skip
    if rotation in (0, 180):
        return LineBox(x, y, box.width, box.height, box.angle, box.score)
    return LineBox(x, y, box.height, box.width, box.angle, box.score)
