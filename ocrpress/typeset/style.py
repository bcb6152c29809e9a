"""How text is set: the one place of its defaults. Data only; `fonts`, `breaking` and `filling` act on it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Align = Literal["left", "justify"]


@dataclass(frozen=True)
class Style:
    """How text is set on pages. Lengths are in points, 1/72 inch.

    Attributes:
        font: "serif", "sans" or "mono" (packaged with a dependency), a font file, or the name of an installed family.
        size: of the running text, baseline to baseline of which is `size * leading`.
        leading: baseline distance as a multiple of the size.
        margins: left, top, right, bottom; None for a tenth of the page's shorter side.
        columns: side by side, filled one after the other.
        gutter: between columns; None for twice the size.
        page: "a3", "a4", "a5", "letter", "legal", WIDTHxHEIGHT with a unit (mm, cm, in, pt, px), or a mode, whose
            pixels it then has: 512 × 512 of "tiny" … 1280 × 1280 of "large", 2 × 3 tiles of "gundam" and "gundam-m".
        dpi: pixels an inch; None for 144, and for 72 where the page is a mode's (there a point is a pixel).
        align: "left" (ragged) or "justify".
    """

    font: str = "serif"
    size: float = 10.5
    leading: float = 1.25
    margins: tuple[float, float, float, float] | None = None
    columns: int = 1
    gutter: float | None = None
    page: str = "a4"
    dpi: float | None = None
    align: Align = "left"
