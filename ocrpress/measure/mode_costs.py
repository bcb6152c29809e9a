"""What each mode would cost a document, from the sizes of its pages: nothing is encoded, and little is rendered."""

from __future__ import annotations

import contextlib
from dataclasses import asdict, dataclass, replace
from typing import TYPE_CHECKING, Any

from ocrpress.document import PageImage, UnreadablePage
from ocrpress.modes import MODES, plan
from ocrpress.sources import SourceOptions, open_source, render_size
from ocrpress.sources.checks import MIN_DPI

if TYPE_CHECKING:
    from collections.abc import Sequence


@dataclass(frozen=True)
class ModeCost:
    """Totals over the pages of a document in one mode."""

    mode: str
    tiles: int
    vision_tokens: int
    valid_tokens: int
    sequence_tokens: int


@dataclass(frozen=True)
class Costs:
    """A document's costs. `unreadable` pages have no size and are not among `pages`."""

    file: str
    pages: int
    unreadable: tuple[int, ...]
    modes: tuple[ModeCost, ...]

    def as_object(self) -> dict[str, Any]:
        """For JSON: totals, and means a page."""
        modes = []
        for cost in self.modes:
            totals = asdict(cost)
            means = {f"{name}_a_page": round(totals[name] / max(1, self.pages), 1) for name in totals if name != "mode"}
            modes.append(totals | means)
        return {"file": self.file, "pages": self.pages, "unreadable": list(self.unreadable), "modes": modes}


def count(
    file: str,
    max_tiles: int | None,
    pages: str | None = None,
    password: str | None = None,
    workers: int = SourceOptions.workers,
    name: str | None = None,
) -> Costs:
    """Count a document's tokens in every mode. Raises what `open_source` raises.

    Args:
        workers: processes that look at the pages of a PDF; 0 does so in this one.
        name: see `open_source`.
    """
    # The sizes come with the pages; at the lowest resolution those cost next to nothing.
    options = SourceOptions(dpi=MIN_DPI, pages=pages, password=password, max_tiles=max_tiles, workers=workers)
    sums = {mode: [0, 0, 0, 0] for mode in MODES}
    counted, unreadable = 0, []
    with contextlib.closing(open_source(file, options, name=name)) as source:
        for page in source.pages():
            if isinstance(page, UnreadablePage):
                unreadable.append(page.number)
                continue
            counted += 1
            for mode, total in sums.items():
                _add(total, _pixels(page, source.drawn, mode, options), mode, options)
        shown = source.name
    modes = tuple(ModeCost(mode, *total) for mode, total in sums.items())
    return Costs(shown, counted, tuple(unreadable), modes)


def _add(total: list[int], size: tuple[int, int], mode: str, options: SourceOptions) -> None:
    cost = plan(*size, mode, options.max_tiles)
    found: Sequence[int] = (cost.tiles, cost.vision_tokens, cost.valid_tokens, cost.sequence_tokens)
    for index, value in enumerate(found):
        total[index] += value


def _pixels(page: PageImage, drawn: bool, mode: str, options: SourceOptions) -> tuple[int, int]:
    """The size at which the mode would see the page: PDF pages are drawn for it, images come as they are."""
    return render_size(page.width, page.height, replace(options, dpi=None, mode=mode)) if drawn else page.image.size
