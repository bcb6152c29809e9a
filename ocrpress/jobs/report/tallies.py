"""One look at every page row of a ledger: counts, tokens, seconds a page. Knows nothing of runs, files or people.

A ledger of millions of pages is read by several threads, each its own range of documents; SQLite works outside the
interpreter's lock.
"""

from __future__ import annotations

import heapq
import os
import sqlite3
from bisect import bisect_right
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import dataclass, fields
from statistics import median
from typing import Any

Connect = Callable[[], sqlite3.Connection]

PARALLEL_FROM = 400_000  # pages
MOST_THREADS = 8
SAMPLE = 200_000  # pages whose seconds are looked at one by one; of more, every second, third, …
ENOUGH = 1000  # documents make a sample
SLOWEST = 10
# Upper edges of the histogram, evenly spread as logarithms go: 1 ms, 1.5, 2, 3, 5, 7, 10, … to a day.
_STEPS = (1.0, 1.5, 2.0, 3.0, 5.0, 7.0)
EDGES = tuple(float(f"{step}e{power}") for power in range(-3, 5) for step in _STEPS)

# For millions of rows every function costs: a FILTER spares the call where SUM(condition) would make it.
_SUMS = """SELECT COUNT(*), COUNT(*) FILTER (WHERE state = 'blank'), COUNT(*) FILTER (WHERE state = 'failed'),
  COUNT(*) FILTER (WHERE fallback), COUNT(*) FILTER (WHERE attempts > 1),
  SUM(vision_tokens), SUM(sequence_tokens), SUM(output_tokens), COUNT(output_tokens),
  SUM(seconds), SUM(seconds) FILTER (WHERE state = 'failed') FROM pages WHERE document BETWEEN ? AND ?"""
# The sample: whole documents where there are enough of them, which spares looking at the others at all; else pages.
_OF_DOCUMENTS = """SELECT seconds FROM pages
  WHERE document IN (SELECT id FROM documents WHERE id BETWEEN ? AND ? AND id % ? = 0)
  AND state <> 'failed' AND seconds IS NOT NULL"""
_OF_PAGES = """SELECT seconds FROM pages WHERE document BETWEEN ? AND ? AND (document + number) % ? = 0
  AND state <> 'failed' AND seconds IS NOT NULL"""
_SLOWEST = """SELECT seconds, document, number FROM pages WHERE document BETWEEN ? AND ? AND seconds >= ?
  ORDER BY seconds DESC LIMIT ?"""


@dataclass(frozen=True)
class Counts:
    """Pages that have a result, and sums over them.

    Attributes:
        pages: all of them; `blank` and `failed` are among them.
        substitute: read by the engine of last resort.
        retried: asked for more than once.
        vision_tokens, sequence_tokens, output_tokens: of all pages; `with_output` says how many pages told the last.
        seconds: of the pages that did not fail.
    """

    pages: int = 0
    blank: int = 0
    failed: int = 0
    substitute: int = 0
    retried: int = 0
    vision_tokens: int = 0
    sequence_tokens: int = 0
    output_tokens: int = 0
    with_output: int = 0
    seconds: float = 0.0

    def __add__(self, other: Counts) -> Counts:
        return Counts(*(getattr(self, item.name) + getattr(other, item.name) for item in fields(Counts)))


@dataclass(frozen=True)
class Bin:
    """Pages that took `low` seconds or more and less than `high`."""

    low: float
    high: float
    pages: int


@dataclass(frozen=True)
class Timing:
    """Seconds a page, over the pages that did not fail.

    Attributes:
        mean: over all of them.
        looked_at: pages that the other figures are taken from: all of them, or of very many an even sample.
        p95: as long took 95 of 100 pages at most.
        bins: the histogram, from the first to the last that is not empty.
    """

    mean: float
    median: float
    p95: float
    looked_at: int
    sampled: bool
    bins: tuple[Bin, ...]


@dataclass(frozen=True)
class Tally:
    """What all page rows together say; `slowest` is (seconds, document's number in the ledger, page), slowest first."""

    counts: Counts
    timing: Timing | None
    slowest: tuple[tuple[float, int, int], ...]


def tally(connection: sqlite3.Connection, connect: Connect) -> Tally:
    """Read every page row a few times.

    Args:
        connection: of the ledger; where there are few pages, all is read through it, in its transaction.
        connect: makes more of them, for threads.
    """
    pages = connection.execute("SELECT COUNT(*) FROM pages").fetchone()[0]  # by itself: it need not decode a row
    if not pages:
        return Tally(Counts(), None, ())
    low, high = connection.execute(
        "SELECT (SELECT MIN(document) FROM pages), (SELECT MAX(document) FROM pages)"
    ).fetchone()
    every = -(-pages // SAMPLE)
    ranges = _ranges(low, high, min(_cores(), MOST_THREADS) if pages >= PARALLEL_FROM else 1)
    if len(ranges) == 1:
        parts = [_read(connection, ranges[0], every)]
    else:
        with ThreadPoolExecutor(len(ranges)) as threads:
            parts = list(threads.map(lambda span: _read_apart(connect, span, every), ranges))
    counts = sum((part[0] for part in parts), Counts())
    seconds = sorted(value for part in parts for value in part[1])
    slowest = heapq.nlargest(SLOWEST, (row for part in parts for row in part[2]))
    return Tally(counts, timing(seconds, counts, every > 1), tuple(slowest))


def timing(seconds: Sequence[float], counts: Counts, sampled: bool) -> Timing | None:
    """Mean, median and spread; None where no page was read.

    Args:
        seconds: rising.
    """
    if not seconds:
        return None
    p95 = seconds[-(-95 * len(seconds) // 100) - 1]
    mean = counts.seconds / (counts.pages - counts.failed)
    return Timing(mean, median(seconds), p95, len(seconds), sampled, histogram(seconds))


def histogram(seconds: Iterable[float]) -> tuple[Bin, ...]:
    """Bins whose edges are `EDGES`, from the first to the last that is not empty."""
    found = [0] * (len(EDGES) + 1)
    for value in seconds:
        found[bisect_right(EDGES, value)] += 1
    filled = [index for index, pages in enumerate(found) if pages]
    lows, highs = (0.0, *EDGES), (*EDGES, float("inf"))
    return tuple(Bin(lows[i], highs[i], found[i]) for i in range(filled[0], filled[-1] + 1)) if filled else ()


_Part = tuple[Counts, list[float], list[tuple[float, int, int]]]


def _read(connection: sqlite3.Connection, span: tuple[int, int], every: int) -> _Part:
    # A sum over nothing is NULL.
    *sums, seconds, lost = (value or 0 for value in connection.execute(_SUMS, span).fetchone())
    figures: list[Any] = [*sums, seconds - lost]
    many = span[1] - span[0] >= ENOUGH * every
    rows = connection.execute(_OF_DOCUMENTS if many else _OF_PAGES, (*span, every))
    values = sorted(row[0] for row in rows)
    least = values[-SLOWEST] if len(values) >= SLOWEST else 0.0  # so many are as slow as this, or slower
    return Counts(*figures), values, connection.execute(_SLOWEST, (*span, least, SLOWEST)).fetchall()


def _read_apart(connect: Connect, span: tuple[int, int], every: int) -> _Part:
    with closing(connect()) as connection:
        return _read(connection, span, every)


def _ranges(low: int, high: int, parts: int) -> list[tuple[int, int]]:
    """The whole numbers from low to high, in so many even parts or fewer."""
    size = -(-(high - low + 1) // parts)
    return [(start, min(start + size - 1, high)) for start in range(low, high + 1, size)]


def _cores() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
