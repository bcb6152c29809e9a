"""Running heads, running feet and page numbers: what is said of a page by its neighbours.

One page alone cannot tell a running head from a heading. A block is furniture if it stands wholly in the top or bottom
margin zone, outermost there, and comes again at nearly the same height on other pages nearby, equal up to digits and
small recognition errors. Headings must be equal to the digit: "Chapter 1", "Chapter 2" at the top of two pages is text.
A head stands above something: a page whose only text is the line in question keeps it.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field, replace
from difflib import SequenceMatcher
from typing import TYPE_CHECKING, Literal

from ocrpress.document import FURNITURE, Block, BlockKind, PageResult, block_text

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

ZONE = 0.18  # of the page's height, at the top and at the bottom; books with wide margins have their heads at 0.14
SAME_HEIGHT = 0.025  # of the page's height: scans are not laid down exactly
ROWS = 2  # outermost rows of a zone that can be furniture: a running head, and a page number or a second line
WINDOW = 8  # pages; a head that comes again later than that is a heading (odd and even pages have their own heads)
SIMILAR = 0.85  # ratio of matching characters between two readings of the same line
SHORT = 8  # letters; shorter lines must be equal
LONGEST = 200  # characters; more is a paragraph
SMALL_DOCUMENT = 5  # pages; up to here two pages with exactly the same line are enough, above three are needed

_MARKABLE = frozenset({"paragraph", "heading", "list", "caption"})
_ROMAN = r"(?=[ivxlc])c{0,3}(?:xc|xl|l?x{0,3})(?:ix|iv|v?i{0,3})"
_NUMBER = rf"(?:\d{{1,4}}|{_ROMAN})"
_PAGE_NUMBER = re.compile(
    rf"[-–—|\[(\s•·.]*(?:(?:page|pg|p|seite|s)\.?\s*)?{_NUMBER}(?:\s*(?:of|/|von|\|)\s*{_NUMBER})?[-–—|\])\s•·.]*",
    re.IGNORECASE,
)

Side = Literal["header", "footer"]


@dataclass(frozen=True)
class _Candidate:
    """A block that may be furniture: where it is, and what it says without case and spaces.

    In `key` runs of digits are all the same; `digits` are they.
    """

    page: int  # index among the pages
    block: int  # index among the page's blocks
    side: Side
    height: float  # of its middle, in parts of the page's height
    key: str
    digits: tuple[str, ...]
    heading: bool


@dataclass
class _Group:
    """Candidates that say the same at the same height on different pages."""

    members: list[_Candidate] = field(default_factory=list)

    def takes(self, other: _Candidate) -> bool:
        last = self.members[-1]
        return (
            last.side == other.side
            and 0 < other.page - last.page <= WINDOW
            and abs(last.height - other.height) <= SAME_HEIGHT
            and _similar(last.key, other.key)
        )

    @property
    def equal(self) -> bool:
        """Whether all say the same, up to digits."""
        return len({member.key for member in self.members}) == 1

    def comes_often(self, needed: int) -> bool:
        """Whether so many pages are enough to be sure."""
        if sum(member.heading for member in self.members) * 2 > len(self.members):
            numbered = len({member.digits for member in self.members}) > 1
            return not numbered and self.equal and len(self.members) >= needed
        return len(self.members) >= needed and (needed > 2 or self.equal)


def mark_furniture(pages: Sequence[PageResult]) -> tuple[PageResult, ...]:
    """The same pages with their running heads, running feet and page numbers marked by kind.

    Pure: blocks are neither dropped nor moved, and what an engine has marked stays marked.
    """
    kinds: dict[tuple[int, int], BlockKind] = {}
    for candidate in _repeated(pages):
        kinds[candidate.page, candidate.block] = candidate.side
    marked = [_with_kinds(page, index, kinds) for index, page in enumerate(pages)]
    return tuple(_with_page_numbers(page) for page in marked)


def is_page_number(text: str) -> bool:
    """Whether a line is nothing but a page number: "3", "xiv", "- 3 -", "Page 3 of 7"."""
    return bool(_PAGE_NUMBER.fullmatch(text.strip()))


def _repeated(pages: Sequence[PageResult]) -> Iterator[_Candidate]:
    groups = _group(candidate for index, page in enumerate(pages) for candidate in _candidates(page, index))
    needed = 2 if len(pages) <= SMALL_DOCUMENT else 3
    sure = [group for group in groups if group.comes_often(needed)]
    # Two are enough beside a head that is sure: the other side of an alternating pair, or the head of a short chapter.
    places = {(member.side, round(member.height / SAME_HEIGHT)) for group in sure for member in group.members}
    for group in groups:
        first = group.members[0]
        place = round(first.height / SAME_HEIGHT)
        beside = (first.side, place) in places and len(group.members) == 2 and group.comes_often(2)
        if beside or any(group is other for other in sure):
            yield from group.members


def _group(candidates: Iterable[_Candidate]) -> list[_Group]:
    groups: list[_Group] = []
    active: list[_Group] = []
    for candidate in candidates:
        active = [group for group in active if candidate.page - group.members[-1].page <= WINDOW]
        home = next((group for group in active if group.takes(candidate)), None)
        if home is None:
            home = _Group()
            groups.append(home)
            active.append(home)
        home.members.append(candidate)
    return groups


def _candidates(page: PageResult, index: int) -> Iterator[_Candidate]:
    if sum(block.kind not in FURNITURE and not is_page_number(block_text(block)) for block in page.blocks) < 2:
        return
    for side in ("header", "footer"):
        for row in _rows(page, side)[:ROWS]:
            for number in row:
                block = page.blocks[number]
                text = block_text(block)
                said = "".join(char for char in text.casefold() if char.isalnum())
                key = re.sub(r"\d+", "#", said)
                if block.kind in _MARKABLE and sum(char.isalpha() for char in key) >= 3 and len(text) <= LONGEST:
                    height, digits = _center(block) / page.height, tuple(re.findall(r"\d+", said))
                    yield _Candidate(index, number, side, height, key, digits, block.kind == "heading")


def _rows(page: PageResult, side: Side) -> list[list[int]]:
    """Indices of the blocks wholly within a zone, in rows that overlap in height, the outermost row first.

    A page's rows end at the first that reaches out of the zone.
    """
    if page.height <= 0:
        return []
    if side == "header":
        order = sorted(range(len(page.blocks)), key=lambda number: page.blocks[number].box[1])
    else:
        order = sorted(range(len(page.blocks)), key=lambda number: -page.blocks[number].box[3])
    rows: list[list[int]] = []
    for number in order:
        block = page.blocks[number]
        inside = block.box[3] <= ZONE * page.height if side == "header" else block.box[1] >= (1 - ZONE) * page.height
        if not inside:
            break
        first = page.blocks[rows[-1][0]] if rows else None
        if first is not None and first.box[1] < _center(block) < first.box[3]:
            rows[-1].append(number)
        else:
            rows.append([number])
    return rows


def _with_kinds(page: PageResult, index: int, kinds: dict[tuple[int, int], BlockKind]) -> PageResult:
    blocks = tuple(
        replace(block, kind=kinds[index, number], level=0) if (index, number) in kinds else block
        for number, block in enumerate(page.blocks)
    )
    return replace(page, blocks=blocks) if blocks != page.blocks else page


def _with_page_numbers(page: PageResult) -> PageResult:
    """Mark a lone number in the outermost row of either zone, running heads not counted."""
    blocks = list(page.blocks)
    for side in ("header", "footer"):
        for row in _rows(page, side)[:ROWS]:
            others = [number for number in row if blocks[number].kind not in FURNITURE]
            alone = blocks[others[0]] if len(others) == 1 else None
            if alone and alone.kind in _MARKABLE and is_page_number(block_text(alone)):
                blocks[others[0]] = replace(alone, kind="page_number", level=0)
            if others:
                break
    return replace(page, blocks=tuple(blocks)) if tuple(blocks) != page.blocks else page


def _similar(one: str, other: str) -> bool:
    if one == other:
        return True
    if min(len(one), len(other)) < SHORT:
        return False
    matcher = SequenceMatcher(None, one, other, autojunk=False)
    return matcher.real_quick_ratio() >= SIMILAR and matcher.quick_ratio() >= SIMILAR and matcher.ratio() >= SIMILAR


def _center(block: Block) -> float:
    return (block.box[1] + block.box[3]) / 2
