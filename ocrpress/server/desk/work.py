"""A document that is being read for a client, and what its client is told. Knows nothing of HTTP."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from ocrpress.errors import OcrpressError
from ocrpress.jobs.reading.order import Done, Opened
from ocrpress.pipeline import Options


@dataclass(frozen=True)
class Over:
    """No more pages will come.

    Attributes:
        error: why some did not; None if all came. An InputError's kin is about the document, others about the service.
        cause: a word or two for it, to count by.
    """

    error: OcrpressError | None = None
    cause: str = ""


Told = Opened | Done | Over


@dataclass(eq=False)
class Work:
    """A document to be read; `Desk.submit` takes it.

    Attributes:
        path: of the file, absolute; it must stay until Over.
        name: what users call it.
        options: how it is read; `mode` and `task` are checked by whoever makes it. `pages` counts only without numbers.
        client: who asks; clients take turns, and so do the documents of a client.
        numbers: the pages that are wanted, rising; None leaves it to `options.pages`, and then the document is read
            in one go, without turns (texts).
        tell: called in the desk's thread, with Opened first, then Done for every page in any order, then Over, once.
            After `Desk.cancel` nothing more is told.
        durable: a job: it does not count against the queue, and outlives the engine's troubles.
    """

    path: str
    name: str
    options: Options
    client: str
    numbers: Sequence[int] | None
    tell: Callable[[Told], object]
    durable: bool = False
    cancelled: bool = field(default=False, init=False)
