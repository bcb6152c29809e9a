"""Text -> pages. `lay_out` says what stands where, `draw` makes the pixels; neither knows of files, tokens or models.

text ──plain | markdown──▶ Blocks ──setting (breaking, shaping)──▶ Strips ──filling──▶ Sheets ──drawing──▶ images
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from ocrpress.typeset.drawing import draw, glyph_boxes
    from ocrpress.typeset.fonts import missing
    from ocrpress.typeset.geometry import page_size
    from ocrpress.typeset.laying import check_style, lay_out
    from ocrpress.typeset.sheet import Face, Run, Sheet
    from ocrpress.typeset.style import Style

_HOMES = {
    "Face": "sheet", "Run": "sheet", "Sheet": "sheet", "Style": "style", "check_style": "laying", "draw": "drawing",
    "glyph_boxes": "drawing", "lay_out": "laying", "missing": "fonts", "page_size": "geometry",
}  # fmt: skip

__all__ = [
    "Face", "Run", "Sheet", "Style", "check_style", "draw", "glyph_boxes", "lay_out", "missing", "page_size",
]  # fmt: skip


def __getattr__(name: str) -> Any:
    """Public names are imported when first used: a command line reads `Style` without waiting for Pillow."""
    if name not in _HOMES:
        raise AttributeError(f"module 'ocrpress.typeset' has no attribute '{name}'")
    from importlib import import_module

    return getattr(import_module(f"ocrpress.typeset.{_HOMES[name]}"), name)
