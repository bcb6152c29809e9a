"""What a client asked for: the noun of a job, and how it is written to `request.json` and read again."""

from __future__ import annotations

import json
import math
import re
import secrets
from dataclasses import asdict, dataclass, field, fields
from typing import Any

from ocrpress.errors import OcrpressError
from ocrpress.jobs.ledger.values import as_numbers, as_ranges
from ocrpress.pipeline import Options
from ocrpress.writers import FORMATS, WriterOptions, check_format

VERSION = 1
_ID = re.compile(r"[A-Za-z0-9_-]{22}")  # 128 bits
_OF_THE_COMMAND_LINE = frozenset({"figures", "figures_base", "figures_prefix"})  # a service writes no figures


@dataclass(frozen=True)
class Record:
    """A job as it was asked for; it never changes.

    Attributes:
        id: 128 random bits, safe in addresses and file names.
        name: of the document, as the client calls it; only shown.
        client: whose job it is.
        created: seconds since 1970.
        engine: that was open when the job came.
        options: how the document is read, mode and password included.
        numbers: the pages that are wanted, rising; None if that shows when the document is open (texts).
        format, writing: how the result is written where a request for it does not say.
    """

    id: str
    name: str
    client: str
    created: float
    engine: str
    options: Options = field(repr=False)
    numbers: tuple[int, ...] | None = None
    format: str = FORMATS[0]
    writing: WriterOptions = field(default_factory=WriterOptions)

    @property
    def input(self) -> str:
        """Name of the document's file in the job's folder; clients are never told it."""
        return f"input-{self.id}"


def new_id() -> str:
    """For a new job; nobody guesses it."""
    return secrets.token_urlsafe(16)


def is_id(text: str) -> bool:
    """Could this be a job's?"""
    return _ID.fullmatch(text) is not None


def as_bytes(record: Record) -> bytes:
    """The record as JSON. It holds the document's password, if there is one."""
    options = {
        item.name: getattr(record.options, item.name)
        for item in fields(Options)
        if item.name not in _OF_THE_COMMAND_LINE
    }
    found = {
        "version": VERSION, "id": record.id, "name": record.name, "client": record.client, "created": record.created,
        "engine": record.engine, "options": options, "format": record.format, "writing": asdict(record.writing),
        "numbers": None if record.numbers is None else as_ranges(record.numbers),
    }  # fmt: skip
    return json.dumps(found, indent=1).encode() + b"\n"


def of_bytes(data: bytes) -> Record:
    """The record that `as_bytes` wrote. Raises ValueError for anything else."""
    try:
        found: dict[str, Any] = json.loads(data)
        if found.pop("version") != VERSION:
            raise ValueError("it is of another version")
        check_format(found["format"])
        options = found.pop("options")
        options["temperatures"] = tuple(options["temperatures"])
        numbers, writing = found.pop("numbers"), WriterOptions(**found.pop("writing"))
        pages = None if numbers is None else tuple(as_numbers(numbers))
        record = Record(**found, options=Options(**options), numbers=pages, writing=writing)
        texts = (record.id, record.name, record.client, record.engine)
        if (
            not all(isinstance(text, str) for text in texts)
            or not is_id(record.id)
            or not math.isfinite(record.created)
        ):
            raise ValueError("it is no record of a job")
    except (AttributeError, KeyError, TypeError, RecursionError, OcrpressError) as error:
        raise ValueError(f"{type(error).__name__}: {error}") from error
    return record
