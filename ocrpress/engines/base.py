"""The engine protocol: a stream of Requests in, Completions out as they finish, in any order, keyed by page.

An engine knows nothing of files or Markdown. It never raises for one page: a page that it cannot read is a Completion
with stop "error". It raises EngineError when it cannot run at all.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Protocol

from ocrpress.document import Completion, Request


@dataclass(frozen=True)
class Capabilities:
    """What an engine can do.

    Attributes:
        modes: names of the modes it reads; the first is its default.
        tasks: names of the tasks it knows; the first is its default.
        grounding: whether its Completions say where the text stands.
        decoding: whether it heeds `Request.decoding`, so that asking again in another way can help.
        in_flight: how many pages it holds at a time; the pages in memory are bounded by it.
        max_tiles: the largest number of tiles of a page, where a request does not say one; None is the mode's.
    """

    modes: tuple[str, ...]
    tasks: tuple[str, ...] = ("markdown",)
    grounding: bool = True
    decoding: bool = False
    in_flight: int = 1
    max_tiles: int | None = None


@dataclass(frozen=True)
class EngineOptions:
    """How an engine is opened. An engine reads what concerns it. Defaults live here and nowhere else.

    Attributes:
        checkpoint: a name of `models/`, a folder, or a hub id ("owner/name"); None takes the engine's own default.
        device: "auto", "cpu", "cuda" or "cuda:N".
        slots: pages decoded side by side; None fits them to the device.
        random_weights: noise in place of a checkpoint, of its full size: for timing alone.
        url: address of an OpenAI-compatible endpoint, such as http://localhost:8000/v1.
        model: the name under which the endpoint serves its model; None asks the endpoint.
        api_key: sent as a bearer token.
        timeout: seconds that one answer of an endpoint may take.
    """

    checkpoint: str | None = None
    device: str = "auto"
    slots: int | None = None
    random_weights: bool = False
    url: str | None = None
    model: str | None = None
    api_key: str | None = field(default=None, repr=False)
    timeout: float = 600.0


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
        """Answer every request, in any order; takes at most `capabilities.in_flight` requests ahead of its answers.

        Requests may be long in coming: an engine must not keep an answer back until it has the next one (see
        `side_by_side`), or who serves with it will wait.
        """
        ...

    def close(self) -> None:
        """Give back memory and threads. Safe to call twice."""
        ...
