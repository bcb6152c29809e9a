"""The panels of a plot: axes, lines with their bands, levels and published points, and the legend. Needs matplotlib."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patheffects import withStroke
from matplotlib.ticker import MaxNLocator

from ocrpress.measure.plot_data import PANELS, Drawing, Panel
from ocrpress.writers.clean import encodable, one_line

# Colours that the colour-blind tell apart (Okabe and Ito).
COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000")
STYLES: dict[str, Any] = {"natural": "-", "shuffled": (0, (5, 2)), "random": (0, (1.2, 1.6))}
OTHER_STYLE = (0, (6, 2, 1.2, 2))
MARKERS = {"tiny": "o", "small": "s", "base": "^", "large": "D", "gundam": "v", "gundam-m": "P", "dynamic": "*"}
OTHER_MARKER = "X"
CONTROL, PUBLISHED, GRID, DIM = "#444444", "#777777", "#e6e6e6", "#555555"
NATIVE_DASH = (0, (9, 5))
TITLES: dict[Panel, tuple[str, str]] = {
    "survives": ("Text that survives", "1 − edit distance: every character lost, added or out of place counts"),
    "precision": ("The published measure", "words read that are on the page: order, repeats and omissions are free"),
}
QUOTED = 10  # text tokens per vision token: the compression that is quoted everywhere
TOP, NAMES = 1.24, (1.07, 1.13, 1.19)  # of the y axis, where 1 is 100 %: above it stand the names of the modes
STRIP = 1.03
STEPS = (1, 2, 5, 10)  # between ticks
LETTER = 0.083  # inches, of the legend
HALO = [withStroke(linewidth=2.5, foreground="white")]


@dataclass(frozen=True)
class Row:
    """Two panels side by side, with these (engine, variant).

    Attributes:
        alone: the row has one engine of several.
    """

    shown: Drawing
    families: tuple[tuple[str, str], ...]
    alone: bool

    def colour(self, engine: str, variant: str) -> str:
        """Of a line: by variant where the row has one engine."""
        index = self.shown.variants.index(variant) if self.alone else self.families.index((engine, variant))
        return COLOURS[index % len(COLOURS)]

    def fill(self, engine: str, variant: str) -> str:
        """Of its markers: every second engine of a row has white ones, so that ink alone tells it from the first."""
        engines = list(dict.fromkeys(name for name, _ in self.families))
        return "white" if engines.index(engine) % 2 else self.colour(engine, variant)


def draw_row(row: Row, axes: Sequence[Axes]) -> None:
    """Draw the panels into their axes; they share one range of compression."""
    for panel, ax in zip(PANELS, axes, strict=True):
        _head(ax, row, panel)
        _shares(ax)
        if row.shown.strokes:
            _compression(ax, row.shown)
            _draw_strokes(ax, row, panel)
            _draw_levels(ax, row, panel)
            _draw_mode_names(ax, row)
            if panel == "precision":
                _draw_published(ax, row.shown)
        else:
            _draw_levels_alone(ax, row, panel)


@dataclass(frozen=True)
class Legend:
    """What the lines and markers of all panels mean.

    Attributes:
        columns, lines: how it is laid out.
    """

    handles: tuple[Line2D, ...]
    columns: int
    lines: int

    @classmethod
    def of(cls, row: Row, width: float) -> Legend:
        """The legend of any row, laid out in so many inches."""
        handles = tuple(_handles(row)) if row.shown.strokes else ()
        widest = max((len(str(handle.get_label())) for handle in handles), default=1)
        columns = max(1, min(len(handles), int(width / (0.8 + widest * LETTER))))
        return cls(handles, columns, math.ceil(len(handles) / columns))

    def draw(self, figure: Figure, corner: tuple[float, float]) -> None:
        """Draw it, its upper left corner here (shares of the figure)."""
        if self.handles:
            figure.legend(
                handles=self.handles, loc="upper left", bbox_to_anchor=corner, ncols=self.columns, frameon=False,
                fontsize=10, handlelength=3, borderpad=0, borderaxespad=0,
            )  # fmt: skip


def _handles(row: Row) -> Iterator[Line2D]:
    for engine, variant in row.families:
        label = shorten(variant) if row.alone else f"{shorten(engine)}, {shorten(variant)}"
        colour, fill = row.colour(engine, variant), row.fill(engine, variant)
        dot: dict[str, Any] = {"marker": "o", "ms": 5.5, "mfc": fill, "mec": colour}
        yield Line2D([], [], color=colour, ls=_style(variant), lw=2, label=label, **dot)
    controls = dict.fromkeys(stroke.engine for stroke in row.shown.strokes if stroke.control)
    for engine in controls:
        yield Line2D([], [], color=CONTROL, lw=0.9, label=f"pixels only ({shorten(engine)})")
    if row.shown.levels:
        yield Line2D([], [], color=CONTROL, ls=NATIVE_DASH, lw=1, label="all pixels (native)")
    if row.shown.published:
        dot = {"marker": "o", "ms": 6.5, "mfc": "none", "mec": PUBLISHED, "mew": 1.2}
        yield Line2D([], [], ls="", label="published: DeepSeek-OCR (paper)", **dot)


def shorten(name: str, most: int = 40) -> str:
    """A name as long as there is room for, without what no font can draw; its end often tells it from the next."""
    name = one_line(encodable(name))
    half = most // 2
    return name if len(name) <= most else f"{name[:half]}…{name[half - most + 1 :]}"


def _head(ax: Axes, row: Row, panel: Panel) -> None:
    title, remark = TITLES[panel]
    if row.alone:
        title = f"{shorten(row.families[0][0])}: {title[0].lower()}{title[1:]}"
    ax.annotate(
        title, (0, 1), (0, 58), xycoords="axes fraction", textcoords="offset points", size=12.5, weight="bold",
        va="bottom",
    )  # fmt: skip
    ax.annotate(
        remark, (0, 1), (0, 43), xycoords="axes fraction", textcoords="offset points", size=9, color=DIM, va="bottom"
    )


def _shares(ax: Axes) -> None:
    ax.set_ylim(0, STRIP)
    ax.set_yticks([0, 0.2, 0.4, 0.6, 0.8, 1], ["0 %", "20 %", "40 %", "60 %", "80 %", "100 %"])
    ax.grid(color=GRID, lw=0.8)
    ax.set_axisbelow(True)
    ax.spines[["top", "right"]].set_visible(False)


def _compression(ax: Axes, shown: Drawing) -> None:
    """The axes below (characters) and above (text tokens), and the compression that is often quoted."""
    ratio = shown.characters_a_token
    ax.set_xlim(0, shown.reach)
    ax.set_ylim(0, TOP)
    ax.axhspan(STRIP, TOP, color="#f3f3f3", lw=0, zorder=1.5)
    ax.annotate(
        "mode", (0, NAMES[1]), (-7, 0), xycoords=("axes fraction", "data"), textcoords="offset points", size=10,
        ha="right", va="center",
    )  # fmt: skip
    ax.xaxis.set_major_locator(MaxNLocator(10, steps=STEPS))
    ax.set_xlabel("characters per vision token   (more compression →)", size=10)
    above = ax.secondary_xaxis("top", functions=_ratio_functions(ratio))
    above.xaxis.set_major_locator(MaxNLocator(6, steps=STEPS))
    above.set_xlabel("text tokens per vision token", size=9, color=DIM)
    above.tick_params(labelsize=9, colors=DIM)
    above.spines["top"].set_color(DIM)
    if QUOTED * ratio > shown.reach:
        return
    ax.axvline(QUOTED * ratio, color="#888888", lw=1, ls=(0, (1, 2)), zorder=1)
    quoted = f"the often quoted\n{QUOTED} text tokens\nper vision token"
    ax.annotate(
        quoted, (QUOTED * ratio, 0.02), (-4, 0), size=8.5, ha="right", textcoords="offset points", va="bottom",
        color=DIM, path_effects=HALO, zorder=6,
    )  # fmt: skip


def _ratio_functions(ratio: float) -> tuple[Callable[[Any], Any], Callable[[Any], Any]]:
    """From characters to text tokens, and back; of numbers or arrays."""
    return (lambda characters: characters / ratio), (lambda tokens: tokens * ratio)


def _draw_strokes(ax: Axes, row: Row, panel: Panel) -> None:
    for stroke in row.shown.strokes:
        xs, spreads = [place.x for place in stroke.places], [place.spreads[panel] for place in stroke.places]
        means, style = [found.mean for found in spreads], _style(stroke.variant)
        if stroke.control:
            ax.plot(xs, means, color=CONTROL, ls=style, lw=0.9, marker=_marker(stroke.mode), ms=2, zorder=3)
        elif (stroke.engine, stroke.variant) in row.families:
            colour = row.colour(stroke.engine, stroke.variant)
            low, high = [found.low for found in spreads], [found.high for found in spreads]
            ax.fill_between(xs, low, high, color=colour, alpha=0.13, lw=0, zorder=2)
            fill = row.fill(stroke.engine, stroke.variant)
            edge, width = (colour, 1.4) if fill == "white" else ("white", 0.6)
            ax.plot(
                xs, means, color=colour, ls=style, lw=1.8, marker=_marker(stroke.mode), ms=5.5, mfc=fill, mec=edge,
                mew=width, zorder=4,
            )  # fmt: skip


def _draw_levels(ax: Axes, row: Row, panel: Panel) -> None:
    """Levels across the panel, their figures in its right margin, spaced so that they can be read."""
    taken = 2.0
    for level in sorted(row.shown.levels, key=lambda level: -level.spreads[panel].mean):
        if not level.control and (level.engine, level.variant) not in row.families:
            continue
        colour = CONTROL if level.control else row.colour(level.engine, level.variant)
        mean = level.spreads[panel].mean
        ax.axhline(mean, color=colour, ls=NATIVE_DASH, lw=1, zorder=2)
        taken = min(mean, taken - 0.048)
        ax.annotate(
            f"{100 * mean:.1f} %", (1, taken), (4, 0), xycoords=("axes fraction", "data"), size=8.5, color=colour,
            textcoords="offset points", va="center",
        )  # fmt: skip


def _draw_mode_names(ax: Axes, row: Row) -> None:
    """Above 100 %: the marker of each mode, and from where to where its pages lie."""
    right = row.shown.reach
    ends = [-1.0] * len(NAMES)
    ranges = []
    for mode in row.shown.modes:
        xs = [place.x for stroke in row.shown.strokes if stroke.mode == mode for place in stroke.places]
        ranges.append((min(xs), max(xs), mode))
    for low, high, mode in sorted(ranges):
        start = low - 0.02 * right
        wide = (0.045 + 0.0165 * len(mode)) * right  # the marker and the name
        free = [index for index, end in enumerate(ends) if end < start]
        level = free[0] if free else ends.index(min(ends))
        start = max(start, ends[level])
        ends[level] = max(high, start + wide) + 0.01 * right
        y = NAMES[level]
        ax.plot([low, high], [y, y], color="#bbbbbb", lw=1.2, solid_capstyle="butt", zorder=5)
        middle = max((low + high - wide) / 2, start) + 0.02 * right
        ax.plot(middle, y, _marker(mode), color="#333333", ms=5.5, zorder=7)
        ax.annotate(
            mode, (middle, y), (6, 0), textcoords="offset points", size=9, va="center", path_effects=HALO, zorder=7
        )


def _draw_published(ax: Axes, shown: Drawing) -> None:
    for point in shown.published:
        ax.plot(
            point.x, point.precision, _marker(point.mode), ms=6.5, mfc="none", mec=PUBLISHED, mew=1.2, zorder=5,
            path_effects=HALO,
        )  # fmt: skip


def _draw_levels_alone(ax: Axes, row: Row, panel: Panel) -> None:
    """Without compression: a dot for every engine and variant."""
    levels = [level for level in row.shown.levels if level.control or (level.engine, level.variant) in row.families]
    for place, level in enumerate(levels):
        found = level.spreads[panel]
        colour = CONTROL if level.control else row.colour(level.engine, level.variant)
        ax.plot([place, place], [found.low, found.high], color=colour, lw=5, alpha=0.3, solid_capstyle="butt")
        ax.plot(place, found.mean, "o", color=colour, ms=8, mec="white")
        ax.annotate(
            f"{100 * found.mean:.1f} %", (place, found.mean), (8, 0), textcoords="offset points", va="center", size=10
        )
    ax.set_xlim(-0.5, len(levels) - 0.3)
    ax.set_xticks(
        range(len(levels)), [f"{shorten(level.engine, 20)}\n{shorten(level.variant, 20)}" for level in levels]
    )


def _style(variant: str) -> Any:
    return STYLES.get(variant, OTHER_STYLE)


def _marker(mode: str) -> str:
    return MARKERS.get(mode, OTHER_MARKER)
