"""How a document is read: the options, by name, and which of them an engine cannot heed."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any

from ocrpress.errors import UsageError, unknown
from ocrpress.quality.ladder import Ladder
from ocrpress.sources.base import SourceOptions

WHAT_FOR = "locate"  # the one task that is told what to look for: "locate=WHAT"


@dataclass(frozen=True)
class Options:
    """How a document is read. Defaults live here, in SourceOptions and in Ladder, and nowhere else.

    `retries`, `temperatures`, `fallback` and `max_tokens` concern engines that choose tokens (`Capabilities.decoding`).

    Attributes:
        mode: a resolution mode or "native"; None takes the engine's own default.
        task: what the engine is asked for: "markdown", or what else its `Capabilities.tasks` name; "locate=WHAT".
        max_tokens: longest answer to one page; None leaves it to the checkpoint.
        figures: folder for cropped figures; None crops none.
        figures_base: folder that links to figures are relative to; None is the current one.
        figures_prefix: start of the figures' file names; None is the document's name.
        retries, temperatures, fallback: see Ladder.
        dpi, pages, password, renderer, max_pixels, max_pages, max_tiles, workers, page_seconds: see SourceOptions.

    Raises:
        UsageError: a figure out of range, or an unknown fallback.
    """

    mode: str | None = None
    task: str = "markdown"
    max_tokens: int | None = None
    figures: Path | None = None
    figures_base: Path | None = None
    figures_prefix: str | None = None
    retries: int = Ladder.retries
    temperatures: tuple[float, ...] = Ladder.temperatures
    fallback: str = Ladder.fallback
    dpi: float | None = SourceOptions.dpi
    pages: str | None = SourceOptions.pages
    password: str | None = field(default=SourceOptions.password, repr=False)
    renderer: str = SourceOptions.renderer
    max_pixels: int = SourceOptions.max_pixels
    max_pages: int = SourceOptions.max_pages
    max_tiles: int | None = SourceOptions.max_tiles
    workers: int = SourceOptions.workers
    page_seconds: float = SourceOptions.page_seconds

    def __post_init__(self) -> None:
        """Refuse what cannot be, before any file is opened."""
        if self.max_tokens is not None and self.max_tokens < 1:
            raise UsageError(f"max_tokens is {self.max_tokens}", "it must be 1 or more")
        self.ladder()

    def ladder(self) -> Ladder:
        """How pages whose answers are rejected are asked for again."""
        return Ladder(self.retries, temperatures=tuple(self.temperatures), fallback=self.fallback)

    def of_source(self) -> SourceOptions:
        """Those that a source takes."""
        shared = {item.name: getattr(self, item.name) for item in fields(SourceOptions) if item.name != "mode"}
        return SourceOptions(mode=self.mode or SourceOptions.mode, **shared)


def make_options(given: dict[str, Any]) -> Options:
    """Options by name. Raises UsageError for a name that is not known, with the nearest one."""
    names = [item.name for item in fields(Options)]
    for name in given:
        if name not in names:
            raise unknown("option", name, names)
    if given.get("figures") is not None:
        given = {**given, "figures": Path(given["figures"])}
    return Options(**given)


def check_task(task: str, tasks: Iterable[str], engine: str) -> None:
    """Raise UsageError for a task that the engine does not know, or one that is not told what it needs.

    Args:
        task: a name, or "locate=WHAT".
        tasks: names of those that the engine knows.
    """
    name, equals, what = task.partition("=")
    if name not in tasks:
        raise unknown(f"task of engine {engine}", name, tasks)
    if name == WHAT_FOR and not what.strip():
        raise UsageError(f"task '{task}' does not say what to look for", f"write {WHAT_FOR}=WHAT")
    if name != WHAT_FOR and equals:
        raise UsageError(f"task '{name}' takes no '={what}'", f"only {WHAT_FOR}=WHAT does")
