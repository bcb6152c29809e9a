"""Requests pulled in a thread of their own: answers never wait for the next request, however it comes, or does not."""

from __future__ import annotations

import random
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import CancelledError, Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from queue import SimpleQueue

import pytest
from PIL import Image

from ocrpress.document import Completion, PageImage, Request
from ocrpress.engines import side_by_side
from ocrpress.engines.side_by_side import SideBySide

PATIENCE = 20.0  # seconds; what takes longer hangs
PICTURE = PageImage(1, Image.new("RGB", (8, 8)), 8, 8)


def ask(key: int) -> Request:
    return Request(key, PICTURE, "tiny")


class Tap:
    """Requests as a test gives them; iterating waits for the next."""

    def __init__(self) -> None:
        self._given: SimpleQueue[Request | BaseException | None] = SimpleQueue()
        self.taken: list[int] = []

    def give(self, *keys: int) -> None:
        for key in keys:
            self._given.put(ask(key))

    def end(self, error: BaseException | None = None) -> None:
        self._given.put(error)

    def __iter__(self) -> Iterator[Request]:
        while (request := self._given.get()) is not None:
            if isinstance(request, BaseException):
                raise request
            self.taken.append(request.key)
            yield request


@dataclass
class Held:
    """Begins requests, and answers them when the test says so."""

    futures: dict[int, Future[Completion]] = field(default_factory=dict)
    begun: threading.Condition = field(default_factory=threading.Condition)

    def start(self, request: Request) -> Future[Completion]:
        future: Future[Completion] = Future()
        with self.begun:
            self.futures[request.key] = future
            self.begun.notify_all()
        return future

    def answer(self, key: int) -> None:
        with self.begun:
            assert self.begun.wait_for(lambda: key in self.futures, PATIENCE)
        self.futures[key].set_result(Completion(key))


def at_once(request: Request) -> Future[Completion]:
    future: Future[Completion] = Future()
    future.set_result(Completion(request.key))
    return future


def pulling() -> list[threading.Thread]:
    return [thread for thread in threading.enumerate() if thread.name == "ocrpress-requests"]


def wait_for(condition: Callable[[], object]) -> None:
    end = time.monotonic() + PATIENCE
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.005)


@pytest.fixture(autouse=True)
def no_thread_is_left() -> Iterator[None]:
    yield
    wait_for(lambda: not pulling())


@pytest.mark.parametrize("seed", range(30))
def test_every_request_is_answered_once_and_never_more_are_out_than_may_be(seed: int) -> None:
    draw = random.Random(seed)
    most, count = draw.choice([1, 1, 2, 5]), draw.randint(0, 60)
    out, highest, lock = 0, 0, threading.Lock()

    def source() -> Iterator[Request]:
        nonlocal out, highest
        for key in range(count):
            if draw.random() < 0.1:
                time.sleep(0.001)
            with lock:
                out += 1
                highest = max(highest, out)
            yield ask(key)

    def answer(request: Request) -> Completion:
        time.sleep(random.Random(request.key).choice([0, 0, 0.002]))
        return Completion(request.key)

    with ThreadPoolExecutor(4) as pool:
        started: Callable[[Request], Future[Completion]] = lambda request: pool.submit(answer, request)  # noqa: E731
        with SideBySide(source(), draw.choice([started, at_once]), most) as pages:
            keys = []
            for future in pages:
                keys.append(future.result().key)
                with lock:
                    assert out <= most
                    out -= 1
    assert sorted(keys) == list(range(count))
    assert highest <= most
    assert not pages.under_way


def test_an_answer_does_not_wait_for_the_next_request() -> None:
    tap, held = Tap(), Held()
    with SideBySide(tap, held.start, 3) as pages:
        answers = iter(pages)
        for key in range(5):
            tap.give(key)
            held.answer(key)
            assert next(answers).result().key == key
        tap.end()
        assert list(answers) == []


def test_the_order_of_answers_is_that_in_which_they_are_done() -> None:
    tap, held = Tap(), Held()
    tap.give(1, 2, 3)
    tap.end()
    with SideBySide(tap, held.start, 3) as pages:
        answers = iter(pages)
        for key in (2, 3, 1):
            held.answer(key)
            assert next(answers).result().key == key


def test_no_request_is_pulled_before_the_answer_of_the_one_before_was_taken_where_one_may_be_out() -> None:
    tap = Tap()
    tap.give(1, 2, 3)
    tap.end()
    with SideBySide(tap, at_once, 1) as pages:
        for count, future in enumerate(pages, 1):
            time.sleep(0.02)
            assert tap.taken == list(range(1, count + 1))
            assert future.result().key == count


@pytest.mark.parametrize("most", [1, 4])
def test_what_the_source_raises_comes_after_all_answers(most: int) -> None:
    tap = Tap()
    tap.give(1, 2, 3)
    tap.end(ValueError("torn"))
    with SideBySide(tap, at_once, most) as pages:
        answers = iter(pages)
        assert [next(answers).result().key for _ in range(3)] == [1, 2, 3]
        with pytest.raises(ValueError, match="torn"):
            next(answers)


def test_no_requests_are_no_answers() -> None:
    with SideBySide([], at_once, 1) as pages:
        assert list(pages) == []


def test_what_beginning_a_request_raises_comes_after_the_answers_of_the_others() -> None:
    held = Held()

    def start(request: Request) -> Future[Completion]:
        if request.key == 3:
            raise CancelledError
        return held.start(request)

    with SideBySide(map(ask, range(1, 9)), start, 5) as pages:
        answers = iter(pages)
        held.answer(2)
        held.answer(1)
        assert [next(answers).result().key for _ in range(2)] == [2, 1]
        with pytest.raises(CancelledError):
            next(answers)
    assert sorted(held.futures) == [1, 2]


def test_a_failed_answer_is_raised_where_it_is_asked_for_and_the_others_are_cancelled() -> None:
    tap, held = Tap(), Held()
    tap.give(1, 2, 3)

    def read() -> Iterator[Completion]:
        with SideBySide(tap, held.start, 3) as pages:
            for future in pages:
                yield future.result()

    wait_until_begun = threading.Thread(target=lambda: fail(held))
    wait_until_begun.start()
    tap.end()
    with pytest.raises(OSError, match="gone"):
        list(read())
    wait_until_begun.join()
    assert [held.futures[key].cancelled() for key in (1, 2, 3)] == [True, False, True]


def fail(held: Held) -> None:
    with held.begun:
        assert held.begun.wait_for(lambda: len(held.futures) == 3, PATIENCE)
    held.futures[2].set_exception(OSError("gone"))


def test_stopping_tells_what_is_under_way_and_pulls_no_more() -> None:
    tap, held = Tap(), Held()
    tap.give(1, 2, 3, 4)
    with SideBySide(tap, held.start, 3) as pages:
        held.answer(2)
        answers = iter(pages)
        assert next(answers).result().key == 2
        wait_for(lambda: len(held.futures) == 3)
        assert sorted(pages.stop().values()) == [1, 2, 3]  # the one given last is still among them
        tap.give(5)
        time.sleep(0.05)
        assert set(held.futures) == {1, 2, 3}
        tap.end()


def test_closing_does_not_wait_long_for_a_source_that_does_not_come(monkeypatch: pytest.MonkeyPatch) -> None:
    """What it gives afterwards is not begun."""
    monkeypatch.setattr(side_by_side, "PATIENCE", 0.1)
    tap, held = Tap(), Held()
    tap.give(1)
    started = time.monotonic()
    with SideBySide(tap, held.start, 2) as pages:
        held.answer(1)
        assert next(iter(pages)).result().key == 1
        wait_for(lambda: tap._given.empty())
    assert time.monotonic() - started < 5
    assert pulling()
    tap.give(2)
    wait_for(lambda: not pulling())
    assert set(held.futures) == {1}


@pytest.mark.parametrize("seed", range(10))
def test_closing_at_any_moment_leaves_nothing_behind(seed: int) -> None:
    draw = random.Random(seed)
    most, after = draw.randint(1, 5), draw.randint(0, 20)

    def source() -> Iterator[Request]:
        for key in range(40):
            time.sleep(draw.choice([0, 0, 0.001]))
            yield ask(key)

    futures: list[Future[Completion]] = []

    with ThreadPoolExecutor(3) as pool:

        def start(request: Request) -> Future[Completion]:
            futures.append(pool.submit(slowly, request))
            return futures[-1]

        def read(requests: Iterable[Request]) -> Iterator[Completion]:
            with SideBySide(requests, start, most) as pages:
                for future in pages:
                    yield future.result()

        reading = read(source())
        taken = [next(reading).key for _ in range(after)]
        reading.close()
        begun = len(futures)
        time.sleep(0.01)
        assert len(futures) == begun
        assert after <= begun <= after + most
    assert len(set(taken)) == after
    assert all(future.done() for future in futures)


def slowly(request: Request) -> Completion:
    time.sleep(0.001)
    return Completion(request.key)
