"""What a page's pixels say by themselves: is there ink, and about how many letters could it be."""

from __future__ import annotations

import numpy as np
from PIL import Image

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
    grey = image.convert("L")
    counts = np.array(grey.histogram())
    ground = int(counts.argmax())
    return bool(counts[: max(0, ground - CONTRAST)].sum() + counts[ground + CONTRAST :].sum() >= FEWEST_INKED)


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
