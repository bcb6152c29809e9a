"""What a text line says: cut it upright out of the page, run the recognition network, decode by CTC."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from ocrpress.engines.rapid.detect import LineBox, to_batch
from ocrpress.engines.rapid.models import Network

HEIGHT = 48  # pixels, the network's own
STRAIGHT = math.radians(0.35)  # below this a line is cut without turning it
MAX_WIDTH = 3200  # pixels at height 48; longer lines are squeezed


@dataclass(frozen=True)
class Reading:
    """What a line says. Confidence: mean probability of its characters, 0 to 1."""

    text: str
    confidence: float


def cut_line(image: Image.Image, box: LineBox) -> Image.Image:
    """The line as an RGB image standing upright, at the page's own resolution."""
    width, height = max(1, round(box.width)), max(1, round(box.height))
    if abs(box.angle) < STRAIGHT:
        left, top = round(box.x - width / 2), round(box.y - height / 2)
        inside = (max(0, left), max(0, top), min(image.width, left + width), min(image.height, top + height))
        line = image.crop((inside[0], inside[1], max(inside[0] + 1, inside[2]), max(inside[1] + 1, inside[3])))
    else:
        cos, sin = math.cos(box.angle), math.sin(box.angle)
        x0 = box.x - cos * width / 2 + sin * height / 2
        y0 = box.y - sin * width / 2 - cos * height / 2
        line = image.transform(
            (width, height), Image.Transform.AFFINE, (cos, -sin, x0, sin, cos, y0), Image.Resampling.BICUBIC,
            fillcolor=(255, 255, 255),
        )  # fmt: skip
    return line.transpose(Image.Transpose.ROTATE_90) if box.upright else line


def read_line(line: Image.Image, network: Network, alphabet: Sequence[str]) -> Reading:
    """Recognise one upright line image."""
    width = min(MAX_WIDTH, max(8, math.ceil(line.width * HEIGHT / line.height)))
    pixels = to_batch(line.resize((width, HEIGHT), Image.Resampling.BILINEAR))
    batch = np.zeros((1, 3, HEIGHT, bucket(width)), dtype=np.float32)
    batch[..., :width] = pixels
    return decode(network(batch)[0][0], alphabet)


def bucket(width: int) -> int:
    """The width a line is padded to. Few distinct widths: the runtime prepares each one once, at some 60 ms."""
    step = 64 if width <= 512 else 128 if width <= 1024 else 256 if width <= 2048 else 512
    return -(-width // step) * step


def decode(probabilities: NDArray[np.float32], alphabet: Sequence[str]) -> Reading:
    """Greedy CTC over (steps, classes): drop repeats, then blanks."""
    best = probabilities.argmax(axis=1)
    kept = (best != 0) & (np.diff(best, prepend=-1) != 0)
    text = "".join(alphabet[index] for index in best[kept])
    sure = probabilities[np.flatnonzero(kept), best[kept]]
    return Reading(text, float(sure.mean()) if len(sure) else 0.0)
