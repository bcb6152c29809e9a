"""What goes to stderr: one line a message, whatever is in a file's name."""

from __future__ import annotations

import contextlib
import sys

from ocrpress.errors import OcrpressError


def say(message: str) -> None:
    """Print one line to stderr under the program's name; a stderr that is closed or full is nobody's error."""
    line = "".join(char if char.isprintable() else "\ufffd" for char in " ".join(message.split()))
    with contextlib.suppress(OSError, ValueError, AttributeError):
        print(f"ocrpress: {line}", file=sys.stderr, flush=True)


def say_error(error: Exception, debug: bool = False) -> int:
    """Print what went wrong and what to do about it; with debug the traceback first. Returns the exit code."""
    if debug:
        import traceback

        traceback.print_exception(error)
    if isinstance(error, OcrpressError):
        say(str(error))
        return error.exit_code
    again = "report it with the traceback above" if debug else "run again with --debug and report it"
    say(f"internal error: {type(error).__name__}: {error}: {again}")
    return 1
