"""Errors as OpenAI's clients read them: {"error": {"message", "type", "param", "code"}}, under the same status.

What is said is what the problem says; only the shape differs. Within the routes of chats that is done where an error is
raised; what is refused before them (no token, a body that does not end, no such address) is turned on its way out.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Coroutine
from typing import TYPE_CHECKING, Any

from fastapi.responses import JSONResponse
from fastapi.routing import APIRoute
from starlette.datastructures import Headers, MutableHeaders

from ocrpress.errors import OcrpressError
from ocrpress.server.door.problems import MEDIA_TYPE, problem

if TYPE_CHECKING:
    from starlette.requests import Request
    from starlette.responses import Response
    from starlette.types import ASGIApp, Message, Receive, Scope, Send

PATHS = ("/v1/chat", "/v1/models")
_TYPES = {
    401: "authentication_error", 403: "permission_error", 404: "not_found_error", 429: "rate_limit_error",
}  # fmt: skip


def openai_error(problem_found: dict[str, Any], param: str | None = None) -> dict[str, Any]:
    """A problem in OpenAI's shape."""
    status = problem_found["status"]
    usual = "server_error" if status >= 500 else "invalid_request_error"
    said = [problem_found["detail"], problem_found.get("remedy")]
    return {
        "error": {
            "message": ": ".join(filter(None, said)),
            "type": _TYPES.get(status, usual),
            "param": param,
            "code": str(problem_found["type"]).rpartition(":")[2],
        }
    }


def refusal(error: Exception) -> JSONResponse:
    """The answer to a request that failed."""
    answer = problem(error)
    found = openai_error(json.loads(bytes(answer.body)), getattr(error, "param", None))
    kept = {name: value for name, value in answer.headers.items() if name not in ("content-type", "content-length")}
    return JSONResponse(found, answer.status_code, kept)


class ChatRoute(APIRoute):
    """A route whose errors have OpenAI's shape."""

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        """The handler, which answers where it would raise an error of ours."""
        handle = super().get_route_handler()

        async def handle_or_refuse(request: Request) -> Response:
            try:
                return await handle(request)
            except OcrpressError as error:
                return refusal(error)

        return handle_or_refuse


class OpenAIShape:
    """ASGI middleware, outermost: problems that answer to addresses of chats get OpenAI's shape."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer."""
        concerned = scope["type"] == "http" and any(_is_below(scope["path"], path) for path in PATHS)
        await self._app(scope, receive, _Turned(send) if concerned else send)


class _Turned:
    """ASGI's send; a problem is held until it is whole, all else passes."""

    def __init__(self, send: Send) -> None:
        self._send = send
        self._start: Message | None = None
        self._held = b""

    async def __call__(self, message: Message) -> None:
        if message["type"] == "http.response.start" and _is_problem(message):
            self._start = message
        elif self._start is None or message["type"] != "http.response.body":
            await self._send(message)
        else:
            self._held += message.get("body", b"")
            if not message.get("more_body", False):
                await self._finish(self._start)

    async def _finish(self, start: Message) -> None:
        self._start, body = None, self._held
        if body:  # that of an answer to HEAD is empty
            body = json.dumps(openai_error(json.loads(body)), ensure_ascii=False).encode()
        headers = MutableHeaders(scope=start)
        headers["content-type"], headers["content-length"] = "application/json", str(len(body))
        await self._send(start)
        await self._send({"type": "http.response.body", "body": body})


def _is_problem(start: Message) -> bool:
    return Headers(raw=start["headers"]).get("content-type", "").partition(";")[0] == MEDIA_TYPE


def _is_below(path: str, folder: str) -> bool:
    return path == folder or path.startswith(f"{folder}/")
