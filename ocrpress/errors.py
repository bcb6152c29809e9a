"""The exception tree. A class owns its exit code, its HTTP status and its advice; one handler at the edge prints them.

OcrpressError
├── UsageError        exit 2   the command or an option is wrong, or its output place cannot be used
│   ├── OutputError   exit 2   the output cannot be written
│   └── LedgerError   exit 2   the record of a batch is damaged, or of another version
├── InputError        exit 3   the input cannot be read
│   └── PasswordError exit 3   the document is encrypted
├── PageError         (none)   one page cannot be read: recorded in its PageResult, never raised to the user
└── EngineError       exit 4   the engine cannot run here
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable
from typing import ClassVar


class OcrpressError(Exception):
    """Base of all errors that ocrpress raises on purpose.

    Args:
        message: what went wrong and with which thing, in one line.
        advice: what the user can do about it, in one line; the class has a default.
    """

    exit_code: ClassVar[int] = 1
    http_status: ClassVar[int] = 500
    default_advice: ClassVar[str] = ""

    def __init__(self, message: str, advice: str | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.advice = self.default_advice if advice is None else advice

    def __str__(self) -> str:
        return " ".join(f"{self.message}: {self.advice}".split()) if self.advice else " ".join(self.message.split())

    def __reduce__(self) -> tuple[type[OcrpressError], tuple[str, str]]:
        return type(self), (self.message, self.advice)


class UsageError(OcrpressError):
    """An option or argument is wrong."""

    exit_code = 2
    http_status = 400


class OutputError(UsageError):
    """The output cannot be written: no permission, a folder in the way, a full disk."""

    http_status = 507
    default_advice = "choose another place with -o, or make room there"


class LedgerError(UsageError):
    """The record of a batch cannot be used: it is damaged, or another version of ocrpress made it."""

    http_status = 500
    default_advice = "run the batch again with --rebuild to make a new one from the outputs"


class InputError(OcrpressError):
    """The input cannot be read at all."""

    exit_code = 3
    http_status = 422


class PasswordError(InputError):
    """The document is encrypted and the password is missing or wrong."""

    default_advice = "give the right one with --password"


class PageError(OcrpressError):
    """One page cannot be read. The document goes on; the page's result says so."""

    http_status = 422


class EngineError(OcrpressError):
    """The engine cannot run here."""

    exit_code = 4
    http_status = 503
    default_advice = "'ocrpress doctor' says what is missing"


def unknown(kind: str, name: str, known: Iterable[str]) -> UsageError:
    """A UsageError for a name that is not known, with the nearest known name.

    >>> str(unknown("mode", "larg", ["base", "large"]))
    "unknown mode 'larg': did you mean 'large'? Known: base, large"
    """
    names = list(known)
    near = difflib.get_close_matches(name, names, n=1)
    hint = f"did you mean '{near[0]}'? " if near else ""
    return UsageError(f"unknown {kind} '{name}'", f"{hint}Known: {', '.join(names)}")
