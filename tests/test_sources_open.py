"""The door: what `open_source` takes, and the one line it says about what it does not."""

from __future__ import annotations

import io
import os
import sys
import tempfile
import threading
from contextlib import closing
from pathlib import Path

import pytest
from pdfmaker import make_text_pdf
from PIL import Image

from ocrpress.errors import InputError, PasswordError, UsageError
from ocrpress.sources import Source, SourceOptions, open_source


@pytest.fixture
def scratch(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder of temporary files, for this test alone."""
    folder = tmp_path / "scratch"
    folder.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(folder))
    return folder


def png() -> bytes:
    stream = io.BytesIO()
    Image.new("RGB", (20, 10), (1, 2, 3)).save(stream, "png")
    return stream.getvalue()


def drain(source: Source) -> int:
    try:
        return len(list(source.pages()))
    finally:
        source.close()


@pytest.mark.parametrize("data", [make_text_pdf(2), png()])
def test_stdin_goes_to_a_file_that_does_not_stay(data: bytes, scratch: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(data)))
    source = open_source("-", SourceOptions())
    assert source.name == "-"
    assert len(list(scratch.iterdir())) == 1
    assert drain(source) == source.page_count
    assert list(scratch.iterdir()) == []
    source.close()


@pytest.mark.parametrize("data", [b"", b"\x00hello", b"%PDF-1.4 nothing", make_text_pdf(1, user="x")])
def test_a_stream_that_cannot_be_read_leaves_no_file(data: bytes, scratch: Path) -> None:
    with pytest.raises(InputError, match=r"input|encrypted") as caught:
        open_source(io.BytesIO(data))
    assert str(scratch) not in str(caught.value)
    assert list(scratch.iterdir()) == []


def test_a_stream_that_fails_leaves_no_file(scratch: Path) -> None:
    class Failing(io.RawIOBase):
        def read(self, size: int = -1) -> bytes:
            raise OSError(5, "Input/output error")

    with pytest.raises(InputError, match=r"cannot be stored.*Input/output error"):
        open_source(Failing())  # type: ignore[arg-type]
    assert list(scratch.iterdir()) == []


def test_an_abandoned_stream_leaves_no_file(scratch: Path) -> None:
    source = open_source(io.BytesIO(png()))
    del source
    assert list(scratch.iterdir()) == []


def test_an_open_file_gives_its_name(tmp_path: Path) -> None:
    path = tmp_path / "a.pdf"
    path.write_bytes(make_text_pdf(1))
    with path.open("rb") as stream:
        source = open_source(stream)
    assert source.name == str(path)
    assert drain(source) == 1


def test_a_named_pipe_is_read_once(tmp_path: Path, scratch: Path) -> None:
    path = tmp_path / "pipe"
    os.mkfifo(path)
    thread = threading.Thread(target=path.write_bytes, args=(make_text_pdf(3),))
    thread.start()
    source = open_source(path)
    thread.join()
    assert (source.name, drain(source)) == (str(path), 3)
    assert list(scratch.iterdir()) == []


def test_text_paths_paths_and_odd_names_are_the_same(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    odd = Path(os.fsdecode("-r 1 ü\n\xff.pdf".encode() + b"\xfe"))
    odd.write_bytes(make_text_pdf(1))
    assert drain(open_source(odd)) == 1
    source = open_source(str(odd), SourceOptions(workers=0))
    monkeypatch.chdir("/")
    assert drain(source) == 1


@pytest.mark.parametrize(
    ("data", "said"),
    [
        (b"", "is empty"),
        (b"hello", r"no format that ocrpress reads .it is text, not what its name, \.pdf, says.: give a PDF"),
        (b"PK\x03\x04rest", "Office, e-book or ZIP"),
        (b"<!DOCTYPE html><p>", "web page"),
        (b"BMW is a car, not a bitmap", "no format"),
    ],
)
def test_a_file_of_another_kind_is_refused_in_one_line(tmp_path: Path, data: bytes, said: str) -> None:
    path = tmp_path / "a.pdf"
    path.write_bytes(data)
    with pytest.raises(InputError, match=said) as caught:
        open_source(path)
    assert "\n" not in str(caught.value)
    assert str(path) in str(caught.value)
    assert caught.value.exit_code == 3


def test_a_missing_file_is_an_input_error(tmp_path: Path) -> None:
    for missing in (tmp_path / "none.pdf", tmp_path / "none" / "a.pdf", "a\0b", ""):
        with pytest.raises(InputError, match=r"does not exist|cannot be read|has no images"):
            open_source(missing)


@pytest.mark.skipif(os.geteuid() == 0, reason="the superuser may read everything")
def test_a_file_that_may_not_be_read_is_an_input_error(tmp_path: Path) -> None:
    path = tmp_path / "a.pdf"
    path.write_bytes(make_text_pdf(1))
    path.chmod(0)
    with pytest.raises(InputError, match=r"may not be read"):
        open_source(path)


def test_a_refused_permission_is_an_input_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "a.pdf"
    path.write_bytes(make_text_pdf(1))

    def refuse(*_: object, **__: object) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(Path, "open", refuse)
    with pytest.raises(InputError, match=r"may not be read: check its permissions"):
        open_source(path)


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"mode": "larg"}, "did you mean 'large'"),
        ({"renderer": "pdfum"}, "did you mean 'pdfium'"),
        ({"dpi": 9.9}, "9.9 dpi is out of range: choose from 10 to 1200"),
        ({"dpi": 1201}, "out of range"),
        ({"dpi": float("nan")}, "out of range"),
        ({"pages": "1,x"}, "'x'"),
        ({"page_seconds": 0}, "time limit"),
        ({"max_pixels": 0}, "max_pixels"),
        ({"max_pages": 0}, "max_pages"),
        ({"workers": -1}, "workers"),
    ],
)
def test_bad_options_are_found_before_the_file(options: dict[str, object], said: str) -> None:
    with pytest.raises(UsageError, match=said):
        open_source("there is no such file", SourceOptions(**options))  # type: ignore[arg-type]


def test_the_password_does_not_show(tmp_path: Path) -> None:
    path = tmp_path / "a.pdf"
    path.write_bytes(make_text_pdf(1, user="right"))
    with pytest.raises(PasswordError) as caught:
        open_source(path, SourceOptions(password="not-the-one"))
    assert "not-the-one" not in str(caught.value)


def test_errors_tell_of_a_file_by_the_name_that_it_is_given(tmp_path):
    whole, cut = tmp_path / "7f3a.part", tmp_path / "91bc.part"
    Image.new("RGB", (300, 200), "white").save(whole, "PNG")
    cut.write_bytes(whole.read_bytes()[:-100])
    with closing(open_source(cut, name="scans/letter.png")) as source:
        (page,) = source.pages()
    assert page.error.startswith("letter.png cannot be decoded")
    cut.write_bytes(b"")
    with pytest.raises(InputError, match=r"^scans/letter[.]png is empty"):
        open_source(cut, name="scans/letter.png")
