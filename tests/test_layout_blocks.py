"""Blocks: paragraphs mended, headings by level, lists, tables, captions, running heads."""

from __future__ import annotations

import pytest
from pagemaker import STEP, Sheet, prose

from ocrpress.document import Block, Region
from ocrpress.layout import build_blocks, join_text

SIZE = (1200, 1600)


def read(sheet: Sheet) -> list[Block]:
    return list(build_blocks(sheet.regions, SIZE, SIZE))


@pytest.mark.parametrize(
    ("first", "second", "joined"),
    [
        ("long docu-", "ments are", "long documents are"),
        ("a self-", "made man", "a self-made man"),
        ("state-of-the-", "art", "state-of-the-art"),
        ("the Franco-", "German border", "the Franco-German border"),
        ("pages 10-", "12 of it", "pages 10-12 of it"),
        ("soft\u00ad", "hyphen", "softhyphen"),
        ("a dash -", "then more", "a dash - then more"),
        ("and/", "or", "and/or"),
        ("two", "words", "two words"),
        ("日本", "語", "日本語"),
        ("", "text", "text"),
        ("text", "", "text"),
    ],
)
def test_lines_are_joined_and_hyphens_mended(first: str, second: str, joined: str) -> None:
    assert join_text(first, second) == joined


def test_paragraphs_end_at_indents_at_gaps_and_at_short_lines() -> None:
    sheet = Sheet()
    indented = [prose("a", 50), prose("b", 50)]
    bottom = sheet.column(indented, 100, 200, 800)
    sheet.line("Set apart by a gap, without an indent, and it fills the line", 100, bottom + 30, width=800)
    sheet.line("short end.", 100, bottom + 30 + STEP)
    sheet.line(
        "New paragraph because the line above had room for its first word", 100, bottom + 30 + 2 * STEP, width=800
    )
    texts = [block.text for block in read(sheet)]
    assert texts == [
        *indented,
        "Set apart by a gap, without an indent, and it fills the line short end.",
        "New paragraph because the line above had room for its first word",
    ]


def test_hanging_paragraphs_begin_at_the_margin() -> None:
    sheet = Sheet()
    y = 200.0
    for name in ("Adams", "Brown", "Clark"):
        sheet.line(f"{name}, A. A reference that hangs and fills the whole of its line", 100, y, width=800)
        sheet.line("its second line is indented and as wide as it can be made", 140, y + STEP, width=760)
        sheet.line("its third ends early.", 140, y + 2 * STEP)
        y += 3 * STEP
    assert [block.text.split(",")[0] for block in read(sheet)] == ["Adams", "Brown", "Clark"]


def test_a_paragraph_goes_on_in_the_next_column_and_over_the_page_end() -> None:
    sheet = Sheet()
    for index in range(20):
        sheet.line(f"left line number {index} is as full as every other one", 100, 200 + index * STEP, width=480)
        sheet.line(f"right line number {index} is as full as every other", 620, 200 + index * STEP, width=480)
    (block,) = read(sheet)
    assert "number 19 is as full as every other one right line number 0" in block.text
    assert block.continues


def test_headings_by_size_by_area_and_by_number() -> None:
    sheet = Sheet()
    sheet.line("The Title of It All", 300, 180, height=44)
    bottom = sheet.column([prose("a", 60)], 100, 260, 900)
    sheet.line("2.1 Methods of it", 100, bottom + 40, height=24)
    sheet.area("title", (95, bottom + 35, 400, bottom + 70))
    bottom = sheet.column([prose("b", 60)], 100, bottom + 90, 900)
    sheet.line("Set in larger type", 100, bottom + 40, height=29)
    sheet.column([prose("c", 60)], 100, bottom + 100, 900)
    headings = [(block.level, block.text) for block in read(sheet) if block.kind == "heading"]
    assert headings == [(1, "The Title of It All"), (3, "2.1 Methods of it"), (2, "Set in larger type")]


def test_a_heading_in_two_lines_is_one_heading() -> None:
    sheet = Sheet()
    sheet.line("A long heading that needs", 300, 180, height=40)
    sheet.line("two lines", 400, 232, height=40)
    sheet.column([prose("a", 60)], 100, 330, 900)
    assert read(sheet)[0].text == "A long heading that needs two lines"


def test_lists_keep_their_markers_and_levels() -> None:
    sheet = Sheet()
    sheet.column([prose("a", 60)], 100, 200, 900)
    y = 500.0
    for x, text in ((100, "• first"), (140, "• nested in it"), (100, "• second"), (100, "3. third by number")):
        sheet.line(text, x, y)
        y += STEP
    block = read(sheet)[-1]
    assert (block.kind, block.text) == ("list", "- first\n  - nested in it\n- second\n3. third by number")


def test_aligned_cells_make_a_table_with_an_area_and_without() -> None:
    rows = [["Mode", "Side", "Tokens"], ["tiny", "512", "64"], ["small", "640", "100"], ["base", "1024", "256"]]
    for marked in (True, False):
        sheet = Sheet()
        sheet.column([prose("a", 60)], 100, 200, 900)
        for index, row in enumerate(rows):
            for x, cell in zip((150, 450, 750), row, strict=True):
                sheet.line(cell, x, 600 + 40 * index)
        if marked:
            sheet.area("table", (120, 580, 900, 760))
        table = read(sheet)[-1]
        assert (table.kind, [list(row) for row in table.rows]) == ("table", rows)


def test_a_cell_of_several_lines_stays_one_cell() -> None:
    sheet = Sheet()
    for index, (key, lines) in enumerate([("One", ["a cell of", "two lines"]), ("Two", ["another of", "two lines"])]):
        sheet.line(key, 150, 600 + 100 * index)
        for number, text in enumerate(lines):
            sheet.line(text, 450, 600 + 100 * index + 24 * number)
    sheet.area("table", (120, 580, 900, 780))
    (table,) = read(sheet)
    assert table.rows == (("One", "a cell of two lines"), ("Two", "another of two lines"))


def test_what_does_not_align_is_no_table_and_loses_nothing() -> None:
    sheet = Sheet()
    texts = [prose("a", 40), prose("b", 40)]
    sheet.column(texts, 100, 200, 900)
    sheet.area("table", (90, 190, 1010, 500))
    assert [block.text for block in read(sheet)] == texts


def test_a_figure_keeps_its_labels_and_a_picture_full_of_text_is_text() -> None:
    sheet = Sheet()
    sheet.area("figure", (100, 200, 1000, 700))
    sheet.line("label", 200, 300)
    sheet.column([prose("a", 60)], 100, 800, 900)
    assert [(block.kind, block.text[:5]) for block in read(sheet)] == [("figure", "label"), ("paragraph", "A0 a1")]
    sheet = Sheet()
    bottom = sheet.column([prose("a", 300)], 100, 200, 900)
    sheet.area("figure", (90, 190, 1010, bottom + 10))
    assert [block.kind for block in read(sheet)] == ["paragraph"]


def test_running_heads_and_page_numbers_are_marked_when_they_stand_apart() -> None:
    sheet = Sheet()
    sheet.line("Annals of Testing", 100, 60)
    sheet.area("header", (90, 50, 300, 90))
    sheet.column([prose("a", 60)], 100, 200, 900)
    sheet.line("17", 590, 1540)
    kinds = [(block.kind, block.text[:6]) for block in read(sheet)]
    assert kinds == [("header", "Annals"), ("paragraph", "A0 a1 "), ("page_number", "17")]


def test_text_is_never_taken_for_a_running_head() -> None:
    sheet = Sheet()
    sheet.line("A first line of text that a model calls a header by mistake", 100, 60, width=900)
    sheet.area("header", (90, 50, 1010, 90))
    sheet.column([prose("a", 60)], 100, 60 + STEP, 900)
    assert {block.kind for block in read(sheet)} == {"paragraph"}


def test_a_stamp_down_the_margin_stays_out_of_the_text() -> None:
    sheet = Sheet()
    sheet.column([prose("a", 60)], 100, 200, 900)
    sheet.line("Downloaded from a library", 1150, 200, height=600, width=20)
    assert [block.kind for block in read(sheet)] == ["paragraph", "footer"]


def test_blocks_come_in_points() -> None:
    sheet = Sheet()
    sheet.line("alone", 120, 160)
    (block,) = build_blocks(sheet.regions, SIZE, (600, 800))
    assert block.box == pytest.approx((60, 80, 60 + 22.5, 90))


def test_a_table_with_a_wide_last_column_is_no_page_of_columns() -> None:
    rows = [("strlen(s)", "string", prose("count", 7)), ("substr(s,b,e)", "string", prose("part", 8)),
            ("trim(s)", "string", prose("text", 6)), ("valid(x)", "int", prose("truth", 8)),
            ("time(x)", "any", prose("now", 7)), ("value(n)", "string", prose("known", 8))]  # fmt: skip
    sheet = Sheet()
    bottom = sheet.column([prose("a", 60)], 100, 200, 950)
    for index, row in enumerate(rows):
        for x, cell in zip((110, 330, 480), row, strict=True):
            sheet.line(cell, x, bottom + 60 + STEP * index)
    table = read(sheet)[-1]
    assert (table.kind, table.rows) == ("table", tuple(rows))


def test_terms_beside_their_explanations_are_read_row_by_row() -> None:
    sheet = Sheet()
    y = 200.0
    for term in ("Compression", "Vision token", "Edit distance", "Global view"):
        sheet.line(term, 100, y)
        y = sheet.column([prose(term[:3].lower(), 60)], 320, y, 780) + 14
    text = " ".join(block.text or " ".join(map(" ".join, block.rows)) for block in read(sheet))
    places = [text.index(word) for word in ("Compression", "Com0", "Vision", "Vis0", "Edit", "Edi0", "Global", "Glo0")]
    assert places == sorted(places)


def test_two_columns_of_text_are_no_table_whatever_the_layout_model_says() -> None:
    sheet = Sheet()
    texts = [prose("a", 150), prose("b", 150)]
    for text, x in zip(texts, (100, 620), strict=True):
        sheet.column([text], x, 200, 480)
    sheet.area("table", (90, 190, 1110, 1500))
    assert [block.text for block in read(sheet)] == texts


def test_labels_centred_beside_tall_cells_stay_with_them() -> None:
    sheet = Sheet()
    y = 600.0
    for key, lines in (("One", 3), ("Two", 5), ("Three", 3)):
        sheet.line(key, 150, y + STEP * (lines - 1) / 2)
        for number in range(lines):
            sheet.line(f"line {number} of a cell that is high", 450, y + STEP * number)
        y += STEP * lines + 16
    sheet.area("table", (120, 580, 900, y))
    (table,) = read(sheet)
    assert [row[0] for row in table.rows] == ["One", "Two", "Three"]
    assert [row[1].count("line") for row in table.rows] == [3, 5, 3]


def test_a_table_that_the_layout_model_takes_for_a_figure_is_a_table() -> None:
    sheet = Sheet()
    for index in range(12):
        sheet.line(f"A rather long label number {index}", 150, 300 + 40 * index)
        sheet.line(f"value {index}", 800, 300 + 40 * index)
    sheet.area("figure", (100, 200, 1100, 1000))
    (table,) = read(sheet)
    assert (table.kind, len(table.rows)) == ("table", 12)


def test_a_line_made_taller_by_a_raised_mark_is_no_heading() -> None:
    sheet = Sheet()
    for index in range(6):
        sheet.line(f"Every line of this paragraph is as full as it can be {index}", 100, 200 + STEP * index, width=800)
    tall = sheet.regions[3]
    sheet.regions[3] = Region("line", tall.box, "Line with a raised mark that makes its box higher", 0.9, 0.0, 27.5)
    assert [block.kind for block in read(sheet)] == ["paragraph"]
