"""Which line ends of a text file are kept."""

from __future__ import annotations

import textwrap

import pytest

from ocrpress.typeset.blocks import PageBreak, Paragraph
from ocrpress.typeset.plain import parse, wrapped_width

PROSE = (
    "A compression of text by optical means has been proposed by several authors, each of whom found that a page of an "
    "ordinary book may be held in a tenth of the tokens that its characters would need, provided that the reader of "
    "the page knows the language in which the book was written and that the page is not too dense."
)
VERSE = """Shall I compare thee to a summer's day?
Thou art more lovely and more temperate:
Rough winds do shake the darling buds of May,
And summer's lease hath all too short a date"""


def texts(text):
    return [block.spans[0].text for block in parse(text) if isinstance(block, Paragraph)]


@pytest.mark.parametrize("width", [60, 72, 79, 100])
def test_hard_wrapped_prose_is_joined(width):
    text = textwrap.fill(PROSE, width) + "\n\n" + textwrap.fill(PROSE[80:], width)
    assert texts(text) == [PROSE, PROSE[80:].strip()]
    assert wrapped_width(text) <= width


def test_two_lines_are_joined_where_the_rest_of_the_text_is_wrapped_as_wide():
    short = "These two lines belong together since the first of them is as wide as can be here."
    text = f"{textwrap.fill(PROSE, 72)}\n\n{textwrap.fill(short, 72)}\n\nBut these two\ndo not"
    assert texts(text) == [PROSE, short, "But these two", "do not"]


@pytest.mark.parametrize(
    "text",
    [
        VERSE,
        "Ada Lovelace\n12 St James's Square\nLondon",
        "- one\n- two\n- three",
        "def f(x):\n    return x\n\nprint(f(2))",
        "name      value\nalpha         1",
        "One sentence that stands for itself in a line of its own, as translators like to have it.\nAnother one.",
    ],
)
def test_lines_that_were_not_wrapped_are_kept(text):
    assert texts(text) == [line for line in text.split("\n") if line]


def test_lines_are_kept_beside_wrapped_prose():
    assert texts(f"{textwrap.fill(PROSE, 72)}\n\n{VERSE}") == [PROSE, *VERSE.split("\n")]


def test_wrapped_list_items_are_joined_but_stay_apart():
    items = [f"* {PROSE[:150]}", f"* {PROSE[150:]}"]
    text = "\n".join(textwrap.fill(item, 72, subsequent_indent="  ") for item in items)
    assert texts(f"{textwrap.fill(PROSE, 72)}\n\n{text}") == [PROSE, *items]


def test_paragraphs_told_by_their_first_line_s_indent_stay_apart():
    one = textwrap.fill(PROSE, 70, initial_indent="    ")
    assert texts(f"{textwrap.fill(PROSE, 70)}\n\n{one}\n{one}") == [PROSE] * 3


def test_a_word_hyphenated_at_a_joined_line_end_has_no_space():
    prose = PROSE.replace("several", "well-known")
    text = next(filled for width in range(60, 80) if "well-\n" in (filled := textwrap.fill(prose, width)))
    assert texts(text) == [prose]


def test_a_kept_line_keeps_its_indent_and_its_spaces_and_tabs_are_expanded():
    blocks = list(parse("\tx = 1\n\ty    = 22"))
    assert [(block.spans[0].text, block.kept_spaces) for block in blocks] == [
        ("        x = 1", True),
        ("        y    = 22", True),
    ]


def test_two_spaces_after_a_sentence_are_no_layout():
    (block,) = parse("One sentence.  Another one.")
    assert not block.kept_spaces


def test_kept_lines_end_with_a_line_end_and_paragraphs_with_a_blank_line():
    assert [block.end for block in parse("a\nb\n\nc")] == ["\n", "\n\n", "\n\n"]


def test_a_form_feed_begins_a_page():
    assert [type(block) for block in parse("a\fb\f\fc")] == [
        Paragraph, PageBreak, Paragraph, PageBreak, PageBreak, Paragraph,
    ]  # fmt: skip


def test_lines_of_chinese_are_joined_without_spaces():
    line = "我们在这里看见了很多汉字" * 5
    assert texts("\n".join([line, line, line[:20]])) == [line + line + line[:20]]
