"""A progress bar on stderr: pages/s and time left. None where stderr is no terminal, or the work is short."""

from __future__ import annotations

import sys
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Iterator

SHOW_AFTER = 1.0  # seconds
FORMAT = "{desc}: {percentage:3.0f}%|{bar}| {n_fmt}/{total_fmt} [{elapsed}<{remaining}, {rate_noinv_fmt}]"
OPEN_FORMAT = "{desc}: {n_fmt} [{elapsed}, {rate_noinv_fmt}]"  # where nobody knows how many there will be


class Bar(Protocol):
    """What counts pages, or what else is done one after the other."""

    def update(self, pages: int) -> object:
        """So many more are done."""
        ...


class _NoBar:
    def update(self, pages: int) -> object:
        return pages


@contextmanager
def progress(name: str, total: int | None, quiet: bool, unit: str = "page") -> Iterator[Bar]:
    """A bar for a document; it is wiped off when the document is done.

    Args:
        total: how many pages it has; None if nobody knows.
        unit: what is counted, if not pages: thousands of them are shortened.
    """
    if quiet or sys.stderr is None or not sys.stderr.isatty():
        yield _NoBar()
        return
    import threading
    from shutil import get_terminal_size

    from tqdm import tqdm

    shown = "".join(char for char in Path(name).name if char.isprintable())[-30:]
    size = get_terminal_size()  # never 0, whatever the terminal says of itself
    with tqdm(
        total=total, desc=shown, unit=unit, unit_scale=unit != "page", delay=SHOW_AFTER, leave=False, file=sys.stderr,
        ncols=size.columns, nrows=size.lines, bar_format=OPEN_FORMAT if total is None else FORMAT,
    ) as bar:  # fmt: skip
        # The first page can take long: models are loaded for it.
        first = threading.Timer(SHOW_AFTER, bar.refresh)
        first.daemon = True
        first.start()
        try:
            yield bar
        finally:
            first.cancel()
            first.join()
