"""A ledger that is damaged, lost or of another version: it says so, and is made again of what there is."""

from __future__ import annotations

import contextlib
import random
import shutil
import sqlite3
from pathlib import Path

import pytest
from ledger_tools import begin, page, run_python, stamp, state, write

from ocrpress.document import PageResult
from ocrpress.errors import LedgerError
from ocrpress.jobs.ledger.book import open_ledger, read_ledger


def noise(number: int) -> PageResult:
    """A page that does not compress."""
    return page(number, text=random.Random(number).randbytes(500).hex())


@pytest.fixture
def batch(tmp_path):
    """An output folder: 30 documents done, of which 3 have failed pages; 2 under way; one that failed."""
    out = tmp_path / "out"
    with open_ledger(out) as ledger:
        ledger.start_run({"engine": "fake"})
        for number in range(30):
            document = begin(ledger, f"{number}.pdf", 2)
            ledger.add_page(document, page(1, text=str(number)))
            ledger.add_page(document, page(2, "failed" if number % 10 == 0 else "ok"))
            write(out, ledger, document, keep=number % 10 == 0)
        for name in ("half.pdf", "most.pdf"):
            document = begin(ledger, name, 60)
            for number in range(1, 31 if name == "half.pdf" else 60):
                ledger.add_page(document, noise(number))
        ledger.fail(begin(ledger, "bad.pdf", 0), "no PDF", "cannot be opened")
    return out


def damage(out: Path, chance: random.Random) -> None:
    path = state(out) / "ledger.sqlite"
    data = bytearray(path.read_bytes())
    kind = chance.choice(["flips", "blocks", "cut", "zeros", "middle"])
    for _ in range(chance.choice([1, 10, 200]) if kind == "flips" else 0):
        data[chance.randrange(len(data))] ^= 1 << chance.randrange(8)
    if kind == "blocks":
        for _ in range(chance.randrange(1, 6)):
            start = 512 * chance.randrange(len(data) // 512)
            data[start : start + 512] = chance.randbytes(512)
    elif kind == "cut":
        del data[chance.randrange(len(data)) :]
    elif kind == "zeros":
        start = chance.randrange(len(data))
        data[start : start + 4096] = bytes(4096)
    elif kind == "middle":
        start = chance.randrange(len(data))
        del data[start : start + chance.randrange(1, 9000)]
    path.write_bytes(data)


def check_rebuilt(ledger) -> int:
    """What was written is done; what there is of the other documents is right. Gives how many of their pages are."""
    for number in range(30):
        entry = ledger.find(f"{number}.pdf")
        assert (entry.state, entry.page_count, entry.failed_pages) == ("done", 2, int(number % 10 == 0))
    salvaged = 0
    for name in ("half.pdf", "most.pdf"):
        entry = ledger.find(name)
        if entry:
            found = list(ledger.results(entry.id))
            assert found == [noise(result.number) for result in found]
            salvaged += len(found)
    ledger.commit()
    assert ledger.rows("PRAGMA integrity_check") == [("ok",)]
    return salvaged


def test_a_damaged_ledger_says_so_or_still_says_the_truth(batch, tmp_path):
    refused = salvaged = 0
    for seed in range(24):
        out = tmp_path / str(seed)
        shutil.copytree(batch, out)
        damage(out, random.Random(seed))
        try:
            with open_ledger(out) as ledger:
                for entry in ledger.entries():
                    if entry.name in ("half.pdf", "most.pdf"):
                        found = list(ledger.results(entry.id))
                        assert found == [
                            page(r.number, text=random.Random(r.number).randbytes(500).hex()) for r in found
                        ]
        except LedgerError as error:
            refused += 1
            assert "--rebuild" in str(error)
        with contextlib.suppress(LedgerError), read_ledger(out) as reader:
            for entry in reader.entries():
                if entry.state == "open":
                    list(reader.results(entry.id))
        with open_ledger(out, rebuild=True) as ledger:
            salvaged += check_rebuilt(ledger)
        assert (state(out) / "ledger.sqlite.damaged-1").exists()
        shutil.rmtree(out)
    assert refused > 15
    assert salvaged > 24 * 89 / 3


@pytest.mark.parametrize(
    "content", [b"", b"SQLite format 3\0", b"x" * 5000, None], ids=["empty", "head", "text", "gone"]
)
def test_a_ledger_that_is_none_says_so_and_is_made_again(batch, content):
    path = state(batch) / "ledger.sqlite"
    path.write_bytes(content) if content is not None else path.unlink()
    with pytest.raises(LedgerError, match=r"ledger\.sqlite is damaged .*--rebuild") as caught:
        open_ledger(batch)
    assert caught.value.exit_code == 2
    if content is not None:
        with pytest.raises(LedgerError, match="damaged"):
            read_ledger(batch)
    with open_ledger(batch, rebuild=True) as ledger:
        assert check_rebuilt(ledger) == 0


@pytest.mark.parametrize(
    ("statement", "message"),
    [
        (
            "PRAGMA user_version = 7",
            "has version 7, this ocrpress writes version 1: use the ocrpress that made it",
        ),
        ("PRAGMA application_id = 7", "it is no ledger of ocrpress"),
        ("DROP TABLE notes", "its tables are not those of a ledger"),
        ("ALTER TABLE pages ADD COLUMN more", "its tables are not those of a ledger"),
    ],
)
def test_a_ledger_of_another_kind_says_so_and_is_made_again(batch, statement, message):
    with contextlib.closing(sqlite3.connect(state(batch) / "ledger.sqlite")) as connection:
        connection.execute(statement)
    for attempt in (open_ledger, read_ledger):
        with pytest.raises(LedgerError, match=message):
            attempt(batch)
    with open_ledger(batch, rebuild=True) as ledger:
        check_rebuilt(ledger)


def test_a_sound_ledger_loses_nothing_by_a_rebuild(batch):
    with open_ledger(batch) as ledger:
        queries = (
            "SELECT name, path, output, state, digest, options, numbers, page_count, failed_pages, error, cause,"
            " changes FROM documents ORDER BY name",
            "SELECT name, number, p.state, p.seconds, p.finished, result FROM pages p, documents d ON d.id = document"
            " ORDER BY name, number",
            "SELECT * FROM runs", "SELECT * FROM notes",
        )  # fmt: skip
        before = [ledger.rows(query) for query in queries]
    for number in (1, 2):
        with open_ledger(batch, rebuild=True) as ledger:
            assert [ledger.rows(query) for query in queries] == before
            assert check_rebuilt(ledger) == 89
        assert (state(batch) / f"ledger.sqlite.damaged-{number}").exists()


def test_a_document_counts_as_done_only_if_its_output_stands(batch):
    (batch / "1.pdf.md").unlink()
    (batch / "2.pdf.md").write_bytes(b"!" + (batch / "2.pdf.md").read_bytes()[1:])
    (batch / "3.pdf.md").write_bytes(b"")
    (state(batch) / "ledger.sqlite").unlink()
    with open_ledger(batch, rebuild=True) as ledger:
        assert [ledger.find(f"{number}.pdf") is not None for number in range(5)] == [True, False, False, False, True]


def test_torn_and_damaged_lines_are_passed_over(batch):
    log = state(batch) / "finished.jsonl"
    lines = log.read_bytes().splitlines(keepends=True)
    odd = [b"\n", b"{}\n", b"[" * 9000 + b"\n", b"\xff\n", lines[4].replace(b'"size":0', b'"size":"0"')]
    odd.append(lines[4].replace(b'"name":"4.pdf"', b'"name":"\\ud83d"'))
    log.write_bytes(b"".join([*lines[:4], *odd, *lines[5:-1], lines[-1][:-9]]))
    with open_ledger(batch) as ledger:
        document = begin(ledger, "new.pdf", 1)
        ledger.add_page(document, page(1))
        write(batch, ledger, document)
    (state(batch) / "ledger.sqlite").unlink()
    with open_ledger(batch, rebuild=True) as ledger:
        names = {entry.name for entry in ledger.entries()}
    assert names == {*(f"{number}.pdf" for number in range(29) if number != 4), "new.pdf"}


def test_a_lost_list_of_finished_documents_costs_nothing_while_the_ledger_can_be_read(batch):
    (state(batch) / "finished.jsonl").unlink()
    (batch / "4.pdf.md").unlink()
    with open_ledger(batch, rebuild=True) as ledger:
        states = {entry.name: entry.state for entry in ledger.entries()}
        assert states == {f"{number}.pdf": "done" for number in range(30)} | {
            "4.pdf": "open", "half.pdf": "open", "most.pdf": "open", "bad.pdf": "failed",
        }  # fmt: skip
        assert ledger.left(ledger.find("4.pdf").id) == [1, 2]


def test_the_last_line_of_a_document_counts(tmp_path):
    with open_ledger(tmp_path) as ledger:
        for output in ("old.md", "new.md"):
            document = begin(ledger, pages=1, output=output, stamp=stamp(output))
            ledger.add_page(document, page(1))
            write(tmp_path, ledger, document)
        document = begin(ledger, "b.pdf", 1, output="old.md")
        ledger.add_page(document, page(1))
        write(tmp_path, ledger, document)
    for salvaging in (True, False):
        if not salvaging:
            (state(tmp_path) / "ledger.sqlite").unlink()
            for aside in state(tmp_path).glob("*.damaged-*"):
                aside.unlink()
        with open_ledger(tmp_path, rebuild=True) as ledger:
            assert [(entry.name, entry.output) for entry in ledger.entries()] == [
                ("a.pdf", "new.md"),
                ("b.pdf", "old.md"),
            ]
            assert ledger.find("a.pdf").stamp == stamp("new.md")


def test_a_document_that_was_begun_again_goes_on_after_a_rebuild(batch):
    with open_ledger(batch) as ledger:
        document = begin(ledger, "1.pdf", 2, stamp=stamp("new"))
        ledger.add_page(document, page(2, text="new"))
    with open_ledger(batch, rebuild=True) as ledger:
        entry = ledger.find("1.pdf")
        assert (entry.state, entry.stamp) == ("open", stamp("new"))
        assert ledger.left(entry.id) == [1]
        assert list(ledger.results(entry.id)) == [page(2, text="new")]


def test_failed_pages_can_be_read_again_after_a_rebuild(batch):
    for salvaging in (True, False):
        if not salvaging:
            (state(batch) / "ledger.sqlite").write_bytes(b"")
        with open_ledger(batch, rebuild=True) as ledger:
            document = ledger.find("10.pdf").id
            ledger.drop_failed(document)
            ledger.reopen(document)
            assert ledger.left(document) == ([2] if salvaging else [1, 2])


def test_pages_of_a_killed_run_are_salvaged_from_its_log(tmp_path):
    code = """
import os, signal
ledger = open_ledger(out)
document = begin(ledger, pages=9)
for number in range(1, 8):
    ledger.add_page(document, page(number))
    ledger.commit()
os.kill(os.getpid(), signal.SIGKILL)
"""
    run_python(code, tmp_path).communicate()
    assert (state(tmp_path) / "ledger.sqlite-wal").stat().st_size
    with open_ledger(tmp_path, rebuild=True) as ledger:
        document = ledger.find("a.pdf").id
        assert list(ledger.results(document)) == [page(number) for number in range(1, 8)]
        assert ledger.left(document) == [8, 9]


def test_a_rebuild_that_is_killed_begins_again(batch, monkeypatch):
    """At each of its steps on files; nothing of what a whole rebuild gives is lost by it."""
    with open_ledger(batch) as ledger:
        document = begin(ledger, "last.pdf", 2)
        ledger.add_page(document, page(1))
        ledger.commit()
        copies = {path: path.read_bytes() for path in state(batch).iterdir()}  # with a log that was not played back
    for after in range(1, 30):
        for path in state(batch).iterdir():
            path.unlink()
        for path, data in copies.items():
            path.write_bytes(data)
        left = [after]

        def interrupting(call, left=left):
            def step(*given, **more):
                left[0] -= 1
                if left[0] == 0:
                    raise KeyboardInterrupt
                return call(*given, **more)

            return step

        for kind in ("rename", "replace", "unlink"):
            monkeypatch.setattr(Path, kind, interrupting(getattr(Path, kind)))
        finished = False
        with contextlib.suppress(KeyboardInterrupt):
            open_ledger(batch, rebuild=True).close()
            finished = True
        monkeypatch.undo()
        with contextlib.suppress(LedgerError), open_ledger(batch) as ledger:
            assert check_rebuilt(ledger) == 89
        with open_ledger(batch, rebuild=True) as ledger:
            assert check_rebuilt(ledger) == 89
            assert list(ledger.results(ledger.find("last.pdf").id)) == [page(1)]
        if finished:
            break
    assert 5 < after < 29


def test_a_kill_while_the_ledger_is_first_made_is_no_damage(tmp_path):
    state(tmp_path).mkdir()
    (state(tmp_path) / "lock").write_bytes(b"{torn")
    (state(tmp_path) / "new-ledger.sqlite").write_bytes(b"SQLite for")
    (state(tmp_path) / "new-ledger.sqlite-journal").write_bytes(b"torn")
    with open_ledger(tmp_path) as ledger:
        assert list(ledger.entries()) == []


def test_a_rebuild_where_nothing_was_begins_a_ledger(tmp_path):
    with open_ledger(tmp_path / "new", rebuild=True) as ledger:
        assert list(ledger.entries()) == []


def test_contents_that_do_not_belong_to_their_page_are_noticed(tmp_path):
    with open_ledger(tmp_path) as ledger:
        one, two = begin(ledger, "1"), begin(ledger, "2")
        for number in (1, 2):
            ledger.add_page(one, page(number))
        ledger.add_page(two, page(1, text="other"))
    changes = [
        "UPDATE pages SET result = (SELECT result FROM pages WHERE document = 2) WHERE document = 1 AND number = 1",
        "UPDATE pages SET number = 3 WHERE document = 1 AND number = 2",
        "UPDATE pages SET document = 2 WHERE document = 1 AND number = 2",
        "UPDATE pages SET result = 'text' WHERE document = 1 AND number = 1",
        "UPDATE pages SET result = x'' WHERE document = 1 AND number = 1",
    ]
    whole = (state(tmp_path) / "ledger.sqlite").read_bytes()
    for change in changes:
        (state(tmp_path) / "ledger.sqlite").write_bytes(whole)
        with contextlib.closing(sqlite3.connect(state(tmp_path) / "ledger.sqlite", isolation_level=None)) as connection:
            connection.execute(change)
        with open_ledger(tmp_path) as ledger, pytest.raises(LedgerError, match="damaged"):
            assert [*ledger.results(one), *ledger.results(two)]
