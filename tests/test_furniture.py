from __future__ import annotations

import time

import pytest

from ocrpress.document import Block, PageResult
from ocrpress.layout.furniture import is_page_number, mark_furniture

BODY = ["It was a dark night.", "Rain fell on the town.", "Nobody slept.", "The clock struck one.", "A dog barked."]


def line(text, top, kind="paragraph", left=72.0, right=540.0):
    return Block(kind, text, (left, top, right, top + 12))


def make_page(number, *blocks, body=True):
    middle = (Block("paragraph", BODY[number % 5] + f" {number}", (72, 100, 540, 700)),) if body else ()
    top = tuple(b for b in blocks if b.box[1] < 400)
    return PageResult(number, "ok", (*top, *middle, *(b for b in blocks if b.box[1] >= 400)), 612.0, 792.0)


def kinds(pages):
    return [[block.kind for block in page.blocks] for page in mark_furniture(pages)]


def test_alternating_heads_and_page_numbers_are_found():
    heads = ["THE HISTORY OF ROME", "Chapter Two: The Kings"]
    pages = [make_page(n, line(heads[n % 2], 30), line(str(n), 760)) for n in range(1, 9)]
    assert kinds(pages) == [["header", "paragraph", "page_number"]] * 8


def test_heads_with_the_page_number_in_their_line_and_reading_errors_are_found():
    texts = ["12 THE HISTORY OF ROME", "13 THE HISTQRY OF ROME", "14 THE HISTORY 0F ROME", "15 THE HISTORY OF ROME"]
    pages = [make_page(n, line(text, 30 + n)) for n, text in enumerate(texts)]
    pages += [make_page(n) for n in (5, 6, 7)]
    assert [k[0] for k in kinds(pages)[:4]] == ["header"] * 4


def test_a_foot_that_repeats_is_a_footer():
    pages = [make_page(n, line("Confidential draft, do not cite", 755)) for n in range(6)]
    assert kinds(pages) == [["paragraph", "footer"]] * 6


def test_headings_that_repeat_in_the_middle_of_pages_stay():
    pages = [make_page(n, line("Exercises", 300, "heading"), body=False) for n in range(9)]
    assert kinds(pages) == [["heading"]] * 9


def test_numbered_headings_at_the_top_of_pages_stay():
    pages = [make_page(n, line(f"Chapter {n}", 50, "heading")) for n in range(9)]
    assert all(found[0] == "heading" for found in kinds(pages))


def test_a_head_that_passes_for_a_heading_on_one_page_is_still_a_head():
    tops = [line(f"2.3. DEFINING INDUCTION {n}", 96, "heading" if n == 3 else "paragraph") for n in range(6)]
    assert kinds([make_page(n, top) for n, top in enumerate(tops)]) == [["header", "paragraph"]] * 6


def test_a_page_keeps_its_only_text():
    pages = [make_page(n, line("The same line everywhere", 40), body=False) for n in range(6)]
    assert kinds(pages) == [["paragraph"]] * 6


def test_body_text_at_the_top_of_pages_stays():
    pages = [make_page(n, line(BODY[n % 5] + " " + BODY[(n + 1) % 5], 60)) for n in range(5)]
    assert all(found[0] == "paragraph" for found in kinds(pages))


def test_a_line_that_comes_again_far_away_stays():
    pages = [make_page(n, *([line("Part of the story", 50)] if n % 20 == 0 else [])) for n in range(60)]
    assert all("header" not in found for found in kinds(pages))


def test_two_pages_need_exactly_the_same_line():
    same = [make_page(n, line("ACME Corporation", 40)) for n in range(2)]
    assert kinds(same) == [["header", "paragraph"]] * 2
    other = [make_page(0, line("ACME Corporation", 40)), make_page(1, line("ACNE Corporatiom", 40))]
    assert kinds(other) == [["paragraph", "paragraph"]] * 2


def test_one_page_alone_loses_nothing_but_its_number():
    assert kinds([make_page(1, line("Report", 30), line("- 1 -", 770))]) == [["paragraph", "paragraph", "page_number"]]


def test_a_number_beside_text_that_is_no_running_head_stays():
    page = make_page(1, line("7", 30, right=90.0), line("Name of the applicant", 30, left=100.0))
    assert "page_number" not in kinds([page])[0]


def test_a_number_within_the_page_stays():
    assert kinds([make_page(1, line("42", 400), body=False)]) == [["paragraph"]]


@pytest.mark.parametrize("text", ["3", "xiv", "- 3 -", "Page 3 of 7", "p. 12", "[9]", "3/7", "IV", "— 17 —", "S. 4"])
def test_page_numbers(text):
    assert is_page_number(text)


@pytest.mark.parametrize(
    "text", ["", "-", "12345", "3 apples", "mix", "Page", "vivid", "3.14", "12 May", "page x of war"]
)
def test_no_page_numbers(text):
    assert not is_page_number(text)


def test_pages_without_size_or_blocks_are_left_alone():
    pages = (PageResult(1, "failed", error="x"), PageResult(2, "blank", width=612, height=792))
    assert mark_furniture(pages) == pages


def test_a_long_document_takes_no_longer_a_page():
    pages = [
        make_page(n, line(f"Some first line about {BODY[n % 5]} {n % 7}", 40), line(str(n), 770)) for n in range(3000)
    ]
    started = time.perf_counter()
    mark_furniture(pages)
    assert time.perf_counter() - started < 5
