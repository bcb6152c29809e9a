"""The feeder: views ahead of the engine, in order, no more than there is room for, and errors where they belong."""

from __future__ import annotations

import threading
import time

import pytest
from PIL import Image

pytest.importorskip("torch")

from ocrpress.document import PageImage, Request
from ocrpress.engines.deepseek.feeder import Feeder


def request(key: int, mode: str = "tiny", size: tuple[int, int] = (60, 80)) -> Request:
    return Request(key, PageImage(key, Image.new("RGB", size), *size), mode)


def drain(feeder: Feeder, release: bool = True) -> list[int]:
    keys = []
    while not feeder.exhausted:
        for page in feeder.take(3, wait=True):
            keys.append(page.request.key)
            if release:
                feeder.release()
    return keys


def test_pages_come_in_order_with_their_views():
    feeder = Feeder((request(key) for key in range(20)), room=4, pin=False)
    assert drain(feeder) == list(range(20))
    feeder.close()


def test_no_more_pages_are_pulled_than_there_is_room_for():
    pulled = []

    def requests():
        for key in range(10):
            pulled.append(key)
            yield request(key)

    feeder = Feeder(requests(), room=3, pin=False)
    deadline = time.monotonic() + 5
    while len(pulled) < 3 and time.monotonic() < deadline:
        time.sleep(0.01)
    time.sleep(0.1)
    assert pulled == [0, 1, 2]
    assert next(iter(feeder.take(1, wait=True))).request.key == 0
    time.sleep(0.1)
    assert pulled == [0, 1, 2]  # taken, not yet answered
    feeder.release()
    assert [page.request.key for page in feeder.take(1, wait=True)] == [1]
    feeder.close()


def test_without_waiting_nothing_is_taken_before_it_is_there():
    gate = threading.Event()

    def requests():
        gate.wait(10)
        yield request(0)

    feeder = Feeder(requests(), room=2, pin=False)
    assert list(feeder.take(2, wait=False)) == []
    gate.set()
    assert [page.request.key for page in feeder.take(2, wait=True)] == [0]
    feeder.close()


def test_a_page_without_views_is_an_error_of_its_own():
    wrong = request(1, mode="native")
    feeder = Feeder([request(0), wrong, request(2)], room=8, pin=False)
    pages = []
    while not feeder.exhausted:
        pages += feeder.take(5, wait=True)
    assert [bool(page.error) for page in pages] == [False, True, False]
    assert "native" in pages[1].error
    feeder.close()


def test_an_error_of_the_source_comes_after_the_pages_before_it():
    def requests():
        yield request(0)
        yield request(1)
        raise OSError("the disk went away")

    feeder = Feeder(requests(), room=8, pin=False)
    keys = []
    with pytest.raises(OSError, match="went away"):
        while True:
            keys += [page.request.key for page in feeder.take(1, wait=True)]
    assert keys == [0, 1]
    feeder.close()


def test_closing_midway_stops_the_source_and_its_threads():
    pulled = []

    def requests():
        for key in range(1000):
            pulled.append(key)
            yield request(key)

    before = threading.active_count()
    feeder = Feeder(requests(), room=2, pin=False)
    next(iter(feeder.take(1, wait=True)))
    feeder.close()
    deadline = time.monotonic() + 5
    while threading.active_count() > before and time.monotonic() < deadline:
        time.sleep(0.01)
    assert threading.active_count() <= before
    assert len(pulled) <= 3
