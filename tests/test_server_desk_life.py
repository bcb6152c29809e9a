"""The engine of the service in trouble, and its end: what a page, an engine or a guest does costs nobody else."""

from __future__ import annotations

import gc
import os
import threading
import time
from collections.abc import Iterator
from concurrent.futures import Future
from dataclasses import dataclass
from pathlib import Path

import pytest
from crewshop import shop
from deskhouse import NONE, PATIENCE, TINY, House, house, side_by_side, wait_for
from pdfmaker import make_text_pdf

from ocrpress.document import PageResult
from ocrpress.errors import EngineError, UsageError
from ocrpress.jobs.reading.order import Done
from ocrpress.jobs.reading.settings import Settings
from ocrpress.pipeline import Options
from ocrpress.server.desk import desk as desk_module
from ocrpress.server.desk.desk import Desk
from ocrpress.server.desk.work import Told, Work
from ocrpress.server.errors import Draining

__all__ = ["house", "shop"]


# Trouble.


def test_a_page_that_crashes_or_hangs_costs_only_itself(house: House) -> None:
    side_by_side(house)
    documents = [house.shop.add(4) for _ in range(6)]
    house.shop.harm(documents[1], 3, "crash")
    house.shop.harm(documents[4], 1, "hang")
    house.shop.harm(documents[5], 2, "leave", times=1)
    house.open(limit=1.0)
    asked = [house.ask(house.path(document), range(1, 5), f"c{document % 4}") for document in documents]
    text = house.text("long.txt", 400)
    bad = {1: {3: "failed"}, 4: {1: "failed"}}
    for n, each in enumerate(asked):
        assert each.wait().statuses == dict.fromkeys(range(1, 5), "ok") | bad.get(n, {})
    assert set(text.wait().statuses.values()) == {"ok"}
    assert "crashed (SIGSEGV) while reading this page, 2 times" in asked[1].pages[3].error
    assert sorted(cause for _, cause in house.watched if cause) == ["crash", "time limit"]
    assert house.desk.restarts >= 4
    assert house.desk.state == "ready"
    house.ends()


def test_an_engine_that_gives_up_on_a_page_fails_it_though_nobody_asks_for_another(house: House) -> None:
    bad = house.shop.add(1)
    house.shop.harm(bad, 1, "give_up")
    house.open()
    assert house.tiff(1).wait().statuses == {1: "ok"}
    asked = house.ask(house.path(bad)).wait()
    assert asked.statuses == {1: "failed"}
    assert "the accelerator is gone" in asked.pages[1].error
    assert house.tiff(1).wait().statuses == {1: "ok"}
    assert house.desk.state == "ready"
    house.ends()


def test_a_process_that_ends_while_nothing_is_to_do_is_missed_and_replaced(house: House) -> None:
    house.open()
    crew = house.desk._crew
    assert crew
    assert crew._link
    os.kill(crew._link.pid, 9)
    wait_for(lambda: house.desk.restarts == 1 and house.shop.read["engine 0"] == 2)
    assert house.tiff(1).wait().statuses == {1: "ok"}
    assert house.desk.restarts == 1
    house.ends()


def test_the_time_limit_of_a_page_does_not_count_the_pages_before_it(house: House) -> None:
    """A page waits for the engine, or is drawn for long, without being late."""
    side_by_side(house, in_flight=1)
    slow = house.shop.add(4)
    for page in range(1, 5):
        house.shop.harm(slow, page, "dawdle")
    house.open(limit=0.8)
    asked = [house.ask(house.path(slow), range(1, 5), client) for client in "ab"]
    assert {status for each in asked for status in each.wait().statuses.values()} == {"ok"}
    assert house.desk.restarts == 0
    house.ends()


def test_an_engine_that_cannot_be_opened_is_an_error_at_once(house: House) -> None:
    house.shop.harm("engine", 0, "give_up")
    with pytest.raises(EngineError, match="the accelerator is gone: reboot"):
        house.open()
    assert house.desk.state == "closed"
    assert isinstance(house.desk.error, EngineError)
    with pytest.raises(Draining):
        house.tiff(1)
    future = house.desk.call(lambda: 1)
    with pytest.raises(Draining):
        future.result(PATIENCE)
    house.desk.close()
    wrong = Desk(Settings("fake", options=Options(mode="bass")), 1)
    with pytest.raises(UsageError, match="did you mean 'base'"):
        wrong.start()


def test_an_engine_that_breaks_is_told_to_all_who_wait_and_opened_again(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(desk_module, "PAUSES", (0.3, 0.6))
    bad = [house.shop.add(1) for _ in range(9)]
    for document in bad:
        house.shop.harm(document, 1, "give_up")
    house.shop.spec["faults"] += [["engine", 0, "", 3], ["engine", 0, "give_up", 5]]  # type: ignore[operator]
    house.open()
    asked = [house.ask(house.path(document), client=f"{document}", durable=document % 2 == 0) for document in bad]
    for each in asked:
        over = each.wait().over
        assert over
        assert over.cause == "engine error"
        assert isinstance(over.error, EngineError)
        assert "the accelerator is gone" in str(over.error)
        assert not [told for told in each.told if isinstance(told, Done) and told.result.status == "failed"]
    wait_for(lambda: house.desk.state == "broken")
    assert "the accelerator is gone" in str(house.desk.error)
    with pytest.raises(Draining, match="the engine does not run") as refused:
        house.tiff(1)
    assert refused.value.retry_after >= 1
    assert house.desk.load() == NONE
    wait_for(lambda: house.desk.state == "ready")
    assert house.desk.error is None
    assert house.shop.read["engine 0"] >= 6
    assert house.tiff(1).wait().statuses == {1: "ok"}
    house.ends()


class Script:
    """Instead of a crew: opens, or not, and runs for so long, on a clock of its own."""

    def __init__(self, lives: list[tuple[float, float | None]]) -> None:
        self.now, self.lives, self.rests = 0.0, lives, list[float]()
        self.engine, self.mode, self.about, self.capabilities, self.lost = "fake", "tiny", "", None, 1

    def monotonic(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        self.now += seconds

    def __call__(self, *arguments: object) -> Script:
        return self

    def opening(self) -> Iterator[None]:
        opening, self.life = self.lives.pop(0)
        self.now += opening
        if self.life is None:
            raise EngineError("it does not open")
        yield None

    def read(self, orders: object) -> Iterator[None]:
        if not self.lives:
            return
        self.now += self.life or 0.0
        raise EngineError("it breaks")
        yield

    def close(self) -> None:
        pass

    def ring(self) -> None:
        pass


def test_pauses_grow_while_the_engine_fails_and_are_short_again_after_it_has_run(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """It is not what it takes to open that counts, nor the pause: it has to run."""
    day, brief = 86400.0, (1.0, 0.5)
    failing = (300.0, None)  # seconds to open; does not open
    script = Script([(1.0, day), failing, failing, brief, failing, (1.0, day), failing, (1.0, day), (1.0, 0.0)])
    monkeypatch.setattr(desk_module, "Crew", script)
    monkeypatch.setattr(desk_module, "time", script)
    monkeypatch.setattr(Desk, "_rest", lambda desk, seconds: script.rests.append(seconds))
    desk = Desk(Settings("fake"), 1)
    desk.start()
    desk._thread.join(PATIENCE)
    assert script.rests == [1.0, 2.0, 5.0, 10.0, 30.0, 1.0, 2.0, 1.0]
    assert desk.restarts == 9


# Threads, guests, the end.


@dataclass
class Guest:
    """Writes down what is done with it, and raises where it is told to."""

    name: str
    said: list[str]
    raises: tuple[str, ...] = ()

    def _do(self, what: str) -> None:
        assert threading.current_thread().name == "ocrpress-desk"
        if what != "tick" or self.said[-1:] != [f"{self.name} tick"]:
            self.said.append(f"{self.name} {what}")
        if what in self.raises:
            raise OSError(f"{self.name} cannot {what}")

    def open(self) -> None:
        self._do("open")

    def tick(self) -> None:
        self._do("tick")

    def close(self) -> None:
        self._do("close")


def test_guests_live_as_long_as_the_thread_and_what_they_or_others_raise_does_not_end_it(house: House) -> None:
    said: list[str] = []

    def watch(result: PageResult, cause: str) -> None:
        raise ZeroDivisionError

    def tell(told: Told) -> None:
        raise KeyError(told)

    guests = [Guest("one", said, ("tick", "close")), Guest("two", said)]
    house.open(guests=guests, watch=watch)
    house.desk.submit(Work(str(house.path(house.shop.add(2))), "x", TINY, "a", (1, 2), tell))
    assert house.tiff(2).wait().statuses == {1: "ok", 2: "ok"}
    house.ends()
    assert said[:2] == ["one open", "two open"]
    assert said[-2:] == ["two close", "one close"]
    assert {"one tick", "two tick"} <= set(said)


def test_a_guest_that_cannot_open_keeps_the_service_from_starting(house: House) -> None:
    said: list[str] = []
    guests = [Guest("one", said), Guest("two", said, ("open",)), Guest("three", said)]
    with pytest.raises(OSError, match="two cannot open"):
        house.open(guests=guests)
    assert said == ["one open", "two open", "one close"]
    assert house.shop.read["engine 0"] == 0


def test_what_is_called_is_done_in_the_thread_of_the_desk_whoever_calls(house: House) -> None:
    house.open()
    futures: list[Future[tuple[int, str]]] = []
    lock = threading.Lock()

    def call(first: int) -> None:
        for number in range(first, first + 50):
            future = house.desk.call(lambda number=number: (number, threading.current_thread().name))
            with lock:
                futures.append(future)

    callers = [threading.Thread(target=call, args=(50 * n,)) for n in range(8)]
    for caller in callers:
        caller.start()
    for caller in callers:
        caller.join()
    assert sorted(future.result(PATIENCE) for future in futures) == [(n, "ocrpress-desk") for n in range(400)]
    with pytest.raises(ZeroDivisionError):
        house.desk.call(lambda: 1 // 0).result(PATIENCE)
    started = time.monotonic()
    assert house.desk.call(lambda: 7).result(PATIENCE) == 7
    assert time.monotonic() - started < 2
    house.ends()


def test_at_the_end_those_who_wait_are_told_and_jobs_are_not(house: House) -> None:
    slow = house.shop.add(1)
    house.shop.harm(slow, 1, "hang")
    said: list[str] = []
    house.open(guests=[Guest("one", said)])
    asked = [house.ask(house.path(slow), client=f"{n}") for n in range(20)]
    job = house.ask(house.path(slow), durable=True)
    wait_for(lambda: house.shop.read[f"{slow} 1"])
    waiting = [house.desk.call(lambda: time.sleep(0.3)), *(house.desk.call(lambda: 1) for _ in range(5))]
    waiting[3].cancel()
    house.desk.close()
    for each in asked:
        assert each.over
        assert isinstance(each.over.error, Draining)
        assert each.over.cause == "stopped"
    assert not job.over
    assert said[-1] == "one close"
    assert house.desk.state == "closed"
    with pytest.raises(Draining, match="being stopped"):
        house.tiff(1)
    for future in waiting:
        if not future.cancelled():
            assert future.done()
    house.desk.close()


def test_closing_while_the_engine_is_opened_ends_the_start(house: House) -> None:
    house.shop.harm("engine", 0, "hang")
    desk, raised = house.make(), list[BaseException]()

    def start() -> None:
        try:
            desk.start()
        except BaseException as error:
            raised.append(error)

    thread = threading.Thread(target=start, daemon=True)
    thread.start()
    wait_for(lambda: house.shop.read["engine 0"])
    with pytest.raises(Draining, match="not open yet"):
        house.tiff(1)
    desk.close()
    thread.join(5.0)
    assert not thread.is_alive()
    assert [type(error) for error in raised] == [Draining]


def test_a_desk_that_was_never_started_can_be_closed(house: House) -> None:
    desk = house.make()
    future = desk.call(lambda: 1)
    desk.close()
    assert desk.state == "closed"
    with pytest.raises(Draining):
        future.result(PATIENCE)


def test_no_thread_process_or_descriptor_is_left(house: House) -> None:
    gc.collect()
    threads, descriptors = set(threading.enumerate()), open_files()
    bad = house.shop.add(1)
    house.shop.harm(bad, 1, "leave", times=1)
    house.open()
    pdf = house.shop.folder / "three.pdf"
    pdf.write_bytes(make_text_pdf(3))
    house.ask(pdf, (1, 2, 3)).wait()
    house.ask(house.path(bad)).wait()
    crew = house.desk._crew
    assert crew
    assert crew._link
    pid = crew._link.pid
    del crew
    house.ends()
    gc.collect()
    assert not Path(f"/proc/{pid}").exists()
    assert set(threading.enumerate()) == threads
    assert open_files() == descriptors


def open_files() -> int:
    return sum(1 for _ in Path("/proc/self/fd").iterdir())
