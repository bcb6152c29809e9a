"""Seconds by stage, on the device's own clock: kernels of CUDA run on after the call that started them returns."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import torch


class Timing:
    """How long one piece of work took on the device's current stream."""

    def __init__(self, on_gpu: bool) -> None:
        self._events = (torch.cuda.Event(enable_timing=True), torch.cuda.Event(enable_timing=True)) if on_gpu else None
        self._seconds = 0.0

    def start(self) -> None:
        """The work begins."""
        if self._events:
            self._events[0].record()
        self._seconds = -time.perf_counter()

    def stop(self) -> None:
        """The work has been handed to the device, or is done."""
        self._seconds += time.perf_counter()
        if self._events:
            self._events[1].record()

    @property
    def over(self) -> bool:
        """Whether asking for the seconds makes nobody wait."""
        events = self._events
        return events is None or events[1].query()

    @property
    def seconds(self) -> float:
        """Waits for the work to be done."""
        if events := self._events:  # another thread may ask, too
            events[1].synchronize()
            self._seconds = events[0].elapsed_time(events[1]) / 1000
            self._events = None
        return self._seconds


@dataclass(frozen=True)
class Share:
    """An equal part of a piece of work done for several pages at once."""

    timing: Timing
    pages: int

    @property
    def seconds(self) -> float:
        """Waits for the work to be done."""
        return self.timing.seconds / self.pages


class Stopwatch:
    """Sums up seconds by stage. What runs side by side on two streams is counted in both."""

    def __init__(self, device: torch.device) -> None:
        self._on_gpu = device.type == "cuda"
        self._totals: dict[str, float] = {}
        self._pending: deque[tuple[str, Timing]] = deque()

    @contextmanager
    def measure(self, stage: str) -> Iterator[Timing]:
        """Time what is done inside; counted even if it fails."""
        timing = Timing(self._on_gpu)
        timing.start()
        try:
            yield timing
        finally:
            timing.stop()
            self._pending.append((stage, timing))
            while self._pending and self._pending[0][1].over:
                self._count(*self._pending.popleft())

    def totals(self) -> dict[str, float]:
        """Seconds by stage so far; waits for what is under way."""
        while self._pending:
            self._count(*self._pending.popleft())
        return dict(self._totals)

    def _count(self, stage: str, timing: Timing) -> None:
        self._totals[stage] = self._totals.get(stage, 0.0) + timing.seconds
