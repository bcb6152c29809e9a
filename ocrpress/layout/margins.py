"""Running heads, feet and page numbers of a single page: what stands in its margins, apart from the text."""

from __future__ import annotations

from collections.abc import Sequence

from ocrpress.document import BlockKind, Box, Region
from ocrpress.layout.furniture import is_page_number
from ocrpress.layout.lines import Frame, Line

HEAD, FOOT = 0.11, 0.89  # of the page's height: a margin's line has its middle outside of these
SURE = 0.45  # confidence of a header or footer area
APART = 1.5  # ems from the margin's last line to the text's first, middle to middle
MOST = 8  # lines of a margin
Margin = tuple[list[tuple[Line, BlockKind]], list[Line], list[tuple[Line, BlockKind]]]


def split_margins(lines: Sequence[Line], areas: Sequence[Region], frame: Frame, height: float, em: float) -> Margin:
    """Lines in the head margin, in the body and in the foot margin; those of the margins with their kind.

    A margin is the outermost group of rows, if all of it is furniture (inside an area that the layout model calls
    header or footer, or nothing but a page number) and white space parts it from the text. A title on the text's
    first line, and text beside a running head, stay text: a head too many is a smaller loss than a lost line.
    """
    marked = {
        kind: [frame.straighten(area.box) for area in areas if area.kind == kind and area.confidence >= SURE]
        for kind in ("header", "footer")
    }
    boxes = marked["header"] + marked["footer"]
    head = _margin(sorted(lines, key=lambda line: line.middle), boxes, em, "header", HEAD * height)
    taken = {id(line) for line, _ in head}
    rest = [line for line in lines if id(line) not in taken]
    foot = _margin(sorted(rest, key=lambda line: -line.middle), boxes, em, "footer", FOOT * height)
    taken |= {id(line) for line, _ in foot}
    body = [line for line in lines if id(line) not in taken]
    if not body:  # a page of nothing but margins is a page of text
        return [], list(lines), []
    return head, body, foot[::-1]


def _margin(
    lines: Sequence[Line], boxes: Sequence[Box], em: float, kind: BlockKind, limit: float
) -> list[tuple[Line, BlockKind]]:
    """The outermost group of rows with their kinds, if all of it is furniture; `lines` are sorted from that edge."""
    group: list[Line] = []
    for line in lines:
        if group and abs(line.middle - group[-1].middle) >= APART * em:
            break
        group.append(line)
    found: list[tuple[Line, BlockKind]] = []
    for line in group[: MOST + 1]:
        number = is_page_number(line.text)
        outside = line.middle < limit if kind == "header" else line.middle > limit
        if outside and (number or _inside_any(line, boxes)):
            found.append((line, "page_number" if number else kind))
    return found if len(found) == len(group) <= MOST else []


def _inside_any(line: Line, boxes: Sequence[Box]) -> bool:
    x = (line.left + line.right) / 2
    return any(left <= x <= right and top <= line.middle <= bottom for left, top, right, bottom in boxes)
