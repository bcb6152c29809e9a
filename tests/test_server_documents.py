"""The server engine under the pipeline and under the command line: whole documents, against a real endpoint."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import threading
import time

import pytest
from conftest import environment
from openai_server import Act, EndpointServer
from pdfmaker import make_text_pdf
from server_tools import KEY, free_port, wait_until

import ocrpress as library
from ocrpress.errors import EngineError

pytest_plugins = ["server_fixtures"]
pytestmark = pytest.mark.usefixtures("plain_network")

GROUNDED = """<|ref|>title<|/ref|><|det|>[[100, 50, 900, 100]]<|/det|>
# The Title READING

<|ref|>text<|/ref|><|det|>[[100, 200, 899, 300]]<|/det|>
It was read by a model far away."""


def grounded(asked):
    """A page as DeepSeek-OCR writes it, its title its own."""
    return GROUNDED.replace("READING", asked.reading)


@pytest.mark.parametrize("mode", [None, "base"])
def test_grounded_markup_becomes_blocks(engine_for, pdf, mode):
    with EndpointServer(lambda asked: Act(text=grounded(asked), tokens=40)) as server:
        document = library.convert(pdf, engine=engine_for(server), mode=mode)
    assert (document.engine, document.mode) == ("server", mode or "native")
    for page in document.pages:
        assert (page.status, page.engine, page.mode) == ("ok", "server", mode or "native")
        assert [block.kind for block in page.blocks] == ["heading", "paragraph"]
        assert page.text.endswith("\n\nIt was read by a model far away.")
        assert page.blocks[1].box == pytest.approx(
            (page.width * 0.1, page.height * 0.2, page.width * 0.9, page.height * 0.3), abs=1
        )
        assert page.plan.vision_tokens == (256 if mode else 0)
        [attempt] = page.attempts
        assert (attempt.stop, attempt.rejected, attempt.output_tokens) == ("end", "", 40)
        assert {"render", "views", "answer"} <= set(page.seconds)
    sizes = {asked.image.size for asked in server.asked}
    assert {max(size) for size in sizes} == ({1024} if mode else {1584})


def test_an_answer_that_is_cut_off_is_asked_for_again_with_the_stronger_rule(engine_for, pdf):
    def hasty(asked):
        return (
            Act(text="It was", finish="length")
            if asked.body["vllm_xargs"]["ngram_size"] == 30
            else Act(text=grounded(asked))
        )

    with EndpointServer(hasty) as server:
        document = library.convert(pdf, engine=engine_for(server), pages="1", fallback="none")
    assert [attempt.rejected[:7] for attempt in document.pages[0].attempts] == ["cut off", ""]
    assert [asked.body["vllm_xargs"]["ngram_size"] for asked in server.asked] == [30, 16]
    assert [asked.body["seed"] for asked in server.asked] == [0, 1]


def test_pages_are_asked_for_side_by_side_and_come_out_in_order(engine_for, tmp_path):
    (tmp_path / "long.pdf").write_bytes(make_text_pdf(12, 1))
    with EndpointServer(lambda asked: Act(text=grounded(asked), seconds=0.4 - 0.1 * (asked.number % 4))) as server:
        pages = list(library.stream(tmp_path / "long.pdf", engine=engine_for(server, slots=3)))
    assert [page.number for page in pages] == list(range(1, 13))
    assert server.busiest == 3


def test_what_was_finished_before_the_endpoint_died_is_kept(engine_for, tmp_path):
    (tmp_path / "long.pdf").write_bytes(make_text_pdf(9, 1))
    pages = []
    with EndpointServer(lambda asked: Act(text=grounded(asked), seconds=0 if asked.number <= 4 else 30)) as server:
        engine = engine_for(server, slots=2)
        with pytest.raises(EngineError, match="cannot reach"):
            for page in library.stream(tmp_path / "long.pdf", engine=engine, fallback="none"):
                pages.append(page)
                if len(pages) == 4:
                    threading.Timer(0.1, server.die).start()
    assert [page.status for page in pages[:4]] == ["ok"] * 4
    assert {page.status for page in pages[4:]} == {"failed"}
    assert all("cannot reach" in page.error for page in pages[4:])


# ---- the command line


def test_convert_reads_with_an_endpoint(ocrpress, pdf):
    with EndpointServer(lambda asked: Act(text=grounded(asked))) as server:
        run = ocrpress(
            "convert", pdf, "--engine", "server", "--url", server.root, "--slots", "2", "--mode", "small",
            env={"OCRPRESS_API_KEY": KEY},
        )  # fmt: skip
    assert (run.code, run.err) == (0, "")
    assert [line.split(" page")[0] for line in run.text.splitlines() if line] == [
        "<!--", "# The Title", "It was read by a model far away.",
    ] * 3  # fmt: skip
    assert {asked.headers["authorization"] for asked in server.asked} == {f"Bearer {KEY}"}
    assert {asked.image.size for asked in server.asked} == {(640, 640)}


def test_where_nothing_listens_the_exit_code_is_4_and_one_line_says_so(ocrpress, pdf):
    port = free_port()
    run = ocrpress("convert", pdf, "--engine", "server", "--url", f"127.0.0.1:{port}")
    assert (run.code, run.out) == (4, b"")
    assert run.err == (
        f"ocrpress: cannot reach http://127.0.0.1:{port}/v1 (Connection refused; 3 tries): "
        "look at --url, and whether the endpoint is running\n"
    )


def test_without_an_address_the_exit_code_is_2(ocrpress, pdf):
    run = ocrpress("convert", pdf, "--engine", "server")
    assert (run.code, run.out) == (2, b"")
    assert run.lines == ["ocrpress: engine server has no address: give one like --url http://localhost:8000/v1"]


def test_a_key_that_is_refused_stays_secret_even_in_the_traceback(ocrpress, pdf):
    refusal = Act(status=401, body={"error": {"message": f"Incorrect API key provided: {KEY}"}})
    with EndpointServer(lambda asked: refusal) as server:
        run = ocrpress("convert", pdf, "--engine", "server", "--url", server.url, "--api-key", KEY, "--debug")
    assert run.code == 4
    assert "Traceback" in run.err
    assert KEY not in run.err


def test_ctrl_c_does_not_wait_for_the_endpoint(tmp_path):
    (tmp_path / "long.pdf").write_bytes(make_text_pdf(9, 1))
    command = [sys.executable, "-m", "ocrpress", "convert", "long.pdf", "-o", "out.json", "--format", "json"]
    with EndpointServer(lambda asked: Act(text=grounded(asked), seconds=0 if asked.number <= 2 else 60)) as server:
        process = subprocess.Popen(
            [*command, "--engine", "server", "--url", server.url, "--slots", "1"], cwd=tmp_path, env=environment(),
            stderr=subprocess.PIPE, text=True,
        )  # fmt: skip
        try:
            wait_until(lambda: len(server.asked) >= 3)
            started = time.monotonic()
            process.send_signal(signal.SIGINT)
            _, err = process.communicate(timeout=30)
            took = time.monotonic() - started
        finally:
            process.kill()
            process.communicate()
    assert (process.returncode, took < 5) == (130, True)
    assert err == "ocrpress: broken off: long.pdf: 2 of 9 pages are written\n"
    found = json.loads((tmp_path / "out.json").read_text())
    assert ([page["status"] for page in found["pages"]], found["complete"]) == (["ok", "ok"], False)
