"""serving/loadtest.py: it counts what is right, finds what is wrong, and loads nobody who is not meant."""

from __future__ import annotations

import json
import re
import subprocess
import sys
import threading
import time
from functools import cache
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
from conftest import ROOT
from service_tools import running

LOADTEST = ROOT / "serving" / "loadtest.py"
sys.path.insert(0, str(LOADTEST.parent))

import loadtest  # noqa: E402
from loadtest_report import Found, memory_of, missed, quantile, summary  # noqa: E402

METRICS = 'ocrpress_info{checkpoint="",engine="fake",mode="native",version="0"} 1.0\n'


make_pages = cache(loadtest.make_pages)


@pytest.fixture
def run(capsys, monkeypatch):
    """Load a service: the exit code, the JSON, and what was said on stderr."""
    monkeypatch.setattr(loadtest, "make_pages", make_pages)

    def run(url, *options, seconds=0.4):
        code = loadtest.main([url, "--clients", "3", "--warmup", "0", "--seconds", str(seconds), *options])
        told = capsys.readouterr()
        return code, json.loads(told.out.splitlines()[-1] if told.out else "null"), told.err

    return run


class StandIn(BaseHTTPRequestHandler):
    """A service that reads pages as its `server.read` says: (number of the request, text) -> status, headers, body."""

    protocol_version = "HTTP/1.1"
    lock, asked, last = threading.Lock(), 0, ""

    def do_GET(self):
        self._answer(200, {}, METRICS.encode())

    def do_POST(self):
        body = self.rfile.read(int(self.headers["Content-Length"]))
        with self.lock:
            self.server.asked += 1
            number = self.server.asked
        found = self.server.read(number, self.server.texts[body])
        if found is None:
            self.close_connection = True
            return
        self._answer(*found)

    def _answer(self, status, headers, body):
        self.send_response(status)
        for name, value in {"Content-Length": len(body), **headers}.items():
            self.send_header(name, str(value))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *about):
        pass


@pytest.fixture
def stand_in():
    """Makes services that read as they are told; the pages are those that three clients send."""
    servers = []

    def make(read):
        server = ThreadingHTTPServer(("127.0.0.1", 0), StandIn)
        server.daemon_threads = True
        server.read, server.asked = read, 0
        server.texts = {page.body: page.text for page in make_pages(3 + 8)}
        threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True).start()
        servers.append(server)
        return server, f"http://127.0.0.1:{server.server_port}"

    yield make
    for server in servers:
        server.shutdown()
        server.server_close()


def test_a_real_service_is_loaded_and_every_answer_is_its_clients_own(tmp_path):
    out = tmp_path / "found.json"
    with running(tmp_path) as server:
        options = ["--clients", "3", "--warmup", "0.5", "--seconds", "2", "--addresses", "--out", str(out)]
        command = [sys.executable, str(LOADTEST), server.url, *options]
        done = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout.splitlines()[-1])
    assert found["checked"] == "checksums"
    assert found["errors"] == {}
    assert found["pages"] >= 10
    assert found["memory"]["most"] > 1 << 20
    assert set(found["cpu_ms_a_page"]) == {"process", "workers", "load test"}
    assert found["latency"]["p50"] <= found["latency"]["p99"] <= found["latency"]["max"]
    assert json.loads(out.read_text()) == found


def test_a_service_with_tokens_is_loaded_by_its_clients_in_turn(tmp_path, run):
    tokens = {"a-token-of-somebody": "one", "another-token-of-somebody": "two"}
    (tmp_path / "tokens").write_text("# two clients\none a-token-of-somebody\n\nanother-token-of-somebody\n")
    with running(tmp_path, tokens=tokens) as server:
        code, found, said = run(server.url, "--token-file", str(tmp_path / "tokens"))
        assert (code, found["errors"]) == (0, {}), said
        code, _, said = run(server.url)
    assert code == 2
    assert "/metrics answers 401" in said


def test_an_answer_to_somebody_elses_page_is_found(stand_in, run):
    last = {}

    def mixed_up(number, text):
        other = last.get("text", text)
        last["text"] = text
        return 200, {}, other if number % 3 == 0 else text

    code, found, said = run(stand_in(mixed_up)[1])
    assert code == 1
    assert found["errors"]["somebody else's page"] >= 1
    assert set(found["errors"]) == {"somebody else's page"}
    assert "errors, at most 0 were allowed" in said


@pytest.mark.parametrize(
    ("answer", "kind"),
    [
        ((200, {}, b"Page 1 is"), "not the text of a page"),
        ((200, {"Ocrpress-Failed-Pages": "1"}, b"x"), "the page failed"),
        ((500, {}, b"{}"), "status 500"),
        ((429, {}, b"{}"), "429 without Retry-After"),
        ((200, {"Content-Length": "many"}, b""), "ValueError"),
        (None, "IncompleteReadError"),
    ],
)
def test_every_other_error_has_its_kind(answer, kind, stand_in, run):
    code, found, _ = run(stand_in(lambda number, text: answer)[1])
    assert code == 1
    assert set(found["errors"]) == {kind}


def test_a_service_that_does_not_answer_is_not_waited_for_for_ever(stand_in, run):
    begun = time.monotonic()
    code, found, _ = run(stand_in(lambda number, text: time.sleep(20) or (200, {}, text))[1], "--patience", "0.3")
    assert time.monotonic() - begun < 20
    assert (code, set(found["errors"])) == (1, {"TimeoutError"})


def test_told_to_wait_it_waits_and_that_is_no_error(stand_in, run):
    def busy(number, text):
        return (429, {"Retry-After": "1"}, b"{}") if number <= 3 else (200, {}, text)

    server, url = stand_in(busy)
    code, found, said = run(url, seconds=2.5)
    assert (code, found["told_to_wait"], found["errors"]) == (0, 3, {}), said
    assert 0 < found["pages"] <= server.asked - 3


def test_told_to_wait_for_an_hour_it_ends_when_its_time_is_over(stand_in, run):
    server, url = stand_in(lambda number, text: (429, {"Retry-After": "3600"}, b"{}"))
    begun = time.monotonic()
    code, found, said = run(url)
    assert time.monotonic() - begun < 20
    assert (code, found["told_to_wait"], server.asked) == (1, 3, 3)
    assert "no page was read" in said


def test_targets_that_are_missed_are_told(stand_in, run):
    url = stand_in(lambda number, text: (200, {}, text))[1]
    assert run(url, "--least-rate", "1", "--most-p99-ratio", "1e9")[0] == 0
    code, _, said = run(url, "--least-rate", "1e6", "--most-p99-ratio", "0.5", "--most-growth", "1")
    assert code == 1
    assert len(re.findall("at least|at most", said)) == 3


@pytest.mark.parametrize(
    ("url", "said"),
    [
        ("http://192.0.2.7:8000", "is not this machine"),
        ("https://127.0.0.1", "no address of a service"),
        ("http://127.0.0.1:8000/v1", "no address of a service"),
        ("http://127.0.0.1:port", "no address of a service"),
        ("http://127.0.0.1:1", "nothing answers there"),
    ],
)
def test_it_says_in_a_line_why_it_cannot_run(url, said, run):
    code, _, told = run(url)
    assert code == 2
    assert said in told
    assert len(told.splitlines()) == 1


def test_it_is_bounded():
    for options in (["--clients", "0"], ["--clients", "5000"], ["--seconds", "1e9"], ["--warmup", "-1"]):
        with pytest.raises(SystemExit, match="2"):
            loadtest.parse(["http://127.0.0.1:8000", *options])


def test_pages_differ_and_are_those_that_the_engine_reads():
    from io import BytesIO

    from PIL import Image

    from ocrpress.document import PageImage, Request
    from ocrpress.engines.fake import describe

    pages = make_pages(3 + 8)
    assert len({page.text for page in pages}) == 11
    for page in pages[:4]:
        content = page.body[page.body.index(b"\r\n\r\n") + 4 : page.body.rindex(b"\r\n--")]
        image = Image.open(BytesIO(content))
        assert image.mode == "L"
        assert describe(Request(1, PageImage(1, image.convert("RGB"), 595, 842), "native")) == page.text.decode()


def test_figures_are_what_they_are_called():
    ranked = [float(number) for number in range(1, 101)]
    assert [quantile(ranked, share) for share in (0.5, 0.9, 0.99, 1.0)] == [50, 90, 99, 100]
    assert quantile([], 0.5) == 0
    names = ("ocrpress_process_resident_memory_bytes", "ocrpress_workers_resident_memory_bytes")
    scrapes = [(float(at), {names[0]: 100.0, names[1]: 100.0 + 100 * (at >= 6)}) for at in range(8)]
    assert memory_of(scrapes)["growth"] == 1.5
    assert memory_of(scrapes)["most"] == 300
    result = summary(Found(latencies=[0.1] * 99 + [0.5], scrapes=scrapes), 5, 1.0, 10.0)
    assert (result["pages_per_second"], result["p99_to_p50"]) == (10.0, 1.0)
    args = loadtest.parse(["http://127.0.0.1", "--most-growth", "1.4", "--least-rate", "11"])
    assert len(missed(result, args)) == 2
