"""Every measure against an independent computation, by plain dynamic programming: recorded readings, random texts."""

from __future__ import annotations

import json
import math
import random
import time
from dataclasses import asdict
from fractions import Fraction
from pathlib import Path

import pytest

from ocrpress.document import Block, PageResult
from ocrpress.measure.accuracy import Score, compared_text, edit_distance, fold, score, words

PAIRS = json.loads((Path(__file__).parent / "data" / "scores.json").read_text(encoding="utf-8"))
SHARES = [name for name in Score.__annotations__ if name.endswith(("precision", "recall", "f1"))]
ALPHABET = "ab é中.\n"


# The independent computation


def edits(one, other):
    """The textbook's whole table (Wagner and Fischer, 1974)."""
    table = [list(range(len(other) + 1))]
    for row, item in enumerate(one, 1):
        above = table[-1]
        line = [row]
        for column, against in enumerate(other, 1):
            line.append(min(above[column] + 1, line[-1] + 1, above[column - 1] + (item != against)))
        table.append(line)
    return table[-1][-1]


def longest_common(one, other):
    table = [[0] * (len(other) + 1)]
    for item in one:
        above, line = table[-1], [0]
        for column, against in enumerate(other, 1):
            line.append(above[column - 1] + 1 if item == against else max(above[column], line[-1]))
        table.append(line)
    return table[-1][-1]


def common_one_by_one(one, other):
    left = list(other)
    found = 0
    for item in one:
        if item in left:
            left.remove(item)
            found += 1
    return found


def shares(common, read, truth):
    if not read and not truth:
        return 1, 1, 1
    precision = Fraction(common, read) if read else Fraction(0)
    recall = Fraction(common, truth) if truth else Fraction(0)
    both = precision + recall
    return precision, recall, 2 * precision * recall / both if both else Fraction(0)


def rate(errors, length):
    return Fraction(errors, length) if length else Fraction(1 if errors else 0)


def expected_score(read, truth, read_words, true_words):
    distance = edits(read, truth)
    counts = len(read_words), len(true_words)
    known = {word for word in read_words if word in true_words}
    figures = [
        rate(distance, max(len(read), len(truth))),
        rate(distance, len(truth)),
        rate(edits(read_words, true_words), len(true_words)),
        *shares(common_one_by_one(read_words, true_words), *counts),
        *shares(longest_common(read_words, true_words), *counts),
        shares(len(known), len(set(read_words)), len(true_words))[0],
        len(truth),
        len(read),
    ]
    return dict(zip(Score.__annotations__, figures, strict=True))


# Recorded readings


@pytest.mark.parametrize("pair", PAIRS, ids=lambda pair: pair["name"])
def test_every_measure_equals_an_independent_computation(pair):
    read = pair.get("read_folded", " ".join(pair["read"].split()))
    truth = " ".join(pair["truth"].split())
    expected = expected_score(read, truth, pair.get("read_words", read.split()), pair.get("true_words", truth.split()))
    assert asdict(score(pair["read"], pair["truth"])) == pytest.approx({k: float(v) for k, v in expected.items()})
    assert edit_distance(pair["read"], pair["truth"]) == pytest.approx(float(expected["edit_distance"]))


@pytest.mark.parametrize("pair", [p for p in PAIRS if "expected" in p], ids=lambda pair: pair["name"])
def test_measures_are_those_computed_by_hand(pair):
    found = asdict(score(pair["read"], pair["truth"]))
    by_hand = {name: float(Fraction(value)) for name, value in pair["expected"].items() if value is not None}
    assert {name: found[name] for name in by_hand} == pytest.approx(by_hand)


def test_all_kinds_of_trouble_are_among_the_recorded():
    found = [asdict(score(pair["read"], pair["truth"])) for pair in PAIRS]
    assert len(found) >= 12
    assert any(one["character_error_rate"] > 1 for one in found)
    assert any(one["set_precision"] == 1 and one["word_recall"] < 0.5 for one in found)
    assert any(one["word_f1"] == 1 and one["ordered_f1"] < 0.6 for one in found)


# Random texts


def random_text(chance, longest=40):
    return "".join(chance.choice(ALPHABET) for _ in range(chance.randint(0, longest)))


def test_random_texts_have_the_independent_score():
    chance = random.Random(5)
    for _ in range(300):
        read, truth = random_text(chance), random_text(chance)
        one, other = fold(read), fold(truth)
        expected = expected_score(one, other, words(one), words(other))
        assert asdict(score(read, truth)) == pytest.approx({k: float(v) for k, v in expected.items()}), (read, truth)


def test_no_text_whatever_gives_a_figure_out_of_range():
    chance = random.Random(6)
    strange = ["", " ", "\x00", "\ud800", "\u3000", "....", "\u00ad", "\u200b", "e\u0301", "\U0010ffff", "中" * 50]
    texts = strange + [random_text(chance) for _ in range(20)]
    for read in texts:
        for truth in texts:
            found = asdict(score(read, truth))
            assert all(math.isfinite(value) and value >= 0 for value in found.values()), (read, truth)
            assert all(found[name] <= 1 for name in [*SHARES, "edit_distance"]), (read, truth)
            assert score(read, read) == Score(0, 0, 0, 1, 1, 1, 1, 1, 1, 1, found["read_characters"], len(fold(read)))


def test_the_edit_distance_is_symmetric_and_the_shares_change_places():
    chance = random.Random(7)
    for _ in range(200):
        one, other = random_text(chance), random_text(chance)
        assert edit_distance(one, other) == edit_distance(other, one)
        there, back = score(one, other), score(other, one)
        assert (there.word_precision, there.word_recall, there.word_f1) == (
            back.word_recall, back.word_precision, back.word_f1,
        )  # fmt: skip
        assert (there.ordered_precision, there.ordered_f1) == (back.ordered_recall, back.ordered_f1)


@pytest.mark.parametrize("kind", ["exchanged", "left out", "put in"])
def test_a_known_number_of_edits_is_found(kind):
    chance = random.Random(8)
    truth = "".join(chance.choice("abcdefgh") for _ in range(4000))
    for count in (0, 1, 37, 900):
        read = list(truth)
        for place in sorted(chance.sample(range(len(truth)), count), reverse=True):
            read[place : place + (kind != "put in")] = [] if kind == "left out" else "#"
        found = score("".join(read), truth)
        assert found.character_error_rate == pytest.approx(count / 4000)
        assert found.edit_distance == pytest.approx(count / max(4000, len(read)))


@pytest.mark.parametrize("kind", ["exchanged", "left out", "put in"])
def test_a_known_number_of_wrong_words_is_found(kind):
    chance = random.Random(9)
    truth = [chance.choice(["the", "law", "of", "ships", "and"]) for _ in range(800)]
    for count in (0, 1, 80, 400):
        read = list(truth)
        for place in sorted(chance.sample(range(len(truth)), count), reverse=True):
            read[place : place + (kind != "put in")] = [] if kind == "left out" else ["wrong"]
        found = score(" ".join(read), " ".join(truth))
        right = 800 - count * (kind != "put in")
        assert found.word_error_rate == pytest.approx(count / 800)
        assert (found.word_precision, found.ordered_precision) == pytest.approx((right / len(read),) * 2)
        assert (found.word_recall, found.ordered_recall) == pytest.approx((right / 800,) * 2)
        assert found.set_precision == pytest.approx(5 / 6 if count and kind != "left out" else 1)


# What is compared


@pytest.mark.parametrize(
    ("text", "folded"),
    [
        (" one\n\n two\tthree\r\n", "one two three"),
        ("no\u00a0break\u2003em\u3000wide", "no break em wide"),
        ("Chapter 1 ........ 7\nChapter 2 . . . . . . 9", "Chapter 1 7 Chapter 2 9"),
        ("and so on... Next", "and so on... Next"),
        ("e\u0301 A\u030a \u212b", "é Å Å"),
        ("ﬁn x² ½ ＡＢ “q” – soft\u00adhyphen", "ﬁn x² ½ ＡＢ “q” – soft\u00adhyphen"),
        ("第一行。\n第二行 mixed 文", "第一行。第二行 mixed 文"),
        ("한국어 글자", "한국어 글자"),
        ("", ""),
    ],
)
def test_folding_makes_equal_what_the_page_does_not_tell_apart(text, folded):
    assert fold(text) == folded
    assert fold(folded) == folded


def test_folding_twice_is_folding_once():
    chance = random.Random(10)
    for _ in range(500):
        text = random_text(chance) + chance.choice(["", " . . . .\n. .", "\u0301", "中\n\n文"])
        assert fold(fold(text)) == fold(text)


def test_words_are_runs_between_spaces_and_single_ideographs():
    assert words(fold("It's 3.5 km,\nnot 多少 miles-long。")) == [
        "It's",
        "3.5",
        "km,",
        "not",
        "多",
        "少",
        "miles-long",
        "。",
    ]


def test_the_compared_text_of_a_page_keeps_its_running_heads():
    box = (0, 0, 1, 1)
    blocks = (
        Block("header", "HEAD", box), Block("paragraph", "some **bold** text", box, markup=True),
        Block("table", "", box, rows=(("a", "b"), ("c", "d"))), Block("page_number", "7", box),
    )  # fmt: skip
    assert fold(compared_text(PageResult(1, "ok", blocks))) == "HEAD some bold text a b c d 7"
    assert compared_text(PageResult(1, "failed", error="no answer")) == ""


# Speed


@pytest.mark.parametrize("letters", ["abcdefghijklmnopqrstuvwxyz    ", "абвгдежзийклмнопрстуфхцчшщ    "])
def test_a_hundred_thousand_wholly_different_characters_are_scored_in_seconds(letters):
    chance = random.Random(11)
    read, truth = ("".join(chance.choices(letters, k=100_000)) for _ in range(2))
    started = time.perf_counter()
    found = score(read, truth)
    assert time.perf_counter() - started < 10  # 0.8 on one free core; a plain table would need an hour
    assert 0.5 < found.edit_distance < 1
