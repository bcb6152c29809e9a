"""What a batch is asked to do, once it is known to make sense."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable
from dataclasses import asdict, dataclass, field
from functools import cached_property
from typing import Any

from ocrpress.errors import unknown
from ocrpress.jobs.reading.settings import Settings
from ocrpress.writers import FORMATS, WriterOptions

SHARDED = ("jsonl", "parquet")  # one file for many documents; the others have one a document


@dataclass(frozen=True)
class Plan:
    """A batch.

    Attributes:
        format: one of `writers.FORMATS`, or of SHARDED.
        figures: crop figures, into a folder beside each output.
        retry_failed: read again what failed in earlier runs.
        force: read everything again.
        about: what the ledger's list of runs says of this one.

    Raises:
        UsageError: unknown format.
    """

    settings: Settings
    format: str = FORMATS[0]
    writing: WriterOptions = field(default_factory=WriterOptions)
    figures: bool = False
    retry_failed: bool = False
    force: bool = False
    about: dict[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if self.format not in (*FORMATS, *SHARDED):
            raise unknown("format", self.format, formats())

    @property
    def sharded(self) -> bool:
        """Do many documents share a file?"""
        return self.format in SHARDED

    @property
    def ending(self) -> str:
        """Of the outputs, with its dot."""
        return f".{self.format}"

    @property
    def pages(self) -> str | None:
        """The pages that are wanted of every document, "1-3,7"; None for all."""
        return self.settings.options.pages

    def options(self) -> dict[str, Any]:
        """All that decides what comes out."""
        return {
            **self.settings.identity(), "format": self.format, "figures": self.figures, **asdict(self.writing),
        }  # fmt: skip

    def options_text(self) -> str:
        """The same as JSON."""
        return json.dumps(self.options(), sort_keys=True)

    @cached_property
    def options_digest(self) -> str:
        """Names the options: documents read with others are read again."""
        return hashlib.sha256(self.options_text().encode()).hexdigest()[:16]


def formats() -> Iterable[str]:
    """All formats that a batch can write."""
    return (*FORMATS, *SHARDED)
