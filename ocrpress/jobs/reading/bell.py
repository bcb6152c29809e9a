"""Wakes a thread that waits for bytes from a process. Knows nothing of either."""

from __future__ import annotations

import contextlib
import os
import select


class Bell:
    """Rung by any thread, heard by one. Its pipe goes with it.

    Attributes:
        fileno: readable from when it is rung until it is silenced.
    """

    def __init__(self) -> None:
        self.fileno, self._hammer = os.pipe()
        os.set_blocking(self.fileno, False)
        os.set_blocking(self._hammer, False)
        self._heard = False

    def ring(self) -> None:
        """Wake who waits, or who will wait next."""
        with contextlib.suppress(BlockingIOError):  # it has been rung many times: that will do
            os.write(self._hammer, b"!")

    def silence(self) -> None:
        """It was heard."""
        with contextlib.suppress(BlockingIOError):
            self._heard = bool(os.read(self.fileno, 4096))

    def heard(self) -> bool:
        """Was it heard since this was asked last?"""
        heard, self._heard = self._heard, False
        return heard

    def wait(self, seconds: float) -> None:
        """Until it is rung, at most so long."""
        poll = select.poll()
        poll.register(self.fileno, select.POLLIN)
        if poll.poll(round(seconds * 1000)):
            self.silence()

    def __del__(self) -> None:
        """Close the pipe."""
        for descriptor in (self.fileno, self._hammer):
            with contextlib.suppress(OSError):
                os.close(descriptor)
