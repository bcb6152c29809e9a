from __future__ import annotations

import json
import random
import re
from dataclasses import replace

import pytest

from ocrpress.document import Attempt, Block, Document, PageResult
from ocrpress.modes import plan
from ocrpress.writers import WriterOptions, render
from ocrpress.writers.by_page import CUT, text_by_page
from ocrpress.writers.dolma import dolma_record

BOX = (72.0, 300.0, 540.0, 320.0)
NO_BREAKS = WriterOptions(page_breaks="none")


def block(kind, text="", **more):
    return Block(kind, text, more.pop("box", BOX), **more)


def page(number, *blocks, status="ok", **more):
    return PageResult(number, status, blocks, 612.0, 792.0, **more)


def said(number, text, **more):
    return page(number, block("paragraph", text, **more))


def document(*pages, **more):
    return Document("sub/paper.pdf", pages, "fake", "base", **more)


def record(*pages, **more):
    return dolma_record(document(*pages), id="sub/paper.pdf", added="2026-11-22T05:50:00Z", **more)


def by_page(made):
    """What the spans of a record say: page number -> text. Checks that they cover the text in order."""
    end, found = 0, {}
    for start, stop, number in made["attributes"]["pdf_page_numbers"]:
        assert start == end
        assert stop >= start
        found[number], end = made["text"][start:stop], stop
    assert end == len(made["text"])
    return found


def test_a_record_has_the_fields_of_dolma_and_the_names_of_olmocr():
    seen = plan(612, 792, "base")
    tried = (
        Attempt("fake", "base", "loop", 1.0, "it loops", output_tokens=999),
        Attempt("fake", "base", "end", 1.0, output_tokens=50),
    )
    first = replace(said(1, "Hello."), plan=seen, attempts=tried, engine="fake", rotation=90)
    second = replace(said(3, "Read by the other."), engine="rapid")
    pages = first, page(2, status="blank"), second, page(4, status="failed", error="a\nloop")
    made = record(*pages, created="2019-03-01T12:00:00Z", metadata={"Source-Bytes": 12})
    assert made == {
        "id": "sub/paper.pdf",
        "text": "Hello.\n\nRead by the other.",
        "source": "ocrpress",
        "added": "2026-11-22T05:50:00Z",
        "created": "2019-03-01T12:00:00Z",
        "metadata": {
            "Source-File": "sub/paper.pdf",
            "ocrpress-version": made["metadata"]["ocrpress-version"],
            "engine": "fake",
            "mode": "base",
            "complete": True,
            "pdf-total-pages": 4,
            "total-blank-pages": 1,
            "total-failed-pages": 1,
            "total-fallback-pages": 1,
            "total-vision-tokens": seen.vision_tokens,
            "total-input-tokens": seen.sequence_tokens,
            "total-output-tokens": 50,
            "Source-Bytes": 12,
        },
        "attributes": {
            "pdf_page_numbers": [[0, 8, 1], [8, 8, 2], [8, 26, 3], [26, 26, 4]],
            "page_status": ["ok", "blank", "ok", "failed"],
            "page_error": ["", "", "", "a loop"],
            "rotation_correction": [90, 0, 0, 0],
        },
    }
    assert "created" not in record(first)


def test_the_text_is_the_markdown_without_comments_pictures_and_running_heads():
    head, picture = block("header", "A JOURNAL"), block("figure", "Map", image="paper-1.png")
    made = record(
        page(1, head, block("heading", "On maps", level=1), picture, block("figure"), block("list", "- one\n- two")),
        page(2, block("paragraph", "la la la la"), status="failed", error="a loop"),
        page(3, block("table", rows=(("a", "b"),)), block("equation", "x^2", markup=True)),
    )  # fmt: skip
    assert made["text"] == "# On maps\n\nMap\n\n- one\n- two\n\n| a | b |\n| --- | --- |\n\n$$\nx^2\n$$"
    assert by_page(made) == {
        1: "# On maps\n\nMap\n\n- one\n- two\n\n",
        2: "",
        3: "| a | b |\n| --- | --- |\n\n$$\nx^2\n$$",
    }


def test_running_heads_are_found_over_the_whole_document():
    top = (72.0, 20.0, 540.0, 32.0)
    body = block("paragraph", "Text."), block("paragraph", "More.")
    pages = [page(n, block("paragraph", f"On Maps {n}", box=top), *body) for n in range(1, 8)]
    assert "On Maps" not in record(*pages)["text"]


@pytest.mark.parametrize(
    ("first", "second", "text", "begins"),
    [
        ("It goes", "on here.", "It goes on here.", "on here."),
        ("It is an exam-", "ple of it.", "It is an example of it.", "ple of it."),
        ("state-of-the-", "art", "state-of-the-art", "art"),
        ("ここで", "終わる", "ここで終わる", "終わる"),
        ("The * is 5", "* 3 and", "The * is 5 * 3 and", "* 3 and"),
        ("see [1]", "(a) there", "see [1] (a) there", "(a) there"),
        ("It is", "1. not a list", "It is 1. not a list", "1. not a list"),
    ],
)
def test_a_paragraph_that_runs_on_is_cut_where_the_page_ends(first, second, text, begins):
    made = record(said(1, first, continues=True), said(2, second))
    assert made["text"] == text
    assert by_page(made) == {1: text.removesuffix(begins), 2: begins}


def test_a_paragraph_may_run_over_whole_pages():
    made = record(said(1, "One", continues=True), said(2, "two", continues=True), said(3, "three."), said(4, "Four."))
    assert by_page(made) == {1: "One ", 2: "two ", 3: "three.\n\n", 4: "Four."}


def test_marked_and_plain_halves_are_escaped_as_one():
    pages = said(1, "**a** and 2\\*", markup=True, continues=True), said(2, "3*4*5 `x`")
    made = record(*pages)
    assert made["text"] + "\n" == render(document(*pages), "md", NO_BREAKS)
    assert by_page(made)[1] == "**a** and 2\\* "


def test_a_mark_that_opens_on_one_page_and_closes_on_the_next_is_escaped_on_both():
    made = record(said(1, "an *opening", continues=True), said(2, "and closing* star"))
    assert by_page(made) == {1: "an \\*opening ", 2: "and closing\\* star"}


def test_what_cannot_be_cut_stays_two_paragraphs():
    made = record(said(1, "AT&am-", continues=True), said(2, "p;T"))  # an entity that only the joined text has
    assert by_page(made) == {1: "AT&am-\n\n", 2: "p;T"}


def test_figures_and_tables_at_the_break_make_room():
    table = block("table", rows=(("a",),)), block("caption", "Table 1")
    made = record(
        page(1, block("paragraph", "It goes", continues=True), *table),
        page(2, block("figure", "Map"), block("paragraph", "on."), block("heading", "Next", level=1)),
    )  # fmt: skip
    assert made["text"] == "| a |\n| --- |\n\nTable 1\n\nIt goes on.\n\nMap\n\n# Next"
    assert by_page(made)[2] == "on.\n\nMap\n\n# Next"


def test_figures_stay_in_their_place_where_no_paragraph_runs_on():
    made = record(
        page(1, block("paragraph", "It goes", continues=True), block("caption", "Map 1")),
        page(2, block("figure", "Map"), block("heading", "Next", level=1)),
    )
    assert made["text"] == "It goes\n\nMap 1\n\nMap\n\n# Next"


def test_a_page_with_a_figure_and_nothing_but_the_middle_of_a_paragraph_ends_it():
    made = record(
        said(1, "One", continues=True),
        page(2, block("figure", "Map"), block("paragraph", "two", continues=True)),
        said(3, "three."),
    )
    assert by_page(made) == {1: "One ", 2: "two\n\nMap\n\n", 3: "three."}


@pytest.mark.parametrize(
    "between",
    [
        (page(2, status="failed", error="no"), said(3, "on.")),
        (page(2, status="blank"), said(3, "on.")),
        (said(3, "on."),),
        (page(2, block("equation", "x", markup=True), block("paragraph", "on.")),),
    ],
)
def test_a_page_that_is_missing_and_a_formula_end_the_paragraph(between):
    assert "goes\n\n" in record(said(1, "It goes", continues=True), *between)["text"]


def test_a_document_of_nothing_has_an_empty_text():
    made = record(page(1, status="blank"), page(2, status="failed", error="no"))
    assert (made["text"], by_page(made)) == ("", {1: "", 2: ""})
    assert record()["attributes"]["pdf_page_numbers"] == []


def test_a_record_can_always_be_encoded():
    strange = replace(document(said(1, "half \ud800 a pair")), source="caf\udce9.pdf")
    made = dolma_record(strange, id="x\udcff", added="", metadata={"a": "\udfff"})
    assert json.loads(json.dumps(made, ensure_ascii=False, allow_nan=False).encode()) == made
    assert by_page(made) == {1: "half \ufffd a pair"}


NASTY = [
    *(
        "*",
        "**",
        "_",
        "`",
        "~",
        "\\",
        "[",
        "](",
        "<b>",
        "&amp",
        ";",
        "a",
        "b-",
        "\u00ad",
        "-",
        "/",
        "@",
        "1.",
        "#",
        "$",
    ),
    *("\\(", "\\)", " ", " ", "終", CUT, "\n", "wide"),
]


def test_spans_hold_for_any_text_and_the_text_is_what_the_markdown_writer_joins():
    chance, joined = random.Random(4), 0
    for _ in range(1500):
        texts = ["".join(chance.choices(NASTY, k=chance.randint(0, 6))) for _ in range(chance.randint(2, 4))]
        more = [{"continues": True, "markup": chance.random() < 0.5} for _ in texts]
        made = record(*(said(n, text, **more[n]) for n, text in enumerate(texts)))
        by_page(made)
        clean = [said(n, text.replace(CUT, ""), **more[n]) for n, text in enumerate(texts)]
        alone = [render(document(one), "md", NO_BREAKS).removesuffix("\n") for one in clean]
        whole = render(document(*clean), "md", NO_BREAKS).removesuffix("\n")
        assert made["text"] in (whole, "\n\n".join(filter(None, alone)))
        joined += made["text"] == whole
    assert joined > 1400


def test_every_page_gives_its_own_words():
    chance = random.Random(5)
    kinds = "paragraph", "paragraph", "heading", "list", "table", "figure", "caption", "equation", "footer", "code"
    for _ in range(300):
        pages = []
        for number in range(1, chance.randint(2, 7)):
            blocks = []
            for place in range(chance.randint(0, 4)):
                kind, word = chance.choice(kinds), f"p{number}w{place}"
                more = {"rows": ((word,),)} if kind == "table" else {"level": 1} if kind == "heading" else {}
                text = "" if kind == "table" else word
                blocks.append(block(kind, text, continues=chance.random() < 0.6, **more))
            pages.append(page(number, *blocks, status=chance.choice(["ok", "ok", "ok", "failed"])))
        for one, text in zip(pages, text_by_page(document(*pages)), strict=True):
            words = [] if one.status == "failed" else one.text.split()
            assert sorted(re.findall(r"p\d+w\d+", text)) == sorted(words)
