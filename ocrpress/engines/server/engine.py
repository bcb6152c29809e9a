"""The server engine: pages to an endpoint, several at a time, Completions as they come."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import CancelledError, Future
from functools import partial
from pathlib import Path
from typing import TypeVar

from ocrpress.document import Completion, Request
from ocrpress.engines.base import Capabilities, EngineOptions
from ocrpress.engines.cards import CARD_FILE, DEFAULT_CHECKPOINT, PAGES, Card, cards, load_card, read_card
from ocrpress.engines.server.address import parse_address
from ocrpress.engines.server.background import Background
from ocrpress.engines.server.body import MODES_SENT, make_body, sent_plan
from ocrpress.engines.server.client import Client, Wait
from ocrpress.engines.server.patience import Patience
from ocrpress.engines.side_by_side import SideBySide
from ocrpress.errors import EngineError, OcrpressError, UsageError

IN_FLIGHT = 8  # pages asked for at a time, if nobody says how many
DEFAULT_PATIENCE = Patience()

Made = TypeVar("Made")


class ServerEngine:
    """Reads pages with a model behind an OpenAI-compatible endpoint.

    What is sent of a page in each mode stands in `body`. The plan of a Completion says what the view that was sent
    holds; how many vision tokens the endpoint makes of it is not known here. Nor is whether it keeps the n-gram rule:
    vLLM does if it was started with its NGramPerReqLogitsProcessor, and says nothing if it was not.

    Args:
        options: `url`, `model`, `api_key`, `timeout`; `slots` pages are asked for at a time (8 if None); the prompts
            and the n-gram rule are those of `checkpoint`: a name of `models/`, the hub id of one, or a folder with a
            model.toml for any other model.
        patience: what is tried again, how often and when.
        wait: sleeps between tries; tests put their own here.

    Raises:
        UsageError: an option is missing or wrong. Nothing is asked of the endpoint yet.
        EngineError: the model.toml in the folder makes no sense.
    """

    name = "server"

    def __init__(
        self, options: EngineOptions, patience: Patience = DEFAULT_PATIENCE, wait: Wait = asyncio.sleep
    ) -> None:
        in_flight = IN_FLIGHT if options.slots is None else options.slots
        if in_flight < 1:
            raise UsageError(f"{in_flight} pages at a time are out of range", "it must be 1 or more")
        if not options.timeout > 0:
            raise UsageError(f"a time-out of {options.timeout:g} s is out of range", "it must be above 0")
        self._card = _card(options.checkpoint or DEFAULT_CHECKPOINT)
        self._make_client = partial(
            Client, parse_address(options.url), options.model, _key(options.api_key), options.timeout, patience, wait
        )
        self._client: Client | None = None
        self._background: Background | None = None
        tasks = tuple(task for task in self._card.tasks if task != PAGES)  # a request sends one page
        self.capabilities = Capabilities(MODES_SENT, tasks, decoding=True, in_flight=in_flight)

    def read(self, requests: Iterable[Request]) -> Iterator[Completion]:
        """Answer every request, as the answers come.

        Raises:
            EngineError: the endpoint cannot be used, or no longer. If it could be before, the pages under way come
                first, each with that error.
        """
        client, background = self._connect()
        start = partial(self._start, client, background)
        with SideBySide(requests, start, self.capabilities.in_flight) as pages:
            try:
                for future in pages:
                    yield future.result()
            except EngineError as error:
                if client.answered:
                    yield from _last_words(pages.stop(), error)
                raise
            except CancelledError:
                raise EngineError("engine server was closed while it was reading", "") from None

    def _start(self, client: Client, background: Background, request: Request) -> Future[Completion]:
        return background.start(self._page(client, request))

    def close(self) -> None:
        """Break off what is under way, close the connections, end the thread."""
        client, background = self._client, self._background
        self._client = self._background = None
        if client and background:
            background.close(client.close)

    def _connect(self) -> tuple[Client, Background]:
        """One client for all documents: it remembers the model's name and what the endpoint refuses."""
        if not self._client or not self._background:
            self._client, self._background = self._make_client(), Background()
        return self._client, self._background

    async def _page(self, client: Client, request: Request) -> Completion:
        """What becomes of one page. Raises EngineError."""
        image, started = request.page.image, time.perf_counter()
        try:
            body, making = await asyncio.to_thread(_timed, partial(make_body, request, self._card))
            asked = time.perf_counter()
            answer = await client.ask(body)
        except EngineError:
            raise
        except Exception as error:  # a page that fails must not end the document, whatever it raises
            said = str(error) if isinstance(error, OcrpressError) else f"{type(error).__name__}: {error}"
            seconds = {"answer": time.perf_counter() - started}
            return Completion(request.key, stop="error", error=said, seconds=seconds)
        return Completion(
            request.key,
            answer.text,
            form="markup",
            stop=answer.stop,
            plan=sent_plan(image, request.mode),
            output_tokens=answer.tokens,
            seconds={"views": making, "answer": time.perf_counter() - asked},
            warnings=answer.warnings,
        )


def _last_words(under_way: Mapping[Future[Completion], int], error: EngineError) -> Iterator[Completion]:
    """The pages under way when the engine ended: those that were answered, and the others with the error."""
    for future, key in under_way.items():
        if future.done() and not future.cancelled() and not future.exception():
            yield future.result()
        else:
            yield Completion(key, stop="error", error=str(error))


def _timed(work: Callable[[], Made]) -> tuple[Made, float]:
    """What it gives, and the seconds it took."""
    started = time.perf_counter()
    return work(), time.perf_counter() - started


def _card(name: str) -> Card:
    """What is known of the model behind the endpoint."""
    for card in cards().values():
        if name in (card.name, card.repository):
            return card
    folder = Path(name).expanduser()
    return read_card(folder) if (folder / CARD_FILE).is_file() else load_card(name)


def _key(given: str | None) -> str:
    """The key as it can stand in a header. Raises UsageError, without naming it, if it cannot."""
    key = (given or "").strip()
    if not (key.isascii() and key.isprintable()):
        raise UsageError("the API key has characters that no key has", "look at what was pasted")
    return key
