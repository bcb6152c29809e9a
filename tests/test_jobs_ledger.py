"""The ledger of a batch: what was committed stays, whatever happens to the process or the disk."""

from __future__ import annotations

import contextlib
import errno
import hashlib
import json
import os
import random
import shutil
import signal
import socket
import sqlite3
import tempfile
import time
from dataclasses import replace
from pathlib import Path

import pytest
from ledger_tools import begin, contents, page, run_python, stamp, state, write

from ocrpress.document import Attempt
from ocrpress.errors import LedgerError, OutputError, UsageError
from ocrpress.jobs.ledger.book import Stamp, as_numbers, as_ranges, open_ledger, read_ledger
from ocrpress.jobs.ledger.lock import holder

ODD_NAMES = [
    "a b.pdf", "line\nbreak.pdf", "caf\udce9.pdf", "\udcff\udcfe/\udc80.pdf", "x" * 251 + ".pdf", "日本語.pdf",
    "'; --.pdf", 'say "x".pdf', "%41.pdf",
]  # fmt: skip


# A document's way


def test_a_document_goes_its_way(tmp_path):
    with open_ledger(tmp_path) as ledger:
        assert ledger.find("a.pdf") is None
        document = ledger.begin("a.pdf", "/in/a.pdf", "a.pdf.md", stamp("x"), "o")
        entry = ledger.entry(document)
        assert (entry.state, entry.name, entry.path, entry.output) == ("waiting", "a.pdf", "/in/a.pdf", "a.pdf.md")
        assert (entry.stamp, entry.options) == (stamp("x"), "o")
        assert (ledger.is_complete(document), ledger.left(document)) == (False, [])
        assert ledger.opened(document, [3, 1, 2])
        assert ledger.entry(document).state == "open"
        assert ledger.left(document) == [1, 2, 3]
        for number in (3, 1, 2):
            assert not ledger.is_complete(document)
            assert ledger.add_page(document, page(number))
        assert ledger.is_complete(document)
        assert list(ledger.results(document)) == [page(1), page(2), page(3)]
        write(tmp_path, ledger, document)
    with read_ledger(tmp_path) as ledger:
        entry = ledger.find("a.pdf")
        assert (entry.state, entry.page_count, entry.failed_pages, entry.numbers) == ("done", 3, 0, "1-3")
        assert entry.output_bytes == (tmp_path / "a.pdf.md").stat().st_size
        assert entry.output_digest == hashlib.sha256((tmp_path / "a.pdf.md").read_bytes()).hexdigest()
        assert entry.started <= entry.finished <= time.time()
        assert contents(ledger, entry.id) == []
        assert [row[0] for row in ledger.rows("SELECT number FROM pages")] == [1, 2, 3]


def test_what_a_page_was_and_cost_stands_in_its_row(tmp_path):
    attempts = (
        Attempt("deepseek", "base", "end", 1.0, "it loops", output_tokens=7, fault="loop"),
        Attempt("rapid", "native", "end", 1.0, "it loops again", output_tokens=8, fault="cut off"),
    )
    with open_ledger(tmp_path) as ledger:
        document = begin(ledger, pages=5)
        ledger.add_page(document, page(1, attempts=attempts, seconds={"render": 0.25, "read": 0.5}), fallback=True)
        ledger.add_page(document, page(2, "failed", attempts=attempts, error="no\udce9 good"))
        ledger.add_page(document, page(3, "failed", attempts=(), plan=None, error="torn"))
        ledger.add_page(document, page(4, "failed", attempts=()), cause="crash")
        ledger.add_page(document, page(5, "blank", attempts=(), seconds={"render": float("nan")}), cause="no failure")
        rows = ledger.rows(
            "SELECT state, attempts, engine, mode, vision_tokens, sequence_tokens, output_tokens, seconds, error,"
            " cause, fallback FROM pages ORDER BY number"
        )
        assert rows == [
            ("ok", 2, "rapid", "base", 256, 273, 8, 0.75, "", "", 1),
            ("failed", 2, "rapid", "base", 256, 273, 8, 0.25, "no\ufffd\ufffd\ufffd good", "cut off", 0),
            ("failed", 0, "rapid", "base", 0, 0, None, 0.25, "torn", "unreadable page", 0),
            ("failed", 0, "rapid", "base", 256, 273, None, 0.25, "", "crash", 0),
            ("blank", 0, "rapid", "base", 256, 273, None, 0.0, "", "", 0),
        ]
        assert next(ledger.results(document)) == page(1, attempts=attempts, seconds={"render": 0.25, "read": 0.5})
        ledger.finish(document, 0, "", keep=True)
        assert ledger.entry(document).failed_pages == 3


def test_a_document_goes_on_in_the_next_run(tmp_path):
    with open_ledger(tmp_path) as ledger:
        document = begin(ledger, pages=6)
        for number in (5, 1, 2):
            ledger.add_page(document, page(number))
    with open_ledger(tmp_path) as ledger:
        assert ledger.left(document) == [3, 4, 6]
        assert not ledger.is_complete(document)
        assert not ledger.add_page(document, page(5, text="other"))
        for number in (6, 4, 3):
            assert ledger.add_page(document, page(number))
        assert ledger.is_complete(document)
        assert list(ledger.results(document)) == [page(number) for number in range(1, 7)]


def test_long_documents_come_back_in_order_while_they_are_added_to(tmp_path):
    with open_ledger(tmp_path) as ledger:
        document = begin(ledger, pages=200)
        for number in random.Random(1).sample(range(1, 201), 200):
            ledger.add_page(document, page(number))
            if number % 9 == 0:
                ledger.commit()
        assert [result.number for result in ledger.results(document)] == list(range(1, 201))


def test_contents_that_nobody_will_read_are_not_written(tmp_path):
    with open_ledger(tmp_path) as ledger:
        short, kept, long = begin(ledger, "s", 1), begin(ledger, "k", 1), begin(ledger, "l", 2)
        ledger.add_page(long, page(1))
        ledger.commit()
        for document, number in ((short, 1), (kept, 1), (long, 2)):
            ledger.add_page(document, page(number))
            ledger.finish(document, 0, "", keep=document == kept)
        ledger.commit()
        assert [contents(ledger, document) for document in (short, kept, long)] == [[], [1], []]
        assert ledger.rows("SELECT COUNT(*) FROM pages") == [(4,)]


def test_pages_that_nobody_asked_for_are_refused(tmp_path):
    with open_ledger(tmp_path) as ledger:
        waiting = ledger.begin("w", "/w", "w", stamp(), "o")
        document = begin(ledger, pages=2)
        assert not ledger.add_page(waiting, page(1))
        assert not ledger.add_page(document, page(3))
        assert not ledger.add_page(99, page(1))
        assert ledger.add_page(document, page(1))
        assert not ledger.add_page(document, page(1, text="again"))
        ledger.fail(document, "gone", "vanished")
        assert not ledger.add_page(document, page(2))
        assert ledger.rows("SELECT document, number FROM pages") == [(document, 1)]


def test_a_document_that_is_begun_again_has_a_new_number_and_no_pages(tmp_path):
    with open_ledger(tmp_path) as ledger:
        old = begin(ledger)
        ledger.add_page(old, page(1))
        ledger.commit()
        ledger.add_page(old, page(2))
        new = begin(ledger, stamp=stamp("other"))
        assert new != old
        assert not ledger.add_page(old, page(3))
        assert not ledger.opened(old, [1])
        assert not ledger.is_complete(old)
        with pytest.raises(KeyError):
            ledger.left(old)
        assert ledger.left(new) == [1, 2, 3]
        assert ledger.rows("SELECT * FROM pages") == []
    with open_ledger(tmp_path) as ledger:
        assert begin(ledger, "b.pdf") > new


def test_changes_under_the_eyes_of_the_reader_are_counted(tmp_path):
    with open_ledger(tmp_path) as ledger:
        begin(ledger)
        begin(ledger)
        assert ledger.find("a.pdf").changes == 0
        begin(ledger, stamp=stamp("2"))
        document = begin(ledger, stamp=stamp("3"), pages=1)
        assert ledger.find("a.pdf").changes == 2
        ledger.add_page(document, page(1))
        write(tmp_path, ledger, document)
        begin(ledger, stamp=stamp("4"))
        assert ledger.find("a.pdf").changes == 0


def test_a_document_that_opens_with_other_pages_loses_those_it_has_not(tmp_path):
    with open_ledger(tmp_path) as ledger:
        document = begin(ledger, pages=4)
        for number in (1, 3, 4):
            ledger.add_page(document, page(number))
        assert ledger.opened(document, [2, 3])
        assert ledger.left(document) == [2]
        assert ledger.entry(document).page_count == 2
        ledger.add_page(document, page(2))
        assert list(ledger.results(document)) == [page(2), page(3)]


def test_a_document_can_be_touched(tmp_path):
    with open_ledger(tmp_path) as ledger:
        document = begin(ledger)
        ledger.touch(document, "/else/a.pdf", Stamp(1, 2, "d"))
        assert (ledger.entry(document).path, ledger.entry(document).stamp) == ("/else/a.pdf", Stamp(1, 2, "d"))


def test_a_document_that_cannot_be_read_says_why_and_can_be_tried_again(tmp_path):
    with open_ledger(tmp_path) as ledger:
        document = ledger.begin("a", "/a", "a", stamp(), "o")
        ledger.fail(document, "no PDF: caf\udce9", "cannot be opened")
        entry = ledger.entry(document)
        assert (entry.state, entry.cause) == ("failed", "cannot be opened")
        assert entry.error.startswith("no PDF: caf")
        assert not ledger.is_complete(document)
        ledger.reopen(document)
        assert (ledger.entry(document).state, ledger.entry(document).error) == ("waiting", "")
        ledger.opened(document, [1, 2])
        ledger.add_page(document, page(1))
        ledger.fail(document, "crashed", "crash")
        ledger.reopen(document)
        assert (ledger.entry(document).state, ledger.left(document)) == ("open", [2])


def test_failed_pages_can_be_read_again_and_the_document_put_together(tmp_path):
    with open_ledger(tmp_path) as ledger:
        document = begin(ledger)
        for number in (1, 2, 3):
            ledger.add_page(document, page(number, "failed" if number == 2 else "ok"))
        write(tmp_path, ledger, document, keep=True)
        assert ledger.entry(document).failed_pages == 1
    with open_ledger(tmp_path) as ledger:
        assert ledger.drop_failed(document) == 1
        ledger.reopen(document)
        assert ledger.left(document) == [2]
        ledger.add_page(document, page(2))
        assert list(ledger.results(document)) == [page(1), page(2), page(3)]
        write(tmp_path, ledger, document)
        assert (ledger.entry(document).state, ledger.entry(document).failed_pages) == ("done", 0)


def test_a_document_whose_contents_are_gone_is_read_again_as_a_whole(tmp_path):
    with open_ledger(tmp_path) as ledger:
        document = begin(ledger, pages=2)
        for number in (1, 2):
            ledger.add_page(document, page(number))
        write(tmp_path, ledger, document)
        with pytest.raises(LedgerError, match=r"no longer holds page 1 of a\.pdf"):
            list(ledger.results(document))
        ledger.reopen(document)
        assert ledger.left(document) == [1, 2]


@pytest.mark.parametrize("committed", [True, False])
def test_a_document_that_is_removed_leaves_nothing_and_takes_no_more_pages(tmp_path, committed):
    with open_ledger(tmp_path) as ledger:
        kept, document = begin(ledger, "kept", 2), begin(ledger, "gone", 2, output="")
        for each in (kept, document):
            ledger.add_page(each, page(1))
        if committed:
            ledger.commit()
        ledger.remove(document)
        ledger.remove(document)
        assert not ledger.add_page(document, page(2))
        assert (ledger.find("gone"), ledger.left(kept)) == (None, [2])
        again = begin(ledger, "gone", 2, output="")
        assert again > document
        assert ledger.left(again) == [1, 2]
        ledger.remove(again)
    with open_ledger(tmp_path) as ledger:
        assert ledger.rows("SELECT document, number FROM pages") == [(kept, 1)]
        assert [entry.name for entry in ledger.entries()] == ["kept"]


def test_only_complete_documents_are_finished(tmp_path):
    with open_ledger(tmp_path) as ledger:
        document = begin(ledger, pages=2)
        ledger.add_page(document, page(1))
        with pytest.raises(ValueError, match="not complete"):
            ledger.finish(document, 1, "x", keep=False)
        with pytest.raises(KeyError):
            ledger.finish(99, 1, "x", keep=False)
        assert ledger.entry(document).state == "open"


def test_names_may_be_any_bytes(tmp_path):
    with open_ledger(tmp_path) as ledger:
        ledger.start_run({})
        for number, name in enumerate(ODD_NAMES):
            document = begin(ledger, name, 1, output=f"{number}.md")
            ledger.add_page(document, page(1))
            ledger.commit()
            write(tmp_path, ledger, document)
            ledger.note(name, "left out")
    with open_ledger(tmp_path, rebuild=True) as ledger:
        assert [ledger.find(name).path for name in ODD_NAMES] == [f"/in/{name}" for name in ODD_NAMES]
        assert {entry.state for entry in ledger.entries()} == {"done"}
        assert [os.fsdecode(path) for (path,) in ledger.rows("SELECT path FROM notes")] == ODD_NAMES


def test_statements_of_ones_own_see_every_page(tmp_path):
    with open_ledger(tmp_path) as ledger:
        document = begin(ledger)
        ledger.add_page(document, page(1))
        assert ledger.row("SELECT COUNT(*) FROM pages") == (1,)
        ledger.add_page(document, page(2))
        ledger.execute("UPDATE pages SET engine = ? WHERE document = ?", ("other", document))
        assert ledger.rows("SELECT engine FROM pages") == [("other",), ("other",)]
        with pytest.raises(sqlite3.Error, match="no such table"):
            ledger.execute("DELETE FROM nowhere")


def test_entries_can_be_gone_through_while_they_change(tmp_path):
    with open_ledger(tmp_path) as ledger:
        for number in range(250):
            begin(ledger, str(number), 1)
        seen = []
        for entry in ledger.entries("open"):
            ledger.fail(entry.id, "x", "y")
            seen.append(entry.name)
        assert seen == [str(number) for number in range(250)]
        assert [len(list(ledger.entries(found))) for found in ("failed", "open", None)] == [250, 0, 250]


# Outputs


def test_a_place_is_taken_by_outputs_and_their_folders(tmp_path):
    with open_ledger(tmp_path) as ledger:
        for output in ("sub/x.md", "Straße.md", "caf\u00e9.md", "b.md/inner.md", "\udcff.md"):
            ledger.begin(output + "!", "/p", output, stamp(), "o")
        taken = ["sub/x.md", "SUB/X.MD", "sub", "Sub", "sub/x.md/y.md", "STRASSE.md", "cafe\u0301.md", "CAFÉ.md",
                 "b.md", "b.md/inner.md", "b.md/inner.md/z/y.md", "\udcff.md"]  # fmt: skip
        free = ["", "sub/y.md", "x.md", "su", "sub/x.mdx", "sub0", "sub-", "b.md/other.md", "cafe.md", "\udcfe.md"]
        assert [output for output in taken if not ledger.is_taken(output)] == []
        assert [output for output in free if ledger.is_taken(output)] == []
        assert not ledger.is_taken("sub/X.md", by="sub/x.md!")
        assert ledger.is_taken("sub/X.md", by="b.md/inner.md!")
        assert not ledger.is_taken("sub", by="sub/x.md!")


def test_no_two_documents_are_written_to_one_place(tmp_path):
    with open_ledger(tmp_path) as ledger:
        begin(ledger, "a", output="x.md")
        with pytest.raises(ValueError, match=r"x\.MD"):
            begin(ledger, "b", output="x.MD")
        begin(ledger, "b", output="y.md")
        with pytest.raises(ValueError, match=r"x\.md"):
            begin(ledger, "b", output="x.md")
        assert ledger.find("b").output == "y.md"
        for name in ("c", "d"):
            begin(ledger, name, output="")
        begin(ledger, "a", output="X.md")


def test_page_ranges_are_numbers_and_back():
    chance = random.Random(3)
    for _ in range(200):
        numbers = sorted(chance.sample(range(1, 40), chance.randrange(30)))
        assert as_numbers(as_ranges(chance.sample(numbers, len(numbers)))) == numbers
    for wrong in ("x", "1-", "3-1", "1,1", "2,1", "1-5,5", "1-999999999999", ",", "-"):
        with pytest.raises(ValueError):
            as_numbers(wrong)


# Runs


def test_runs_are_told_of(tmp_path):
    with open_ledger(tmp_path) as ledger:
        run = ledger.start_run({"engine": "fake", "inputs": ["caf\udce9"]})
        ledger.save_options("o", '{"mode": "base"}')
        ledger.save_options("o", "other")
        ledger.note("/in/caf\udce9", "unreadable")
        one, two = begin(ledger, "1", 2), begin(ledger, "2", 2)
        ledger.add_page(one, page(1, seconds={"render": 0.25, "read": 1.0}))
        ledger.add_page(one, page(2, "failed"))
        ledger.finish(one, 0, "", keep=False)
        ledger.fail(two, "x", "crash")
        ledger.beat()
        ledger.commit()
        with read_ledger(tmp_path) as reader:
            assert reader.row("SELECT pages, failed, documents, ended FROM runs") == (2, 1, 2, None)
        ledger.end_run(1)
        assert ledger.seconds > 0
    with open_ledger(tmp_path) as ledger:
        assert ledger.start_run({}) == run + 1
        started, ended, beat, pid, stages, about, code = ledger.row(
            "SELECT started, ended, beat, pid, stages, about, exit_code FROM runs WHERE id = ?", (run,)
        )
        assert started <= beat == ended <= time.time()
        assert (pid, code) == (os.getpid(), 1)
        seconds = json.loads(stages)
        assert 0 < seconds.pop("ledger") < 60
        assert seconds == {"render": 0.5, "read": 1.0}
        assert json.loads(about) == {"engine": "fake", "inputs": ["caf\udce9"]}
        assert ledger.rows("SELECT * FROM options") == [("o", '{"mode": "base"}')]
        assert ledger.rows("SELECT * FROM notes") == [(run, b"/in/caf\xe9", "unreadable")]


# One writer, many readers


def test_a_second_run_is_refused_and_told_who_is_there(tmp_path):
    with open_ledger(tmp_path):
        asked = run_python("open_ledger(out)", tmp_path)
        assert f"process {os.getpid()} is writing to {tmp_path}" in asked.communicate(timeout=30)[1].decode()
        with pytest.raises(UsageError, match="wait until it has ended"):
            open_ledger(tmp_path)
        assert holder(state(tmp_path) / "lock").pid == os.getpid()
    assert holder(state(tmp_path) / "lock") is None
    open_ledger(tmp_path).close()


def test_a_run_on_another_machine_is_named(tmp_path, monkeypatch):
    with open_ledger(tmp_path):
        monkeypatch.setattr(socket, "gethostname", lambda: "elsewhere")
        with pytest.raises(UsageError, match=rf"process {os.getpid()} on \S+ is writing"):
            open_ledger(tmp_path)


def test_a_child_that_outlives_the_run_does_not_hold_its_lock(tmp_path):
    code = """
import os, time
ledger = open_ledger(out)
if os.fork() == 0:
    time.sleep(60)
os.write(1, b"x")
os._exit(9)
"""
    child = run_python(code, tmp_path, start_new_session=True)
    try:
        assert child.stdout.read(1) == b"x"
        assert child.wait(30) == 9
        open_ledger(tmp_path).close()
    finally:
        os.killpg(child.pid, signal.SIGKILL)


def test_readers_see_what_is_committed_while_a_run_writes(tmp_path):
    with open_ledger(tmp_path) as ledger:
        document = begin(ledger)
        ledger.add_page(document, page(1))
        ledger.commit()
        ledger.add_page(document, page(2))
        ledger.flush()
        with read_ledger(tmp_path) as reader:
            assert list(reader.results(document)) == [page(1)]
            assert reader.left(document) == [2, 3]
            ledger.commit()
            assert list(reader.results(document)) == [page(1), page(2)]
            with pytest.raises(OutputError):
                reader.rows("DELETE FROM pages")


def test_there_is_no_batch_to_read_where_there_is_none(tmp_path):
    for folder in (tmp_path, tmp_path / "not there"):
        with pytest.raises(UsageError, match="holds no batch"):
            read_ledger(folder)


def test_a_ledger_in_a_folder_for_reading_only_can_be_read():
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder)
        with open_ledger(out) as ledger:
            begin(ledger)
        for path in (out, state(out), *state(out).iterdir()):
            path.chmod(0o555)
        user = os.geteuid()
        try:
            if user == 0:
                os.seteuid(65534)  # for the superuser no folder is for reading only
            with read_ledger(out) as ledger:
                assert ledger.find("a.pdf").state == "open"
        finally:
            os.seteuid(user)
            for path in (out, state(out)):
                path.chmod(0o755)


# Death


def work(out: Path, seed: int, promise) -> None:
    """Go on with a batch of 40 documents, the pages in any order; tells which pages are committed."""
    chance = random.Random(seed)
    added: list[str] = []
    with open_ledger(out) as ledger:
        promise("open")
        for name in map(str, range(40)):
            entry = ledger.find(name)
            if entry and entry.state == "done":
                continue
            document = entry.id if entry else ledger.begin(name, name, name + ".md", stamp(name), "o")
            if not ledger.entry(document).numbers:
                ledger.opened(document, range(1, 2 + int(name) * 7 % 11))
            left = ledger.left(document)
            for number in chance.sample(left, len(left)):
                assert ledger.add_page(document, page(number, text=name))
                added.append(f"{name}/{number}")
                if chance.random() < 0.3:
                    ledger.commit()
                    promise(" ".join(added))
                    added.clear()
            write(out, ledger, document, keep=int(name) % 5 == 0)


def killed_at(seconds: float | None, out: Path, seed: int) -> tuple[int, set[str]]:
    """Let a process work and kill it so long after it has opened the ledger (None: never).

    Gives its exit status and what it promised.
    """
    read, promised = os.pipe()
    child = os.fork()
    if child == 0:
        code = 1
        try:
            work(out, seed, lambda text: os.write(promised, text.encode() + b"\n"))
            code = 0
        finally:
            os._exit(code)
    os.close(promised)
    with os.fdopen(read, "rb") as stream:
        assert stream.readline() == b"open\n"
        if seconds is not None:
            time.sleep(seconds)
            os.kill(child, signal.SIGKILL)
        found = stream.read().decode().split()
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), set(found)


def test_what_was_committed_survives_sigkill_at_any_moment(tmp_path):
    chance = random.Random(11)
    promised: set[str] = set()
    kills, code = 0, None
    while code != 0:
        code, found = killed_at(chance.uniform(0, 0.004) if kills < 12 else None, tmp_path, kills)
        assert code in (0, -signal.SIGKILL)
        kills += code != 0
        promised |= found
        with open_ledger(tmp_path) as ledger:
            entries = {entry.id: entry for entry in ledger.entries()}
            rows = ledger.rows("SELECT document, number FROM pages")
            have = {f"{entries[document].name}/{number}" for document, number in rows}
            assert promised <= have
            for document, entry in entries.items():
                if entry.state == "open" or (entry.state == "done" and int(entry.name) % 5 == 0):
                    pages = list(ledger.results(document))
                    assert pages == [page(result.number, text=entry.name) for result in pages]
    assert kills >= 12
    assert len(entries) == 40
    assert {entry.state for entry in entries.values()} == {"done"}
    assert len(have) == sum(1 + number * 7 % 11 for number in range(40))
    log = (state(tmp_path) / "finished.jsonl").read_bytes().splitlines()
    assert {json.loads(line)["name"] for line in log} == {str(number) for number in range(40)}


def test_an_interrupt_inside_any_call_leaves_a_state_to_go_on_from(tmp_path):
    """Ctrl-C is an exception between any two statements; what was done up to there is committed on the way out."""

    class Interrupting:
        def __init__(self, connection, after):
            self._connection, self._left = connection, after

        def __getattr__(self, name):
            return getattr(self._connection, name)

        def execute(self, *given):
            self._left -= not given[0].startswith(("BEGIN", "COMMIT"))
            if self._left == 0:
                raise KeyboardInterrupt
            return self._connection.execute(*given)

        def executemany(self, *given):
            return self.execute("") and self._connection.executemany(*given)

    def go_on(out, ledger):
        ledger.drop_failed(kept)
        ledger.reopen(kept)
        ledger.add_page(kept, page(2))
        write(out, ledger, kept)
        again = begin(ledger, "again", stamp=stamp("new"), pages=1)
        ledger.add_page(again, page(1))
        ledger.flush()
        write(out, ledger, again)
        ledger.opened(half, [1, 2])
        ledger.add_page(half, page(2))
        write(out, ledger, half)
        ledger.reopen(half)

    with open_ledger(tmp_path / "first") as ledger:
        kept, again, half = begin(ledger, "kept"), begin(ledger, "again"), begin(ledger, "half")
        for number in (1, 2, 3):
            ledger.add_page(kept, page(number, "failed" if number == 2 else "ok"))
        ledger.add_page(again, page(1))
        ledger.add_page(half, page(1))
        ledger.add_page(half, page(3))
        write(tmp_path / "first", ledger, kept, keep=True)
    for after in range(1, 200):
        out = tmp_path / str(after)
        shutil.copytree(tmp_path / "first", out)
        finished = False
        with contextlib.suppress(KeyboardInterrupt), open_ledger(out) as ledger:
            ledger.connection = Interrupting(ledger.connection, after)
            go_on(out, ledger)
            finished = True
        with open_ledger(out) as ledger:
            assert len(list(ledger.entries())) == 3
            for entry in ledger.entries():
                document = entry.id
                if entry.state == "done":
                    assert (out / entry.output).exists()
                    ledger.reopen(document)
                if entry.state == "waiting":
                    ledger.opened(document, range(1, 4))
                for number in ledger.left(document):
                    assert ledger.add_page(document, page(number))
                numbers = as_numbers(ledger.entry(document).numbers)
                assert [result.number for result in ledger.results(document)] == numbers
                write(out, ledger, document)
        if finished:
            break
    assert 20 < after < 199


# A disk that is full, or gone


def fill(ledger) -> tuple[int, list[int]]:
    """Add pages until the disk is full; gives the document and the pages that were committed."""
    document, committed, added = begin(ledger, pages=5000), [], []
    chance = random.Random(2)
    with pytest.raises(OutputError, match=r"cannot use \S*ledger\.sqlite \(.* choose another place"):
        for number in range(1, 5001):
            ledger.add_page(document, page(number, text=chance.randbytes(2000).hex()))
            added.append(number)
            if number % 7 == 0:
                ledger.commit()
                committed += added
                added.clear()
    assert ledger.broken
    for call in (lambda: begin(ledger, "other"), ledger.commit, ledger.beat):
        with pytest.raises(OutputError, match="cannot be written any more"):
            call()
    ledger.close()
    ledger.close()
    return document, committed


def check_filled(out: Path, document: int, committed: list[int]) -> None:
    assert len(committed) > 20
    with open_ledger(out) as ledger:
        left = ledger.left(document)
        assert set(committed).isdisjoint(left)
        for number in left[:20]:
            assert ledger.add_page(document, page(number))
        assert len(list(ledger.results(document))) == 5000 - len(left) + 20


def test_a_full_disk_is_an_output_error_and_costs_the_last_transaction_only(tmp_path):
    """Files may not grow: it is what a quota does, in the write of the log or of the database itself."""
    code = """
import resource
from test_jobs_ledger import fill
resource.setrlimit(resource.RLIMIT_FSIZE, (400_000, resource.RLIM_INFINITY))
document, committed = fill(open_ledger(out))
print(document, *committed)
"""
    child = run_python(code, tmp_path)
    out, err = child.communicate(timeout=60)
    assert child.returncode == 0, err.decode()
    document, *committed = map(int, out.split())
    check_filled(tmp_path, document, committed)


def test_a_database_that_cannot_grow_is_an_output_error(tmp_path):
    ledger = open_ledger(tmp_path)
    ledger.connection.execute("PRAGMA max_page_count = 200")
    check_filled(tmp_path, *fill(ledger))


def test_a_ledger_that_is_taken_away_is_noticed(tmp_path):
    with pytest.raises(OutputError, match="ledger"), open_ledger(tmp_path) as ledger:
        begin(ledger)
        ledger.commit()
        shutil.rmtree(state(tmp_path))
        begin(ledger, "b")
        ledger.commit()


def test_a_ledger_that_another_took_the_place_of_is_noticed(tmp_path):
    with pytest.raises(OutputError, match="no longer there"), open_ledger(tmp_path) as ledger:
        begin(ledger)
        shutil.copy(ledger.path, tmp_path / "copy")
        (tmp_path / "copy").replace(ledger.path)
        ledger.commit()


def test_a_disk_that_fails_at_the_very_end_is_an_output_error_and_lets_go_of_the_folder(tmp_path, monkeypatch):
    ledger = open_ledger(tmp_path)
    document = begin(ledger, pages=1)
    ledger.add_page(document, page(1))
    write(tmp_path, ledger, document)

    def fail(_):
        raise OSError(errno.EIO, "Input/output error")

    monkeypatch.setattr(os, "fsync", fail)
    with pytest.raises(OutputError, match="Input/output error"):
        ledger.close()
    monkeypatch.undo()
    with open_ledger(tmp_path) as ledger:
        assert ledger.entry(document).state == "done"


def test_an_output_folder_that_cannot_be_is_an_output_error(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(OutputError, match="file"):
        open_ledger(tmp_path / "file")


def test_the_error_of_a_batch_is_not_hidden_by_that_of_its_ledger(tmp_path):
    with pytest.raises(ZeroDivisionError), open_ledger(tmp_path) as ledger:
        begin(ledger)
        shutil.rmtree(state(tmp_path))
        _ = 1 / 0


def test_a_thousand_short_documents_take_less_than_a_millisecond_each(tmp_path):
    """A generous bound: it is a fifth of that on an idle machine."""
    result = replace(page(1), blocks=page(1).blocks * 60)
    with open_ledger(tmp_path) as ledger:
        started = time.process_time()
        for number in range(1000):
            document = begin(ledger, f"{number}.pdf", 1)
            ledger.add_page(document, result)
            assert list(ledger.results(document)) == [result]
            ledger.finish(document, 10, "d", keep=False)
            if number % 50 == 0:
                ledger.commit()
        assert time.process_time() - started < 1.0
