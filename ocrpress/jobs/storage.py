"""Where documents come from and where results go, as the runner sees it: this machine's disk (`disk`), or URLs."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from ocrpress.errors import OutputError
from ocrpress.jobs.finding.found import Found, LeftOut
from ocrpress.jobs.ledger.values import Stamp

if TYPE_CHECKING:
    from ocrpress.jobs.ledger.book import Ledger


class PlaceError(OutputError):
    """One output cannot be written where it belongs; others can."""


@dataclass(frozen=True)
class Candidate:
    """A document that was found.

    Attributes:
        stamp: what its file is known by; None if it cannot be read, then `error` says why.
        cause: a word or two for that: "vanished", "empty", "cannot be opened".
    """

    found: Found
    stamp: Stamp | None = None
    error: str = ""
    cause: str = ""


class Storage(Protocol):
    """Inputs and outputs. Names of outputs are relative, with "/"."""

    def candidates(self) -> Iterator[Candidate | LeftOut]:
        """All inputs, as they are found; runs in a thread of its own."""
        ...

    @property
    def seen(self) -> int:
        """How many inputs there are at least, as far as is known yet."""
        ...

    @property
    def seen_all(self) -> bool:
        """Are those all?"""
        ...

    def changed(self, path: str, stamp: Stamp) -> Stamp | None:
        """The stamp that the file has now, if it is another one; None if it is the same, or the file is gone."""
        ...

    def gone(self, path: str) -> bool:
        """Is there no such file any more?"""
        ...

    @property
    def holds_inputs(self) -> bool:
        """Do results lie beside documents, so that one could be written over the other?"""
        ...

    def has(self, output: str, size: int = 0) -> bool:
        """Is there a file of that name where outputs are?

        Args:
            size: that it had when it was written. An empty one in its place is what a power cut leaves.
        """
        ...

    def write(self, output: str, data: bytes) -> None:
        """Write an output, whole or not at all.

        Raises:
            PlaceError: this one cannot be written; others can.
            OutputError: nothing can be written any more.
        """
        ...

    def close(self) -> None:
        """Have all outputs where they survive a power cut. Raises OutputError."""
        ...

    def figures(self, output: str) -> tuple[str, str]:
        """Absolute folder for the figures of an output, and how their names begin."""
        ...


@dataclass(frozen=True)
class Place:
    """Where a batch has its things.

    Attributes:
        folder: of this machine, with the ledger; where the outputs are behind an URL, report.html goes there from here.
        records: folder for the records of pages that a cluster reads; an absolute path, or an URL.
    """

    folder: Path
    ledger: Ledger
    storage: Storage
    records: str
