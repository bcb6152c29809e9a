"""The door of the service: who asks, from where, with how much; what every answer carries; the access log.

    request ─▶ number ─▶ host ─▶ origin ─▶ token ─▶ draining ─▶ length ─▶ the application
    answer  ◀─ security headers, CORS, the request's number; access log ◀─┘

Pure ASGI, so that streams pass through as they are. Refusals are problems. Tokens are compared in constant time and are
never logged. Knows nothing of what the application does.
"""

from __future__ import annotations

import asyncio
import logging
import re
import secrets
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from starlette.datastructures import Headers, MutableHeaders
from starlette.requests import ClientDisconnect
from starlette.responses import Response

from ocrpress.server.door.callers import Tokens, host_of, is_loopback, name_of, origin_of, peer, place_of
from ocrpress.server.door.problems import problem, request_id
from ocrpress.server.errors import BadRequest, Draining, Forbidden, TooLarge, TooSlow
from ocrpress.server.settings import SLOWEST

if TYPE_CHECKING:
    from starlette.types import ASGIApp, Message, Receive, Scope, Send

    from ocrpress.server.service import Service

HEALTH = frozenset({"/healthz", "/readyz"})
PROBES = HEALTH | {"/metrics"}  # asked every few seconds: neither logged when all is well, nor refused while draining
UPLOADS = frozenset({"/v1/convert", "/v1/jobs"})  # these count what they receive themselves
CHAT = "/v1/chat/completions"
MOST_BODY = 64 << 10  # bytes of a request that has nothing to upload
CLIENT_LEFT = 499  # in the log; nobody gets it

SECURITY = {
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Resource-Policy": "same-origin",
    "X-Frame-Options": "DENY",
}
BARE_POLICY = "default-src 'none'; frame-ancestors 'none'"
METHODS = "GET, POST, DELETE"
ASKED_HEADERS = "Authorization, Content-Type, Accept, Last-Event-ID, X-Request-ID"
SHOWN_HEADERS = "Location, Retry-After, X-Request-ID, Ocrpress-Pages, Ocrpress-Failed-Pages, Ocrpress-Vision-Tokens"
PREFLIGHT_SECONDS = "600"

_NUMBER = re.compile(r"[A-Za-z0-9._-]{1,64}")
_LINE = "%(client)s %(method)s %(path)s %(status)s %(bytes)s B %(seconds).3f s %(request)s"
access = logging.getLogger("ocrpress.access")


class Guard:
    """ASGI middleware."""

    def __init__(self, app: ASGIApp, service: Service) -> None:
        self._app, self._service = app, service
        self._settings = service.settings
        self._tokens = Tokens(service.settings.tokens)
        self._origins = frozenset(map(origin_of, service.settings.origins))
        self._local = is_loopback(service.settings.host) and not service.settings.tokens

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer, or have the application answer."""
        if scope["type"] != "http":
            return await self._app(scope, receive, send) if scope["type"] == "lifespan" else None
        headers = Headers(scope=scope)
        visit = Visit(scope, send, _request_number(headers), self._allowed(headers))
        token = request_id.set(visit.number)
        counted = scope["path"] not in PROBES
        self._service.under_way += counted
        try:
            await self._answer(scope, headers, receive, visit)
        finally:
            self._service.under_way -= counted
            request_id.reset(token)
            visit.log()
        return None

    async def _answer(self, scope: Scope, headers: Headers, receive: Receive, visit: Visit) -> None:
        try:
            self._check_place(headers)
            if _is_preflight(scope, headers):
                return await _preflight()(scope, receive, visit.send)
            scope.setdefault("state", {})["client"] = visit.client = self._client(scope, headers)
            self._check_open(scope["path"])
            body = _Body(receive, self._most_body(scope["path"]), self._settings.upload_seconds)
            body.check(headers)
            await self._app(scope, body.receive, visit.send)
        except ClientDisconnect:
            visit.left = True
        except Exception as error:
            answer = problem(error)
            if visit.started:
                raise  # the client has had half of it: only a connection that is cut says that the rest is missing
            await answer(scope, receive, visit.send)
        return None

    def _check_place(self, headers: Headers) -> None:
        """Refuse pages of other sites, and names that others have given this host (DNS rebinding)."""
        hosts = headers.getlist("host")
        if len(hosts) > 1:
            raise BadRequest("the request has more than one Host header", "send one")
        if hosts and self._local and not is_loopback(name_of(hosts[0])):
            raise Forbidden("this service answers to localhost only", "open it as http://localhost, or give it a token")
        origin = headers.get("origin")
        if origin and not self._allowed(headers) and (not hosts or place_of(origin) != host_of(hosts[0])):
            remedy = f"whoever runs the service can allow it with --origin {origin}" if "://" in origin else ""
            raise Forbidden("pages of another site may not use this service", remedy)

    def _allowed(self, headers: Headers) -> str:
        """The Origin header, if it is of a site whose pages may use the API."""
        origin = headers.get("origin", "")
        return origin if origin and origin_of(origin) in self._origins else ""

    def _client(self, scope: Scope, headers: Headers) -> str:
        """Who asks, for turns between clients: a token's name, or an address."""
        path = scope["path"]
        if not self._tokens or path in HEALTH or path == "/" or path.startswith("/page/"):
            return _peer(scope)
        return self._tokens.name(headers.getlist("authorization"))

    def _check_open(self, path: str) -> None:
        if path in PROBES:
            return
        if self._service.draining:
            raise Draining("the service is being stopped", 10)
        if path.startswith("/v1/") and path != "/v1/modes" and self._service.desk.state == "starting":
            raise Draining("the engine is not open yet", 5)

    def _most_body(self, path: str) -> int | None:
        """Most bytes of a body; None where the application counts."""
        if path in UPLOADS:
            return None
        # An upload in a chat is base64 in JSON.
        return self._settings.max_bytes * 4 // 3 + (1 << 20) if path == CHAT else MOST_BODY


@dataclass
class Visit:
    """One request on its way: what is sent is dressed with headers, and counted for the log.

    Attributes:
        allowed: the foreign origin that may read the answer; else empty.
        started: the head of the answer is sent.
        left: the client has gone.
    """

    scope: Scope
    _send: Send
    number: str
    allowed: str
    client: str = ""
    status: int = 0
    bytes: int = 0
    started: bool = False
    left: bool = False
    since: float = field(default_factory=time.perf_counter)

    async def send(self, message: Message) -> None:
        """ASGI's send."""
        if message["type"] == "http.response.start":
            self.started, self.status = True, message["status"]
            self._dress(MutableHeaders(scope=message))
        elif message["type"] == "http.response.body":
            self.bytes += len(message.get("body", b""))
        await self._send(message)

    def log(self) -> None:
        """The line in the access log: client, what was asked without its query, status, bytes, seconds, number."""
        status = CLIENT_LEFT if self.left else self.status
        level = logging.DEBUG if self.scope["path"] in PROBES and status < 400 else logging.INFO
        if access.isEnabledFor(level):
            about = {
                "client": self.client or _peer(self.scope), "method": self.scope["method"], "path": _shown(self.scope),
                "status": status, "bytes": self.bytes, "seconds": round(time.perf_counter() - self.since, 4),
                "request": self.number,
            }  # fmt: skip
            access.log(level, _LINE, about)

    def _dress(self, headers: MutableHeaders) -> None:
        for name, value in SECURITY.items():
            headers.setdefault(name, value)
        headers.setdefault("Content-Security-Policy", BARE_POLICY)
        if self.scope["path"].startswith("/v1/"):
            headers.setdefault("Cache-Control", "no-store")
        headers["X-Request-ID"] = self.number
        if self.allowed:
            headers["Access-Control-Allow-Origin"] = self.allowed
            headers.setdefault("Access-Control-Expose-Headers", SHOWN_HEADERS)
            headers.add_vary_header("Origin")


class _Body:
    """A body that is counted as it comes, and given up when it does not come.

    Args:
        most: bytes; None leaves counting and waiting to the application.
        seconds: that it may send nothing; all of it may take that and its bytes at SLOWEST.
    """

    def __init__(self, receive: Receive, most: int | None, seconds: float) -> None:
        self._receive, self._most, self._seconds = receive, most, seconds
        self._bytes, self._whole, self._since = 0, most is None, time.monotonic()

    def check(self, headers: Headers) -> None:
        """Refuse by what the head says. Raises TooLarge, BadRequest."""
        length = headers.get("content-length", "0")
        if not (length.isascii() and length.isdigit() and len(length) < 20):
            raise BadRequest("Content-Length is no number", "send the number of bytes of the body")
        if self._most is not None and int(length) > self._most:
            self._refuse()

    async def receive(self) -> Message:
        """ASGI's receive. Raises TooLarge, TooSlow."""
        if self._whole:
            return await self._receive()
        last = self._since + self._seconds + self._bytes / SLOWEST
        try:
            async with asyncio.timeout(min(self._seconds, last - time.monotonic())):
                message = await self._receive()
        except TimeoutError:
            raise TooSlow("the request does not come, or too slowly", "send it again") from None
        self._bytes += len(message.get("body", b""))
        self._whole = not message.get("more_body", False)
        if self._most is not None and self._bytes > self._most:
            self._refuse()
        return message

    def _refuse(self) -> None:
        raise TooLarge(f"the request is larger than {self._most:,} bytes", "send less")


def _peer(scope: Scope) -> str:
    return peer((scope.get("client") or ("local", 0))[0])


def _request_number(headers: Headers) -> str:
    """As the client or a proxy has numbered it, if that can be printed anywhere; else a new one."""
    given = headers.get("x-request-id", "")
    return given if _NUMBER.fullmatch(given) else secrets.token_hex(8)


def _is_preflight(scope: Scope, headers: Headers) -> bool:
    return scope["method"] == "OPTIONS" and "origin" in headers and "access-control-request-method" in headers


def _preflight() -> Response:
    """Yes; a browser that is not told so by `Access-Control-Allow-Origin` takes it as a no."""
    allowed = {"Methods": METHODS, "Headers": ASKED_HEADERS}
    headers = {f"Access-Control-Allow-{name}": value for name, value in allowed.items()}
    return Response(status_code=204, headers=headers | {"Access-Control-Max-Age": PREFLIGHT_SECONDS})


def _shown(scope: Scope) -> str:
    """The path, in one line of printable characters."""
    raw = scope.get("raw_path") or scope["path"].encode("utf-8", "replace")
    return "".join(chr(byte) if 0x21 <= byte < 0x7F else f"%{byte:02X}" for byte in raw[:200])
