"""The answer that sends a follower its events, as fast as it takes them: none wait in memory."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from typing import TYPE_CHECKING

from starlette.responses import StreamingResponse

from ocrpress.server.answers.sse import HEADERS, MEDIA_TYPE

if TYPE_CHECKING:
    from starlette.types import Receive, Scope, Send


class EventStream(StreamingResponse):
    """Server-sent events; heartbeats are among them.

    Args:
        events: closed when the client has left.
    """

    def __init__(self, events: AsyncGenerator[bytes, None]) -> None:
        self._events = events
        super().__init__(events, headers=HEADERS, media_type=MEDIA_TYPE)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """See StreamingResponse."""
        try:
            await super().__call__(scope, receive, send)
        finally:
            await self._events.aclose()
