"""The command `ocrpress batch`: what it takes, how it is stopped, and what it says."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import batch_tools
import pytest
from conftest import environment
from pdfmaker import Page, make_pdf, text

from ocrpress.__main__ import main
from ocrpress.errors import EngineError
from ocrpress.jobs.ledger.book import open_ledger, read_ledger


@pytest.fixture
def scene(tmp_path, monkeypatch, capfd):
    """Documents in a folder, and batches of them in this process, without a reading process."""
    return batch_tools.scene(tmp_path, monkeypatch, capfd)


@pytest.fixture
def pages(tmp_path):
    """Documents with real pages, in the folder "in"."""

    def make(**counts: int):
        for name, count in counts.items():
            path = tmp_path / "in" / f"{name}.pdf"
            path.parent.mkdir(exist_ok=True)
            path.write_bytes(make_pdf([Page(text(f"{name} page {n}", size=60)) for n in range(1, count + 1)]))

    return make


@pytest.fixture
def start(tmp_path):
    """Start a batch in a process of its own, whose engine takes its time."""
    started = []

    def run(*arguments, seconds=0.05, **settings):
        command = batch_tools.batch_command(
            tmp_path / "log", seconds, *arguments, "-o", "out", "--engine", "fake", "--mode", "tiny", "--workers", 1
        )
        process = subprocess.Popen(
            command, cwd=tmp_path, env=environment(), stderr=subprocess.PIPE, text=True,
            **{"stdin": subprocess.DEVNULL, **settings},
        )  # fmt: skip
        started.append(process)
        return process

    yield run
    for process in started:
        process.kill()
        process.communicate()


def end(process):
    """Exit code and stderr."""
    _, err = process.communicate(timeout=60)
    return process.returncode, err


def wait_for(condition, process=None):
    until = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < until
        assert process is None or process.poll() is None
        time.sleep(0.01)


def processes_with(word: str) -> list[int]:
    """Processes with this word in their command line."""
    found = []
    for entry in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            if word.encode() in (entry / "cmdline").read_bytes():
                found.append(int(entry.name))
    return found


# Streaming


def test_a_result_is_on_disk_before_the_list_has_ended(tmp_path, pages, start):
    pages(one=1, two=2)
    process = start("--from", "-", stdin=subprocess.PIPE)
    process.stdin.write("in/one.pdf\n")
    process.stdin.flush()
    wait_for((tmp_path / "out" / "in" / "one.md").exists, process)
    process.stdin.write("in/two.pdf\n")
    process.stdin.close()
    process.stdin = None
    code, err = end(process)
    assert code == 0, err
    assert (tmp_path / "out" / "in" / "two.md").read_text().count("<!-- page ") == 2


def test_the_first_result_is_on_disk_long_before_the_last_document_is_opened(tmp_path, pages, start):
    pages(**{f"d{number:02}": 1 for number in range(40)})
    process = start("in", seconds=0.02)
    wait_for((tmp_path / "out" / "d00.md").exists, process)
    begun = batch_tools.pages_begun(tmp_path / "log").total()
    assert begun < 15
    assert end(process)[0] == 0
    assert batch_tools.pages_begun(tmp_path / "log").total() == 40


# Stopping and going on


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_signal_keeps_what_is_finished_and_the_next_run_goes_on(tmp_path, pages, start, number, code):
    pages(a=1, b=30)
    process = start("in")
    wait_for(lambda: batch_tools.pages_begun(tmp_path / "log").total() >= 6, process)
    os.kill(process.pid, number)
    found, err = end(process)
    begun = batch_tools.pages_begun(tmp_path / "log")
    assert found == code, err
    assert err == "ocrpress: interrupted: what is finished is kept, and the same command goes on from there\n"
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == [".ocrpress", "a.md", "report.html"]
    with read_ledger(tmp_path / "out") as ledger:
        (kept,) = ledger.row("SELECT COUNT(*) FROM pages")
        assert ledger.row("SELECT exit_code FROM runs") == (code,)
    assert kept >= begun.total() - 4  # the page that it was at, and what came while the last commit was on its way
    wait_for(lambda: not processes_with(str(tmp_path / "log")))
    code, err = end(start("in", seconds=0))
    assert code == 0, err
    again = batch_tools.pages_begun(tmp_path / "log")
    assert (len(again), again.total() - len(again)) == (31, begun.total() - kept)
    assert (tmp_path / "out" / "b.md").read_text().count("<!-- page ") == 30


def test_a_signal_while_it_waits_for_the_list_ends_it(tmp_path, start):
    process = start("--from", "-", stdin=subprocess.PIPE)
    wait_for(lambda: _runs(tmp_path) == 1, process)
    process.send_signal(signal.SIGINT)
    assert process.wait(20) == 130


def _runs(tmp_path):
    with contextlib.suppress(Exception), read_ledger(tmp_path / "out") as ledger:
        return ledger.row("SELECT COUNT(*) FROM runs")[0]
    return 0


def test_a_second_run_on_the_same_folder_is_refused(tmp_path, pages, start, capfd):
    pages(a=20)
    first = start("in", seconds=0.2)
    wait_for(lambda: batch_tools.pages_begun(tmp_path / "log").total() > 0, first)
    out = tmp_path / "out"
    assert main(["batch", str(tmp_path / "in"), "-o", str(out), "--engine", "fake"]) == 2
    assert capfd.readouterr().err == (
        f"ocrpress: process {first.pid} is writing to {out}: wait until it has ended, or stop it; or choose another "
        "place with -o\n"
    )
    assert end(first)[0] == 0
    assert batch_tools.pages_begun(tmp_path / "log").total() == 20


def test_a_disk_quota_stops_it_and_the_next_run_goes_on(tmp_path, pages, start):
    """A limit to the size of files stands for a full disk: the ledger is the first to meet it,
    however many pages share a write of its."""
    pages(**{f"d{number:02}": 2 for number in range(60)})
    limited = (
        "import resource, sys, runpy\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (150_000, 150_000))\n"
        "sys.argv = sys.argv[1:]\n"
        "runpy.run_path(sys.argv[0], run_name='__main__')\n"
    )
    command = batch_tools.batch_command(tmp_path / "log", 0.01, "in", "-o", "out", "--engine", "fake", "--mode", "tiny")
    done = subprocess.run(
        [command[0], "-c", limited, *command[1:]], cwd=tmp_path, env=environment(), capture_output=True, text=True,
        timeout=60, check=False,
    )  # fmt: skip
    assert (done.returncode, done.stderr.count("\n")) == (2, 1), done.stderr
    assert "ledger.sqlite" in done.stderr
    assert len(list((tmp_path / "out").glob("*.md"))) < 60
    code, err = end(start("in", seconds=0))
    assert code == 0, err
    assert len(list((tmp_path / "out").glob("*.md"))) == 60
    assert len(batch_tools.pages_begun(tmp_path / "log")) == 120


# What is said no to


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ([], ["no inputs", "--from"]),
        (["in", "--format", "mdd"], ["unknown format 'mdd'", "did you mean 'md'"]),
        (["in", "--mode", "larg"], ["unknown mode 'larg'"]),
        (["in", "--engine", "rapd"], ["unknown engine 'rapd'"]),
        (["in", "--page-limit", "0"], ["time limit", "more than 0"]),
        (["in", "--page-tries", "0"], ["0 times", "1 or more"]),
        (["in", "--pages", "3-1"], ["backwards"]),
        (["in", "--include", ""], ["empty pattern"]),
        (["in", "--incldue", "x"], ["--incldue"]),
    ],
)
def test_an_option_that_cannot_be(scene, monkeypatch, arguments, words):
    monkeypatch.chdir(scene.root)
    code, err = scene.run_command(["batch", *arguments, "-o", "out"])
    assert (code, err.count("\n")) == (2, 1), err
    for word in words:
        assert word in err
    assert not scene.out.exists()


def test_a_folder_of_results_that_cannot_be(scene):
    scene.write("a.pdf", "alpha")
    (scene.root / "out").write_text("a file")
    done = scene.batch()
    assert (done.code, done.read) == (2, [])
    assert f"cannot write {scene.out}" in done.err


def test_a_list_that_is_not_there(scene):
    done = scene.batch("--from", scene.root / "none.txt")
    assert done.code == 3
    assert "none.txt cannot be read (No such file or directory)" in done.err


def test_a_list_without_a_standard_input(tmp_path):
    program = "import sys; sys.stdin = None; from ocrpress.__main__ import main; sys.exit(main(sys.argv[1:]))"
    done = subprocess.run(
        [sys.executable, "-c", program, "batch", "--from", "-", "-o", "out", "--engine", "fake"], cwd=tmp_path,
        env=environment(), capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip
    assert (done.returncode, done.stderr.count("\n")) == (3, 1)
    assert "there is no standard input" in done.stderr


# Which documents


def test_lists_from_a_file_and_null_bytes(scene, monkeypatch):
    monkeypatch.chdir(scene.root)
    scene.write("a.pdf", "alpha")
    scene.write("sub/b c\n.pdf", "beta")
    scene.write("left.pdf", "gamma")
    (scene.root / "lines").write_bytes(b"in/a.pdf\n\nin/missing.pdf\n")
    (scene.root / "nulls").write_bytes(b"in/a.pdf\0in/sub/b c\n.pdf\0")

    def batch(*arguments):
        scene.places.clear()
        code, err = scene.run_command(["batch", "--from", *arguments, "-o", "out", "--engine", "fake"])
        return code, err, list(scene.places)

    code, err, read = batch("lines")
    assert (code, read) == (1, ["in/a.pdf 0", "in/a.pdf 1"])
    assert "1 inputs left out" in err
    code, err, read = batch("nulls", "--null")
    assert (code, read) == (0, ["in/sub/b c\n.pdf 0", "in/sub/b c\n.pdf 1"])
    assert scene.visible() == ["in/a.md", "in/sub/b c\n.md"]


def test_include_and_exclude_choose(scene):
    for name in ("a.pdf", "b.png", "c.txt", "old/d.pdf", "old/keep/e.pdf", ".hidden.pdf"):
        scene.write(name, name)
    assert sorted(scene.batch().opened) == ["a.pdf", "b.png", "old/d.pdf", "old/keep/e.pdf"]
    assert scene.batch("--include", "*.TXT", "--include", "b*").opened == ["c.txt"]
    assert scene.batch("--force", "--exclude", "old/", "--exclude", "*.png").opened == ["a.pdf"]
    assert scene.batch("--force", "--include", "*.pdf", "--exclude", "keep/").opened == ["a.pdf", "old/d.pdf"]


def test_several_inputs_are_kept_apart(scene):
    scene.write("a.pdf", "alpha")
    other = scene.root / "other" / "in"
    other.mkdir(parents=True)
    (other / "a.pdf").write_text("beta")
    (scene.root / "a.pdf").write_text("gamma")
    done = scene.batch(scene.root / "in", other, scene.root / "a.pdf")
    assert done.code == 0
    assert {name: body.split("\n")[2] for name, body in scene.texts().items()} == {
        "in/a.md": "alpha", "in-2/a.md": "beta", "a.md": "gamma",
    }  # fmt: skip


# The ledger


@pytest.mark.parametrize("damage", ["random", "empty", "short", "version", "gone"])
def test_a_ledger_that_cannot_be_trusted_is_made_anew_when_asked(scene, damage):
    for number in range(5):
        scene.write(f"{number}.pdf", f"document {number}")
    scene.batch()
    ledger = scene.out / ".ocrpress" / "ledger.sqlite"
    data = ledger.read_bytes()
    changed = {"random": os.urandom(len(data)), "empty": b"", "short": data[: len(data) // 2]}
    if damage == "gone":
        ledger.unlink()
    elif damage == "version":
        import sqlite3

        with contextlib.closing(sqlite3.connect(ledger)) as connection:
            connection.execute("PRAGMA user_version = 99")
    else:
        ledger.write_bytes(changed[damage])
    (scene.out / "3.md").unlink()
    refused = scene.batch()
    assert (refused.code, refused.read) == (2, [])
    assert "--rebuild" in refused.err
    assert ("version 99" in refused.err) == (damage == "version")
    rebuilt = scene.batch("--rebuild")
    assert (rebuilt.code, rebuilt.opened) == (0, ["3.pdf"])
    assert scene.batch().read == []
    assert len(scene.visible()) == 5


def test_the_hidden_files_of_the_dead_are_swept_up_and_those_of_the_living_are_not(scene):
    scene.write("sub/a.pdf", "alpha")
    scene.batch()
    with open_ledger(scene.out) as ledger:
        ledger.start_run({})  # a run that was killed
    gone = subprocess.Popen([sys.executable, "-c", ""])
    gone.wait()
    dead = [scene.out / folder / f".ocrpress-{gone.pid}-7.part" for folder in ("", "sub", ".ocrpress")]
    others = [
        scene.out / "sub" / f".ocrpress-{os.getppid()}-7.part", scene.out / f"ocrpress-{gone.pid}-7.part",
        scene.out / f".ocrpress-{gone.pid}-7.parts", scene.out / f".ocrpress-{10**30}-7.part",
    ]  # fmt: skip
    for path in (*dead, *others):
        path.touch()
    assert scene.batch().code == 0
    assert [path.exists() for path in dead] == [False] * 3
    assert [path.exists() for path in others] == [True] * 4


def test_no_process_is_started_when_all_is_done(scene, monkeypatch, capfd):
    scene.write("a.pdf", "alpha")
    scene.batch()
    import ocrpress.cli.batching
    import ocrpress.jobs.reading.crew as crew

    monkeypatch.setattr(ocrpress.cli.batching, "Crew", crew.Crew)
    monkeypatch.setattr(crew, "Link", lambda *_: pytest.fail("a process was started"))
    began = time.monotonic()
    assert scene.batch().code == 0
    assert time.monotonic() - began < 2


def test_an_engine_that_cannot_run_ends_it_and_what_is_finished_is_kept(scene):
    def break_down():
        raise EngineError("the model is gone", "fetch it")

    scene.write("a.pdf", "alpha")
    scene.write("b.pdf", "beta", "gamma")
    scene.on["b.pdf 2"] = break_down
    done = scene.batch()
    assert (done.code, scene.visible()) == (4, ["a.md"])
    assert done.err.endswith("ocrpress: the model is gone: fetch it\n")
    scene.on.clear()
    assert scene.batch().pages == ["b.pdf 2"]


# Datasets


@pytest.mark.parametrize("format_", ["jsonl", "parquet"])
def test_a_dataset_holds_every_document_once(scene, format_):
    if format_ == "parquet":
        pytest.importorskip("pyarrow")
    for number in range(5):
        scene.write(f"{number}.pdf", f"document {number}", "second page")
    assert scene.batch("--format", format_).code == 0
    assert scene.visible() == [f"documents-00000.{format_}"]
    assert scene.batch("--format", format_).read == []
    scene.write("2.pdf", "document 2 anew")
    again = scene.batch("--format", format_)
    assert (again.code, again.opened) == (0, ["2.pdf"])
    assert sorted(_texts(scene.out)) == [
        *(f"document {number}" for number in (0, 1)), "document 2 anew", "document 3", "document 4",
    ]  # fmt: skip


def _texts(out):
    for path in sorted(out.iterdir()):
        if path.suffix == ".jsonl":
            import json

            yield from (json.loads(line)["text"].split("\n")[0] for line in path.read_text().splitlines())
        elif path.suffix == ".parquet":
            import pyarrow.parquet

            yield from (text.split("\n")[0] for text in pyarrow.parquet.read_table(path)["text"].to_pylist())
