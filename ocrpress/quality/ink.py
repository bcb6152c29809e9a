"""What a page's pixels say by themselves: is there ink, and about how many letters could it be."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import numpy as np
from PIL import Image

if TYPE_CHECKING:
    from numpy.typing import NDArray

STRIPS = 12
CONTRAST = 40  # levels of 255 by which a pixel must differ from the page's ground to count as ink
FEWEST_INKED = 8  # inked pixels; below this a page is blank
COUNTING_SIDE = 1000  # pixels of the longer side at which letters are counted
LONGEST_STROKE = 16  # pixels of that size that a row of pixels can cross of one letter
CROSSINGS = 12  # of strokes by rows of pixels, for one letter of ordinary text


def has_ink(image: Image.Image) -> bool:
    """Whether anything stands on a page: at least a few pixels that differ from its ground.

    Decides only what needs no model: a page without ink is never shown to an engine, which could invent text for it.

    Args:
        image: RGB, any size.
    """
    if any(_has_both(strip) for strip in _strips(image)):
        return True
    counts = _levels(image)
    ground = int(counts.argmax())
    return bool(counts[: max(0, ground - CONTRAST)].sum() + counts[ground + CONTRAST :].sum() >= FEWEST_INKED)


def _has_both(image: Image.Image) -> bool:
    """Are there dark and light pixels so far apart that, whichever level the ground has, one kind is ink?"""
    counts = _levels(image)
    if counts.sum() < FEWEST_INKED:
        return False
    dark = int((counts.cumsum() >= FEWEST_INKED).argmax())
    light = 255 - int((counts[::-1].cumsum() >= FEWEST_INKED).argmax())
    return light - dark > 2 * CONTRAST + 1


def _strips(image: Image.Image) -> Iterator[Image.Image]:
    """A few strips across the page: on most pages the first ones have both paper and ink, and spare the rest."""
    height = max(1, image.height // 100)
    for place in range(STRIPS):
        top = image.height * (2 * place + 1) // (2 * STRIPS)
        yield image.crop((0, top, image.width, min(top + height, image.height)))


def _levels(image: Image.Image) -> NDArray[np.int64]:
    """How many pixels there are of each level of grey."""
    return np.array(image.convert("L").histogram(), dtype=np.int64)


def count_letters(image: Image.Image) -> int:
    """About how many letters the ink of a page could be, within a factor of three for ordinary text.

    Counts how often rows of pixels cross short strokes. Broad areas and specks of one pixel's height do not count; the
    texture of a photograph does, so a high number proves nothing where a picture stands.

    Args:
        image: RGB, any size.
    """
    grey = image.convert("L")
    if max(grey.size) > COUNTING_SIDE:
        grey.thumbnail((COUNTING_SIDE, COUNTING_SIDE), Image.Resampling.BOX)
    levels = np.asarray(grey, dtype=np.int16)
    ground = int(np.bincount(levels.ravel(), minlength=256).argmax())
    ink = np.pad(np.abs(levels - ground) > CONTRAST, 1)
    tall = ink & (np.roll(ink, 1, axis=0) | np.roll(ink, -1, axis=0))
    edges = np.diff(tall.astype(np.int8), axis=1)
    starts, ends = np.flatnonzero(edges.ravel() == 1), np.flatnonzero(edges.ravel() == -1)
    return int((ends - starts <= LONGEST_STROKE).sum()) // CROSSINGS
