"""Tables for people: columns aligned, numbers to the right."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence


def table(rows: Sequence[Sequence[str]]) -> str:
    """Rows of cells as text, the first row the head; columns whose cells are all numbers or dashes stand right."""
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    right = [all(_is_number(row[column]) for row in rows[1:]) for column in range(len(rows[0]))]
    lines = []
    for row in [rows[0], ["-" * width for width in widths], *rows[1:]]:
        cells = zip(row, widths, right, strict=True)
        line = "  ".join(cell.rjust(width) if flush else cell.ljust(width) for cell, width, flush in cells)
        lines.append(line.rstrip())
    return "\n".join(lines) + "\n"


def _is_number(cell: str) -> bool:
    return cell == "–" or cell.replace(",", "").replace(".", "", 1).isdigit()
