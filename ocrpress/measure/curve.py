"""The curve as data: pages scored, cells of engine × mode × variant, and what a bucket of pages comes to.

    PageScores ──▶ Cell ──▶ points, one a bucket ──▶ table, plot, report
                    └─────▶ Curve ──▶ curve.json

Knows nothing of engines or files; `cells` measures, `plot` and `curve_report` show.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean, median
from typing import Any, Literal

from ocrpress.document import Status
from ocrpress.measure.accuracy import Score
from ocrpress.modes import NATIVE

BUCKET = 100  # text tokens; the published table's (DeepSeek-OCR, table 2)
BAND = (0.1, 0.9)  # of the pages: what a plot shades


@dataclass(frozen=True)
class PageScore:
    """One page, read in one mode and scored.

    Attributes:
        page: name of the sample.
        bucket: lower edge, in text tokens of the natural text; a variant's page stands in its natural twin's bucket.
        fault: why the engine's answer was not to be taken; empty if it was.
        text_tokens: of the page's true text.
        vision_tokens, valid_tokens, sequence_tokens: see `Plan`; 0 in mode native.
        read: what was read.
        output_tokens: tokens generated; None for engines without tokens.
    """

    page: str
    bucket: int
    status: Status
    fault: Literal["", "loop", "cut off", "empty", "error"]
    text_tokens: int
    vision_tokens: int
    valid_tokens: int
    sequence_tokens: int
    score: Score
    read: str
    output_tokens: int | None = None
    error: str = ""


@dataclass(frozen=True)
class Cell:
    """An engine in one mode on one variant of the pages.

    Attributes:
        control: read by `rapid` from the mode's very pixels, to tell what the pixels lost from what the tokens lost.
    """

    engine: str
    mode: str
    variant: str
    pages: tuple[PageScore, ...]
    control: bool = False


@dataclass(frozen=True)
class Curve:
    """All that was measured.

    Attributes:
        about: what the pages are, in words.
        tokens_by: what counted their text tokens.
        settings: what the run was asked for, ready for JSON.
        left_out: (name, reason) of what of the data could not be used.
        machine: as `describe_machine` gives it.
    """

    cells: tuple[Cell, ...]
    about: str
    tokens_by: str
    settings: Mapping[str, Any]
    left_out: tuple[tuple[str, str], ...]
    machine: Mapping[str, Any]


@dataclass(frozen=True)
class Spread:
    """Of one figure over pages: mean, median, and between which values the middle four fifths of the pages lie."""

    mean: float
    median: float
    low: float
    high: float


@dataclass(frozen=True)
class Point:
    """A bucket of a cell, or all of its pages (bucket None).

    Attributes:
        tokens_per_vision_token: text tokens / vision tokens, the published compression; sums over the pages; None
            where there are no vision tokens.
        tokens_per_sequence_token: text tokens / tokens in the decoder's sequence.
        characters_per_vision_token: fair to text that tokenizes badly.
        spreads: of every figure of `Score`, by its name.
        looped, cut: share of pages whose answer repeated itself, or did not end.
        failed: share of pages of which no answer was taken, whatever the reason.
    """

    bucket: int | None
    pages: int
    text_tokens: float
    tokens_per_vision_token: float | None
    tokens_per_sequence_token: float | None
    characters_per_vision_token: float | None
    spreads: Mapping[str, Spread]
    looped: float
    cut: float
    failed: float


def points(cell: Cell) -> list[Point]:
    """One point a bucket that has pages, in order."""
    buckets = sorted({page.bucket for page in cell.pages})
    return [point([page for page in cell.pages if page.bucket == bucket], bucket) for bucket in buckets]


def point(pages: Sequence[PageScore], bucket: int | None = None) -> Point:
    """What these pages come to. Raises ValueError for none: there is no mean of nothing."""
    if not pages:
        raise ValueError("no pages, no point")
    return Point(
        bucket, len(pages), fmean(page.text_tokens for page in pages),
        _ratio(pages, lambda page: page.text_tokens, lambda page: page.vision_tokens),
        _ratio(pages, lambda page: page.text_tokens, lambda page: page.sequence_tokens),
        _ratio(pages, lambda page: page.score.characters, lambda page: page.vision_tokens),
        {name: spread(getattr(page.score, name) for page in pages) for name in MEASURES},
        looped=fmean(page.fault == "loop" for page in pages), cut=fmean(page.fault == "cut off" for page in pages),
        failed=fmean(page.status == "failed" for page in pages),
    )  # fmt: skip


def spread(values: Iterable[float]) -> Spread:
    """Mean, median and the middle four fifths (linear between neighbours) of one value or more."""
    found = sorted(values)
    low, high = (_quantile(found, share) for share in BAND)
    return Spread(fmean(found), median(found), low, high)


MEASURES: tuple[str, ...] = tuple(name for name, kind in Score.__annotations__.items() if kind == "float")


def has_tokens(cell: Cell) -> bool:
    """Whether the cell has a place on an axis of compression: mode native has no vision tokens."""
    return cell.mode != NATIVE.name


def _ratio(
    pages: Sequence[PageScore], above: Callable[[PageScore], int], below: Callable[[PageScore], int]
) -> float | None:
    whole = sum(map(below, pages))
    return sum(map(above, pages)) / whole if whole else None


def _quantile(ordered: Sequence[float], share: float) -> float:
    place = share * (len(ordered) - 1)
    below = int(place)
    above = min(below + 1, len(ordered) - 1)
    return ordered[below] + (place - below) * (ordered[above] - ordered[below])
