"""`ocrpress doctor`: what is installed, which engines can run here, and what would change it."""

from __future__ import annotations

import json
from dataclasses import asdict
from typing import TYPE_CHECKING

from ocrpress.cli.parser import add_debug
from ocrpress.engines import DEFAULT_ENGINE

if TYPE_CHECKING:
    import argparse

    from ocrpress.cli.health import Health
    from ocrpress.cli.parser import Parser

CANNOT_RUN = 4
MISSING = "missing: run pip install --upgrade ocrpress"


def add_parser(subparsers: argparse._SubParsersAction[Parser], about: str) -> None:
    """Add the command."""
    parser = subparsers.add_parser(
        "doctor",
        help=about,
        description="Show what is installed and which engines can run here.",
        epilog=f"exit codes: 0 the engine {DEFAULT_ENGINE} can run; {CANNOT_RUN} it cannot",
    )
    parser.add_argument("--json", action="store_true", help="for programs")
    add_debug(parser)


def run(args: argparse.Namespace) -> int:
    """Print the findings. Returns 4 if the default engine cannot run."""
    from ocrpress.cli.health import examine
    from ocrpress.cli.stdout import write_stdout

    health = examine()
    if args.json:
        write_stdout(json.dumps(asdict(health), ensure_ascii=False, indent=1) + "\n")
    else:
        write_stdout(_report(health))
    return 0 if any(engine.runs for engine in health.engines if engine.name == DEFAULT_ENGINE) else CANNOT_RUN


def _report(health: Health) -> str:
    memory = f"{health.memory_bytes / 2**30:.1f} GiB" if health.memory_bytes else "unknown"
    lines = [
        f"ocrpress {health.ocrpress}, Python {health.python}, {health.platform}",
        f"{health.cores} processor cores to use, {memory} of memory",
        "",
        "packages",
        *(f"  {name:<18} {version or MISSING}" for name, version in health.packages.items()),
        "",
        "programs",
        *(f"  {program.name:<12} {program.path or 'not found'}: {program.use}" for program in health.programs),
        *(f"  {'':<12} {program.remedy}" for program in health.programs if not program.path),
        "",
        "engines",
    ]  # fmt: skip
    for engine in health.engines:
        mark = " (default)" if engine.name == DEFAULT_ENGINE else ""
        lines.append(f"  {engine.name:<12} {'can run' if engine.runs else 'cannot run'}{mark}: {engine.about}")
        lines += [f"  {'':<12} {note}" for note in engine.notes]
    return "\n".join(lines) + "\n"
