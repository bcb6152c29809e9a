from __future__ import annotations

import time

import pytest
from markup_samples import MANUAL, PAPER, TWO_TABLES

from ocrpress.layout.grounding import MOST_BOXES, Grounded, read_boxes, read_grounding
from ocrpress.layout.labels import role_of, title_level


def labels(text):
    return [element.label for element in read_grounding(text)]


def test_the_tags_of_deepseek_ocr():
    text = (
        "<|ref|>title<|/ref|><|det|>[[10, 20, 900, 40]]<|/det|>\n# A title  \n\n"
        "<|ref|>image<|/ref|><|det|>[[1,2,3,4]]<|/det|>\n \n"
    )
    assert read_grounding(text) == (
        Grounded("title", ((10, 20, 900, 40),), "# A title"),
        Grounded("image", ((1, 2, 3, 4),), ""),
    )


def test_the_tags_of_unlimited_ocr():
    text = "<PAGE><|det|>text [1, 2, 3, 4]<|/det|>one\ntwo\n<|det|>page_number [490,950,510,970]<|/det|>7"
    assert read_grounding(text) == (
        Grounded("text", ((1, 2, 3, 4),), "one\ntwo"),
        Grounded("page_number", ((490, 950, 510, 970),), "7"),
    )


def test_labels_without_tags_as_servers_leave_them_that_drop_special_tokens():
    text = "title[[10, 20, 900, 40]]\n# A title\n\ntext[[1, 2, 3, 4], [5, 6, 7, 8]]\nsee text [1, 2]."
    assert read_grounding(text) == (
        Grounded("title", ((10, 20, 900, 40),), "# A title"),
        Grounded("text", ((1, 2, 3, 4), (5, 6, 7, 8)), "see text [1, 2]."),
    )
    assert labels("Prose first.\ntext[[1, 2, 3, 4]] is an index") == [""]


def test_text_before_the_first_label_is_an_element_of_its_own():
    assert read_grounding("Hello\n<|ref|>text<|/ref|><|det|>[[1, 2, 3, 4]]<|/det|>there")[0] == Grounded(
        "", (), "Hello"
    )
    assert read_grounding("only **text**") == (Grounded("", (), "only **text**"),)
    assert read_grounding(" \n ") == ()


@pytest.mark.parametrize(
    ("body", "boxes"),
    [
        ("[[1, 2, 3, 4]]", [(1, 2, 3, 4)]),
        ("[[1,2,3,4],[5,6,7,8]]", [(1, 2, 3, 4), (5, 6, 7, 8)]),
        ("[[[1, 2, 3, 4]]]", [(1, 2, 3, 4)]),
        ("[[1, 2, 3, 4, 5, 6, 7, 8]]", [(1, 2, 3, 4), (5, 6, 7, 8)]),
        ("[1, 2, 3], [5, 6, 7, 8]", [(5, 6, 7, 8)]),
        ("1 2 3 4", [(1, 2, 3, 4)]),
        ("((1, 2), (3, 4))", [(1, 2, 3, 4)]),
        ("[[1, 2], [3, 4]]", [(1, 2, 3, 4)]),
        ("[[1.6, 2.4, 30.5, 4]]", [(2, 2, 30, 4)]),
        ("[[30, 40, 10, 20]]", [(10, 20, 30, 40)]),
        ("[[-5, 0, 1000, 99999999999999999999]]", [(0, 0, 999, 999)]),
        ("[[5, 5, 5, 9]] [[1, 2, 3, 4]]", [(1, 2, 3, 4)]),
        ("[[1, 2, 3, 4], [1, 2, 3, 4]]", [(1, 2, 3, 4)]),
        ("[[]]", []),
        ("[not, numbers]", []),
        ("", []),
    ],
)
def test_boxes_of_every_form(body, boxes):
    assert list(read_boxes(body)) == boxes


def test_a_number_longer_than_python_converts_is_no_error():
    assert read_boxes(f"[[1, 2, {'9' * 10_000}, 4]]") == ((1, 2, 999, 4),)


def test_the_boxes_of_a_loop_are_bounded():
    assert len(read_boxes("[" + ",".join(f"[{n % 900}, 1, 990, {n}]" for n in range(2, 900)) + "]")) == MOST_BOXES


@pytest.mark.parametrize("sample", [PAPER, MANUAL, TWO_TABLES])
def test_an_answer_cut_off_anywhere_gives_the_elements_before_unchanged(sample):
    whole = read_grounding(sample)
    for end in range(len(sample)):
        cut = read_grounding(sample[:end])
        assert cut[:-1] == whole[: max(0, len(cut) - 1)], sample[:end][-40:]
        if cut:
            last, full = cut[-1], whole[len(cut) - 1]
            assert full.text.startswith(last.text.rstrip("\\"))
            assert set(last.boxes) <= set(full.boxes)
            assert full.label.startswith(last.label)


def test_an_element_that_breaks_off_in_its_tags_says_so():
    for cut in ("<|ref|>tab", "<|ref|>table<|/re", "<|ref|>table<|/ref|>", "<|ref|>table<|/ref|><|det|>[[12, 3"):
        assert [element.truncated for element in read_grounding(f"before\n{cut}")] == [False, True]
    boxes = "<|ref|>cat<|/ref|><|det|>[[1, 2, 3, 4], [5, 6, 7, 99"
    assert read_grounding(boxes) == (Grounded("cat", ((1, 2, 3, 4),), "", truncated=True),)


@pytest.mark.parametrize(
    "text",
    [
        "<|ref|>text<|det|>[[1, 2, 3, 4]]<|/det|>body",
        "<|ref|>text<|/ref|><|det|>[[1, 2, 3, 4]]body",
        "<|ref|>text<|/ref|><|det|>[[1, 2, 3, 4] body",
        "<|ref|>text<|/ref|> \n<|det|> [1, 2, 3, 4] <|/det|>body",
        "<|ref|>text<|/ref><|det|>[[1, 2, 3, 4]]<|/det>body",
        "<|det|>text [1, 2, 3, 4]body",
        "<|ref|>text<|/ref|><|det|>text [1, 2, 3, 4]<|/det|>body",
    ],
)
def test_tags_that_are_missing_or_torn(text):
    assert read_grounding(text) == (Grounded("text", ((1, 2, 3, 4),), "body"),)


def test_words_in_a_tag_without_boxes_are_text():
    text = "<|det|>text [1, 2, 3, 4]<|/det|><|ref|>Invoice 100<|/ref|>\ntotal <|ref|>9<|/ref|>"
    assert [element.text for element in read_grounding(text)] == ["Invoice 100\ntotal 9"]
    assert [element.text for element in read_grounding("<|det|>malformed text hello")] == ["malformed text hello"]


def test_a_tag_that_is_never_closed_does_not_swallow_the_text():
    body = ("word " * 100).strip()
    assert [element.text for element in read_grounding(f"<|ref|>{body}")] == [body]
    assert [element.text for element in read_grounding(f"<|det|>[[1, 2, 3, 4]]\n{body}\n\n{body}<|/det|>")] == [
        f"{body}\n\n{body}"
    ]


def test_special_tokens_are_dropped_also_in_halves():
    text = "<|grounding|><image>\nHello<｜end▁of▁sentence｜><｜▁pad▁｜><｜▁pad"
    assert read_grounding(text) == (Grounded("", (), "Hello"),)
    for half in ("<|", "<|re", "<｜end▁of", "<ima", "<|/de", "<"):
        assert read_grounding(f"Hello{half}") == (Grounded("", (), "Hello"),)
    assert read_grounding("one<PAGE>two")[0].text == "one\n\ntwo"


def test_labels_are_known_however_they_are_written():
    assert role_of("Sub Title") == role_of(" sub-title ") == role_of("SUB_TITLE") == "heading"
    assert (role_of("image caption"), role_of("chart"), role_of("page_number")) == ("caption", "figure", "page_number")
    assert (role_of("nonsense"), role_of("")) == (None, None)
    assert (title_level("Title"), title_level("sub_title")) == (1, 2)


@pytest.mark.parametrize(
    "unit", ["<|ref|>", "<|det|>", "[[[[", "<|/ref|><|det|>", "<|det|>[[1,", "<|ref|>a<|/ref|>", "<｜"]
)
def test_reading_is_linear(unit):
    def seconds(size):
        started = time.process_time()
        read_grounding(unit * (size // len(unit)))
        return time.process_time() - started

    assert seconds(400_000) < max(8 * seconds(100_000), 1.0)
