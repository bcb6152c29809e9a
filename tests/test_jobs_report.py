"""A batch's report: one harmless file whatever names and errors are in it, with pictures or why there are none."""

from __future__ import annotations

import base64
import os
import re
import sys
import time
import xml.etree.ElementTree as ET
from html.parser import HTMLParser
from io import BytesIO

import pytest
from batchmaker import Batch, page
from pdfmaker import make_text_pdf
from PIL import Image, ImageDraw

from ocrpress.errors import OutputError
from ocrpress.jobs.report import thumbnails
from ocrpress.jobs.report.drawing import SIZE
from ocrpress.jobs.report.report import render, write_report
from ocrpress.jobs.report.report_html import Bar, bars, shown
from ocrpress.jobs.report.summary import summarise
from ocrpress.jobs.report.thumbnails import MOST, choose, draw_thumbnails

HOSTILE = (
    '"><script>alert(1)</script><img src=x onerror=alert(2)>\' onmouseover="x" </title></style><!-- ]]> &lt; {0} %s '
    "\x00\x07\x1b[31m \u202eevil\u2066 \ufffe <del>"
)
VOID = {"meta", "img", "br"}


class Checker(HTMLParser):
    """Every element is closed, nothing acts, nothing is loaded."""

    def __init__(self, report: str) -> None:
        super().__init__(convert_charrefs=True)
        self.open: list[str] = []
        self.tags: list[str] = []
        self.pictures: list[bytes] = []
        self.text = ""
        self.feed(report)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag, attrs):
        assert tag not in {"script", "link", "iframe", "object", "form", "base"}
        self.tags.append(tag)
        for name, value in attrs:
            assert not name.startswith("on")
            assert name not in {"href", "style"}
            if name == "src":
                assert value.startswith("data:image/png;base64,")
                self.pictures.append(base64.b64decode(value.partition(",")[2]))
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attrs):
        self.handle_starttag(tag, attrs)
        if tag not in VOID:
            self.open.pop()

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        if self.open and self.open[-1] != "style":
            self.text += data


def report_of(folder) -> Checker:
    """The report that is written for a batch, looked through."""
    path = write_report(folder, summarise(folder))
    assert path == folder / "report.html"
    return Checker(path.read_text())


def make_photo(path, **settings):
    image = Image.new("RGB", (600, 800), "white")
    ImageDraw.Draw(image).rectangle((100, 100, 500, 300), fill="black")
    image.save(path, **settings)


def failed(number: int, error: str = "over and over", **more):
    return page(number, "failed", error=error, **more)


def test_a_batch_without_failures_says_so(tmp_path):
    with Batch(tmp_path) as batch:
        batch.add("x.pdf", [page(1), page(2, seconds=3.0)])
        batch.end(0)
    found = report_of(tmp_path)
    assert "Nothing failed." in found.text
    assert "1 of 1" in found.text
    assert "finished" in found.text
    assert found.pictures == []


def test_an_empty_batch_has_a_report_too(tmp_path):
    with Batch(tmp_path) as batch:
        batch.end(0)
    assert "0 of 0" in report_of(tmp_path).text


def test_totals_causes_and_the_histogram_are_those_of_the_ledger(tmp_path):
    with Batch(tmp_path) as batch:
        for number in range(5):
            batch.add(f"{number}.pdf", [page(1, seconds=0.1), page(2, seconds=0.25), failed(3)])
        batch.ledger.fail(batch.add("locked.pdf"), "locked.pdf is encrypted: give the password", "password")
        batch.ledger.note("/in/shut", "may not be read")
        batch.end(1)
    report = (write_report(tmp_path, summarise(tmp_path))).read_text()
    text = Checker(report).text
    for words in ("5 of 6", "locked.pdf is encrypted", "password", "over and over", "/in/shut", "Slowest pages"):
        assert words in text
    svg = ET.fromstring(re.search(r"<svg.*?</svg>", report, re.DOTALL)[0])  # noqa: S314 - our own
    titles = [element.text for element in svg.iter("title")]
    assert titles == [
        "0.1 to 0.15 s: 5 pages, 50.0 %", "0.15 to 0.2 s: 0 pages, 0.0 %", "0.2 to 0.3 s: 5 pages, 50.0 %",
    ]  # fmt: skip


def test_nothing_that_a_name_or_an_error_holds_can_act(tmp_path):
    name = os.fsdecode(HOSTILE.replace("\x00", "").replace("/", "|").encode() + b"\xff")
    with Batch(tmp_path) as batch:
        batch.add(name, [failed(1, HOSTILE)], p1=HOSTILE)
        batch.ledger.fail(batch.add(f"{name}2"), HOSTILE, HOSTILE)
        batch.ledger.note(name, HOSTILE)
        batch.ledger.save_options("digest", '{"x": "<script>alert(1)</script>", "y": ["<b>"], "z": null}')
        batch.ledger.start_run({"command": HOSTILE, "<script>": {"<script>": [1]}})
        batch.ledger.note(name, HOSTILE)
        batch.end(1)
    found = report_of(tmp_path)
    assert found.text.count("<script>alert(1)</script>") > 6
    assert "\u202e" not in found.text
    assert found.tags.count("html") == found.tags.count("title") - found.tags.count("g") == 1


def test_what_cannot_be_seen_is_written_out():
    assert shown("a\u202eb\ud800\x00<") == "a[U+202E]b[U+D800][U+0000]&lt;"


def test_failed_pages_are_pictured_whatever_the_document_is(tmp_path):
    (tmp_path / "in").mkdir()
    files = {name: tmp_path / "in" / name for name in ("a.pdf", "b.jpg", "c.tiff", "d.txt", os.fsdecode(b"\xff.png"))}
    files["a.pdf"].write_bytes(make_text_pdf(3))
    make_photo(files["b.jpg"])
    black = Image.new("RGB", (50, 60), "black")
    Image.new("RGB", (50, 60), "white").save(files["c.tiff"], save_all=True, append_images=[black])
    files["d.txt"].write_text("some words\n" * 30)
    make_photo(files[os.fsdecode(b"\xff.png")])
    with Batch(tmp_path / "out") as batch:
        for name, path in files.items():
            number = 2 if name in {"a.pdf", "c.tiff"} else 1
            batch.add(name, [*[page(n) for n in range(1, number)], failed(number)], path=str(path))
        batch.end(1)
    found = report_of(tmp_path / "out")
    pictures = [Image.open(BytesIO(data)).convert("L") for data in found.pictures]
    assert len(pictures) == len(files)
    assert all(image.width <= SIZE[0] and image.height <= SIZE[1] for image in pictures)
    for image in (*pictures[:2], *pictures[3:]):
        assert image.getextrema()[0] < 180 and image.getextrema()[1] > 230  # something stands on it
    assert pictures[2].getextrema() == (0, 0)  # the second frame
    assert "no picture" not in found.text


def test_where_there_is_no_picture_the_report_says_why(tmp_path):
    (tmp_path / "in").mkdir()
    files = {name: tmp_path / "in" / name for name in ("gone.pdf", "changed.pdf", "damaged.pdf", "short.pdf")}
    for path in files.values():
        path.write_bytes(make_text_pdf(1))
    files["damaged.pdf"].write_bytes(b"%PDF-1.4 and then nothing")
    with Batch(tmp_path / "out") as batch:
        for name, path in files.items():
            number = 2 if name == "short.pdf" else 1
            batch.add(name, [*[page(n) for n in range(1, number)], failed(number)], path=str(path))
        batch.add("far.pdf", [failed(1)], path="s3://bucket/far.pdf")
        batch.end(1)
    files["gone.pdf"].unlink()
    files["changed.pdf"].write_bytes(make_text_pdf(2))
    found = report_of(tmp_path / "out")
    assert found.pictures == []
    assert found.text.count("no picture: ") == 5
    for words in ("No such file", "has changed since", "not on this machine", "damaged beyond repair"):
        assert words in found.text
    assert str(files["damaged.pdf"]) not in found.text


def failures(tmp_path, count: int, **causes: str):
    path = tmp_path / "x.pdf"
    path.write_bytes(make_text_pdf(1))
    with Batch(tmp_path / "out") as batch:
        batch.add("x.pdf", [failed(n) for n in range(1, count + 1)], path=str(path), **causes)
        batch.end(1)
    return summarise(tmp_path / "out").failures.pages


def test_a_page_that_kills_or_hangs_the_drawing_process_costs_its_own_picture_only(tmp_path, monkeypatch):
    monkeypatch.setattr(thumbnails, "PAGE_SECONDS", 1)
    pages = failures(tmp_path, 5)
    fault = """import os, sys, time, ocrpress.jobs.report.drawing as drawing
real, real_draw = drawing.answer, drawing._draw
drawing._draw = lambda request: bytearray(1 << 40) if request["page"] == 4 else real_draw({**request, "page": 1})
def answer(request):
    if request["page"] == 1: os.kill(os.getpid(), 11)
    if request["page"] == 2: time.sleep(60)
    if request["page"] == 3: raise SystemExit(9)
    return real(request)
drawing.answer = answer; drawing.main()"""
    started = time.monotonic()
    found = draw_thumbnails(pages, command=(sys.executable, "-c", fault))
    assert time.monotonic() - started < 20
    assert ["SIGSEGV" in found[0].why, "longer than 1 s" in found[1].why, "exit code 9" in found[2].why] == [True] * 3
    assert found[3].why == "it takes too much memory"
    assert found[4].png.startswith(b"\x89PNG")


def test_all_pictures_together_take_a_bounded_time(tmp_path):
    pages = failures(tmp_path, 3)
    started = time.monotonic()
    found = draw_thumbnails(pages, seconds=0.5, command=(sys.executable, "-c", "import time; time.sleep(60)"))
    assert time.monotonic() - started < 5
    assert {each.why for each in found} == {"the time for pictures was used up"}


def test_a_drawing_process_that_cannot_be_started_is_nobodys_error(tmp_path):
    (found,) = draw_thumbnails(failures(tmp_path, 1), command=("/does/not/exist",))
    assert "cannot be started" in found.why


def test_an_encrypted_document_is_pictured_with_its_password(tmp_path):
    path = tmp_path / "secret.pdf"
    path.write_bytes(make_text_pdf(1, user="open sesame"))
    with Batch(tmp_path / "out") as batch:
        batch.add("secret.pdf", [failed(1)], path=str(path))
        batch.end(1)
    pages = summarise(tmp_path / "out").failures.pages
    assert draw_thumbnails(pages, "open sesame")[0].png
    assert "encrypted" in draw_thumbnails(pages)[0].why


def test_pictures_are_taken_from_every_cause_in_turn(tmp_path):
    pages = failures(tmp_path, 60, p50="crash", p51="crash", p60="time limit")
    chosen = choose(pages)
    assert len(chosen) == MOST
    assert {50, 51, 60} <= {each.number for each in chosen}
    assert [each.number for each in chosen] == sorted(each.number for each in chosen)
    assert choose(pages[:3]) == list(pages[:3])


def test_very_many_failures_make_no_endless_report(tmp_path):
    with Batch(tmp_path) as batch:
        batch.add("x.pdf", [failed(n, "x" * 3000) for n in range(1, 400)])
        batch.end(1)
    summary = summarise(tmp_path)
    report = render(summary)
    assert "The first 200 of 399" in Checker(report).text
    assert len(report) < 600_000


def test_a_report_in_a_hurry_has_no_pictures(tmp_path):
    pages = failures(tmp_path, 3)
    started = time.monotonic()
    report = write_report(tmp_path / "out", summarise(tmp_path / "out"), seconds=0).read_text()
    assert time.monotonic() - started < 1
    assert Checker(report).text.count("the time for pictures was used up") == len(pages)


def test_a_stopped_batch_says_how_to_go_on(tmp_path):
    with Batch(tmp_path) as batch:
        batch.add("x.pdf", [page(1)], count=2)
        batch.end(130)
    assert "run the same command again" in report_of(tmp_path).text


def test_a_report_that_cannot_be_written_is_an_output_error(tmp_path):
    with Batch(tmp_path) as batch:
        batch.end(0)
    (tmp_path / "report.html").mkdir()
    with pytest.raises(OutputError, match=r"report\.html"):
        write_report(tmp_path, summarise(tmp_path))
    assert [path.name for path in tmp_path.iterdir() if path.name.endswith(".part")] == []


def test_bars_stay_inside_the_drawing_and_stand_in_proportion():
    found = [Bar(f"{n}", count, f"bar {n}") for n, count in enumerate([0, 1, 500, 1_000_000, 12_345])]
    svg = ET.fromstring(bars(found, "end", "label", "unit"))  # noqa: S314 - our own
    _, _, width, height = map(float, svg.get("viewBox").split())
    rects = [{name: float(rect.get(name)) for name in ("x", "y", "width", "height")} for rect in svg.iter("rect")]
    for rect in rects:
        assert 0 <= rect["x"] < rect["x"] + rect["width"] <= width
        assert 0 <= rect["y"] <= rect["y"] + rect["height"] <= height
    heights = [rect["height"] for rect in rects]
    assert heights[0] == 0 < heights[1] < heights[4] < heights[3]
    assert heights[4] / heights[3] == pytest.approx(0.012345, abs=0.01)
    assert [text.text for text in svg.iter("text") if text.text in {"1.0M", "12k", "500"}] == ["500", "1.0M", "12k"]
