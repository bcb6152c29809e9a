"""Bare connections: those that say nothing, too much, no HTTP at all, or never listen; and how many there may be."""

from __future__ import annotations

import asyncio
import contextlib
import json
import random
import socket
import threading
import time

import pytest
import uvicorn
from service_tools import wait_until
from starlette.requests import ClientDisconnect, Request
from starlette.responses import JSONResponse, PlainTextResponse

from ocrpress.server.door.connection import connection_class


@contextlib.contextmanager
def connections(app, **limits):
    """A server of such connections; gives a function that connects."""
    place = socket.create_server(("127.0.0.1", 0))
    config = uvicorn.Config(
        app, http=connection_class(**limits), ws="none", lifespan="off", log_config=None, access_log=False,
        server_header=False, timeout_keep_alive=1, timeout_graceful_shutdown=1,
    )  # fmt: skip
    server = uvicorn.Server(config)
    thread = threading.Thread(target=server.run, args=([place],))
    thread.start()
    opened = []

    def connect(data=b""):
        opened.append(socket.create_connection(place.getsockname(), timeout=20))
        opened[-1].sendall(data)
        return opened[-1]

    try:
        wait_until(lambda: server.started)
        connect.server = server
        address = place.getsockname()
        connect.address = address
        yield connect
    finally:
        for one in opened:
            one.close()
        server.should_exit = True
        thread.join(20)
        assert not thread.is_alive()


async def hello(scope, receive, send):
    """Answers at once, whatever comes."""
    await JSONResponse({"path": scope["path"]})(scope, receive, send)


def heard(connection):
    """All that comes until the connection ends."""
    data = b""
    with contextlib.suppress(ConnectionResetError):
        while piece := connection.recv(1 << 16):
            data += piece
    return data


GET = b"GET /a HTTP/1.1\r\nHost: x\r\n\r\n"


def test_requests_are_answered_one_after_the_other_on_one_connection():
    with connections(hello, head_seconds=0.5) as connect:
        one = connect(GET + b"GET /b HTTP/1.1\r\nHost: x\r\n\r\n")
        for _ in range(3):
            time.sleep(0.3)  # the limit of a head is not one of a connection
            one.sendall(GET)
        one.sendall(b"GET /c HTTP/1.0\r\n\r\n")
        paths = [piece[:2] for piece in heard(one).split(b'"path":"')[1:]]
        assert paths == [b"/a", b"/b", b"/a", b"/a", b"/a", b"/c"]


@pytest.mark.parametrize("data", [b"", b"GET", b"GET / HTTP/1.1\r\nHost: x\r\nX-Slow: ", GET + b"GET /b", b"\r\n"])
def test_a_head_that_does_not_come_is_not_waited_for(data):
    with connections(hello, head_seconds=0.2) as connect:
        one = connect(data)
        started = time.monotonic()
        assert heard(one).count(b"200 OK") == data.count(b"/a")
        assert time.monotonic() - started < 5


def test_a_head_that_drips_is_not_waited_for():
    with connections(hello, head_seconds=0.3) as connect:
        one = connect(b"GET / HTTP/1.1\r\n")
        with pytest.raises(OSError):
            for _ in range(200):
                one.sendall(b"a: b\r\n")
                time.sleep(0.02)


def test_a_connection_that_says_nothing_more_is_closed():
    with connections(hello) as connect:
        for data in (GET, GET + b"\r\n", GET + b"\r\n\r\n"):
            one = connect(data)
            assert heard(one).count(b"200 OK") == 1


@pytest.mark.parametrize(
    "data",
    [
        b"GET / HTTP/1.1\r\n" + b"X-Long: " + b"x" * 100_000,
        b"GET / HTTP/1.1\r\n" + b"".join(b"X-%d: y\r\n" % n for n in range(10_000)),
        b"GET /" + b"x" * 100_000 + b" HTTP/1.1\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: x\r\nX-Long: " + b"x" * 40_000 + b"\r\n\r\n",
    ],
)
def test_a_long_head_is_refused(data):
    with connections(hello) as connect:
        answer = heard(connect(data))
        assert answer.startswith(b"HTTP/1.1 400 ")
        assert b"head of the request is too long" in answer


@pytest.mark.parametrize(
    "data", [b"\x16\x03\x01\x02\x00", b"HELO x\r\n", b"GET\r\n\r\n", b"GET / HTTP/9.9\r\n\r\n", b"\0" * 100]
)
def test_what_is_no_http_is_refused_with_a_problem(data):
    with connections(hello) as connect:
        head, _, body = heard(connect(data)).partition(b"\r\n\r\n")
        assert head.startswith(b"HTTP/1.1 400 Bad Request\r\n")
        assert json.loads(body)["type"] == "urn:ocrpress:bad-request"


def test_beyond_the_most_connections_clients_are_told_to_come_again():
    with connections(hello, most=3, head_seconds=20) as connect:
        held = [connect() for _ in range(3)]
        answer = heard(connect(GET))
        assert answer.startswith(b"HTTP/1.1 503 ")
        assert b"\r\nRetry-After: " in answer
        held.pop().close()
        wait_until(lambda: len(connect.server.server_state.connections) < 3)
        one = connect(GET)
        assert b"200 OK" in one.recv(1000)


async def refuse(scope, receive, send):
    """Says no before the body has come."""
    await NO(scope, receive, send)


NO = PlainTextResponse("no", 404)


def test_a_client_that_is_refused_while_it_sends_can_read_why():
    with connections(refuse, linger_seconds=5) as connect:
        one = connect(b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 30000000\r\n\r\n")
        for _ in range(30):
            one.sendall(b"x" * 1_000_000)
        assert b"404" in one.recv(1000)
        one.sendall(GET)  # and go on
        assert b"404" in one.recv(1000)


def test_a_client_that_is_refused_and_sends_no_end_is_closed():
    with connections(refuse, linger_seconds=0.2) as connect:
        one = connect(b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 30000000\r\n\r\nx")
        assert b"404" in heard(one)
        two = connect(b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 30000000\r\n\r\nx")
        with pytest.raises(OSError):
            for _ in range(200):
                two.sendall(b"x")
                time.sleep(0.02)


def test_a_client_that_does_not_read_its_answer_is_cut_off():
    ended = threading.Event()

    async def endless(scope, receive, send):
        await send({"type": "http.response.start", "status": 200, "headers": []})
        try:
            while (await asyncio.sleep(0)) is None:
                await send({"type": "http.response.body", "body": b"x" * 100_000, "more_body": True})
                if not server.server_state.connections:
                    return
        finally:
            ended.set()

    with connections(endless, stuck_seconds=0.3) as connect:
        server = connect.server
        connect(GET)
        assert ended.wait(20)


def test_a_request_that_wants_another_protocol_is_answered_in_this_one():
    asks = (
        b"GET /a HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n\r\n"
    )
    with connections(hello) as connect:
        assert b'"path":"/a"' in heard(connect(asks))


def test_mutated_heads_are_answered_or_refused_and_the_server_lives():
    async def reads(scope, receive, send):
        with contextlib.suppress(ClientDisconnect):
            await Request(scope, receive).body()
            await hello(scope, receive, send)

    chance = random.Random(7)
    seeds = [
        b"POST /v1/convert?a=b HTTP/1.1\r\nHost: localhost\r\nContent-Length: 5\r\nOrigin: null\r\n\r\nabcde",
        b"POST /x HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nabcde\r\n0\r\n\r\n",
        b"CONNECT a:1 HTTP/1.1\r\nHost: a\r\n\r\n", b"GET http://a HTTP/1.1\r\nHost: \r\nExpect: 100-continue\r\n\r\n",
    ]  # fmt: skip
    statuses = set()
    with connections(reads, head_seconds=0.3, most=100_000) as connect:
        for _ in range(1000):
            data = bytearray(chance.choice(seeds))
            for _ in range(chance.randint(0, 3)):
                place, what = chance.randrange(len(data)), chance.randrange(3)
                data[place : place + (what != 1)] = bytes([chance.choice(b"\0\r\n :%\xff/a0[")] if what else [])
            with contextlib.suppress(OSError), socket.create_connection(connect.address, timeout=20) as one:
                one.sendall(bytes(data))
                one.shutdown(socket.SHUT_WR)
                statuses.add(one.recv(1 << 16)[9:12])
        assert b'"path":"/a"' in heard(connect(GET))
    assert statuses <= {b"200", b"400", b"", b"100", b"Con"}
    assert {b"200", b"400"} <= statuses
