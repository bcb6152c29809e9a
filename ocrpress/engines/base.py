"""The engine protocol: a stream of Requests in, Completions out as they finish, in any order, keyed by page.

An engine knows nothing of files or Markdown. It never raises for one page: a page that it cannot read is a Completion
with stop "error". It raises EngineError when it cannot run at all.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Protocol

from ocrpress.document import Completion, Request


@dataclass(frozen=True)
class Capabilities:
    """What an engine can do.

    Attributes:
        modes: names of the modes it reads; the first is its default.
        tasks: names of the tasks it knows; the first is its default.
        grounding: whether its Completions carry regions.
        in_flight: how many pages it holds at a time; the pages in memory are bounded by it.
    """

    modes: tuple[str, ...]
    tasks: tuple[str, ...] = ("markdown",)
    grounding: bool = True
    in_flight: int = 1


class Engine(Protocol):
    """What the pipeline asks of an engine."""

    @property
    def name(self) -> str:
        """The name that results carry."""
        ...

    @property
    def capabilities(self) -> Capabilities:
        """What this engine can do, known before the first page."""
        ...

    def read(self, requests: Iterable[Request]) -> Iterator[Completion]:
        """Answer every request, in any order; takes at most `capabilities.in_flight` requests ahead of its answers."""
        ...

    def close(self) -> None:
        """Give back memory and threads. Safe to call twice."""
        ...
