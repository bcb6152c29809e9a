"""Where a model's answer begins to repeat itself. Knows text only: no tokens, no pages.

A loop is a stretch of text that equals itself shifted by its period, word for word or but for numbers that count up
evenly; or a stretch in which hardly anything is new, as a model writes it whose n-gram rule forbids it the exact
repetition. Real pages repeat themselves too (leaders of dots, empty cells, rows that say the same, forms): how often
is too often depends on how much is said each time, and on whether the model stopped by itself.

Time grows as n log n with the length of the text: candidates for the period are the distances between equal runs of
`GRAM` characters, found by sorting.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Numbers = npt.NDArray[np.int64]
Codes = npt.NDArray[np.uint64]

GRAM = 12  # characters by which equal places of a text are found
WINDOW = 2000  # characters; the usual distances of every such stretch are candidates
MOST_WINDOWS = 40  # of a long text, which has longer ones
CANDIDATES = 4  # a stretch
FEWEST_EQUAL = 16  # grams at the same distance that make it one
LONGEST_RUNS = 6  # of one period that are looked at
LAST_CHARACTERS = 3  # that may differ at the end of a text that was cut off in the middle of a character

TAG = re.compile(r"<[^<>]{0,80}>")
NUMBER = re.compile(r"\d+")
WORD = re.compile(r"(?<!\w)[^\W\d_]+(?!\w)")
IDEOGRAPH = re.compile(r"[\u3040-\u30ff\u3400-\u9fff\uac00-\ud7a3]")
IDEOGRAPH_LETTERS = 3  # one says about as much as so many letters
CELL = re.compile(r"<t[dr]|(?<!<)\|(?!>)|\t")

# What is said each time, in letters of whole words: a paragraph, a line, a word or two, or nothing (dots, cells).
PARAGRAPH, LINE = 200, 20
EVEN_STEPS = 0.8  # share of equal steps by which numbers count up rather than being data

# Stretches in which hardly anything is new.
STALE_GRAM = 16
STALE_LETTERS = 10  # of a gram, below which it says nothing either way
STALE_REACH = 4000  # characters back within which a gram is no news
STALE_GAIN, FRESH_LOSS = 2, 3  # a stretch counts as long as more than 3 of 5 grams are stale
STALE_ENDED, STALE_CUT = 5000, 1000  # score from which such a stretch is a loop
STALE_BEFORE = 1000  # characters before an exact loop; nearer, the exact one says better where it begins
CELLS_APART = 60  # characters a cell, below which a stretch is a table


@dataclass(frozen=True)
class Loop:
    """A stretch of text that repeats.

    Attributes:
        kept: characters before the first repetition; what stands there is said for the first time.
        period: characters after which it repeats; 0 where it does not do so exactly.
        copies: how often the period stands there.
        sample: what is repeated, its beginning.
    """

    kept: int
    period: int
    copies: int
    sample: str

    def __str__(self) -> str:
        """For messages."""
        shown = " ".join(self.sample.split())
        shown = f"'{shown[:30]}{'…' * (len(shown) > 30)}'"
        if self.period:
            return f"{shown} {self.copies} times over"
        return f"variations of {shown}"


@dataclass(frozen=True)
class Text:
    """A text with its runs of digits made one zero each, or as it is.

    Attributes:
        places: of each character (and of the end) in the original.
        digits: where in `codes` the zeros that stand for numbers are, and their numbers.
    """

    text: str
    codes: Codes
    places: Numbers
    digits: Numbers
    numbers: tuple[str, ...]


def find_loop(text: str, ended: bool = True) -> Loop | None:
    """The first loop of a text, or None.

    Args:
        text: what a model wrote; markup and grounding may stand in it.
        ended: the model stopped by itself. If not, the end of the text is judged more severely: the answer is cut off
            anyway, and the question is only what of it to keep.
    """
    views = (_as_it_is(text), _without_digits(text))
    found = (loop for view in views for loop in _exact_loops(view, ended))
    exact = min(found, key=lambda loop: loop.kept, default=None)
    stale = _stale_stretch(text, ended)
    if exact and stale and stale.kept < exact.kept - STALE_BEFORE:
        return stale
    return exact or stale


def _as_it_is(text: str) -> Text:
    codes = np.frombuffer(text.encode("utf-32-le", "surrogatepass"), np.uint32).astype(np.uint64)
    return Text(text, codes, np.arange(len(text) + 1), np.empty(0, np.int64), ())


def _without_digits(text: str) -> Text:
    """Every number one zero, so that rows that differ in their numbers are equal."""
    spans = [found.span() for found in NUMBER.finditer(text)]
    keep = np.ones(len(text) + 1, bool)
    for start, end in spans:
        keep[start + 1 : end] = False
    places = np.flatnonzero(keep)
    starts = np.array([start for start, _ in spans], np.int64)
    codes = _as_it_is(text).codes.copy()
    codes[starts] = ord("0")
    shorter = NUMBER.sub("0", text)
    numbers = tuple(text[start:end] for start, end in spans)
    return Text(shorter, codes[places[:-1]], places, np.searchsorted(places, starts), numbers)


def _exact_loops(view: Text, ended: bool) -> Iterator[Loop]:
    for period in _periods(view.codes):
        for start, end in _runs(view.codes, period):
            counting = _counting(view, start, end, period)
            if counting is None:
                continue
            sample = view.text[start : start + period]
            at_end = not ended and end >= len(view.codes) - LAST_CHARACTERS
            if _too_often(sample, end - start, counting, at_end):
                yield Loop(int(view.places[start + period]), period, (end - start) // period, sample)


def _periods(codes: Codes) -> list[int]:
    """Distances at which text often equals what stood before, stretch by stretch."""
    back = _distances(codes, GRAM)
    found: set[int] = set()
    step = max(WINDOW, len(back) // MOST_WINDOWS)
    for start in (*range(0, len(back), step), max(0, len(back) - WINDOW // 8)):  # the last: a loop just begun
        part = back[start : start + step]
        distances, counts = np.unique(part[part > 0], return_counts=True)
        best = np.argsort(counts, kind="stable")[-CANDIDATES:]
        found.update(int(distances[index]) for index in best if counts[index] >= FEWEST_EQUAL)
    return sorted(found)


def _distances(codes: Codes, size: int) -> Numbers:
    """For every run of `size` characters, how far back the same run stands last; 0 if nowhere."""
    count = len(codes) - size + 1
    if count < 1:
        return np.empty(0, np.int64)
    sums = np.zeros(count, np.uint64)
    for shift in range(size):
        sums = sums * np.uint64(0x9E3779B97F4A7C15) + codes[shift : shift + count] + np.uint64(1)
    order = np.argsort(sums, kind="stable")
    same = sums[order[1:]] == sums[order[:-1]]
    back = np.zeros(count, np.int64)
    back[order[1:][same]] = (order[1:] - order[:-1])[same]
    return back


def _runs(codes: Codes, period: int) -> list[tuple[int, int]]:
    """The longest stretches that equal themselves shifted by the period, at least two periods long, and the last."""
    differ = np.flatnonzero(codes[period:] != codes[:-period])
    edges = np.concatenate(([-1], differ, [len(codes) - period]))
    long = np.flatnonzero(np.diff(edges) > period)
    best = long[np.argsort(np.diff(edges)[long], kind="stable")[-LONGEST_RUNS:]]
    chosen = {int(index) for index in (*best, *long[-1:])}
    return [(int(edges[index]) + 1, int(edges[index + 1]) + period) for index in sorted(chosen)]


def _counting(view: Text, start: int, end: int, period: int) -> bool | None:
    """Whether numbers in the stretch go up evenly from copy to copy; False: none changes; None: they are data."""
    first, last = np.searchsorted(view.digits, (start, end))
    slots: dict[int, list[int]] = {}
    for index in range(int(first), int(last)):
        value = view.numbers[index]
        slots.setdefault(int(view.digits[index] - start) % period, []).append(int(value[-15:]))
    counting = False
    for values in slots.values():
        steps = np.diff(values)
        if not steps.any():
            continue
        _, counts = np.unique(steps, return_counts=True)
        if counts.max() < EVEN_STEPS * len(steps):
            return None
        counting = True
    return counting


def _too_often(sample: str, length: int, counting: bool, at_end: bool) -> bool:
    """Whether a stretch of that many characters, made of copies of the sample, is no text that a page would have."""
    period = len(sample)
    copies = length / period
    letters = _letters(sample)
    cells = bool(CELL.search(sample + sample))
    if letters == 0:
        most = 200 if at_end else 1000 if period <= GRAM else 6000
        return length >= most * (3 if counting else 1)
    if letters >= PARAGRAPH:
        fewest = 2.0 if at_end else 4.0
    elif letters >= LINE:
        fewest = 3.0 if at_end else 16.0 if cells else 8.0
    else:
        fewest = 8.0 if at_end else 128.0 if cells else 32.0
    if counting:  # numbered forms and tickets are more usual than the same line again and again
        fewest *= 2 if letters >= LINE or at_end else 4
    return copies >= fewest and length >= (40 if at_end else 300)


def _letters(sample: str) -> int:
    """Letters of whole words in one period, tags left out."""
    start = max(0, sample.find("<"))
    words = TAG.sub(" ", sample[start:] + sample[:start])
    ideographs = len(IDEOGRAPH.findall(words))
    return sum(map(len, WORD.findall(words))) + (IDEOGRAPH_LETTERS - 1) * ideographs


def _stale_stretch(text: str, ended: bool) -> Loop | None:
    """The stretch of visible text in which the least is new, if it is long enough."""
    places = _visible(text)
    view = _without_digits("".join(text[place] for place in places) if len(places) < len(text) else text)
    score = np.concatenate(([0], np.cumsum(_staleness(view))))
    gains = score - np.minimum.accumulate(score)
    cut = not ended and gains[-1] >= STALE_CUT
    end = len(gains) - 1 if cut else int(gains.argmax())
    if not cut and gains[end] < STALE_ENDED:
        return None
    start = end - int(score[end::-1].argmin())  # the last of equals
    first, last = (int(places[view.places[index]]) for index in (start, end))
    if not cut and len(CELL.findall(text, first, last)) * CELLS_APART > last - first:
        return None
    return Loop(first, 0, 0, view.text[start : start + 60])


def _visible(text: str) -> Numbers:
    """Places of the characters that stand in no tag."""
    visible = np.ones(len(text), bool)
    for found in TAG.finditer(text):
        visible[found.start() : found.end()] = False
    return np.flatnonzero(visible)


def _staleness(view: Text) -> Numbers:
    """For every gram of the text what it adds to the score of the stretch it stands in."""
    back = _distances(view.codes, STALE_GRAM)
    if not len(back):
        return back
    letters = np.fromiter(map(str.isalpha, view.text), np.int64, len(view.text))
    sums = np.concatenate(([0], np.cumsum(letters)))
    rich = sums[STALE_GRAM:] - sums[:-STALE_GRAM] >= STALE_LETTERS
    stale = (back > 0) & (back <= STALE_REACH)
    return np.where(rich, np.where(stale, STALE_GAIN, -FRESH_LOSS), 0)
