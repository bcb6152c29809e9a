"""How many pages a second there were lately."""

from __future__ import annotations

import time
from collections import deque

SECONDS = 60.0
MOST = 10_000  # pages that are remembered


class Pace:
    """Told of pages in one thread, asked in any."""

    def __init__(self) -> None:
        self._times: deque[float] = deque(maxlen=MOST)

    def page(self) -> None:
        """One more page."""
        self._times.append(time.monotonic())

    def rate(self) -> float:
        """Pages a second over the last minute, or since the first of them if that is less; 0 without any."""
        now = time.monotonic()
        try:
            while now - self._times[0] > SECONDS:
                self._times.popleft()
            return len(self._times) / max(1.0, now - self._times[0])
        except IndexError:  # there are none, or another thread asked in this moment
            return 0.0
