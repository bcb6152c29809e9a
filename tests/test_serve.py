"""The service as a whole: how it begins, is drained and ends, and what it says of errors."""

from __future__ import annotations

import errno
import json
import socket
import threading
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import pytest
from service_tools import faulty_command, pdf, png, running, upload, wait_until

from ocrpress import errors as ours
from ocrpress.errors import EngineError, InputError, LedgerError, OutputError, PasswordError, UsageError
from ocrpress.jobs.reading.settings import Settings
from ocrpress.server import errors as service_errors
from ocrpress.server.door.problems import TITLES, describe, problem, request_id
from ocrpress.server.errors import BadRequest, Draining, Full, NotFound, TimeLimit, Unauthorized
from ocrpress.server.run import _most_connections, bound
from ocrpress.server.settings import ServerSettings


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    """A service that nobody stops."""
    with running(tmp_path_factory.mktemp("service")) as started:
        yield started


def background(function):
    """Have it done in a thread; a future."""
    pool = ThreadPoolExecutor(1)
    future = pool.submit(function)
    pool.shutdown(wait=False)
    return future


# Problems


def every_error():
    for module in (ours, service_errors):
        for kind in vars(module).values():
            if isinstance(kind, type) and issubclass(kind, ours.OcrpressError) and kind is not service_errors.TryLater:
                yield kind


@pytest.mark.parametrize("kind", sorted(set(every_error()), key=str))
def test_every_error_is_a_problem_with_its_own_status(kind):
    error = kind("it went wrong", 7) if issubclass(kind, service_errors.TryLater) else kind("it went wrong")
    found = describe(error)
    assert kind in TITLES
    assert found["status"] == kind.http_status
    assert found["type"] == f"urn:ocrpress:{TITLES[kind][0]}"
    assert found["title"] == TITLES[kind][1]
    assert (found["detail"] == "it went wrong") == (
        kind.http_status < 500 or found["type"].endswith(("lable", "limit"))
    )
    answer = problem(error)
    assert answer.status_code == kind.http_status
    assert answer.media_type == "application/problem+json"
    assert json.loads(answer.body) == found


@pytest.mark.parametrize(
    ("error", "remedy"),
    [
        (PasswordError("x is encrypted"), "give the right one with the field password"),
        (InputError("x is long", "choose some with --pages"), "choose some with the field pages"),
        (UsageError("x", "take --max-tiles 4, --dpi 9"), "take the field max_tiles 4, the field dpi 9"),
        (UsageError("x", "look at --url"), "look at the service's option --url"),
        (Full("256 documents wait", 3), "try again in 3 s"),
        (NotFound("x", ""), None),
    ],
)  # fmt: skip
def test_a_remedy_is_one_that_a_client_can_follow(error, remedy):
    assert describe(error).get("remedy") == remedy


@pytest.mark.parametrize(
    "error",
    [
        EngineError("no /models/secret", "/var/log/secret has what it said"),
        OutputError("cannot write /home/secret (disk full)"), LedgerError("secret"), ZeroDivisionError("secret"),
        OSError(errno.ENOSPC, "secret", "/home/secret"), ours.OcrpressError("secret"),
    ],
)  # fmt: skip
def test_what_concerns_the_machine_is_for_the_log_alone(error, caplog):
    answer = problem(error)
    assert answer.status_code >= 500
    assert b"secret" not in answer.body
    assert b"log" in answer.body
    assert "secret" in caplog.text


def test_a_full_disk_is_told_as_such():
    assert describe(OSError(errno.ENOSPC, "x"))["status"] == 507
    assert describe(OSError(errno.EIO, "x"))["status"] == 500


def test_what_passes_says_when_to_come_again():
    answer = problem(Draining("the service is being stopped", 9))
    assert (answer.status_code, answer.headers["retry-after"], json.loads(answer.body)["retry_after"]) == (503, "9", 9)
    assert problem(Unauthorized("x")).headers["www-authenticate"].startswith("Bearer")
    assert problem(TimeLimit("x")).status_code == 504


def test_a_problem_in_a_request_has_its_number():
    token = request_id.set("n1")
    assert describe(BadRequest("x"))["instance"] == "urn:ocrpress:request:n1"
    request_id.reset(token)
    assert "instance" not in describe(BadRequest("x"))


# While it runs


def test_unknown_places_and_methods_are_problems(server):
    answer = server.client.get("/v1/nothing")
    assert (answer.status_code, answer.json()["type"]) == (404, "urn:ocrpress:not-found")
    answer = server.client.put("/v1/convert")
    assert (answer.status_code, answer.json()["type"]) == (405, "urn:ocrpress:wrong-method")
    assert answer.headers["allow"] == "POST"
    for path in ("/docs", "/redoc", "/v1/convert/", "/page/../run.py", "/page/%2e%2e/run.py", "/%00"):
        assert server.client.get(path).status_code in {404, 405}


def test_a_document_is_read_and_leaves_nothing(server):
    answer = server.client.post("/v1/convert", files=upload(png((120, 80))))
    assert "Page 1 is 120 by 80 pixels" in answer.text
    wait_until(lambda: not server.uploads)
    wait_until(lambda: server.service.under_way == 0)


def test_many_clients_are_served_side_by_side(server):
    def ask(width):
        answer = server.client.post("/v1/convert", files=upload(png((width, 80))))
        return answer.status_code, f"{width} by 80" in answer.text

    with ThreadPoolExecutor(16) as pool:
        assert set(pool.map(ask, range(100, 164))) == {(200, True)}


def test_it_listens_where_it_says(server):
    assert server.said == [f"serving on {server.url} (engine fake, mode native)"]


def test_whoever_lets_everybody_in_is_told_so(server, monkeypatch):
    said = []
    monkeypatch.setattr(server._house, "_say", said.append)
    for host, tokens, lines in (
        ("192.0.2.1", {}, 2),
        ("::", {}, 2),
        ("192.0.2.1", {"t" * 16: "ann"}, 1),
        ("::1", {}, 1),
    ):
        monkeypatch.setattr(server.service, "settings", replace(server.service.settings, host=host, tokens=tokens))
        server._house._announce()
        assert len(said) == lines
        assert lines == 1 or "--token-file" in said[1]
        said.clear()


# How it begins


def test_while_the_engine_is_opened_the_service_says_so_and_can_be_stopped(tmp_path):
    command = faulty_command(tmp_path, ["engine", 0, "hang", 0])
    with running(tmp_path, command=command, wait=False) as server:
        assert server.client.get("/healthz").status_code == 200
        answer = server.client.get("/readyz")
        assert (answer.status_code, answer.json()["why"]) == (503, "the engine is being opened")
        answer = server.client.post("/v1/convert", files=upload(png()))
        assert (answer.status_code, answer.json()["type"]) == (503, "urn:ocrpress:unavailable")
        assert server.client.get("/v1/modes").json()["modes"][0]["readable"] is None
        server.stop()
        assert server.error is None
        assert server.said == []


def test_an_engine_that_cannot_be_opened_ends_the_service(tmp_path):
    command = faulty_command(tmp_path, ["engine", 0, "give_up", 0])
    with pytest.raises(EngineError, match="the accelerator is gone"), running(tmp_path, command=command):
        pass


def test_two_services_cannot_share_a_folder(tmp_path):
    with running(tmp_path) as first:
        (first.folder / "uploads" / "of the first").touch()
        with pytest.raises(UsageError, match="process") as refused, running(tmp_path):
            pass
        assert "--folder" in refused.value.advice
        assert "-o" not in refused.value.advice.split()
        assert [path.name for path in first.uploads] == ["of the first"]
        assert first.client.get("/readyz").status_code == 200


def test_what_a_killed_service_left_of_uploads_is_removed(tmp_path):
    left = tmp_path / "served" / "uploads"
    (left / "deep").mkdir(parents=True)
    (left / "deep" / "file").touch()
    (left / "abc.part").write_bytes(b"x")
    with running(tmp_path) as server:
        wait_until(lambda: not server.uploads)


def test_the_folder_is_its_owners_alone(tmp_path):
    with running(tmp_path) as server:
        for folder in (server.folder, server.folder / "uploads"):
            assert folder.stat().st_mode & 0o077 == 0


def test_a_folder_that_cannot_be_used_is_refused(tmp_path):
    (tmp_path / "served").write_text("a file")
    with pytest.raises(OutputError, match="cannot use") as refused, running(tmp_path):
        pass
    assert "--folder" in refused.value.advice


def settings(folder, **given):
    return ServerSettings(Settings("fake"), folder, **given)


def test_a_port_that_is_taken_is_refused_at_once(tmp_path):
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        with pytest.raises(UsageError, match=f"port {port}") as refused, bound(settings(tmp_path, port=port)):
            pass
        assert "--port" in refused.value.advice


@pytest.mark.parametrize("host", ["no.such.host.invalid", "256.1.1.1", "a b", "x" * 300, "ä" * 64])
def test_a_host_that_is_none_is_refused(tmp_path, host):
    with pytest.raises(UsageError, match="--host"), bound(settings(tmp_path, host=host, port=0)):
        pass


def test_localhost_is_the_usual_address(tmp_path):
    with bound(settings(tmp_path, host="localhost", port=0)) as place:
        assert place.getsockname()[0] == "127.0.0.1"


def test_connections_leave_descriptors_for_the_rest(monkeypatch):
    for soft, most in ((1024, 298), (65536, 21802), (-1, 21802), (100, 16)):
        monkeypatch.setattr("ocrpress.server.run.resource.getrlimit", lambda what, soft=soft: (soft, soft))
        assert _most_connections() == most


# How it ends


def test_draining_finishes_what_is_under_way_and_refuses_the_rest(tmp_path):
    command = faulty_command(tmp_path, seconds=0.3)
    with running(tmp_path, command=command, drain_seconds=60.0) as server:
        reading = background(lambda: server.client.post("/v1/convert", files=upload(pdf(4), "a.pdf")))
        wait_until(lambda: server.service.desk.load().documents)
        server.begin_to_stop()
        wait_until(lambda: server.service.draining)
        answer = server.client.get("/readyz")
        assert (answer.status_code, answer.json()["why"]) == (503, "the service is being stopped")
        assert server.client.get("/healthz").status_code == 200
        answer = server.client.post("/v1/convert", files=upload(png()))
        assert (answer.status_code, "retry-after" in answer.headers) == (503, True)
        finished = reading.result(60)
        assert (finished.status_code, finished.headers["ocrpress-pages"]) == (200, "4")
        server.stop()
        assert server.error is None
        with pytest.raises(OSError):
            server.connect()


def test_who_still_waits_at_the_end_is_told_so(tmp_path):
    command = faulty_command(tmp_path, ["300", 1, "hang", 0])
    with running(tmp_path, command=command, drain_seconds=0.2) as server:
        asks = [background(lambda: server.client.post("/v1/convert", files=upload(png()))) for _ in range(3)]
        wait_until(lambda: server.service.desk.load().documents == 3)
        server.stop()
        for ask in asks:
            answer = ask.result(60)
            assert (answer.status_code, answer.json()["type"]) == (503, "urn:ocrpress:unavailable")
        wait_until(lambda: not server.uploads)
        assert server.error is None


def test_nothing_runs_on_after_the_end(tmp_path):
    threads, children = set(threading.enumerate()), children_of_this_process()
    with running(tmp_path) as server:
        server.client.post("/v1/convert", files=upload(pdf(), "a.pdf"))
        assert children_of_this_process() - children
    wait_until(lambda: not children_of_this_process() - children)
    wait_until(lambda: not set(threading.enumerate()) - threads)


def children_of_this_process():
    return {child for file in Path("/proc/self/task").glob("*/children") for child in file.read_text().split()}


def test_a_service_that_cannot_go_on_ends_with_the_reason(tmp_path, caplog):
    def break_down(event):
        raise SystemExit("nobody foresaw this")

    with running(tmp_path) as server:
        server.service.desk._take_event = break_down
        answer = server.client.post("/v1/convert", files=upload(png()))
        assert answer.status_code == 503
        wait_until(lambda: server.error)
        assert isinstance(server.error, EngineError)
        assert "nobody foresaw this" in str(server.error)


def test_a_full_queue_is_not_ready_and_sends_clients_away(tmp_path):
    command = faulty_command(tmp_path, ["300", 1, "hang", 0])
    with running(tmp_path, command=command, queue=1) as server:
        ask = background(lambda: server.client.post("/v1/convert", files=upload(png())))
        wait_until(lambda: server.service.desk.load().documents)
        answer = server.client.get("/readyz")
        assert (answer.status_code, answer.json()["why"]) == (503, "the queue is full")
        answer = server.client.post("/v1/convert", files=upload(png((100, 100))))
        assert (answer.status_code, answer.json()["type"]) == (429, "urn:ocrpress:full")
        assert int(answer.headers["retry-after"]) >= 1
        assert server.client.get("/healthz").status_code == 200
        server.stop()
        assert ask.result(60).status_code == 503
