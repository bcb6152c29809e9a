"""A client's connection: uvicorn's, with limits for those who connect and say nothing, half a head, or never listen.

Knows nothing of the application. Every limit is on what one client can hold: a place among the connections, memory.
"""

from __future__ import annotations

import asyncio
import json
from typing import Any, ClassVar

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from ocrpress.errors import OcrpressError
from ocrpress.server.door.problems import MEDIA_TYPE, describe
from ocrpress.server.errors import BadRequest, Draining

REASONS = {400: b"Bad Request", 503: b"Service Unavailable"}


class Connection(HttpToolsProtocol):
    """A connection. Make a class with other limits with `connection_class`.

    Attributes:
        most: connections at a time; those beyond are told to come again.
        most_head: bytes of a request's head.
        head_seconds: that a request's head may take, from the connection or its first byte on.
        linger_seconds: that the rest of a body is still taken, and thrown away, after it was refused: a client that is
            cut off while it sends does not read the answer.
        stuck_seconds: that a client may leave an answer unread.
    """

    most: ClassVar[int] = 1000
    most_head: ClassVar[int] = 32 << 10
    head_seconds: ClassVar[float] = 20.0
    linger_seconds: ClassVar[float] = 5.0
    stuck_seconds: ClassVar[float] = 60.0

    _timer: asyncio.TimerHandle | None = None
    _stuck: asyncio.TimerHandle | None = None
    _in_head = True
    _head = 0  # bytes of it

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """A client has come."""
        full = len(self.connections) >= self.most
        super().connection_made(transport)
        if full:
            self._refuse(Draining("there are too many connections", 5))
        else:
            self._arm(self.head_seconds)

    def connection_lost(self, exc: Exception | None) -> None:
        """It has gone."""
        self._arm(None)
        self.resume_writing()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """It has sent something."""
        if self.transport.is_closing():
            return
        super().data_received(data)
        if self._in_head:
            self._head += len(data)
            if self._head > self.most_head:
                self.send_400_response("")
        elif self._idle and not (self._timer or self.timeout_keep_alive_task):
            self._wait_for_the_next()

    def on_message_begin(self) -> None:
        """The first byte of a request."""
        super().on_message_begin()
        if not self._in_head:
            self._in_head, self._head = True, 0
            self._arm(self.head_seconds)

    def on_headers_complete(self) -> None:
        """All of its head. What is raised here is no HTTP."""
        self._head = len(self.url) + sum(len(name) + len(value) for name, value in self.headers)
        if self._head > self.most_head:
            raise ValueError("the head is too long")
        self._in_head = False
        self._arm(None)
        super().on_headers_complete()

    def on_message_complete(self) -> None:
        """All of its body."""
        super().on_message_complete()
        if self._idle:  # it was refused before
            self.cycle.more_body = False
            self._arm(None)

    def on_response_complete(self) -> None:
        """All of the answer is sent."""
        super().on_response_complete()
        if self._idle and self.cycle.more_body:
            self._arm(self.linger_seconds)
        elif self._idle and self.transport.get_write_buffer_size():
            self._arm(self.stuck_seconds)

    def pause_writing(self) -> None:
        """The client does not take what it is sent."""
        super().pause_writing()
        self._stuck = self.loop.call_later(self.stuck_seconds, self.transport.abort)

    def resume_writing(self) -> None:
        """It does again."""
        if self._stuck:
            self._stuck.cancel()
            self._stuck = None
        if self.flow:
            super().resume_writing()

    def send_400_response(self, msg: str) -> None:
        """What was sent is no HTTP, or too much of it."""
        long = self._head > self.most_head
        self._refuse(BadRequest("the head of the request is too long" if long else "this cannot be understood as HTTP"))

    @property
    def _idle(self) -> bool:
        """Is no request under way?"""
        return self.cycle is not None and self.cycle.response_complete

    def _wait_for_the_next(self) -> None:
        """Something has come that is no request; it has ended the wait for one."""
        self.timeout_keep_alive_task = self.loop.call_later(self.timeout_keep_alive, self.timeout_keep_alive_handler)

    def _arm(self, seconds: float | None) -> None:
        """Close the connection after so many seconds; None: not at all."""
        if self._timer:
            self._timer.cancel()
        self._timer = None if seconds is None else self.loop.call_later(seconds, self.transport.abort)

    def _refuse(self, error: OcrpressError) -> None:
        """Answer without the application, and close."""
        if self.cycle is not None and self.cycle.response_started and not self.cycle.response_complete:
            self.transport.abort()  # it would be in the middle of another answer
            return
        body, status = json.dumps(describe(error)).encode(), error.http_status
        head = [
            b"HTTP/1.1 %d %s" % (status, REASONS[status]),
            b"Content-Type: " + MEDIA_TYPE.encode(),
            b"Content-Length: %d" % len(body),
            b"Connection: close",
        ]
        if isinstance(error, Draining):
            head.append(b"Retry-After: %d" % error.retry_after)
        self.transport.write(b"\r\n".join(head) + b"\r\n\r\n" + body)
        self.transport.close()


def connection_class(**limits: Any) -> type[Connection]:
    """A class of connections with these limits."""
    return type("Connection", (Connection,), limits)
