"""Server-sent events (the HTML standard, section 9.2). Knows nothing of what they say."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Mapping
from contextlib import aclosing
from typing import TYPE_CHECKING

import anyio
from starlette.responses import StreamingResponse

from ocrpress.writers.clean import encodable

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Awaitable, Callable

    from starlette.types import Receive, Scope, Send

MEDIA_TYPE = "text/event-stream"
# no-transform, and X-Accel-Buffering for nginx: a proxy that gathers events to compress them would hold them.
HEADERS = {"Cache-Control": "no-store, no-transform", "X-Accel-Buffering": "no"}
HEARTBEAT = b": still here\n\n"  # a comment: proxies close what is silent
BEAT_SECONDS = 15.0
AHEAD = 16  # events that wait for a client that is slow to take them


def encode(event: str, data: object, id: int | None = None) -> bytes:  # noqa: A002 - the standard's word
    """One event.

    Args:
        event: its name, without line ends.
        data: anything that JSON can hold; it stands on one line.
        id: from which a client that lost its connection goes on.
    """
    text = encodable(json.dumps(data, ensure_ascii=False, allow_nan=False, separators=(",", ":")))
    number = "" if id is None else f"id: {id}\n"
    return f"event: {event}\n{number}data: {text}\n\n".encode()


def respond(
    events: AsyncGenerator[bytes, None],
    headers: Mapping[str, str] | None = None,
    after: Callable[[], Awaitable[object]] | None = None,
) -> StreamingResponse:
    """The answer that sends these events, and a heartbeat where none comes for 15 s.

    Args:
        events: what `encode` made; closed when all are sent, and as soon as the client leaves.
        after: awaited in any case, when the events are closed, even if not one of them was asked for.
    """
    return _Events(events, dict(headers or {}), after)


class _Events(StreamingResponse):
    def __init__(
        self,
        events: AsyncGenerator[bytes, None],
        headers: dict[str, str],
        after: Callable[[], Awaitable[object]] | None,
    ) -> None:
        self._events = with_heartbeat(events)
        self._after = after
        super().__init__(self._events, headers={**HEADERS, **headers}, media_type=MEDIA_TYPE)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            await super().__call__(scope, receive, send)
        finally:
            await self._events.aclose()  # nobody else does where the client left while something was sent
            if self._after is not None:
                await self._after()


async def with_heartbeat(
    events: AsyncGenerator[bytes, None], seconds: float = BEAT_SECONDS
) -> AsyncGenerator[bytes, None]:
    """The events, and HEARTBEAT whenever none comes for so long; closes them at its end."""
    queue: asyncio.Queue[bytes | None] = asyncio.Queue(AHEAD)
    # One task has the events from first to last: time limits inside them are bound to it.
    pump = asyncio.create_task(_pump(events, queue))
    try:
        while True:
            try:
                async with asyncio.timeout(seconds):
                    event = await queue.get()
            except TimeoutError:
                yield HEARTBEAT
                continue
            if event is None:
                break
            yield event
        await pump  # raises what ended it
    finally:
        pump.cancel()
        with anyio.CancelScope(shield=True):
            await asyncio.wait({pump})


async def _pump(events: AsyncGenerator[bytes, None], queue: asyncio.Queue[bytes | None]) -> None:
    try:
        async with aclosing(events):
            async for event in events:
                await queue.put(event)
    except Exception:
        await queue.put(None)  # not if it was cancelled: then nobody listens
        raise
    await queue.put(None)
