"""What a plot of a curve draws, as numbers: lines over compression, levels without it, and the published points.

    Curve ──▶ Drawing (strokes, levels, published points) ──plot──▶ PNG, SVG

A stroke is one engine in one mode on one variant: its buckets in order of compression. Modes overlap in compression (a
sparse page in `tiny`, a full one in `small`), so one line through all of them would zigzag. Knows nothing of
matplotlib.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

from ocrpress.measure.curve import Cell, Curve, Point, Spread, has_tokens, point, points
from ocrpress.measure.published import COMPRESSION, SET_PRECISION
from ocrpress.modes import MODES

Panel = Literal["survives", "precision"]
PANELS: tuple[Panel, ...] = ("survives", "precision")
NATURAL = "natural"
FAR = 0.4  # of the published compression: pages that do not come so far have the axis for themselves
MARGIN = 1.05
CHARACTERS_A_TOKEN = 4.5  # of English prose; where no natural page tells


@dataclass(frozen=True)
class Place:
    """A point of a stroke.

    Attributes:
        x: characters per vision token.
        spreads: shares 0 to 1 by panel; more is better in all of them.
    """

    x: float
    spreads: dict[Panel, Spread]


@dataclass(frozen=True)
class Stroke:
    """A line of the plot: its places in order of compression."""

    engine: str
    mode: str
    variant: str
    control: bool
    places: tuple[Place, ...]


@dataclass(frozen=True)
class Level:
    """What an engine reads with all pixels (mode native): no vision tokens, so no place on the axis."""

    engine: str
    variant: str
    control: bool
    spreads: dict[Panel, Spread]


@dataclass(frozen=True)
class PublishedPoint:
    """A point that others published: precision (0 to 1) at so many characters per vision token."""

    mode: str
    x: float
    precision: float


@dataclass(frozen=True)
class Drawing:
    """All that a plot draws.

    Attributes:
        reach: where the axis of characters per vision token ends.
        published: the points within reach; `beyond` says how many more there are.
        families: (engine, variant) of the strokes and levels that are no control, in order of the curve.
        characters_a_token: of the natural pages: makes text tokens of characters.
        assumed: no natural page told that figure; it is CHARACTERS_A_TOKEN.
    """

    strokes: tuple[Stroke, ...]
    levels: tuple[Level, ...]
    reach: float
    published: tuple[PublishedPoint, ...]
    beyond: int
    families: tuple[tuple[str, str], ...]
    characters_a_token: float
    assumed: bool

    @property
    def engines(self) -> tuple[str, ...]:
        """Engines that were measured, controls aside."""
        return tuple(dict.fromkeys(engine for engine, _ in self.families))

    @property
    def variants(self) -> tuple[str, ...]:
        """Variants of the pages."""
        return tuple(dict.fromkeys(variant for _, variant in self.families))

    @property
    def modes(self) -> tuple[str, ...]:
        """Modes with vision tokens, those of the strokes in the order of the mode table."""
        found = {stroke.mode for stroke in self.strokes}
        return (*(mode for mode in MODES if mode in found), *sorted(found - MODES.keys()))


def drawing(curve: Curve) -> Drawing:
    """The curve in numbers to draw. Raises ValueError where there is no page to draw."""
    cells = [cell for cell in curve.cells if cell.pages]
    if not cells:
        raise ValueError("no pages were measured: there is nothing to draw")
    measured = characters_a_token(cells)
    ratio = measured or CHARACTERS_A_TOKEN
    strokes = [stroke for cell in cells if has_tokens(cell) and (stroke := _stroke(cell)).places]
    levels = [
        Level(cell.engine, cell.variant, cell.control, _spreads(point(cell.pages)))
        for cell in cells
        if not has_tokens(cell)
    ]
    main = [cell for cell in cells if not cell.control] or cells
    points_of_others = published_points(ratio)
    reach = _reach(strokes, points_of_others)
    near = tuple(found for found in points_of_others if found.x <= reach)
    return Drawing(
        tuple(strokes), tuple(levels), reach, near, len(points_of_others) - len(near), families(main), ratio,
        assumed=measured is None,
    )  # fmt: skip


def families(cells: Iterable[Cell]) -> tuple[tuple[str, str], ...]:
    """(engine, variant) of the cells, engine by engine, each in order of first occurrence."""
    found = dict.fromkeys((cell.engine, cell.variant) for cell in cells)
    engines, variants = list(dict.fromkeys(e for e, _ in found)), list(dict.fromkeys(v for _, v in found))
    return tuple((engine, variant) for engine in engines for variant in variants if (engine, variant) in found)


def characters_a_token(cells: Iterable[Cell]) -> float | None:
    """Characters per text token of the natural pages, every page counted once; None without any."""
    pages = {page.page: page for cell in cells if cell.variant == NATURAL for page in cell.pages}
    tokens = sum(page.text_tokens for page in pages.values())
    characters = sum(page.score.characters for page in pages.values())
    return characters / tokens if tokens and characters else None


def published_points(characters_per_token: float) -> tuple[PublishedPoint, ...]:
    """The published table on an axis of characters per vision token."""
    names = {mode.view_tokens: mode.name for mode in MODES.values() if not mode.tile}
    return tuple(
        PublishedPoint(names[tokens], COMPRESSION[tokens][bucket] * characters_per_token, precision)
        for tokens, column in SET_PRECISION.items()
        for bucket, precision in column.items()
    )


def _reach(strokes: Iterable[Stroke], others: Iterable[PublishedPoint]) -> float:
    own = max((place.x for stroke in strokes for place in stroke.places), default=0.0)
    theirs = max(found.x for found in others)
    return MARGIN * (own if 0 < own < FAR * theirs else max(own, theirs))


def _stroke(cell: Cell) -> Stroke:
    places = [
        Place(found.characters_per_vision_token, _spreads(found))
        for found in points(cell)
        if found.characters_per_vision_token
    ]
    places.sort(key=lambda place: place.x)
    return Stroke(cell.engine, cell.mode, cell.variant, cell.control, tuple(places))


def _spreads(found: Point) -> dict[Panel, Spread]:
    edit, precision = found.spreads["edit_distance"], found.spreads["set_precision"]
    survives = Spread(*(1 - value for value in (edit.mean, edit.median, edit.high, edit.low)))
    return {"survives": _within(survives), "precision": _within(precision)}


def _within(found: Spread) -> Spread:
    """Nothing is drawn outside the panel."""
    return Spread(*(min(max(value, 0.0), 1.0) for value in (found.mean, found.median, found.low, found.high)))
