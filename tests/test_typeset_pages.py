"""Text laid out: nothing lost, pages and columns filled, sizes kept."""

from __future__ import annotations

import random
import time
from itertools import pairwise

import pytest

from ocrpress.errors import InputError, UsageError
from ocrpress.typeset import Style, check_style, lay_out, page_size
from ocrpress.typeset.geometry import frame
from ocrpress.typeset.glyphs import glyphs_of

SMALL = Style(page="320x240px", margins=(6, 6, 6, 6), size=9, dpi=72)
WORDS = [
    "a", "the", "typesetting", "well-known", "(or", "not)", "—", "“quoted”", "3.5%", "http://example.org/a/b?c=d",
    "naïve", "汉字，汉字。", "שלום", "مرحبا", "Ж", "e\u0301e", "x" * 70, "ex\u00adtra\u00ador\u00addi\u00adna\u00adry",
    "!", "«", "»", "👍", "ไทย", "ひらがな", "-",
]  # fmt: skip


def sheets(text, style=SMALL, **options):
    return list(lay_out(text, style, **options))


def whole(pages):
    return "".join(page.text + page.joint for page in pages)


def squeezed(text):
    return "".join(text.replace("\u00ad", "").split())


def drawn(pages):
    return "".join(run.text for page in pages for run in page.runs)


@pytest.mark.parametrize("seed", range(12))
def test_every_word_stands_on_the_pages_once_and_in_order(seed):
    chance = random.Random(seed)
    separators = [" "] * 8 + ["\n", "\n\n", "  ", "\t", "\f", "\r\n", "\n    ", "\u2029"]
    text = "".join(chance.choice(WORDS) + chance.choice(separators) for _ in range(400))
    style = Style(
        font=chance.choice(["serif", "sans", "mono"]),
        size=chance.uniform(6, 14),
        columns=chance.choice([1, 1, 2, 3]),
        align=chance.choice(["left", "justify"]),
        page=chance.choice(["320x240px", "a5", "tiny"]),
        margins=(6, 6, 6, 6),
        dpi=72,
    )
    pages = sheets(text, style)
    assert len(pages) > 1
    assert squeezed(whole(pages)) == squeezed(text)
    shown = squeezed(drawn(pages))
    assert [c for c in shown if c != "-"] == [c for c in squeezed(text) if c not in "-\u00ad"]
    assert [page.number for page in pages] == list(range(1, len(pages) + 1))
    assert pages[-1].joint == ""


def test_words_keep_their_spaces_over_page_ends():
    text = " ".join(f"word{number}" for number in range(2000))
    pages = sheets(text)
    assert len(pages) > 5
    assert whole(pages) == text
    assert {page.joint for page in pages[:-1]} == {" "}


def test_a_paragraph_after_a_page_end_is_parted_by_a_blank_line():
    text = "\n\n".join(f"paragraph {number}" for number in range(100))
    pages = sheets(text)
    assert whole(pages) == text
    assert {page.joint for page in pages[:-1]} == {"\n\n"}


def test_a_word_wider_than_the_page_is_broken_and_lost_nothing():
    text = "x" * 30_000
    pages = sheets(text)
    assert len(pages) > 3
    assert whole(pages) == text
    assert {page.joint for page in pages[:-1]} == {""}
    place = frame(SMALL)
    for page in pages:
        for run in page.runs:
            assert run.x + glyphs_of(run.face).length(run.text) <= place.lefts[0] + place.measure + 0.01


def test_no_line_leaves_its_column_and_no_column_its_page():
    chance = random.Random(4)
    text = " ".join(chance.choice(WORDS) for _ in range(3000))
    for style in (Style(columns=3, size=8, page="a4", dpi=72), Style(align="justify", page="a5", dpi=72)):
        place = frame(style)
        for page in sheets(text, style):
            for run in page.runs:
                end = run.x + glyphs_of(run.face).length(run.text, rtl=run.rtl)
                column = max(left for left in place.lefts if left <= run.x + 0.5)
                assert run.x >= column - 0.5 and end <= column + place.measure + 1, run
                assert place.top < run.y <= place.bottom


def test_columns_are_filled_one_after_the_other():
    style = Style(columns=2, page="a5", dpi=72)
    pages = sheets(" ".join(f"w{number}" for number in range(2000)), style)
    left, right = frame(style).lefts
    columns = [0 if run.x < right else 1 for run in pages[0].runs]
    assert columns == sorted(columns) and set(columns) == {0, 1}
    lowest = max(run.y for run in pages[0].runs if run.x < right)
    assert frame(style).bottom - lowest < 2 * style.size * style.leading
    assert left < right


def test_baselines_lie_a_leading_apart():
    style = Style(page="a5", dpi=72, size=10, leading=1.5)
    lines = sorted({run.y for run in sheets("word " * 500, style)[0].runs})
    assert {after - before for before, after in pairwise(lines)} == {15}


def test_justified_lines_end_at_the_right_margin_but_the_last_does_not():
    style = Style(page="a5", dpi=72, align="justify")
    (page,) = sheets("Some words of different lengths are set here, again and again, " * 6, style)
    place = frame(style)
    ends = {}
    for run in page.runs:
        ends[run.y] = run.x + glyphs_of(run.face).length(run.text)
    *full, last = [ends[y] for y in sorted(ends)]
    assert full == pytest.approx([place.lefts[0] + place.measure] * len(full), abs=0.01)
    assert last < place.lefts[0] + place.measure - 5


def test_a_soft_hyphen_shows_only_where_a_line_ends():
    text = "extra\u00adordi\u00adnary " * 60
    (page,) = sheets(text, Style(page="a5", dpi=72))
    assert page.text == ("extraordinary " * 60).strip()
    hyphens = [run for run in page.runs if run.text == "-"]
    assert hyphens
    for hyphen in hyphens:
        assert all(run.x <= hyphen.x for run in page.runs if run.y == hyphen.y)


def test_right_to_left_paragraphs_end_at_the_right_margin_in_one_run_a_line():
    text = "כל בני אדם נולדו בני חורין ושווים בערכם ובזכויותיהם. " * 5
    style = Style(font="sans", page="a5", dpi=72)
    (page,) = sheets(text, style)
    place = frame(style)
    assert len(page.runs) == len({run.y for run in page.runs}) > 1
    for run in page.runs:
        assert run.rtl
        assert run.x + glyphs_of(run.face).length(run.text, rtl=True) == pytest.approx(
            place.lefts[0] + place.measure, abs=0.01
        )


def test_stretches_of_both_directions_stand_in_visual_order():
    style = Style(font="serif", page="a5", dpi=72)  # STIX has no Hebrew: each language is in a face of its own
    (page,) = sheets("abc שלום עולם 12 שוב def", style)
    in_order = [run.text.strip() for run in sorted(page.runs, key=lambda run: run.x)]
    assert in_order[0] == "abc" and in_order[-1] == "def"
    assert in_order.index("שוב") < in_order.index("שלום עולם")
    (page,) = sheets("שלום abc def עולם", style)
    assert [run.text.strip() for run in sorted(page.runs, key=lambda run: -run.x)] == ["שלום", "abc def", "עולם"]


def test_a_form_feed_begins_a_page_and_an_empty_page_is_none():
    assert [page.text for page in sheets("one\ftwo\f\f\fthree\f")] == ["one", "two", "three"]


def test_control_characters_are_dropped_and_surrogates_replaced():
    (page,) = sheets("a\x00b\x1b[0m\x7f \ud800c\ufeff")
    assert page.text == "ab[0m \ufffdc"


@pytest.mark.parametrize("text", ["", " \n\t\f", "\x00\x07", "\u00ad\u200b", "\u0301"])
@pytest.mark.parametrize("markdown", [False, True])
def test_a_text_without_printable_characters_is_an_input_error(text, markdown):
    with pytest.raises(InputError, match="no printable characters"):
        lay_out(text, markdown=markdown)


def test_pages_come_one_by_one():
    start = time.perf_counter()
    first = next(iter(lay_out("A paragraph of words.\n\n" * 200_000)))
    assert first.number == 1
    assert time.perf_counter() - start < 8


def test_laying_out_is_deterministic():
    text = " ".join(WORDS) * 20
    assert sheets(text) == sheets(text)


@pytest.mark.parametrize(
    ("page", "dpi", "size"),
    [
        ("a4", None, (1191, 1684, 144)),
        ("A5", 72, (420, 595, 72)),
        ("letter", 100, (850, 1100, 100)),
        ("legal", None, (1224, 2016, 144)),
        ("a3", 72, (842, 1191, 72)),
        ("800x600px", None, (800, 600, 144)),
        ("10 x 20 cm", 254, (1000, 2000, 254)),
        ("8.5x11in", 72, (612, 792, 72)),
        ("72×144pt", 144, (144, 288, 144)),
        ("100x50mm", 25.4, (100, 50, 25.4)),
        ("tiny", None, (512, 512, 72)),
        ("small", None, (640, 640, 72)),
        ("base", 144, (1024, 1024, 144)),
        ("large", None, (1280, 1280, 72)),
        ("gundam", None, (1280, 1920, 72)),
        ("gundam-m", None, (2048, 3072, 72)),
    ],
)
def test_page_sizes(page, dpi, size):
    assert page_size(Style(page=page, dpi=dpi)) == size


@pytest.mark.parametrize("mode", ["tiny", "small", "base", "large", "gundam", "gundam-m"])
def test_a_mode_s_page_gives_that_mode_no_padding(mode):
    from ocrpress.modes import plan

    width, height, _ = page_size(Style(page=mode))
    found = plan(width, height, mode)
    assert found.grid == ((2, 3) if mode.startswith("gundam") else (1, 1))
    if not mode.startswith("gundam"):
        assert found.valid_tokens == found.vision_tokens


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"page": "a44"}, "did you mean 'a4'"),
        ({"page": "100x100"}, "write WIDTHxHEIGHT and a unit"),
        ({"page": "0x10px"}, "no pixels"),
        ({"page": "9000x9000px"}, "50 million"),
        ({"page": "999999999x999999999in"}, "50 million"),
        ({"dpi": 0}, "0 dpi"),
        ({"dpi": float("nan")}, "nan dpi"),
        ({"size": 0}, "0 point type"),
        ({"size": float("inf")}, "inf point type"),
        ({"leading": float("nan")}, "leading"),
        ({"columns": 0}, "0 columns"),
        ({"columns": 15}, "do not fit"),
        ({"margins": (300, 1, 300, 1)}, "do not fit"),
        ({"margins": (1, 420, 1, 420)}, "do not fit"),
        ({"margins": (-1, 1, 1, 1)}, "not less than 0"),
        ({"margins": (1, 1, 1)}, "3 margins"),
        ({"gutter": float("inf")}, "gutter"),
        ({"align": "full"}, "unknown alignment 'full'"),
        ({"font": "sanz"}, "unknown font 'sanz'"),
        ({"size": 300}, "do not fit"),
    ],
)
def test_a_style_that_cannot_be_is_a_usage_error_at_once(options, words):
    with pytest.raises(UsageError) as caught:
        check_style(Style(**options))
    assert words in str(caught.value)
    with pytest.raises(UsageError):
        lay_out("text", Style(**options))
