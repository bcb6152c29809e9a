"""Text to standard output: always UTF-8, and a reader that has gone away or a full disk is noticed here."""

from __future__ import annotations

import contextlib
import os
import sys

from ocrpress.errors import OutputError


def write_stdout(text: str) -> None:
    """Write text to stdout as UTF-8, whatever the locale says.

    Raises:
        BrokenPipeError: the reader has gone (`| head`).
        OutputError: it is closed, or on a full disk.
    """
    if sys.stdout is None:
        raise OutputError("the standard output is closed", "write to a file with -o")
    try:
        sys.stdout.flush()
        buffer = getattr(sys.stdout, "buffer", None)
        if buffer is None:
            sys.stdout.write(text)
        else:
            buffer.write(text.encode("utf-8", "replace"))
            buffer.flush()
    except BrokenPipeError:
        _silence()
        raise
    except (OSError, ValueError) as error:
        _silence()
        reason = getattr(error, "strerror", None) or error
        raise OutputError(f"cannot write to the standard output ({reason})", "write to a file with -o") from error


def _silence() -> None:
    """What is still buffered goes nowhere, so that the interpreter does not fail on it when it ends."""
    with contextlib.suppress(OSError, ValueError):
        null = os.open(os.devnull, os.O_WRONLY)
        os.dup2(null, sys.stdout.fileno())
        os.close(null)
