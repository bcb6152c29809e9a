"""The argument parser: argparse whose complaints are one line with a remedy. Imports nothing of ocrpress but errors."""

from __future__ import annotations

import argparse
import difflib
from typing import Any, NoReturn

from ocrpress.errors import UsageError


class Parser(argparse.ArgumentParser):
    """An ArgumentParser that raises UsageError where argparse would print its usage and exit."""

    def __init__(self, **settings: Any) -> None:
        """Take what ArgumentParser takes, by name."""
        # An abbreviation that works today is ambiguous tomorrow.
        super().__init__(**settings, allow_abbrev=False)

    def error(self, message: str) -> NoReturn:
        """Raise UsageError."""
        raise UsageError(message, f"'{self.prog} --help' shows how it is used")

    def refuse(self, unknown: list[str]) -> NoReturn:
        """Raise UsageError for arguments that nobody wanted, with the nearest known option."""
        option = unknown[0].partition("=")[0]
        if not option.startswith("-"):
            self.error(f"unexpected argument '{option}'")
        near = difflib.get_close_matches(option, self._option_string_actions, n=1)
        hint = f"did you mean '{near[0]}'? " if near else ""
        raise UsageError(f"unknown option '{option}'", f"{hint}'{self.prog} --help' lists the options")


def add_debug(parser: argparse.ArgumentParser) -> None:
    """The option that every command has."""
    parser.add_argument("--debug", action="store_true", help="show the traceback of an error")


def items(text: str) -> list[str]:
    """A comma list, for options that take several values."""
    return [item.strip() for item in text.split(",") if item.strip()]
