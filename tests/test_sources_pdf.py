"""PDF pages: what is drawn, in which order, and what happens to bad ones."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from pdfmaker import LETTER, Page, box, endless_page, first_free, make_pdf, make_text_pdf, stream, text

from ocrpress.document import PageImage, UnreadablePage
from ocrpress.errors import InputError, PasswordError, UsageError
from ocrpress.sources import SourceOptions, checks, has_poppler, open_source, pdf

if TYPE_CHECKING:
    from PIL import Image

ROOT = Path(__file__).resolve().parents[1]
needs_poppler = pytest.mark.skipif(not has_poppler(), reason="poppler-utils is not installed")
RENDERERS = ["pdfium", pytest.param("poppler", marks=needs_poppler)]


def write(folder: Path, data: bytes) -> Path:
    path = folder / "a.pdf"
    path.write_bytes(data)
    return path


def read(path: Path, **options: object) -> list[PageImage | UnreadablePage]:
    source = open_source(path, SourceOptions(**options))  # type: ignore[arg-type]
    try:
        pages = list(source.pages())
        assert source.page_count == len(pages)
        return pages
    finally:
        source.close()


def picture(page: PageImage | UnreadablePage) -> Image.Image:
    assert isinstance(page, PageImage), page
    assert page.image.mode == "RGB"
    assert page.seconds["render"] > 0
    return page.image


def colour(image: Image.Image, x: float, y: float) -> str:
    """Nearest plain colour at a place given as shares of width and height."""
    pixel = image.getpixel((int(x * image.width), int(y * image.height)))
    names = {
        (255, 255, 255): "white",
        (255, 0, 0): "red",
        (0, 255, 0): "green",
        (0, 0, 255): "blue",
        (0, 0, 0): "black",
    }
    return names.get(pixel, str(pixel))  # type: ignore[call-overload, no-any-return]


CORNERS = box(1, 0, 0, 0, 592, 200, 200) + box(0, 0, 1, 412, 0, 200, 200)  # red at top left, blue at bottom right


@pytest.mark.parametrize("renderer", RENDERERS)
@pytest.mark.parametrize("workers", [0, 1])
def test_a_page_has_its_size_its_colours_and_white_paper(tmp_path: Path, renderer: str, workers: int) -> None:
    page = read(write(tmp_path, make_pdf([Page(CORNERS)])), renderer=renderer, workers=workers, mode="base")[0]
    image = picture(page)
    assert image.size == (791, 1024)
    assert (page.width, page.height) == LETTER
    assert [colour(image, *at) for at in ((0.1, 0.1), (0.9, 0.9), (0.5, 0.5))] == ["red", "blue", "white"]


@pytest.mark.parametrize("renderer", RENDERERS)
def test_rotation_and_crop_box_are_honoured(tmp_path: Path, renderer: str) -> None:
    turned = Page(CORNERS, entries=b"/Rotate 90")
    cropped = Page(CORNERS, entries=b"/CropBox [0 392 306 792]")
    both = Page(CORNERS, entries=b"/CropBox [0 392 306 792] /Rotate 270")
    pages = read(write(tmp_path, make_pdf([turned, cropped, both])), renderer=renderer)
    assert [(page.width, page.height) for page in pages] == [(792, 612), (306, 400), (400, 306)]
    images = [picture(page) for page in pages]
    assert [image.size for image in images] == [(1584, 1224), (612, 800), (800, 612)]
    assert (colour(images[0], 0.9, 0.1), colour(images[0], 0.1, 0.9)) == ("red", "blue")
    assert (colour(images[1], 0.1, 0.1), colour(images[1], 0.9, 0.9)) == ("red", "white")
    assert colour(images[2], 0.1, 0.9) == "red"


@pytest.mark.parametrize("workers", [0, 1])
def test_annotations_and_form_fields_are_drawn(tmp_path: Path, workers: int) -> None:
    first = first_free(1)
    look = b"/Type /XObject /Subtype /Form /BBox [0 0 100 100]"
    objects = (
        b"<< /Type /Annot /Subtype /Stamp /F 4 /Rect [0 692 100 792] /AP << /N %d 0 R >> >>" % (first + 2),
        b"<< /Type /Annot /Subtype /Widget /FT /Tx /T (a) /F 4 /Rect [512 0 612 100] /AP << /N %d 0 R >> >>"
        % (first + 3),
        stream(box(1, 0, 0, 0, 0, 100, 100), look),
        stream(box(0, 0, 1, 0, 0, 100, 100), look),
    )
    page = Page(entries=b"/Annots [%d 0 R %d 0 R]" % (first, first + 1), objects=objects)
    data = make_pdf([page], catalog=b"/AcroForm << /Fields [%d 0 R] >>" % (first + 1))
    image = picture(read(write(tmp_path, data), renderer="pdfium", workers=workers)[0])
    assert colour(image, 0.08, 0.06) == "red"
    assert colour(image, 0.92, 0.94) not in {"white", "red"}  # viewers may tint a field


@pytest.mark.parametrize("workers", [0, 1, 3])
def test_pages_come_in_order(tmp_path: Path, workers: int) -> None:
    pages = [Page(box(0, 0, 0, 0, 0, 612, 7.92 * n)) for n in range(1, 31)]
    got = read(write(tmp_path, make_pdf(pages)), workers=workers, dpi=72)
    assert [page.number for page in got] == list(range(1, 31))
    for page in got:
        ink = sum(picture(page).convert("L").histogram()[:128]) / (612 * 792)
        assert ink == pytest.approx(page.number / 100, abs=0.002)


def test_only_the_pages_asked_for(tmp_path: Path) -> None:
    path = write(tmp_path, make_text_pdf(9))
    assert [page.number for page in read(path, pages="8-,2,1-2,40")] == [1, 2, 8, 9]
    with pytest.raises(UsageError, match="from 1 to 9"):
        open_source(path, SourceOptions(pages="10-"))


def test_the_first_page_does_not_wait_for_the_others(tmp_path: Path) -> None:
    path = write(tmp_path, make_pdf([Page(text("quick")), *[Page(size=(800, 800))] * 3000]))
    start = time.monotonic()
    source = open_source(path, SourceOptions())
    pages = source.pages()
    assert isinstance(next(pages), PageImage)
    assert time.monotonic() - start < 3
    pages.close()  # type: ignore[attr-defined]
    source.close()


def test_pages_can_be_read_twice_and_abandoned(tmp_path: Path) -> None:
    source = open_source(write(tmp_path, make_text_pdf(4)), SourceOptions(mode="tiny"))
    first = source.pages()
    assert next(first).number == 1
    second = source.pages()
    assert [page.number for page in second] == [1, 2, 3, 4]
    assert next(first).number == 2
    source.close()
    source.close()
    with pytest.raises(InputError, match="closed while it was read"):
        list(first)
    with pytest.raises(InputError, match="closed while it was read"):
        list(source.pages())


def test_no_process_is_left(tmp_path: Path) -> None:
    source = open_source(write(tmp_path, make_text_pdf(9)), SourceOptions(workers=2))
    assert isinstance(source, pdf.PdfSource)
    pages = source.pages()
    next(pages)
    pids = source._pools[0].pids
    assert len(pids) == 2
    pages.close()  # type: ignore[attr-defined]
    for pid in pids:
        with pytest.raises(ProcessLookupError):
            os.kill(pid, 0)
    assert source._pools == []


def test_a_source_can_move_between_threads(tmp_path: Path) -> None:
    source = open_source(write(tmp_path, make_text_pdf(4)), SourceOptions(mode="tiny"))
    pages = source.pages()
    numbers = []
    for _ in range(4):
        thread = threading.Thread(target=lambda: numbers.append(next(pages).number))
        thread.start()
        thread.join()
    source.close()
    assert numbers == [1, 2, 3, 4]


def test_a_renderer_killed_while_it_works_costs_one_page(tmp_path: Path) -> None:
    path = write(tmp_path, make_text_pdf(5))
    source = open_source(path, SourceOptions(renderer="pdfium"))
    assert isinstance(source, pdf.PdfSource)
    pages = source.pages()
    got = [next(pages)]
    os.kill(source._pools[0].pids[0], signal.SIGKILL)
    got += pages
    source.close()
    assert [page.number for page in got] == [1, 2, 3, 4, 5]
    assert [isinstance(page, PageImage) for page in got] == [True, False, True, True, True]
    assert isinstance(got[1], UnreadablePage)
    assert "SIGKILL" in got[1].error


@needs_poppler
def test_a_page_that_crashed_the_first_renderer_is_drawn_by_the_second(tmp_path: Path) -> None:
    source = open_source(write(tmp_path, make_text_pdf(3)), SourceOptions())
    assert isinstance(source, pdf.PdfSource)
    pages = source.pages()
    got = [next(pages)]
    os.kill(source._pools[0].pids[0], signal.SIGKILL)
    got += pages
    source.close()
    assert isinstance(got[1], PageImage)
    assert "rendered by poppler: the renderer was killed" in got[1].warnings[0]


def test_an_endless_page_is_stopped_in_time(tmp_path: Path) -> None:
    path = write(tmp_path, make_pdf([endless_page()]))
    start = time.monotonic()
    page = read(path, page_seconds=1.0)[0]
    assert time.monotonic() - start < 5
    assert isinstance(page, UnreadablePage)
    assert "longer than 1 s" in page.error


@pytest.mark.parametrize("workers", [0, 1])
def test_a_page_that_pdfium_cannot_load_keeps_its_place(
    tmp_path: Path, workers: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = write(tmp_path, make_pdf([Page(text("one")), Page(broken=True), Page(text("three"))]))
    got = read(path, renderer="pdfium", workers=workers)
    assert [isinstance(page, PageImage) for page in got] == [True, False, True]
    monkeypatch.setattr(pdf, "has_poppler", lambda: False)
    missing = read(path, workers=workers)[1]
    assert isinstance(missing, UnreadablePage)
    assert "poppler-utils" in missing.error


@needs_poppler
def test_the_second_renderer_is_not_trusted_when_it_counts_other_pages(tmp_path: Path) -> None:
    data = make_pdf([Page(text("one")), Page(broken=True), Page(text("three"))])
    page = read(write(tmp_path, data))[1]
    assert isinstance(page, UnreadablePage)
    assert "pdfium cannot load" in page.error
    assert "poppler" in page.error


@needs_poppler
def test_the_second_renderer_draws_what_the_first_cannot_load(tmp_path: Path) -> None:
    data = make_pdf([Page(CORNERS), Page(CORNERS), Page(CORNERS)])
    kid = data.index(b"/Type /Page ", data.index(b"6 0 obj"))
    page = read(write(tmp_path, data[:kid] + b"/Type /Pgae " + data[kid + 12 :]))[1]
    assert colour(picture(page), 0.1, 0.1) == "red"
    assert isinstance(page, PageImage)
    assert page.warnings == ("rendered by poppler: pdfium cannot load the page (Failed to load page.)",)


@needs_poppler
def test_the_second_renderer_gives_up_on_a_document_that_lies_about_its_length(tmp_path: Path) -> None:
    data = make_pdf([Page(text("one")), *[Page(broken=True)] * 60])
    start = time.monotonic()
    got = read(write(tmp_path, data))
    assert time.monotonic() - start < 10
    assert [page.number for page in got] == list(range(1, 62))


@pytest.mark.parametrize("mode", ["native", "tiny", "base", "gundam"])
def test_odd_sizes_are_still_pages(tmp_path: Path, mode: str) -> None:
    sizes = [(0.0, 0.0), (100.0, 0.0), (-100.0, 50.0), (14400.0, 3.0), (3.0, 14400.0), (1e9, 1e9), (0.01, 0.01)]
    got = read(write(tmp_path, make_pdf([Page(CORNERS, size=size) for size in sizes])), mode=mode, max_pixels=4_000_000)
    assert len(got) == len(sizes)
    for page in got:
        if isinstance(page, PageImage):
            assert page.image.width * page.image.height <= 4_000_000
        else:
            assert "no area" in page.error


def test_scaling_down_is_said_on_the_page(tmp_path: Path) -> None:
    page = read(write(tmp_path, make_text_pdf(1)), dpi=300, max_pixels=1_000_000)[0]
    assert picture(page).size == (879, 1137)
    assert isinstance(page, PageImage)
    assert "scaled down from 2550 × 3300" in page.warnings[0]


def test_more_pages_than_allowed_is_an_error_unless_fewer_are_chosen(tmp_path: Path) -> None:
    path = write(tmp_path, make_text_pdf(6))
    with pytest.raises(InputError, match=r"6 pages, the limit is 5.*--pages"):
        open_source(path, SourceOptions(max_pages=5))
    assert len(read(path, max_pages=5, pages="2-")) == 5


@pytest.mark.parametrize("workers", [0, 1])
@pytest.mark.parametrize("renderer", RENDERERS)
def test_passwords(tmp_path: Path, renderer: str, workers: int) -> None:
    path = write(tmp_path, make_pdf([Page(CORNERS)], user="user", owner="boss"))
    for wrong in (None, "", "other"):
        with pytest.raises(PasswordError, match=r"a\.pdf is encrypted.*--password"):
            open_source(path, SourceOptions(renderer=renderer, workers=workers, password=wrong))  # type: ignore[arg-type]
    for right in ("user", "boss"):
        page = read(path, renderer=renderer, workers=workers, password=right)[0]
        assert colour(picture(page), 0.1, 0.1) == "red"


@pytest.mark.parametrize("renderer", RENDERERS)
def test_an_empty_user_password_and_a_needless_one_open(tmp_path: Path, renderer: str) -> None:
    assert picture(read(write(tmp_path, make_pdf([Page(CORNERS)], user="")), renderer=renderer)[0])
    assert picture(read(write(tmp_path, make_pdf([Page(CORNERS)])), renderer=renderer, password="x")[0])


@pytest.mark.parametrize("workers", [0, 1])
def test_a_truncated_file_is_mended_or_refused(tmp_path: Path, workers: int) -> None:
    whole = make_text_pdf(5)
    mended = read(write(tmp_path, whole[: whole.rindex(b"startxref")]), workers=workers)
    assert [isinstance(page, PageImage) for page in mended] == [True] * 5
    for damaged in (whole[:700], whole[:20], b"%PDF-1.4\n" + b"x" * 1000, make_pdf([])):
        with pytest.raises(InputError, match=r"a\.pdf is damaged beyond repair: .*"):
            open_source(write(tmp_path, damaged), SourceOptions(workers=workers))


def test_a_renderer_that_hangs_on_opening_is_an_input_error(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="cannot be opened: rendering took longer than"):
        open_source(write(tmp_path, make_text_pdf(1)), SourceOptions(page_seconds=0.001))


def test_poppler_that_is_not_there_is_a_usage_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(checks, "has_poppler", lambda: False)
    with pytest.raises(UsageError, match="apt-get install poppler-utils"):
        open_source(write(tmp_path, make_text_pdf(1)), SourceOptions(renderer="poppler"))


MEASURED = """
import json, resource, sys
from ocrpress.sources import SourceOptions, open_source
source = open_source(sys.argv[1], SourceOptions(**json.loads(sys.argv[2])))
sizes = [page.image.size for page in source.pages()]
source.close()
own = next(line.split()[1] for line in open("/proc/self/status") if line.startswith("VmHWM"))
print(json.dumps([sizes, int(own) // 1024, resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss // 1024]))
"""


def measured(path: Path, **options: object) -> tuple[list[list[int]], int, int]:
    """Page sizes, and peak memory in MiB of the reading process and of its largest worker."""
    command = [sys.executable, "-c", MEASURED, str(path), json.dumps(options)]
    env = {**os.environ, "PYTHONPATH": str(ROOT)}
    done = subprocess.run(command, capture_output=True, text=True, check=True, env=env, timeout=60)
    sizes, own, worker = json.loads(done.stdout)
    return sizes, own, worker


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="looks at /proc")
def test_metres_of_vector_art_cost_bounded_memory(tmp_path: Path) -> None:
    lines = b"".join(b"%d 0 m %d 14400 l S\n" % (x, 14400 - x) for x in range(0, 14400, 5))
    art = Page(b"0.1 w\n" + lines + box(1, 0, 0, 0, 0, 14400, 7000), size=(14400, 14400))
    sizes, own, worker = measured(write(tmp_path, make_pdf([art])), dpi=1200, max_pixels=9_000_000)
    assert sizes == [[3000, 3000]]
    assert own < 200
    assert worker < 200


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="looks at /proc")
def test_memory_does_not_grow_with_the_document(tmp_path: Path) -> None:
    _, short, short_worker = measured(write(tmp_path, make_text_pdf(10)), mode="base")
    _, long, long_worker = measured(write(tmp_path, make_text_pdf(150)), mode="base")
    assert long < 1.2 * short + 10
    assert long_worker < 1.2 * short_worker + 10
