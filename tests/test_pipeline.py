"""The pipeline: page order, blank and failing pages, bounded memory, figures, the library's own door."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from pathlib import Path

import pytest
from pdfmaker import make_text_pdf
from PIL import Image, ImageDraw

import ocrpress
from ocrpress.document import Completion, PageImage, Region, Request
from ocrpress.engines.fake import FakeEngine
from ocrpress.errors import EngineError, OutputError, UsageError
from ocrpress.pipeline import Options, convert, open_reading, stream
from ocrpress.quality.ink import has_ink
from ocrpress.sources import SourceOptions
from ocrpress.sources.image import ImageSource


@pytest.fixture
def pages(tmp_path: Path) -> Path:
    """A folder of seven page images; the third is blank, the fifth is broken."""
    folder = tmp_path / "pages"
    folder.mkdir()
    for number in range(1, 8):
        image = Image.new("RGB", (300, 400), "white")
        if number != 3:
            ImageDraw.Draw(image).text((20, 20), f"page {number}", fill="black")
        image.save(folder / f"{number}.png")
    (folder / "5.png").write_bytes((folder / "5.png").read_bytes()[:100])
    return folder


@pytest.mark.parametrize("in_flight", [1, 3, 50])
@pytest.mark.parametrize("backwards", [False, True])
def test_pages_come_in_order_whatever_the_engine_does(pages: Path, in_flight: int, backwards: bool) -> None:
    results = list(stream(pages, engine=FakeEngine(in_flight=in_flight, backwards=backwards)))
    assert [page.number for page in results] == [1, 2, 3, 4, 5, 6, 7]
    assert [page.status for page in results] == ["ok", "ok", "blank", "ok", "failed", "ok", "ok"]
    assert results[4].error
    assert results[2].text == ""


def test_a_page_that_the_engine_cannot_read_keeps_its_place(pages: Path) -> None:
    def read_as(request: Request) -> str:
        if request.page.number == 2:
            raise ValueError("no sense in it")
        return "text"

    document = convert(pages, engine=FakeEngine(read_as))
    assert [page.number for page in document.failed] == [2, 5]
    assert document.pages[1].error == "ValueError: no sense in it"
    assert document.pages[1].attempts[0].rejected == "ValueError: no sense in it"
    assert document.page_count == 7


def test_a_blank_page_is_never_shown_to_an_engine(pages: Path) -> None:
    seen = []
    convert(pages, engine=FakeEngine(lambda request: seen.append(request.page.number) or "invented"))
    assert 3 not in seen


def test_no_more_pages_are_held_than_the_engine_asks_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    given = 0
    original = ImageSource.pages

    def counted(self: ImageSource) -> Iterator[PageImage]:
        nonlocal given
        for page in original(self):
            given += 1
            yield page

    monkeypatch.setattr(ImageSource, "pages", counted)
    frames = [Image.new("RGB", (60, 80), (number, 0, 0)) for number in range(40)]
    for frame in frames:
        frame.paste((255, 255, 255), (10, 10, 30, 30))
    frames[0].save(tmp_path / "many.tiff", save_all=True, append_images=frames[1:])
    for count, _ in enumerate(stream(tmp_path / "many.tiff", engine=FakeEngine(in_flight=4)), start=1):
        assert given - count < 4
    assert count == 40


def test_a_reader_may_stop_early(tmp_path: Path) -> None:
    path = tmp_path / "long.pdf"
    path.write_bytes(make_text_pdf(30))
    for page in stream(path, engine="fake"):
        assert page.number == 1
        break


def test_figures_are_cropped_and_linked(tmp_path: Path) -> None:
    image = Image.new("RGB", (400, 600), "white")
    image.paste((200, 30, 30), (100, 200, 300, 350))
    image.save(tmp_path / "page.png")

    class Seeing(FakeEngine):
        def _answer(self, request: Request) -> Completion:
            return Completion(request.key, regions=(Region("figure", (100, 200, 300, 350)),))

    document = convert(
        tmp_path / "page.png", engine=Seeing(), figures=tmp_path / "out" / "figures", figures_base=tmp_path
    )
    (block,) = document.pages[0].blocks
    assert block.image == "out/figures/page-p0001-1.png"
    figure = Image.open(tmp_path / block.image)
    assert (figure.size, figure.getcolors()) == ((200, 150), [(30000, (200, 30, 30))])
    assert "![Figure](out/figures/page-p0001-1.png)" in ocrpress.render(document)


def test_figures_that_cannot_be_written_are_an_output_error(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    Image.new("RGB", (50, 50), "white").save(tmp_path / "page.png")

    class Seeing(FakeEngine):
        def _answer(self, request: Request) -> Completion:
            return Completion(request.key, regions=(Region("figure", (0, 0, 50, 50)),))

    image = Image.new("RGB", (50, 50), "white")
    image.paste((0, 0, 0), (5, 5, 45, 45))
    image.save(tmp_path / "page.png")
    with pytest.raises(OutputError, match=r"cannot write .*file"):
        convert(tmp_path / "page.png", engine=Seeing(), figures=tmp_path / "file")


def test_modes_engines_tasks_and_options_are_checked_before_the_first_page(pages: Path) -> None:
    for wrong, match in (
        ({"mode": "bass"}, "did you mean 'base'"),
        ({"engine": "rapit"}, "did you mean 'rapid'"),
        ({"task": "markdwn"}, "did you mean 'markdown'"),
        ({"modes": "base"}, "did you mean 'mode'"),
    ):
        with pytest.raises(UsageError, match=match):
            convert(pages, **{"engine": FakeEngine(), **wrong})


def test_the_plan_and_the_seconds_are_in_every_result(pages: Path) -> None:
    page = next(stream(pages, engine=FakeEngine(), mode="gundam"))
    assert (page.mode, page.plan.mode if page.plan else "") == ("gundam", "gundam")
    assert {"render", "decode", "layout"} <= set(page.seconds)
    text = ocrpress.render(convert(pages, engine=FakeEngine(), mode="base"), "json")
    assert json.loads(text)["pages"][0]["plan"]["vision_tokens"] == 256


def test_an_open_file_can_be_read(pages: Path) -> None:
    with (pages / "1.png").open("rb") as stream_:
        assert convert(stream_, engine=FakeEngine()).pages[0].status == "ok"


def test_a_password_is_not_shown(pages: Path) -> None:
    assert "secret" not in repr(Options(password="secret")) + repr(SourceOptions(password="secret"))
    with open_reading(pages, FakeEngine(), Options()) as reading:
        assert reading.page_count == 7


@pytest.mark.parametrize("marks", [0, 7, 8])
def test_ink_is_a_few_pixels_that_differ(marks: int) -> None:
    image = Image.new("RGB", (1000, 1000), (230, 225, 210))
    for index in range(marks):
        image.putpixel((10 + index, 500), (120, 110, 100))
    assert has_ink(image) == (marks >= 8)
    assert not has_ink(Image.new("RGB", (10, 10)))


def test_a_page_that_the_engine_forgets_is_failed_and_holds_up_nobody(pages: Path) -> None:
    class Forgetful(FakeEngine):
        def read(self, requests: Iterable[Request]) -> Iterator[Completion]:
            # Page 3 is blank: it has no key.
            return (answer for answer in super().read(requests) if answer.key not in (1, 3))

    results = list(stream(pages, engine=Forgetful()))
    assert [page.number for page in results] == [1, 2, 3, 4, 5, 6, 7]
    assert [page.status for page in results] == ["failed", "ok", "blank", "failed", "failed", "ok", "ok"]
    assert "gave no answer" in results[0].error


def test_an_answer_to_no_question_is_an_engine_error(pages: Path) -> None:
    class Doubling(FakeEngine):
        def read(self, requests: Iterable[Request]) -> Iterator[Completion]:
            for answer in super().read(requests):
                yield answer
                yield answer

    with pytest.raises(EngineError, match="key 1, which it does not hold"):
        convert(pages, engine=Doubling())


def test_text_without_places_is_kept(pages: Path) -> None:
    class Blind(FakeEngine):
        def _answer(self, request: Request) -> Completion:
            return Completion(request.key, "A first paragraph\nin two lines.\n\nA second.")

    page = next(stream(pages, engine=Blind()))
    assert [block.text for block in page.blocks] == ["A first paragraph in two lines.", "A second."]


def test_regions_that_make_no_sense_cost_their_page_only(pages: Path) -> None:
    class Confused(FakeEngine):
        def _answer(self, request: Request) -> Completion:
            box = None if request.key == 2 else (10, 10, 200, 30)
            return Completion(request.key, regions=(Region("line", box, "text"),))

    results = list(stream(pages, engine=Confused()))
    assert [page.status for page in results] == ["ok", "failed", "blank", "ok", "failed", "ok", "ok"]
    assert results[1].error.startswith("layout failed (TypeError")
