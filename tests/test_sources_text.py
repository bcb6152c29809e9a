"""Text as a source: what is text, what is refused, and pages that are drawn as the mode sees them."""

from __future__ import annotations

import io
import itertools
import sys
import tempfile
from pathlib import Path

import pytest
from PIL import ImageChops

import ocrpress.sources.text as source_of_text
from ocrpress.errors import InputError, UsageError
from ocrpress.sources import SourceOptions, open_source
from ocrpress.typeset import Style, draw, lay_out
from ocrpress.typeset.scaling import scaled
from ocrpress.typeset.shelf import Shelf

PROSE = "The quick brown fox jumps over the lazy dog, and the dog thinks nothing of it. " * 14
LONG = "\n\n".join(f"Paragraph {number}. {PROSE}" for number in range(20))


@pytest.fixture
def long(tmp_path: Path) -> Path:
    """A text of some pages."""
    path = tmp_path / "long.txt"
    path.write_text(LONG)
    return path


@pytest.fixture
def laid_out(monkeypatch):
    """What `lay_out` was asked for, and how many pages it gave."""
    asked: list[tuple[str, bool]] = []
    given: list[int] = []

    def recorded(text, style, *, markdown=False):
        asked.append((text, markdown))
        for sheet in lay_out(text, style):
            given.append(sheet.number)
            yield sheet

    monkeypatch.setattr(source_of_text, "lay_out", recorded)
    return asked, given


def pages_of(path, **options):
    source = open_source(path, SourceOptions(**options))
    try:
        return list(source.pages())
    finally:
        source.close()


def test_a_text_is_pages_that_are_drawn(long):
    source = open_source(long)
    sheets = list(lay_out(LONG))
    assert (source.name, source.page_count, source.drawn) == (str(long), len(sheets), True)
    assert source.page_count > 3
    for page, sheet in zip(source.pages(), sheets, strict=True):
        assert (page.number, page.warnings) == (sheet.number, ())
        assert page.image.tobytes() == draw(sheet).tobytes()  # native and the default style: 144 dpi, both
        assert page.width == pytest.approx(595.3, abs=0.5)
        assert page.height == pytest.approx(841.9, abs=0.5)
    source.close()


@pytest.mark.parametrize(
    ("options", "size"),
    [({"mode": "base"}, (724, 1024)), ({"mode": "large"}, (905, 1280)), ({"mode": "tiny"}, (512, 724)),
     ({"dpi": 72}, (596, 842)), ({"mode": "base", "max_pixels": 100_000}, (265, 376))],
)  # fmt: skip
def test_a_page_is_drawn_at_the_size_that_the_mode_can_use(long, options, size):
    whole = pages_of(long)
    drawn = pages_of(long, **options)
    assert {page.image.size for page in drawn} == {size}
    assert len(drawn) == len(whole)
    assert all(bool(page.warnings) == ("max_pixels" in options) for page in drawn)
    # The same words at the same places: smaller, and little else.
    small = whole[1].image.resize(size).convert("L")
    difference = ImageChops.difference(small, drawn[1].image.convert("L"))
    mean = sum(value * count for value, count in enumerate(difference.histogram())) / (size[0] * size[1])
    other = ImageChops.difference(whole[2].image.resize(size).convert("L"), drawn[1].image.convert("L"))
    assert mean < 0.5 * sum(value * count for value, count in enumerate(other.histogram())) / (size[0] * size[1])


def test_pages_asked_for_are_the_pages_given(long):
    total = len(pages_of(long))
    assert [page.number for page in pages_of(long, pages="2,4-")] == [2, *range(4, total + 1)]
    assert pages_of(long, pages="2")[0].image.tobytes() == pages_of(long)[1].image.tobytes()
    with pytest.raises(UsageError, match=f"none of the pages 90.*from 1 to {total}"):
        open_source(long, SourceOptions(pages="90"))


def test_no_more_is_laid_out_than_is_asked_for(long, laid_out):
    _, given = laid_out
    assert len(pages_of(long, pages="2")) == 1
    assert given == [1, 2]
    given.clear()
    with pytest.raises(InputError, match=r"long\.txt gives more than 2 pages, the limit: choose some with --pages"):
        open_source(long, SourceOptions(max_pages=2))
    assert given == [1, 2, 3]
    assert len(pages_of(long, max_pages=2, pages="1,4")) == 2


def test_a_page_is_redrawn_for_another_mode_while_others_are_read(long):
    source = open_source(long, SourceOptions(mode="tiny"))
    pages = source.pages()
    next(pages)
    again = source.redraw(2, "base")
    assert (again.number, again.image.size) == (2, (724, 1024))
    assert again.image.tobytes() == pages_of(long, mode="base")[1].image.tobytes()
    assert next(pages).number == 2
    source.close()
    source.close()
    assert source.redraw(2, "base") is None
    with pytest.raises(InputError, match="closed while it was read"):
        next(pages)
    fixed = open_source(long, SourceOptions(dpi=72))
    assert fixed.redraw(1, "base") is None
    fixed.close()


@pytest.mark.parametrize(
    ("data", "text"),
    [("Zürich\r\nKöln\rBonn".encode(), "Zürich\nKöln\nBonn"), ("Zürich".encode("utf-8-sig"), "Zürich"),
     ("Zürich ✓".encode("utf-16"), "Zürich ✓"), ("Zürich".encode("utf-16-be", "strict"), None),
     (b"\xfe\xff" + "Zürich".encode("utf-16-be"), "Zürich"), ("𝔘nd".encode("utf-32"), "𝔘nd"),
     (b"\x1b[31mred\x1b[0m log", "\x1b[31mred\x1b[0m log"), (b"BMW is a car", "BMW is a car"),
     ("ä".encode() * 600, "ä" * 600)],
)  # fmt: skip
def test_the_encodings_that_are_read(tmp_path, laid_out, data, text):
    (tmp_path / "a.txt").write_bytes(data)
    if text is None:  # UTF-16 without its mark could be anything
        with pytest.raises(InputError, match="no format"):
            open_source(tmp_path / "a.txt")
    else:
        assert len(pages_of(tmp_path / "a.txt")) == 1
        assert laid_out[0] == [(text, False)]


@pytest.mark.parametrize(
    ("name", "markdown"), [("a.md", True), ("A.Markdown", True), ("a.txt", False), ("README", False)]
)
def test_the_name_tells_markdown(tmp_path, laid_out, name, markdown):
    (tmp_path / name).write_text("<p align='center'>Title</p>" if markdown else "Title")
    assert len(pages_of(tmp_path / name)) == 1
    assert laid_out[0][0][1] is markdown


def test_stdin_may_be_text(monkeypatch):
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(b"hello")))
    (page,) = pages_of("-")
    assert page.image.tobytes() == draw(next(lay_out("hello"))).tobytes()


@pytest.mark.parametrize(
    ("name", "data", "said"),
    [
        ("a.pdf", b"%%Nothing", r"it is text, not what its name, \.pdf, says"),
        ("a.PNG", b"not found", r"it is text, not what its name, \.png, says"),
        ("a.txt", b"<!DOCTYPE html><p>", "it looks like a web page"),
        ("a.md", b" <html>", "it looks like a web page"),
        ("a.txt", b"<div class='x'>", "it looks like HTML"),
        ("a.html", b"text", r"not what its name, \.html, says"),
        ("a.txt", b"<?xml version='1.0'?>", "it looks like XML"),
        ("a", b"<svg xmlns=''>", "it looks like XML"),
        ("a.txt", rb"{\rtf1 hi}", "it looks like RTF"),
        ("a.txt", b"%!PS-Adobe-3.0", "it looks like PostScript"),
        ("a.txt", b"% a comment\n\\documentclass{article}", "it looks like LaTeX"),
        ("a.txt", b"PK\x03\x04", "Office, e-book or ZIP"),
        ("a.txt", b"a\0b", "no format that ocrpress reads: give a PDF, .* or text"),
        ("a.txt", bytes(range(1, 255)), "no format that ocrpress reads: give"),
        ("a.txt", b"\xff\xfe\x00\xd8 odd", "no format that ocrpress reads: give"),
        ("a.txt", "café".encode("latin-1"), "text, but not in UTF-8: convert it, like: iconv"),
        ("a.txt", b"x" * 5000 + b"\xe9", "not UTF-8 text throughout .byte 0xE9 at 5,000.: convert it, like: iconv"),
        ("a.txt", b"x" * 5000 + b"\0", "NUL characters"),
        ("a.txt", b" \n\t\f ", r"a\.txt: the text has no printable characters"),
    ],
)  # fmt: skip
def test_what_nobody_would_want_typeset_is_refused_in_one_line(tmp_path, name, data, said):
    (tmp_path / name).write_bytes(data)
    with pytest.raises(InputError, match=said) as caught:
        open_source(tmp_path / name)
    assert str(tmp_path / name) in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("text", ["<john> hi there", "Use \\documentclass{x} in LaTeX.", "a < b > c", "{'a': 1}"])
def test_text_with_marks_in_it_is_text(tmp_path, text):
    (tmp_path / "a.txt").write_text(text)
    assert len(pages_of(tmp_path / "a.txt")) == 1


def test_a_text_that_is_too_long_is_refused(tmp_path, monkeypatch):
    monkeypatch.setattr(source_of_text, "MOST_BYTES", 1 << 20)
    (tmp_path / "a.txt").write_bytes(b"x" * ((1 << 20) + 1))
    with pytest.raises(InputError, match="more than 1 MiB of text, the limit: split it"):
        open_source(tmp_path / "a.txt")


def test_characters_that_the_font_lacks_are_named_on_their_page(tmp_path):
    (tmp_path / "a.txt").write_text(f"{LONG}\n\nFine so far \U00012000 and \U00012000\U00012001.")
    pages = pages_of(tmp_path / "a.txt")
    assert [page.warnings for page in pages[:-1]] == [()] * (len(pages) - 1)
    assert pages[-1].warnings == ("the font serif lacks U+12000 \U00012000, U+12001 \U00012001",)


def test_more_than_a_few_are_counted():
    (said,) = source_of_text.lacking([chr(0x12000 + n) for n in range(20)], Style())
    assert said.endswith("U+12007 \U00012007 and 12 more")


def test_a_text_is_read_back_by_convert(long, ocrpress):
    run = ocrpress("convert", long, "-", "--engine", "fake", "--mode", "tiny", stdin=b"Short.")
    assert (run.code, run.err) == (0, "")
    assert run.text.count("512 by 724 pixels") == len(pages_of(long)) + 1


def test_sheets_come_back_from_the_shelf_as_they_were():
    shelf = Shelf()
    sheets = list(lay_out(LONG + "\n\n日本語 שלום αβγ", Style(columns=2)))
    for sheet in sheets:
        shelf.put(sheet)
    assert len(shelf) == len(sheets)
    assert [shelf.get(sheet.number) for sheet in reversed(sheets)] == sheets[::-1]
    shelf.close()
    shelf.close()


def test_a_full_disk_behind_the_shelf_is_one_line(long, monkeypatch):
    class Full(io.BytesIO):
        def write(self, data):
            raise OSError(28, "No space left on device")

    monkeypatch.setattr(tempfile, "TemporaryFile", lambda **_: Full())
    with pytest.raises(InputError, match=r"pages cannot be stored .*No space left on device.*: make room"):
        open_source(long)


def test_a_scaled_sheet_keeps_every_word_in_its_place():
    sheet = next(lay_out(LONG))
    small = scaled(sheet, sheet.width // 2, sheet.height // 2)
    assert (small.width, small.height, small.text) == (sheet.width // 2, sheet.height // 2, sheet.text)
    assert small.dpi == pytest.approx(sheet.dpi / 2, rel=0.01)
    for run, other in itertools.zip_longest(sheet.runs, small.runs):
        assert run.text == other.text
        assert other.x / small.width == pytest.approx(run.x / sheet.width)
        assert other.y / small.height == pytest.approx(run.y / sheet.height, abs=1 / small.height)
        assert other.face.size / small.width == pytest.approx(run.face.size / sheet.width)
    assert scaled(sheet, sheet.width, sheet.height) is sheet
