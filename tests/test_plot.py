"""The plot of a curve: its numbers, and a picture that can be read whatever was measured."""

from __future__ import annotations

import re
import subprocess
import sys
import warnings
from dataclasses import replace
from xml.dom import minidom

import pytest
from conftest import environment
from curvemaker import BUCKETS, CHARACTERS_A_TOKEN, make_cell, make_curve, make_page, make_score
from PIL import Image

from ocrpress.measure import plot
from ocrpress.measure.curve import Cell, Curve, point
from ocrpress.measure.plot import draw_plot
from ocrpress.measure.plot_data import CHARACTERS_A_TOKEN as ASSUMED
from ocrpress.measure.plot_data import COMPRESSION, drawing, published_points
from ocrpress.measure.published import SET_PRECISION

MODES = ("tiny", "small", "base", "large", "gundam", "gundam-m")
VARIANTS = ("natural", "shuffled", "random")
CURVES = {
    "one page": lambda: make_curve(make_cell(per_bucket=1, buckets=(800,)), about="one page"),
    "one point": lambda: make_curve(make_cell(buckets=(800,))),
    "rapid": lambda: make_curve(*(make_cell("rapid", mode, loss=0.3) for mode in (*MODES, "native"))),
    "all pixels": lambda: make_curve(
        *(make_cell(engine, "native", variant) for engine in ("rapid", "server") for variant in VARIANTS)
    ),
    "random letters only": lambda: make_curve(*(make_cell(mode=mode, variant="random") for mode in ("tiny", "base"))),
    "nothing read": lambda: make_curve(*(make_cell(mode=mode, loss=900) for mode in (*MODES, "native"))),
    "small pages": lambda: make_curve(*(make_cell(mode=mode, buckets=(0, 100)) for mode in MODES)),
    "everything": lambda: make_curve(
        *(make_cell(engine, mode, variant) for engine in ("deepseek", "server") for mode in (*MODES, "native")
          for variant in VARIANTS),
        *(make_cell("rapid", mode, variant, control=True, loss=0.3) for mode in (*MODES, "native")
          for variant in VARIANTS),
    ),
    "long names": lambda: make_curve(
        *(make_cell(f"server (somebody-somewhere/A-model-of-many-words-and-{index})", mode) for index in range(3)
          for mode in ("tiny", "native")),
        about="pages of " + "a_very_long_file_name_without_spaces.pdf, " * 30,
    ),
}  # fmt: skip


def words_of(svg: str) -> list[str]:
    """The texts of a picture: its letters are outlines, each text is told in a comment."""
    return [text.strip() for text in re.findall(r"<!--(.*?)-->", svg, re.DOTALL)]


def texts_of(curve: Curve) -> list[str]:
    """The texts of a picture before it is painted."""
    from matplotlib.text import Text

    with plot._settings():
        return [text.get_text() for text in plot._figure(curve, drawing(curve)).findobj(Text)]


def draw(curve: Curve, folder) -> tuple[bytes, str]:
    draw_plot(curve, folder / "curve.png", folder / "curve.svg")
    return (folder / "curve.png").read_bytes(), (folder / "curve.svg").read_text()


# Numbers


def test_a_stroke_has_a_place_a_bucket_in_order_of_compression():
    cell = make_cell(buckets=(900, 600, 1200))
    (stroke,) = drawing(make_curve(cell)).strokes
    xs = [place.x for place in stroke.places]
    assert xs == sorted(xs)
    assert len(xs) == 3
    first = point([page for page in cell.pages if page.bucket == 600])
    assert xs[0] == first.characters_per_vision_token
    edit, survives = first.spreads["edit_distance"], stroke.places[0].spreads["survives"]
    assert (survives.mean, survives.low, survives.high) == (1 - edit.mean, 1 - edit.high, 1 - edit.low)
    assert survives.low < survives.mean < survives.high
    assert stroke.places[0].spreads["precision"] == first.spreads["set_precision"]


def test_nothing_is_drawn_outside_0_to_100_per_cent():
    page = make_page("a", 600, "tiny", make_score(1.4, -0.2), 640)
    (stroke,) = drawing(make_curve(Cell("e", "tiny", "natural", (page,)))).strokes
    shown = [vars(found)[name] for found in stroke.places[0].spreads.values() for name in ("mean", "low", "high")]
    assert shown == [0.0] * 6


def test_the_axis_of_tokens_is_that_of_the_natural_pages():
    natural = make_cell()
    shown = drawing(make_curve(make_cell(variant="random"), natural, make_cell("server")))
    assert not shown.assumed
    assert shown.characters_a_token == pytest.approx(CHARACTERS_A_TOKEN, abs=0.01)
    shown = drawing(make_curve(make_cell(variant="random")))
    assert (shown.assumed, shown.characters_a_token) == (True, ASSUMED)


def test_the_published_points_stand_at_their_published_compression():
    found = published_points(4.0)
    assert [(dot.mode, dot.x, dot.precision) for dot in found][:2] == [("tiny", 42.0, 0.965), ("tiny", 47.2, 0.938)]
    assert [dot.mode for dot in found] == ["tiny"] * 7 + ["small"] * 7
    for tokens, column in COMPRESSION.items():
        assert column.keys() == SET_PRECISION[tokens].keys()
        for bucket, ratio in column.items():  # pages of a bucket lie in the bucket
            assert bucket < ratio * tokens + 4 < bucket + 108


def test_without_a_page_there_is_no_plot(tmp_path):
    for cells in ((), (Cell("rapid", "tiny", "natural", ()),)):
        with pytest.raises(ValueError, match="nothing to draw"):
            draw_plot(make_curve(*cells), tmp_path / "a.png", tmp_path / "a.svg")
    assert list(tmp_path.iterdir()) == []


def test_cells_and_pages_without_figures_are_passed_over():
    blank = make_page("blank", 0, "tiny", make_score(0.0, characters=0), 0)
    empty = Cell("server", "tiny", "natural", ())
    shown = drawing(make_curve(empty, Cell("deepseek", "tiny", "natural", (blank,)), make_cell(mode="small")))
    assert [stroke.mode for stroke in shown.strokes] == ["small"]
    assert shown.families == (("deepseek", "natural"),)
    assert "How much text is read from all pixels: deepseek" in texts_of(
        make_curve(Cell("deepseek", "tiny", "natural", (blank,)))
    )


# The picture


@pytest.mark.parametrize("name", CURVES)
def test_every_text_has_room(name):
    from matplotlib.text import Text

    curve = CURVES[name]()
    with plot._settings():
        figure = plot._figure(curve, drawing(curve))
        figure.canvas.draw()
        seen = [text for text in figure.findobj(Text) if text.get_text().strip() and text.get_visible()]
        found = [(text, text.get_window_extent()) for text in seen]
        unseen = {label for ax in figure.axes for child in (ax, *ax.child_axes) for label in _beyond(child)}
    texts = [(text.get_text(), box) for text, box in found if text not in unseen]
    assert {"Text that survives", "The published measure"} <= {text for text, _ in texts} or name == "everything"
    assert {mode for mode, _ in texts} >= set(drawing(curve).modes)
    outside = [word for word, box in texts if not _within(box, figure.bbox)]
    assert outside == []
    crossing = [
        (one, other)
        for index, (one, box) in enumerate(texts)
        for other, second in texts[index + 1 :]
        if box.x0 < second.x1 and second.x0 < box.x1 and box.y0 < second.y1 and second.y0 < box.y1
    ]
    assert crossing == []


def _beyond(axes) -> set:
    """Labels of ticks beyond the end of the axis: matplotlib makes them, and does not draw them."""
    low, high = axes.get_xlim()
    ticks = [tick for tick in axes.xaxis.get_major_ticks() if not low <= tick.get_loc() <= high]
    return {label for tick in ticks for label in (tick.label1, tick.label2)}


def _within(box, outer) -> bool:
    return box.x0 >= outer.x0 and box.x1 <= outer.x1 and box.y0 >= outer.y0 and box.y1 <= outer.y1


def test_the_picture_says_what_it_shows(tmp_path):
    curve = make_curve(
        *(make_cell(mode=mode, variant=variant) for mode in ("tiny", "base", "native") for variant in VARIANTS[:2]),
        make_cell("rapid", "tiny", control=True),
    )
    png, svg = draw(curve, tmp_path)
    with Image.open(tmp_path / "curve.png") as image:
        assert image.width == 1950
    words = words_of(svg)
    for said in (
        "How much text survives optical compression: deepseek", "38 pages of the Fox benchmark (English)",
        "measured: 21 natural, 21 shuffled pages", "deepseek, natural", "deepseek, shuffled", "pixels only (rapid)",
        "all pixels (native)", "published: DeepSeek-OCR (paper)", "Text that survives", "The published measure", "mode",
        "text tokens per vision token", "100 %",
    ):  # fmt: skip
        assert any(said in text for text in words), said
    assert not any("pixel reader" in text for text in words)
    assert "<dc:date>" not in svg
    assert len(png) < 600_000


def test_rapid_alone_is_said_to_be_a_pixel_reader():
    assert any("rapid is a pixel reader" in text for text in texts_of(CURVES["rapid"]()))


def test_many_engines_and_variants_get_a_row_an_engine():
    words = texts_of(CURVES["everything"]())
    assert {"deepseek: text that survives", "server: text that survives"} <= set(words)
    assert words.count("pixels only (rapid)") == 1


def test_pages_far_from_the_published_points_have_the_axis_for_themselves():
    shown = drawing(CURVES["small pages"]())
    assert (shown.published, shown.beyond) == ((), 14)
    assert shown.reach < 20
    words = texts_of(CURVES["small pages"]())
    assert not any("DeepSeek-OCR" in text or "quoted" in text for text in words)
    assert any("14 published points lie at more compression" in text for text in words)
    assert drawing(CURVES["rapid"]()).beyond == 0


def test_names_of_strangers_are_drawn_as_they_are(tmp_path):
    hostile = "cost $x^{2}$ \\frac{ --> <script>alert(1)</script> & 中文\u202e\x00\x1b[31m \ud800 \udc80 %s {0}"
    curve = make_curve(make_cell(hostile), make_cell(hostile, "native", hostile), about=hostile)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        _, svg = draw(curve, tmp_path)
    minidom.parseString(svg)  # noqa: S318, our own
    assert "<script" not in re.sub(r"<!--.*?-->", "", svg, flags=re.DOTALL)
    assert any("cost $x^{2}$" in text for text in words_of(svg))


def test_the_same_curve_is_the_same_bytes_under_any_settings_of_the_user(tmp_path):
    first = draw(CURVES["one page"](), tmp_path)
    assert draw(replace(CURVES["one page"](), about="others"), tmp_path) != first
    (tmp_path / "matplotlibrc").write_text("font.size: 30\nsvg.fonttype: none\nlines.linewidth: 9\nsavefig.dpi: 30\n")
    code = (
        "import sys; from pathlib import Path; from test_plot import CURVES, draw\n"
        "draw(CURVES['one page'](), Path('.'))\n"
        "assert 'matplotlib.pyplot' not in sys.modules\n"
        "from matplotlib import rcParams as found\n"
        "assert (found['font.size'], found['svg.fonttype'], found['font.family']) == (30, 'none', ['sans-serif'])\n"
    )
    # Nor does a home matter in which nothing can be written.
    env = environment(PYTHONHASHSEED="77", HOME="/dev/null/nowhere", MPLCONFIGDIR="/dev/null/nowhere",
                      MATPLOTLIBRC=str(tmp_path / "matplotlibrc"))  # fmt: skip
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=tmp_path, env=env, capture_output=True, text=True, timeout=120, check=False
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert ((tmp_path / "curve.png").read_bytes(), (tmp_path / "curve.svg").read_text()) == first


def test_buckets_of_the_maker_are_the_published_ones():
    assert tuple(SET_PRECISION[64]) == BUCKETS
