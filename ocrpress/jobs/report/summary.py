"""How far a batch is, how fast, and what failed: the ledger in figures. Reads only, and works while a run writes."""

from __future__ import annotations

import json
import sqlite3
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from ocrpress.jobs.ledger.book import read_ledger
from ocrpress.jobs.ledger.lock import Holder, holder
from ocrpress.jobs.ledger.schema import LEDGER, LOCK, connect_to_read, damaged, state_folder, translated
from ocrpress.jobs.report.failures import Failures, find_failures, shown_name
from ocrpress.jobs.report.tallies import Connect, Counts, Timing, tally
from ocrpress.jobs.report.words import SECONDS_A_DAY

State = Literal["running", "stopped", "finished"]

RECENT = 60.0  # seconds
# Exit codes of runs that came to their end: all pages; some failed; no input could be read.
_ENDED_WELL = frozenset({0, 1, 3})


@dataclass(frozen=True)
class Documents:
    """Documents by state. `with_failed_pages` are among those done."""

    found: int = 0
    done: int = 0
    with_failed_pages: int = 0
    open: int = 0
    waiting: int = 0
    failed: int = 0


@dataclass(frozen=True)
class Pages:
    """Pages by state.

    Attributes:
        known: of the documents that were opened; `left` of them have no result yet.
        expected: with those of the documents that wait, if they are as long as the others are on average.
        substitute: read by the engine of last resort.
        retried: asked for more than once.
    """

    known: int = 0
    ok: int = 0
    blank: int = 0
    failed: int = 0
    left: int = 0
    expected: int = 0
    substitute: int = 0
    retried: int = 0

    @property
    def finished(self) -> int:
        """Those that have a result."""
        return self.ok + self.blank + self.failed


@dataclass(frozen=True)
class Rate:
    """Pages in so many seconds of reading: pauses between runs are left out."""

    pages: int
    seconds: float

    @property
    def a_second(self) -> float:
        """Pages a second; 0 if no time has passed."""
        return self.pages / self.seconds if self.seconds > 0 else 0.0

    @property
    def a_day(self) -> float:
        """Pages a day."""
        return self.a_second * SECONDS_A_DAY


@dataclass(frozen=True)
class Run:
    """One run of `ocrpress batch`.

    Attributes:
        started, ended, beat: seconds since 1970; `beat` is its last sign of life; `ended` is None if it has not, or
            was killed.
        pages, failed, documents: finished in this run.
        about: engine, mode, format, inputs, version, command; what of it is known.
    """

    started: float
    ended: float | None
    beat: float
    pid: int
    pages: int
    failed: int
    documents: int
    exit_code: int | None
    about: Mapping[str, Any]

    @property
    def seconds(self) -> float:
        """How long it has run, as far as is known."""
        return max(0.0, (self.ended or self.beat) - self.started)


@dataclass(frozen=True)
class SlowPage:
    """A page that took long."""

    document: str
    number: int
    seconds: float
    state: str
    engine: str
    mode: str
    attempts: int


@dataclass(frozen=True)
class Tokens:
    """Tokens of all pages; `output` is None for engines without tokens."""

    vision: int = 0
    sequence: int = 0
    output: int | None = None


@dataclass(frozen=True)
class Summary:
    """A batch in figures.

    Attributes:
        state: "running" (somebody holds the lock), "finished" (everything found is settled), or "stopped".
        now: when this was found out, in seconds since 1970.
        run: the newest; None if there was none yet. `runs` counts them all.
        recent: rate in the last minute of the newest run; `overall` over all runs.
        seconds_left: until the expected pages are read, at the recent rate; None unless it is running.
        stages: seconds by stage, over the pages of all runs; they overlap.
        options: what the documents are read with, and how many with that; most frequent first.
    """

    folder: str
    state: State
    now: float
    run: Run | None
    runs: int
    documents: Documents
    pages: Pages
    recent: Rate
    overall: Rate
    seconds_left: float | None
    timing: Timing | None
    stages: Mapping[str, float]
    tokens: Tokens
    slowest: tuple[SlowPage, ...]
    failures: Failures = field(default_factory=Failures)
    options: tuple[tuple[Mapping[str, Any], int], ...] = ()

    @property
    def is_well(self) -> bool:
        """Has nothing failed, and was no run broken off?"""
        broken_off = self.state == "stopped" or (self.run is not None and bool(self.run.exit_code))
        return not (self.documents.failed or self.pages.failed or broken_off)


def summarise(folder: Path, now: float | None = None) -> Summary:
    """What the ledger of an output folder says.

    Args:
        now: seconds since 1970, if another time than the present is meant.

    Raises:
        UsageError: there is no ledger.
        LedgerError: it is damaged, or of another version.
        OutputError: the disk does not let it be read.
    """
    path = state_folder(folder) / LEDGER
    try:
        with read_ledger(folder) as ledger, translated(path):
            lock = holder(state_folder(folder) / LOCK)
            ledger.connection.execute("BEGIN")  # everything is seen as it is at this moment
            return _summarise(ledger.connection, lambda: connect_to_read(path), folder, lock, now or time.time())
    except (TypeError, ValueError, AttributeError) as error:  # values that no ledger of ours has
        raise damaged(path, str(error)) from error


def _summarise(
    connection: sqlite3.Connection, connect: Connect, folder: Path, lock: Holder | None, now: float
) -> Summary:
    runs = _runs(connection)
    newest = max(runs, default=None)
    run = runs[newest] if newest is not None else None
    documents = _documents(connection)
    tallied = tally(connection, connect)
    counts = tallied.counts
    pages = _pages(connection, counts, documents)
    state = _state(run, lock, documents)
    recent = _recent(connection, run)
    overall = Rate(sum(each.pages for each in runs.values()), sum(each.seconds for each in runs.values()))
    to_come = pages.expected - pages.finished
    left = to_come / recent.a_second if state == "running" and recent.pages else None
    output = counts.output_tokens if counts.with_output else None
    return Summary(
        shown_name(bytes(folder)), state, now, run, len(runs), documents, pages, recent, overall, left, tallied.timing,
        _stages(connection), Tokens(counts.vision_tokens, counts.sequence_tokens, output),
        _slowest(connection, tallied.slowest), find_failures(connection, newest), _options(connection),
    )  # fmt: skip


def _state(run: Run | None, lock: Holder | None, documents: Documents) -> State:
    if lock and not (run and run.ended is not None and run.pid == lock.pid):
        return "running"  # a run that has ended may hold the lock while it writes its report
    ended = run is not None and run.ended is not None and run.exit_code in _ENDED_WELL
    return "finished" if ended and not documents.open + documents.waiting else "stopped"


def _runs(connection: sqlite3.Connection) -> dict[int, Run]:
    query = "SELECT id, started, ended, beat, pid, pages, failed, documents, exit_code, about FROM runs"
    found: dict[int, Run] = {}
    for identity, *figures, about in connection.execute(query):
        values: list[Any] = [*figures, _object(about)]
        found[identity] = Run(*values)
    return found


def _documents(connection: sqlite3.Connection) -> Documents:
    by_state = dict(connection.execute("SELECT state, COUNT(*) FROM documents GROUP BY state").fetchall())
    (marred,) = connection.execute(
        "SELECT COUNT(*) FROM documents WHERE state = 'done' AND failed_pages > 0"
    ).fetchone()
    return Documents(found=sum(by_state.values()), with_failed_pages=marred, **by_state)


def _pages(connection: sqlite3.Connection, counts: Counts, documents: Documents) -> Pages:
    query = """SELECT COALESCE(SUM(page_count), 0) - (SELECT COUNT(*) FROM pages WHERE document IN
        (SELECT id FROM documents WHERE state = 'open')) FROM documents WHERE state = 'open'"""
    left = max(0, connection.execute(query).fetchone()[0])
    known = counts.pages + left
    opened = documents.done + documents.open
    expected = known + round(documents.waiting * known / opened) if opened else known
    ok = counts.pages - counts.blank - counts.failed
    return Pages(known, ok, counts.blank, counts.failed, left, expected, counts.substitute, counts.retried)


def _recent(connection: sqlite3.Connection, run: Run | None) -> Rate:
    """The last minute of a run; few documents can have pages of it."""
    if run is None:
        return Rate(0, 0.0)
    end = run.ended or run.beat
    start = max(end - RECENT, run.started)
    query = """SELECT COUNT(*) FROM pages WHERE document IN
        (SELECT id FROM documents WHERE state = 'open' OR finished > ?) AND finished > ? AND finished <= ?"""
    return Rate(connection.execute(query, (start, start, end)).fetchone()[0], end - start)


def _stages(connection: sqlite3.Connection) -> dict[str, float]:
    """Longest first."""
    sums: dict[str, float] = {}
    for (stages,) in connection.execute("SELECT stages FROM runs"):
        for name, seconds in _object(stages).items():
            sums[name] = sums.get(name, 0.0) + float(seconds)
    return dict(sorted(sums.items(), key=lambda item: -item[1]))


def _slowest(connection: sqlite3.Connection, found: Sequence[tuple[float, int, int]]) -> tuple[SlowPage, ...]:
    query = """SELECT name, pages.state, engine, mode, attempts FROM pages JOIN documents ON documents.id = document
      WHERE document = ? AND number = ?"""
    slowest = []
    for seconds, document, number in found:
        for name, *rest in connection.execute(query, (document, number)):
            slowest.append(SlowPage(shown_name(name), number, seconds, *rest))
    return tuple(slowest)


def _options(connection: sqlite3.Connection) -> tuple[tuple[Mapping[str, Any], int], ...]:
    query = """SELECT json, COUNT(*) FROM documents JOIN options ON options.digest = documents.options
      GROUP BY documents.options ORDER BY 2 DESC"""
    return tuple((_object(text), count) for text, count in connection.execute(query))


def _object(text: str) -> dict[str, Any]:
    """A JSON object. Raises ValueError for any other text."""
    found = json.loads(text)
    if not isinstance(found, dict):
        raise ValueError("a text in it is no JSON object")
    return found
