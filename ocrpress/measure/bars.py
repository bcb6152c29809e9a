"""Who counts pages while a measurement runs: a bar for each cell. Knows nothing of terminals."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from typing import Protocol


class Bar(Protocol):
    """What counts pages."""

    def update(self, pages: int) -> object:
        """So many more pages are done."""
        ...


Bars = Callable[[str, int], AbstractContextManager[Bar]]  # by the cell's name and the number of its pages


class _NoBar:
    def update(self, pages: int) -> object:
        return pages


def no_bar(name: str, pages: int) -> AbstractContextManager[Bar]:
    """Bars that show nothing."""
    return nullcontext(_NoBar())
