from __future__ import annotations

import json

import pytest
from markup_samples import FREE, GARBAGE, LINES, LOOP, MANUAL, PAPER, TWO_TABLES, sample
from PIL import Image

from ocrpress.document import Document, PageImage, PageResult, block_rows, block_text
from ocrpress.figures import FigureWriter
from ocrpress.layout import markup_blocks
from ocrpress.writers import WriterOptions, render

POINTS = (612.0, 792.0)
WHOLE = (0.0, 0.0, *POINTS)


def read(text, task="markdown"):
    return markup_blocks(text, POINTS, task)


def write(text, form="md", task="markdown"):
    page = PageResult(1, "ok", read(text, task), *POINTS)
    return render(Document("x", (page,)), form, WriterOptions(keep_furniture=True, page_breaks="none"))


def grounded(label, text, box="[[100, 200, 300, 400]]"):
    return f"<|ref|>{label}<|/ref|><|det|>{box}<|/det|>\n{text}\n\n"


def only(text, task="markdown"):
    (block,) = read(text, task)
    return block


def said(text):
    return [(block.kind, block_text(block)) for block in read(text)]


@pytest.mark.parametrize("name", ["paper", "manual", "free"])
def test_whole_answers_come_out_as_markdown(name):
    assert write(sample(f"{name}.answer")) == sample(f"{name}.md")


def test_a_whole_answer_comes_out_as_plain_text():
    assert write(PAPER, "txt") == sample("paper.txt")


def test_a_whole_answer_comes_out_as_json_with_boxes_on_the_grid():
    (page,) = json.loads(write(PAPER, "json"))["pages"]
    found = [(block["kind"], block["box_999"]) for block in page["blocks"]]
    assert found == [
        ("heading", [117, 60, 880, 90]), ("paragraph", [116, 587, 883, 668]), ("caption", [115, 386, 881, 420]),
        ("table", [167, 431, 828, 535]), ("figure", [125, 100, 866, 260]), ("caption", [115, 269, 881, 318]),
        ("equation", [250, 855, 880, 874]), ("list", [115, 303, 852, 354]), ("heading", [117, 688, 400, 704]),
        ("paragraph", [115, 885, 716, 902]),
    ]  # fmt: skip
    assert page["blocks"][0]["text"] == "Contexts, Optically Compressed"
    assert page["blocks"][3]["rows"][2] == ["Tokens", "64", "100", "256", "400", "\\(n\\times 100+256\\)"]
    assert page["blocks"][-1]["continues"] is True


def test_markdown_that_was_written_reads_as_the_same_blocks():
    for answer in (PAPER, MANUAL, FREE):
        solid = [block for block in read(answer) if block.kind in ("heading", "list", "table", "equation", "code")]
        again = [block for block in read(write(answer)) if block.kind != "paragraph"]
        assert [block.kind for block in again] == [block.kind for block in solid]
        assert [block_text(block).replace("{}", "") for block in again] == [block_text(block) for block in solid]


def test_text_without_grounding_has_the_box_of_the_page():
    assert {block.box for block in read(FREE, "text")} == {WHOLE}


def test_a_table_whose_cells_come_behind_its_caption_has_its_own_box():
    table = next(block for block in read(PAPER) if block.rows)
    assert table.box == pytest.approx((167 / 999 * 612, 431 / 999 * 792, 828 / 999 * 612, 535 / 999 * 792))


def test_two_tables_of_which_one_breaks_off():
    first, caption, second = read(TWO_TABLES)
    assert (first.rows, caption.kind) == ((("A", "B"), ("1", "2")), "caption")
    assert second.rows == (("x", "y"), ("3", "un"))


def test_a_loop_at_the_end_leaves_what_was_read_before_it():
    text, table = read(LOOP)
    assert text.text == "One line that is read."
    assert table.rows[:2] == (
        ("Year", "Sum", *[""] * (len(table.rows[0]) - 2)),
        ("1999", *[""] * (len(table.rows[0]) - 1)),
    )
    assert len(table.rows[0]) <= 500


def test_text_where_the_label_belongs_is_text():
    assert said(LINES) == [("paragraph", "Deploy open-source models"), ("paragraph", "先天下之忧而忧")]
    words = "".join(grounded(word, "") for word in ("A word", "Table", "Another"))
    assert [text for _, text in said(words)] == ["A word", "Table", "Another"]
    assert said(grounded("## （十五）", "赔偿")) == [("heading", "（十五）"), ("paragraph", "赔偿")]
    assert said(grounded("seal_text", "approved")) == [("paragraph", "approved")]


def test_nonsense_is_read_as_far_as_it_goes():
    blocks = read(GARBAGE)
    assert [block_text(block) for block in blocks] == ["\t\nPalantir PLTR\t176.090", "still read", "turned"]
    assert blocks[2].box == pytest.approx((0, 4 / 999 * 792, 612, 792))


@pytest.mark.parametrize(
    ("label", "kind"),
    [
        ("text", "paragraph"), ("Title", "heading"), ("sub_title", "heading"), ("paragraph_title", "heading"),
        ("image_caption", "caption"), ("Figure Title", "caption"), ("table_footnote", "caption"), ("header", "header"),
        ("page footer", "footer"), ("page_number", "page_number"), ("equation", "equation"), ("code", "code"),
        ("algorithm", "code"), ("ref_text", "paragraph"), ("aside_text", "paragraph"), ("page_footnote", "paragraph"),
        ("what is this", "paragraph"), ("figure", "figure"), ("chart", "figure"), ("seal", "figure"),
    ],
)  # fmt: skip
def test_labels_say_what_an_element_is(label, kind):
    assert only(grounded(label, "x = 1")).kind == kind


def test_headings_take_their_level_from_their_signs_their_number_or_their_label():
    text = "".join(
        grounded(label, text)
        for label, text in [
            ("title", "The Title"), ("title", "Abstract"), ("title", "3 Methods"), ("title", "3.2.1 Data"),
            ("title", "#### Deep #"), ("sub_title", "Sub"), ("text", "## In text"),
            ("title", "# Long\ntitle\n\nAuthor"),
        ]
    )  # fmt: skip
    assert [(block.level, block.text) for block in read(text)] == [
        (1, "The Title"), (2, "Abstract"), (2, "3 Methods"), (4, "3.2.1 Data"), (4, "Deep"), (2, "Sub"),
        (2, "In text"), (1, "Long title"), (0, "Author"),
    ]  # fmt: skip


def test_furniture_is_one_block_of_plain_text():
    assert said(grounded("header", "# **Chapter** 1\n\nA book")) == [("header", "Chapter 1 A book")]
    assert said(grounded("page_number", "- 3 -")) == [("page_number", "- 3 -")]
    assert read(grounded("footer", " ")) == ()


def test_an_image_with_several_boxes_is_several_figures_and_says_its_text_once():
    first, second = read(grounded("image", "Map of **Rome**", "[[1, 2, 30, 40], [50, 60, 70, 80]]"))
    assert (first.kind, block_text(first), second.kind, second.text) == ("figure", "Map of Rome", "figure", "")
    assert first.box == pytest.approx((1 / 999 * 612, 2 / 999 * 792, 30 / 999 * 612, 40 / 999 * 792))


def test_text_in_several_boxes_has_the_box_around_them():
    assert only(grounded("text", "split", "[[10, 20, 30, 40], [50, 60, 70, 80]]")).box == pytest.approx(
        (10 / 999 * 612, 20 / 999 * 792, 70 / 999 * 612, 80 / 999 * 792)
    )


def test_an_image_without_a_box_is_no_figure():
    assert said("<|ref|>image<|/ref|><|det|>[[]]<|/det|>\nAxis") == [("paragraph", "Axis")]
    assert said("![An old map](images/1.jpg)\n\n![](images/2.jpg)") == [("paragraph", "An old map")]


def test_a_table_read_out_of_a_chart_follows_the_figure():
    figure, table = read(grounded("chart", "Sales\n\n| a | b |\n|---|---|\n| 1 | 2 |"))
    assert (figure.kind, figure.text, table.rows) == ("figure", "Sales", (("a", "b"), ("1", "2")))


def test_a_centred_caption_is_one_without_grounding_too():
    assert said("<center>Figure 4: Modes </center>") == [("caption", "Figure 4: Modes")]
    assert said("<center>By the author</center>") == [("paragraph", "By the author")]


@pytest.mark.parametrize(
    ("text", "latex"),
    [
        ("\\[\nx = 1\n\\]", "x = 1"),
        ("\\( x = 1 \\)", "x = 1"),
        ("$$x = 1$$", "x = 1"),
        ("$x = 1$", "x = 1"),
        ("x _ {1} = \\frac {a} {b}", "x _ {1} = \\frac {a} {b}"),
        ("\\begin{equation}\nx\n\\end{equation}", "x"),
        (
            "\\begin{align*}\na &= b \\\\[2pt]\n\nc\n\\end{align*}",
            "\\begin{align*}\na &= b \\\\[2pt]\nc\n\\end{align*}",
        ),
        ("\\[ a \\\\[2pt] b \\] (3.1)", "a \\\\[2pt] b \\tag{3.1}"),
        ("\\[ a \\tag{1} \\] ,", "a \\tag{1},"),
        ("\\[ a \\]\n(7b)", "a \\tag{7b}"),
        ("\\[ a &lt; b", "a < b"),
    ],
)
def test_an_equation_is_its_latex_without_delimiters(text, latex):
    block = read(grounded("equation", text))[0]
    assert (block.kind, block.text, block.markup) == ("equation", latex, True)


def test_words_around_a_formula_that_is_said_to_be_an_equation_stay_words():
    assert said(grounded("equation", "mit \\(f(x) = 1\\)")) == [("paragraph", "mit \\(f(x) = 1\\)")]


def test_displayed_formulas_part_the_text():
    assert said("We have \\[ a = b \\] where $a$ is $$c$$") == [
        ("paragraph", "We have"), ("equation", "a = b"), ("paragraph", "where \\(a\\) is"), ("equation", "c"),
    ]  # fmt: skip
    assert said("It costs $$ or $5.\n\nMore.") == [("paragraph", "It costs $$ or $5."), ("paragraph", "More.")]


def test_a_formula_that_breaks_off_ends_with_its_paragraph():
    assert said("\\[ a = b\n\nNext") == [("equation", "a = b"), ("paragraph", "Next")]
    assert said("so \\(x_1") == [("paragraph", "so \\(x_1")]


def test_code_stays_as_it_is():
    text = "```python\ndef f():\n\n    return **x**  # <b>\n```"
    assert said(text) == [("code", "def f():\n\n    return **x**  # <b>")]
    assert write(text) == "```\ndef f():\n\n    return **x**  # <b>\n```\n"
    assert write("~~~\na ```` b") == "`````\na ```` b\n`````\n"
    assert said("```html\n<table><tr><td>a</td></tr></table>\n```") == [("table", "a")]
    assert said("```latex\nx^2\n```") == [("equation", "x^2")]
    assert said("```markdown\n# a\n```\nb") == [("heading", "a"), ("paragraph", "b")]
    assert said("```markdown\n# a\n\n```c\nd\n```\n\nb\n```")[1:] == [("code", "d"), ("paragraph", "b")]


def test_lines_of_a_paragraph_are_joined_and_broken_words_made_whole():
    assert said("an exam-\nple of self-\nmade text\n第一行\n第二行") == [
        ("paragraph", "an example of self-made text 第一行第二行")
    ]
    assert said("\\(a -\nb\\) and `x-\ny`") == [("paragraph", "\\(a - b\\) and x- y")]


def test_line_ends_that_are_meant_are_kept():
    assert said("one  \ntwo\\\nthree<br>four") == [("paragraph", "one\ntwo\nthree\nfour")]
    assert write("one<br>two") == "one  \ntwo\n"


def test_choices_and_references_begin_paragraphs_of_their_own():
    text = "Which?\na) one\nb) two\n（三）三\n1、first\n[12] Author. Title"
    assert [block.text for block in read(text)] == text.split("\n")
    assert said("as was shown in\n[12] and by\n(3) too") == [("paragraph", "as was shown in [12] and by (3) too")]
    assert [kind for kind, _ in said("It follows:\n(1) one\n(2) two")] == ["paragraph"] * 3


def test_lists_keep_their_nesting_and_their_numbers():
    text = "* a\n  + b\n    wrapped\n  + c\n\n3) d\n\n   more\n• e\n\nout"
    assert said(text) == [
        ("list", "- a\n  - b wrapped\n  - c\n3) d\n  more\n- e"),
        ("paragraph", "out"),
    ]
    assert write(text) == "- a\n  - b wrapped\n  - c\n3) d  \n   more\n- e\n\nout\n"


def test_a_number_in_a_paragraph_begins_no_list():
    assert said("a line\n– an aside – that\n· goes on") == [("paragraph", "a line – an aside – that · goes on")]
    assert said("in the year\n1984. It was on\n12. May") == [("paragraph", "in the year 1984. It was on 12. May")]
    assert [kind for kind, _ in said("1. one\n\n## Head\nsome text\n2. two")] == [
        "list",
        "heading",
        "paragraph",
        "list",
    ]


def test_a_list_in_html_is_a_list():
    assert said("<ul><li>a</li><li>b</li></ul>") == [("list", "- a\n- b")]


def test_items_that_are_grounded_one_by_one_are_one_list():
    text = grounded("text", "- a") + grounded("text", "- b", "[[100, 400, 500, 600]]")
    block = only(text)
    assert block.text == "- a\n- b"
    assert block.box == pytest.approx((100 / 999 * 612, 200 / 999 * 792, 500 / 999 * 612, 600 / 999 * 792))


def test_pipe_tables_keep_bars_in_formulas_and_lone_hyphens():
    block = only("head | \\(|x|\\)\n:-- | --:\n- | a \\| b\n`c|d` | $\\|y$ | over")
    assert block_rows(block) == (("head", "\\(|x|\\)", ""), ("-", "a | b", ""), ("c|d", "\\(|y\\)", "over"))


def test_a_line_between_bars_is_no_table_and_two_are():
    assert said("| a |") == [("paragraph", "| a |")]
    assert only("| a | b |\n| 1 | 2 |").rows == (("a", "b"), ("1", "2"))


def test_footnotes_links_and_rules():
    text = "See[^1] [here](http://x.org), <https://y.org>.\n\n***\n\n[^1]: A note\nthat goes on\n[^a]: Other"
    assert said(text) == [
        ("paragraph", "See¹ here, https://y.org."), ("paragraph", "¹ A note that goes on"), ("paragraph", "ᵃ Other"),
    ]  # fmt: skip


def test_html_is_harmless_and_its_text_is_kept():
    text = "<script>alert(1)</script> <img src=x onerror=alert(2)> &lt;script&gt; <func> <a href='javascript:x'>y</a>"
    assert said(text) == [("paragraph", "alert(1) <script> <func> y")]
    assert "<" not in write(text).replace("&lt;", "")
    assert "<img" not in write("\\(a <img src=x onerror=y> b\\) and $$ <script>z</script> $$")


def test_smiles_is_no_link():
    text = "C1=CC=C(C=C1)[C@@H](N)C(=O)O"
    assert said(text) == [("paragraph", text)]


def test_the_last_paragraph_goes_on_behind_what_floats_and_hangs():
    text = (
        grounded("text", "It ends with.")
        + grounded("text", "It goes")
        + grounded("image", "")
        + grounded("footer", "x")
    )
    assert [block.continues for block in read(text)] == [False, True, False, False]
    assert not any(block.continues for block in read(text, "describe"))
    assert not any(block.continues for block in read(grounded("text", "It goes") + grounded("footnote", "a note")))


def test_what_was_sought_becomes_figures_with_label_and_coordinates():
    text = "<|ref|>Total<|/ref|><|det|>[[100, 200, 300, 250], [5, 5, 10, 10]]<|/det|><｜end▁of▁sentence｜>"
    first, second = read(text, "locate=Total")
    assert (first.kind, first.text) == ("figure", "Total [100, 200, 300, 250]")
    assert second.box == pytest.approx((5 / 999 * 612, 5 / 999 * 792, 10 / 999 * 612, 10 / 999 * 792))
    assert write(text, task="locate=Total") == "Total [100, 200, 300, 250]\n\nTotal [5, 5, 10, 10]\n"
    assert only("<|det|>[[1, 2, 3, 4]]<|/det|>", "locate=the *cat*").text == "the *cat* [1, 2, 3, 4]"


def test_nothing_found_is_no_block():
    for text in ("", "There is none.", "<|ref|>cat<|/ref|>", "<|ref|>cat<|/ref|><|det|>[]<|/det|>"):
        assert read(text, "locate=cat") == ()


def test_what_was_located_is_cropped(tmp_path):
    image = Image.new("RGB", (999, 999), "white")
    image.paste((255, 0, 0), (100, 200, 300, 250))
    blocks = markup_blocks("<|ref|>red<|/ref|><|det|>[[100, 200, 300, 250]]<|/det|>", (300.0, 300.0), "locate=red")
    (block,) = FigureWriter(tmp_path, "f", tmp_path).write(PageImage(1, image, 300, 300), 0, (300, 300), blocks)
    with Image.open(tmp_path / block.image) as crop:
        assert (crop.size, crop.getpixel((0, 0)), crop.getpixel((199, 49))) == ((200, 50), (255, 0, 0), (255, 0, 0))
    page = PageResult(1, "ok", (block,), 300, 300)
    assert render(Document("x", (page,)), "md", WriterOptions(page_breaks="none")) == (
        "![red \\[100, 200, 300, 250\\]](f-p0001-1.png)\n"
    )
