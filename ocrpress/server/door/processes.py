"""What the processes below this one take of memory and processor: the reading process, and those that draw for it.

Asks Linux's /proc; where there is none, there is nothing to say. Knows nothing of what they do.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily
from prometheus_client.registry import Collector

if TYPE_CHECKING:
    from prometheus_client.metrics_core import Metric

PROC = Path("/proc")
# Places in /proc/PID/stat behind the name, which may hold anything: see proc(5), from field 3 on.
_PARENT, _USER, _SYSTEM, _USER_BELOW, _SYSTEM_BELOW, _PAGES = 1, 11, 12, 13, 14, 21


@dataclass(frozen=True)
class Taken:
    """By one process: seconds of processor; those of processes that it has waited for; bytes of memory."""

    parent: int
    seconds: float
    seconds_below: float
    resident: int


def processes(proc: Path = PROC) -> dict[int, Taken]:
    """All that may be looked at, by number."""
    ticks, page, found = os.sysconf("SC_CLK_TCK"), os.sysconf("SC_PAGESIZE"), {}
    for stat in proc.glob("[0-9]*/stat"):
        try:
            fields = stat.read_bytes().rpartition(b")")[2].split()
        except OSError:  # it has ended, or belongs to somebody else
            continue
        own = int(fields[_USER]) + int(fields[_SYSTEM])
        below = int(fields[_USER_BELOW]) + int(fields[_SYSTEM_BELOW])
        found[int(stat.parent.name)] = Taken(
            int(fields[_PARENT]), own / ticks, below / ticks, int(fields[_PAGES]) * page
        )
    return found


def descendants(found: Mapping[int, Taken], root: int) -> list[Taken]:
    """The processes below one."""
    children: dict[int, list[int]] = {}
    for number, process in found.items():
        children.setdefault(process.parent, []).append(number)
    below, looked_at = [], [root]
    for number in looked_at:
        looked_at += children.get(number, ())
        below += [found[child] for child in children.get(number, ())]
    return below


class Workers(Collector):
    """The processes below this one, as metrics.

    The seconds count the processes that have ended, too, so that they never fall: also when one goes with seconds of
    others that it never waited for, which /proc then no longer tells.

    Args:
        name: what the metrics' names begin with.
    """

    def __init__(self, name: str) -> None:
        self._name = name
        self._lock = threading.Lock()
        self._told = 0.0  # by /proc, the last time
        self._gone = 0.0  # what it told once and no longer does

    def collect(self) -> Iterator[Metric]:
        """See Collector."""
        with self._lock:  # so that what is told later was also read later
            found = processes()
            own = found.get(os.getpid())
            if own is None:
                return
            below = descendants(found, os.getpid())
            told = own.seconds_below + sum(process.seconds + process.seconds_below for process in below)
            self._gone += max(0.0, self._told - told)
            self._told = told
            seconds = told + self._gone
        resident = sum(process.resident for process in below)
        name = self._name
        yield GaugeMetricFamily(name, "Processes that read and draw pages.", len(below))
        yield GaugeMetricFamily(f"{name}_resident_memory_bytes", "Their resident memory, shared parts twice.", resident)
        yield CounterMetricFamily(f"{name}_cpu_seconds", "Processor time of theirs, also of those that ended.", seconds)
