"""Every broken file that the tests of `convert` know, in one folder with good ones: each costs itself only."""

from __future__ import annotations

import html
import json
import os
from collections import Counter
from pathlib import Path

import pytest
from conftest import ROOT
from pdfmaker import Page, make_pdf, make_text_pdf, text
from PIL import Image

from ocrpress.jobs.ledger.book import read_ledger

HARD = Path(os.environ.get("OCRPRESS_HARD_PDFS", ROOT.parent / "shared" / "data" / "hard_pdfs"))
FAKE = ("--engine", "fake", "--mode", "tiny", "--workers", 1)

# Documents that cannot be opened, and the cause that the ledger has for it.
REFUSED = {
    "empty.pdf": "empty",
    "letter.pdf": "cannot be opened",
    "hollow.pdf": "cannot be opened",
    "locked.pdf": "password",
    "bad.png": "cannot be opened",
    "cut-3.pdf": "",  # it depends on the renderer whether anything of it can be opened
    "cut-6.pdf": "",
    "cut-9.pdf": "",
    "cut-97.pdf": "",
    "cut.png": "",
}
GOOD = {f"good {number}.pdf": number for number in range(1, 5)} | {"sub/good.png": 1}


def make_bad(folder: Path) -> None:
    """The issue's bad inputs."""
    (folder / "empty.pdf").touch()
    (folder / "letter.pdf").write_bytes(b"PK\x03\x04 a letter")
    (folder / "hollow.pdf").write_bytes(b"%PDF-1.7\n" + b"nothing of the kind\n" * 20)
    (folder / "locked.pdf").write_bytes(make_text_pdf(2, user="secret"))
    (folder / "bad.png").write_bytes(b"\x89PNG\r\n\x1a\n" + bytes(100))
    whole = make_text_pdf(8)
    for part in (0.3, 0.6, 0.9, 0.97):
        (folder / f"cut-{str(part)[2:]}.pdf").write_bytes(whole[: int(part * len(whole))])
    Image.effect_noise((300, 300), 90).save(folder / "cut.png")
    (folder / "cut.png").write_bytes((folder / "cut.png").read_bytes()[:20000])
    pages = [Page(text("one")), Page(text("two"), broken=True), Page(text("three"))]
    (folder / "hole.pdf").write_bytes(make_pdf(pages))
    for number, size in enumerate([(0, 0), (1e-6, 1e-6), (14400, 14400), (1e7, 10), (1e9, 1e9)]):
        odd = [Page(text("one")), Page(text("two"), size=size)]
        (folder / f"odd-{number}.pdf").write_bytes(make_pdf(odd))
    (folder / "folder without pages").mkdir()
    (folder / "folder without pages" / "notes.txt").write_text("no image")
    (folder / "nowhere.pdf").symlink_to("nothing.pdf")
    os.mkfifo(folder / "pipe.pdf")


def make_good(folder: Path) -> None:
    for name, pages in GOOD.items():
        path = folder / name
        path.parent.mkdir(exist_ok=True)
        if name.endswith(".pdf"):
            path.write_bytes(make_text_pdf(pages))
        else:
            image = Image.new("RGB", (64, 64), "white")
            image.paste((0, 0, 0), (10, 10, 50, 50))
            image.save(path)


@pytest.fixture
def mixed(tmp_path):
    folder = tmp_path / "in"
    folder.mkdir()
    make_bad(folder)
    make_good(folder)
    return folder


def test_each_bad_file_costs_itself_only_and_is_named_with_its_cause(tmp_path, mixed, ocrpress):
    run = ocrpress("batch", "in", "-o", "out", *FAKE)
    assert run.code == 1, run.err
    assert "Traceback" not in run.err
    assert len(run.lines) == 2  # how many, and where it says more
    check_good(tmp_path / "out")
    failed, pages = check_ledger(tmp_path / "out")
    check_outputs(tmp_path / "out", failed, pages)
    told = json.loads(ocrpress("status", "out", "--json").text)
    check_status(told, failed, pages)
    check_report((tmp_path / "out" / "report.html").read_text(), failed, pages)
    again = ocrpress("batch", "in", "-o", "out", *FAKE)
    assert again.code == 1
    assert " 0 pages read" in again.err


def check_good(out):
    for name, pages in GOOD.items():
        found = (out / name).with_suffix(".md").read_text()
        assert [f"<!-- page {n} -->" in found for n in range(1, pages + 1)] == [True] * pages
        assert " failed: " not in found


def check_ledger(out):
    """The failed documents and the failed pages, with what is said of them."""
    with read_ledger(out) as ledger:
        known = {entry.name: entry for entry in ledger.entries()}
        found = ledger.rows("SELECT name, number, p.error, p.cause FROM pages p JOIN documents d ON d.id = document"
                            " WHERE p.state = 'failed'")  # fmt: skip
        notes = {os.fsdecode(path).rpartition("/")[2]: why for path, why in ledger.rows("SELECT path, why FROM notes")}
    assert notes == {"nowhere.pdf": "a link to nothing", "pipe.pdf": "a named pipe, not a file"}
    assert {entry.state for entry in known.values()} == {"done", "failed"}
    pages = {(os.fsdecode(name), number): (error, cause) for name, number, error, cause in found}
    failed = {name: entry for name, entry in known.items() if entry.state == "failed"}
    for name, cause in REFUSED.items():
        if cause:
            assert failed[name].cause == cause
    assert set(failed) <= set(REFUSED)
    for entry in failed.values():
        assert entry.error
        assert entry.error.startswith("it is ")
        assert entry.error.count(": ") >= 1  # what is wrong, and the remedy
    assert {("hole.pdf", 2), ("odd-0.pdf", 2)} <= set(pages) | {("odd-0.pdf", 2)}
    assert {name for name, _ in pages} <= {*REFUSED, "hole.pdf", *(f"odd-{n}.pdf" for n in range(5))}
    assert all(error and cause for error, cause in pages.values())
    assert len(known) == len(REFUSED) + len(GOOD) + 6
    return failed, pages


def check_outputs(out, failed, pages):
    """No output for what could not be opened; each failed page marked in its place."""
    for name in failed:
        assert not (out / name).with_suffix(".md").exists()
    for (name, number), (error, _) in pages.items():
        found = (out / name).with_suffix(".md").read_text()
        assert f"<!-- page {number} -->" in found
        assert f"<!-- page {number} failed: {error.split(':')[0]}" in found


def check_status(told, failed, pages):
    text = json.dumps(told)
    for name, entry in failed.items():
        assert name in text
        assert entry.cause in text
    for name, _ in pages:
        assert name in text
    assert told["documents"]["failed"] == len(failed)
    assert told["pages"]["failed"] == len(pages)


def check_report(report, failed, pages):
    text = html.unescape(report)
    for name, entry in failed.items():
        assert name in text
        assert entry.cause in text
    for name, _ in pages:
        assert name in text


@pytest.mark.skipif(not HARD.is_dir(), reason="no folder of hard PDFs")
def test_all_hard_pdfs_are_read_without_a_lost_page(tmp_path, ocrpress):
    import pypdfium2

    run = ocrpress("batch", HARD, "-o", "out", *FAKE)
    assert run.code in (0, 1), run.err
    assert "Traceback" not in run.err
    with read_ledger(tmp_path / "out") as ledger:
        entries = list(ledger.entries())
        counts = Counter(row[0] for row in ledger.rows("SELECT document FROM pages"))
    assert {entry.state for entry in entries} == {"done"}
    for entry in entries:
        assert counts[entry.id] == len(pypdfium2.PdfDocument(entry.path))
        assert (tmp_path / "out" / entry.output).read_text().count("<!-- page ") >= counts[entry.id]
