"""Samples -> pages: each in its place, from its own pixels or set from its text."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from pdfmaker import Page, make_pdf, text
from PIL import Image

from ocrpress.document import PageImage, UnreadablePage
from ocrpress.measure.samples import Choice, Sample, SampleSource, load_samples, page_image
from ocrpress.measure.samples.sample import natural
from ocrpress.measure.tokens import Counter
from ocrpress.sources.pdf import PdfSource
from ocrpress.typeset import lay_out

COUNTER = Counter("quarters of characters", lambda found: len(found) // 4)
PROSE = "The order of the words on this page is that in which a reader takes them, from the first to the last one."


@pytest.fixture
def data(tmp_path: Path) -> list[str]:
    """Two images, a PDF of four pages (the third is empty) and a text."""
    for number, colour in enumerate(("red", "blue"), 1):
        Image.new("RGB", (40 * number, 50), colour).save(tmp_path / f"{number}.png")
    entries = [{"image": "1.png", "text": "red"}, {"image": "2.png", "text": "blue"}]
    (tmp_path / "pages.json").write_text(json.dumps(entries))
    pages = [Page(text(PROSE, size=9)), Page(text(f"Second. {PROSE}", size=9)), Page(), Page(text(PROSE, size=9))]
    (tmp_path / "a.pdf").write_bytes(make_pdf(pages))
    (tmp_path / "notes.txt").write_text(PROSE)
    return [str(tmp_path / name) for name in ("pages.json", "a.pdf", "notes.txt")]


def samples(data: list[str]) -> tuple[Sample, ...]:
    return load_samples(data, COUNTER, Choice()).items


def images(source: SampleSource) -> list[Image.Image]:
    pages = list(source.pages())
    assert [page.number for page in pages] == list(range(1, source.page_count + 1))
    assert all(isinstance(page, PageImage) for page in pages), pages
    return [page.image for page in pages if isinstance(page, PageImage)]


def test_every_sample_is_a_page_in_its_place(data: list[str]) -> None:
    source = SampleSource(samples(data), "base")
    found = images(source)
    assert source.page_count == len(found) == 6
    assert [image.size for image in found] == [(40, 50), (80, 50), (791, 1024), (791, 1024), (791, 1024), (1654, 2339)]
    assert found[0].getpixel((5, 5)) == (255, 0, 0)
    assert source.drawn


def test_pages_can_be_had_again_and_left_in_the_middle(data: list[str]) -> None:
    source = SampleSource(samples(data), "tiny")
    first = source.pages()
    next(first)
    first.close()
    assert len(images(source)) == 6


def test_pixels_of_images_and_of_text_do_not_depend_on_the_mode_those_of_pdfs_do(data: list[str]) -> None:
    kept = samples(data)
    tiny, large = images(SampleSource(kept, "tiny")), images(SampleSource(kept, "large"))
    assert [one == other for one, other in zip(tiny, large, strict=True)] == [True, True, False, False, False, True]
    assert large[2].size == (989, 1280)


def test_a_pdf_is_opened_once_for_pages_that_follow_each_other(
    data: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    kept = samples(data)
    opened = []

    class Counted(PdfSource):
        def __init__(self, *arguments: object) -> None:
            opened.append(arguments[3])
            super().__init__(*arguments)  # type: ignore[arg-type]

    monkeypatch.setattr("ocrpress.measure.samples.source.PdfSource", Counted)
    images(SampleSource(kept, "tiny"))
    assert opened == [((1, 1), (2, 2), (4, 4))]
    opened.clear()
    backwards = [kept[4], kept[3], kept[0], kept[2], kept[2]]
    found = images(SampleSource(backwards, "tiny"))
    assert opened == [((4, 4),), ((2, 2),), ((1, 1),), ((1, 1),)]
    assert found[3] == found[4] != found[1]


def test_a_page_of_a_pdf_is_drawn_again_for_another_mode_and_others_are_not(data: list[str]) -> None:
    source = SampleSource(samples(data), "tiny")
    again = source.redraw(4, "large")
    assert isinstance(again, PageImage)
    assert again.number == 4
    assert again.image == images(SampleSource(samples(data), "large"))[3]
    assert source.redraw(1, "large") is None
    assert source.redraw(6, "large") is None
    source.close()
    source.close()


def test_pages_are_drawn_again_while_others_are_read(data: list[str]) -> None:
    source = SampleSource(samples(data), "tiny")
    numbers = [(page.number, again.number if again else None) for page in source.pages()
               for again in [source.redraw(page.number, "base")]]  # fmt: skip
    assert numbers == [(1, None), (2, None), (3, 3), (4, 4), (5, 5), (6, None)]
    source.close()


def test_what_is_gone_or_damaged_in_the_meantime_is_an_unreadable_page_in_its_place(
    data: list[str], tmp_path: Path
) -> None:
    kept = samples(data)
    (tmp_path / "1.png").unlink()
    (tmp_path / "2.png").write_bytes((tmp_path / "2.png").read_bytes()[:40])
    (tmp_path / "a.pdf").write_bytes(make_pdf([Page(text("Another one.")), Page(broken=True)]))
    pages = list(SampleSource(kept, "tiny").pages())
    assert [type(page) for page in pages] == [
        UnreadablePage, UnreadablePage, PageImage, UnreadablePage, UnreadablePage, PageImage
    ]  # fmt: skip
    assert [page.number for page in pages] == [1, 2, 3, 4, 5, 6]
    errors = [page.error for page in pages if isinstance(page, UnreadablePage)]
    assert "1.png cannot be read" in errors[0]
    assert "2.png cannot be decoded" in errors[1]
    assert errors[3] == "a.pdf has no page 4 any more"
    (tmp_path / "a.pdf").unlink()
    assert [type(page) for page in SampleSource(kept[2:5], "tiny").pages()] == [UnreadablePage] * 3
    assert SampleSource(kept, "tiny").redraw(3, "base") is None
    assert page_image(kept[0], "tiny") is None


def test_a_list_may_not_name_texts_and_pdfs_as_images(tmp_path: Path, data: list[str]) -> None:
    kept = [replace(samples(data)[0], file=file) for file in data[1:]]
    pages = list(SampleSource(kept, "tiny").pages())
    assert all(isinstance(page, UnreadablePage) and "no image in it" in page.error for page in pages)


def test_one_page_can_be_had_for_a_report(data: list[str]) -> None:
    kept = samples(data)
    found = [page_image(kept[index], "base") for index in (3, 5)]
    assert [image.size for image in found if image] == [(791, 1024), (1654, 2339)]


def test_what_a_perfect_reader_reads_of_a_page_is_its_text(tmp_path: Path) -> None:
    long = tmp_path / "long.txt"
    long.write_text("\n\n".join(f"{n}. {PROSE} “{n}”, said the reader – and went on." for n in range(400)))
    for sample in load_samples([str(long)], COUNTER, Choice(per_bucket=1)).items:
        (sheet,) = lay_out(sample.text, sample.style)
        assert sheet.text.split() == sample.text.split()


def test_the_ink_of_a_page_stands_inside_its_margins(data: list[str]) -> None:
    image = page_image(samples(data)[5], "base")
    assert image
    ink = np.asarray(image.convert("L")) < 128
    rows, columns = np.flatnonzero(ink.any(axis=1)), np.flatnonzero(ink.any(axis=0))
    assert rows.min() > 90
    assert rows.max() < 250
    assert columns.min() > 90
    assert columns.max() < 1654 - 90


def test_no_samples_are_no_pages() -> None:
    assert list(SampleSource([], "base").pages()) == []
    assert natural("a", "text", 650, "typeset").bucket == 600
