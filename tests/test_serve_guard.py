"""The door of the service: tokens, hosts, origins, headers, lengths, the log."""

from __future__ import annotations

import asyncio
import io
import json
import logging
import threading
import time
from types import SimpleNamespace

import httpx
import pytest
from service_tools import wait_until
from starlette.requests import ClientDisconnect, Request
from starlette.responses import JSONResponse, PlainTextResponse, Response

from ocrpress.jobs.reading.settings import Settings
from ocrpress.server.door.callers import Tokens, host_of, is_loopback, origin_of, peer, place_of
from ocrpress.server.door.guard import Guard
from ocrpress.server.door.logs import logging_to_stderr
from ocrpress.server.errors import NotFound
from ocrpress.server.settings import ServerSettings

TOKEN = "tok-0123456789abcdef"  # noqa: S105
OTHER = "tok-fedcba9876543210"
HERE = "http://127.0.0.1:8000"


class Door:
    """A guard before an application that says what it saw."""

    def __init__(self, folder, **settings):
        self.service = SimpleNamespace(
            settings=ServerSettings(Settings("fake"), folder, **settings), desk=SimpleNamespace(state="ready"),
            draining=False, under_way=0,
        )  # fmt: skip
        self.guard = Guard(self.application, self.service)
        self.app = self.said

    async def application(self, scope, receive, send):
        assert self.service.under_way >= (scope["path"] not in {"/healthz", "/readyz", "/metrics"})
        await self.app(scope, receive, send)

    async def said(self, scope, receive, send):
        request = Request(scope, receive)
        body = await request.body()
        answer = JSONResponse({"client": scope["state"]["client"], "bytes": len(body)})
        await answer(scope, receive, send)

    def ask(self, method="GET", path="/v1/modes", headers=None, **more):
        async def go():
            transport = httpx.ASGITransport(self.guard, raise_app_exceptions=True, client=("192.0.2.7", 5))
            async with httpx.AsyncClient(transport=transport, base_url=HERE) as client:
                return await client.request(method, path, headers=headers, **more)

        answer = asyncio.run(go())
        assert self.service.under_way == 0
        return answer


@pytest.fixture
def door(tmp_path):
    return lambda **settings: Door(tmp_path, **settings)


def bearer(token):
    return {"Authorization": f"Bearer {token}"}


def refused(answer, status, kind):
    found = answer.json()
    assert (answer.status_code, answer.headers["content-type"]) == (status, "application/problem+json")
    assert (found["status"], found["type"]) == (status, f"urn:ocrpress:{kind}")
    assert found["instance"] == f"urn:ocrpress:request:{answer.headers['x-request-id']}"
    return found


# Tokens


def test_without_tokens_everybody_is_let_in_and_known_by_their_address(door):
    assert door().ask().json()["client"] == "192.0.2.7"


def test_a_token_gives_its_client_a_name(door):
    guarded = door(tokens={TOKEN: "ann", OTHER: "bob"})
    assert guarded.ask(headers=bearer(TOKEN)).json()["client"] == "ann"
    assert guarded.ask(headers=bearer(OTHER)).json()["client"] == "bob"
    assert guarded.ask(headers={"Authorization": f"bEARER   {OTHER} "}).json()["client"] == "bob"


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"Authorization": ""},
        {"Authorization": "Bearer"},
        {"Authorization": "Bearer "},
        {"Authorization": TOKEN},
        {"Authorization": f"Basic {TOKEN}"},
        bearer("tok-0123456789abcdee"),
        bearer(TOKEN[:-1]),
        bearer(TOKEN + "0"),
        bearer(f"{TOKEN} {TOKEN}"),
        bearer("ann"),
        {"Authorization": b"Bearer \xff\xfe\xfd"},
        [("Authorization", f"Bearer {TOKEN}"), ("Authorization", f"Bearer {OTHER}")],
        {"X-Api-Key": TOKEN},
        {"Cookie": f"token={TOKEN}"},
    ],
)
def test_whoever_has_no_token_is_asked_for_one(door, headers):
    answer = door(tokens={TOKEN: "ann", OTHER: "bob"}).ask("POST", "/v1/convert", headers)
    refused(answer, 401, "unauthorized")
    assert answer.headers["www-authenticate"] == 'Bearer realm="ocrpress"'
    assert TOKEN not in answer.text


def test_a_token_in_the_address_is_no_token(door):
    refused(door(tokens={TOKEN: "ann"}).ask(path=f"/v1/modes?token={TOKEN}&access_token={TOKEN}"), 401, "unauthorized")


def test_health_and_the_page_need_no_token_and_everything_else_does(door):
    guarded = door(tokens={TOKEN: "ann"})
    for path in ("/healthz", "/readyz", "/", "/page/main.js"):
        assert guarded.ask(path=path).status_code == 200
    for path in ("/metrics", "/openapi.json", "/v1/jobs", "/v1/jobs/x", "/healthz/", "/page", "/nothing"):
        refused(guarded.ask(path=path), 401, "unauthorized")


def test_tokens_are_kept_as_digests_and_all_of_them_are_compared(monkeypatch):
    compared = []
    monkeypatch.setattr(
        "ocrpress.server.door.callers.hmac.compare_digest", lambda a, b: compared.append((a, b)) or a == b
    )
    tokens = Tokens({TOKEN: "ann", OTHER: "bob"})
    assert TOKEN not in str(vars(tokens))
    assert tokens.name([f"Bearer {TOKEN}"]) == "ann"
    assert len(compared) == 2
    assert {len(digest) for pair in compared for digest in pair} == {32}


# Hosts and origins


@pytest.mark.parametrize(
    "host", ["127.0.0.1:8000", "localhost", "LOCALHOST:1", "[::1]:8000", "127.8.8.8", "a.localhost"]
)
def test_a_service_for_this_machine_answers_to_its_names(door, host):
    assert door().ask(headers={"Host": host}).status_code == 200


@pytest.mark.parametrize(
    "host",
    ["evil.example", "evil.example:8000", "127.0.0.1.evil.example", "localhost.evil.example", "192.0.2.7", "[", ""],
)
def test_a_service_for_this_machine_answers_to_no_other_name(door, host):
    for path in ("/v1/modes", "/", "/healthz"):
        refused(door().ask(path=path, headers={"Host": host}), 403, "forbidden")


def test_a_service_for_others_has_whatever_name_they_give_it(door):
    for guarded in (door(host="::"), door(host="192.0.2.1"), door(tokens={TOKEN: "ann"})):
        assert guarded.ask(headers={"Host": "ocr.example", **bearer(TOKEN)}).status_code == 200


def test_two_hosts_are_refused(door):
    refused(door().ask(headers=[("Host", "localhost"), ("Host", "localhost")]), 400, "bad-request")


@pytest.mark.parametrize(
    "origin",
    ["http://evil.example", "https://127.0.0.1:8001", "null", "http://127.0.0.1:8000.evil.example", "x", "http://["],
)
@pytest.mark.parametrize("method", ["GET", "POST", "DELETE", "OPTIONS"])
def test_pages_of_other_sites_are_refused(door, origin, method):
    answer = door(origins=("https://good.example",)).ask(method, "/v1/jobs", {"Origin": origin})
    refused(answer, 403, "forbidden")
    assert "access-control-allow-origin" not in answer.headers


@pytest.mark.parametrize(
    ("host", "origin"),
    [
        ("localhost:8000", "http://localhost:8000"),
        ("127.0.0.1:8000", "http://127.0.0.1:8000"),
        ("localhost", "http://localhost:80"),
        ("localhost", "https://localhost"),
        ("localhost:443", "https://LOCALHOST"),
        ("[::1]:8000", "http://[::1]:8000"),
    ],
)
def test_its_own_page_is_let_in(door, host, origin):
    answer = door().ask("POST", "/v1/jobs", {"Host": host, "Origin": origin})
    assert answer.status_code == 200
    assert "access-control-allow-origin" not in answer.headers


def test_a_site_that_was_allowed_may_use_the_api(door):
    guarded = door(origins=("https://Good.example:443", "http://localhost:3000"))
    for origin in ("https://good.example", "http://localhost:3000"):
        answer = guarded.ask("POST", "/v1/jobs", {"Origin": origin})
        assert answer.status_code == 200
        assert answer.headers["access-control-allow-origin"] == origin
        assert answer.headers["vary"] == "Origin"
        assert "Location" in answer.headers["access-control-expose-headers"]
        assert "access-control-allow-credentials" not in answer.headers


def test_a_refusal_can_be_read_by_a_site_that_was_allowed(door):
    guarded = door(origins=("https://good.example",), tokens={TOKEN: "ann"})
    answer = guarded.ask("POST", "/v1/jobs", {"Origin": "https://good.example"})
    refused(answer, 401, "unauthorized")
    assert answer.headers["access-control-allow-origin"] == "https://good.example"


def test_a_preflight_is_answered_without_a_token_and_without_the_application(door):
    guarded = door(origins=("https://good.example",), tokens={TOKEN: "ann"})
    asks = {"Origin": "https://good.example", "Access-Control-Request-Method": "DELETE"}
    answer = guarded.ask("OPTIONS", "/v1/jobs/x", asks)
    assert (answer.status_code, answer.content) == (204, b"")
    assert answer.headers["access-control-allow-origin"] == "https://good.example"
    assert "DELETE" in answer.headers["access-control-allow-methods"]
    assert "Authorization" in answer.headers["access-control-allow-headers"]


def test_names_and_origins_are_compared_as_browsers_write_them():
    assert origin_of("HTTPS://A.example:443") == "https://a.example"
    assert origin_of("http://a.example:443") == "http://a.example:443"
    assert [place_of(text) for text in ("null", "", "http://", "http://[", "http://a:b")] == [""] * 5
    assert host_of("a.example:99999999") == ""
    assert [is_loopback(host) for host in ("127.0.0.1", "::1", "localhost", "::", "fe80::1", "10.0.0.1", "")] == [
        True, True, True, False, False, False, False,
    ]  # fmt: skip
    assert peer("2001:db8:1:2:3:4:5:6") == peer("2001:db8:1:2::9") == "2001:db8:1:2::/64"


# Answers


def test_every_answer_says_what_browsers_may_do_with_it(door):
    guarded = door(tokens={TOKEN: "ann"})
    for answer in (
        guarded.ask(headers=bearer(TOKEN)),
        guarded.ask(),
        guarded.ask(headers={"Host": "a", "Origin": "x"}),
    ):
        headers = answer.headers
        assert headers["x-content-type-options"] == "nosniff"
        assert headers["referrer-policy"] == "no-referrer"
        assert headers["cross-origin-resource-policy"] == "same-origin"
        assert headers["content-security-policy"] == "default-src 'none'; frame-ancestors 'none'"
        assert headers["cache-control"] == "no-store"
        assert "server" not in headers


def test_what_the_application_says_of_that_itself_stays(door):
    guarded = door()
    own = {"Content-Security-Policy": "default-src 'self'", "Cache-Control": "no-cache", "Vary": "Accept"}
    guarded.app = PlainTextResponse("x", headers=own)
    assert own.items() <= {name.title(): value for name, value in guarded.ask().headers.items()}.items()


def test_a_request_keeps_the_number_that_it_came_with_if_that_is_harmless(door):
    guarded = door()
    assert guarded.ask(headers={"X-Request-ID": "proxy-7.a_B"}).headers["x-request-id"] == "proxy-7.a_B"
    for number in ("", "a b", "x" * 65, "é", '"><script>', "a;b"):
        given = guarded.ask(headers={"X-Request-ID": number.encode("latin-1")}).headers["x-request-id"]
        assert len(given) == 16
    assert guarded.ask().headers["x-request-id"] != guarded.ask().headers["x-request-id"]


# Draining


def test_while_draining_only_probes_are_answered(door):
    guarded = door()
    guarded.service.draining = True
    for path in ("/healthz", "/readyz", "/metrics"):
        assert guarded.ask(path=path).status_code == 200
    for path in ("/", "/v1/convert", "/v1/jobs/x", "/v1/modes"):
        answer = guarded.ask("POST", path)
        assert refused(answer, 503, "unavailable")["retry_after"] == int(answer.headers["retry-after"]) >= 1


def test_nothing_is_uploaded_before_the_engine_is_open(door):
    guarded = door()
    guarded.service.desk.state = "starting"
    refused(guarded.ask("POST", "/v1/convert", content=b"x"), 503, "unavailable")
    assert guarded.ask(path="/").status_code == guarded.ask(path="/v1/modes").status_code == 200
    guarded.service.desk.state = "broken"  # jobs are taken all the same, and finished ones can be fetched
    assert guarded.ask("POST", "/v1/jobs").status_code == 200


# Lengths


def test_a_request_that_has_nothing_to_upload_is_short(door):
    guarded = door(max_bytes=300_000)

    async def pieces(count):
        for _ in range(count):
            yield b"x" * 1000

    for path, most in (
        ("/v1/modes", 64 << 10),
        ("/v1/jobs/x", 64 << 10),
        ("/v1/chat/completions", 400_000 + (1 << 20)),
    ):
        assert guarded.ask("POST", path, content=b"x" * most).json()["bytes"] == most
        refused(guarded.ask("POST", path, content=b"x" * (most + 1)), 413, "too-large")
        assert guarded.ask("POST", path, content=pieces(most // 1000)).status_code == 200
        refused(guarded.ask("POST", path, content=pieces(most // 1000 + 1)), 413, "too-large")
    for path in ("/v1/convert", "/v1/jobs"):  # they count for themselves
        assert guarded.ask("POST", path, content=b"x" * 2_000_000).json()["bytes"] == 2_000_000


def test_a_length_that_is_refused_is_not_waited_for(door):
    guarded = door()
    for length in ("65537", "9" * 19):
        refused(guarded.ask("POST", content=b"", headers={"Content-Length": length}), 413, "too-large")
    for length in ("-1", "1e3", "٣", "0x10", "", "9" * 5000):
        answer = guarded.ask("POST", content=b"", headers={"Content-Length": length.encode()})
        refused(answer, 400, "bad-request")


@pytest.mark.parametrize("pause", [0.5, 0.03])
def test_a_body_that_does_not_come_is_given_up(door, pause):
    guarded = door(upload_seconds=0.1)

    async def dripping():
        for _ in range(100):
            yield b"x"
            await asyncio.sleep(pause)

    started = time.monotonic()
    refused(slow(guarded, dripping()), 408, "too-slow")
    assert time.monotonic() - started < 5


def slow(guarded, pieces):
    """httpx's transport for ASGI waits for a body; this one does not."""
    sent, scope = [], {
        "type": "http", "method": "POST", "path": "/v1/chat/completions", "raw_path": b"/v1/chat/completions",
        "headers": [(b"host", b"localhost")], "client": ("127.0.0.1", 1), "state": {}, "query_string": b"",
    }  # fmt: skip

    async def receive():
        return {"type": "http.request", "body": await anext(pieces), "more_body": True}

    async def send(message):
        sent.append(message)

    asyncio.run(guarded.guard(scope, receive, send))
    return httpx.Response(sent[0]["status"], headers=sent[0]["headers"], content=sent[1]["body"])


def test_waiting_for_the_client_to_leave_has_no_limit(door):
    guarded = door(upload_seconds=0.05)

    async def application(scope, receive, send):
        assert (await receive())["type"] == "http.request"
        assert (await receive())["type"] == "http.disconnect"
        await Response("left")(scope, receive, send)

    guarded.app = application
    messages = [{"type": "http.request", "body": b"", "more_body": False}, {"type": "http.disconnect"}]
    sent = []

    async def receive():
        await asyncio.sleep(0.1 if len(messages) == 1 else 0)
        return messages.pop(0)

    async def send(message):
        sent.append(message)

    scope = {"type": "http", "method": "POST", "path": "/v1/chat/completions", "headers": [], "query_string": b""}
    asyncio.run(guarded.guard(scope, receive, send))
    assert sent[1]["body"] == b"left"


# What goes wrong


def test_an_error_that_nobody_foresaw_is_told_without_its_details_and_logged(door, caplog):
    guarded = door()

    async def broken(scope, receive, send):
        raise ZeroDivisionError("/home/ann/secret")

    guarded.app = broken
    answer = guarded.ask()
    refused(answer, 500, "internal")
    assert "secret" not in answer.text
    assert "ZeroDivision" not in answer.text
    assert answer.headers["x-request-id"] in caplog.text
    assert "ZeroDivisionError: /home/ann/secret" in caplog.text


def test_an_answer_that_breaks_off_in_the_middle_is_cut_and_not_ended(door):
    guarded = door()

    async def broken(scope, receive, send):
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b"half", "more_body": True})
        raise NotFound("the other half is missing")

    guarded.app = broken
    with pytest.raises(NotFound):
        guarded.ask()


def test_a_client_that_has_left_is_no_error(door, caplog):
    guarded = door()

    async def left(scope, receive, send):
        raise ClientDisconnect

    guarded.app = left
    caplog.set_level(logging.INFO)
    with pytest.raises(AssertionError):  # httpx had expected an answer
        guarded.ask()
    assert [record.levelname for record in caplog.records if record.name.startswith("ocrpress")] == ["INFO"]
    assert " 499 " in caplog.text


# The log


def test_the_log_has_a_line_a_request_and_no_secrets(door, caplog):
    caplog.set_level(logging.INFO)
    guarded = door(tokens={TOKEN: "ann"})
    guarded.ask("POST", f"/v1/jobs?token={TOKEN}", bearer(TOKEN), content=b"abc")
    guarded.ask("POST", "/v1/x%0Ay%1B[31m", bearer(OTHER))
    guarded.ask(path="/readyz")
    lines = [record.getMessage() for record in caplog.records if record.name == "ocrpress.access"]
    assert lines[0].startswith("ann POST /v1/jobs 200 ")
    assert lines[1].startswith("192.0.2.7 POST /v1/x%0Ay%1B[31m 401 ")
    assert len(lines) == 2
    assert not any(TOKEN in line or OTHER in line for line in lines)


def test_the_log_can_be_read_by_programs(door, capfd):
    with logging_to_stderr("json"):
        door().ask("GET", "/v1/modes", {"X-Request-ID": "n1"})
        logging.getLogger("ocrpress.server").error("it is %s", "broken")
        try:
            raise KeyError("x")
        except KeyError:
            logging.getLogger("ocrpress.server").exception("why")
    lines = [json.loads(line) for line in capfd.readouterr().err.splitlines()]
    assert {"client": "192.0.2.7", "method": "GET", "path": "/v1/modes", "status": 200, "request": "n1"}.items() <= (
        lines[0].items()
    )
    assert lines[1]["message"] == "it is broken"
    assert "KeyError" in lines[2]["traceback"]


class Stuck(io.StringIO):
    """A pipe that nobody reads."""

    def __init__(self):
        super().__init__()
        self.stands, self.goes_on = threading.Event(), threading.Event()

    def write(self, text):
        self.stands.set()
        self.goes_on.wait(60)
        return super().write(text)


def test_a_log_that_nobody_reads_stops_nobody(monkeypatch):
    stuck = Stuck()
    monkeypatch.setattr("sys.stderr", stuck)
    monkeypatch.setattr("ocrpress.server.door.logs.MOST_WAITING", 100)
    monkeypatch.setattr("ocrpress.server.door.logs.LAST_LINES", 0.1)
    with logging_to_stderr():
        for number in range(500):
            logging.getLogger("ocrpress.server").error("line %d", number)
            assert number or stuck.stands.wait(60)
    stuck.goes_on.set()
    wait_until(lambda: "line 100\n" in stuck.getvalue())  # one was being written, 100 waited
    assert "line 101\n" not in stuck.getvalue()


def test_a_stderr_that_is_closed_stops_nobody(monkeypatch, capsys):
    closed = io.StringIO()
    monkeypatch.setattr("sys.stderr", closed)
    with logging_to_stderr():
        closed.close()
        logging.getLogger("ocrpress.server").error("a line")
    assert capsys.readouterr().err == ""
