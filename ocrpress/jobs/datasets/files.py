"""The files of a data set: many records in one, as JSON lines or Parquet, whole or not there. Knows no ledger.

Records are those of `ocrpress.writers.dolma`. A line of JSON holds one as it is. In Parquet (zstd) the columns are its
fields, `metadata` and `attributes` are structs, and a page's span is a struct of `start`, `end` and `page`. Files are
written and read record by record, or row group by row group: memory does not grow with the file.
"""

from __future__ import annotations

import contextlib
import io
import json
import re
from collections.abc import Callable, Container, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ocrpress.errors import UsageError, unknown
from ocrpress.output import writing
from ocrpress.writers.dolma import SOURCE

if TYPE_CHECKING:
    import pyarrow as pa

FORMATS = ("jsonl", "parquet")
GROUP_BYTES = 16 << 20  # of text in a row group of Parquet; a longer document is a group by itself
GROUP_RECORDS = 1000
_KEY_COLUMNS = ["id", "added", "source"]
PIECE = 1 << 20  # bytes that are written at once
_NAME = re.compile(rf"documents-(\d{{5,9}})\.({'|'.join(FORMATS)})")
# JSON needs no escape for these, but some programs take them for the end of a line.
_LINE_ENDS = ("\x85", "\u2028", "\u2029")

Record = dict[str, Any]


@dataclass(frozen=True)
class Key:
    """What tells one record from another, and from one that was made of another reading."""

    id: str
    added: str


def check_format(name: str) -> None:
    """Raise a UsageError for a format that is none of a data set, or that cannot be had here."""
    if name not in FORMATS:
        raise unknown("format of a data set", name, FORMATS)
    if name == "parquet":
        try:
            import pyarrow  # noqa: F401
        except ImportError as error:
            raise UsageError(f"Parquet needs pyarrow ({error})", "run: pip install 'ocrpress[parquet]'") from error


def shard_name(number: int, format: str) -> str:  # noqa: A002
    """The file name of a shard."""
    return f"documents-{number:05}.{format}"


def shard_files(folder: Path) -> dict[int, list[Path]]:
    """What has the name of a shard in a folder, by number; others may have put it there. Raises OSError."""
    found: dict[int, list[Path]] = {}
    for path in sorted(folder.iterdir()):
        if name := _NAME.fullmatch(path.name):
            found.setdefault(int(name[1]), []).append(path)
    return found


@contextlib.contextmanager
def writing_shard(path: Path) -> Iterator[Callable[[Record], None]]:
    """A new shard; it gets its name, which says the format, when the context ends without an error.

    Gives the function that adds a record. Raises OutputError.
    """
    with writing(path) as write:
        if path.suffix == ".jsonl":
            yield lambda record: write(_line(record))
        else:
            with _parquet(write, _schema()) as writer:
                group = _Group(writer)
                yield group.add
                group.flush()


def read_keys(path: Path) -> Iterator[Key]:
    """The keys of a shard's records, in order.

    Raises:
        ValueError: this is no file of records of ours.
        OSError: it cannot be read.
    """
    for record in _lines(path) if path.suffix == ".jsonl" else _key_columns(path):
        yield _key(record, path)


def copy_records(path: Path, wanted: Container[Key], to: Path) -> None:
    """Copy some of a shard's records into another of the same format, as they are.

    Raises:
        ValueError: this is no file of records of ours.
        OutputError: the copy cannot be written, or the shard not read.
    """
    with writing(to) as write:
        if path.suffix == ".jsonl":
            with path.open("rb") as stream:
                for line in stream:
                    if _key(json.loads(line), path) in wanted:
                        write(line)
            return
        with _opened(path) as file, _parquet(write, file.schema_arrow) as writer:
            for group in range(file.num_row_groups):
                table = file.read_row_group(group)
                keys = table.select(_KEY_COLUMNS).to_pylist()
                writer.write_table(table.filter([_key(key, path) in wanted for key in keys]))


def _key(record: Any, path: Path) -> Key:
    if not isinstance(record, dict) or record.get("source") != SOURCE:
        raise ValueError(f"{path.name} holds something that is no record of {SOURCE}")
    identity, added = record.get("id"), record.get("added")
    if not isinstance(identity, str) or not isinstance(added, str):
        raise ValueError(f"{path.name} holds a record without its id or its time")
    return Key(identity, added)


def _line(record: Record) -> bytes:
    text = json.dumps(record, ensure_ascii=False, allow_nan=False, separators=(",", ":"))
    for sign in _LINE_ENDS:
        text = text.replace(sign, f"\\u{ord(sign):04x}")
    return text.encode() + b"\n"


def _lines(path: Path) -> Iterator[Any]:
    with path.open("rb") as stream:
        for line in stream:
            yield json.loads(line)  # its errors are ValueErrors


def _key_columns(path: Path) -> Iterator[Any]:
    with _opened(path) as file:
        for batch in file.iter_batches(columns=_KEY_COLUMNS):
            yield from batch.to_pylist()


@contextlib.contextmanager
def _opened(path: Path) -> Iterator[Any]:
    """A file of Parquet. Raises ValueError if it is none, or damaged."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        with pq.ParquetFile(path) as file:
            yield file
    except (pa.ArrowException, KeyError) as error:
        raise ValueError(f"{path.name} is no file of records ({error})") from error


def _schema() -> pa.Schema:
    import pyarrow as pa

    text, number, truth = pa.string(), pa.int64(), pa.bool_()
    span = pa.struct([("start", number), ("end", number), ("page", number)])
    metadata = {
        "Source-File": text, "ocrpress-version": text, "engine": text, "mode": text, "complete": truth,
        "pdf-total-pages": number, "total-blank-pages": number, "total-failed-pages": number,
        "total-fallback-pages": number, "total-vision-tokens": number, "total-input-tokens": number,
        "total-output-tokens": number, "Source-SHA256": text, "Source-Bytes": number,
    }  # fmt: skip
    attributes = {
        "pdf_page_numbers": pa.list_(span), "page_status": pa.list_(text), "page_error": pa.list_(text),
        "rotation_correction": pa.list_(number),
    }  # fmt: skip
    return pa.schema({
        "id": text, "text": text, "source": text, "added": text, "created": text,
        "metadata": pa.struct(list(metadata.items())), "attributes": pa.struct(list(attributes.items())),
    })  # fmt: skip


class _Group:
    """Records on their way into a row group."""

    def __init__(self, writer: Any) -> None:
        self._writer = writer
        self._rows: list[Record] = []
        self._bytes = 0

    def add(self, record: Record) -> None:
        attributes = dict(record["attributes"])
        spans = attributes["pdf_page_numbers"]
        attributes["pdf_page_numbers"] = [{"start": start, "end": end, "page": page} for start, end, page in spans]
        self._rows.append({**record, "attributes": attributes})
        self._bytes += len(record["text"].encode())
        if self._bytes >= GROUP_BYTES or len(self._rows) >= GROUP_RECORDS:
            self.flush()

    def flush(self) -> None:
        import pyarrow as pa

        if self._rows:
            self._writer.write_table(pa.Table.from_pylist(self._rows, self._writer.schema))
        self._rows, self._bytes = [], 0


@contextlib.contextmanager
def _parquet(write: Callable[[bytes], None], schema: pa.Schema) -> Iterator[Any]:
    """A writer of Parquet; without an error the file ends well, with one nothing more is written."""
    import pyarrow.parquet as pq

    sink = _Sink(write)
    stream = io.BufferedWriter(sink, PIECE)  # pyarrow writes in very small pieces
    writer = pq.ParquetWriter(stream, schema, compression="zstd")
    try:
        yield writer
        writer.close()
        stream.flush()
    finally:
        sink.write_on = None  # what is dropped unfinished would write its end when it is collected
        with contextlib.suppress(Exception):
            writer.close()


class _Sink(io.RawIOBase):
    """A function that writes, as a file."""

    def __init__(self, write: Callable[[bytes], None]) -> None:
        self.write_on: Callable[[bytes], None] | None = write

    def writable(self) -> bool:
        return True

    def write(self, data: Any) -> int:
        if self.write_on is not None:
            self.write_on(data)
        return len(data)
