"""Pages made of regions, for layout tests: lines set in columns, with the order in which a reader takes them."""

from __future__ import annotations

import math
from dataclasses import dataclass, field

from ocrpress.document import Box, Region, RegionKind

HEIGHT = 20.0  # of a line, in pixels
STEP = 26.0  # from line to line
LETTER = 9.0  # width of a character


@dataclass
class Sheet:
    """A page of width × height pixels; text is added with `column` and `line`."""

    width: int = 1200
    height: int = 1600
    regions: list[Region] = field(default_factory=list)

    def line(self, text: str, x: float, y: float, height: float = HEIGHT, width: float | None = None) -> None:
        """One line of text, its top left corner at x, y."""
        wide = len(text) * LETTER * height / HEIGHT if width is None else width
        self.regions.append(Region("line", (x, y, x + wide, y + height), text, 0.99, 0.0, height))

    def column(self, texts: list[str], x: float, y: float, width: float, step: float = STEP) -> float:
        """Full lines below each other, the last line of each text short; returns where the column ends.

        Every text is a list of words that is broken to the width, its first line indented.
        """
        for text in texts:
            rows = _break(text, int(width / LETTER), indent=2)
            for index, row in enumerate(rows):
                indent = 2 * LETTER if index == 0 else 0
                full = width - indent if index < len(rows) - 1 else None
                self.line(row, x + indent, y, width=full)
                y += step
        return y

    def area(self, kind: RegionKind, box: Box, confidence: float = 0.9) -> None:
        """A layout area."""
        self.regions.append(Region(kind, box, confidence=confidence))

    def skewed(self, degrees: float) -> list[Region]:
        """The page's regions as if it had been scanned at an angle (clockwise)."""
        turn = math.radians(degrees)
        cos, sin = math.cos(turn), math.sin(turn)
        found = []
        for region in self.regions:
            left, top, right, bottom = region.box
            x, y = (left + right) / 2 - self.width / 2, (top + bottom) / 2 - self.height / 2
            x, y = self.width / 2 + x * cos - y * sin, self.height / 2 + x * sin + y * cos
            wide = ((right - left) * cos + (bottom - top) * abs(sin)) / 2
            tall = ((right - left) * abs(sin) + (bottom - top) * cos) / 2
            box = (x - wide, y - tall, x + wide, y + tall)
            angle = degrees if region.kind == "line" else 0.0
            found.append(Region(region.kind, box, region.text, region.confidence, angle, region.height))
        return found


def prose(label: str, words: int) -> str:
    """A paragraph of numbered words that shows where it belongs: "A0 A1 … A29."."""
    return " ".join(f"{label}{index}" for index in range(words)).capitalize() + "."


def _break(text: str, letters: int, indent: int) -> list[str]:
    rows, row = [], ""
    for word in text.split():
        room = letters - (indent if not rows else 0)
        if row and len(row) + 1 + len(word) > room:
            rows.append(row)
            row = word
        else:
            row = f"{row} {word}".strip()
    return [*rows, row]
