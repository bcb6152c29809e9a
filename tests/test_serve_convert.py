"""POST /v1/convert: whole answers, pages as they come, clients that leave, queues that are full."""

from __future__ import annotations

import asyncio
import json
import struct
import sys
import time
from collections import Counter
from contextlib import closing, contextmanager

import pytest
from conftest import ROOT
from pdfmaker import Page, make_pdf, text
from PIL import Image
from service_tools import pdf, png, running, upload, wait_until

from ocrpress.pipeline import Options
from ocrpress.server.answers.convert import accepted, unless_gone
from ocrpress.server.answers.sse import HEARTBEAT, encode, with_heartbeat


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    with running(tmp_path_factory.mktemp("service")) as found:
        yield found


@contextmanager
def slow(folder, seconds=0.0, faults=(), **settings):
    """A service whose engine takes its time, or does harm (see faulty_worker.py); and the pages that it has read."""
    read = folder / "read"
    read.touch()
    spec = {"engine": {"seconds": seconds}, "faults": list(faults), "read": str(read)}
    (folder / "spec.json").write_text(json.dumps(spec))
    command = (sys.executable, "-P", str(ROOT / "tests" / "faulty_worker.py"), str(folder / "spec.json"))
    with running(folder, command=command, options=Options(mode="tiny"), page_limit=20.0, **settings) as found:
        yield found, lambda: Counter(read.read_text().splitlines())


def tiff(width: int, pages: int) -> bytes:
    """Pages of that width in points, so that faults and the record of what was read can name them."""
    import io

    frames = [Image.new("RGB", (width, 40), "white") for _ in range(pages)]
    for frame in frames:
        frame.paste((0, 0, 0), (10, 10, 30, 30))
    stream = io.BytesIO()
    frames[0].save(stream, "TIFF", save_all=True, append_images=frames[1:], dpi=(72, 72))
    return stream.getvalue()


def convert(server, data, name="a.pdf", accept="*/*", **fields):
    return server.client.post(
        "/v1/convert", files=upload(data, name), data=fields, headers={"Accept": accept} if accept else {}
    )


def events(answer) -> list[tuple[str, dict]]:
    assert answer.headers["content-type"] == "text/event-stream; charset=utf-8"
    found = []
    for block in answer.text.split("\n\n"):
        if block and not block.startswith(":"):
            head, _, data = block.partition("\ndata: ")
            found.append((head.removeprefix("event: "), json.loads(data)))
    return found


def test_a_picture_becomes_markdown(server):
    answer = convert(server, png())
    assert answer.status_code == 200
    assert answer.headers["content-type"] == "text/markdown; charset=utf-8"
    assert answer.text.startswith("<!-- page 1 -->\n\nPage 1 is 300 by 200 pixels, ")
    wait_until(lambda: not server.uploads)


def test_the_counts_are_in_the_headers(server):
    pages = [Page(text("one")), Page(text("two"), broken=True), Page(text("three"))]
    answer = convert(server, make_pdf(pages), mode="base")
    found = {name: value for name, value in answer.headers.items() if name.startswith("ocrpress-")}
    assert found == {"ocrpress-pages": "3", "ocrpress-failed-pages": "1", "ocrpress-vision-tokens": str(2 * 256)}
    assert "<!-- page 2 failed: " in answer.text


@pytest.mark.parametrize(
    ("accept", "fields", "kind"),
    [
        ("", {}, "text/markdown; charset=utf-8"),
        ("application/json", {}, "application/json"),
        ("text/plain", {}, "text/plain; charset=utf-8"),
        ("text/html, application/json;q=0.9, */*;q=0.8", {}, "application/json"),
        ("application/json", {"format": "txt"}, "text/plain; charset=utf-8"),
        ("*/*", {"format": "json"}, "application/json"),
        ("text/event-stream", {}, "text/event-stream; charset=utf-8"),
        ("*/*", {"stream": "true"}, "text/event-stream; charset=utf-8"),
        ("text/event-stream", {"stream": "false"}, "text/event-stream; charset=utf-8"),
    ],
)
def test_the_answer_has_the_form_that_was_asked_for(server, accept, fields, kind):
    answer = convert(server, png(), accept=accept, **fields)
    assert (answer.status_code, answer.headers["content-type"]) == (200, kind)


@pytest.mark.parametrize(
    ("header", "found"),
    [
        ("", ("md", False)),
        ("*/*", ("md", False)),
        ("image/png", ("md", False)),
        ("text/plain;q=0.5, application/json;q=0.6", ("json", False)),
        ("text/plain; q=0, text/markdown; q=0.001", ("md", False)),
        ("text/plain;q=nonsense", ("md", False)),
        ("text/plain;q=inf", ("md", False)),
        ("TEXT/PLAIN", ("txt", False)),
        ("text/event-stream, text/plain;q=0.9", ("md", True)),
        (",;,;q=,", ("md", False)),
        ("text/plain" + ", text/plain" * 5000, ("txt", False)),
    ],
)
def test_what_an_accept_header_likes_best(header, found):
    assert accepted(header) == found


def test_json_has_every_page_in_its_place(server):
    answer = convert(server, pdf(12), "paper.pdf", format="json", pages="2-4,9-", mode="tiny")
    found = answer.json()
    assert [page["number"] for page in found["pages"]] == [2, 3, 4, 9, 10, 11, 12]
    assert (found["source"], found["engine"], found["mode"]) == ("paper.pdf", "fake", "tiny")
    assert (found["complete"], found["page_count"]) == (True, 7)


def test_the_text_is_what_the_command_line_writes(server, tmp_path, ocrpress):
    (tmp_path / "paper.pdf").write_bytes(pdf(3))
    for form in ("md", "txt"):
        run = ocrpress("convert", "paper.pdf", "--engine", "fake", "--format", form, "--mode", "tiny")
        assert convert(server, pdf(3), "paper.pdf", format=form, mode="tiny").text == run.text


def test_options_of_writing_are_heeded(server):
    answer = convert(server, pdf(2), page_breaks="none", keep_furniture="true")
    assert "<!-- page" not in answer.text


def test_texts_are_set_and_read(server):
    for name in ("a.md", "a.txt"):
        answer = convert(server, b"# Title\n\n" + b"A line of text.\n\n" * 200, name)
        assert answer.status_code == 200
        assert int(answer.headers["ocrpress-pages"]) > 2


def test_pages_come_as_events(server):
    answer = convert(server, pdf(5), "paper.pdf", stream="true", pages="2-4")
    found = events(answer)
    assert [name for name, _ in found] == ["document", "page", "page", "page", "result"]
    assert found[0][1] == {"name": "paper.pdf", "pages": [2, 3, 4], "engine": "fake", "mode": "native"}
    assert sorted(data["page"]["number"] for name, data in found if name == "page") == [2, 3, 4]
    for _, data in found[1:-1]:
        number = data["page"]["number"]
        assert data["markdown"].startswith(f"<!-- page {number} -->\n\nPage {number} is ")
    result = found[-1][1]
    assert set(result) == {"markdown", "failed_pages", "compression"}
    assert result["failed_pages"] == 0
    assert result["markdown"] == convert(server, pdf(5), pages="2-4").text
    assert result["compression"]["pages"] == 3


def test_events_have_the_format_that_was_asked_for(server):
    result = events(convert(server, pdf(2), stream="true", format="json"))[-1][1]
    whole = convert(server, pdf(2), format="json").json()
    assert [page["text"] for page in result["json"]["pages"]] == [page["text"] for page in whole["pages"]]
    assert "text" in events(convert(server, pdf(2), stream="true", format="txt"))[-1][1]


def test_the_pages_of_a_text_are_told_when_they_are_known(server):
    found = events(convert(server, b"line\n" * 300, "a.txt", stream="true"))
    assert found[0][0] == "document"
    assert found[0][1]["pages"] == list(range(1, len(found) - 1))


def test_a_document_that_is_refused_is_refused_before_events_begin(server):
    answer = convert(server, b"PK\x03\x04", "a.docx", accept="text/event-stream")
    assert answer.status_code == 422
    assert answer.headers["content-type"] == "application/problem+json"


def test_all_pages_failed_is_still_an_answer(server):
    answer = convert(server, make_pdf([Page(text("one"), broken=True)]))
    assert (answer.status_code, answer.headers["ocrpress-failed-pages"]) == (200, "1")
    assert "<!-- page 1 failed: " in answer.text


def test_clients_share_the_engine_and_each_gets_its_own(server):
    import threading

    answers: dict[int, str] = {}

    def ask(width):
        answers[width] = convert(server, png((width, 50))).text

    threads = [threading.Thread(target=ask, args=(width,)) for width in range(100, 130)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert all(f"Page 1 is {width} by 50 pixels" in answers[width] for width in range(100, 130))
    wait_until(lambda: not server.uploads)


def test_the_description_has_the_form_and_the_answers(server):
    found = server.client.get("/openapi.json").json()["paths"]["/v1/convert"]["post"]
    assert "file" in found["requestBody"]["content"]["multipart/form-data"]["schema"]["properties"]
    assert {"text/markdown", "application/json", "text/plain", "text/event-stream"} == set(
        found["responses"]["200"]["content"]
    )


# Engines that are slow, or come to harm.


def begin(server, data: bytes, *more: tuple[str, str]):
    """A connection on which a request was sent whole; its answer is not read."""
    fields = b"".join(
        f'--abc\r\nContent-Disposition: form-data; name="{name}"\r\n\r\n{value}\r\n'.encode() for name, value in more
    )
    body = fields + b'--abc\r\nContent-Disposition: form-data; name="file"; filename="a.tiff"\r\n\r\n' + data
    body += b"\r\n--abc--\r\n"
    connection = server.connect()
    head = "POST /v1/convert HTTP/1.1\r\nHost: localhost\r\nContent-Type: multipart/form-data; boundary=abc\r\n"
    connection.sendall(f"{head}Content-Length: {len(body)}\r\n\r\n".encode() + body)
    return connection


def leave(connection, rudely: bool) -> None:
    if rudely:
        connection.setsockopt(1, 13, struct.pack("ii", 1, 0))  # SO_LINGER: close with a reset
    connection.close()


@pytest.mark.parametrize("more", [(), (("stream", "true"),)])
@pytest.mark.parametrize("rudely", [False, True])
def test_a_client_that_leaves_frees_its_place_and_its_pages_are_not_read(tmp_path, more, rudely):
    with slow(tmp_path, 0.2) as (server, read):
        load = server.service.desk.load
        reading = begin(server, tiff(101, 40), *more)
        wait_until(lambda: read()["101 1"])
        waiting = [begin(server, tiff(102 + number, 40), *more) for number in range(3)]
        wait_until(lambda: load().documents == 4)
        assert len(server.uploads) == 4
        for connection in (reading, *waiting):
            leave(connection, rudely)
        wait_until(lambda: load().documents == 0, 5)
        wait_until(lambda: server.uploads == [], 5)
        wait_until(lambda: server.service.under_way == 0, 5)
        started = time.monotonic()
        assert convert(server, tiff(99, 1)).status_code == 200
        assert time.monotonic() - started < 8  # 160 pages of 0.2 s were waiting
        assert sum(read().values()) < 60


def test_a_client_that_leaves_while_its_document_is_looked_at(server, monkeypatch):
    from ocrpress.server.answers import convert as module

    began, ended = [], []

    async def look(*arguments):
        began.append(1)
        try:
            await asyncio.sleep(60)
        except asyncio.CancelledError:
            ended.append(1)
            raise

    monkeypatch.setattr(module, "look", look)
    for more in ((), (("stream", "true"),)):
        connection = begin(server, tiff(100, 1), *more)
        wait_until(lambda: len(began) > len(ended))
        connection.close()
        wait_until(lambda: len(began) == len(ended), 5)
        wait_until(lambda: server.uploads == [], 5)


def test_a_full_queue_is_told_with_when_to_come_again(tmp_path):
    with slow(tmp_path, 0.3, queue=2) as (server, read):
        with closing(begin(server, tiff(101, 9))), closing(begin(server, tiff(102, 9))):
            wait_until(lambda: server.service.desk.load().documents == 2)
            for fields in ({}, {"stream": "true"}):
                answer = convert(server, tiff(103, 1), **fields)
                assert (answer.status_code, answer.headers["content-type"]) == (429, "application/problem+json")
                assert int(answer.headers["retry-after"]) >= 1
            assert len(server.uploads) == 2
        wait_until(lambda: server.service.desk.load().documents == 0)
        assert convert(server, tiff(104, 1)).status_code == 200
        assert not read()["103 1"]


def test_a_request_that_takes_too_long_is_given_up(tmp_path):
    with slow(tmp_path, 0.4, request_seconds=1.0) as (server, read):
        answer = convert(server, tiff(101, 20))
        assert answer.status_code == 504
        assert answer.json()["type"] == "urn:ocrpress:time-limit"
        found = events(convert(server, tiff(102, 20), stream="true"))
        assert found[0][0] == "document"
        assert found[-1][0] == "error"
        assert found[-1][1]["problem"]["status"] == 504
        wait_until(lambda: server.service.desk.load().documents == 0)
        wait_until(lambda: not server.uploads)
        assert sum(read().values()) < 20


def test_a_page_that_kills_the_engine_costs_itself_alone(tmp_path):
    with slow(tmp_path, faults=[["101", 2, "crash", 0]]) as (server, _):
        answer = convert(server, tiff(101, 3))
        assert (answer.status_code, answer.headers["ocrpress-failed-pages"]) == (200, "1")
        assert "<!-- page 2 failed: " in answer.text
        assert "crashed" in answer.text
        found = events(convert(server, tiff(102, 2), stream="true"))
        assert found[-1][1]["failed_pages"] == 0


def test_a_stream_ends_with_a_problem_when_the_service_stops(tmp_path):
    with (
        slow(tmp_path, 0.3, drain_seconds=0.2) as (server, _),
        closing(begin(server, tiff(101, 60), ("stream", "true"))) as connection,
    ):
        wait_until(lambda: server.service.desk.load().documents == 1)
        server.begin_to_stop()
        told = b""
        while got := connection.recv(65536):
            told += got
        assert b"event: document" in told
        assert b"event: result" not in told


# The parts.


def test_a_heartbeat_comes_where_no_event_does():
    async def go():
        closed = []

        async def told():
            try:
                yield b"first"
                await asyncio.sleep(0.2)
                yield b"second"
            finally:
                closed.append(1)

        found = [event async for event in with_heartbeat(told(), 0.05)]
        assert found[0] == b"first"
        assert found[-1] == b"second"
        assert set(found[1:-1]) == {HEARTBEAT}
        assert len(found) > 3
        assert closed == [1]

    asyncio.run(go())


def test_what_ends_events_is_raised_after_those_before_it():
    async def go():
        async def told():
            yield b"first"
            raise ValueError("over")

        found = []
        with pytest.raises(ValueError, match="over"):
            async for event in with_heartbeat(told(), 1):
                found.append(event)  # noqa: PERF401
        assert found == [b"first"]

    asyncio.run(go())


def test_events_that_are_given_up_are_closed():
    async def go():
        closed = []

        async def told():
            try:
                while True:
                    yield b"more"
                    await asyncio.sleep(0)
            finally:
                closed.append(1)

        stream = with_heartbeat(told(), 1)
        assert await anext(stream) == b"more"
        await stream.aclose()
        assert closed == [1]
        unasked = with_heartbeat(told(), 1)
        await unasked.aclose()

    asyncio.run(go())


def test_an_event_is_one_block_whatever_it_says():
    found = encode("page", {"text": "a\n\nb\r\u2028\ud800 ü", "n": [1]}, 7)
    assert found.endswith(b"\n\n")
    head, number, data = found.decode().removesuffix("\n\n").split("\n")
    assert (head, number) == ("event: page", "id: 7")
    assert json.loads(data.removeprefix("data: ")) == {"text": "a\n\nb\r\u2028\ufffd ü", "n": [1]}


def test_what_a_client_is_told_has_its_own_name_for_the_file(server):
    whole = png((300, 200))
    for name in ("scan.png", "notes ü.png"):
        answer = server.client.post("/v1/convert", files={"file": (name, whole[: len(whole) // 2])})
        assert f"page 1 failed: {name} cannot be decoded" in answer.text


def test_a_work_whose_client_stays_is_done():
    class Patient:
        async def receive(self):
            await asyncio.sleep(60)

    async def work():
        await asyncio.sleep(0.01)
        return "done"

    async def fail():
        raise ValueError("no")

    assert asyncio.run(unless_gone(Patient(), work())) == "done"
    with pytest.raises(ValueError, match="no"):
        asyncio.run(unless_gone(Patient(), fail()))
