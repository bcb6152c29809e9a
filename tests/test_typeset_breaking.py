"""Where lines may end: the quick way against the whole algorithm."""

from __future__ import annotations

import random

import pytest
from uniseg.linebreak import line_break_boundaries, line_break_units

from ocrpress.typeset.breaking import Piece, breaks, clusters, pieces

ASCII = "aB19.,:;-/!?()[]{}$%+\\|\"'#=é"
OTHERS = [
    "a", "a", "1", "-", "—", "–", "“", "”", "’", "«", "»", "…", "。", "，", "「", "」", "汉", "字", "か", "ゃ", "ー",
    "한", "국", "é", "ж", "/", "(", ")", "\u00a0", "%", "€", "!", "\u0301", "\u200d", "א", "ب", "ب\u064e", "ก\u0e31",
    "👍", "\u00ad", "\u200b", "ไ", "\u2060",
]  # fmt: skip


def whole(text):
    return [place for place in line_break_boundaries(text) if 0 < place < len(text)]


@pytest.mark.parametrize(("alphabet", "count", "seed"), [(list(ASCII), 1000, 1), (OTHERS, 400, 2)])
def test_breaks_inside_words_are_those_of_the_unicode_algorithm(alphabet, count, seed):
    chance = random.Random(seed)
    for _ in range(count):
        word = "".join(chance.choices(alphabet, k=chance.randint(2, 7)))
        assert breaks(word) == whole(word), repr(word)


def test_breaks_between_words_are_those_of_the_unicode_algorithm():
    chance = random.Random(3)
    # Next to a space, what is invisible and used up is no word's end.
    alphabet = [character for character in [*OTHERS, *ASCII] if character not in "\u00ad\u200b"]
    for _ in range(500):
        text = " ".join("".join(chance.choices(alphabet, k=chance.randint(1, 4))) for _ in range(3))
        expected = [unit.rstrip(" ") for unit in line_break_units(text)]
        assert [piece.text for piece in pieces(text)] == expected, repr(text)


def test_prose_breaks_as_the_unicode_algorithm_has_it():
    text = (
        "It is well-known (and/or believed) that “smart quotes”, e.g. in the author’s 3.5% of $20 — or 1,000,000 — "
        "cost nothing... 'Is it?' he asked; see http://example.org/a-b/c?d=e&f=g, pp. 12–15, [x] or {y}. Naïve élan!"
    )
    assert [piece.text for piece in pieces(text)] == [unit.rstrip() for unit in line_break_units(text)]


def test_a_long_word_is_looked_at_in_linear_time():
    assert len(breaks("ab/cd12+-" * 20_000)) == len(breaks("ab/cd12+-" * 10_000)) * 2 + 1
    assert breaks("é" * 100_000 + "—" + "x" * 100_000) == [100_000, 100_001]
    assert len(breaks("汉字" * 50_000)) == 99_999
    assert breaks("a" + "\u0301" * 50_000 + "-b") == [50_002]
    assert len(clusters("a" + "\u0301" * 50_000 + "b")) == 2
    assert "".join(clusters("ש" + "\u05b0" * 20_000)) == "ש" + "\u05b0" * 20_000
    assert breaks("ש" + "\u05b0" * 20_000 + "-b") == []


def test_kinsoku_keeps_closing_marks_and_small_kana_off_the_beginning_of_a_line():
    assert [piece.text for piece in pieces("汉字，看「书」。きゃー")] == ["汉", "字，", "看", "「书」。", "きゃー"]


def test_soft_hyphens_and_zero_width_spaces_are_used_up():
    assert pieces("ex\u00adam\u200bple end") == [Piece("ex", 0, True), Piece("am", 0), Piece("ple", 1), Piece("end", 0)]
    assert pieces("\u00ad \u200b a") == [Piece("a", 0)]


def test_spaces_are_one_unless_they_are_kept():
    assert pieces("  a   b  ") == [Piece("a", 1), Piece("b", 0)]
    assert pieces("  a   b  ", kept_spaces=True) == [Piece("", 2), Piece("a", 3), Piece("b", 2)]


def test_a_mark_that_may_not_begin_a_line_stays_with_the_word_before_its_space():
    assert [piece.text for piece in pieces("wait ! ( a )")] == ["wait !", "( a )"]


def test_many_such_marks_do_not_make_one_endless_piece():
    found = pieces("! " * 20_000)
    assert max(len(piece.text) for piece in found) < 300
    assert " ".join(piece.text for piece in found) == ("! " * 20_000).strip()


def test_clusters_hold_marks_and_joined_emoji_together():
    assert clusters("e\u0301a👩\u200d👧") == ["e\u0301", "a", "👩\u200d👧"]
