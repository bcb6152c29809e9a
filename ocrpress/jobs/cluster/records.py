"""Records of pages in Parquet files: what a cluster has read, and enough to make the ledger of a batch again from it.

A row is a page, or (number 0) a document that could not be read. `result` holds the page as `codec` writes it; `about`
says which document it is of, as JSON: the ledger's name, path, output, stamp and options. Names in both are as JSON
writes them: bytes that are no UTF-8 are lone surrogates, escaped; in the column `name` they are replaced.

Files are never changed. Their names begin with the run's, so that sorted they are in the order of time: of two records
of a page the later one counts.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from io import BytesIO
from typing import TYPE_CHECKING, Any

from ocrpress.document import PageResult
from ocrpress.errors import InputError, UsageError
from ocrpress.jobs.ledger import codec
from ocrpress.jobs.ledger.values import Stamp, as_numbers
from ocrpress.jobs.urls.files import get_all, joined

if TYPE_CHECKING:
    import pyarrow as pa

    from ocrpress.jobs.ledger.book import Ledger
    from ocrpress.jobs.ledger.finished import Finished
    from ocrpress.jobs.ledger.values import Entry

ENDING = ".parquet"
COLUMNS = (
    "name", "number", "status", "engine", "mode", "vision_tokens", "sequence_tokens", "output_tokens", "seconds",
    "error", "cause", "numbers", "about", "result",
)  # fmt: skip


@dataclass(frozen=True)
class Record:
    """A page, or a document that could not be read (`result` is None).

    Attributes:
        about: the document, as `about_entry` tells it.
        numbers: the pages of the document that were to be read with this one, as ranges.
        error, cause: of a document that could not be read; of a page, what no attempt of it tells.
    """

    about: Mapping[str, Any]
    numbers: str = ""
    result: PageResult | None = None
    error: str = ""
    cause: str = ""


def about_entry(entry: Entry) -> dict[str, Any]:
    """What the records of a document say of it."""
    stamp = entry.stamp
    return {
        "name": entry.name, "path": entry.path, "output": entry.output, "size": stamp.size, "mtime_ns": stamp.mtime_ns,
        "digest": stamp.digest, "options": entry.options, "numbers": entry.numbers,
    }  # fmt: skip


def record_file(run: str, records: Sequence[Record]) -> tuple[str, bytes]:
    """Name and contents of a file; the name is that of the run and of the pages."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    rows = [_row(record) for record in records]
    table = pa.Table.from_pylist(rows, _schema())
    data = BytesIO()
    pq.write_table(table, data, compression="zstd")
    pages = json.dumps([(row["about"], row["number"]) for row in rows])
    return f"{run}-{hashlib.sha256(pages.encode()).hexdigest()[:16]}{ENDING}", data.getvalue()


def read_records(data: bytes) -> Iterator[Record]:
    """The records of a file. Raises ValueError if it is none."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    columns = ["about", "numbers", "result", "error", "cause"]
    try:
        rows = pq.read_table(BytesIO(data), columns=columns).to_pylist()
    except (pa.ArrowException, OSError, KeyError) as error:
        raise ValueError(str(error)) from error
    for row in rows:
        result = codec.decode(row["result"]) if row["result"] is not None else None
        yield Record(json.loads(row["about"]), row["numbers"], result, row["error"], row["cause"])


def restore(ledger: Ledger, folder: str, written: Callable[[Entry], Finished | None]) -> int:
    """Put what the records of a folder say into a ledger that knows nothing yet; gives the number of documents.

    Args:
        folder: path or URL.
        written: of a document with all its pages, the output that stands where it belongs; None if none does.

    Raises:
        UsageError: pyarrow is not installed. InputError: the folder or a file of it cannot be read.
    """
    check_pyarrow()
    documents: set[int] = set()
    for name, data in get_all(folder, ENDING):
        try:
            for record in read_records(data):
                documents.add(_restore(ledger, record))
        except (ValueError, KeyError, TypeError) as error:
            raise InputError(
                f"{joined(folder, name)} is damaged ({error})", "remove it: its pages are read again"
            ) from error
        ledger.commit()
    for document in sorted(documents):
        with contextlib.suppress(KeyError):  # it was begun again since
            entry = ledger.entry(document)
            if entry.state == "open" and ledger.is_complete(document) and (output := written(entry)):
                failed = ledger.row("SELECT 1 FROM pages WHERE document = ? AND state = 'failed'", (document,))
                ledger.finish(document, output.output_bytes, output.output_digest, keep=failed is not None)
    ledger.commit()
    return len(documents)


def _restore(ledger: Ledger, record: Record) -> int:
    """Put a record into the ledger; gives the number of its document."""
    about = record.about
    stamp = Stamp(about["size"], about["mtime_ns"], about["digest"])
    entry = ledger.find(about["name"])
    if entry is None or (entry.stamp.digest, entry.options) != (stamp.digest, about["options"]):
        document = ledger.begin(about["name"], about["path"], about["output"], stamp, about["options"])
        entry = ledger.entry(document)
    if record.result is None:
        ledger.fail(entry.id, record.error, record.cause)
        return entry.id
    numbers = about["numbers"] or record.numbers
    if entry.state != "open" or entry.numbers != numbers:
        ledger.opened(entry.id, as_numbers(numbers))
    if not ledger.add_page(entry.id, record.result, record.cause) and _has_failed(ledger, entry.id, record.result):
        ledger.drop_failed(entry.id)  # it was read once more; so were, or will be, the others
        ledger.add_page(entry.id, record.result, record.cause)
    return entry.id


def _has_failed(ledger: Ledger, document: int, again: PageResult) -> bool:
    sql = "SELECT 1 FROM pages WHERE document = ? AND number = ? AND state = 'failed'"
    return again.status != "failed" and ledger.row(sql, (document, again.number)) is not None


def check_pyarrow() -> None:
    """Raise UsageError if pyarrow is not installed."""
    try:
        import pyarrow.parquet  # noqa: F401
    except ImportError as error:
        raise UsageError("records of pages need pyarrow", "install it with pip install 'ocrpress[cluster]'") from error


def _row(record: Record) -> dict[str, Any]:
    result, about = record.result, record.about
    plan = result.plan if result else None
    last = result.attempts[-1] if result and result.attempts else None
    return {
        "name": os.fsencode(about["name"]).decode(errors="replace"),
        "number": result.number if result else 0,
        "status": result.status if result else "failed",
        "engine": _clean(result.engine) if result else "",
        "mode": _clean(result.mode) if result else "",
        "vision_tokens": plan.vision_tokens if plan else None,
        "sequence_tokens": plan.sequence_tokens if plan else None,
        "output_tokens": last.output_tokens if last else None,
        "seconds": sum(result.seconds.values()) if result else 0.0,
        "error": _clean(result.error if result else record.error),
        "cause": _clean(record.cause),
        "numbers": record.numbers,
        "about": json.dumps(about),
        "result": codec.encode(result) if result else None,
    }


def _clean(text: str) -> str:
    """Text as UTF-8 can hold it."""
    return text.encode("utf-8", "surrogatepass").decode("utf-8", "replace")


@cache
def _schema() -> pa.Schema:
    import pyarrow as pa

    texts = dict.fromkeys(("name", "status", "engine", "mode", "error", "cause", "numbers", "about"), pa.string())
    counts = dict.fromkeys(("number", "vision_tokens", "sequence_tokens", "output_tokens"), pa.int32())
    kinds = {**texts, **counts, "seconds": pa.float64(), "result": pa.binary()}
    return pa.schema([(name, kinds[name]) for name in COLUMNS])
