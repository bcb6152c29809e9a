"""Text layers of PDFs, read in a worker process."""

from __future__ import annotations

import signal
from contextlib import closing
from pathlib import Path

import pytest
from pdfmaker import Page, first_free, make_pdf, make_text_pdf, nested_page, stream, text

from ocrpress.document import UnreadablePage
from ocrpress.sources.base import SourceOptions
from ocrpress.sources.layer import BROKEN_WORD, Layer
from ocrpress.sources.pdf import PdfSource

INVISIBLE = b"3 Tr "
RESOURCES = b"/Resources << /Font << /F1 3 0 R >> /XObject << /X %d 0 R >> >>"


def source(path: Path, data: bytes, **options: object) -> PdfSource:
    path.write_bytes(data)
    return PdfSource(str(path), path.name, SourceOptions(**options), None)  # type: ignore[arg-type]


def layers(path: Path, data: bytes, **options: object) -> list[Layer | UnreadablePage]:
    with closing(source(path, data, **options)) as opened:
        return list(opened.layers())


def picture(pages: int, extra: bytes = b"") -> tuple[bytes, tuple[bytes, ...]]:
    """Entries and objects of a page that can draw a grey picture, /X."""
    head = b"/Type /XObject /Subtype /Image /Width 1 /Height 1 /ColorSpace /DeviceGray /BitsPerComponent 8 " + extra
    return RESOURCES % first_free(pages), (stream(b"\x80", head),)


def covering(before: bytes, after: bytes = b"", size: tuple[int, int] = (612, 792)) -> Page:
    entries, objects = picture(1)
    draw = b"\nq %d 0 0 %d 0 0 cm /X Do Q\n" % size
    return Page(before + draw + after, entries=entries, objects=objects)


def test_layers_come_in_page_order_with_the_lines_of_the_page(tmp_path: Path) -> None:
    found = layers(tmp_path / "a.pdf", make_text_pdf(3, lines=2))
    assert found == [Layer(n, f"Page {n}, line 1\nPage {n}, line 2") for n in (1, 2, 3)]


def test_only_the_pages_asked_for_are_read(tmp_path: Path) -> None:
    path = tmp_path / "a.pdf"
    path.write_bytes(make_text_pdf(5))
    with closing(PdfSource(str(path), "a", SourceOptions(), ((2, 2), (4, None)))) as opened:
        assert [layer.number for layer in opened.layers()] == [2, 4, 5]


def test_a_word_broken_at_the_end_of_a_line_is_marked(tmp_path: Path) -> None:
    page = Page(text("How much text survives compres-", "sion is measured here."))
    (layer,) = layers(tmp_path / "a.pdf", make_pdf([page]))
    assert isinstance(layer, Layer)
    assert layer.text == f"How much text survives compres{BROKEN_WORD}sion is measured here."


def test_a_page_without_text_has_an_empty_layer(tmp_path: Path) -> None:
    assert layers(tmp_path / "a.pdf", make_pdf([Page()])) == [Layer(1, "")]


def test_text_in_invisible_ink_is_hidden(tmp_path: Path) -> None:
    shown = text("seen")
    unseen = shown.replace(b"BT ", b"BT " + INVISIBLE)
    found = layers(tmp_path / "a.pdf", make_pdf([Page(unseen), Page(shown), Page(shown + b" " + unseen)]))
    assert [layer.hidden for layer in found if isinstance(layer, Layer)] == [1.0, 0.0, 0.5]


@pytest.mark.parametrize(
    ("page", "hidden"),
    [
        (covering(text("under")), 1.0),
        (covering(b"", text("over")), 0.0),
        (covering(text("beside"), size=(300, 300)), 0.0),
        (covering(text("under"), text("over")), 0.5),
    ],
)
def test_text_under_a_picture_of_the_whole_page_is_hidden(tmp_path: Path, page: Page, hidden: float) -> None:
    (layer,) = layers(tmp_path / "a.pdf", make_pdf([page]))
    assert isinstance(layer, Layer)
    assert layer.hidden == hidden


def test_a_watermark_hides_nothing(tmp_path: Path) -> None:
    first = first_free(1)
    entries, _ = picture(1)
    head = b"/Type /XObject /Subtype /Image /Width 1 /Height 1 /ColorSpace /DeviceGray /BitsPerComponent 8 "
    objects = (stream(b"\x80", head + b"/SMask %d 0 R" % (first + 1)), stream(b"\x20", head))
    content = text("under a watermark") + b"\nq 612 0 0 792 0 0 cm /X Do Q\n"
    (layer,) = layers(tmp_path / "a.pdf", make_pdf([Page(content, entries=entries, objects=objects)]))
    assert isinstance(layer, Layer)
    assert layer.hidden == 0.0


def test_an_encrypted_document_gives_its_layers_for_the_password(tmp_path: Path) -> None:
    (layer,) = layers(tmp_path / "a.pdf", make_text_pdf(1, lines=1, user="open"), password="open")
    assert isinstance(layer, Layer)
    assert layer.text == "Page 1, line 1"


def test_a_broken_page_keeps_its_place(tmp_path: Path) -> None:
    found = layers(tmp_path / "a.pdf", make_pdf([Page(text("one")), Page(broken=True), Page(text("three"))]))
    assert [type(layer) for layer in found] == [Layer, UnreadablePage, Layer]
    assert [layer.number for layer in found] == [1, 2, 3]


def test_a_page_without_end_costs_itself_only(tmp_path: Path) -> None:
    pages = [nested_page(3, depth=14, width=14), Page(text("two")), Page(text("three"))]
    found = layers(tmp_path / "a.pdf", make_pdf(pages), page_seconds=1.0)
    assert isinstance(found[0], UnreadablePage)
    assert found[0].error == "rendering took longer than 1 s and was stopped"
    assert [layer.text for layer in found[1:] if isinstance(layer, Layer)] == ["two", "three"]


def test_a_worker_that_crashes_costs_one_layer(tmp_path: Path) -> None:
    import os

    path = tmp_path / "a.pdf"
    path.write_bytes(make_text_pdf(6))
    with closing(PdfSource(str(path), "a", SourceOptions(), None)) as opened:
        read = opened.layers()
        found = [next(read)]
        for pid in opened._pools[0].pids:
            os.kill(pid, signal.SIGSEGV)
        found += read
    assert len(found) == 6
    lost = [layer for layer in found if isinstance(layer, UnreadablePage)]
    assert len(lost) <= 1  # none if its answer was there already
    assert all(isinstance(layer, Layer) for layer in found[3:])


def test_more_text_than_a_page_can_hold_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ocrpress.sources.layer.MOST_CHARACTERS", 20)
    short, long = Page(text("short")), Page(text("longer than twenty characters"))
    found = layers(tmp_path / "a.pdf", make_pdf([short, long]), workers=0)
    assert found[0] == Layer(1, "short")
    assert found[1] == UnreadablePage(2, "its text layer has 29 characters, the limit is 20")
