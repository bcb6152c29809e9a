"""What the runner asks of a reader, and what it is told: the nouns between them. They know nothing of processes.

A reader is a worker process of this machine under supervision (`crew`), or a cluster (`cluster`).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, fields, replace
from typing import Any, Protocol

from ocrpress.document import PageImage, PageResult
from ocrpress.pipeline.options import Options


@dataclass(frozen=True)
class Order:
    """A document to read.

    Attributes:
        document: its number in the ledger.
        path: of the file, absolute; on a cluster it may be an URL.
        name: what users call it.
        pages: those that are wanted, as "1-3,7"; None for all.
        figures: absolute folder for its figures, and the start of their names; None crops none.
        page: the one page of it that is wanted, drawn already; None has the pages drawn from the file.
        options: how it is read, with a mode that the engine reads; None leaves it to the settings. Of `pages`,
            `figures…`, `workers` and `fallback` those of the order and the settings count.
    """

    document: int
    path: str
    name: str
    pages: str | None = None
    figures: tuple[str, str] | None = None
    page: PageImage | None = None
    options: Options | None = None

    def as_message(self) -> tuple[dict[str, Any], bytes]:
        """As JSON may hold it, and the pixels of its page."""
        kept = [item.name for item in fields(self) if item.name not in {"page", "options"}]
        plain: dict[str, Any] = {name: getattr(self, name) for name in kept}
        if self.options:
            plain["options"] = asdict(bare(self.options))
        page = self.page
        if page is None:
            return plain, b""
        seconds = dict(page.seconds)
        drawn = [page.number, page.width, page.height, seconds, list(page.warnings), list(page.image.size)]
        return {**plain, "page": drawn}, page.image.tobytes()

    @staticmethod
    def of_message(message: Mapping[str, Any], pixels: bytes) -> Order:
        """What `as_message` said."""
        figures, options = message["figures"], message.get("options")
        given = {**message, "figures": (figures[0], figures[1]) if figures else None, "page": None}
        plain = Order(**{**given, "options": options_of(options) if options else None})
        if "page" not in message:
            return plain
        from PIL import Image

        number, width, height, seconds, warnings, size = message["page"]
        image = Image.frombytes("RGB", tuple(size), pixels)
        return replace(plain, page=PageImage(number, image, width, height, seconds, tuple(warnings)))


def bare(options: Options) -> Options:
    """Without what only a document of its own can have, so that JSON may hold it."""
    return replace(options, figures=None, figures_base=None, figures_prefix=None)


def options_of(message: Mapping[str, Any]) -> Options:
    """The options that a message holds."""
    return Options(**{**message, "temperatures": tuple(message["temperatures"])})


@dataclass(frozen=True)
class Opened:
    """A document is open: these pages of it will come."""

    document: int
    numbers: tuple[int, ...]


@dataclass(frozen=True)
class Done:
    """A page is read, blank or failed.

    Attributes:
        cause: of a failure that no attempt of the page tells of: "crash", "time limit", "unreadable page".
    """

    document: int
    result: PageResult
    cause: str = ""


@dataclass(frozen=True)
class Refused:
    """A document cannot be read on: no more of its pages will come.

    Attributes:
        error: in one line: what, why, remedy.
        cause: a word or two to count by: "cannot be opened", "password", "crash", "time limit", …
    """

    document: int
    error: str
    cause: str


@dataclass(frozen=True)
class Tick:
    """Nothing has happened for a moment; the runner may use it."""


Event = Opened | Done | Refused | Tick


class Orders(Protocol):
    """Orders as they come up."""

    def take(self) -> Order | None:
        """The next; None if none is at hand. Never waits."""
        ...

    @property
    def exhausted(self) -> bool:
        """Will `take` never again give one?"""
        ...


class Reader(Protocol):
    """Reads documents, many side by side."""

    def read(self, orders: Orders) -> Iterator[Event]:
        """Events in any order until every order is settled: all its pages Done, or the document Refused.

        A Tick comes at least every tenth of a second or so. A document's Opened comes before its pages. It ends when
        the orders are exhausted and settled.

        Raises:
            EngineError: the engine cannot run here; what was Done before stays so.
        """
        ...

    def close(self) -> None:
        """Stop what runs; pages in flight are lost. Safe to call twice, and from a signal's handler's caller."""
        ...
