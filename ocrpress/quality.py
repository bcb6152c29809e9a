"""What a page's pixels and an engine's answer say about each other: is there ink, was it read."""

from __future__ import annotations

import numpy as np
from PIL import Image

CONTRAST = 40  # levels of 255 by which a pixel must differ from the page's ground to count as ink
FEWEST_INKED = 8  # inked pixels; below this a page is blank


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
