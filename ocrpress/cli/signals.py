"""Ctrl-C and SIGTERM: the first ends reading and lets finished pages be written, the second ends the program."""

from __future__ import annotations

import os
import signal
import threading
from typing import TYPE_CHECKING, Self

from ocrpress.output import discard_unfinished

if TYPE_CHECKING:
    from types import FrameType, TracebackType

_SIGNALS = (signal.SIGINT, signal.SIGTERM)


class Interrupted(KeyboardInterrupt):
    """A signal asked to stop. Like its parent it passes every `except Exception`."""

    def __init__(self, number: int) -> None:
        """Args: number of the signal."""
        super().__init__(number)
        self.number = number


def exit_code_of(error: KeyboardInterrupt) -> int:
    """The exit code that shells expect of a program ended by this signal: 130 for Ctrl-C, 143 for SIGTERM."""
    return 128 + (error.number if isinstance(error, Interrupted) else int(signal.SIGINT))


class Interruption:
    """Context in which the first signal raises Interrupted while `reading` is True, and else is kept in `number`.

    A second signal ends the program at once; hidden half-written files are removed.
    """

    def __init__(self) -> None:
        """Not listening yet: enter the context."""
        self.number: int | None = None
        self.reading = False
        self._before: dict[int, object] = {}

    def __enter__(self) -> Self:
        """Listen, if this is the thread that hears signals."""
        if threading.current_thread() is threading.main_thread():
            for number in _SIGNALS:
                self._before[number] = signal.signal(number, self._handle)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Give the signals back."""
        for number, handler in self._before.items():
            if handler is not None:  # it was not Python's
                signal.signal(number, handler)  # type: ignore[arg-type]

    def start(self) -> None:
        """From here on a signal raises; one that has come already raises now."""
        self.reading = True
        self.check()

    def check(self) -> None:
        """Raise Interrupted if a signal has come."""
        if self.number is not None:
            raise Interrupted(self.number)

    def _handle(self, number: int, frame: FrameType | None) -> None:
        if self.number is not None:
            discard_unfinished()
            os._exit(128 + number)
        self.number = number
        if self.reading:
            self.reading = False
            raise Interrupted(number)
