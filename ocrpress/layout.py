"""Regions -> reading order -> blocks."""

from __future__ import annotations

from collections.abc import Sequence

from ocrpress.document import Block, Region


def build_blocks(regions: Sequence[Region], size: tuple[int, int], points: tuple[float, float]) -> tuple[Block, ...]:
    """Blocks of a page in reading order.

    Args:
        regions: lines and areas in pixels of the righted page.
        size: of the righted page, in pixels; points: the same in points.
    """
    x_scale, y_scale = points[0] / size[0], points[1] / size[1]
    lines = sorted((region for region in regions if region.kind == "line"), key=lambda line: line.box[1])
    return tuple(
        Block("paragraph", line.text, (line.box[0] * x_scale, line.box[1] * y_scale, line.box[2] * x_scale, line.box[3] * y_scale))
        for line in lines
    )
