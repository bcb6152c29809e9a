"""Which command: builds the parser and dispatches. No command's work is imported before it is chosen."""

from __future__ import annotations

import warnings
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn, Protocol, cast

from ocrpress import __version__
from ocrpress.cli.inputs import exists
from ocrpress.cli.parser import Parser, add_debug
from ocrpress.errors import UsageError, unknown

if TYPE_CHECKING:
    import argparse
    from collections.abc import Sequence


class Command(Protocol):
    """What every file of a command has."""

    def add_parser(self, subparsers: argparse._SubParsersAction[Parser], about: str) -> None:
        """Add the command's own parser; `about` describes it in the list of commands."""
        ...

    def run(self, args: argparse.Namespace) -> int:
        """Do it; returns the exit code. Raises OcrpressError."""
        ...


# Name -> what it does, in a line. The command itself is ocrpress.cli.NAME, imported when it is chosen.
COMMANDS: dict[str, str] = {
    "convert": "turn documents into Markdown, JSON or plain text",
    "batch": "turn folders of documents into a folder of results; goes on where it stopped",
    "status": "show how far a batch is, how fast, and what failed",
    "serve": "read documents for others: an HTTP API, and a page to drop documents on",
    "render": "typeset text into page images, and count its tokens",
    "curve": "measure how much text survives at how many vision tokens",
    "modes": "show the resolution modes, and what each would cost a document",
    "models": "list the checkpoints for the engine deepseek, and which are here",
    "pull": "download a checkpoint for the engine deepseek, and verify it",
    "bench": "measure pages a second, and the share of what the hardware allows",
    "doctor": "show what is installed and which engines can run here",
}

DESCRIPTION = "Turn documents into Markdown, at a chosen number of vision tokens a page."
EPILOG = """exit codes: 0 all pages; 1 finished, some pages failed; 2 usage; 3 the input cannot be read; 4 the engine
cannot run here; 130 interrupted"""


def run(arguments: Sequence[str]) -> int:
    """Run one command and return its exit code. Raises OcrpressError."""
    name = _named(arguments)
    command = load(name) if name in COMMANDS else None
    parser, subparsers = build_parser(name, command)
    if not arguments:
        raise UsageError("no command given", f"'{parser.prog} --help' lists them: {', '.join(COMMANDS)}")
    if name is not None and command is None:
        _refuse(name)
    args, rest = parser.parse_known_args(arguments)
    if rest:
        subparsers[args.command].refuse(rest)
    if not args.debug:
        warnings.simplefilter("ignore")  # of libraries, to their callers; users can do nothing about them
    return load(args.command).run(args)


def load(name: str) -> Command:
    """The command of that name; only now is it imported."""
    return cast("Command", import_module(f"ocrpress.cli.{name}"))


def build_parser(chosen: str | None = None, command: Command | None = None) -> tuple[Parser, dict[str, Parser]]:
    """The parser of the whole command line, and those of its commands by name: the chosen one whole."""
    parser = Parser(prog="ocrpress", description=DESCRIPTION, epilog=EPILOG)
    parser.add_argument("--version", action="version", version=f"ocrpress {__version__}")
    add_debug(parser)
    subparsers = parser.add_subparsers(dest="command", metavar="COMMAND", required=True, parser_class=Parser)
    for name, about in COMMANDS.items():
        if name == chosen and command:
            command.add_parser(subparsers, about)
        else:
            subparsers.add_parser(name, help=about)
    return parser, dict(subparsers.choices)


def _named(arguments: Sequence[str]) -> str | None:
    """The first argument that is no option: the command, if it is one."""
    return next((argument for argument in arguments if not argument.startswith("-")), None)


def _refuse(name: str) -> NoReturn:
    """Argparse would list its choices; we know the nearest one, and a document when we see it."""
    if Path(name).suffix or exists(name):
        raise UsageError(f"'{name}' is no command", f"to read it, run: ocrpress convert {name}")
    raise unknown("command", name, COMMANDS)
