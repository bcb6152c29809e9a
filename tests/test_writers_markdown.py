from __future__ import annotations

import pytest

import ocrpress
from ocrpress.document import Block, Document, PageResult
from ocrpress.errors import UsageError
from ocrpress.writers import WriterOptions, render
from ocrpress.writers.escape import escape_cell, escape_inline, escape_paragraph

BOX = (72.0, 300.0, 540.0, 320.0)
NO_BREAKS = WriterOptions(page_breaks="none")


def block(kind, text="", **more):
    return Block(kind, text, more.pop("box", BOX), **more)


def page(number, *blocks, status="ok", **more):
    return PageResult(number, status, blocks, 612.0, 792.0, **more)


def document(*pages, **more):
    return Document("paper.pdf", pages, "fake", "native", **more)


def markdown(*blocks, **more):
    return render(document(page(1, *blocks, **more)), "md", NO_BREAKS)


def test_headings_have_their_level_and_stay_on_one_line():
    blocks = block("heading", "A title\nin two lines", level=1), block("heading", "Deep", level=9)
    assert markdown(*blocks) == "# A title in two lines\n\n###### Deep\n"


def test_a_heading_keeps_its_number_and_its_trailing_number_sign():
    assert markdown(block("heading", "1. About C #", level=2)) == "## 1. About C \\#\n"


def test_lists_nest_under_the_text_of_their_parents():
    text = "1. first\n    - inner\n        - innermost\n2. second\n   goes on"
    assert markdown(block("list", text)) == (
        "1. first\n   - inner\n     - innermost\n2. second\n   goes on\n"
    )  # fmt: skip


def test_a_list_item_is_no_heading():
    assert markdown(block("list", "- # not one\n• dot")) == "- \\# not one\n- dot\n"


def test_tables_are_pipe_tables_with_escaped_bars():
    rows = (("a|b", "c"), ("two\nlines", ""), ("short",))
    assert markdown(block("table", rows=rows)) == (
        "| a\\|b | c |\n| --- | --- |\n| two<br>lines |  |\n| short |  |\n"
    )  # fmt: skip


def marked(kind, text="", **more):
    return block(kind, text, markup=True, **more)


def test_bold_italic_code_and_formulas_stay_what_they_are():
    text = "**a_b** *c* `d|e` \\(x_1 \\% y_2\\) costs $5, 2\\*3 [f](g) <h>"
    assert markdown(marked("paragraph", text)) == (
        "**a_b** *c* `d|e` $x_1 \\% y_2$ costs \\$5, 2\\*3 [f]\\(g) &lt;h>\n"
    )
    assert markdown(marked("heading", "On *x* and \\(y\\) #", level=2)) == "## On *x* and $y$ \\#\n"
    assert markdown(marked("list", "- **a**\n  1. \\(b\\)\n- # c")) == "- **a**\n  1. $b$\n- \\# c\n"
    assert markdown(marked("caption", "1. \\(b\\)")) == "1\\. $b$\n"


def test_the_same_marks_are_escaped_where_they_are_plain_text():
    assert markdown(block("paragraph", "**a** \\(x_1\\) `b`")) == "\\*\\*a\\*\\* \\\\(x_1\\\\) \\`b\\`\n"


def test_literal_marks_beside_real_ones_are_escaped():
    assert markdown(marked("paragraph", "**5 \\* a\\*b** \\`c `d`")) == "**5 \\* a\\*b** \\`c `d`\n"
    assert markdown(marked("paragraph", "cost\\\\\\(x\\)")) == "cost\\\\$x$\n"


def test_line_ends_of_marked_text_are_meant():
    assert markdown(marked("paragraph", "a\n- b")) == "a  \n\\- b\n"
    assert markdown(marked("list", "- a\n  b")) == "- a  \n  b\n"


def test_formulas_in_cells_break_no_cell():
    rows = (("\\(P(|X|)\\)", "**b|c**"), ("\\(\\|x\\|\\)", "`d|e`"), ("\\(a \\\\| b\\)", "f\ng"))
    assert markdown(marked("table", rows=rows)) == (
        "| $P(\\|X\\|)$ | **b\\|c** |\n| --- | --- |\n| $\\Vert x\\Vert$ | `d\\|e` |\n| $a \\\\\\| b$ | f<br>g |\n"
    )


def test_displayed_formulas_stand_between_dollars():
    latex = "a &= b \\\\\n\n- c <d> `$`\n1. e"
    assert markdown(marked("equation", latex)) == "$$\na &= b \\\\\n{}- c < d> ‘\\$‘\n{}1. e\n$$\n"
    assert markdown(marked("equation", " ")) == ""
    assert markdown(block("equation", "E = mc*2*")) == "E = mc\\*2\\*\n"


def test_formulas_hold_no_html():
    assert markdown(marked("paragraph", "\\(a <img src=x> b\\)")) == "$a < img src=x> b$\n"


def test_code_stands_in_a_fence_longer_than_any_in_it():
    assert markdown(block("code", "\n  a = '**'\n\n# b\n")) == "```\n  a = '**'\n\n# b\n```\n"
    assert markdown(block("code", "```` x")) == "`````\n```` x\n`````\n"
    assert markdown(block("code", " \n")) == ""


def test_figures_are_named_by_the_plain_text():
    assert markdown(marked("figure", "Map of **Rome**", image="f.png")) == "![Map of Rome](f.png)\n"
    assert markdown(marked("figure", "Map of **Rome**")) == "Map of **Rome**\n"


def test_marked_and_plain_halves_of_a_paragraph_become_one():
    pages = page(1, marked("paragraph", "**a** and", continues=True)), page(2, block("paragraph", "2*3*4."))
    assert render(document(*pages), "md", NO_BREAKS) == "**a** and 2\\*3\\*4.\n"
    pages = page(1, block("paragraph", "2*3*4 and", continues=True)), page(2, marked("paragraph", "\\(a\\)."))
    assert render(document(*pages), "md", NO_BREAKS) == "2\\*3\\*4 and $a$.\n"


def test_figures_link_to_their_file_with_odd_characters_encoded():
    assert markdown(block("figure", image="my figs/p(1)#.png")) == "![Figure](my%20figs/p%281%29%23.png)\n"


def test_figures_without_a_file_leave_their_text_or_a_mark():
    assert markdown(block("figure", "axis label")) == "axis label\n"
    assert markdown(block("figure")) == "<!-- figure -->\n"


@pytest.mark.parametrize(
    ("text", "written"),
    [
        ("# no heading", "\\# no heading"),
        ("#hashtag", "#hashtag"),
        ("- no item", "\\- no item"),
        ("-5 degrees", "-5 degrees"),
        ("+ no item", "\\+ no item"),
        ("> no quote", "\\> no quote"),
        ("1. no item", "1\\. no item"),
        ("1984 was", "1984 was"),
        ("3.14 is pi", "3.14 is pi"),
        ("a\n---\nb", "a\n\\---\nb"),
        ("a\n===", "a\n\\==="),
        ("[1]: http://x", "\\[1]: http://x"),
        ("see [1] and [2]", "see [1] and [2]"),
        ("[a](javascript:x)", "[a]\\(javascript:x)"),
        ("![a](http://tracker)", "![a]\\(http://tracker)"),
        ("    no code", "no code"),
        ("<script>alert(1)</script>", "&lt;script>alert(1)&lt;/script>"),
        ("a < b > c", "a < b > c"),
        ("<!-- page 9 -->", "&lt;!-- page 9 -->"),
        ("&lt; is an entity, AT&T none", "&amp;lt; is an entity, AT&T none"),
        ("snake_case_name", "snake_case_name"),
        ("_so_ it is", "\\_so\\_ it is"),
        ("5 * 3 * 2", "5 * 3 * 2"),
        ("a footnote*", "a footnote*"),
        ("*so* **it** is", "\\*so\\* \\*\\*it\\*\\* is"),
        ("one ` tick", "one ` tick"),
        ("`code`", "\\`code\\`"),
        ("C:\\temp", "C:\\temp"),
        ("a \\* b", "a \\\\* b"),
        ("~~gone~~", "\\~\\~gone\\~\\~"),
        ("a | b\n--- | ---", "a | b\n\\--- | ---"),
        ("ends with a backslash\\", "ends with a backslash\\\\"),
    ],
)
def test_text_that_looks_like_markup_stays_text_and_only_that_is_escaped(text, written):
    assert escape_paragraph(text) == written


def test_a_cell_cannot_break_out_of_its_table():
    assert escape_cell("a\\|b") == "a\\\\\\|b"
    assert "\n" not in escape_cell("a\n\n| b |")


def test_inline_escapes_do_not_pile_up():
    assert escape_inline("plain text, nothing to do: (a) [b] {c} 50 % $5") == (
        "plain text, nothing to do: (a) [b] {c} 50 % $5"
    )  # fmt: skip


def test_control_characters_are_dropped():
    assert markdown(block("paragraph", "a\x00b\x1b[31mc\fd")) == "ab[31mc\nd\n"


def test_a_lone_surrogate_can_still_be_written():
    text = markdown(block("paragraph", "half \ud800 pair"))
    assert text.encode() == "half \ufffd pair\n".encode()


def test_a_comment_stands_before_every_page_blank_ones_included():
    pages = page(1, block("paragraph", "one")), page(2, status="blank"), page(7, block("paragraph", "seven"))
    assert ocrpress.render(document(*pages)) == (
        "<!-- page 1 -->\n\none\n\n<!-- page 2 -->\n\n<!-- page 7 -->\n\nseven\n"
    )  # fmt: skip


def test_a_failed_page_leaves_a_mark_that_cannot_end_early():
    pages = page(1, block("paragraph", "one")), page(2, status="failed", error="bad --> <b>\nbytes ->")
    text = render(document(*pages), "md", NO_BREAKS)
    assert text == "one\n\n<!-- page 2 failed: bad —> <b> bytes —> -->\n"


def test_an_interrupted_document_says_how_far_it_came():
    text = render(document(page(1, block("paragraph", "one")), complete=False, page_count=40))
    assert text.endswith("\n\n<!-- incomplete: 1 of 40 pages -->\n")


def test_without_page_breaks_paragraphs_run_on_over_pages_and_figures():
    pages = (
        page(1, block("paragraph", "The exam-", continues=True), block("figure", "", image="f.png")),
        page(2, block("caption", "Figure 1"), block("paragraph", "ple goes", continues=True)),
        page(3, block("paragraph", "on here."), block("paragraph", "Next.")),
    )
    assert render(document(*pages), "md", NO_BREAKS) == (
        "The example goes on here.\n\n![Figure](f.png)\n\nFigure 1\n\nNext.\n"
    )  # fmt: skip


@pytest.mark.parametrize("between", [page(2, status="failed", error="x"), page(2, status="blank")])
def test_paragraphs_do_not_run_on_over_a_page_that_was_not_read(between):
    first, last = page(1, block("paragraph", "begins", continues=True)), page(3, block("paragraph", "ends"))
    assert "begins ends" not in render(document(first, between, last), "md", NO_BREAKS)
    assert "begins ends" not in render(document(first, last), "md", NO_BREAKS)


def test_paragraphs_do_not_run_on_into_a_heading():
    first, second = page(1, block("paragraph", "begins", continues=True)), page(2, block("heading", "New", level=1))
    assert render(document(first, second), "md", NO_BREAKS) == "begins\n\n# New\n"


def test_with_page_breaks_nothing_moves_to_another_page():
    pages = page(1, block("paragraph", "begins", continues=True)), page(2, block("paragraph", "ends"))
    assert render(document(*pages)) == "<!-- page 1 -->\n\nbegins\n\n<!-- page 2 -->\n\nends\n"


def test_furniture_is_dropped_unless_kept():
    blocks = block("header", "Head"), block("paragraph", "Body"), block("page_number", "3")
    assert markdown(*blocks) == "Body\n"
    kept = render(document(page(1, *blocks)), "md", WriterOptions(keep_furniture=True, page_breaks="none"))
    assert kept == "Head\n\nBody\n\n3\n"


def test_an_empty_document_is_empty_text():
    assert render(document()) == ""


def test_unknown_formats_and_page_breaks_are_refused_with_the_nearest_name():
    with pytest.raises(UsageError, match="did you mean 'json'"):
        render(document(), "jsn")
    with pytest.raises(UsageError, match="did you mean 'comment'"):
        WriterOptions(page_breaks="coment")
