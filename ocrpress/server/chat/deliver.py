"""The pages of a request -> its answer, whole or in pieces as they come."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import AsyncExitStack, suppress
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Any

import anyio
from starlette.responses import Response

from ocrpress.errors import InputError
from ocrpress.server.answers.sse import respond
from ocrpress.server.answers.writing import aptly, headers_of
from ocrpress.server.chat.answer import Envelope, Sum, page_text
from ocrpress.server.chat.shape import openai_error
from ocrpress.server.door.problems import describe
from ocrpress.writers.clean import encodable

if TYPE_CHECKING:
    from ocrpress.document import PageResult
    from ocrpress.server.chat.ask import Asked
    from ocrpress.server.chat.reading import Pages

HEAD_START = 0.25  # seconds until a stream begins: what is refused before has a status of its own


async def whole(asked: Asked, pages: Pages) -> Response:
    """The answer in one piece. Raises InputError if nothing was read at all, and what `pages` raises."""
    found = Tally(asked)
    async for page in pages:
        await found.add(page)
    body = _encode(Envelope(asked.chat.model).completion(found.total()))
    return Response(body, 200, headers_of(found.pages), "application/json")


async def in_pieces(asked: Asked, pages: Pages, stack: AsyncExitStack) -> Response:
    """The answer page by page, as server-sent events.

    Args:
        stack: closed when all is sent, or the client has left.

    Raises:
        OcrpressError: what is clear at once, such as a full queue. Later errors are an event, and the last.
    """
    first = asyncio.ensure_future(anext(pages))
    stack.push_async_callback(_abandon, first)
    await asyncio.wait({first}, timeout=HEAD_START)
    error = first.exception() if first.done() else None
    if error is not None and not isinstance(error, StopAsyncIteration):
        raise error
    after = stack.pop_all().aclose
    return respond(_chunks(asked, _with_first(first, pages)), after=after)


async def _chunks(asked: Asked, pages: AsyncIterator[PageResult]) -> AsyncGenerator[bytes, None]:
    envelope, found = Envelope(asked.chat.model), Tally(asked)
    yield _event(envelope.chunk({"role": "assistant", "content": ""}))
    try:
        async for page in pages:
            text = await found.add(page)
            if text:
                yield _event(envelope.chunk({"content": text}))
        total = found.total()
    except Exception as error:
        yield _event(openai_error(describe(error)))
        return
    yield _event(envelope.chunk({}, total.finish))
    if asked.chat.include_usage:
        yield _event(envelope.usage_chunk(total))
    yield b"data: [DONE]\n\n"


class Tally:
    """Pages taken into an answer, one by one.

    Attributes:
        pages: without what was read.
    """

    def __init__(self, asked: Asked) -> None:
        self._asked, self._sum = asked, Sum(prompt_tokens=asked.prompt_tokens)
        self.pages: list[PageResult] = []
        self._reason = ""  # why the first page that failed did
        self._something = False  # was read

    async def add(self, page: PageResult) -> str:
        """Take a page; what it adds to the text."""
        asked = self._asked
        text = await aptly([page], partial(page_text, page, asked.wanted, asked.keep_furniture, asked.alone))
        self.pages.append(replace(page, blocks=()))
        self._something = self._something or page.status != "failed" or bool(page.blocks)
        self._reason = self._reason or page.error
        return self._sum.add(text)

    def total(self) -> Sum:
        """All that there is. Raises InputError if nothing was read: each page failed and left nothing worth keeping."""
        if not self._something and self.pages:
            alone = len(self.pages) == 1
            pages = "the page could not" if alone else f"none of the {len(self.pages)} pages could"
            raise InputError(f"{pages} be read ({self._reason or 'no reason given'})", "")
        return self._sum


async def _with_first(first: asyncio.Future[PageResult], pages: Pages) -> AsyncIterator[PageResult]:
    with suppress(StopAsyncIteration):
        yield await first
    async for page in pages:
        yield page


async def _abandon(first: asyncio.Future[PageResult]) -> None:
    first.cancel()
    with anyio.CancelScope(shield=True):
        await asyncio.wait({first})
    if not first.cancelled():
        first.exception()  # it was told, or nobody is there to be told


def _encode(found: dict[str, Any]) -> bytes:
    return encodable(json.dumps(found, ensure_ascii=False, allow_nan=False, separators=(",", ":"))).encode()


def _event(found: dict[str, Any]) -> bytes:
    return b"data: " + _encode(found) + b"\n\n"
