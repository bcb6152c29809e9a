"""`ocrpress modes`: the mode table, and what each mode would cost a document."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from ocrpress.cli.parser import add_debug
from ocrpress.modes import DEFAULT_MAX_TILES, MODES, NATIVE, PIXELS_PER_TOKEN, Mode, plan

if TYPE_CHECKING:
    import argparse

    from ocrpress.cli.parser import Parser
    from ocrpress.measure.mode_costs import Costs


def add_parser(subparsers: argparse._SubParsersAction[Parser], about: str) -> None:
    """Add the command."""
    parser = subparsers.add_parser(
        "modes",
        help=about,
        description="Show the resolution modes; with a FILE, what each of them would cost it in tokens.",
    )
    add = parser.add_argument
    add("file", nargs="?", metavar="FILE", help="a PDF, an image, a folder of images, a text, or - for stdin")
    add("--json", action="store_true", help="for programs")
    add(
        "--max-tiles",
        type=int,
        default=DEFAULT_MAX_TILES,
        metavar="N",
        help="of the modes with tiles (default: %(default)s)",
    )
    add("--pages", metavar="R", help="pages to count, like 1-3,7 or 5- (default: all)")
    add("--password", metavar="P", help="of an encrypted PDF")
    add_debug(parser)


def run(args: argparse.Namespace) -> int:
    """Print the table, or a document's costs. Returns 1 if some of its pages have no size to count."""
    from ocrpress.cli.stdout import write_stdout

    plan(1, 1, NATIVE.name, args.max_tiles)  # refuses a number of tiles out of range
    if args.file is None:
        modes = [*MODES.values(), NATIVE]
        write_stdout(_json({"modes": [_as_object(mode, args.max_tiles) for mode in modes]}) if args.json else _table())
        return 0

    from ocrpress.measure.mode_costs import count

    costs = count(args.file, args.max_tiles, args.pages, args.password)
    write_stdout(_json(costs.as_object()) if args.json else _cost_table(costs))
    if costs.unreadable:
        from ocrpress.cli.say import say
        from ocrpress.sources.pages import ranges

        say(
            f"{args.file}: {len(costs.unreadable)} pages cannot be read and are not counted: {ranges(costs.unreadable)}"
        )
    return int(bool(costs.unreadable))


def _table() -> str:
    from ocrpress.cli.table import table

    rows = [["mode", "global view", "tiles", "vision tokens", "sequence tokens"]]
    for mode in MODES.values():
        bare, side = mode.view_sequence, mode.tile // PIXELS_PER_TOKEN
        tiled = f"({side} rows)({side} cols + 1) + {bare}" if mode.newlines else f"{mode.tile_tokens} n + {bare}"
        rows.append([
            mode.name,
            f"{mode.view}²",
            f"n × {mode.tile}²" if mode.tile else "–",
            f"{mode.tile_tokens} n + {mode.view_tokens}" if mode.tile else str(mode.view_tokens),
            tiled if mode.tile else str(bare),
        ])  # fmt: skip
    rows.append([NATIVE.name, "the page's pixels", "–", "none", "none"])
    return table(rows)


def _as_object(mode: Mode, max_tiles: int) -> dict[str, Any]:
    return {
        "mode": mode.name,
        "view": mode.view,
        "tile": mode.tile,
        "max_tiles": mode.most_tiles(max_tiles) if mode.tile else 0,
        "fit": ("stretch" if mode.stretch else "pad") if mode.view else "none",
        "view_vision_tokens": mode.view_tokens,
        "tile_vision_tokens": mode.tile_tokens,
        "view_sequence_tokens": mode.view_sequence,
    }


def _cost_table(costs: Costs) -> str:
    from ocrpress.cli.table import table

    rows = [["mode", "tiles a page", "vision tokens", "a page", "valid tokens", "a page", "sequence tokens", "a page"]]
    for cost in costs.modes:
        totals = (cost.vision_tokens, cost.valid_tokens, cost.sequence_tokens)
        counts = [cell for total in totals for cell in (f"{total:,}", f"{total / max(1, costs.pages):,.0f}")]
        rows.append([cost.mode, f"{cost.tiles / max(1, costs.pages):.1f}" if cost.tiles else "–", *counts])
    return f"{costs.file}: {costs.pages} page{'s' * (costs.pages != 1)}\n\n{table(rows)}"


def _json(found: dict[str, Any]) -> str:
    return json.dumps(found, ensure_ascii=False, indent=1) + "\n"
