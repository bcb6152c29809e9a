"""A PDF as a stream of pages, rendered ahead of the reader in worker processes.

With workers, this process never touches the document: a file that crashes or hangs the renderer cannot take it along.
"""

from __future__ import annotations

import contextlib
from dataclasses import asdict
from functools import cached_property
from typing import TYPE_CHECKING, TypeVar

from ocrpress.document import PageImage, UnreadablePage
from ocrpress.errors import EngineError, InputError
from ocrpress.sources.bench import Bench
from ocrpress.sources.checks import POPPLER_ADVICE, check_page_count, has_poppler, shown_name
from ocrpress.sources.clerk import Clerk
from ocrpress.sources.layer import Layer
from ocrpress.sources.pages import PageRange, select_pages
from ocrpress.sources.pool import Pool, Retry, ask
from ocrpress.sources.protocol import Message, Reply, as_exception
from ocrpress.sources.raster import to_image

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Iterable, Iterator, Sequence

    from ocrpress.sources.base import SourceOptions

# A document that lies about its length would otherwise cost two programs for every page that it does not have.
POPPLER_FAILURES = 10

_Made = TypeVar("_Made")


class PdfSource:
    """A PDF being read.

    Args:
        path: absolute path of a regular file.
        name: what the user calls it.
        ranges: pages asked for; None for all.
        bench: of workers that documents share; None for workers of its own.

    Raises:
        PasswordError: encrypted, and the password is missing or wrong.
        InputError: no renderer can open it, it has no pages, or more than `options.max_pages`.
        UsageError: none of the pages asked for is there.
    """

    def __init__(
        self,
        path: str,
        name: str,
        options: SourceOptions,
        ranges: tuple[PageRange, ...] | None,
        bench: Bench | None = None,
    ) -> None:
        self._path, self._name, self._options = path, name, options
        self._renderer = "poppler" if options.renderer == "poppler" else "pdfium"
        self._second_failures = 0
        self._notes: tuple[str, ...] = ()
        self._pools: list[Pool] = []
        self._closed = False
        self._clerk = None if options.workers else Clerk()
        self._own_bench = bench is None
        self._bench = bench or Bench()
        try:
            self._total = self._count_pages()
            self._numbers: Sequence[int] = select_pages(ranges, self._total)
            if not self._numbers:
                raise InputError(f"{shown_name(name)} has no pages", "fetch the file again")
            check_page_count(name, len(self._numbers), options)
        except BaseException:
            self.close()
            raise

    @property
    def name(self) -> str:
        """The name it came under."""
        return self._name

    @property
    def page_count(self) -> int:
        """How many pages `pages` will give."""
        return len(self._numbers)

    @property
    def numbers(self) -> Sequence[int]:
        """The numbers of those pages."""
        return self._numbers

    @property
    def drawn(self) -> bool:
        """Pages are drawn at the size that the options ask for."""
        return True

    def pages(self) -> Generator[PageImage | UnreadablePage, None, None]:
        """The pages asked for, in page order; workers stop when the iterator is closed."""
        requests = (self._request(number, self._renderer) for number in self._numbers)
        yield from self._each(requests, self._retry, self._page)

    def layers(self) -> Generator[Layer | UnreadablePage, None, None]:
        """The text layers of the pages asked for, in page order, read by workers as `pages` are drawn."""
        requests = ({**self._request(number, "pdfium"), "layer": True} for number in self._numbers)
        yield from self._each(requests, _no_retry, _layer)

    def redraw(self, number: int, mode: str) -> PageImage | None:
        """A page drawn once more, as another mode would see it; None if it cannot be, or the options fix its size."""
        if self._options.dpi is not None or self._closed:
            return None
        request = self._request(number, self._renderer)
        request = {**request, "options": {**request["options"], "mode": mode}}
        reply = self._ask(request)
        while reply.failure and (instead := self._retry(request, reply)) is not None:
            request, reply = instead, self._ask(instead)
        page = self._page(request, reply)
        return page if isinstance(page, PageImage) else None

    def close(self) -> None:
        """Stop workers and close the document. Safe to call twice."""
        self._closed = True
        for pool in self._pools:
            pool.close()
        self._pools.clear()
        if self._own_bench:
            self._bench.close()
        if self._clerk:
            self._clerk.close()

    @cached_property
    def _second(self) -> bool:
        """Is there a second renderer? To look for it costs more than to open a small document."""
        return self._options.renderer == "auto" and has_poppler()

    def _request(self, number: int, renderer: str) -> Message:
        return {"path": self._path, "renderer": renderer, "page": number, "options": asdict(self._options)}

    def _count_pages(self) -> int:
        first = reply = self._ask(self._request(0, self._renderer))
        if first.failure in {"page", "input", "lost"} and self._second:
            reply = self._ask(self._request(0, "poppler"))
            self._renderer = "poppler"
            why = str(first.message.get("message")).replace(self._path, shown_name(self._name))
            self._notes = (f"rendered by poppler: pdfium cannot open the document ({why})",)
        if reply.failure:
            raise self._open_error(first)
        return int(reply.message["pages"])

    def _ask(self, request: Message) -> Reply:
        if self._clerk:
            return self._clerk.answer(request)
        worker = self._bench.take()
        try:
            reply = ask(worker, request, self._options.page_seconds)
        except BaseException:
            worker.stop()
            raise
        if reply.failure in {"late", "lost"}:
            worker.stop()
        else:
            self._bench.give(worker)
        return reply

    def _open_error(self, reply: Reply) -> Exception:
        message = str(reply.message["message"])
        if reply.failure == "lost" and "exit code" in message:
            return EngineError(f"the worker process for PDFs does not start ({message})")
        if reply.failure in {"lost", "late", "page"}:
            advice = "fetch the file again" if self._second or self._options.renderer != "auto" else POPPLER_ADVICE
            return InputError(f"{shown_name(self._name)} cannot be opened: {message}", advice)
        error = as_exception(reply)
        return type(error)(error.message.replace(self._path, shown_name(self._name)), error.advice)

    def _each(
        self, requests: Iterable[Message], retry: Retry, made: Callable[[Message, Reply], _Made]
    ) -> Generator[_Made, None, None]:
        """What is made of every reply, in page order."""
        count = 0
        with contextlib.closing(self._answers(requests, retry)) as answers:
            for request, reply in answers:
                count += 1
                yield made(request, reply)
        if count < len(self._numbers):
            raise InputError(
                f"{shown_name(self._name)} was closed while it was read", "keep it open until the last page"
            )

    def _answers(self, requests: Iterable[Message], retry: Retry) -> Generator[tuple[Message, Reply], None, None]:
        if self._closed:
            return
        if self._clerk:
            yield from _answers_here(self._clerk.answer, requests, retry)
            return
        workers = min(self._options.workers, len(self._numbers))
        pool = Pool(workers, self._options.page_seconds, self._bench.take, self._bench.give)
        self._pools.append(pool)
        try:
            yield from pool.answers(requests, retry)
        finally:
            pool.close()
            if pool in self._pools:
                self._pools.remove(pool)

    def _retry(self, request: Message, reply: Reply) -> Message | None:
        """The second renderer, for a page that the first one could not draw. A page out of time gets no second turn."""
        if request["renderer"] == "poppler":
            self._second_failures += 1
            return None
        if reply.failure == "late" or not self._second or self._second_failures >= POPPLER_FAILURES:
            return None
        return {**request, "renderer": "poppler", "because": reply.message["message"], "of": self._total}

    def _page(self, request: Message, reply: Reply) -> PageImage | UnreadablePage:
        message, number, because = reply.message, request["page"], request.get("because", "")
        if reply.failure:
            error = "; ".join(filter(None, (because, message["message"])))
            if self._options.renderer == "auto" and not self._second and reply.failure != "late":
                error = f"{error}; the second renderer, poppler, may read it: {POPPLER_ADVICE}"
            return UnreadablePage(number, error)
        notes = (f"rendered by poppler: {because}",) if because else self._notes
        if because:
            self._second_failures = 0
        image = to_image(tuple(message["size"]), reply.pixels)
        width, height = message["points"]
        seconds = {"render": message["seconds"]}
        return PageImage(number, image, width, height, seconds, (*notes, *message["warnings"]))


def _layer(request: Message, reply: Reply) -> Layer | UnreadablePage:
    if reply.failure:
        return UnreadablePage(request["page"], reply.message["message"])
    return Layer(request["page"], bytes(reply.pixels).decode(), reply.message["hidden"])


def _no_retry(request: Message, reply: Reply) -> None:
    """Text layers have one reader."""


def _answers_here(
    answer: Callable[[Message], Reply], requests: Iterable[Message], retry: Retry
) -> Iterator[tuple[Message, Reply]]:
    """As `Pool.answers`, in this process: no rendering ahead, no time limit."""
    for first in requests:
        request, reply = first, answer(first)
        while reply.failure and (instead := retry(request, reply)) is not None:
            request, reply = instead, answer(instead)
        yield request, reply
