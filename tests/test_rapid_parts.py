"""The parts of the embedded engine that are arithmetic: components, rectangles, decoding, areas, rotation."""

from __future__ import annotations

import math

import numpy as np
import pytest
from PIL import Image, ImageDraw

from ocrpress.engines.rapid import areas, detect, recognise
from ocrpress.engines.rapid.detect import LineBox
from ocrpress.engines.rapid.recognise import Reading
from ocrpress.engines.rapid.rotation import find_rotation
from ocrpress.views import turn


def flood(mask: np.ndarray) -> np.ndarray:
    """Component numbers by plain flood fill over 8 neighbours, 0 for the ground."""
    numbers = np.zeros(mask.shape, int)
    for start in zip(*np.nonzero(mask), strict=True):
        if numbers[start]:
            continue
        number, todo = numbers.max() + 1, [start]
        while todo:
            y, x = todo.pop()
            if 0 <= y < mask.shape[0] and 0 <= x < mask.shape[1] and mask[y, x] and not numbers[y, x]:
                numbers[y, x] = number
                todo += [(y + dy, x + dx) for dy in (-1, 0, 1) for dx in (-1, 0, 1)]
    return numbers


@pytest.mark.parametrize("density", [0.0, 0.1, 0.35, 0.5, 0.7, 1.0])
def test_components_are_those_of_a_flood_fill(density: float) -> None:
    for seed in range(8):
        mask = np.random.default_rng(seed).random((23, 31)) < density
        painted = np.zeros(mask.shape, int)
        for row, start, end, label in zip(*detect.label_runs(mask), strict=True):
            painted[row, start:end] = label + 1
        expected = flood(mask)
        assert ((painted > 0) == mask).all()
        pairs = {(int(a), int(b)) for a, b in zip(painted[mask], expected[mask], strict=True)}
        assert len(pairs) == len({a for a, _ in pairs}) == len({b for _, b in pairs})


@pytest.mark.parametrize("degrees", [-44.0, -12.5, -1.0, 0.0, 0.7, 20.0, 44.0])
def test_the_smallest_rectangle_of_a_turned_rectangle_is_itself(degrees: float) -> None:
    angle = math.radians(degrees)
    along, across = np.array([math.cos(angle), math.sin(angle)]), np.array([-math.sin(angle), math.cos(angle)])
    grid = np.array([(u, v) for u in np.linspace(-50, 50, 21) for v in np.linspace(-8, 8, 5)])
    points = np.array([200.0, 100.0]) + grid[:, :1] * along + grid[:, 1:] * across
    box = detect.smallest_rectangle(points, 1.0)
    assert (box.x, box.y, box.width, box.height) == pytest.approx((200, 100, 100, 16), abs=1e-6)
    assert box.degrees == pytest.approx(degrees, abs=1e-6)


def test_boxes_come_from_a_map_grown_and_scaled() -> None:
    share = np.zeros((100, 200), np.float32)
    share[40:51, 20:121] = 0.9
    share[80:82, 5:8] = 0.9  # too small
    share[10:30, 150:180] = 0.31  # too unsure
    (box,) = detect.boxes_from_map(share, 2.0, 3.0)
    distance = (
        (202 * 33) * detect.UNCLIP / (2 * (202 + 33))
    )  # one pixel more each way: gaps are closed to the right and below
    assert box.x == pytest.approx(141, abs=1)
    assert box.width == pytest.approx(202 + 2 * distance, rel=0.02)
    assert box.height == pytest.approx(33 + 2 * distance, rel=0.05)


def test_an_empty_map_has_no_boxes() -> None:
    assert detect.boxes_from_map(np.zeros((64, 64), np.float32), 1, 1) == []


def test_ctc_drops_repeats_then_blanks() -> None:
    alphabet = ["", "a", "b"]
    steps = [0, 1, 1, 0, 1, 2, 2, 0]
    probabilities = np.full((len(steps), 3), 0.05, np.float32)
    probabilities[range(len(steps)), steps] = 0.9
    assert recognise.decode(probabilities, alphabet) == Reading("aab", pytest.approx(0.9))
    assert recognise.decode(probabilities[:1], alphabet) == Reading("", 0.0)


def test_lines_are_cut_upright() -> None:
    image = Image.new("RGB", (400, 300), "white")
    ImageDraw.Draw(image).rectangle((100, 140, 299, 159), fill="black")
    for degrees in (0.0, 10.0, -25.0):
        turned = image.rotate(-degrees, Image.Resampling.BICUBIC, fillcolor="white")
        line = recognise.cut_line(turned, LineBox(200, 150, 200, 20, math.radians(degrees), 1.0))
        assert line.size == (200, 20)
        assert np.asarray(line)[3:-3, 3:-3].mean() < 40
    down = recognise.cut_line(image.rotate(90, expand=True), LineBox(150, 200, 20, 200, 0.0, 1.0))
    assert down.size == (200, 20)


@pytest.mark.parametrize("width", [1, 48, 63, 64, 65, 500, 513, 1000, 1025, 2049, 3199])
def test_line_widths_fall_into_few_buckets(width: int) -> None:
    assert width <= recognise.bucket(width) <= max(128, 1.34 * width)
    assert len({recognise.bucket(each) for each in range(1, recognise.MAX_WIDTH + 1)}) <= 20


def test_weaker_areas_that_overlap_are_dropped() -> None:
    boxes = np.array([[0, 0, 10, 10], [1, 1, 10, 10], [20, 20, 30, 30]], float)
    assert areas.suppress(boxes, np.array([1, 0, 2])) == [1, 2]
    assert areas.overlap(boxes[0], boxes[2]) == 0.0
    assert areas.overlap(boxes[0], boxes[0]) == 1.0


@pytest.mark.parametrize("rotation", [0, 90, 180, 270])
def test_the_rotation_that_reads_best_is_found(rotation: int) -> None:
    """A page whose lines read well only when a black corner comes to stand at the top left."""
    upright = Image.new("RGB", (300, 400), "white")
    upright.putpixel((0, 0), (0, 0, 0))
    lines = [LineBox(150, 50 + 40 * index, 200, 20, 0.0, 1.0) for index in range(8)]
    if rotation in (90, 270):
        lines = [LineBox(box.y, box.x, box.height, box.width, 0.0, 1.0) for box in lines]

    def read(image: Image.Image, boxes: list[LineBox]) -> list[Reading]:
        sure = image.getpixel((0, 0)) == (0, 0, 0)
        assert all(0 <= box.x <= image.width and 0 <= box.y <= image.height for box in boxes)
        return [Reading("text", 0.95 if sure else 0.5)] * len(boxes)

    standing = turn(upright, (360 - rotation) % 360)
    assert find_rotation(standing, lines, read) == rotation


def test_a_page_without_lines_is_not_turned() -> None:
    assert find_rotation(Image.new("RGB", (10, 10)), [], lambda image, boxes: []) == 0
