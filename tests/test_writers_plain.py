from __future__ import annotations

from test_writers_markdown import NO_BREAKS, block, document, page

from ocrpress.writers import render


def test_pages_are_separated_by_form_feeds_and_blank_pages_counted():
    pages = page(1, block("heading", "One", level=1), block("list", "- a\n- b")), page(2, status="blank"), page(3)
    assert render(document(*pages), "txt") == "One\n\n- a\n- b\n\f\f"


def test_a_form_feed_in_the_text_is_no_page_break():
    assert render(document(page(1, block("paragraph", "a\fb")), page(2)), "txt").count("\f") == 1


def test_without_page_breaks_a_blank_line_separates_pages():
    pages = page(1, block("paragraph", "One.")), page(2, status="blank"), page(3, block("paragraph", "# Three"))
    assert render(document(*pages), "txt", NO_BREAKS) == "One.\n\n# Three\n"


def test_tables_have_their_cells_between_tabs():
    assert render(document(page(1, block("table", rows=(("a", "b\tc"), ("d", "e"))))), "txt") == "a\tb c\nd\te\n"


def test_failed_pages_and_interruptions_are_marked():
    pages = page(1, block("paragraph", "One.")), page(2, status="failed", error="bad\nbytes")
    text = render(document(*pages, complete=False, page_count=9), "txt")
    assert text == "One.\n\f[page 2 failed: bad bytes]\n\n[incomplete: 2 of 9 pages]\n"


def test_marks_are_dropped_and_formulas_are_their_latex():
    blocks = (
        block("paragraph", "**a** `b` \\(x_1\\) 2\\*3", markup=True), block("equation", "E = *c*", markup=True),
        block("table", rows=(("*a*", "\\(y\\)"),), markup=True), block("code", "  **c**\n\nd"),
    )  # fmt: skip
    assert render(document(page(1, *blocks)), "txt") == "a b \\(x_1\\) 2*3\n\nE = *c*\n\na\t\\(y\\)\n\n  **c**\n\nd\n"
