"""A batch in figures: right against figures taken by hand, while a run writes, and on a ledger that is damaged."""

from __future__ import annotations

import os
import random
import signal
import sqlite3
import statistics
import subprocess
import sys
import time

import pytest
from batchmaker import ABOUT, Batch, page
from conftest import environment

from ocrpress.errors import LedgerError, OcrpressError, UsageError
from ocrpress.jobs.ledger.schema import LEDGER, state_folder
from ocrpress.jobs.report import tallies
from ocrpress.jobs.report.failures import LISTED
from ocrpress.jobs.report.summary import summarise
from ocrpress.jobs.report.tallies import EDGES, histogram


def change(folder, *statements: str) -> None:
    """Change a ledger behind its back."""
    with sqlite3.connect(state_folder(folder) / LEDGER) as connection:
        for statement in statements:
            connection.execute(statement)
    connection.close()


def test_an_empty_batch_is_all_zeros(tmp_path):
    with Batch(tmp_path) as batch:
        batch.end(0)
    found = summarise(tmp_path)
    assert (found.documents.found, found.pages.finished, found.timing, found.slowest) == (0, 0, None, ())
    assert found.state == "finished"
    assert found.is_well
    assert found.overall.a_day == found.recent.a_day == 0


def test_documents_and_pages_are_counted_by_state(tmp_path):
    with Batch(tmp_path) as batch:
        batch.add("done.pdf", [page(1), page(2, "blank", attempts=()), page(3, tries=3)])
        batch.add("marred.pdf", [page(1), page(2, "failed", error="over and over")])
        batch.add("open.pdf", [page(1), page(4, "failed")], count=10)
        batch.add("waiting-1.pdf")
        batch.add("waiting-2.pdf")
        batch.ledger.fail(batch.add("locked.pdf"), "locked.pdf is encrypted", "password")
        batch.end(None)
        found = summarise(tmp_path)
    documents, pages = found.documents, found.pages
    assert (documents.found, documents.done, documents.with_failed_pages) == (6, 2, 1)
    assert (documents.open, documents.waiting, documents.failed) == (1, 2, 1)
    assert (pages.known, pages.ok, pages.blank, pages.failed, pages.left) == (15, 4, 1, 2, 8)
    assert pages.finished == 7
    assert pages.retried == 1
    assert pages.expected == 25  # 15 of three documents, so 10 more of two
    assert found.tokens.vision == 7 * 256
    assert found.tokens.sequence == 7 * 273
    assert found.tokens.output == 6 * 50
    assert found.run is not None
    assert found.run.about == ABOUT
    assert found.options == (({"engine": "fake", "mode": "base"}, 6),)
    stages = {name: seconds for name, seconds in found.stages.items() if name != "ledger"}
    assert stages == pytest.approx({"detect": 7 * 0.075, "render": 7 * 0.025})


def test_an_engine_without_tokens_has_none(tmp_path):
    with Batch(tmp_path) as batch:
        batch.add("x.pdf", [page(1, plan=None, attempts=())])
        batch.end(0)
    assert summarise(tmp_path).tokens.output is None


@pytest.mark.parametrize(
    ("code", "waits", "state", "well"),
    [(0, False, "finished", True), (1, False, "finished", False), (0, True, "stopped", False),
     (130, False, "stopped", False), (4, True, "stopped", False), (None, False, "stopped", False)],
)  # fmt: skip
def test_a_batch_that_does_not_run_is_finished_or_was_stopped(tmp_path, code, waits, state, well):
    with Batch(tmp_path) as batch:
        batch.add("x.pdf", [page(1)])
        if waits:
            batch.add("y.pdf")
        batch.end(code)
    found = summarise(tmp_path)
    assert (found.state, found.is_well) == (state, well)
    assert found.seconds_left is None


def test_a_batch_runs_as_long_as_its_process_holds_the_lock(tmp_path):
    with Batch(tmp_path) as batch:
        batch.add("x.pdf", [page(1)])
        batch.end(None)
        assert summarise(tmp_path).state == "running"
        assert summarise(tmp_path).is_well
        batch.end(0)  # the report is written then, before the lock is given back
        assert summarise(tmp_path).state == "finished"


def test_a_new_run_is_running_before_it_has_said_so(tmp_path):
    with Batch(tmp_path) as batch:
        batch.add("x.pdf", [page(1)])
        batch.end(0)
    change(tmp_path, "UPDATE runs SET pid = pid + 1")
    with Batch(tmp_path) as batch:
        assert summarise(tmp_path).state == "running"


def test_a_run_that_was_killed_is_stopped_at_once(tmp_path):
    code = """import sys, time; from pathlib import Path; from batchmaker import Batch, page
batch = Batch(Path(sys.argv[1])); batch.add("x.pdf", [page(1)], count=2); batch.end(None); print("here", flush=True)
time.sleep(60)"""
    command = [sys.executable, "-c", code, str(tmp_path)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, env=environment()) as process:
        assert process.stdout.readline() == b"here\n"
        running = summarise(tmp_path)
        assert running.state == "running"
        assert running.run.pid == process.pid
        process.send_signal(signal.SIGKILL)
    stopped = summarise(tmp_path)
    assert stopped.state == "stopped"
    assert not stopped.is_well
    assert stopped.pages.ok == 1


def test_rates_leave_out_the_pauses_between_runs(tmp_path):
    with Batch(tmp_path) as batch:
        batch.add("x.pdf", [page(number) for number in range(1, 101)])
        batch.ledger.start_run(ABOUT)
        batch.add("y.pdf", [page(number) for number in range(1, 21)])
        batch.end(0)
    change(
        tmp_path,
        "UPDATE runs SET started = 1000, beat = 1050, ended = NULL WHERE id = 1",
        "UPDATE runs SET started = 9000, beat = 9150, ended = 9150 WHERE id = 2",
        "UPDATE pages SET finished = 1000 + number WHERE document = 1",
        "UPDATE pages SET finished = 9150 - 5 * number WHERE document = 2",
        "UPDATE documents SET finished = 1050 WHERE id = 1",
        "UPDATE documents SET finished = 9150 WHERE id = 2",
    )
    found = summarise(tmp_path)
    assert (found.runs, found.overall.pages, found.overall.seconds) == (2, 120, 200)
    assert found.overall.a_second == pytest.approx(0.6)
    assert (found.recent.pages, found.recent.seconds) == (11, 60)
    assert found.recent.a_day == pytest.approx(11 / 60 * 86400)


def test_the_time_left_is_that_of_the_expected_pages_at_the_recent_rate(tmp_path):
    with Batch(tmp_path) as batch:
        batch.add("x.pdf", [page(number) for number in range(1, 31)])
        batch.add("y.pdf")
        batch.end(None)
        change(
            tmp_path, "UPDATE runs SET started = 1000, beat = 1010", "UPDATE pages SET finished = 1000 + number / 3.0",
            "UPDATE documents SET finished = 1010 WHERE id = 1",
        )  # fmt: skip
        found = summarise(tmp_path, now=1011)
    assert found.state == "running"
    assert found.pages.expected == 60
    assert found.seconds_left == pytest.approx(30 / 3, rel=0.05)


def test_seconds_a_page_agree_with_the_statistics_module(tmp_path):
    chance = random.Random(3)
    seconds = [chance.lognormvariate(-1, 1) for _ in range(400)]
    with Batch(tmp_path) as batch:
        for part in range(8):
            batch.add(f"{part}.pdf", [page(n + 1, seconds=seconds[50 * part + n]) for n in range(50)])
        batch.add("slow.pdf", [page(1, "failed", seconds=1e6)])  # says nothing of how long reading takes
        batch.end(1)
    found = summarise(tmp_path)
    timing = found.timing
    assert timing is not None
    assert not timing.sampled
    assert timing.looked_at == sum(each.pages for each in timing.bins) == 400
    assert timing.mean == pytest.approx(statistics.mean(seconds))
    assert timing.median == pytest.approx(statistics.median(seconds))
    assert timing.p95 == pytest.approx(sorted(seconds)[379])
    for each in timing.bins:
        assert each.pages == sum(each.low <= value < each.high for value in seconds)
    slowest = [each.seconds for each in found.slowest]
    assert slowest == pytest.approx([1e6, *sorted(seconds, reverse=True)[:9]])
    assert found.slowest[0].document == "slow.pdf"


def test_the_histogram_has_a_place_for_everything():
    for value in (0.0, 1e-9, *EDGES, 0.0999999, 86_400.0, 1e9):
        (only,) = histogram([value])
        assert only.low <= value < only.high
    assert histogram([]) == ()
    assert [each.pages for each in histogram([0.1, 0.12, 0.3])] == [2, 0, 0, 1]


@pytest.mark.parametrize("enough", [1, 1000])
def test_a_large_ledger_is_read_in_parts_with_the_same_result(tmp_path, monkeypatch, enough):
    chance = random.Random(5)
    with Batch(tmp_path) as batch:
        for number in range(40):
            states = chance.choices(["ok", "blank", "failed"], [8, 1, 1], k=chance.randint(1, 30))
            pages = [
                page(n + 1, state, chance.lognormvariate(0, 1), tries=chance.choice([1, 1, 2]))
                for n, state in enumerate(states)
            ]
            batch.add(f"{number}.pdf", pages)
        batch.end(1)
    whole = summarise(tmp_path)
    monkeypatch.setattr(tallies, "PARALLEL_FROM", 1)
    monkeypatch.setattr(tallies, "_cores", lambda: 7)
    parts = summarise(tmp_path)
    assert (parts.pages, parts.tokens, parts.slowest) == (whole.pages, whole.tokens, whole.slowest)
    assert parts.timing.mean == pytest.approx(whole.timing.mean)
    assert parts.timing.bins == whole.timing.bins
    monkeypatch.setattr(tallies, "SAMPLE", 100)
    monkeypatch.setattr(tallies, "ENOUGH", enough)
    sampled = summarise(tmp_path)
    assert sampled.timing.sampled
    assert 20 <= sampled.timing.looked_at <= 200
    assert sampled.timing.mean == pytest.approx(whole.timing.mean)  # of all pages, sample or not
    assert sampled.pages == whole.pages
    assert sampled.slowest == whole.slowest


def test_failures_are_counted_by_cause_and_told_one_by_one(tmp_path):
    with Batch(tmp_path) as batch:
        crashed = page(2, "failed", error="killed (SIGKILL)", attempts=())
        batch.add("a.pdf", [page(1, "failed", error="over and over"), crashed], p2="crash")
        batch.add("b.pdf", [page(1, "failed", error="again")], count=3)  # still being read
        batch.add("c.pdf", [page(1)])
        for name in ("x.pdf", "y.pdf"):
            batch.ledger.fail(batch.add(name), f"{name} is encrypted", "password")
        batch.ledger.fail(batch.add("z.pdf"), "z.pdf is empty", "empty")
        batch.ledger.note("/in/shut", "may not be read")
        batch.end(1)
    failures = summarise(tmp_path).failures
    assert [(each.cause, each.count, each.example) for each in failures.page_causes] == [
        ("loop", 2, "over and over"), ("crash", 1, "killed (SIGKILL)"),
    ]  # fmt: skip
    assert [(each.cause, each.count, each.example) for each in failures.document_causes] == [
        ("password", 2, "x.pdf is encrypted"), ("empty", 1, "z.pdf is empty"),
    ]  # fmt: skip
    assert [(each.document, each.number, each.cause) for each in failures.pages] == [
        ("a.pdf", 1, "loop"), ("a.pdf", 2, "crash"), ("b.pdf", 1, "loop"),
    ]  # fmt: skip
    assert [each.document for each in failures.documents] == ["x.pdf", "y.pdf", "z.pdf"]
    assert [(each.path, each.why) for each in failures.left_out] == [("/in/shut", "may not be read")]
    assert failures.left_out_count == 1


def test_what_an_earlier_run_left_out_is_not_told_again(tmp_path):
    with Batch(tmp_path) as batch:
        batch.ledger.note("/in/shut", "may not be read")
        batch.end(1)
    with Batch(tmp_path) as batch:
        batch.end(0)
    assert summarise(tmp_path).failures.left_out == ()


def test_of_very_many_failures_only_the_first_are_told(tmp_path):
    with Batch(tmp_path) as batch:
        batch.add("a.pdf", [page(n, "failed", error="x" * 5000) for n in range(1, 251)])
        for number in range(210):
            batch.ledger.fail(batch.add(f"{number}.pdf"), "", "")
            batch.ledger.note(f"/in/{number}", "a socket")
        batch.end(1)
    found = summarise(tmp_path)
    assert len(found.failures.pages) == len(found.failures.documents) == len(found.failures.left_out) == LISTED == 200
    assert (found.pages.failed, found.documents.failed, found.failures.left_out_count) == (250, 210, 210)
    assert found.failures.pages[-1].number == 200
    assert len(found.failures.pages[0].error) < 2100
    assert found.failures.document_causes[0].cause == "unknown"


@pytest.mark.parametrize("name", [b"a\nb.pdf", b"\xff\xfe.pdf", b"x\x1b[31m.pdf", b"\xe2\x80\xae.pdf", b"n" * 250])
def test_names_of_any_bytes_are_one_printable_line(tmp_path, name):
    with Batch(tmp_path) as batch:
        batch.add(os.fsdecode(name), [page(1, "failed")])
        batch.end(1)
    (found,) = summarise(tmp_path).failures.pages
    assert found.document.isprintable()
    assert found.path == os.fsdecode(b"/in/" + name)


def test_only_what_is_committed_is_seen_and_nothing_is_changed(tmp_path):
    with Batch(tmp_path) as batch:
        batch.add("x.pdf", [page(1)])
        batch.end(None)
        batch.add("y.pdf", [page(1)])
        assert summarise(tmp_path).documents.found == 1
        batch.ledger.commit()  # the reader has locked nobody out
        assert summarise(tmp_path).documents.found == 2
    before = (state_folder(tmp_path) / LEDGER).read_bytes()
    summarise(tmp_path)
    assert (state_folder(tmp_path) / LEDGER).read_bytes() == before


def test_a_folder_without_a_batch_is_refused(tmp_path):
    for folder in (tmp_path, tmp_path / "missing"):
        with pytest.raises(UsageError, match="no batch"):
            summarise(folder)


def test_a_ledger_of_another_version_is_refused(tmp_path):
    with Batch(tmp_path) as batch:
        batch.end(0)
    change(tmp_path, "PRAGMA user_version = 7")
    with pytest.raises(LedgerError, match="version 7"):
        summarise(tmp_path)


def test_a_damaged_ledger_gives_figures_or_a_clear_error_and_never_anything_else(tmp_path):
    with Batch(tmp_path) as batch:
        for number in range(30):
            batch.add(f"{number}.pdf", [page(n, "failed" if n == 2 else "ok") for n in range(1, 6)])
        batch.ledger.note("/in/shut", "may not be read")
        batch.end(1)
    path = state_folder(tmp_path) / LEDGER
    whole, chance, refused = path.read_bytes(), random.Random(11), 0
    until = time.monotonic() + 5
    for _ in range(60):
        damaged = bytearray(whole)
        for _ in range(chance.choice([1, 20, 400])):
            damaged[chance.randrange(len(damaged))] = chance.randrange(256)
        path.write_bytes(damaged[: chance.choice([len(damaged), chance.randrange(len(damaged))])])
        try:
            summarise(tmp_path)
        except OcrpressError as error:
            assert "\n" not in str(error)
            refused += 1
        if time.monotonic() > until:
            break
    assert refused > 10
