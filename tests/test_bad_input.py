"""The issue's list of bad inputs: an exit code, one clear line, and no file under the final name."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from conftest import ROOT
from pdfmaker import Page, make_pdf, make_text_pdf, text
from PIL import Image

from ocrpress.__main__ import main
from ocrpress.document import PageImage, UnreadablePage

HARD = Path(os.environ.get("OCRPRESS_HARD_PDFS", ROOT.parent / "shared" / "data" / "hard_pdfs"))


@pytest.fixture
def refused(tmp_path, ocrpress):
    """Convert to out.md, which must not appear; the one line on stderr must have all the words."""

    def check(code, words, *arguments, **more):
        run = ocrpress("convert", *arguments, "--engine", "fake", "-o", "out.md", **more)
        assert (run.code, run.out, len(run.lines)) == (code, b"", 1), run.err
        assert run.err.startswith("ocrpress: ")
        assert run.err.count(": ") >= 2  # the thing and its cause, and the remedy
        for word in words:
            assert word in run.err
        assert not (tmp_path / "out.md").exists()
        assert not [path for path in tmp_path.iterdir() if path.name.endswith(".part")]

    return check


def test_a_missing_file(refused):
    refused(3, ["missing.pdf", "does not exist", "check"], "missing.pdf")


def test_a_pattern_that_matches_nothing(refused):
    refused(3, ["no file matches 'none*.pdf'", "check"], "none*.pdf")


def test_a_folder_without_pages(tmp_path, refused):
    (tmp_path / "folder").mkdir()
    (tmp_path / "folder" / "notes.txt").write_text("no image")
    refused(3, ["folder", "no images", "give"], "folder")


def test_an_empty_file(tmp_path, refused):
    (tmp_path / "empty.pdf").touch()
    refused(3, ["empty.pdf", "is empty", "give"], "empty.pdf")


def test_an_empty_stdin(refused):
    refused(3, ["standard input", "empty"], "-")


def test_a_file_that_is_no_pdf(tmp_path, refused):
    (tmp_path / "letter.pdf").write_bytes(b"PK\x03\x04 a letter")
    refused(3, ["letter.pdf", "no format", "ZIP", "give"], "letter.pdf")


def test_a_pdf_in_name_only(tmp_path, refused):
    (tmp_path / "hollow.pdf").write_bytes(b"%PDF-1.7\n" + b"nothing of the kind\n" * 20)
    refused(3, ["hollow.pdf"], "hollow.pdf")


@pytest.mark.parametrize("part", [0.3, 0.6, 0.9, 0.97])
def test_a_truncated_pdf_is_refused_or_its_lost_pages_are_marked(tmp_path, ocrpress, part):
    whole = make_text_pdf(8)
    (tmp_path / "cut.pdf").write_bytes(whole[: int(part * len(whole))])
    run = ocrpress("convert", "cut.pdf", "--engine", "fake", "-o", "out.md")
    assert "Traceback" not in run.err
    if run.code == 3:
        assert len(run.lines) == 1
        assert "cut.pdf" in run.err
        assert not (tmp_path / "out.md").exists()
    else:
        found = (tmp_path / "out.md").read_text()
        lost = found.count("failed: ")
        assert (run.code, len(run.lines)) in ((0, 0), (0, 1), (1, 1), (1, 2))
        assert run.code == (1 if lost else 0)


def test_an_encrypted_pdf(tmp_path, refused, ocrpress):
    (tmp_path / "locked.pdf").write_bytes(make_text_pdf(2, user="secret"))
    refused(3, ["locked.pdf", "encrypted", "--password"], "locked.pdf")
    refused(3, ["locked.pdf", "password", "--password"], "locked.pdf", "--password", "wrong")
    run = ocrpress("convert", "locked.pdf", "--password", "secret", "--engine", "fake")
    assert (run.code, run.err, run.text.count("<!-- page ")) == (0, "", 2)


def test_a_page_that_raises_in_the_renderer(tmp_path, monkeypatch, capfd):
    import ocrpress.pipeline

    class Source:
        name, page_count = "three.pdf", 3

        def pages(self):
            image = Image.new("RGB", (64, 64), "white")
            image.paste((0, 0, 0), (10, 10, 50, 50))
            yield PageImage(1, image, 64, 64)
            yield UnreadablePage(2, "the renderer crashed (SIGSEGV)", 64, 64)
            yield PageImage(3, image, 64, 64)

        def close(self):
            pass

    monkeypatch.setattr(ocrpress.pipeline, "open_source", lambda path, options: Source())
    assert main(["convert", "three.pdf", "--engine", "fake", "-o", str(tmp_path / "out.md")]) == 1
    err = capfd.readouterr().err
    assert err.count("\n") == 1
    for word in ("three.pdf", "1 of 3 pages failed", "page 2", "SIGSEGV", "marked"):
        assert word in err
    assert "<!-- page 2 failed: the renderer crashed (SIGSEGV) -->" in (tmp_path / "out.md").read_text()


def test_a_page_that_is_not_there(tmp_path, ocrpress):
    pages = [Page(text("one")), Page(text("two"), broken=True), Page(text("three"))]
    (tmp_path / "hole.pdf").write_bytes(make_pdf(pages))
    run = ocrpress("convert", "hole.pdf", "--engine", "fake", "-o", "out.md")
    assert (run.code, len(run.lines)) == (1, 1)
    found = (tmp_path / "out.md").read_text()
    assert [f"<!-- page {n} -->" in found for n in (1, 2, 3)] == [True] * 3
    assert "<!-- page 2 failed: " in found


@pytest.mark.parametrize("size", [(0, 0), (1e-6, 1e-6), (14400, 14400), (1e7, 10), (1e9, 1e9)])
def test_a_page_of_zero_or_enormous_size(tmp_path, ocrpress, size):
    (tmp_path / "odd.pdf").write_bytes(make_pdf([Page(text("one")), Page(text("two"), size=size)]))
    run = ocrpress("convert", "odd.pdf", "--engine", "fake", "-o", "out.md")
    assert run.code in (0, 1)
    assert len(run.lines) <= 2
    found = (tmp_path / "out.md").read_text()
    assert "<!-- page 2 -->" in found
    assert ("<!-- page 2 failed: " in found) == (run.code == 1)


def test_an_unreadable_image(tmp_path, refused):
    (tmp_path / "bad.png").write_bytes(b"\x89PNG\r\n\x1a\n" + bytes(100))
    refused(3, ["bad.png", "damaged"], "bad.png")


def test_an_image_cut_short(tmp_path, ocrpress):
    Image.effect_noise((300, 300), 90).save(tmp_path / "whole.png")
    (tmp_path / "cut.png").write_bytes((tmp_path / "whole.png").read_bytes()[:20000])
    run = ocrpress("convert", "cut.png", "--engine", "fake", "-o", "out.md")
    assert run.code in (0, 1, 3)
    assert len(run.lines) == bool(run.code)


def test_an_output_that_cannot_be_written(tmp_path, pdf, ocrpress):
    (tmp_path / "file").write_text("in the way")
    (tmp_path / "folder.md").mkdir()
    for output in ("file/out.md", "file/", "/proc/out.md", f"{'a' * 300}.md"):
        run = ocrpress("convert", pdf, "--engine", "fake", "-o", output)
        assert (run.code, run.out, len(run.lines)) == (2, b"", 1), run.err
        assert "cannot write" in run.err
        assert "choose another place with -o" in run.err
    run = ocrpress("convert", pdf, "missing.pdf", "--engine", "fake", "-o", "file")
    assert (run.code, len(run.lines)) == (2, 1)
    assert "file is a file, but there are 2 inputs: name a folder" in run.err
    run = ocrpress("convert", pdf, "--engine", "fake", "--figures", "file")
    assert (run.code, len(run.lines)) == (2, 1)


def test_the_output_is_checked_before_the_engine_is_opened(tmp_path, pdf, monkeypatch, capsys):
    import ocrpress.cli.conversion

    monkeypatch.setattr(ocrpress.cli.conversion, "open_engine", lambda name, options: pytest.fail("opened"))
    (tmp_path / "file").touch()
    assert main(["convert", str(pdf), "-o", str(tmp_path / "file" / "out.md")]) == 2
    assert "cannot write" in capsys.readouterr().err


def test_an_output_that_is_the_input(pdf, ocrpress):
    before = pdf.read_bytes()
    run = ocrpress("convert", pdf, "--engine", "fake", "-o", pdf)
    assert (run.code, len(run.lines)) == (2, 1)
    assert "is the input itself" in run.err
    assert pdf.read_bytes() == before


def test_a_full_disk(tmp_path, pdf, monkeypatch, capsys):
    def full(descriptor, data):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "write", full)
    out = tmp_path / "new" / "out.md"
    assert main(["convert", str(pdf), "--engine", "fake", "-o", str(out), "--workers", "0"]) == 2
    err = capsys.readouterr().err
    assert err.count("\n") == 1
    assert "No space left on device" in err
    assert list(out.parent.iterdir()) == []


def test_a_full_disk_behind_stdout(tmp_path, pdf, ocrpress):
    with Path("/dev/full").open("wb") as full:
        run = ocrpress("convert", pdf, "--engine", "fake", capture_output=False, stdout=full, stderr=-1)
    assert (run.code, len(run.lines)) == (2, 1)
    assert "No space left on device" in run.err


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--mode", "larg"], ["unknown mode 'larg'", "did you mean 'large'"]),
        (["--format", "mdd"], ["unknown format 'mdd'", "did you mean 'md'"]),
        (["--renderer", "popler"], ["unknown renderer 'popler'", "did you mean 'poppler'"]),
        (["--page-breaks", "non"], ["'non'", "did you mean 'none'"]),
        (["--pages", "3-1"], ["3-1", "backwards", "1-3"]),
        (["--pages", "one"], ["'one'", "1-3,7"]),
        (["--pages", "7"], ["none of the pages 7", "1 to 3"]),
        (["--dpi", "1000000"], ["dpi", "choose from"]),
        (["--max-tiles", "1"], ["max_tiles", "2 or more"]),
        (["--workers", "-1"], ["workers", "0 or more"]),
    ],
)
def test_an_option_that_cannot_be(pdf, refused, arguments, words):
    refused(2, words, pdf, *arguments)


def test_an_unknown_engine(pdf, ocrpress):
    run = ocrpress("convert", pdf, "--engine", "rapd")
    assert (run.code, run.out, len(run.lines)) == (2, b"", 1)
    assert "unknown engine 'rapd': did you mean 'rapid'?" in run.err


def test_a_page_on_which_the_engine_fails(tmp_path, pdf, monkeypatch, capfd):
    import ocrpress.cli.conversion
    from ocrpress.engines.fake import FakeEngine

    def read_as(request):
        if request.page.number != 2:
            raise MemoryError("too large")
        return "fine"

    monkeypatch.setattr(ocrpress.cli.conversion, "open_engine", lambda name, options: FakeEngine(read_as))
    assert main(["convert", str(pdf), "-o", str(tmp_path / "out.md")]) == 1
    err = capfd.readouterr().err
    assert "2 of 3 pages failed (1, 3; page 1: MemoryError: too large)" in err
    assert "<!-- page 3 failed: MemoryError: too large -->" in (tmp_path / "out.md").read_text()


def test_an_engine_that_cannot_run(tmp_path, pdf, monkeypatch, capfd):
    import ocrpress.cli.conversion
    from ocrpress.errors import EngineError

    def cannot(name, options):
        raise EngineError("OpenVINO cannot be imported", "run: pip install openvino")

    monkeypatch.setattr(ocrpress.cli.conversion, "open_engine", cannot)
    assert main(["convert", str(pdf), str(pdf) + "x", "-o", str(tmp_path / "out")]) == 4
    assert capfd.readouterr().err == "ocrpress: OpenVINO cannot be imported: run: pip install openvino\n"


@pytest.mark.skipif(not HARD.is_dir(), reason="no folder of hard PDFs")
def test_all_hard_pdfs_convert_without_a_lost_page(tmp_path, ocrpress):
    import pypdfium2

    files = sorted(HARD.glob("*.pdf"))
    run = ocrpress("convert", *files, "--engine", "fake", "-o", "out", "--mode", "tiny")
    assert run.code in (0, 1)
    assert "Traceback" not in run.err
    for file in files:
        found = (tmp_path / "out" / f"{file.stem}.md").read_text()
        for number in range(1, len(pypdfium2.PdfDocument(file)) + 1):
            assert f"<!-- page {number} -->" in found
