"""A measured curve as a picture that needs no caption: PNG and SVG.

    Curve ──plot_data──▶ Drawing ──plot_panel──▶ panels, two a row ──▶ PNG, SVG

On the left how much of the text survives (1 − edit distance), on the right the published measure with the published
points, both over characters per vision token. The same curve gives the same bytes. Needs no display, opens no window
and leaves matplotlib's settings as they were; while it draws they are changed, so one thread may draw at a time.
"""

from __future__ import annotations

import logging
import textwrap
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING

from ocrpress.measure.curve import BAND, BUCKET, Curve
from ocrpress.measure.plot_data import Drawing, drawing
from ocrpress.output import write_bytes
from ocrpress.writers.clean import encodable, one_line

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from ocrpress.measure.plot_panel import Row

DPI = 150
IN_ONE_PANEL = 3  # engines × variants; with more of them every engine has a row of its own
PIXEL_READER = "rapid"
SETTINGS = {"font.family": "DejaVu Sans", "svg.hashsalt": "ocrpress", "text.parse_math": False}
# Inches.
WIDTH = 13.0
TITLE, LINE = 0.6, 0.22  # the title; a line below it
ROW, ABOVE, BELOW = 5.3, 1.1, 0.6  # a row of panels, and what of it is above and below the axes
LEFT, GAP, RIGHT = 0.75, 1.1, 0.6
FOOT = 0.7


def draw_plot(curve: Curve, out_png: Path, out_svg: Path) -> None:
    """Draw a curve into two files of the same picture.

    Args:
        out_png, out_svg: written whole or not at all.

    Raises:
        ValueError: no page was measured.
        OutputError: a file cannot be written.
    """
    shown = drawing(curve)
    with _settings():
        figure = _figure(curve, shown)
        for path, kind, metadata in (
            (out_png, "png", {"Software": "ocrpress"}),
            (out_svg, "svg", {"Date": None, "Creator": "ocrpress", "Title": _title(shown)}),
        ):
            data = BytesIO()
            figure.savefig(data, format=kind, dpi=DPI, metadata=metadata)
            write_bytes(path, data.getvalue())


@contextmanager
def _settings() -> Iterator[None]:
    """Matplotlib's defaults and ours, whatever the user's own settings.

    It keeps quiet about letters that the font lacks, and about a home folder that it cannot keep its list of fonts in.
    """
    log = logging.getLogger("matplotlib")
    level = log.level
    log.setLevel(logging.ERROR)
    try:
        from matplotlib import style

        with style.context(["default", SETTINGS]), warnings.catch_warnings():
            warnings.filterwarnings("ignore", message="Glyph", category=UserWarning)
            yield
    finally:
        log.setLevel(level)


def _figure(curve: Curve, shown: Drawing) -> Figure:
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    from ocrpress.measure.plot_panel import Legend, draw_row

    rows, about, small = _rows(shown), _about(curve, shown), _small_print(shown)
    key = Legend.of(rows[0], WIDTH - LEFT - RIGHT)
    top = TITLE + LINE * len(about) + 0.08
    head = top + LINE * key.lines
    height = head + ROW * len(rows) + FOOT
    figure = Figure(figsize=(WIDTH, height), facecolor="white")
    FigureCanvasAgg(figure)
    for index, row in enumerate(rows):
        bottom = height - head - ROW * (index + 1) + BELOW
        wide, tall = (WIDTH - LEFT - GAP - RIGHT) / 2, ROW - ABOVE - BELOW
        draw_row(
            row,
            [
                figure.add_axes((left / WIDTH, bottom / height, wide / WIDTH, tall / height))
                for left in (LEFT, LEFT + wide + GAP)
            ],
        )
    key.draw(figure, (LEFT / WIDTH, (height - top) / height))
    left = LEFT / WIDTH
    figure.text(left, 1 - 0.18 / height, _title(shown), size=17, weight="bold", va="top")
    figure.text(left, 1 - 0.56 / height, "\n".join(about), size=10.5, va="top", color="#333333", linespacing=1.4)
    figure.text(left, 0.14 / height, "\n".join(small), size=8.5, va="bottom", color="#444444", linespacing=1.4)
    return figure


def _rows(shown: Drawing) -> list[Row]:
    from ocrpress.measure.plot_panel import Row

    if len(shown.families) <= IN_ONE_PANEL or len(shown.engines) == 1 or not shown.strokes:
        return [Row(shown, shown.families, alone=False)]
    return [
        Row(shown, tuple(family for family in shown.families if family[0] == engine), alone=True)
        for engine in shown.engines
    ]


def _title(shown: Drawing) -> str:
    what = "How much text survives optical compression" if shown.strokes else "How much text is read from all pixels"
    return _text(f"{what}: {', '.join(shown.engines)}", 78)


def _about(curve: Curve, shown: Drawing) -> list[str]:
    """What was read, and by what kind of reader."""
    pages: dict[str, set[str]] = {}
    for cell in curve.cells:
        pages.setdefault(cell.variant, set()).update(page.page for page in cell.pages)
    counts = ", ".join(f"{len(names)} {variant}" for variant, names in pages.items() if names)
    noun = "page" if sum(map(len, pages.values())) == 1 else "pages"
    lines = textwrap.wrap(_text(curve.about, 230), 118)
    lines.append(_text(f"measured: {counts} {noun}", 140))
    if shown.engines == (PIXEL_READER,) and shown.strokes:
        lines.append(f"{PIXEL_READER} is a pixel reader: it sees the mode's pixels and pays no vision tokens itself")
    return lines


def _small_print(shown: Drawing) -> list[str]:
    low, high = (f"{100 * share:.0f}th" for share in BAND)
    if not shown.strokes:
        return [f"Dot: mean of all pages. Bar: from the {low} to the {high} percentile of the pages."]
    further = f" {shown.beyond} published points lie at more compression than is shown." if shown.beyond else ""
    told = "assumed: there is no natural page" if shown.assumed else "as on the natural pages"
    return [
        f"Line: mean of the pages of a bucket of {BUCKET} text tokens. "
        f"Shaded: from the {low} to the {high} percentile of those pages.{further}",
        "Compression counts characters, as random letters make more tokens of the same page; "
        f"the upper axis has {shown.characters_a_token:.2f} characters a text token ({told}).",
    ]


def _text(text: str, most: int) -> str:
    return textwrap.shorten(one_line(encodable(text)), most, placeholder=" …")
