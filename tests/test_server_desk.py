"""The engine of the service, over real reading processes: whoever asks is told everything once, as it was asked."""

from __future__ import annotations

import time
from pathlib import Path

import pytest
from crewshop import shop
from deskhouse import TINY, Asked, House, house, side_by_side, wait_for
from pdfmaker import make_text_pdf

from ocrpress.errors import InputError
from ocrpress.jobs.reading.order import Done, Opened
from ocrpress.jobs.reading.settings import Settings
from ocrpress.pipeline import Options
from ocrpress.server.desk.desk import Desk
from ocrpress.server.desk.work import Over, Work
from ocrpress.server.errors import Full

__all__ = ["house", "shop"]


# What is asked for.


def test_documents_of_many_clients_and_kinds_are_read_in_one_stream_each_as_it_asks(house: House) -> None:
    """Options are honoured page by page: the fake engine tells how many pixels it sees."""
    side_by_side(house)
    house.open()
    pdf = house.shop.folder / "three.pdf"
    pdf.write_bytes(make_text_pdf(3))
    locked = house.shop.folder / "locked.pdf"
    locked.write_bytes(make_text_pdf(1, user="sesame"))
    many = [house.tiff(n % 4 + 1, f"c{n % 5}", durable=n % 3 == 0) for n in range(30)]
    tiny = house.ask(pdf, (1, 2, 3))
    base = house.ask(pdf, (2, 3), options=Options(mode="base"))
    coarse = house.ask(pdf, (3,), options=Options(mode="native", dpi=36.0))
    inside = house.ask(locked, options=Options(mode="native", dpi=72.0, password="sesame"))
    text = house.text("long.txt", 400)
    part = house.text("part.txt", 400, options=Options(mode="small", pages="2-3,5"))
    for asked in (*many, tiny, base, coarse, inside, text, part):
        asked.wait()
    for n, asked in enumerate(many):
        assert asked.statuses == dict.fromkeys(range(1, n % 4 + 2), "ok")
        width = Path(asked.work.path).stem
        assert all(f"Page {number} is {width} by 40 " in page.text for number, page in asked.pages.items())
    assert list(tiny.statuses) == [1, 2, 3]
    assert list(base.statuses) == [2, 3]
    assert {page.mode for page in tiny.pages.values()} == {"tiny"}
    assert {page.mode for page in base.pages.values()} == {"base"}
    assert "Page 3 is 306 by 396 pixels" in coarse.pages[3].text
    assert "Page 1 is 612 by 792 pixels" in inside.pages[1].text
    assert list(part.statuses) == [2, 3, 5]
    assert {page.mode for page in part.pages.values()} == {"small"}
    assert len(text.statuses) > 5
    assert len(house.watched) == sum(len(asked.pages) for asked in (*many, tiny, base, coarse, inside, text, part))
    assert {cause for _, cause in house.watched} == {""}
    assert house.desk.load().rate > 0
    assert house.desk.restarts == 0
    house.ends()


def test_a_page_is_answered_though_no_other_comes(house: House) -> None:
    """An engine that holds many pages waits for none of them."""
    side_by_side(house, in_flight=5)
    house.open()
    for _ in range(3):
        started = time.monotonic()
        house.tiff(1).wait()
        assert time.monotonic() - started < 5
    house.ends()


def test_a_small_document_does_not_wait_for_a_large_one(house: House) -> None:
    house.open()
    document = house.shop.add(300)
    for page in range(1, 301):
        house.shop.spec["faults"].append([document, page, "", 0])  # type: ignore[attr-defined]
    large = house.ask(house.path(document), range(1, 301), "greedy")
    wait_for(lambda: len(large.told) > 3)
    small = house.tiff(2, "modest").wait()
    assert small.statuses == {1: "ok", 2: "ok"}
    assert not large.over
    house.desk.cancel(large.work)
    house.ends()


def test_texts_leave_room_for_others(house: House) -> None:
    """Each is drawn in one go, so two of them would take both of two threads till they end."""
    house.shop.spec["engine"] = {"seconds": 0.02}
    house.open()
    texts = [house.text(f"{name}.txt", 900, client="greedy", durable=True) for name in "abc"]
    wait_for(lambda: len(texts[0].told) > 2)
    assert house.tiff(2, "modest").wait().statuses == {1: "ok", 2: "ok"}
    assert not texts[0].over
    for text in texts:
        assert len(text.wait().statuses) > 20
    assert texts[0].when[-1] < texts[1].when[-1] < texts[2].when[-1]
    house.ends()


def test_a_work_without_pages_is_over_at_once(house: House) -> None:
    house.open()
    empty = house.ask(house.path(house.shop.add(1)), ())
    assert empty.wait().told == [Opened(0, ()), Over()]
    assert house.tiff(1).wait().statuses == {1: "ok"}
    house.ends()


def test_documents_that_cannot_be_read_are_refused_and_their_known_pages_failed(house: House) -> None:
    house.open()
    broken = house.shop.folder / "broken.pdf"
    broken.write_bytes(b"%PDF-1.4 nothing of the kind")
    known, unknown = house.ask(broken, (1, 2), name="a broken one.pdf"), house.ask(broken, None)
    gone = house.ask(house.shop.folder / "gone.png", (1,))
    shorter = house.ask(house.path(house.shop.add(7)), (*range(1, 8), *range(300, 700)))
    odd = house.tiff(1, options=Options(mode="tiny", dpi=5.0))
    fine = house.tiff(1)
    for asked in (known, unknown, gone, shorter, odd, fine):
        asked.wait()
    assert known.statuses == {1: "failed", 2: "failed"}
    assert known.pages[2].error.startswith("a broken one.pdf is damaged beyond repair")
    assert (known.pages[2].engine, known.pages[2].mode) == ("fake", "tiny")
    assert [type(told) for told in unknown.told] == [Over]
    assert unknown.over
    assert isinstance(unknown.over.error, InputError)
    assert unknown.over.cause == "cannot be opened"
    assert gone.statuses == {1: "failed"}
    assert "5 dpi is out of range" in odd.pages[1].error
    assert fine.statuses == {1: "ok"}
    came = shorter.statuses
    assert [number for number, status in came.items() if status == "ok"] == [1, 2, 3, 4, 5, 6, 7]
    assert len(came) == 407
    assert house.desk.restarts == 0
    house.ends()


# Cancelling.


def test_what_is_cancelled_is_told_nothing_more_whenever_that_is(house: House) -> None:
    side_by_side(house, in_flight=2)
    slow = house.shop.add(2)
    house.shop.harm(slow, 1, "dawdle")
    house.shop.harm(slow, 2, "dawdle")
    house.open()
    for pause in (0.0, 0.05, 0.2, 0.4, None):
        asked = house.ask(house.path(slow), (1, 2))
        if pause is None:
            asked.wait()
        else:
            time.sleep(pause)
        house.desk.cancel(asked.work)
        house.desk.cancel(asked.work)
        told = len(asked.told)
        assert house.tiff(1).wait().statuses == {1: "ok"}
        assert len(asked.told) == told
    never = Work("/x", "x", TINY, "a", (1,), lambda told: None)
    house.desk.cancel(never)
    assert house.desk.restarts == 0
    house.ends()


@pytest.mark.parametrize("when", ["while it is read", "before it is open", "after its process was lost"])
def test_a_text_that_is_cancelled_is_drawn_no_further(house: House, when: str) -> None:
    """It was given to the reading process as a whole."""
    bad = house.shop.add(1)
    if when == "before it is open":
        house.shop.harm("long", 0, "dawdle")
    if when == "after its process was lost":
        house.shop.harm(bad, 1, "leave")
    house.shop.spec["engine"] = {"seconds": 0.03}
    house.open()
    text = house.text("long.txt", 2000)
    lost = None
    if when == "while it is read":
        wait_for(lambda: len(text.told) > 4)
    elif when == "before it is open":
        wait_for(lambda: house.shop.read["long 0"])
    else:
        wait_for(lambda: len(text.told) > 4)
        lost = house.ask(house.path(bad))
        wait_for(lambda: house.desk.restarts)
    house.desk.cancel(text.work)
    told = len(text.told)
    for _ in range(3):
        assert house.tiff(1).wait().statuses == {1: "ok"}
    if lost:
        assert lost.wait().statuses == {1: "failed"}
    house.ends()
    assert len(text.told) == told
    assert house.shop.read["long 0"] >= 1
    others = {Path(order.path).stem for order in house.shop.documents} | {"engine", "long"}
    drawn = [line for line in house.shop.read if line.split()[0] not in others]
    assert len(drawn) > 1 or when == "before it is open"
    assert len(drawn) < 30  # of twice as many


def test_a_page_that_hangs_is_not_tried_again_when_its_client_has_gone(house: House) -> None:
    bad = house.shop.add(1)
    house.shop.harm(bad, 1, "hang")
    house.open(limit=1.0)
    asked = house.ask(house.path(bad))
    wait_for(lambda: house.shop.read[f"{bad} 1"])
    house.desk.cancel(asked.work)
    assert house.tiff(1).wait().statuses == {1: "ok"}
    assert house.shop.read[f"{bad} 1"] == 1
    assert house.desk.restarts == 1
    assert not any(isinstance(told, Done | Over) for told in asked.told)
    house.ends()


# The queue.


def test_a_full_queue_says_when_to_come_again_and_takes_jobs_all_the_same(house: House) -> None:
    slow = house.shop.add(1)
    house.shop.harm(slow, 1, "dawdle")
    house.open(queue=3)
    asked = [house.ask(house.path(slow), client=f"{n}") for n in range(3)]
    with pytest.raises(Full, match="3 documents are being read or wait already") as full:
        house.tiff(1)
    assert full.value.retry_after >= 1
    jobs = [house.ask(house.path(slow), durable=True) for _ in range(3)]
    load = house.desk.load()
    assert (load.documents, load.jobs) == (3, 3)
    house.desk.cancel(asked[2].work)
    asked[2] = house.tiff(1)
    for each in (*asked, *jobs):
        each.wait()
    house.ends()


def test_how_long_to_wait_follows_from_the_rate(monkeypatch: pytest.MonkeyPatch) -> None:
    desk = Desk(Settings("fake"), 10)
    for n in range(10):
        assert desk._board.add(Work("/x", "x", TINY, f"{n}", range(1, 41), lambda told: None), 10)
    for rate, seconds in ((0.0, 2), (4.0, 10), (100.0, 1), (0.01, 60)):
        monkeypatch.setattr(desk._pace, "rate", lambda rate=rate: rate)
        assert desk._wait() == seconds


def test_three_thousand_works_leave_nothing_behind(house: House) -> None:
    side_by_side(house)
    house.open(queue=5000)
    path = house.path(house.shop.add(1))
    asked: list[Asked] = []
    for n in range(3000):
        asked.append(house.ask(path, client=f"{n % 7}"))
        if n % 5:
            house.desk.cancel(asked[-1].work)
    kept = asked[::5]
    for each in kept:
        assert each.wait().statuses == {1: "ok"}
    wait_for(lambda: house.desk.load().reading == 0)
    board, crew = house.desk._board, house.desk._crew
    assert crew
    stock = crew._stock
    wait_for(lambda: not stock)  # that a document is closed is said after its last page
    assert not (stock.inside or stock._held or stock._again or stock._alone or stock._later)
    assert not (crew._losses._times or crew._losses._shared or crew._abandoned)
    assert not (board._given or board._left or board._turns.clients | board._texts.clients)
    house.ends()
