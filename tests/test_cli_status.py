"""`ocrpress status`: the figures for people and programs, and the exit code."""

from __future__ import annotations

import json
import os

import pytest
from batchmaker import Batch, page

from ocrpress.__main__ import main


def fill(folder, *, bad: bool) -> None:
    with Batch(folder) as batch:
        batch.add("good.pdf", [page(1), page(2, "blank", attempts=()), page(3, seconds=2.5, tries=2)])
        if bad:
            batch.add("marred.pdf", [page(1), page(2, "failed", error="over and over")])
            name = os.fsdecode(b"sub/\xff\n<b>.pdf")
            batch.ledger.fail(batch.add(name), "it is empty: give a file with something in it", "empty")
            batch.ledger.note("/in/shut", "may not be read")
        batch.end(int(bad))


def status(capsys, *arguments: object) -> tuple[int, str]:
    code = main(["status", *map(str, arguments)])
    taken = capsys.readouterr()
    assert taken.err == ""
    return code, taken.out


def test_a_batch_without_failures_exits_with_0(tmp_path, capsys):
    fill(tmp_path, bad=False)
    code, text = status(capsys, tmp_path)
    assert code == 0
    assert "finished" in text
    assert "engine fake, mode base" in text
    assert "1 of 1 done" in text
    assert "3 of 3 known: 2 read, 1 blank, 0 failed" in text
    assert "failed pages:" not in text


def test_failures_are_told_by_cause_and_exit_with_1(tmp_path, capsys):
    fill(tmp_path, bad=True)
    code, text = status(capsys, tmp_path)
    assert code == 1
    for words in ("failed documents: 1 empty", "failed pages: 1 loop", "over and over", "/in/shut", "slowest pages"):
        assert words in text
    assert "sub/\ufffd\ufffd<b>.pdf" in text


def test_json_says_the_same_and_more(tmp_path, capsys):
    fill(tmp_path, bad=True)
    code, text = status(capsys, tmp_path, "--json")
    found = json.loads(text)
    assert code == 1
    assert (found["state"], found["well"]) == ("finished", False)
    assert found["documents"] == {
        "found": 3, "done": 2, "with_failed_pages": 1, "open": 0, "waiting": 0, "failed": 1,
    }  # fmt: skip
    assert (found["pages"]["finished"], found["pages"]["failed"]) == (5, 1)
    assert found["failed_pages_by_cause"] == [{"cause": "loop", "count": 1, "example": "over and over"}]
    assert found["failed_pages"][0] == {
        "document": "marred.pdf", "number": 2, "cause": "loop", "error": "over and over", "engine": "fake",
        "mode": "base", "attempts": 1,
    }  # fmt: skip
    assert found["slowest"][0]["seconds"] == 2.5
    assert sum(each["pages"] for each in found["seconds_a_page"]["histogram"]) == 4
    assert found["run"]["exit_code"] == 1
    assert found["run"]["started"].endswith("+00:00")
    assert found["left_out"] == [{"path": "/in/shut", "why": "may not be read"}]
    assert found["options"] == [{"documents": 3, "options": {"engine": "fake", "mode": "base"}}]


def test_a_running_batch_is_shown_by_another_process(tmp_path, ocrpress):
    out = tmp_path / "out"
    with Batch(out) as batch:
        batch.add("open.pdf", [page(1)], count=4)
        batch.end(None)
        run = ocrpress("status", out)
        assert (run.code, run.err) == (0, "")
        assert "running since" in run.text
        assert f"process {os.getpid()}" in run.text
        assert "1 of 4 known" in run.text
        assert "1 being read" in run.text
        assert json.loads(ocrpress("status", out, "--json").out)["state"] == "running"


def test_a_batch_that_was_killed_exits_with_1_and_says_how_to_go_on(tmp_path, capsys):
    with Batch(tmp_path) as batch:
        batch.add("open.pdf", [page(1)], count=4)
        batch.end(None)
    code, text = status(capsys, tmp_path)
    assert code == 1
    assert "was killed" in text
    assert "run the same command again" in text


@pytest.mark.parametrize("json_wanted", [[], ["--json"]])
def test_where_there_is_no_batch_it_exits_with_2(tmp_path, capsys, json_wanted):
    assert main(["status", str(tmp_path), *json_wanted]) == 2
    taken = capsys.readouterr()
    assert taken.out == ""
    assert "no batch" in taken.err
    assert len(taken.err.splitlines()) == 1


def test_a_damaged_ledger_exits_with_2_and_offers_to_rebuild(tmp_path, capsys):
    fill(tmp_path, bad=False)
    (tmp_path / ".ocrpress" / "ledger.sqlite").write_bytes(b"\x00" * 5000)
    assert main(["status", str(tmp_path)]) == 2
    assert "--rebuild" in capsys.readouterr().err


def test_an_empty_batch_is_shown_too(tmp_path, capsys):
    with Batch(tmp_path) as batch:
        batch.end(0)
    assert status(capsys, tmp_path)[0] == 0
    assert json.loads(status(capsys, tmp_path, "--json")[1])["seconds_a_page"] is None


def test_many_failures_are_cut_short_and_long_names_keep_their_end(tmp_path, capsys):
    with Batch(tmp_path) as batch:
        for number in range(25):
            name = f"{'deep/' * 30}{number}.pdf"
            batch.ledger.fail(batch.add(name), "x" * 4000, "cannot be opened")
        batch.end(1)
    _, text = status(capsys, tmp_path)
    assert "failed documents: 25 cannot be opened" in text
    assert "and 15 more" in text
    assert "deep/9.pdf" in text
    assert max(map(len, text.splitlines())) < 220
