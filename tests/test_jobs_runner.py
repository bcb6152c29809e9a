"""What a batch reads, what it passes over and what it writes, with a reader that needs no processes."""

from __future__ import annotations

import errno
import json
import os
import random
import re
import shutil
import sqlite3
from pathlib import Path

import batch_tools
import pytest

from ocrpress.cli.signals import Interrupted
from ocrpress.jobs.ledger.book import read_ledger


@pytest.fixture
def scene(tmp_path, monkeypatch, capfd):
    """Documents in a folder, and batches of them."""
    return batch_tools.scene(tmp_path, monkeypatch, capfd)


@pytest.fixture
def three(scene):
    """Documents of one, two and three pages."""
    scene.write("one.pdf", "alpha")
    scene.write("two.pdf", "beta", "gamma")
    scene.write("sub/three.pdf", "delta", "epsilon", "zeta")
    return scene


def entry(scene, name):
    with read_ledger(scene.out) as ledger:
        return ledger.find(name)


def causes(scene):
    """Failed documents and failed pages, with their causes."""
    with read_ledger(scene.out) as ledger:
        documents = ledger.rows("SELECT name, cause FROM documents WHERE state = 'failed'")
        pages = ledger.rows("SELECT name, number, pages.cause FROM pages JOIN documents ON id = document"
                            " WHERE pages.state = 'failed'")  # fmt: skip
    return {os.fsdecode(name): cause for name, cause in documents} | {
        f"{os.fsdecode(name)} {number}": cause for name, number, cause in pages
    }


def interrupt():
    raise Interrupted(15)


# What is read, and what is passed over


def test_the_outputs_mirror_the_tree(three):
    done = three.batch()
    assert (done.code, done.opened) == (0, ["one.pdf", "two.pdf", "sub/three.pdf"])
    assert three.visible() == ["one.md", "sub/three.md", "two.md"]
    assert three.texts()["two.md"] == "<!-- page 1 -->\n\nbeta\n\n<!-- page 2 -->\n\ngamma\n"
    assert "3 documents, 6 pages read" in done.err


def test_when_all_is_done_nothing_is_opened(three):
    three.batch()
    before = {path: path.stat().st_mtime_ns for path in three.out.rglob("*.md")}
    again = three.batch()
    assert (again.code, again.read, three.readers) == (0, [], 3)
    assert {path: path.stat().st_mtime_ns for path in three.out.rglob("*.md")} == before


def test_another_time_but_the_same_content_is_not_read_again(three):
    three.batch()
    os.utime(three.root / "in" / "two.pdf", (1, 1))
    assert three.batch().read == []
    assert entry(three, "two.pdf").stamp.mtime_ns == 1_000_000_000


def test_other_content_is_read_again(three):
    three.batch()
    three.write("two.pdf", "beta", "GAMMA", "more")
    again = three.batch()
    assert (again.code, again.pages) == (0, ["two.pdf 1", "two.pdf 2", "two.pdf 3"])
    assert "GAMMA" in three.texts()["two.md"]


def test_other_options_read_everything_again(three):
    three.batch()
    assert len(three.batch("--dpi", "100").pages) == 6
    assert three.batch("--dpi", "100").pages == []
    # These decide how fast it goes, and not what comes out.
    assert three.batch("--dpi", "100", "--workers", "2", "--page-limit", "7").pages == []


def test_another_format_writes_beside_what_is_there(three):
    three.batch()
    three.batch("--format", "json")
    assert three.visible() == [f"{name}.{ending}" for name in ("one", "sub/three", "two") for ending in ("json", "md")]
    assert json.loads((three.out / "one.json").read_text())["pages"][0]["number"] == 1


def test_an_output_that_was_deleted_is_written_again(three):
    three.batch()
    (three.out / "two.md").unlink()
    again = three.batch()
    assert (again.opened, "two.md" in three.visible()) == (["two.pdf"], True)


def test_force_reads_everything_again(three):
    three.batch()
    assert len(three.batch("--force").pages) == 6


def test_only_checksum_sees_a_change_that_size_and_time_hide(three):
    three.batch()
    path = three.root / "in" / "two.pdf"
    before = path.stat()
    path.write_text("beta\nGAMMA")
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))
    assert three.batch().read == []
    assert three.batch("--checksum").opened == ["two.pdf"]
    assert "GAMMA" in three.texts()["two.md"]


def test_a_file_of_the_same_name_size_and_time_elsewhere_is_another_one(three):
    three.batch()
    shutil.copytree(three.root / "in", three.root / "other")
    (three.root / "other" / "two.pdf").write_text("beta\nGAMMA")
    for path in (three.root / "in").rglob("*.pdf"):
        copy = three.root / "other" / path.relative_to(three.root / "in")
        os.utime(copy, ns=(0, path.stat().st_mtime_ns))
    assert three.batch(three.root / "other").opened == ["two.pdf"]


def test_a_tree_that_moved_is_not_read_again(three):
    three.batch()
    (three.root / "in").rename(three.root / "moved")
    assert three.batch(three.root / "moved").read == []
    assert entry(three, "one.pdf").path == str(three.root / "moved" / "one.pdf")


# Failures


def test_failed_pages_are_marked_counted_and_read_again_when_asked(scene):
    scene.write("a.pdf", "fine", "FAIL illegible", "fine too")
    first = scene.batch()
    assert first.code == 1
    assert "<!-- page 2 failed: illegible -->" in scene.texts()["a.md"]
    assert "1 failed" in first.err
    assert causes(scene) == {"a.pdf 2": "loop"}
    again = scene.batch()
    assert (again.code, again.read) == (1, [])
    assert "--retry-failed" in again.err
    asked = scene.batch("--retry-failed")
    assert (asked.code, asked.pages) == (1, ["a.pdf 2"])
    assert scene.texts()["a.md"].count("<!-- page") == 4  # three pages, and why one of them failed


def test_a_page_that_succeeds_in_the_end_takes_its_place(scene):
    scene.write("a.pdf", "fine", "HANG", "fine too")
    assert scene.batch().code == 1
    assert causes(scene) == {"a.pdf 2": "crash", "a.pdf 3": "crash"}
    before = scene.root / "in" / "a.pdf"
    stat, text = before.stat(), before.read_text()
    before.write_text(text.replace("HANG", "cured"))  # for the reader only: a file that changed is read as a whole
    os.utime(before, ns=(stat.st_atime_ns, stat.st_mtime_ns))
    with sqlite3.connect(scene.out / ".ocrpress" / "ledger.sqlite") as ledger:
        ledger.execute("UPDATE documents SET size = ?", (before.stat().st_size,))
    asked = scene.batch("--retry-failed")
    assert (asked.code, asked.pages) == (0, ["a.pdf 2", "a.pdf 3"])
    assert "fine\n\n<!-- page 2 -->\n\ncured\n\n<!-- page 3 -->\n\nfine too" in scene.texts()["a.md"]


def test_a_document_that_cannot_be_opened_costs_no_other(three):
    three.write("broken.pdf", "REFUSE no PDF: give a PDF")
    first = three.batch()
    assert (first.code, three.visible()) == (1, ["one.md", "sub/three.md", "two.md"])
    found = entry(three, "broken.pdf")
    assert (found.state, found.error, found.cause) == ("failed", "no PDF: give a PDF", "cannot be opened")
    again = three.batch()
    assert (again.code, again.read) == (1, [])
    assert three.batch("--retry-failed").opened == ["broken.pdf"]


def test_failed_pages_of_an_earlier_run_count_when_the_document_is_finished(scene):
    scene.write("a.pdf", "FAIL illegible", "fine", "fine")
    scene.on["a.pdf 3"] = interrupt
    assert scene.batch().code == 143
    scene.on.clear()
    second = scene.batch()
    assert (second.code, second.pages) == (1, ["a.pdf 3"])


def test_a_place_that_cannot_be_written_costs_its_document_only(three):
    (three.out / "two.md").mkdir(parents=True)
    done = three.batch()
    assert (done.code, causes(three)) == (1, {"two.pdf": "cannot be written"})
    (three.out / "two.md").rmdir()
    again = three.batch("--retry-failed")
    assert (again.code, again.read) == (0, [])  # its pages are kept
    assert "gamma" in three.texts()["two.md"]


def test_an_input_that_is_not_there_is_missed(three):
    done = three.batch(three.root / "in", three.root / "nothing")
    assert done.code == 1
    assert "1 inputs left out" in done.err
    with read_ledger(three.out) as ledger:
        assert ledger.rows("SELECT path, why FROM notes") == [
            (os.fsencode(three.root / "nothing"), "it does not exist")
        ]


@pytest.mark.parametrize("inputs", [["empty"], ["missing"], ["none*.pdf"]])
def test_without_documents_it_says_so(scene, inputs):
    (scene.root / "empty").mkdir()
    done = scene.batch(*(scene.root / name for name in inputs))
    assert done.code == 3
    assert f"no documents in {scene.root / inputs[0]}" in done.err
    assert "check the path" in done.err
    assert scene.readers == 0


# Files that change under the reader's eyes


def test_a_file_that_changes_while_it_is_read_is_read_again(three):
    three.on["two.pdf 2"] = lambda: (three.on.clear(), three.write("two.pdf", "new", "newer"))
    done = three.batch()
    assert (done.code, done.pages.count("two.pdf 1")) == (0, 2)
    assert three.texts()["two.md"] == "<!-- page 1 -->\n\nnew\n\n<!-- page 2 -->\n\nnewer\n"
    assert three.batch().read == []


def test_failures_of_a_reading_that_is_given_up_do_not_count(three):
    three.write("two.pdf", "FAIL half written", "x")
    three.on["two.pdf 2"] = lambda: (three.on.clear(), three.write("two.pdf", "new", "newer"))
    assert three.batch().code == 0


def test_a_file_that_is_whole_only_at_the_second_look_is_read(three):
    three.write("two.pdf", "REFUSE half of it")
    three.on["two.pdf refused"] = lambda: three.write("two.pdf", "whole", "now")
    done = three.batch()
    assert (done.code, done.opened.count("two.pdf")) == (0, 2)
    assert "whole" in three.texts()["two.md"]


def test_a_file_that_never_rests_is_failed(three):
    numbers = iter(range(100))
    three.on["two.pdf 2"] = lambda: three.write("two.pdf", "new", f"number {next(numbers)}")
    done = three.batch()
    assert (done.code, done.pages.count("two.pdf 2"), causes(three)) == (1, 2, {"two.pdf": "changed"})
    assert three.visible() == ["one.md", "sub/three.md"]
    three.on.clear()
    again = three.batch()  # it is another file than the one that failed
    assert (again.code, again.opened) == (0, ["two.pdf"])


def test_a_file_that_vanishes_before_it_is_opened_says_so(three):
    three.on["one.pdf 0"] = lambda: (three.root / "in" / "two.pdf").unlink()
    assert three.batch().code == 1
    assert causes(three) == {"two.pdf": "vanished"}


def test_a_file_that_vanishes_when_it_is_read_is_done(three):
    three.on["two.pdf 2"] = lambda: (three.root / "in" / "two.pdf").unlink()
    assert three.batch().code == 0
    assert "gamma" in three.texts()["two.md"]


# Results and documents in one folder


def test_results_inside_the_input_folder_are_no_documents(three):
    out = three.root / "in" / "results"
    three.write("results/stray.pdf", "somebody has put it there")
    for _ in range(2):
        done = three.batch(three.root / "in", "-o", out, "--include", "*")
        assert done.code == 0
    assert done.read == []
    assert three.visible(out) == ["one.md", "stray.pdf", "sub/three.md", "two.md"]


def test_results_beside_their_documents_are_no_documents(three):
    folder = three.root / "in"
    link = three.root / "link"
    link.symlink_to(folder)
    figures = folder / "sub" / "three.figures"
    figures.mkdir()
    (figures / "three-p0001-1.png").write_text("a figure of an earlier run")
    for place in (folder, link, f"{folder}/../in"):
        done = three.batch(folder, "-o", place, "--include", "*")
        assert done.code == 0
    assert done.read == []
    assert [name for name in three.visible(folder) if name.endswith(".md")] == ["one.md", "sub/three.md", "two.md"]


def test_a_pattern_in_the_folder_of_results_finds_its_documents(three, monkeypatch):
    monkeypatch.chdir(three.root / "in")
    assert three.batch("*.pdf", "-o", ".").opened == ["one.pdf", "two.pdf"]
    assert three.batch("*", "-o", ".").code == 0
    assert sorted(path.name for path in Path().glob("*.md")) == ["one.md", "two.md"]


def test_a_document_is_never_written_over(scene):
    scene.write("a.txt", "text of a")
    scene.write("b.txt", "text of b")
    scene.write("b.pdf", "pdf of b")
    scene.write("c.pdf", "pdf of c")
    scene.write("c.md", "the user's own")
    folder = scene.root / "in"
    for options in (["--format", "txt", "--include", "*.txt"], ["--include", "*.pdf"]):
        for _ in range(2):
            done = scene.batch(folder, "-o", folder, *options)
            assert done.code == 0
        assert done.read == []
    assert (folder / "a.txt").read_text() == "text of a"
    assert (folder / "b.txt").read_text() == "text of b"
    assert (folder / "c.md").read_text() == "the user's own"
    assert "text of a" in (folder / "a.txt.txt").read_text()
    assert "pdf of c" in (folder / "c.pdf.md").read_text()


def test_an_output_of_a_run_that_was_killed_is_known_as_one(scene, monkeypatch):
    """Beside documents, a result that the ledger does not know of would be taken for the user's."""
    from ocrpress.jobs.ledger.book import Ledger

    scene.write("a.pdf", "alpha")
    folder, killed = scene.root / "in", scene.root / "killed"
    finish = Ledger.finish

    def leave_a_copy(*arguments, **options):
        shutil.copytree(folder, killed)  # what a kill leaves: the output, and what was committed
        finish(*arguments, **options)

    monkeypatch.setattr(Ledger, "finish", leave_a_copy)
    scene.batch(folder, "-o", folder)
    monkeypatch.setattr(Ledger, "finish", finish)
    assert scene.batch(killed, "-o", killed).code == 0
    assert [name for name in scene.visible(killed) if name != "a.pdf"] == ["a.md"]


# Stopping


def test_what_is_finished_is_kept_when_it_is_interrupted(three):
    three.on["sub/three.pdf 3"] = interrupt
    done = three.batch()
    assert (done.code, three.visible()) == (143, ["one.md", "two.md"])
    assert "the same command goes on from there" in done.err
    three.on.clear()
    again = three.batch()
    assert (again.code, again.pages) == (0, ["sub/three.pdf 3"])
    assert three.texts()["sub/three.md"].count("<!-- page ") == 3


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EIO, errno.EROFS])
def test_a_full_disk_stops_it_and_the_next_run_goes_on(three, monkeypatch, number):
    real = os.write

    def write(descriptor, data):
        if three.places[-1:] == ["two.pdf 2"] and b"gamma" in bytes(data):
            raise OSError(number, os.strerror(number))
        return real(descriptor, data)

    monkeypatch.setattr(os, "write", write)
    done = three.batch()
    assert (done.code, three.visible()) == (2, ["one.md"])
    assert f"two.md ({os.strerror(number)})" in done.err
    monkeypatch.setattr(os, "write", real)
    again = three.batch()
    assert (again.code, again.opened) == (0, ["sub/three.pdf"])  # the pages of two.pdf were read
    assert three.visible() == ["one.md", "sub/three.md", "two.md"]


def test_a_full_disk_under_the_ledger_stops_it(scene, monkeypatch):
    import ocrpress.cli.batching as batching

    ledgers = []
    real = batching.open_ledger
    monkeypatch.setattr(batching, "open_ledger", lambda *a, **k: ledgers.append(real(*a, **k)) or ledgers[-1])
    scene.write("a.pdf", "alpha")
    scene.write("b.pdf", *(random.Random(number).randbytes(5000).hex() for number in range(40)))
    scene.on["b.pdf 20"] = lambda: ledgers[-1].connection.execute("PRAGMA max_page_count = 1")
    done = scene.batch()
    assert done.code == 2
    assert re.search(r"ledger\.sqlite .*disk is full", done.err)
    assert scene.visible() == ["a.md"]
    scene.on.clear()
    again = scene.batch()
    assert (again.code, again.opened) == (0, ["b.pdf"])
    assert 15 <= len(again.pages) < 40  # what was committed before is kept


def test_results_that_are_taken_away_stop_it(three):
    three.write("new/four.pdf", "eta")
    three.on["new/four.pdf 1"] = lambda: shutil.rmtree(three.out)
    done = three.batch()
    assert done.code == 2
    assert str(three.out) in done.err
    assert not three.out.exists()  # nothing is begun anew where a ledger is missing
    three.on.clear()
    assert three.batch().code == 0
    assert len(three.visible()) == 4


def test_a_folder_of_results_that_is_taken_away_is_made_again(three):
    three.write("sub/four.pdf", "eta")
    three.on["sub/three.pdf 1"] = lambda: shutil.rmtree(three.out / "sub")
    assert three.batch().code == 0
    assert "sub/three.md" in three.visible()


# Inputs


def test_names_of_any_bytes_find_their_places(scene):
    names = [
        b"two words.pdf", b"line\nbreak.pdf", b"caf\xe9.pdf", b"\xff\xfe.pdf", "größe.pdf".encode(),
        b"a" * 251 + b".pdf", b"-o.pdf", b"%s.pdf", b"tab\t'\"&<.pdf",
    ]  # fmt: skip
    for number, name in enumerate(names):
        Path(os.fsdecode(os.fsencode(scene.root / "in") + b"/" + name)).write_text(f"document {number}")
    done = scene.batch()
    assert (done.code, len(done.opened)) == (0, len(names))
    found = {text.split("\n")[2] for text in scene.texts().values()}
    assert found == {f"document {number}" for number in range(len(names))}
    outputs = {os.fsencode(name) for name in scene.visible()}
    assert {b"two words.md", b"line\nbreak.md", b"caf\xe9.md", b"\xff\xfe.md"} < outputs
    assert scene.batch().read == []
    assert "\n" not in scene.batch("--force").err.strip()


def test_loops_of_links_end(three):
    folder = three.root / "in" / "sub"
    (folder / "up").symlink_to(three.root / "in")
    (folder / "self").symlink_to("self")
    (three.root / "in" / "again").symlink_to(folder)
    done = three.batch()
    assert sorted(done.opened) == ["one.pdf", "sub/three.pdf", "two.pdf"]
    assert three.visible() == ["one.md", "sub/three.md", "two.md"]


def test_documents_of_one_stem_get_outputs_of_their_own(scene):
    for name in ("x.pdf", "x.png", "X.PDF", "x.md.pdf"):
        scene.write(name, f"this is {name}")
    scene.batch("--include", "*")
    outputs = scene.texts()
    assert len({name.casefold() for name in outputs}) == len(outputs) == 4
    assert sorted(text.split("\n")[2] for text in outputs.values()) == sorted(
        f"this is {name}" for name in ("x.pdf", "x.png", "X.PDF", "x.md.pdf")
    )


def test_an_unreadable_file_costs_itself_only(three, monkeypatch):
    real = Path.open

    def refuse(path, *arguments, **options):
        if path.name == "two.pdf":
            raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))
        return real(path, *arguments, **options)

    monkeypatch.setattr(Path, "open", refuse)
    done = three.batch()
    assert (done.code, causes(three)) == (1, {"two.pdf": "cannot be opened"})
    assert "permission" in entry(three, "two.pdf").error.lower()
    monkeypatch.undo()
