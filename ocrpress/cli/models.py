"""`ocrpress models`: the checkpoints that are known, and which of them are on this machine."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from ocrpress.cli.parser import add_debug

if TYPE_CHECKING:
    import argparse

    from ocrpress.cli.parser import Parser
    from ocrpress.engines.cards import Card


def add_parser(subparsers: argparse._SubParsersAction[Parser], about: str) -> None:
    """Add the command."""
    parser = subparsers.add_parser(
        "models",
        help=about,
        description="List the checkpoints for the engine deepseek, and which of them are on this machine.",
        epilog="any other checkpoint of the same architecture: --checkpoint FOLDER, or a hub id after 'ocrpress pull'",
    )
    parser.add_argument("--json", action="store_true", help="for programs")
    add_debug(parser)


def run(args: argparse.Namespace) -> int:
    """Print them."""
    from ocrpress.cli.stdout import write_stdout
    from ocrpress.engines.cards import cards

    found = [_describe(card) for card in cards().values()]
    write_stdout(json.dumps(found, ensure_ascii=False, indent=1) + "\n" if args.json else _report(found))
    return 0


def _describe(card: Card) -> dict[str, Any]:
    from ocrpress.engines.deepseek.checkpoint import is_present
    from ocrpress.engines.deepseek.hub import find_weights

    present = is_present(card.name)
    return {
        "name": card.name,
        "about": card.about,
        "present": present,
        "folder": str(find_weights(card)) if present else None,
        "repository": card.repository or None,
        "revision": card.revision or None,
        "licence": card.licence,
        "download_gb": card.download_gb,
        "attention": card.attention,
        "modes": list(card.modes),
        "tasks": list(card.tasks),
    }


def _report(found: list[dict[str, Any]]) -> str:
    from ocrpress.cli.table import table

    rows = [["checkpoint", "here", "download", "licence", "modes", "tasks"]]
    for each in found:
        size = f"{each['download_gb']:.1f} GB" if each["repository"] else "none"
        here = "yes" if each["present"] else "no"
        rows.append([each["name"], here, size, each["licence"], ", ".join(each["modes"]), ", ".join(each["tasks"])])
    lines = [table(rows)]
    lines += [f"{each['name']}: {each['about']}\n" for each in found]
    if not all(each["present"] for each in found):
        lines.append("\nget one with: ocrpress pull NAME\n")
    return "\n".join(lines[:1]) + "\n" + "".join(lines[1:])
