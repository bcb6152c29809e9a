from __future__ import annotations

import contextlib
import hashlib
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import tracemalloc
from pathlib import Path

import pytest

from ocrpress import output
from ocrpress.document import Attempt, Block, PageResult
from ocrpress.errors import OutputError, UsageError
from ocrpress.jobs.datasets import files as shard_files
from ocrpress.jobs.datasets import shards, shelf
from ocrpress.jobs.datasets.queries import record_id
from ocrpress.jobs.datasets.shards import ShardWriter
from ocrpress.jobs.ledger.book import Ledger, Stamp, open_ledger
from ocrpress.jobs.ledger.finished import FinishedLog
from ocrpress.writers.dolma import dolma_record

FORMATS = ["jsonl", "parquet"]
BOX = (72.0, 300.0, 540.0, 320.0)


def page(number, text, status="ok"):
    blocks = (Block("paragraph", text, BOX),) if text else ()
    error = "no" if status == "failed" else ""
    tried = (Attempt("fake", "base", "end", 0.1),)
    return PageResult(number, status, blocks, 612, 792, engine="fake", mode="base", attempts=tried, error=error)


def read_document(ledger: Ledger, name: str, *texts: str, failed: int = 0, more: str = "") -> int:
    """A document is read, as the runner would."""
    stamp = Stamp(7, 1_500_000_000 * 10**9, hashlib.sha256(f"{texts}{more}".encode()).hexdigest())
    document = ledger.begin(name, f"/in/{name}", "", stamp, "options")
    ledger.opened(document, range(1, len(texts) + 1))
    for number, text in enumerate(texts, 1):
        ledger.add_page(document, page(number, text, "failed" if number == failed else "ok"))
    ledger.finish(document, 0, "", keep=True)
    return document


def records(out: Path) -> dict[int, list[dict]]:
    """What the shards of a folder hold, by number."""
    found = {}
    for number, paths in shard_files.shard_files(out).items():
        (path,) = paths
        if path.suffix == ".jsonl":
            found[number] = [json.loads(line) for line in path.read_bytes().splitlines()]
        else:
            import pyarrow.parquet as pq

            found[number] = pq.read_table(path).to_pylist()
    return found


def texts(out: Path) -> dict[str, str]:
    """The text of every document; no document is there twice."""
    found = [record for shard in records(out).values() for record in shard]
    made = {record["id"]: record["text"] for record in found}
    assert len(made) == len(found)
    return made


def agrees(ledger: Ledger, out: Path) -> bool:
    """Does the ledger say of every document in which shard it is, and nothing waits?"""
    said = {record_id(name): shard for name, shard in ledger.rows("SELECT name, shard FROM documents")}
    return said == {record["id"]: number for number, shard in records(out).items() for record in shard}


@pytest.fixture
def ledger(tmp_path):
    with open_ledger(tmp_path) as opened:
        yield opened


@pytest.mark.parametrize("kind", FORMATS)
def test_documents_that_are_done_get_into_shards(ledger, tmp_path, kind):
    for number in range(5):
        read_document(ledger, f"sub/{number}.pdf", f"Text {number}.", "Two.")
    open_one = ledger.begin("open.pdf", "/in/open.pdf", "", Stamp(1, 1, "d"), "options")
    ledger.opened(open_one, [1])
    read_document(ledger, "sub/with.pdf", "Text.", "", "Three.", failed=2)
    writer = ShardWriter(tmp_path, kind, ledger, most_documents=4)
    assert writer.due()
    assert [path.name for path in writer.write(all=True)] == [f"documents-0000{number}.{kind}" for number in (0, 1)]
    assert not writer.due()
    assert writer.write(all=True) == []
    made = records(tmp_path)
    assert [[record["id"] for record in made[number]] for number in made] == [
        ["sub/0.pdf", "sub/1.pdf", "sub/2.pdf", "sub/3.pdf"], ["sub/4.pdf", "sub/with.pdf"],
    ]  # fmt: skip
    record = made[1][1]
    assert record["text"] == "Text.\n\nThree."
    assert record["created"] == "2017-07-14T02:40:00.000000Z"
    assert record["metadata"]["Source-Bytes"] == 7
    assert (record["metadata"]["engine"], record["metadata"]["mode"]) == ("fake", "base")
    assert record["attributes"]["page_status"] == ["ok", "failed", "ok"]
    spans = record["attributes"]["pdf_page_numbers"]
    assert [tuple(span.values() if isinstance(span, dict) else span) for span in spans] == [
        (0, 7, 1),
        (7, 7, 2),
        (7, 13, 3),
    ]
    assert [path.name for path in tmp_path.iterdir() if path.name.startswith(".")] == [".ocrpress"]


def test_the_pages_of_a_document_go_when_it_is_in_a_shard_unless_some_failed(ledger, tmp_path):
    good, bad = read_document(ledger, "a.pdf", "A."), read_document(ledger, "b.pdf", "B.", "", failed=2)
    ShardWriter(tmp_path, "jsonl", ledger).write(all=True)
    kept = dict(ledger.rows("SELECT document, COUNT(result) FROM pages GROUP BY document"))
    assert kept == {good: 0, bad: 2}


def test_both_formats_say_the_same_and_have_the_same_fields(tmp_path):
    made = {}
    for kind in FORMATS:
        with open_ledger(tmp_path / kind) as ledger:
            read_document(ledger, "a.pdf", "Zürich 終.", "Two.", "", failed=3)
            ShardWriter(tmp_path / kind, kind, ledger).write(all=True)
        (made[kind],) = records(tmp_path / kind)[0]
        made[kind].pop("added")
    lines, columns = made["jsonl"], made["parquet"]
    spans = lines["attributes"]["pdf_page_numbers"]
    lines["attributes"]["pdf_page_numbers"] = [dict(zip(("start", "end", "page"), span, strict=True)) for span in spans]
    assert lines == columns


def test_pandas_reads_parquet_and_lines(ledger, tmp_path):
    pandas = pytest.importorskip("pandas")
    read_document(ledger, "a.pdf", "One.", "Two.")
    (lines,) = ShardWriter(tmp_path, "jsonl", ledger).write(all=True)
    assert pandas.read_json(lines, lines=True)["text"][0] == "One.\n\nTwo."
    with open_ledger(tmp_path / "other") as other:
        read_document(other, "a.pdf", "One.", "Two.")
        (columns,) = ShardWriter(tmp_path / "other", "parquet", other).write(all=True)
    assert pandas.read_parquet(columns)["attributes"][0]["pdf_page_numbers"][1] == {"start": 6, "end": 10, "page": 2}


def test_a_shard_is_closed_when_it_holds_enough_text(ledger, tmp_path):
    for number in range(6):
        read_document(ledger, f"{number}.pdf", "x" * 1000)
    writer = ShardWriter(tmp_path, "jsonl", ledger, most_bytes=2500)
    writer.write(all=True)
    assert [len(shard) for shard in records(tmp_path).values()] == [3, 3]


@pytest.mark.parametrize("kind", FORMATS)
def test_a_shard_grows_a_little_at_a_time_while_documents_come(ledger, tmp_path, monkeypatch, kind):
    monkeypatch.setattr(shards, "SLICE", 0.0)
    writer = ShardWriter(tmp_path, kind, ledger, most_documents=5)
    written = []
    for number in range(8):
        read_document(ledger, f"{number}.pdf", f"Text {number}.")
        writer._next_look = 0.0  # as if time had passed
        assert writer.due()
        written.append(len(writer.write()))
        assert not writer.due()
    assert written == [0, 0, 0, 0, 1, 0, 0, 0]
    assert len(writer.write(all=True)) == 1
    assert len(texts(tmp_path)) == 8
    assert agrees(ledger, tmp_path)


def test_what_is_looked_for_is_not_looked_for_too_often(ledger, tmp_path, monkeypatch):
    monkeypatch.setattr(shards, "LOOK_SHARE", 1e-9)
    writer = ShardWriter(tmp_path, "jsonl", ledger)
    assert not writer.due()
    read_document(ledger, "a.pdf", "Text.")
    assert not writer.due()
    assert writer.write() == []
    assert len(writer.write(all=True)) == 1


@pytest.mark.parametrize("kind", FORMATS)
def test_documents_that_are_begun_again_while_a_shard_grows_do_not_get_into_it(ledger, tmp_path, kind):
    for name in ("a.pdf", "b.pdf"):
        read_document(ledger, name, "Old.")
    writer = ShardWriter(tmp_path, kind, ledger)
    writer.write()
    read_document(ledger, "a.pdf", "New.")
    writer.write(all=True)
    assert texts(tmp_path) == {"a.pdf": "New.", "b.pdf": "Old."}
    for name in ("a.pdf", "b.pdf"):
        read_document(ledger, name, "Newer.")
    writer._next_look = 0.0
    writer.write()
    for name in ("a.pdf", "b.pdf"):
        ledger.begin(name, name, "", Stamp(1, 1, "changed"), "options")
    assert writer.write(all=True) == []
    assert texts(tmp_path) == {"a.pdf": "New.", "b.pdf": "Old."}
    assert list(tmp_path.rglob("documents-new*")) == []


@pytest.mark.parametrize("kind", FORMATS)
def test_a_shard_that_is_dropped_leaves_its_documents_waiting(ledger, tmp_path, kind):
    read_document(ledger, "a.pdf", "Text.")
    writer = ShardWriter(tmp_path, kind, ledger)
    writer.write()
    writer.close()
    writer.close()
    assert list(tmp_path.rglob("*.part")) == []
    assert len(writer.write(all=True)) == 1


@pytest.mark.parametrize("kind", FORMATS)
def test_a_document_that_is_read_again_leaves_its_old_shard(ledger, tmp_path, kind):
    for number in range(4):
        read_document(ledger, f"{number}.pdf", f"Old {number}.")
    ShardWriter(tmp_path, kind, ledger, most_documents=2).write(all=True)
    read_document(ledger, "1.pdf", "New 1.")
    assert texts(tmp_path)["1.pdf"] == "Old 1."  # until the new record is written
    ShardWriter(tmp_path, kind, ledger).write(all=True)
    assert {number: [record["text"] for record in shard] for number, shard in records(tmp_path).items()} == {
        0: ["Old 0."], 1: ["Old 2.", "Old 3."], 2: ["New 1."],
    }  # fmt: skip
    for number in (2, 3):
        read_document(ledger, f"{number}.pdf", f"New {number}.")
    ShardWriter(tmp_path, kind, ledger).write(all=True)
    assert sorted(records(tmp_path)) == [0, 2, 3]  # a shard that nothing is left of is removed
    assert agrees(ledger, tmp_path)


def test_retrying_failed_pages_replaces_the_record(ledger, tmp_path):
    document = read_document(ledger, "a.pdf", "One.", "", failed=2)
    ShardWriter(tmp_path, "jsonl", ledger).write(all=True)
    ledger.drop_failed(document)
    ledger.reopen(document)
    ledger.add_page(document, page(2, "Two."))
    ledger.finish(document, 0, "", keep=True)
    ShardWriter(tmp_path, "jsonl", ledger).write(all=True)
    assert texts(tmp_path) == {"a.pdf": "One.\n\nTwo."}
    assert agrees(ledger, tmp_path)


def test_another_format_takes_the_place_of_the_first(ledger, tmp_path):
    for name in ("a.pdf", "b.pdf"):
        read_document(ledger, name, "Old.")
    ShardWriter(tmp_path, "jsonl", ledger).write(all=True)
    read_document(ledger, "a.pdf", "New.")
    ShardWriter(tmp_path, "parquet", ledger).write(all=True)
    assert texts(tmp_path) == {"a.pdf": "New.", "b.pdf": "Old."}


def test_documents_with_an_output_of_their_own_are_left_alone(ledger, tmp_path):
    document = ledger.begin("a.pdf", "/in/a.pdf", "a.md", Stamp(1, 1, "d"), "options")
    ledger.opened(document, [1])
    ledger.add_page(document, page(1, "Text."))
    ledger.finish(document, 5, "digest", keep=False)
    assert ShardWriter(tmp_path, "jsonl", ledger).write(all=True) == []
    assert ledger.entry(document).state == "done"


def test_names_that_are_no_utf8_keep_their_documents_apart(ledger, tmp_path):
    names = [os.fsdecode(b"caf\xe9.pdf"), os.fsdecode(b"caf\xe8.pdf"), "caf\\xe9.pdf", "a\nb.pdf", "a#b.pdf"]
    for name in names:
        read_document(ledger, name, "Old.")
    writer = ShardWriter(tmp_path, "jsonl", ledger)
    writer.write(all=True)
    assert len(texts(tmp_path)) == 5
    for name in names:
        read_document(ledger, name, f"New {os.fsencode(name)!r}.")
    writer.write(all=True)
    assert len(texts(tmp_path)) == 5
    assert all(text.startswith("New") for text in texts(tmp_path).values())


def test_times_that_are_no_dates_are_left_out(ledger, tmp_path):
    for name, nanoseconds in (("a", 0), ("b", -5), ("c", 2**62)):
        document = ledger.begin(name, name, "", Stamp(1, nanoseconds, "d"), "options")
        ledger.opened(document, [1])
        ledger.add_page(document, page(1, ""))
        ledger.finish(document, 0, "", keep=True)
    ShardWriter(tmp_path, "jsonl", ledger).write(all=True)
    assert ["created" in record for record in records(tmp_path)[0]] == [False, False, True]


def test_a_document_whose_pages_were_not_kept_is_read_again(ledger, tmp_path):
    document = read_document(ledger, "a.pdf", "Text.")
    ledger.connection.execute("UPDATE pages SET result = NULL")
    assert ShardWriter(tmp_path, "jsonl", ledger).write(all=True) == []
    assert ledger.left(document) == [1]


def test_a_blank_document_says_which_engine_was_asked(ledger, tmp_path):
    ledger.save_options("options", json.dumps({"engine": "deepseek", "mode": None}))
    document = ledger.begin("a.pdf", "/in/a.pdf", "", Stamp(1, 1, "d"), "options")
    ledger.opened(document, [1])
    ledger.add_page(document, PageResult(1, "blank"))
    ledger.finish(document, 0, "", keep=True)
    ShardWriter(tmp_path, "jsonl", ledger).write(all=True)
    metadata = records(tmp_path)[0][0]["metadata"]
    assert (metadata["engine"], metadata["mode"]) == ("deepseek", "")


def test_line_ends_of_other_alphabets_do_not_break_a_line(tmp_path):
    path = tmp_path / "documents-00000.jsonl"
    record = dolma_record_of("a\u2028b\u2029c\x85d")
    with shard_files.writing_shard(path) as add:
        add(record)
    assert len(path.read_text().splitlines()) == 1
    assert json.loads(path.read_text()) == record


def dolma_record_of(name):
    from ocrpress.document import Document

    more = {"Source-SHA256": "", "Source-Bytes": 0}
    return dolma_record(Document(name, (page(1, "Text."),)), id=name, added="2026", metadata=more)


def test_parquet_holds_every_field_of_a_record(tmp_path):
    schema, record = shard_files._schema(), dolma_record_of("a")
    assert set(schema.names) == {*record, "created"}
    for part in ("metadata", "attributes"):
        assert [field.name for field in schema.field(part).type] == list(record[part])


# What is not there, and what is not ours


@pytest.mark.parametrize("kind", FORMATS)
def test_a_shard_that_is_gone_has_its_documents_read_again(ledger, tmp_path, kind):
    first, second = read_document(ledger, "a.pdf", "A."), read_document(ledger, "b.pdf", "B.", "", failed=2)
    (path,) = ShardWriter(tmp_path, kind, ledger).write(all=True)
    path.unlink()
    writer = ShardWriter(tmp_path, kind, ledger)
    assert ledger.left(first) == [1]
    assert ledger.entry(second).state == "done"  # its pages were kept: it need not be read
    writer.write(all=True)
    assert texts(tmp_path) == {"b.pdf": "B."}


def test_files_of_others_are_left_alone_and_their_numbers_too(ledger, tmp_path):
    (tmp_path / "documents-00003.jsonl").write_text("not JSON\n")
    (tmp_path / "documents-00004.jsonl").write_text('{"id": "a", "added": "b", "source": "wikipedia"}\n')
    (tmp_path / "documents-00005.parquet").write_bytes(b"PAR1 not really")
    (tmp_path / "documents-00006.jsonl").mkdir()
    before = {path.name: path.read_bytes() for path in tmp_path.glob("documents-*") if path.is_file()}
    read_document(ledger, "a.pdf", "Text.")
    (made,) = ShardWriter(tmp_path, "jsonl", ledger).write(all=True)
    assert made.name == "documents-00007.jsonl"
    assert {name: (tmp_path / name).read_bytes() for name in before} == before


def test_shards_of_a_ledger_that_was_removed_are_set_aside(tmp_path):
    for text in ("Old.", "New."):
        with open_ledger(tmp_path) as ledger:
            read_document(ledger, "a.pdf", text)
            ShardWriter(tmp_path, "jsonl", ledger).write(all=True)
        shutil.rmtree(tmp_path / ".ocrpress")
    assert texts(tmp_path) == {"a.pdf": "New."}
    assert "Old." in (tmp_path / "documents-00000.jsonl.old").read_text()


@pytest.mark.parametrize("kind", FORMATS)
def test_a_rebuilt_ledger_finds_its_documents_in_the_shards(tmp_path, kind):
    odd = os.fsdecode(b"caf\xe9#.pdf")
    with open_ledger(tmp_path) as ledger:
        for name in ("a.pdf", odd, "c.pdf", "d.pdf"):
            read_document(ledger, name, f"Old {record_id(os.fsencode(name))}.")
        ShardWriter(tmp_path, kind, ledger, most_documents=2).write(all=True)
        read_document(ledger, "a.pdf", "New.")
        ShardWriter(tmp_path, kind, ledger).write(all=True)
        read_document(ledger, "d.pdf", "Newest.")  # waits
        before = texts(tmp_path)
    (tmp_path / ".ocrpress" / "ledger.sqlite").write_bytes(b"")
    with open_ledger(tmp_path, rebuild=True) as ledger:
        ShardWriter(tmp_path, kind, ledger)
        assert texts(tmp_path) == before
        assert agrees(ledger, tmp_path)
        states = {entry.name: entry.state for entry in ledger.entries()}
        assert states == {"a.pdf": "done", odd: "done", "c.pdf": "done", "d.pdf": "done"}
        read_document(ledger, odd, "Odd.")
        ShardWriter(tmp_path, kind, ledger).write(all=True)
        assert agrees(ledger, tmp_path)


def test_a_ledger_that_is_rebuilt_from_what_it_still_says_finds_its_documents_in_the_shards(tmp_path):
    with open_ledger(tmp_path) as ledger:
        for name in ("a.pdf", "b.pdf"):
            read_document(ledger, name, "Text.", "", failed=2 if name == "b.pdf" else 0)
        ShardWriter(tmp_path, "jsonl", ledger).write(all=True)
        read_document(ledger, "c.pdf", "Waits.")
    with open_ledger(tmp_path, rebuild=True) as ledger:
        ShardWriter(tmp_path, "jsonl", ledger)
        states = {entry.name: (entry.state, entry.shard) for entry in ledger.entries()}
        assert (states["a.pdf"], states["b.pdf"]) == (("done", 0), ("done", 0))
        assert ledger.left(ledger.find("c.pdf").id) == []
        kept = ledger.row("SELECT COUNT(result) FROM pages WHERE document = ?", (ledger.find("b.pdf").id,))
        assert kept == (2,)  # so that only the failed page need be read again


def test_a_copy_of_a_shard_is_set_aside(ledger, tmp_path):
    read_document(ledger, "a.pdf", "Text.")
    (path,) = ShardWriter(tmp_path, "jsonl", ledger).write(all=True)
    shutil.copy(path, tmp_path / "documents-00009.jsonl")
    ShardWriter(tmp_path, "jsonl", ledger)
    assert texts(tmp_path) == {"a.pdf": "Text."}


def test_a_shard_that_someone_spoiled_is_an_error_that_says_what_to_do(ledger, tmp_path):
    for name in ("a.pdf", "b.pdf"):
        read_document(ledger, name, "Old.")
    (path,) = ShardWriter(tmp_path, "jsonl", ledger).write(all=True)
    path.write_text("spoiled\n")
    read_document(ledger, "a.pdf", "New.")
    with pytest.raises(OutputError, match=r"documents-00000\.jsonl .*: move it away"):
        ShardWriter(tmp_path, "jsonl", ledger).write(all=True)


def test_an_unknown_format_and_a_missing_package_are_said(ledger, tmp_path, monkeypatch):
    with pytest.raises(UsageError, match="did you mean 'parquet'"):
        ShardWriter(tmp_path, "parket", ledger)
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    with pytest.raises(UsageError, match=r"pip install 'ocrpress\[parquet\]'"):
        ShardWriter(tmp_path, "parquet", ledger)


# Death, disks and memory


def prepared(out: Path, kind: str) -> dict[str, str]:
    """A folder with two shards, of which documents were read again, and with others that wait. Gives what is due."""
    with open_ledger(out) as ledger:
        for number in range(6):
            read_document(ledger, f"{number}.pdf", f"Old {number}.")
        ShardWriter(out, kind, ledger, most_documents=3).write(all=True)
        for number in (1, 3, 4, 5):  # nothing will be left of the second shard
            read_document(ledger, f"{number}.pdf", f"New {number}.")
        for number in (6, 7, 8):
            read_document(ledger, f"{number}.pdf", f"New {number}.")
    return {f"{number}.pdf": f"{'Old' if number in (0, 2) else 'New'} {number}." for number in range(9)}


def work(out: Path, kind: str) -> None:
    with open_ledger(out) as ledger:
        ShardWriter(out, kind, ledger, most_documents=4).write(all=True)


STEPS = [
    (output, "_write"), (Path, "replace"), (Path, "rename"), (Path, "unlink"), (shelf, "sync_folder"),
    (shard_files, "copy_records"), (FinishedLog, "flush"), (Ledger, "commit"), (shelf.told, "set_shard"),
]  # fmt: skip


class Died(BaseException):
    """Stands for the death of the process."""


def die_at(monkeypatch, moment: int, die) -> list[str]:
    """Let `die` happen at a moment: before or after one of the steps. Gives the list that all moments get into."""
    moments: list[str] = []

    def pass_by(name):
        moments.append(name)
        if len(moments) == moment:
            die()

    def wrap(call, name):
        def wrapped(*args, **kwargs):
            pass_by(f"before {name}")
            found = call(*args, **kwargs)
            pass_by(f"after {name}")
            return found

        return wrapped

    for owner, name in STEPS:
        monkeypatch.setattr(owner, name, wrap(getattr(owner, name), name))
    return moments


def count_moments(monkeypatch, out: Path, kind: str) -> int:
    with monkeypatch.context() as patch:
        moments = die_at(patch, 0, lambda: None)
        work(out, kind)
    assert {name.split()[1] for name in moments} >= {
        "_write",
        "replace",
        "unlink",
        "copy_records",
        "set_shard",
        "commit",
    }
    return len(moments)


def check(out: Path, due: dict[str, str]) -> None:
    with open_ledger(out) as ledger:
        assert texts(out) == due
        assert agrees(ledger, out)
        before = {path.name: path.stat().st_ino for path in out.glob("documents-*")}
        ShardWriter(out, "jsonl", ledger).write(all=True)
        assert {path.name: path.stat().st_ino for path in out.glob("documents-*")} == before  # nothing more to do
    assert list(out.rglob("*.part")) == []
    assert {path.name for path in out.iterdir()} == {".ocrpress", *before}


@pytest.mark.parametrize("kind", FORMATS)
def test_an_end_between_any_two_steps_costs_and_doubles_nothing(tmp_path, monkeypatch, kind):
    due = prepared(tmp_path / "all", kind)
    shutil.copytree(tmp_path / "all", tmp_path / "counted")
    last = count_moments(monkeypatch, tmp_path / "counted", kind)
    check(tmp_path / "counted", due)
    for moment in range(1, last + 1, 1 if kind == "jsonl" else 5):
        out = tmp_path / str(moment)
        shutil.copytree(tmp_path / "all", out)
        with monkeypatch.context() as patch, contextlib.suppress(Died):
            ledger = open_ledger(out)

            def die(ledger=ledger):
                ledger.broken = True  # its transaction is lost with the process
                raise Died

            die_at(patch, moment, die)
            ShardWriter(out, kind, ledger, most_documents=4).write(all=True)
        ledger.close()
        work(out, kind)
        check(out, due)
        shutil.rmtree(out)


def test_a_kill_at_any_moment_and_another_in_the_repair_cost_and_double_nothing(tmp_path, monkeypatch):
    due = prepared(tmp_path / "all", "jsonl")
    shutil.copytree(tmp_path / "all", tmp_path / "counted")
    last = count_moments(monkeypatch, tmp_path / "counted", "jsonl")
    chance, killed = random.Random(8), 0
    for number in range(12):
        out = tmp_path / str(number)
        shutil.copytree(tmp_path / "all", out)
        for _ in range(2):
            child = os.fork()
            if child == 0:
                with contextlib.suppress(BaseException):
                    die_at(monkeypatch, chance.randint(1, last), lambda: os.kill(os.getpid(), signal.SIGKILL))
                    work(out, "jsonl")
                    os._exit(0)
                os._exit(1)
            chance.random()  # the child has drawn from a copy
            status = os.waitpid(child, 0)[1]
            assert os.WIFSIGNALED(status) or status == 0  # what is left to do may be done before the moment comes
            killed += os.WIFSIGNALED(status)
        work(out, "jsonl")
        check(out, due)
    assert killed > 15


@pytest.mark.parametrize("kind", FORMATS)
def test_a_disk_that_is_full_leaves_no_half_shard_and_the_next_run_goes_on(tmp_path, kind):
    with open_ledger(tmp_path) as ledger:
        for number in range(3):
            text = "".join(random.Random(number).choices("abcdefghijklmnop", k=40_000))
            read_document(ledger, f"{number}.pdf", text)
    code = (
        "import resource, signal, sys; from pathlib import Path; from ocrpress.jobs.ledger.book import open_ledger\n"
        "from ocrpress.jobs.datasets.shards import ShardWriter; from ocrpress.errors import OutputError\n"
        "out = Path(sys.argv[1]); ledger = open_ledger(out); writer = ShardWriter(out, sys.argv[2], ledger)\n"
        "signal.signal(signal.SIGXFSZ, signal.SIG_IGN); resource.setrlimit(resource.RLIMIT_FSIZE, (50000, 50000))\n"
        "try: writer.write(all=True)\n"
        "except OutputError as error: print(error)\n"
    )
    from conftest import environment

    done = subprocess.run(
        [sys.executable, "-c", code, tmp_path, kind], env=environment(), capture_output=True, text=True, check=False
    )
    assert "cannot write" in done.stdout, done.stderr
    assert "choose another place" in done.stdout
    assert list(tmp_path.rglob("documents-*")) == []
    assert list(tmp_path.rglob("*.part")) == []
    work(tmp_path, kind)
    assert len(texts(tmp_path)) == 3


@pytest.mark.parametrize("kind", FORMATS)
def test_memory_does_not_grow_with_the_shard(tmp_path, monkeypatch, kind):
    monkeypatch.setattr(shard_files, "GROUP_BYTES", 1 << 20)
    base = dolma_record_of("a")
    with open_ledger(tmp_path):
        pass

    def peak(count: int) -> int:
        path = tmp_path / f"documents-{count:05}.{kind}"
        chance = random.Random(count)
        tracemalloc.start()
        with shard_files.writing_shard(path) as add:
            for number in range(count):
                add({**base, "id": str(number), "text": chance.randbytes(100_000).hex()})
        half = {shard_files.Key(str(number), "2026") for number in range(0, count, 2)}
        shard_files.copy_records(path, half, path.with_stem("half"))
        assert set(shard_files.read_keys(path.with_stem("half"))) == half
        found = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        return found + (arrow_peak() if kind == "parquet" else 0)

    assert peak(120) < 1.3 * peak(30)


def arrow_peak() -> int:
    """Most bytes that pyarrow ever held."""
    import pyarrow as pa

    return pa.default_memory_pool().max_memory()
