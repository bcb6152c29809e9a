"""The jobs in the desk's thread: the ledger, restarts, trouble of the engine, of the disk, and of our own."""

from __future__ import annotations

import contextlib
import errno
import json
import os
import random
import sqlite3
import stat
import time
from concurrent.futures import Future
from dataclasses import dataclass, field, replace
from pathlib import Path

import pytest
from ledger_tools import page

from ocrpress.engines.base import Capabilities
from ocrpress.errors import EngineError, InputError, LedgerError, OutputError, PasswordError, UsageError
from ocrpress.jobs.ledger.book import Ledger, open_ledger, read_ledger
from ocrpress.jobs.reading.order import Done, Opened
from ocrpress.jobs.reading.settings import Settings
from ocrpress.pipeline import Options
from ocrpress.server.desk.facts import EngineFacts, Load
from ocrpress.server.desk.work import Over, Work
from ocrpress.server.errors import Draining, Full, Gone, NotFound
from ocrpress.server.jobs import keeper
from ocrpress.server.jobs.course import TRIES, Course
from ocrpress.server.jobs.record import Record, as_bytes, new_id, of_bytes
from ocrpress.server.jobs.store import JobStore
from ocrpress.server.settings import ServerSettings
from ocrpress.writers import WriterOptions

FACTS = EngineFacts("fake", "base", Capabilities(("native", "tiny", "base"), in_flight=1))


@dataclass
class Desk:
    """A desk that does nothing by itself."""

    state: str = "ready"
    engine: EngineFacts | None = FACTS
    works: list[Work] = field(default_factory=list)
    refuses: Exception | None = None

    def submit(self, work: Work) -> None:
        if self.refuses:
            raise self.refuses
        self.works.append(work)

    def cancel(self, work: Work) -> None:
        work.cancelled = True

    def call(self, function):
        future: Future = Future()
        try:
            future.set_result(function())
        except Exception as error:
            future.set_exception(error)
        return future

    def load(self) -> Load:
        return Load(jobs=len(self.works), waiting=50, rate=2.0)

    @property
    def work(self) -> Work:
        """The last that it was given, and only one since it was last asked."""
        assert len(self.works) == 1
        return self.works.pop()


@dataclass
class House:
    """A store over a folder, which can be ended and begun again."""

    folder: Path
    given: dict[str, object] = field(default_factory=dict)

    def begin(self, **desk: object) -> JobStore:
        settings = ServerSettings(Settings("fake"), self.folder, **self.given)
        self.desk, self.store = Desk(**desk), JobStore(settings)
        self.changed: list[str] = []
        self.store._changed = self.changed.append
        self.store.attach(self.desk)
        self.store.open()
        self.store.tick()
        return self.store

    def die(self) -> None:
        """As by SIGKILL: what is not committed is lost."""
        ledger = self.store._ledger
        if ledger:
            ledger.connection.rollback()
            ledger.connection.close()
            ledger._lock.release()

    def accept(self, numbers=(1, 2, 3), name="paper.pdf", client="ann", data=b"%PDF-1.7", **options: object) -> Record:
        made = Options(mode="base", **options)
        record = Record(new_id(), name, client, time.time(), "fake", made, numbers)
        upload = self.folder / f"upload-{record.id}"
        upload.write_bytes(data)
        self.store.accept(record, upload.replace)
        return record

    def entry(self, record: Record):
        self.store.tick()
        with read_ledger(self.folder) as ledger:
            return ledger.find(record.id)

    def pages(self, record: Record) -> list[int]:
        self.store.tick()
        with read_ledger(self.folder) as ledger:
            return [result.number for result in ledger.results(ledger.find(record.id).id)]

    def path(self, record: Record) -> Path:
        return self.folder / "jobs" / record.id


@pytest.fixture
def house(tmp_path):
    made = House(tmp_path / "served")
    made.folder.mkdir()
    yield made
    if hasattr(made, "store"):
        made.store.close()


def read(work: Work, *numbers: int) -> None:
    for number in numbers:
        work.tell(Done(0, page(number)))


# A job's way


def test_a_job_goes_its_way(house):
    store = house.begin()
    record = house.accept(password="secret", pages="1-3")
    work = house.desk.work
    assert (work.name, work.client, work.numbers, work.durable) == ("paper.pdf", "ann", (1, 2, 3), True)
    assert work.options == Options(mode="base", password="secret", pages="1-3")
    assert Path(work.path).read_bytes() == b"%PDF-1.7"
    assert (house.entry(record).state, store.index.find(record.id, "ann")) == ("waiting", "waiting")
    work.tell(Opened(0, (1, 2, 3)))
    assert (house.entry(record).state, store.index.find(record.id, "ann")) == ("open", "reading")
    read(work, 3, 1, 1, 3)
    assert house.pages(record) == [1, 3]
    read(work, 2)
    work.tell(Over())
    assert house.pages(record) == [1, 2, 3]
    assert (house.entry(record).state, store.counts()) == (
        "done", {"waiting": 0, "reading": 0, "done": 1, "failed": 0},
    )  # fmt: skip
    assert house.changed.count(record.id) >= 3
    assert house.desk.works == []


def test_nobody_else_may_read_what_was_sent(house):
    house.begin()
    record = house.accept(password="secret")
    folder = house.path(record)
    assert stat.S_IMODE(folder.stat().st_mode) == stat.S_IMODE(folder.parent.stat().st_mode) == 0o700
    assert stat.S_IMODE((folder / "request.json").stat().st_mode) == 0o600
    assert "secret" in (folder / "request.json").read_text()
    assert "secret" not in repr(record)


def test_pages_become_durable_in_groups_and_are_told_of_only_then(house):
    house.begin()
    record = house.accept()
    work = house.desk.work
    work.tell(Opened(0, (1, 2, 3)))
    house.store.tick()
    house.changed.clear()
    house.store._committed = time.monotonic()
    read(work, 1)
    assert house.changed == []
    house.store.tick()
    assert house.changed == [record.id]
    house.changed.clear()
    house.store._committed -= 1
    read(work, 2)
    assert house.changed == [record.id]


# Restarts


def test_after_a_kill_only_what_is_left_is_read(house):
    house.begin()
    record = house.accept()
    work = house.desk.work
    work.tell(Opened(0, (1, 2, 3)))
    read(work, 2)
    house.store.tick()
    read(work, 3)  # not committed
    house.die()

    house.begin(state="starting", engine=None)
    assert house.desk.works == []
    house.desk.state, house.desk.engine = "ready", FACTS
    house.store.tick()
    work = house.desk.work
    assert (work.numbers, work.client, work.options) == ((1, 3), "ann", record.options)
    work.tell(Opened(0, (1, 3)))
    read(work, 1, 3)
    assert house.pages(record) == [1, 2, 3]
    assert house.entry(record).state == "done"
    house.die()

    house.begin()
    assert house.desk.works == []
    assert house.store.counts()["done"] == 1


def test_of_a_text_only_the_pages_that_are_left_are_asked_for_in_one_go(house):
    house.begin()
    record = house.accept(None, "notes.md")
    work = house.desk.work
    assert (work.numbers, work.options.pages, work.name) == (None, None, "notes.md")
    work.tell(Opened(0, (1, 2, 3, 4)))
    read(work, 2)
    house.store.tick()
    house.die()
    house.begin()
    work = house.desk.work
    assert (work.numbers, work.options.pages) == (None, "1, 3-4")
    work.tell(Opened(0, (1, 3, 4)))
    assert house.entry(record).page_count == 4
    read(work, 1, 3, 4)
    assert house.entry(record).state == "done"


def test_a_job_whose_last_page_was_committed_but_not_its_end_is_finished(house):
    house.begin()
    record = house.accept((1,))
    ledger = house.store._ledger
    document = ledger.find(record.id).id
    ledger.opened(document, [1])
    ledger.add_page(document, page(1))
    ledger.commit()
    house.die()
    house.begin()
    assert house.desk.works == []
    assert house.entry(record).state == "done"


def test_what_is_half_there_is_cleared_away_or_begun(house):
    house.begin()
    kept, lost = house.accept(), house.accept()
    house.die()
    (house.path(lost) / "request.json").unlink()  # a kill before it was written
    unknown = replace(kept, id=new_id(), created=kept.created + 1)
    folder = house.path(unknown)
    folder.mkdir()
    (folder / unknown.input).write_bytes(b"%PDF")
    (folder / "request.json").write_bytes(as_bytes(unknown))  # a kill before it was in the ledger
    (house.folder / "jobs" / ".going-1").mkdir()
    (house.folder / "jobs" / "notes of the operator").mkdir()
    house.begin()
    assert [work.path.rpartition("/")[2] for work in house.desk.works] == [kept.input, unknown.input]
    assert {path.name for path in (house.folder / "jobs").iterdir()} == {kept.id, unknown.id, "notes of the operator"}
    with read_ledger(house.folder) as ledger:
        assert {entry.name for entry in ledger.entries()} == {kept.id, unknown.id}
    with pytest.raises(NotFound):
        house.store.index.find(lost.id, "ann")


def test_a_request_that_cannot_be_understood_costs_itself_only(house, caplog):
    house.begin()
    kept, damaged = house.accept(), house.accept()
    house.die()
    (house.path(damaged) / "request.json").write_text("{}")
    house.begin()
    assert [work.path for work in house.desk.works] == [str(house.store.folders.path(kept))]
    assert damaged.id in caplog.text
    assert house.path(damaged).exists()  # for as long as a job is kept
    os.utime(house.path(damaged), (1, 1))
    house.store.close()
    house.begin()
    house.store.close()
    assert not house.path(damaged).exists()


def test_an_engine_that_does_not_know_the_mode_fails_the_job_and_says_so(house):
    house.begin()
    record = house.accept()
    house.die()
    house.begin(engine=EngineFacts("other", "native", Capabilities(("native",))))
    entry = house.entry(record)
    assert (entry.state, house.desk.works) == ("failed", [])
    assert "does not read mode 'base'" in entry.error


# Trouble of documents and of the engine


def test_a_document_that_is_refused_fails_with_what_is_wrong(house):
    house.begin()
    record = house.accept(None)
    house.desk.work.tell(Over(InputError(f"{record.name} is no text", "send a text"), "cannot be opened"))
    entry = house.entry(record)
    assert (entry.state, entry.error, entry.cause) == (
        "failed",
        "paper.pdf is no text\nsend a text",
        "cannot be opened",
    )


def test_pages_that_do_not_come_are_failed_in_their_places(house):
    house.begin()
    record = house.accept()
    work = house.desk.work
    work.tell(Opened(0, (1, 2, 3)))
    read(work, 2)
    work.tell(Over(InputError("it ends here"), "changed"))
    with_failures = house.entry(record)
    assert (with_failures.state, with_failures.failed_pages) == ("done", 2)
    with read_ledger(house.folder) as ledger:
        results = list(ledger.results(with_failures.id))
    assert [result.status for result in results] == ["failed", "ok", "failed"]
    assert results[0].error == "it ends here"


def test_an_engine_that_breaks_is_tried_again_with_growing_pauses_and_not_for_ever(house):
    house.begin()
    record = house.accept()
    pauses = []
    for _ in range(TRIES - 1):
        house.desk.work.tell(Over(EngineError("it fell over"), "engine error"))
        house.store.tick()
        assert house.desk.works == []
        (course,) = house.store._courses.values()
        pauses.append(round(course.due - time.monotonic()))
        course.due = 0
        house.store.tick()
    assert pauses == [1, 2, 4, 8]
    house.desk.work.tell(Over(EngineError("it fell over"), "engine error"))
    entry = house.entry(record)
    assert (entry.state, entry.cause, entry.error.partition("\n")[0]) == ("failed", "engine", "it fell over")


def test_an_engine_that_comes_on_by_a_page_at_a_time_is_given_time(house):
    house.begin()
    record = house.accept(tuple(range(1, TRIES + 3)))
    for number in range(1, TRIES + 3):
        work = house.desk.work
        work.tell(Opened(0, work.numbers))
        read(work, number)
        if number < TRIES + 2:
            work.tell(Over(EngineError("it fell over"), "engine error"))
            house.store._courses[record.id].due = 0
            house.store.tick()
    assert house.entry(record).state == "done"


def test_while_the_engine_is_not_to_be_had_jobs_wait(house):
    house.begin(state="broken")
    record = house.accept()
    house.store.tick()
    assert house.desk.works == []
    house.desk.state, house.desk.refuses = "ready", Draining("not yet", 5)
    house.store.tick()
    house.desk.refuses = None
    house.store.tick()
    assert house.desk.works == []  # it is asked when it said
    house.store._courses[record.id].due = 0
    house.store.tick()
    assert house.desk.work.numbers == (1, 2, 3)


def test_what_comes_of_an_earlier_turn_is_of_no_use(house):
    house.begin()
    record = house.accept()
    first = house.desk.work
    first.tell(Opened(0, (1, 2, 3)))
    first.tell(Over(EngineError("it fell over")))
    first.tell(Done(0, page(3)))
    house.store._courses[record.id].due = 0
    house.store.tick()
    first.tell(Done(0, page(1)))
    first.tell(Over(InputError("late")))
    assert (house.pages(record), house.entry(record).state) == ([], "open")


def test_a_mistake_of_ours_costs_the_job_it_happens_with(house, monkeypatch, caplog):
    house.begin()
    bad, good = house.accept(), house.accept((1,))
    works = {work.path: work for work in house.desk.works}
    whole = Course._done

    def careless(self, ledger, result, cause):
        if self.record == bad:
            raise ZeroDivisionError
        return whole(self, ledger, result, cause)

    monkeypatch.setattr(Course, "_done", careless)
    for record in (bad, good):
        work = works[str(house.store.folders.path(record))]
        work.tell(Opened(0, work.numbers))
        read(work, 1)
    assert (house.entry(bad).state, house.entry(good).state) == ("failed", "done")
    assert works[str(house.store.folders.path(bad))].cancelled
    assert "ZeroDivisionError" in caplog.text


# Trouble of the disk


def fill_the_disk(ledger: Ledger) -> None:
    """SQLite finds no room for another page of the database."""
    (pages,) = ledger.connection.execute("PRAGMA page_count").fetchone()
    ledger.connection.execute(f"PRAGMA max_page_count = {pages}")


def reopen(store: JobStore) -> None:
    store._reopen = 0
    store.tick()


def test_a_full_disk_costs_what_was_not_committed_and_the_jobs_go_on_when_there_is_room(house, caplog):
    house.begin()
    record, other = house.accept(tuple(range(1, 41))), house.accept()
    work, other_work = house.desk.works
    house.desk.works.clear()
    work.tell(Opened(0, work.numbers))
    read(work, 1)
    house.store.tick()
    fill_the_disk(house.store._ledger)
    for number in range(2, 41):
        work.tell(Done(0, page(number, text=str(random.Random(number).randbytes(5000)))))
    house.store.tick()
    assert (work.cancelled, other_work.cancelled, house.store._ledger) == (True, True, None)
    assert "trouble" in caplog.text
    read(work, 2)  # late: nothing happens
    house.store.tick()
    assert house.store._ledger is None  # not at once
    with pytest.raises(OutputError):
        house.accept()
    assert len([path for path in (house.folder / "jobs").iterdir() if not path.name.startswith(".going")]) == 2

    reopen(house.store)
    again, other_again = house.desk.works
    assert (again.numbers, other_again.numbers) == (tuple(range(2, 41)), (1, 2, 3))
    again.tell(Opened(0, again.numbers))
    read(again, *again.numbers)
    assert house.pages(record) == list(range(1, 41))
    assert house.entry(record).state == "done"
    assert house.store.index.find(other.id, "ann") == "waiting"


def test_a_disk_that_stays_full_is_asked_less_and_less_often(house, monkeypatch):
    house.begin()

    def full(*args, **more):
        raise OutputError("cannot write the ledger (No space left on device)")

    house.store._lose_ledger(OutputError("full"))
    monkeypatch.setattr(keeper, "open_ledger", full)
    pauses = []
    for _ in range(8):
        reopen(house.store)
        pauses.append(round(house.store._reopen - time.monotonic()))
    assert pauses == sorted(pauses)
    assert (pauses[0], pauses[-1]) == (4, 60)


def test_a_job_that_comes_while_the_ledger_is_opened_again_is_read_once(house):
    house.begin()
    house.store._lose_ledger(OutputError("full"))

    def move(path: Path) -> None:
        path.write_bytes(b"%PDF")

    record = Record(new_id(), "a.pdf", "ann", 1.0, "fake", Options(mode="base"), (1,))
    stamp = house.store.folders.add(record, move)
    reopen(house.store)
    house.store._begin(record, stamp)
    assert house.desk.work.numbers == (1,)


def test_an_upload_that_cannot_be_stored_leaves_nothing(house):
    house.begin()

    def no_room(path: Path) -> None:
        path.write_bytes(b"half of")
        raise OSError(errno.ENOSPC, "No space left on device")

    record = Record(new_id(), "a.pdf", "ann", 1.0, "fake", Options())
    with pytest.raises(OutputError, match="No space left"):
        house.store.accept(record, no_room)
    assert list((house.folder / "jobs").iterdir()) == []
    assert house.entry(record) is None


@pytest.mark.parametrize("ruin", ["torn", "emptied", "lost", "scribbled on"])
def test_a_damaged_ledger_is_made_anew_and_every_job_is_finished(house, ruin, caplog):
    house.begin()
    done, under_way = house.accept((1,)), house.accept()
    first, second = house.desk.works
    first.tell(Opened(0, (1,)))
    read(first, 1)
    second.tell(Opened(0, (1, 2, 3)))
    read(second, 2)
    house.store.close()
    path = house.folder / ".ocrpress" / "ledger.sqlite"
    data = path.read_bytes()
    if ruin == "lost":
        path.unlink()
    else:
        middle = len(data) // 2
        path.write_bytes(
            {"torn": data[:middle], "emptied": b"", "scribbled on": data[:100] + b"\xff" * 3000 + data[3100:]}[ruin]
        )
    house.begin()
    assert "made anew" in caplog.text
    for work in house.desk.works:
        work.tell(Opened(0, work.numbers))
        read(work, *work.numbers)
    for record, pages in ((done, [1]), (under_way, [1, 2, 3])):
        assert house.pages(record) == pages
        assert house.entry(record).state == "done"


def test_a_ledger_that_turns_out_to_be_damaged_is_made_anew_while_the_service_runs(house):
    house.begin()
    record = house.accept()
    work = house.desk.work
    work.tell(Opened(0, (1, 2, 3)))
    read(work, 1, 2)
    house.store.tick()
    house.store._ledger.execute("UPDATE pages SET result = ? WHERE number = 2", (b"spoilt",))
    house.store.tick()
    house.store._opened_at -= 100
    house.store.mend(LedgerError("a page is damaged"))
    house.store.mend(LedgerError("a page is damaged"))
    assert work.cancelled
    reopen(house.store)
    again = house.desk.work
    assert again.numbers == (2, 3)
    house.store.mend(LedgerError("somebody who read the old one"))
    assert not again.cancelled
    again.tell(Opened(0, (2, 3)))
    read(again, 2, 3)
    assert house.pages(record) == [1, 2, 3]


def test_a_ledger_that_goes_away_in_the_middle_is_noticed(house):
    house.begin()
    record = house.accept()
    work = house.desk.work
    work.tell(Opened(0, (1, 2, 3)))
    house.store.tick()
    for path in (house.folder / ".ocrpress").glob("ledger.sqlite*"):
        path.unlink()
    read(work, 1)
    house.store.tick()
    assert house.store._ledger is None
    reopen(house.store)
    assert house.desk.work.numbers == (1, 2, 3)
    assert house.entry(record).state == "waiting"


def test_two_services_do_not_share_a_folder(house):
    house.begin()
    other = House(house.folder)
    with pytest.raises(UsageError, match="is writing to"):
        other.begin()
    del other.store


# Jobs that go


def test_a_job_is_deleted_while_it_is_read(house):
    house.begin()
    record, kept = house.accept(), house.accept()
    work = house.desk.works[0]
    work.tell(Opened(0, (1, 2, 3)))
    read(work, 1)
    house.store.tick()
    house.store.remove(record.id)
    assert work.cancelled
    read(work, 2)
    assert house.entry(record) is None
    assert not house.path(record).exists()
    with pytest.raises(Gone):
        house.store.index.find(record.id, "ann")
    house.store.remove(record.id)
    house.die()
    house.begin()
    assert [work.path for work in house.desk.works] == [str(house.store.folders.path(kept))]


def test_a_job_that_was_deleted_while_the_ledger_was_in_trouble_does_not_come_back(house):
    house.begin()
    record = house.accept()
    house.store._lose_ledger(OutputError("full"))
    house.store.remove(record.id)
    house.desk.works.clear()
    reopen(house.store)
    assert house.desk.works == []
    assert house.entry(record) is None


def test_finished_jobs_are_kept_for_a_while_and_then_go(house):
    house.given = {"keep_hours": 1.0}
    house.begin()
    old, young, unfinished = house.accept((1,)), house.accept((1,)), house.accept()
    for work in house.desk.works[:2]:
        work.tell(Opened(0, (1,)))
        read(work, 1)
    house.store.tick()
    house.store._ledger.execute(
        "UPDATE documents SET finished = ? WHERE name = ?", (time.time() - 3700, old.id.encode())
    )
    house.store._expired = 0
    house.store.tick()
    assert house.entry(old) is None
    assert not house.path(old).exists()
    assert (house.entry(young).state, house.entry(unfinished).state) == ("done", "waiting")
    with pytest.raises(Gone, match="expired"):
        house.store.index.find(old.id, "ann")


def test_an_expired_job_that_cannot_be_removed_troubles_nobody(house, monkeypatch, caplog):
    house.given = {"keep_hours": 1e-9}
    house.begin()
    house.accept((1,))
    work = house.desk.work
    work.tell(Opened(0, (1,)))
    read(work, 1)

    def fail(job):
        raise OutputError("cannot write")

    monkeypatch.setattr(house.store.folders, "remove", fail)
    house.store._expired = 0
    house.store.tick()
    assert house.store._ledger
    assert "cannot be removed" in caplog.text


# Limits, and whose jobs they are


def test_there_is_an_end_to_the_jobs_that_are_taken(house):
    house.given = {"max_jobs": 2}
    store = house.begin()
    house.accept((1,))
    work = house.desk.work
    with store.reserved():
        with pytest.raises(Full) as raised, store.reserved():
            pass
        assert 5 <= raised.value.retry_after <= 600
    with store.reserved():
        house.accept()
    with pytest.raises(Full), store.reserved():
        pass
    work.tell(Opened(0, (1,)))
    read(work, 1)
    with store.reserved():
        pass


@pytest.mark.parametrize(("tokens", "seen"), [({"t": "ann"}, False), ({}, True)])
def test_with_tokens_clients_see_their_own_jobs_only(house, tokens, seen):
    house.given = {"tokens": tokens}
    store = house.begin()
    mine, theirs, newer = house.accept(), house.accept(client="bob"), house.accept()
    assert store.index.jobs_of("ann", 10) == [newer.id, mine.id]
    assert store.index.jobs_of("ann", 1) == [newer.id]
    assert store.index.find(mine.id, "ann") == "waiting"
    if seen:
        assert store.index.find(theirs.id, "ann") == "waiting"
    else:
        with pytest.raises(NotFound):
            store.index.find(theirs.id, "ann")
        store.remove(theirs.id)
        with pytest.raises(NotFound):
            store.index.find(theirs.id, "ann")
    with pytest.raises(NotFound, match="no job's id"):
        store.index.find("../../etc/passwd", "ann")


# What was asked


def full_record() -> Record:
    options = Options(
        mode="gundam", task="locate=Überschrift", max_tokens=9, retries=3, temperatures=(0.1, 0.7), dpi=99.5,
        pages="1-3,7", password="päss\n\"'", max_tiles=4,
    )  # fmt: skip
    return Record(
        new_id(), "日本語 “x”.pdf", "ann", 1.25, "deepseek", options, (1, 2, 3, 7), "json", WriterOptions(True, "none")
    )


def test_a_request_comes_back_as_it_was_written():
    for record in (full_record(), replace(full_record(), numbers=None, options=Options())):
        assert of_bytes(as_bytes(record)) == record


def test_a_damaged_request_is_known_as_one():
    chance, data = random.Random(1), as_bytes(full_record())
    plain = json.loads(data)
    values = [None, 5, -1.5, "x", [], {}, [[1]], True, float("nan"), "1-999999999999"]
    for name in plain:
        for value in values:
            refuse_or_read(json.dumps(plain | {name: value}).encode())
        for part in plain[name] if isinstance(plain[name], dict) else ():
            for value in values:
                refuse_or_read(json.dumps(plain | {name: plain[name] | {part: value}}).encode())
        with pytest.raises(ValueError, match=r"."):
            of_bytes(json.dumps({key: plain[key] for key in plain if key != name}).encode())
    for _ in range(500):
        spoilt = bytearray(data)
        for _ in range(chance.randint(1, 5)):
            spoilt[chance.randrange(len(spoilt))] = chance.randrange(256)
        refuse_or_read(bytes(spoilt))


def refuse_or_read(data: bytes) -> None:
    with contextlib.suppress(ValueError):
        of_bytes(data)


def test_errors_come_back_from_the_ledger_as_they_were():
    from ocrpress.server.jobs.course import as_error, as_text

    for error, cause in (
        (PasswordError("it is encrypted", "give the field password"), "password"),
        (EngineError("it fell over"), "engine"),
        (InputError("no\nPDF", ""), "cannot be opened"),
        (UsageError("no such mode", "take another"), "options"),
    ):
        found = as_error(as_text(error), cause)
        assert (type(found), found.message, found.advice) == (
            type(error), " ".join(error.message.split()), error.advice,
        )  # fmt: skip


def test_the_ledger_is_one_of_a_batch(house):
    house.begin()
    record = house.accept((1,))
    work = house.desk.work
    work.tell(Opened(0, (1,)))
    read(work, 1)
    house.store.close()
    with open_ledger(house.folder) as ledger:
        assert ledger.find(record.id).page_count == 1
        assert ledger.row("SELECT COUNT(*), MIN(exit_code), SUM(pages) FROM runs") == (1, 0, 1)
        assert sqlite3.connect(ledger.path).execute("PRAGMA integrity_check").fetchone() == ("ok",)
