"""Streams of documents through a crew, and the life of its process."""

from __future__ import annotations

import itertools
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from conftest import ROOT, environment
from crewshop import BATCHED, WIDTHS, Given, Outcome, Shop, shop
from pdfmaker import Page, make_pdf, make_text_pdf, text

from ocrpress.jobs.reading.order import Done, Event, Order, Tick
from ocrpress.pipeline import Options

__all__ = ["shop"]


def test_documents_of_all_kinds_come_to_an_end(shop: Shop) -> None:
    shop.spec["engine"] = BATCHED
    shop.add_file("words.pdf", make_pdf([Page(text("One")), Page(), Page(text("Three"))]))
    blank = [shop.add(3, blank=True) for _ in range(3)]
    secret = shop.add_file("secret.pdf", make_text_pdf(1, user="sesame"))
    broken = shop.add_file("broken.pdf", b"%PDF-1.4 nothing of the kind")
    empty = shop.add_file("empty.pdf", b"")
    gone = shop.order(shop.folder / "gone.pdf", next(WIDTHS))
    beyond = shop.add(2, pages="7")
    torn = shop.add_file("torn.tiff", (shop.folder / f"{shop.add(4)}.tiff").read_bytes()[:-600])
    outcome = shop.run()
    assert [page.status for page in outcome.results[shop.documents[0].document].values()].count("blank") == 1
    assert all(page.status == "blank" for document in blank for page in outcome.results[document].values())
    causes = {document: refused.cause for document, refused in outcome.refused.items()}
    unread = {broken: "cannot be opened", empty: "cannot be opened", gone: "cannot be opened"}
    assert causes == {
        **unread,
        secret: "password",
        beyond: "cannot be opened",
        **({torn: causes[torn]} if torn in causes else {}),
    }
    assert shop.read["engine 0"] == 1


def test_a_batch_of_blank_pages_only(shop: Shop) -> None:
    shop.spec["engine"] = BATCHED
    for _ in range(30):
        shop.add(2, blank=True)
    outcome = shop.run()
    assert sum(len(pages) for pages in outcome.results.values()) == 60


def test_no_orders_start_no_process(shop: Shop) -> None:
    assert not list(shop.events())
    assert shop.read["engine 0"] == 0


def test_a_thousand_documents_of_one_page_come_in_bounded_memory(shop: Shop) -> None:
    shop.spec["engine"] = BATCHED
    path = shop.folder / f"{shop.add()}.tiff"
    shop.documents = [Order(number, str(path), f"{number}") for number in range(1000)]
    outcome, sizes = Outcome(), []
    for event in shop.events(options=Options(mode="tiny", workers=2)):
        outcome.take(event)
        if isinstance(event, Done) and len(outcome.causes) in (300, 950):
            assert shop.crew
            assert shop.crew._link
            sizes.append(memory(shop.crew._link.pid))
    assert sum(page.status == "ok" for pages in outcome.results.values() for page in pages.values()) == 1000
    assert sizes[1] - sizes[0] < 8 << 20
    assert not shop.crew._stock


def test_a_slow_supply_does_not_hold_back_results(shop: Shop) -> None:
    for _ in range(3):
        shop.add()
    crew = shop.open()
    crew.open()
    events = crew.read(Given(list(shop.documents), pause=2.0))
    done = [time.monotonic() for event in events if isinstance(event, Done)]
    assert len(done) == 3
    assert all(later - earlier > 1 for earlier, later in itertools.pairwise(done))


def test_ticks_come_while_nothing_happens_and_not_for_every_message(shop: Shop) -> None:
    document = shop.add(200)
    shop.harm(document, 100, "dawdle")
    started = time.monotonic()
    outcome = shop.run()
    seconds = time.monotonic() - started
    assert 4 <= outcome.ticks <= seconds / 0.1 + 2


def test_a_document_that_is_ordered_again_while_it_is_held_is_read_again(shop: Shop) -> None:
    """The runner does so when it sees, at the last page, that the file has changed."""
    document = shop.add(2)
    orders = Given(list(shop.documents))
    seen: list[Event] = []
    for event in shop.events(orders):
        if isinstance(event, Done) and event.result.number == 2 and len(seen) < 4:
            orders.orders.append(shop.documents[0])
        if not isinstance(event, Tick):
            seen.append(event)
    assert [type(event).__name__ for event in seen] == ["Opened", "Done", "Done"] * 2
    assert shop.read[f"{document} 2"] == 2


def test_a_crew_reads_again_after_it_was_done(shop: Shop) -> None:
    shop.add()
    assert len(shop.run().results) == 1
    assert shop.crew
    outcome = Outcome()
    for event in shop.crew.read(Given(list(shop.documents))):
        outcome.take(event)
    assert len(outcome.results) == 1
    assert shop.read["engine 0"] == 1


def test_names_that_are_no_utf8_are_read(shop: Shop) -> None:
    good = shop.folder / f"{shop.add()}.tiff"
    odd = os.fsdecode(os.fsencode(shop.folder) + b"/\xff\xfe.tiff")
    good.rename(odd)
    shop.documents = [Order(1, odd, "odd")]
    assert shop.run().results[1][1].status == "ok"


# The life of processes.


def test_closing_leaves_no_process(shop: Shop) -> None:
    shop.add_file("many.pdf", make_text_pdf(40))
    shop.harm(612, 5, "hang")
    events = shop.events(options=Options(mode="tiny", workers=3))
    for event in events:
        if isinstance(event, Done):
            break
    assert shop.crew and shop.crew._link
    processes = {shop.crew._link.pid, *children(shop.crew._link.pid)}
    assert len(processes) >= 2
    shop.crew.close()
    shop.crew.close()
    assert not lasting(processes, 5.0)


@pytest.mark.parametrize("what", ["hang", "hang_with_the_interpreter"])
def test_when_the_parent_is_killed_everything_ends_by_itself(shop: Shop, what: str) -> None:
    shop.add_file("many.pdf", make_text_pdf(5))
    shop.harm(612, 3, what)
    shop.open().close()  # writes the spec
    program = (
        "import sys; from ocrpress.jobs.reading.crew import *; from ocrpress.jobs.reading.settings import Settings\n"
        "from crewshop import Given\n"
        "crew = Crew(Settings('fake'), sys.argv[1:4])\n"
        "for event in crew.read(Given([Order(1, sys.argv[4], 'many')])): pass\n"
    )
    command = (sys.executable, str(ROOT / "tests" / "faulty_worker.py"), str(shop.folder / "spec.json"))
    parent = subprocess.Popen([sys.executable, "-c", program, *command, shop.documents[0].path], env=environment())
    try:
        wait_for(lambda: shop.read["612 3"] == 1)
        processes = descendants(parent.pid)
        assert len(processes) >= 2  # the reading process and what draws for it
    finally:
        parent.send_signal(signal.SIGKILL)
        parent.wait()
    assert not lasting(processes, 5.0)


def children(pid: int) -> set[int]:
    found = set()
    for path in Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = path.read_text().rpartition(")")[2].split()
        except OSError:
            continue
        if int(fields[1]) == pid and fields[0] != "Z":
            found.add(int(path.parent.name))
    return found


def descendants(pid: int) -> set[int]:
    found = children(pid)
    return found | {each for child in found for each in descendants(child)}


def lasting(processes: set[int], seconds: float) -> set[int]:
    """Those that are still there after so many seconds."""
    end = time.monotonic() + seconds
    while (alive := {pid for pid in processes if is_alive(pid)}) and time.monotonic() < end:
        time.sleep(0.05)
    return alive


def is_alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def memory(pid: int) -> int:
    """Bytes that the process has in memory."""
    return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


def wait_for(condition, seconds: float = 30.0) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.02)
