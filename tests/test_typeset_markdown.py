"""Markdown set on pages: what is printed, where, and in which face."""

from __future__ import annotations

import pytest

from ocrpress.errors import InputError
from ocrpress.typeset import Style, lay_out
from ocrpress.typeset.geometry import frame

STYLE = Style(page="a5", dpi=72, size=10)


def pages(text, style=STYLE):
    return list(lay_out(text, style, markdown=True))


def only(text, style=STYLE):
    (page,) = pages(text, style)
    return page


def find(page, text):
    return next(run for run in page.runs if run.text == text)


@pytest.mark.parametrize(
    ("text", "printed"),
    [
        ("# Title\n\nSome *text*,\nand **more**.", "Title\n\nSome text, and more."),
        ("- a\n- b\n  - c\n- d\n\nafter", "• a\n• b\n• c\n• d\n\nafter"),
        ("3. a\n4. b\n\n0) c", "3. a\n4. b\n\n0) c"),
        ("- a\n\n- b", "• a\n\n• b"),
        ("1. a\n\n   b\n2. c", "1. a\n\nb\n\n2. c"),
        ("- 1. x", "• 1. x"),
        ("- [ ] open\n- [x] done", "☐ open\n☒ done"),
        ("> quoted\n> text", "quoted text"),
        ("```py\ndef f():\n\treturn 1\n\n\nf()\n```\nafter", "def f():\n    return 1\n\nf()\n\nafter"),
        ("- ```\n  code\n  ```", "• code"),
        ("a  \nb\\\nc", "a\nb\nc"),
        (
            "[link](http://x.org) ![alt *text*](i.png) <http://y.org> `a  b` &copy; \\*",
            "link alt text http://y.org a b © *",
        ),
        ("<div>\n  <b>x</b>\n</div>\n\na <i>b</i>", "<div>\n  <b>x</b>\n</div>\n\na <i>b</i>"),
        ("a\n\n---\n\nb", "a\n\nb"),
        ("| a | b |\n|---|---|\n| 1 2 | |\n| | 3 |\n\nx", "a\tb\n1 2\n\t3\n\nx"),
        ("~~gone~~ stays", "gone stays"),
        ("**bold**ly _s_he", "boldly _s_he"),
        ("Setext\n===\ntext", "Setext\n\ntext"),
    ],
)
def test_a_page_s_text_is_what_is_printed(text, printed):
    assert only(text).text == printed


def test_emphasis_strong_and_code_are_in_their_faces():
    page = only("plain *italic* **bold** ***both*** `code` **bold *both***")
    faces = {run.text: run.face.file.rpartition("/")[2] for run in page.runs}
    assert faces["plain"] == "STIXGeneral.ttf"
    assert faces["italic"] == "STIXGeneralItalic.ttf"
    assert faces["bold"] == "STIXGeneralBol.ttf"
    assert faces["both"] == "STIXGeneralBolIta.ttf"
    assert faces["code"] == "DejaVuSansMono.ttf"


def test_a_word_of_two_faces_is_not_torn():
    page = only("**bold**ly")
    one, other = page.runs
    assert (one.text, other.text) == ("bold", "ly")
    assert other.y == one.y and other.x > one.x
    assert page.text == "boldly"


def test_headings_are_larger_and_bold():
    page = only("# One\n\n## Two\n\n### Three\n\ntext")
    sizes = [find(page, word).face.size for word in ("One", "Two", "Three", "text")]
    assert sizes == sorted(sizes, reverse=True) and len(set(sizes)) == 4
    assert "Bol" in find(page, "One").face.file


def test_a_heading_does_not_stand_alone_at_the_foot_of_a_page():
    bottom = frame(STYLE).bottom
    for lines in range(20, 60):
        found = pages("filling  \n" * lines + "\n\n## Heading\n\nIts text.")
        for page in found:
            if "Heading" in page.text:
                assert page.text.endswith("Heading\n\nIts text.")
            assert all(run.y <= bottom for run in page.runs)


def test_nested_blocks_are_indented():
    page = only("text\n\n- item\n  - inner\n\n> quote\n\n    code")
    left = [find(page, word).x for word in ("text", "item", "inner", "quote", "code")]
    assert left[0] < left[1] < left[2]
    assert left[3] == left[1]
    assert find(page, "•").x < left[1]


def test_deep_nesting_keeps_room_for_text():
    text = "\n".join("  " * depth + f"- item{depth}" for depth in range(40))
    page = only(text, Style(page="a4", dpi=72, size=8))
    assert page.text == "\n".join(f"• item{depth}" for depth in range(40))
    assert max(run.x for run in page.runs) < 400


def test_nesting_without_end_is_set_as_plain_text():
    text = ">" * 5000 + " deep"
    assert "deep" in pages(text)[-1].text


def test_code_keeps_its_lines_and_indents_and_long_lines_are_wrapped():
    page = only(f"```\nfor x in y:\n    {'print(x) ' * 30}\n```")
    assert find(page, "for").x < find(page, "print(x)").x
    assert len({run.y for run in page.runs}) > 3
    assert page.text == "for x in y:\n    " + ("print(x) " * 30).strip()


def test_a_table_s_cells_stand_in_columns_wrapped_between_rules():
    long = "a long cell that has to be wrapped because it is much wider than the page allows it to be, really"
    page = only(f"| left | right | mid |\n|:--|--:|:-:|\n| x | 1 | {long} |\n| y | 22 | z |")
    assert find(page, "x").x == find(page, "y").x
    assert find(page, "1").x > find(page, "22").x
    assert find(page, "x").y == find(page, "1").y == find(page, "a").y
    assert len({run.y for run in page.runs if run.y >= find(page, "x").y}) >= 3
    assert len(page.rules) == 3
    place = frame(STYLE)
    assert all(place.lefts[0] <= left < right <= place.lefts[0] + place.measure + 1 for left, _, right, _ in page.rules)
    assert page.text.splitlines()[1] == f"x\t1\t{long}"


def test_a_table_with_more_columns_than_room_is_set_cell_by_cell():
    count = 60
    row = "|" + "|".join(f"c{number}" for number in range(count)) + "|"
    found = pages(f"{row}\n{'|-' * count}|\n{row.replace('c', 'd')}")
    words = " ".join(page.text for page in found).split()
    assert words == [f"{kind}{number}" for kind in "cd" for number in range(count)]


def test_a_row_higher_than_the_page_is_set_cell_by_cell():
    words = [f"w{number}" for number in range(3000)]
    found = pages(f"| a | b |\n|---|---|\n| {' '.join(words)} | end |")
    assert len(found) > 2
    assert " ".join(page.text for page in found).split() == ["a", "b", *words, "end"]


def test_a_table_goes_over_pages_by_rows():
    rows = [f"| name {number} | {number} |" for number in range(200)]
    found = pages("| n | v |\n|---|---|\n" + "\n".join(rows))
    assert len(found) > 3
    assert "".join(page.text + page.joint for page in found) == "n\tv\n" + "\n".join(
        f"name {number}\t{number}" for number in range(200)
    )


@pytest.mark.parametrize("text", ["[a]: http://x.org", "![](x.png)", "-\n-"])
def test_markdown_that_prints_nothing_is_an_input_error(text):
    with pytest.raises(InputError, match="no printable"):
        pages(text)


def test_a_heading_in_a_right_to_left_script_stands_at_the_right():
    page = only("# שלום\n\n- עולם")
    place = frame(STYLE)
    middle = place.lefts[0] + place.measure / 2
    assert all(run.x > middle for run in page.runs)
