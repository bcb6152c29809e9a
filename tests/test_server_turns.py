"""Whose page is next: whoever waits, waits for about one turn of every other client, however much they ask for."""

from __future__ import annotations

import itertools
import random
from collections import Counter

import pytest

from ocrpress.pipeline import Options
from ocrpress.server.desk.turns import MANY, Turn, Turns
from ocrpress.server.desk.work import Work


def work(client: str, numbers: range | tuple[int, ...] | None) -> Work:
    return Work("/nowhere", "it", Options(), client, numbers, lambda told: None)


def turns_of(*works: Work) -> Turns:
    turns = Turns()
    for each in works:
        turns.add(each)
    return turns


def rest(turns: Turns) -> list[Turn]:
    return list(iter(turns.take, None))


@pytest.mark.parametrize("seed", range(40))
def test_of_clients_that_wait_none_gets_two_turns_more_than_another(seed: int) -> None:
    """Nor any document of a client than another one of it. They come, go and are removed meanwhile."""
    draw = random.Random(seed)
    turns, left = Turns(), dict[Work, list[int] | None]()
    since: dict[tuple[object, object], Counter[object]] = {}  # turns of two that wait side by side

    def came(key: object, others: set[object]) -> None:
        since.update({(key, other): Counter() for other in others} | {(other, key): Counter() for other in others})

    def gone(key: object) -> None:
        for pair in [pair for pair in since if key in pair]:
            del since[pair]

    def clients() -> set[object]:
        return {each.client for each in left}

    def forget(removed: Work) -> None:
        del left[removed]
        gone(removed)
        if removed.client not in clients():
            gone(removed.client)

    for _ in range(600):
        if draw.random() < 0.15:
            client = f"c{draw.randint(1, draw.choice([2, 6]))}"
            length = draw.choice([1, 1, 2, 7, 30, 3 * MANY])
            new = work(client, None if draw.random() < 0.2 else range(1, length + 1))
            if client not in clients():
                came(client, clients())
            came(new, {each for each in left if each.client == client})
            left[new] = None if new.numbers is None else list(new.numbers)
            turns.add(new)
        elif left and draw.random() < 0.05:
            removed = draw.choice(list(left))
            forget(removed)
            turns.remove(removed)
            turns.remove(removed)
        elif turn := turns.take():
            for pair, counts in since.items():
                if turn.work.client in pair or turn.work in pair:
                    counts[turn.work if turn.work in pair else turn.work.client] += 1
                    assert abs(counts[pair[0]] - counts[pair[1]]) <= 1
            waiting = left[turn.work]
            assert (waiting or [])[: len(turn.numbers)] == list(turn.numbers)
            assert bool(turn.numbers) == (turn.work.numbers is not None)
            if waiting:
                del waiting[: len(turn.numbers)]
            if not waiting:
                forget(turn.work)
        else:
            assert not left
        assert turns.pages == sum(1 if numbers is None else len(numbers) for numbers in left.values())
        assert set(turns.clients) == clients()
    for turn in rest(turns):
        waiting = left[turn.work]
        if waiting is None:
            del left[turn.work]
        else:
            del waiting[: len(turn.numbers)]
    assert not any(left.values())
    assert (turns.pages, set(turns.clients), turns.take()) == (0, set(), None)


def test_a_client_with_many_documents_gets_no_more_than_one_with_one() -> None:
    many, single = [work("many", range(1, 6)) for _ in range(20)], work("one", range(1, 6))
    order = rest(turns_of(*many, single))
    places = [place for place, turn in enumerate(order) if turn.work is single]
    assert places == [1, 3, 5, 7, 9]


def test_who_comes_last_waits_for_one_turn_of_every_other() -> None:
    turns = turns_of(*(work(f"{n}", range(1, 50)) for n in range(9)))
    for _ in range(31):
        turns.take()
    late = work("late", (4,))
    turns.add(late)
    order = list(itertools.islice(rest(turns), 12))
    assert [turn.work is late for turn in order].index(True) == 9


@pytest.mark.parametrize("length", [1, MANY, MANY + 1, 2 * MANY, 10 * MANY + 1])
def test_a_long_document_takes_about_so_many_turns_and_its_pages_come_in_order(length: int) -> None:
    order = rest(turns_of(work("a", range(1, length + 1))))
    assert [number for turn in order for number in turn.numbers] == list(range(1, length + 1))
    sizes = [len(turn.numbers) for turn in order]
    assert max(sizes) == -(-length // MANY)
    assert len(set(sizes[:-1])) <= 1
    assert len(order) <= MANY


def test_a_document_that_is_removed_in_the_middle_leaves_the_others_as_they_were() -> None:
    works = [work(client, range(1, 4)) for client in "aab"]
    turns = turns_of(*works)
    taken = [turns.take() for _ in range(3)]
    assert [turn.work if turn else None for turn in taken] == [works[0], works[2], works[1]]
    turns.remove(works[0])
    assert turns.pages == 4
    assert [(turn.work, turn.numbers) for turn in rest(turns)] == [
        (works[2], (2,)), (works[1], (2,)), (works[2], (3,)), (works[1], (3,)),
    ]  # fmt: skip


def test_what_never_waited_is_removed_without_harm() -> None:
    turns = turns_of(work("a", (1,)))
    turns.remove(work("a", (1,)))
    turns.remove(work("b", None))
    assert (turns.pages, set(turns.clients)) == (1, {"a"})


def test_a_work_without_pages_has_one_turn_without_any() -> None:
    turns = turns_of(work("a", ()), work("a", (1,)))
    assert turns.pages == 2
    assert [turn.numbers for turn in rest(turns)] == [(), (1,)]
    assert (turns.pages, set(turns.clients)) == (0, set())
    empty = work("a", ())
    turns.add(empty)
    turns.remove(empty)
    assert (turns.pages, set(turns.clients)) == (0, set())
