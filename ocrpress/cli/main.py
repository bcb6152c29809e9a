"""Which command: builds the parser and dispatches. No command's work is imported before it is chosen."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from ocrpress import __version__
from ocrpress.cli import bench, convert, doctor, models, modes, pull
from ocrpress.cli.inputs import exists
from ocrpress.cli.parser import Parser, add_debug
from ocrpress.errors import UsageError, unknown

if TYPE_CHECKING:
    import argparse
    from collections.abc import Sequence


class Command(Protocol):
    """What every file of a command has."""

    def add_parser(self, subparsers: argparse._SubParsersAction[Parser]) -> None:
        """Add the command's own parser."""
        ...

    def run(self, args: argparse.Namespace) -> int:
        """Do it; returns the exit code. Raises OcrpressError."""
        ...


COMMANDS: dict[str, Command] = {
    "convert": convert, "modes": modes, "models": models, "pull": pull, "bench": bench, "doctor": doctor,
}  # fmt: skip

DESCRIPTION = "Turn documents into Markdown, at a chosen number of vision tokens a page."
EPILOG = """exit codes: 0 all pages; 1 finished, some pages failed; 2 usage; 3 the input cannot be read; 4 the engine
cannot run here; 130 interrupted"""


def run(arguments: Sequence[str]) -> int:
    """Run one command and return its exit code. Raises OcrpressError."""
    parser, subparsers = build_parser()
    if not arguments:
        raise UsageError("no command given", f"'{parser.prog} --help' lists them: {', '.join(COMMANDS)}")
    _check_command(arguments)
    args, rest = parser.parse_known_args(arguments)
    if rest:
        subparsers[args.command].refuse(rest)
    if not args.debug:
        warnings.simplefilter("ignore")  # of libraries, to their callers; users can do nothing about them
    return COMMANDS[args.command].run(args)


def build_parser() -> tuple[Parser, dict[str, Parser]]:
    """The parser of the whole command line, and those of its commands by name."""
    parser = Parser(prog="ocrpress", description=DESCRIPTION, epilog=EPILOG)
    parser.add_argument("--version", action="version", version=f"ocrpress {__version__}")
    add_debug(parser)
    subparsers = parser.add_subparsers(dest="command", metavar="COMMAND", required=True, parser_class=Parser)
    for command in COMMANDS.values():
        command.add_parser(subparsers)
    return parser, dict(subparsers.choices)


def _check_command(arguments: Sequence[str]) -> None:
    """Argparse would list its choices; we know the nearest one, and a document when we see it."""
    name = next((argument for argument in arguments if not argument.startswith("-")), None)
    if name is None or name in COMMANDS:
        return
    if Path(name).suffix or exists(name):
        raise UsageError(f"'{name}' is no command", f"to read it, run: ocrpress convert {name}")
    raise unknown("command", name, COMMANDS)
