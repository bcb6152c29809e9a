"""Ctrl-C, SIGTERM and SIGKILL in the middle of a document, with an engine that takes its time."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time

import pytest
from conftest import environment
from pdfmaker import make_text_pdf

SLOW = """
import sys
import ocrpress.engines, ocrpress.cli.conversion
from ocrpress.engines.fake import FakeEngine, describe

def read_as(request):
    print("page", request.page.number, file=sys.stderr, flush=True)
    return describe(request)

ocrpress.cli.conversion.open_engine = lambda name, options: FakeEngine(read_as, seconds=0.2)
from ocrpress.__main__ import main
sys.exit(main(sys.argv[1:]))
"""


@pytest.fixture
def slow(tmp_path):
    """Start a slow conversion of a document of 50 pages and wait for its third page."""
    (tmp_path / "long.pdf").write_bytes(make_text_pdf(50, 1))
    started = []

    def start(*arguments):
        process = subprocess.Popen(
            [sys.executable, "-c", SLOW, "convert", *arguments, "--engine", "fake"], cwd=tmp_path, env=environment(),
            stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        )  # fmt: skip
        started.append(process)
        while process.stderr.readline().strip() != "page 3":
            assert process.poll() is None
        return process

    yield start
    for process in started:
        process.kill()
        process.communicate()


def finish(process):
    out, err = process.communicate(timeout=30)
    return process.returncode, out, [line for line in err.splitlines() if not line.startswith("page ")]


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_what_is_finished_is_written_and_marked_incomplete(tmp_path, slow, number, code):
    process = slow("long.pdf", "-o", "out.md")
    process.send_signal(number)
    found, out, err = finish(process)
    text = (tmp_path / "out.md").read_text()
    assert (found, out) == (code, "")
    assert text.count("<!-- page ") in (2, 3, 4)
    assert text.endswith("of 50 pages -->\n")
    assert len(err) == 1
    assert err[0].startswith("ocrpress: broken off: long.pdf: ")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["long.pdf", "out.md"]


def test_an_interrupted_batch_on_stdout_is_still_json(slow):
    process = slow("long.pdf", "long.pd?", "missing.pdf", "--format", "json")
    process.send_signal(signal.SIGINT)
    code, out, _ = finish(process)
    (only,) = json.loads(out)
    assert (code, only["complete"], only["page_count"]) == (130, False, 50)
    assert len(only["pages"]) >= 2


def test_nothing_is_written_where_no_page_was_finished(tmp_path, slow):
    (tmp_path / "out.md").write_text("old")
    process = slow("long.pdf", "-o", "out.md", "--pages", "3-")
    process.send_signal(signal.SIGINT)
    code, _, err = finish(process)
    assert code == 130
    assert (tmp_path / "out.md").read_text() == "old"
    assert err == ["ocrpress: interrupted before the first page of long.pdf was finished: nothing is written for it"]


def test_a_second_signal_ends_the_program_at_once(tmp_path, slow):
    process = slow("long.pdf", "-o", "out.md")
    process.send_signal(signal.SIGINT)
    process.send_signal(signal.SIGTERM)
    started = time.monotonic()
    assert finish(process)[0] in (130, 143)
    assert time.monotonic() - started < 5
    assert not [path for path in tmp_path.iterdir() if path.name.endswith(".part")]


def test_a_killed_process_leaves_no_file_under_the_final_name(tmp_path, slow):
    process = slow("long.pdf", "-o", "out.md")
    process.kill()
    finish(process)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["long.pdf"]
