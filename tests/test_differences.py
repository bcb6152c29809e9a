"""Differences between what was read and the truth: complete, small where little was misread, quick on long pages."""

from __future__ import annotations

import random
import time
from itertools import pairwise

import pytest

from ocrpress.measure import differences as module
from ocrpress.measure.accuracy import fold
from ocrpress.measure.differences import Piece, differences


def joined(pieces: list[Piece]) -> tuple[str, str]:
    return "".join(piece.read for piece in pieces), "".join(piece.truth for piece in pieces)


def test_a_misread_letter_is_all_that_is_marked():
    assert differences("The qu1ck fox", "The quick\nfox") == [
        Piece("same", "The qu", "The qu"),
        Piece("replaced", "i", "1"),
        Piece("same", "ck fox ", "ck fox "),
    ]


def test_words_that_are_missing_added_or_others():
    assert differences("one three four", "one two three four") == [
        Piece("same", "one ", "one "), Piece("missing", "two ", ""), Piece("same", "three four ", "three four "),
    ]  # fmt: skip
    assert differences("one and two", "one two")[1] == Piece("added", "", "and ")
    assert differences("one zebra two", "one hippo two")[1] == Piece("replaced", "hippo ", "zebra ")


def test_words_run_together_lack_a_space():
    found = differences("the quickfox runs", "the quick fox runs")
    assert [piece for piece in found if piece.kind != "same"] == [Piece("missing", " ", "")]


def test_what_is_no_error_is_no_difference():
    for read, truth in (
        ("a  b\n\nc", "a b c"), ("cafe\u0301", "caf\u00e9"), ("Index ........ 12", "Index . . . . . . 12"),
        ("中 文\n字", "中文字"),
    ):  # fmt: skip
        assert {piece.kind for piece in differences(read, truth)} == {"same"}


def test_a_script_without_spaces_is_compared_by_its_characters():
    found = differences("我们的新方洪很好", "我们的新方法很好")
    assert [piece for piece in found if piece.kind != "same"] == [Piece("replaced", "法", "洪")]


def test_empty_texts():
    assert differences("", " \n") == []
    assert differences("", "a b") == [Piece("missing", "a b ", "")]
    assert differences("a b", "") == [Piece("added", "", "a b ")]


@pytest.mark.parametrize("searched", [20_000**2, 0])
def test_joined_the_pieces_are_both_texts(monkeypatch, searched):
    monkeypatch.setattr(module, "SEARCHED", searched)
    chance = random.Random(5)
    words = ["ink", "light", "paper", "the", "of", "中文", "é", "x", "modern", "modem", "....."]
    for _ in range(300):
        truth = chance.choices(words, k=chance.randrange(12))
        read = [word for word in truth if chance.random() < 0.7] + chance.choices(words, k=chance.randrange(3))
        if chance.random() < 0.3:
            chance.shuffle(read)
        left, right = chance.choice([" ", "\n "]).join(read), " ".join(truth)
        found = differences(left, right)
        assert joined(found) == tuple(f"{fold(text)} " if fold(text) else "" for text in (left, right))
        for piece in found:
            assert {"missing": not piece.read, "added": not piece.truth}.get(piece.kind, piece.read and piece.truth)
            if piece.kind == "same":
                assert piece.read.split() == piece.truth.split()
        assert all(one.kind != other.kind for one, other in pairwise(found))


def test_long_pages_take_no_time():
    chance = random.Random(1)
    vocabulary = ["".join(chance.choices("abcdefghij", k=chance.randint(2, 9))) for _ in range(3000)]
    truth = " ".join(chance.choices(vocabulary, k=15_500))
    read = "".join(chance.choice("abcdefghij ") if chance.random() < 0.1 else char for char in truth)
    assert len(truth) > 100_000
    started = time.process_time()
    for other in (read, " ".join(chance.sample(truth.split(), 15_500)), "x" * 100_000):
        assert differences(other, truth)
    assert time.process_time() - started < 5
