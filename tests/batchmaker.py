"""Ledgers of batches that never ran, made through the ledger's own methods."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any, Self

from ocrpress.document import Attempt, Block, PageResult
from ocrpress.jobs.ledger.book import Ledger, open_ledger
from ocrpress.jobs.ledger.values import Stamp
from ocrpress.modes import plan

OPTIONS = {"engine": "fake", "mode": "base", "format": "md"}
ABOUT = {"engine": "fake", "mode": "base", "format": "md", "version": "0", "command": "ocrpress batch in -o out"}


def stamp_of(path: str | Path) -> Stamp:
    """The stamp of a file; of one that is not there, some stamp."""
    try:
        found = Path(path).stat()
    except (OSError, ValueError):
        return Stamp(1, 1, "0" * 64)
    return Stamp(found.st_size, found.st_mtime_ns, hashlib.sha256(Path(path).read_bytes()).hexdigest())


def page(number: int, status: str = "ok", seconds: float = 0.1, error: str = "", tries: int = 1, **more: Any):
    """A page result. A failed one has an attempt with the fault "loop", if it has any."""
    attempts = tuple(
        Attempt("fake", "base", "end", seconds / tries, fault="loop" if status == "failed" else None, output_tokens=50)
        for _ in range(tries)
    )
    settings: dict[str, Any] = {
        "engine": "fake", "mode": "base", "plan": plan(1000, 1000, "base"), "attempts": attempts,
        "seconds": {"render": seconds / 4, "detect": 3 * seconds / 4}, "error": error,
        "blocks": (Block("paragraph", f"page {number}", (0, 0, 10, 10)),) if status == "ok" else (),
    }  # fmt: skip
    return PageResult(number, status, **(settings | more))


class Batch:
    """A batch in the making: a context that holds the ledger of the folder."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.ledger: Ledger = open_ledger(folder)
        self.ledger.save_options("digest", '{"engine": "fake", "mode": "base"}')
        self.ledger.start_run(ABOUT)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.ledger.close()

    def add(self, name: str, pages=None, count: int | None = None, path: str | None = None, **causes: str) -> int:
        """A document: done if all of its `count` pages are given, waiting if none is, else open.

        Args:
            causes: of failed pages, as p1="crash".
        """
        where = path or f"/in/{name}"
        document = self.ledger.begin(name, where, f"{name}.md", stamp_of(where), "digest")
        if pages is None:
            return document
        count = len(pages) if count is None else count
        self.ledger.opened(document, range(1, count + 1))
        for each in pages:
            self.ledger.add_page(document, each, causes.get(f"p{each.number}", ""))
        if len(pages) == count:
            self.ledger.finish(document, 10, "0" * 64, keep=False)
        return document

    def end(self, code: int | None) -> None:
        """End the run, or with None leave it as a killed one does."""
        if code is not None:
            self.ledger.end_run(code)
        self.ledger.beat() if code is None else None
        self.ledger.commit()
