"""What rendering came to, for people and for programs."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

from ocrpress.cli.table import table
from ocrpress.measure.page_costs import Cost, total
from ocrpress.sources.checks import shown_name

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from ocrpress.measure.budget import Fit
    from ocrpress.typeset.style import Style

_RATIOS = ("tokens_per_vision_token", "tokens_per_sequence_token", "characters_per_vision_token")
_COUNTS = ("vision_tokens", "valid_tokens", "sequence_tokens")
_RATIO_HEADS = ["text / vision", "text / sequence", "characters / vision"]


@dataclass(frozen=True)
class Page:
    """A page that was set.

    Attributes:
        width, height: in pixels.
        file: that it was written to; None if it was only counted.
        costs: one a mode.
    """

    number: int
    width: int
    height: int
    file: Path | None
    costs: tuple[Cost, ...]


@dataclass(frozen=True)
class Rendered:
    """A text that was rendered.

    Attributes:
        source: the name it came under.
        pages: one or more.
        style: that it was set in.
        fit: how it was made to fit `budget`, if it was.
        missing: characters of the text that the font has no shape for.
    """

    source: str
    pages: tuple[Page, ...]
    style: Style
    fit: Fit | None
    budget: int | None
    missing: tuple[str, ...]

    @property
    def totals(self) -> tuple[Cost, ...]:
        """Over all pages, one a mode."""
        return tuple(total(costs) for costs in zip(*(page.costs for page in self.pages), strict=True))


def as_text(rendered: Rendered, counter: str) -> str:
    """A head and a table: page by page for one mode, mode by mode for several."""
    totals, pages = rendered.totals, rendered.pages
    head = f"{shown_name(rendered.source)}: {_pages(len(pages))} of {pages[0].width} × {pages[0].height} pixels"
    first, last = pages[0].file, pages[-1].file
    if first and last:
        head += f" in {first}" + (f" … {last.name}" if first != last else "")
    lines = [head]
    if rendered.fit:
        lines.append(_fitted(rendered.fit, rendered.budget, totals[0]))
    elif len(totals) > 1:
        lines.append(f"{totals[0].characters:,} characters, {totals[0].text_tokens:,} text tokens")
    lines.append(f"text tokens by {counter}")
    rows = _by_page(rendered) if len(totals) == 1 else _by_mode(totals)
    return "\n".join(lines) + "\n\n" + table(rows)


def as_json(texts: Sequence[Rendered], counter: str) -> str:
    """All texts as one object."""
    found = {"tokens_by": counter, "texts": [_text_object(text) for text in texts]}
    return json.dumps(found, ensure_ascii=False, indent=1) + "\n"


def _fitted(fit: Fit, budget: int | None, cost: Cost) -> str:
    chosen = f"{fit.mode}, {_pages(fit.pages)} of {fit.page_tokens:,} vision tokens, type of {fit.style.size:g} px"
    ratio = f"{cost.tokens_per_vision_token:.1f} text tokens a vision token"
    return f"{chosen}: {fit.vision_tokens:,} of {budget:,} vision tokens, {ratio}"


def _by_page(rendered: Rendered) -> list[list[str]]:
    mode = rendered.pages[0].costs[0].mode
    rows = [["page", "characters", "text tokens", f"vision tokens ({mode})", "valid", "sequence", *_RATIO_HEADS]]
    costs = [(f"{page.number}", page.costs[0]) for page in rendered.pages]
    for name, cost in [*costs, ("all", rendered.totals[0])]:
        rows.append([name, f"{cost.characters:,}", f"{cost.text_tokens:,}", *_counts(cost), *_ratios(cost)])
    return rows


def _by_mode(totals: Sequence[Cost]) -> list[list[str]]:
    head = ["mode", "tiles a page", "vision tokens", "valid", "sequence", *_RATIO_HEADS]
    return [head, *([cost.mode, _tiles(cost), *_counts(cost), *_ratios(cost)] for cost in totals)]


def _tiles(cost: Cost) -> str:
    return f"{cost.tiles / cost.pages:.1f}" if cost.tiles else "–"


def _counts(cost: Cost) -> list[str]:
    return [f"{getattr(cost, name):,}" for name in _COUNTS]


def _ratios(cost: Cost) -> list[str]:
    return [f"{getattr(cost, name):.2f}" for name in _RATIOS]


def _text_object(text: Rendered) -> dict[str, Any]:
    found: dict[str, Any] = {"source": text.source, "style": asdict(text.style), "missing": list(text.missing)}
    if text.fit:
        found["fit"] = {
            "budget": text.budget, "mode": text.fit.mode, "pages": text.fit.pages, "type_pixels": text.fit.style.size,
            "page_vision_tokens": text.fit.page_tokens, "vision_tokens": text.fit.vision_tokens,
        }  # fmt: skip
    return found | _costs_object(text.totals) | {"pages": [_page_object(page) for page in text.pages]}


def _page_object(page: Page) -> dict[str, Any]:
    file = str(page.file) if page.file else None
    size = {"page": page.number, "file": file, "width": page.width, "height": page.height}
    return size | _costs_object(page.costs)


def _costs_object(costs: Sequence[Cost]) -> dict[str, Any]:
    """What the modes have in common once, then what each has of its own."""
    modes = [
        {"mode": cost.mode, "tiles": cost.tiles}
        | {name: getattr(cost, name) for name in _COUNTS}
        | {name: round(getattr(cost, name), 4) for name in _RATIOS}
        for cost in costs
    ]
    return {"characters": costs[0].characters, "text_tokens": costs[0].text_tokens, "modes": modes}


def _pages(count: int) -> str:
    return f"{count:,} page{'s' * (count != 1)}"
