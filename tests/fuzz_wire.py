"""A request as bytes over a connection of its own, and what the service says to it. Takes nothing for granted."""

from __future__ import annotations

import re
import socket
import time
from dataclasses import dataclass

from fuzz_requests import Case

PATIENCE = 30.0  # seconds that an answer may take
_STATUS = re.compile(rb"HTTP/1\.1 (\d{3}) ?[^\r\n]*\r\n")


@dataclass(frozen=True)
class Answer:
    """What came back; status 0 if the connection was closed without a word."""

    status: int
    headers: dict[str, str]
    body: bytes
    seconds: float


def send(port: int, case: Case) -> Answer:
    """Send a request over a connection of its own, and read the answer to its end. Raises TimeoutError."""
    began = time.monotonic()
    with socket.create_connection(("127.0.0.1", port), timeout=PATIENCE) as connection:
        try:
            connection.sendall(case.data)
            if case.left:
                connection.shutdown(socket.SHUT_WR)
        except OSError:
            pass  # it has said what it has to say, and hung up
        received = b""
        while time.monotonic() - began < PATIENCE and not _is_whole(received, case.data):
            try:
                more = connection.recv(1 << 16)
            except ConnectionError:
                break
            if not more:
                break
            received += more
        else:
            if not _is_whole(received, case.data):
                raise TimeoutError(f"no end after {PATIENCE:g} s")
    return _parse(received, time.monotonic() - began)


def _is_whole(received: bytes, sent: bytes) -> bool:
    head, found, body = received.partition(b"\r\n\r\n")
    if not found:
        return False
    if head.startswith(b"HTTP/1.1 100"):
        return _is_whole(body, sent)
    headers = _headers_of(head)
    if sent.startswith(b"HEAD ") or head[9:12] in (b"204", b"304"):
        return True
    if "content-length" in headers:
        return len(body) >= int(headers["content-length"])
    if headers.get("transfer-encoding") == "chunked":
        return body.endswith(b"0\r\n\r\n")
    return False


def _headers_of(head: bytes) -> dict[str, str]:
    lines = head.decode("latin-1").split("\r\n")[1:]
    return {name.strip().lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)}


def _parse(received: bytes, seconds: float) -> Answer:
    while received.startswith(b"HTTP/1.1 100"):
        received = received.partition(b"\r\n\r\n")[2]
    found = _STATUS.match(received)
    if found is None:
        assert not received, received[:200]
        return Answer(0, {}, b"", seconds)
    head, _, body = received.partition(b"\r\n\r\n")
    headers = _headers_of(head)
    if headers.get("transfer-encoding") == "chunked":
        body = b"".join(re.findall(rb"(?:^|\r\n)[0-9a-f]+\r\n(.*?)(?=\r\n[0-9a-f]+\r\n)", body, re.DOTALL))
    elif "content-length" in headers:
        body = body[: int(headers["content-length"])]
    return Answer(int(found[1]), headers, body, seconds)
