"""What is known of a desk from outside: its engine, how busy it is, and what may live in its thread."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from ocrpress.engines.base import Capabilities


class Guest(Protocol):
    """What lives in the desk's thread beside the reading: the jobs, whose ledger has one writer."""

    def open(self) -> None:
        """Before the engine is opened. Raises OcrpressError if the service cannot be had without it."""
        ...

    def tick(self) -> None:
        """Every tenth of a second or so."""
        ...

    def close(self) -> None:
        """At the end; not called if `open` raised."""
        ...


@dataclass(frozen=True)
class EngineFacts:
    """What is known of the engine once it is open.

    Attributes:
        name, mode: its name, and the mode that is read where a request names none.
        capabilities: modes, tasks, grounding, in_flight.
        about: how it runs, in one line; empty if it does not say.
    """

    name: str
    mode: str
    capabilities: Capabilities
    about: str = ""


@dataclass(frozen=True)
class Load:
    """How busy the desk is.

    Attributes:
        documents: of `convert` and `chat` that wait or are being read; jobs: likewise, of jobs.
        waiting, reading: pages that wait in the queue, and that the reading process has. A document whose page numbers
            are not known counts as one page.
        clients: that wait for a turn.
        rate: pages a second over the last minute, 0 if none were read.
    """

    documents: int = 0
    jobs: int = 0
    waiting: int = 0
    reading: int = 0
    clients: int = 0
    rate: float = 0.0
