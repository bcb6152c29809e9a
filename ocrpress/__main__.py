"""`ocrpress` and `python -m ocrpress`: the one place where an exception becomes a line on stderr and an exit code."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

from ocrpress.errors import OcrpressError

if TYPE_CHECKING:
    from collections.abc import Sequence


def main(argv: Sequence[str] | None = None) -> int:
    """Run a command line and return its exit code: 0 all pages, 1 some failed, 2 usage, 3 input, 4 engine."""
    arguments = sys.argv[1:] if argv is None else list(argv)
    debug = "--debug" in arguments
    try:
        from ocrpress.cli.main import run

        return run(arguments)
    except OcrpressError as error:
        return _report(error, debug)
    except KeyboardInterrupt as error:
        from ocrpress.cli.signals import exit_code_of

        return exit_code_of(error)
    except BrokenPipeError:
        return 0  # whoever read our output has read enough
    except Exception as error:
        return _report(error, debug)


def _report(error: Exception, debug: bool) -> int:
    from ocrpress.cli.say import say_error

    return say_error(error, debug)


if __name__ == "__main__":
    sys.exit(main())
