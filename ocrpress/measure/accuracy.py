"""How much of a page's text was read: distances and shares between what was read and the truth.

    PageResult ──compared_text──▶ read ─┐
                                        ├─fold─▶ characters, words ──▶ Score
                                truth ──┘

Knows pages as text alone: nothing of engines, files, tokens or buckets.

A *word* is a run of characters between white space, with its punctuation and in its own case, as in the evaluation
that Fox and its successors publish. A character of a script that sets no spaces between words (Han, kana, and their
punctuation) is a word by itself: word segmentation would measure the segmenter too. Scripts without spaces beyond those
(Thai, Khmer, …) have words as long as their phrases: look at the character measures there.
"""

from __future__ import annotations

import re
import unicodedata
from collections import Counter
from collections.abc import Hashable, Sequence
from dataclasses import dataclass

from rapidfuzz.distance import LCSseq, Levenshtein

from ocrpress.document import PageResult, block_text
from ocrpress.layout.joining import SPACELESS

_LEADER = re.compile(r"(?:\s?\.){4,}")
_SET_WITHOUT = SPACELESS.pattern
_LINE_END = re.compile(f"(?<={_SET_WITHOUT}) (?={_SET_WITHOUT})")
_WORD = re.compile(rf"{_SET_WITHOUT}|[^\s{_SET_WITHOUT[1:-1]}]+")


@dataclass(frozen=True)
class Score:
    """What was read of a page, beside its true text. Both are folded first (`fold`).

    Every figure is a number for every pair of texts. Where both are empty all is right: distances and rates are 0,
    shares are 1. Where one is empty a share of it would be 0/0: it is 0, so that an engine that says nothing gets no
    precision for it; an error rate against an empty truth is 1 if anything was read.

    Attributes:
        edit_distance: 0 (equal) to 1. Levenshtein distance of the characters / length of the longer text. The figure
            of the Fox benchmark (Liu et al., arXiv 2405.14295, section 4) and of the DeepSeek-OCR paper.
        character_error_rate: 0 and up, above 1 where much was read that is not there. Levenshtein distance of the
            characters / length of the truth (Rice, Jenkins and Nartker, ISRI Annual Test of OCR Accuracy, 1996, whose
            accuracy is 1 minus this).
        word_error_rate: 0 and up. Levenshtein distance of the words / words of the truth, as in speech recognition
            (NIST sclite).
        word_precision, word_recall, word_f1: 0 to 1. Words in common, as multisets (a word that stands three times
            must be read three times), / words read; / words of the truth; harmonic mean of the two. The bag-of-words
            measure of page recognition (Pletschacher, Clausner and Antonacopoulos, HIP 2015): order is free.
        ordered_precision, ordered_recall, ordered_f1: 0 to 1. The longest common subsequence of the words / words
            read; / words of the truth; harmonic mean (ROUGE-L with β = 1, Lin 2004): order counts.
        set_precision: 0 to 1. |different words read ∩ different words of the truth| / |different words read|, the
            precision of the published table (DeepSeek-OCR, arXiv 2510.18234, table 2, by the evaluation of Fox).
            Order, repetition and omission are free: a page of which one right word was read has 1.
        characters, read_characters: of the truth and of what was read, folded.
    """

    edit_distance: float
    character_error_rate: float
    word_error_rate: float
    word_precision: float
    word_recall: float
    word_f1: float
    ordered_precision: float
    ordered_recall: float
    ordered_f1: float
    set_precision: float
    characters: int
    read_characters: int


def score(read: str, truth: str) -> Score:
    """All measures: 5 ms for a page of 4,000 characters; a second for 100,000 that differ wholly, for Han several."""
    read, truth = fold(read), fold(truth)
    distance = _distance(read, truth)
    read_words, true_words = _coded(words(read), words(truth))
    common = Counter(read_words) & Counter(true_words)
    different = set(read_words)
    return Score(
        _rate(distance, max(len(read), len(truth))),
        _rate(distance, len(truth)),
        _rate(Levenshtein.distance(read_words, true_words), len(true_words)),
        *_shares(common.total(), len(read_words), len(true_words)),
        *_shares(LCSseq.similarity(read_words, true_words), len(read_words), len(true_words)),
        _shares(len(different & set(true_words)), len(different), len(true_words))[0],
        len(truth),
        len(read),
    )


def edit_distance(read: str, truth: str) -> float:
    """Levenshtein distance of the folded texts / length of the longer: 0 (equal, or both empty) to 1."""
    one, other = fold(read), fold(truth)
    return _rate(_distance(one, other), max(len(one), len(other)))


def fold(text: str) -> str:
    """The text as it is compared: what differs here but not on the page is made equal, and nothing else.

    - White space: every run is one space, none at the ends. Where lines end is the page's business. Between two
      characters of a script without spaces it goes altogether: there it is nothing but the end of a line.
    - Rows of four dots or more that lead to a page number are one space: how many dots fill a line is chance.
    - Canonical equivalents are one text by Unicode's own definition (form NFC; UAX #15): é, and e with a combining
      accent, are drawn alike.

    What the published definition counts stays: case, punctuation, kinds of quotes and dashes, hyphens at line ends,
    and compatibility characters (ﬁ, ², ½, full-width letters: no NFKC). Some true texts have the ligature ﬁ where an
    engine reads fi; that costs every engine the same, and figures stay comparable with published ones.
    """
    spaced = " ".join(unicodedata.normalize("NFC", text).split())
    return _LINE_END.sub("", _LEADER.sub(" ", spaced).replace("  ", " ").strip())


def words(folded: str) -> list[str]:
    """The words of a folded text, in order; see the head of this file."""
    return _WORD.findall(folded)


def compared_text(page: PageResult) -> str:
    """A page's text as it is compared: with running heads and page numbers, since true texts have what was printed."""
    return "\n\n".join(block_text(block) for block in page.blocks)


def _distance(one: str, other: str) -> int:
    return Levenshtein.distance(*_coded(one, other))


def _coded(one: Sequence[Hashable], other: Sequence[Hashable]) -> tuple[list[int], list[int]]:
    """Two sequences with numbers for items, small ones for frequent items: rapidfuzz is fast for those below 256."""
    counts = Counter(one)
    counts.update(other)
    codes = {item: code for code, (item, _) in enumerate(counts.most_common())}
    return [codes[item] for item in one], [codes[item] for item in other]


def _rate(errors: int, length: int) -> float:
    return errors / length if length else float(errors > 0)


def _shares(common: int, read: int, truth: int) -> tuple[float, float, float]:
    """Precision, recall and their harmonic mean."""
    if not read and not truth:
        return 1.0, 1.0, 1.0
    return common / read if read else 0.0, common / truth if truth else 0.0, 2 * common / (read + truth)
