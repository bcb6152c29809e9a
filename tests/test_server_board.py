"""The works that are not over: every page is wanted once, and in the end nothing is left, whoever does what when."""

from __future__ import annotations

import random
import threading
import time
from collections import Counter
from dataclasses import dataclass, field
from types import SimpleNamespace

import pytest

from ocrpress.pipeline import Options
from ocrpress.server.desk.board import Board, Counts, Given
from ocrpress.server.desk.pace import Pace
from ocrpress.server.desk.work import Work

NOTHING = Counts(0, 0, 0, 0, 0)


def work(client: str = "a", numbers: range | tuple[int, ...] | None = (1,), durable: bool = False) -> Work:
    return Work("/nowhere", "it", Options(), client, numbers, lambda told: None, durable)


def taken(board: Board) -> Given:
    given = board.take()
    assert given
    return given


@dataclass
class Reader:
    """What the desk does with a board, in a thread: takes turns, opens documents, and has their pages come."""

    board: Board
    draw: random.Random
    lengths: dict[Work, int]  # pages of works without numbers
    wanted: Counter[tuple[Work, int]] = field(default_factory=Counter)
    firsts: Counter[Work] = field(default_factory=Counter)
    ended: Counter[Work] = field(default_factory=Counter)
    dropped: list[int] = field(default_factory=list)
    held: dict[int, tuple[Work, list[int]]] = field(default_factory=dict)  # pages of a turn that are to come
    keys: dict[int, Work] = field(default_factory=dict)

    def step(self) -> bool:
        """Do something; False if nothing is to be done."""
        if self.draw.random() < 0.2:
            self.dropped += self.board.dropped()
        if len(self.held) < 8 and (given := self.board.take()):
            self.take(given)
            return True
        if not self.held:
            return False
        key = self.draw.choice(list(self.held))
        if self.draw.random() < 0.1:
            self.refuse(key)
        else:
            self.come(key)
        return True

    def take(self, given: Given) -> None:
        single = given.turn.work
        self.keys[given.key] = single
        self.firsts[single] += given.is_first
        if single.numbers is not None:
            self.held[given.key] = (single, list(given.turn.numbers))
            return
        if self.draw.random() < 0.2:
            self.held[given.key] = (single, [])  # it is refused before it is open
            self.refuse(given.key)
            return
        numbers = range(1, self.lengths[single] + 1)
        known, absent = self.board.opened(given.key, numbers)
        assert (known in (single, None), absent) == (True, [])
        self.held[given.key] = (single, list(numbers))

    def come(self, key: int) -> None:
        single, numbers = self.held[key]
        number = numbers.pop(self.draw.randrange(len(numbers)))
        if not numbers:
            del self.held[key]
        waiting, is_last = self.board.came(key, number)
        assert waiting in (single, None)
        if waiting:
            self.wanted[single, number] += 1
        if is_last:
            assert waiting
            self.ended[single] += self.board.remove(single)

    def refuse(self, key: int) -> None:
        """No more pages of this turn come."""
        single, numbers = self.held[key]
        found = self.board.missing(key)
        if found is None:
            del self.held[key]
            return
        assert found == (single, sorted(numbers))
        if not numbers:
            del self.held[key]
            self.ended[single] += self.board.remove(single)
        while key in self.held:
            self.come(key)


@pytest.mark.parametrize("seed", range(15))
def test_whatever_several_threads_do_every_page_comes_once_and_nothing_is_left(seed: int) -> None:
    draw = random.Random(seed)
    board, lock = Board(), threading.Lock()
    lengths: dict[Work, int] = {}
    cancelled: Counter[Work] = Counter()
    refused: list[Work] = []
    submitting = threading.Semaphore(0)

    def submit(number: int) -> None:
        mine, draw = [], random.Random(f"{seed} {number}")
        for _ in range(60):
            numbers = draw.choice([None, (1,), (2, 5, 9), range(1, 12), range(1, 250)])
            new = work(f"c{number % 3}", numbers, durable=draw.random() < 0.3)
            with lock:
                lengths[new] = draw.randint(1, 9)
            if board.add(new, 20):
                mine.append(new)
            else:
                assert not new.durable
                refused.append(new)
                time.sleep(0.001)
            if mine and draw.random() < 0.3:
                gone = mine.pop(draw.randrange(len(mine)))
                cancelled[gone] += board.remove(gone)
            assert board.counts().documents <= 20
        submitting.release()

    threads = [threading.Thread(target=submit, args=(number,)) for number in range(4)]
    reader = Reader(board, draw, lengths)
    for thread in threads:
        thread.start()
    end = time.monotonic() + 20
    while reader.step() or any(thread.is_alive() for thread in threads):
        assert time.monotonic() < end
    for thread in threads:
        thread.join()
    while reader.step():
        assert time.monotonic() < end
    reader.dropped += board.dropped()
    assert board.counts() == NOTHING
    assert set(reader.wanted.values()) <= {1}
    assert set(reader.firsts.values()) <= {1}
    for each in lengths:
        if each in refused:
            assert not reader.firsts[each]
            continue
        assert reader.ended[each] + cancelled[each] == 1
        if reader.ended[each] and each.numbers is not None:
            assert {number for some, number in reader.wanted if some is each} == set(each.numbers)
    assert len(set(reader.dropped)) == len(reader.dropped)
    assert all(cancelled[reader.keys[key]] or reader.ended[reader.keys[key]] for key in reader.dropped)
    assert not (board._given or board._left or board._turns.take() or board._texts.take())


def test_only_what_is_not_durable_counts_against_the_queue() -> None:
    board = Board()
    works = [work(durable=True) for _ in range(5)]
    assert all(board.add(each, 2) for each in works)
    assert [board.add(work(), 2) for _ in range(4)] == [True, True, False, False]
    assert board.counts() == Counts(2, 5, 7, 0, 1)
    assert board.remove(works[0])
    assert not board.add(work(), 2)


def test_where_pages_are_is_counted() -> None:
    board = Board()
    long, text = work("a", range(1, 201)), work("b", None)
    board.add(long, 9)
    board.add(text, 9)
    assert board.counts() == Counts(2, 0, 201, 0, 2)
    second, first = taken(board), taken(board)
    assert board.counts() == Counts(2, 0, 198, 3, 1)
    assert board.opened(first.key, [1, 2]) == (None, [])
    assert board.opened(second.key, range(1, 31)) == (text, [])
    assert board.counts() == Counts(2, 0, 198, 32, 1)
    assert board.came(first.key, 2) == (long, False)
    assert board.came(second.key, 7) == (text, False)
    assert board.counts() == Counts(2, 0, 198, 30, 1)
    assert board.remove(long)
    assert not board.remove(long)
    assert board.counts() == Counts(1, 0, 0, 30, 0)
    assert board.came(first.key, 1) == (None, False)
    assert board.missing(first.key) is None
    assert board.dropped() == [first.key]
    assert board.dropped() == []
    assert board.counts() == Counts(1, 0, 0, 29, 0)


def test_pages_of_a_turn_that_are_not_there_any_more_are_named() -> None:
    """Else the work would wait for them for ever."""
    board = Board()
    board.add(work("a", range(1, 301)), 1)
    given = taken(board)
    assert given.turn.numbers == (1, 2, 3)
    assert board.opened(given.key, (1,)) == (None, [2, 3])
    assert board.came(given.key, 1)[0]
    assert board.missing(given.key) == (given.turn.work, [2, 3])


def test_of_texts_only_some_are_given_out_at_a_time() -> None:
    """And the others keep their places: whoever has waited longest is next."""
    board = Board(most_texts=2)
    texts = [work("a", None) for _ in range(2)] + [work("b", None) for _ in range(2)]
    for each in texts:
        board.add(each, 9)
    plain = work("c", (1, 2))
    board.add(plain, 9)
    assert board.counts() == Counts(5, 0, 6, 0, 3)
    first, second = taken(board), taken(board)
    assert [first.turn.work, second.turn.work] == [texts[0], texts[2]]
    assert [taken(board).turn.work for _ in range(2)] == [plain, plain]
    assert board.take() is None
    assert board.counts() == Counts(5, 0, 2, 4, 2)
    board.opened(first.key, (1, 2))
    assert board.came(first.key, 1) == (texts[0], False)
    assert board.take() is None
    assert board.came(first.key, 2) == (texts[0], True)
    third = taken(board)
    assert third.turn.work is texts[1]
    assert board.remove(texts[2])
    assert board.take() is None  # it is still being drawn
    assert board.missing(second.key) is None
    assert taken(board).turn.work is texts[3]
    assert board.take() is None
    board.take_back()
    board.add(work("d", None), 9)
    assert taken(board).turn.work.client == "d"


def test_a_text_without_pages_is_opened_and_nothing_of_it_is_left_to_come() -> None:
    board, text = Board(), work("a", None)
    board.add(text, 1)
    assert board.opened(taken(board).key, ()) == (text, [])
    assert board.counts().reading == 0
    assert board.remove(text)
    assert board.counts() == NOTHING


def test_what_was_given_out_is_taken_back_and_those_who_wait_are_told() -> None:
    board = Board()
    works = [work(f"{n}", range(1, 5), durable=n % 2 == 0) for n in range(4)]
    for each in works:
        board.add(each, 9)
    given = [taken(board) for _ in range(3)]
    board.remove(works[0])
    assert set(board.take_back()) == set(works[1:])
    assert board.counts().reading == 0
    assert board.dropped() == []
    assert board.missing(given[1].key) is None
    for each in works:
        board.remove(each)
    assert board.counts() == NOTHING


def test_the_rate_is_that_of_the_last_minute(monkeypatch: pytest.MonkeyPatch) -> None:
    now = [0.0]
    monkeypatch.setattr("ocrpress.server.desk.pace.time", SimpleNamespace(monotonic=lambda: now[0]))
    pace = Pace()
    assert pace.rate() == 0.0
    pace.page()
    assert pace.rate() == 1.0  # not endless
    for now[0] in range(1, 101):
        pace.page()
        pace.page()
    assert 1.9 < pace.rate() < 2.1
    now[0] = 155.0
    assert 0.1 < pace.rate() < 0.3
    now[0] = 161.0
    assert pace.rate() == 0.0
