"""A job as clients see it: how far it is, by the ledger, and the JSON of it."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from ocrpress.errors import LedgerError
from ocrpress.jobs.ledger.values import as_numbers
from ocrpress.server.door.problems import describe
from ocrpress.server.jobs.course import as_error

if TYPE_CHECKING:
    from ocrpress.jobs.ledger.book import ReadLedger
    from ocrpress.server.jobs.index import State
    from ocrpress.server.jobs.record import Record

PREFIX = "/v1/jobs"
_STATES: dict[str, State] = {"waiting": "waiting", "open": "reading", "done": "done", "failed": "failed"}


@dataclass(frozen=True)
class Progress:
    """How far a job is.

    Attributes:
        document: its number in the ledger; 0 if it is not there (yet).
        numbers: the pages that are to be read; none before that is known.
        order: those that were, in the order in which they came.
        failed: how many of these failed.
        error, cause: why it failed as a whole.
        finished: seconds since 1970.
    """

    document: int = 0
    state: State = "waiting"
    numbers: tuple[int, ...] = ()
    order: tuple[int, ...] = ()
    failed: int = 0
    error: str = ""
    cause: str = ""
    finished: float | None = None


def progress(ledger: ReadLedger, job: str) -> Progress:
    """What the ledger says of a job. Raises LedgerError, OutputError."""
    entry = ledger.find(job)
    if entry is None:
        return Progress()
    rows = ledger.rows("SELECT number, state FROM pages WHERE document = ? ORDER BY finished, number", (entry.id,))
    try:
        numbers = tuple(as_numbers(entry.numbers))
    except ValueError as error:
        raise LedgerError(f"the pages of job {job} are damaged ({error})") from error
    order, failed = tuple(number for number, _ in rows), sum(state == "failed" for _, state in rows)
    return Progress(
        entry.id, _STATES[entry.state], numbers, order, failed, entry.error, entry.cause, entry.finished
    )  # fmt: skip


def as_object(
    record: Record, found: Progress, compression: dict[str, Any] | None, keep_seconds: float
) -> dict[str, Any]:
    """The JSON of a job."""
    numbers = found.numbers or record.numbers
    error = describe(as_error(found.error, found.cause)) if found.state == "failed" else None
    if error:
        error.pop("instance", None)  # that of the request that asks
    self = f"{PREFIX}/{record.id}"
    return {
        "id": record.id,
        "name": record.name,
        "state": found.state,
        "created": iso(record.created),
        "finished": None if found.finished is None else iso(found.finished),
        "expires": None if found.finished is None else iso(found.finished + keep_seconds),
        "engine": record.engine,
        "mode": record.options.mode,
        "format": record.format,
        "pages": None if numbers is None else list(numbers),
        "page_count": None if numbers is None else len(numbers),
        "pages_done": len(found.order),
        "failed_pages": found.failed,
        "error": error,
        "compression": compression,
        "links": {"self": self, "result": f"{self}/result", "events": f"{self}/events", "modes": f"{self}/modes"},
    }


def iso(seconds: float) -> str:
    """A time in UTC, to the millisecond.

    >>> iso(0.25)
    '1970-01-01T00:00:00.250Z'
    """
    return datetime.fromtimestamp(seconds, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
