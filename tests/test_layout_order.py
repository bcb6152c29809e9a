"""Reading order: columns, titles and figures across them, sidebars, skew."""

from __future__ import annotations

import random

import pytest
from pagemaker import STEP, Sheet, prose

from ocrpress.document import Block, Region
from ocrpress.layout import build_blocks

SIZE = (1200, 1600)


def read(regions: list[Region]) -> list[Block]:
    shuffled = list(regions)
    random.Random(7).shuffle(shuffled)  # an engine's own order must not matter
    return list(build_blocks(shuffled, SIZE, SIZE))


def texts(regions: list[Region]) -> list[str]:
    return [block.text for block in read(regions) if block.text]


@pytest.mark.parametrize("columns", [1, 2, 3])
@pytest.mark.parametrize("skew", [-3.0, -0.8, 0.0, 1.5, 3.0])
@pytest.mark.parametrize("gutter", [14, 24, 60])
def test_columns_are_read_one_after_the_other(columns: int, skew: float, gutter: int) -> None:
    sheet = Sheet()
    width = (1000 - gutter * (columns - 1)) / columns
    expected = []
    for column in range(columns):
        paragraphs = [prose(f"{'abc'[column]}{number}x", 60 // columns) for number in range(4)]
        sheet.column(paragraphs, 100 + column * (width + gutter), 120, width)
        expected += paragraphs
    assert texts(sheet.skewed(skew)) == expected


def test_a_title_across_two_columns_comes_first_and_an_inner_heading_cuts_the_columns() -> None:
    sheet = Sheet()
    sheet.line("A title that stands across both of the columns", 250, 100, height=40)
    first = [prose("a", 40), prose("b", 40)]
    second = [prose("c", 40), prose("d", 40)]
    sheet.column(first, 100, 200, 480)
    bottom = sheet.column(second, 620, 200, 480)
    sheet.line("Another heading that stands across both columns", 250, bottom + 40, height=32)
    third, fourth = [prose("e", 40)], [prose("f", 40)]
    sheet.column(third, 100, bottom + 110, 480)
    sheet.column(fourth, 620, bottom + 110, 480)
    assert texts(sheet.regions) == [
        "A title that stands across both of the columns", *first, *second,
        "Another heading that stands across both columns", *third, *fourth,
    ]  # fmt: skip


def test_a_wide_figure_parts_the_columns_above_it_from_those_below() -> None:
    sheet = Sheet()
    bottom = sheet.column([prose("a", 60)], 100, 150, 480)
    sheet.column([prose("b", 60)], 620, 150, 480)
    sheet.area("figure", (110, bottom + 20, 1090, bottom + 420))
    sheet.column([prose("c", 60)], 100, bottom + 450, 480)
    sheet.column([prose("d", 60)], 620, bottom + 450, 480)
    blocks = read(sheet.regions)
    assert [block.kind for block in blocks] == ["paragraph", "paragraph", "figure", "paragraph", "paragraph"]
    assert [block.text[:2] for block in blocks if block.text] == ["A0", "B0", "C0", "D0"]


def test_a_narrow_figure_stays_in_its_column_and_the_paragraph_it_interrupts_goes_on() -> None:
    sheet = Sheet()
    sheet.line("The paragraph begins here and is cut by a figure", 100, 150, width=480)
    sheet.line("right in the middle of its second sentence which", 100, 150 + STEP, width=480)
    sheet.area("figure", (110, 220, 570, 520))
    sheet.line("then goes on below it to the end.", 100, 540)
    sheet.column([prose("b", 90)], 620, 150, 480)
    blocks = read(sheet.regions)
    assert [block.kind for block in blocks] == ["paragraph", "figure", "paragraph"]
    assert blocks[0].text.endswith("second sentence which then goes on below it to the end.")


def test_a_sidebar_is_read_as_a_column_of_its_own() -> None:
    sheet = Sheet()
    main = [prose("m", 90), prose("n", 90)]
    side = [prose("s", 20), prose("t", 20)]
    sheet.column(main, 100, 150, 680)
    sheet.column(side, 840, 150, 260)
    assert texts(sheet.regions) == [*main, *side]


def test_columns_of_different_length_and_pages_with_two_kinds_of_columns() -> None:
    sheet = Sheet()
    bottom = sheet.column([prose("a", 80)], 100, 150, 480)
    sheet.column([prose("b", 30)], 620, 150, 480)
    sheet.column([prose("c", 45)], 100, bottom + 30, 310)
    sheet.column([prose("d", 45)], 445, bottom + 30, 310)
    sheet.column([prose("e", 45)], 790, bottom + 30, 310)
    assert [text[:2] for text in texts(sheet.regions)] == ["A0", "B0", "C0", "D0", "E0"]


def test_markers_left_of_their_text_are_no_column() -> None:
    sheet = Sheet()
    y = 150.0
    for marker in ("(a)", "(b)", "(c)"):
        sheet.line(marker, 100, y)
        y = sheet.column([prose(f"item{marker[1]}", 60)], 180, y, 800) + 10
    (block,) = read(sheet.regions)
    assert block.kind == "list"
    assert [line[:3] for line in block.text.splitlines()] == ["(a)", "(b)", "(c)"]


def test_a_line_that_reaches_over_the_gutter_does_not_break_the_columns() -> None:
    sheet = Sheet()
    left, right = [prose("a", 100)], [prose("b", 100)]
    sheet.column(left, 100, 150, 480)
    sheet.column(right, 600, 150, 480)
    line = sheet.regions[5]
    sheet.regions[5] = Region("line", (line.box[0], line.box[1], 604, line.box[3]), line.text, 0.9, 0.0, line.height)
    assert texts(sheet.regions) == [*left, *right]


def test_an_empty_page_has_no_blocks() -> None:
    assert build_blocks([], SIZE, SIZE) == ()
