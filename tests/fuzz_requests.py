"""Requests that went wrong, by number: the same number gives the same bytes."""

from __future__ import annotations

import base64
import json
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from random import Random
from typing import Any
from urllib.parse import unquote

from fuzz_data import BOUNDARY, SNIPPETS, WORDS, documents, mutated, wrong_document

CHAT = "/v1/chat/completions"
CHATS = ("/v1/chat", "/v1/models")

FIELDS = (
    "mode", "task", "pages", "password", "dpi", "max_tiles", "max_tokens", "retries", "keep_furniture", "page_breaks",
    "format",
    "stream", "mod", "file", "", "__proto__", "renderer", "figures", "a" * 300,
)  # fmt: skip
VALUES: tuple[Any, ...] = (
    None, True, False, 0, -1, 1, 2**63, 10**30, 0.5, 1e308, "", "x", "data:", "data:,", "data:;base64,",
    "data:image/png;base64,A",
    "http://127.0.0.1:1/", "file:///etc/passwd", [], {}, [[]], [{}], {"type": "text"}, "\ud800", "a" * 5000,
    "A" * 200_000,
)  # fmt: skip
HEADERS = (
    b"Content-Type: application/json", b"Content-Type: multipart/form-data",
    b"Content-Type: multipart/form-data; boundary=",
    b'Content-Type: multipart/form-data; boundary="' + b"x" * 200 + b'"', b"Content-Type: text/plain", b"Content-Type:",
    b"Content-Type: multipart/form-data; boundary=\xff\xfe", b"Content-Length: -1",
    b"Content-Length: 99999999999999999999",
    b"Content-Length: 12, 13", b"Content-Length: 0x10", b"Transfer-Encoding: chunked", b"Transfer-Encoding: gzip",
    b"Content-Encoding: gzip", b"Expect: 100-continue", b"Host: example.org", b"Host: ", b"Host: 127.0.0.1",
    b"Origin: null",
    b"Origin: https://evil.example", b"Accept: text/event-stream", b"Accept: application/json;q=0,*/*;q=x",
    b"Accept: " + b"," * 500,
    b"Accept: text/plain;q=" + b"9" * 500, b"Authorization: Bearer x", b"Authorization: \xff",
    b"X-Request-ID: " + b"a" * 100,
    b"X-Request-ID: a\tb", b"Last-Event-ID: 3", b"Last-Event-ID: -9", b"Last-Event-ID: " + b"9" * 400,
    b"Range: bytes=0-",
    b"If-None-Match: *", b"Connection: close", b"Connection: upgrade\r\nUpgrade: websocket", b"X: " + b"y" * 40_000,
    b"no colon here",
    b": no name", b"Cookie: " + b"a=b;" * 300, b"Forwarded: for=1.2.3.4", b"X-Forwarded-For: 1.2.3.4",
    b"Folded: a\r\n b",
)  # fmt: skip
PATHS = (
    "/", "/page/app.js", "/page/../app.py", "/page/%2e%2e/app.py", "/page/", "/healthz", "/readyz", "/metrics",
    "/openapi.json", "/docs",
    "/v1/modes", "/v1/modes?width=100&height=100", "/v1/modes?width=0", "/v1/modes?width=99999999999999&height=1",
    "/v1/modes?width=1&height=1&max_tiles=99", "/v1/modes?width=%00", "/v1/models", "/v1/models/",
    "/v1/models/fake:tiny", "/v1/models/%ff%fe",
    "/v1/models/../jobs", "/v1/convert", "/v1/jobs", "/v1/jobs?limit=0", "/v1/jobs?limit=99999999999999999999",
    "/v1/jobs?limit=x&limit=1",
    "/v1/jobs/", "/v1/jobs/{id}", "/v1/jobs/{id}/", "/v1/jobs/{id}/result", "/v1/jobs/{id}/result?format=json",
    "/v1/jobs/{id}/result?format=x",
    "/v1/jobs/{id}/result?page_breaks=none&keep_furniture=1&format=txt", "/v1/jobs/{id}/modes",
    "/v1/jobs/{id}/pages/1/image",
    "/v1/jobs/{id}/pages/1/image?width=10", "/v1/jobs/{id}/pages/1/image?width=99999", "/v1/jobs/{id}/pages/0/image",
    "/v1/jobs/{id}/pages/-1/image",
    "/v1/jobs/{id}/pages/99999999999999999999/image", "/v1/jobs/{id}/pages/x/image", "/v1/jobs/{id}/events",
    "/v1/jobs/{id}/nothing",
    "/v1/chat", CHAT, "//v1/jobs", "/v1//jobs", "/V1/JOBS", "*", "", "http://example.org/v1/jobs",
    "/v1/jobs?" + "a=b&" * 500,
    "/" + "a" * 3000, "/%", "/%zz", "/\xe9", "/v1/jobs/{id}/result%0d%0aX:1",
)  # fmt: skip
IDS = ("", ".", "..", "%2e%2e%2f", "x", "a" * 22, "A" * 1000, "%00", "ü" * 11, "-" * 22, "input", "{id}")
METHODS = ("GET", "POST", "PUT", "DELETE", "PATCH", "HEAD", "OPTIONS", "TRACE", "CONNECT", "get", "GETT", "\x00")


@dataclass(frozen=True)
class Case:
    """A request as bytes.

    Attributes:
        left: the client sends no more, and says so; then the service may just close the connection.
        chat: the answer is to have OpenAI's shape.
    """

    number: int
    kind: str
    data: bytes = field(repr=False)
    left: bool = False
    chat: bool = False


def mutant(number: int, jobs: Sequence[str] = ()) -> Case:
    """The request of that number; `jobs` are ids that are there."""
    random = Random(number)
    kind = random.choice(list(_MAKERS))
    return _MAKERS[kind](number, random, jobs)


def form(fields: Sequence[tuple[str, str]], name: str, data: bytes) -> bytes:
    """A multipart body as it should be, but for what is in it."""
    parts = [
        f'Content-Disposition: form-data; name="{key}"\r\n\r\n{value}'.encode("utf-8", "replace")
        for key, value in fields
    ]
    shown = name.replace('"', "%22").replace("\r", "").replace("\n", "").encode("utf-8", "replace")
    parts.append(b'Content-Disposition: form-data; name="file"; filename="' + shown + b'"\r\n\r\n' + data)
    return b"".join(b"--" + BOUNDARY + b"\r\n" + part + b"\r\n" for part in parts) + b"--" + BOUNDARY + b"--\r\n"


def request(method: str, path: str, body: bytes = b"", *lines: bytes, length: int | None = None) -> bytes:
    """A request as bytes; a header that stands in `lines` replaces the usual one."""
    usual = [
        b"Host: localhost",
        b"Content-Length: %d" % (len(body) if length is None else length),
        b"Connection: close",
    ]
    given = {line.partition(b":")[0].lower() for line in lines}
    head = [
        f"{method} {path} HTTP/1.1".encode("utf-8", "replace"),
        *(one for one in usual if one.partition(b":")[0].lower() not in given),
        *lines,
    ]
    return b"\r\n".join(head) + b"\r\n\r\n" + body


_FORM = b"Content-Type: multipart/form-data; boundary=" + BOUNDARY
_JSON = b"Content-Type: application/json"


def _upload(number: int, random: Random, jobs: Sequence[str]) -> Case:
    """A document with something wrong, in a form that is right."""
    path = "/v1/jobs" if random.random() < 0.15 else "/v1/convert"
    fields = [("stream", "true")] if random.random() < 0.15 and path != "/v1/jobs" else []
    return Case(number, "document", request("POST", path, form(fields, *wrong_document(random)), _FORM))


def _framing(number: int, random: Random, jobs: Sequence[str]) -> Case:
    """A form with something wrong around the document."""
    name, data = random.choice(documents())
    body = form([("mode", "tiny")], name, data[:200])
    edges = [found.start() for found in re.finditer(re.escape(BOUNDARY) + rb"|Content|\r\n\r\n", body)]
    for _ in range(random.randint(1, 4)):
        at = (
            min(len(body), random.choice(edges) + random.randrange(-3, 40))
            if random.random() < 0.8
            else random.randrange(len(body) + 1)
        )
        body = body[: max(0, at)] + random.choice((b"", *SNIPPETS)) + body[max(0, at) + random.choice((0, 1, 2, 9)) :]
    return Case(number, "framing", request("POST", "/v1/convert", body, _FORM))


def _fields(number: int, random: Random, jobs: Sequence[str]) -> Case:
    """A document that is right, with fields that are not."""
    fields = [(random.choice(FIELDS), random.choice(WORDS)) for _ in range(random.choice((1, 1, 2, 5, 40)))]
    path = random.choice(("/v1/convert", "/v1/convert", "/v1/jobs"))
    return Case(number, "fields", request("POST", path, form(fields, *random.choice(documents())), _FORM))


def _headers(number: int, random: Random, jobs: Sequence[str]) -> Case:
    """Headers that are wrong, doubled, or lies."""
    body = form([], *random.choice(documents()))
    path = random.choice(("/v1/convert", "/v1/jobs", CHAT, "/v1/modes", "/healthz"))
    lines = [random.choice(HEADERS) for _ in range(random.randint(1, 4))]
    if random.random() < 0.1:
        lines.append(mutated(random, random.choice(HEADERS)))
    return Case(
        number,
        "headers",
        request(random.choice(("POST", "GET")), path, body, _FORM, *lines),
        left=random.random() < 0.9,
        chat=path == CHAT,
    )


def _lengths(number: int, random: Random, jobs: Sequence[str]) -> Case:
    """A body that is longer or shorter than was said, or in chunks that are wrong."""
    if random.random() < 0.5:
        body = form([], *random.choice(documents()))
        path, kind = "/v1/convert", _FORM
    else:
        body, path, kind = json.dumps(_chat(random)).encode(), CHAT, _JSON
    if random.random() < 0.5:
        data = request(
            "POST", path, body, kind, length=max(0, len(body) + random.choice((-len(body), -1, 1, 100, 10**6)))
        )
    else:
        chunks = (
            b"".join(b"%x\r\n" % len(piece) + piece + b"\r\n" for piece in (body[:100], body[100:]) if piece)
            + b"0\r\n\r\n"
        )
        data = request("POST", path, b"", kind, b"Transfer-Encoding: chunked", b"X: y")
        data = data.replace(b"Content-Length: 0\r\n", b"") + mutated(random, chunks, 2)
    return Case(number, "lengths", data, left=random.random() < 0.9, chat=path == CHAT)


def _chat(random: Random) -> dict[str, Any]:
    """A chat as it should be."""

    def part() -> dict[str, Any]:
        name, data = random.choice(documents())
        url = "data:image/png;base64," + base64.b64encode(data).decode()
        if random.random() < 0.3:
            return {"type": "file", "file": {"filename": name, "file_data": url}}
        return {"type": "image_url", "image_url": {"url": url}}

    content = [part() for _ in range(random.choice((1, 1, 1, 3)))] + [{"type": "text", "text": random.choice(WORDS)}]
    chat: dict[str, Any] = {"model": "x", "messages": [{"role": "user", "content": content}]}
    if random.random() < 0.3:
        chat |= {"stream": True, "stream_options": {"include_usage": True}}
    return chat


def _wrong_value(random: Random, found: Any) -> Any:
    """A value with one thing wrong, somewhere in it."""
    if isinstance(found, dict) and found and random.random() < 0.85:
        key = random.choice(list(found))
        kept = {name: value for name, value in found.items() if name != key}
        new = key if random.random() < 0.8 else random.choice(("", "type", "n", "mode", "\x00", "messages"))
        return kept if random.random() < 0.1 else {**kept, new: _wrong_value(random, found[key])}
    if isinstance(found, list) and found and random.random() < 0.85:
        at = random.randrange(len(found))
        return [
            *found[:at],
            *([_wrong_value(random, found[at])] * random.choice((0, 1, 1, 1, 2, 300))),
            *found[at + 1 :],
        ]
    if isinstance(found, str) and found and random.random() < 0.5:
        return mutated(random, found.encode("utf-8", "replace"), 3).decode("latin-1")
    return random.choice(VALUES)


def _chat_values(number: int, random: Random, jobs: Sequence[str]) -> Case:
    """A chat whose JSON is sound, and what it says is not."""
    found = _chat(random)
    for _ in range(random.choice((1, 1, 2, 4))):
        found = _wrong_value(random, found)
    if isinstance(found, dict) and random.random() < 0.3:
        name = random.choice(
            (
                "n",
                "temperature",
                "max_tokens",
                "mode",
                "pages",
                "stream",
                "stream_options",
                "response_format",
                "dpi",
                "tool_choice",
            )
        )
        found = {**found, name: random.choice((*VALUES, *WORDS))}
    return Case(number, "chat values", request("POST", CHAT, json.dumps(found).encode(), _JSON), chat=True)


def _chat_bytes(number: int, random: Random, jobs: Sequence[str]) -> Case:
    """A chat whose JSON is not sound."""
    return Case(
        number,
        "chat bytes",
        request("POST", CHAT, mutated(random, json.dumps(_chat(random)).encode()), _JSON),
        chat=True,
    )


def _chat_documents(number: int, random: Random, jobs: Sequence[str]) -> Case:
    """A chat about documents with something wrong."""
    found = _chat(random)
    for part in found["messages"][0]["content"][:-1]:
        name, data = wrong_document(random)
        url = "data:image/png;base64," + base64.b64encode(data).decode()
        part[part["type"]] = {"url": url} if part["type"] == "image_url" else {"filename": name, "file_data": url}
    return Case(number, "chat documents", request("POST", CHAT, json.dumps(found).encode(), _JSON), chat=True)


def _places(number: int, random: Random, jobs: Sequence[str]) -> Case:
    """Addresses, ids and methods."""
    path = random.choice(PATHS)
    if "{id}" in path:
        path = path.replace("{id}", random.choice((*IDS, *jobs, *jobs)))
    if random.random() < 0.2:
        path = mutated(random, path.encode(), 2).decode("latin-1").replace("\n", "")
    method = "GET" if random.random() < 0.6 else random.choice(METHODS)
    odd = (
        any(not 0x21 <= ord(char) < 0x7F for char in method + path) or not path.startswith("/") or method in METHODS[8:]
    )
    below = unquote(path.partition("?")[0])
    return Case(
        number,
        "places",
        request(method, path),
        left=odd or len(path) > 8000,
        chat=below in CHATS or below.startswith(tuple(f"{each}/" for each in CHATS)),
    )


def _garbage(number: int, random: Random, jobs: Sequence[str]) -> Case:
    """What is hardly HTTP any more."""
    data = mutated(random, request("POST", "/v1/convert", form([], "a.txt", b"text"), _FORM), 8)
    return Case(number, "garbage", data, left=True)


_MAKERS: dict[str, Callable[[int, Random, Sequence[str]], Case]] = {
    f"{maker.__name__}{copy}": maker
    for maker, copies in (
        (_upload, 6), (_framing, 2), (_fields, 2), (_headers, 2), (_lengths, 2), (_chat_values, 2), (_chat_bytes, 1),
        (_chat_documents, 2),
        (_places, 2), (_garbage, 1),
    )
    for copy in range(copies)
}  # fmt: skip
