"""What kind of thing stands where: the layout network (PicoDet, classes of CDLA) -> areas in page pixels."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from ocrpress.document import Region, RegionKind
from ocrpress.engines.rapid.models import Array, Network

KINDS: tuple[RegionKind, ...] = (
    "text", "title", "figure", "figure_caption", "table", "table_caption", "header", "footer", "reference", "equation",
)  # fmt: skip
WIDTH, HEIGHT = 608, 800  # pixels, the network's own
STRIDES = (8, 16, 32, 64)
MEAN = np.array([0.485, 0.456, 0.406], dtype=np.float32)
DEVIATION = np.array([0.229, 0.224, 0.225], dtype=np.float32)
SCORE_ABOVE = 0.4
OVERLAP_BELOW = 0.5  # intersection over union above which the weaker of two areas of a kind is dropped
MOST = 100


def find_areas(image: Image.Image, network: Network) -> list[Region]:
    """The layout areas of an RGB page, strongest first, in its pixels."""
    pixels = np.asarray(image.resize((WIDTH, HEIGHT), Image.Resampling.BILINEAR, reducing_gap=2.0), dtype=np.float32)
    batch = ((pixels / 255 - MEAN) / DEVIATION).transpose(2, 0, 1)[None].astype(np.float32, order="C")
    scores, boxes = decode(network(batch))
    boxes *= np.array([image.width / WIDTH, image.height / HEIGHT] * 2)
    found = []
    for kind_index, kind in enumerate(KINDS):
        strong = np.flatnonzero(scores[:, kind_index] > SCORE_ABOVE)
        strong = strong[np.argsort(-scores[strong, kind_index])][:MOST]
        found += [
            Region(kind, (float(x0), float(y0), float(x1), float(y1)), confidence=float(scores[index, kind_index]))
            for index in suppress(boxes, strong)
            for x0, y0, x1, y1 in [boxes[index]]
        ]
    return sorted(found, key=lambda area: -area.confidence)


def decode(outputs: list[Array]) -> tuple[Array, NDArray[np.float64]]:
    """Network outputs -> scores (n, 10) and boxes (n, 4) in the network's pixels.

    Each cell gives, for each side of its box, a distribution over distances in strides; its mean is the distance.
    """
    scores = np.concatenate([output[0] for output in outputs[: len(STRIDES)]])
    boxes = []
    for stride, output in zip(STRIDES, outputs[len(STRIDES) :], strict=True):
        bins = output[0].reshape(len(output[0]), 4, -1).astype(np.float64)
        share = np.exp(bins - bins.max(axis=2, keepdims=True))
        share /= share.sum(axis=2, keepdims=True)
        left, top, right, bottom = (share @ np.arange(bins.shape[2]) * stride).T
        cols, rows = -(-WIDTH // stride), -(-HEIGHT // stride)
        y, x = (np.mgrid[0:rows, 0:cols].reshape(2, -1) + 0.5) * stride
        boxes.append(np.stack([x - left, y - top, x + right, y + bottom], axis=1))
    clipped = np.clip(np.concatenate(boxes), 0, [WIDTH, HEIGHT, WIDTH, HEIGHT])
    return scores, clipped


def suppress(boxes: NDArray[np.float64], candidates: NDArray[np.intp]) -> list[int]:
    """Greedy non-maximum suppression over candidates, best first."""
    kept: list[int] = []
    for index in candidates:
        if all(overlap(boxes[index], boxes[other]) <= OVERLAP_BELOW for other in kept):
            kept.append(int(index))
    return kept


def overlap(one: NDArray[np.float64], other: NDArray[np.float64]) -> float:
    """Intersection over union of two boxes, 0 to 1."""
    width = min(one[2], other[2]) - max(one[0], other[0])
    height = min(one[3], other[3]) - max(one[1], other[1])
    if width <= 0 or height <= 0:
        return 0.0
    areas = (one[2] - one[0]) * (one[3] - one[1]) + (other[2] - other[0]) * (other[3] - other[1])
    return float(width * height / (areas - width * height))
