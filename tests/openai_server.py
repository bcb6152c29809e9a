"""A real HTTP server that speaks as much of the OpenAI protocol as the engine needs, and misbehaves as told.

with EndpointServer(lambda asked: Act(status=503) if asked.number == 1 else Act()) as server:
    ... server.url, server.asked, server.busiest
"""

from __future__ import annotations

import base64
import io
import json
import select
import socket
import ssl
import threading
import time
import zlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, Self
from urllib.parse import urlsplit

from PIL import Image


@dataclass(frozen=True)
class Asked:
    """A chat completion request as it came.

    Attributes:
        number: counts them from 1.
        headers: by name in small letters.
        at: monotonic time in seconds.
    """

    number: int
    path: str
    headers: Mapping[str, str]
    body: dict[str, Any]
    at: float

    @property
    def parts(self) -> list[dict[str, Any]]:
        [message] = self.body["messages"]
        assert message["role"] == "user"
        return message["content"]

    @property
    def prompt(self) -> str:
        return self.parts[1]["text"]

    @property
    def image(self) -> Image.Image:
        head, _, data = self.parts[0]["image_url"]["url"].partition(",")
        assert head == "data:image/png;base64"
        return Image.open(io.BytesIO(base64.b64decode(data, validate=True)))

    @property
    def reading(self) -> str:
        """What the server reads in the picture: a checksum, so that no two pages are alike."""
        return f"page {zlib.crc32(self.image.tobytes()):08x}"


@dataclass(frozen=True)
class Act:
    """What the server does with one request.

    Attributes:
        body: sent as it is; a dictionary as JSON; None for a proper completion.
        text, finish, tokens: of the proper completion; text None is the reading of the picture.
        seconds: of thought, before anything is sent.
        cut: bytes of the body that are sent before the connection is closed.
        hang_up: the connection is closed without a word.
        drip: seconds between one byte of the body and the next.
    """

    status: int = 200
    body: bytes | dict[str, Any] | None = None
    headers: Mapping[str, str] = field(default_factory=dict)
    text: str | None = None
    finish: str | None = "stop"
    tokens: int | None = 7
    seconds: float = 0.0
    cut: int | None = None
    hang_up: bool = False
    drip: float = 0.0


class EndpointServer:
    """A context. Attributes may be read at any time.

    Args:
        acts: request -> what to do with it.
        models: names in the list of models, or what to answer in its place.
        port: 0 takes any that is free.
        tls: a PEM file with certificate and key; the server then speaks https.

    Attributes:
        asked: the chat completion requests, as they came.
        listed: how often the list of models was asked for.
        busiest: the most requests that were being answered at a time.
        left: requests whose client went away before it was answered.
    """

    def __init__(
        self,
        acts: Callable[[Asked], Act] = lambda asked: Act(),
        models: object = ("ocr",),
        port: int = 0,
        tls: Path | None = None,
    ) -> None:
        self.acts = acts
        self.models = models
        self.asked: list[Asked] = []
        self.listed = 0
        self.busiest = 0
        self.left = 0
        self._busy = 0
        self._lock = threading.Lock()
        self._closing = threading.Event()
        self._connections: set[socket.socket] = set()
        self._server = _Listener(("127.0.0.1", port), _handler(self))
        if tls:
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            context.load_cert_chain(tls)
            self._server.socket = context.wrap_socket(self._server.socket, server_side=True)
        self.root = f"{'https' if tls else 'http'}://127.0.0.1:{self._server.server_address[1]}"
        self.url = self.root + "/v1"

    def __enter__(self) -> Self:
        threading.Thread(target=self._server.serve_forever, args=(0.01,), daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self.die()

    def die(self) -> None:
        """Stop listening and drop every connection, as when the process is killed."""
        if self._closing.is_set():
            return
        self._closing.set()
        self._server.shutdown()
        self._server.server_close()
        for connection in list(self._connections):
            try:
                connection.shutdown(socket.SHUT_RDWR)
            except OSError:
                continue

    def chat(self, handler: _Handler, body: dict[str, Any]) -> None:
        with self._lock:
            self._busy += 1
            self.busiest = max(self.busiest, self._busy)
            asked = Asked(
                len(self.asked) + 1,
                handler.path,
                {name.lower(): value for name, value in handler.headers.items()},
                body,
                time.monotonic(),
            )
            self.asked.append(asked)
        busy = True

        def done() -> None:  # before the last byte is out: after it, the client may be back already
            nonlocal busy
            with self._lock:
                self._busy -= busy
                busy = False

        try:
            act = self.acts(asked)
            if self._think(handler.connection, act.seconds):
                _play(handler, act, asked, done)
        finally:
            done()

    def list_models(self, handler: _Handler) -> None:
        with self._lock:
            self.listed += 1
        act = self.models
        if not isinstance(act, Act):
            act = Act(body={"object": "list", "data": [{"id": name, "object": "model"} for name in act]})
        _play(handler, act, None, lambda: None)

    def _think(self, connection: socket.socket, seconds: float) -> bool:
        """Whether the client is still there after that time."""
        until = time.monotonic() + seconds
        while (rest := until - time.monotonic()) > 0 and not self._closing.is_set():
            if select.select([connection], [], [], min(rest, 0.02))[0] and not connection.recv(1, socket.MSG_PEEK):
                with self._lock:
                    self.left += 1
                return False
        return not self._closing.is_set()


class _Listener(ThreadingHTTPServer):
    daemon_threads = True
    block_on_close = False
    request_queue_size = 64

    def handle_error(self, request: object, client_address: object) -> None:
        """A client that went away is no news."""


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server_for: EndpointServer

    def setup(self) -> None:
        super().setup()
        self.server_for._connections.add(self.connection)

    def finish(self) -> None:
        self.server_for._connections.discard(self.connection)
        super().finish()

    def do_GET(self) -> None:
        if urlsplit(self.path).path.endswith("/v1/models"):
            self.server_for.list_models(self)
        else:
            self.send_error(404)

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        if urlsplit(self.path).path.endswith("/v1/chat/completions"):
            self.server_for.chat(self, json.loads(body))
        else:
            self.send_error(404)

    def log_message(self, *_: object) -> None:
        """Quiet."""


def _handler(server: EndpointServer) -> type[_Handler]:
    return type("Handler", (_Handler,), {"server_for": server})


def _play(handler: _Handler, act: Act, asked: Asked | None, done: Callable[[], None]) -> None:
    if act.hang_up:
        handler.close_connection = True
        handler.connection.shutdown(socket.SHUT_RDWR)
        return
    body = act.body if act.body is not None or asked is None else completion(act, asked)
    data = body if isinstance(body, bytes) else json.dumps(body).encode()
    handler.send_response(act.status)
    for name, value in act.headers.items():
        handler.send_header(name, value)
    handler.send_header("Content-Length", str(len(data)))
    handler.end_headers()
    if act.drip:
        for index in range(len(data)):
            handler.wfile.write(data[index : index + 1])
            time.sleep(act.drip)
    done()
    if act.cut is not None:
        handler.wfile.write(data[: act.cut])
        handler.close_connection = True
    elif not act.drip:
        handler.wfile.write(data)


def completion(act: Act, asked: Asked) -> dict[str, Any]:
    """A chat completion as vLLM sends it."""
    text = asked.reading if act.text is None else act.text
    found: dict[str, Any] = {
        "id": f"chatcmpl-{asked.number}",
        "object": "chat.completion",
        "model": asked.body["model"],
        "choices": [{"index": 0, "message": {"role": "assistant", "content": text}, "finish_reason": act.finish}],
    }
    if act.tokens is not None:
        found["usage"] = {"prompt_tokens": 281, "completion_tokens": act.tokens, "total_tokens": 281 + act.tokens}
    return found
