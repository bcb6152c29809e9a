"""What the service counts: names, labels that stay few whatever clients send, and the processes below."""

from __future__ import annotations

import asyncio
import math
import re
import subprocess
import sys
import threading
from pathlib import Path
from types import SimpleNamespace
from typing import get_args

import httpx
import pytest
from conftest import ROOT
from fastapi import FastAPI
from prometheus_client.parser import text_string_to_metric_families

from ocrpress import __version__
from ocrpress.document import Attempt, Block, Fault, PageResult
from ocrpress.engines.base import Capabilities, EngineOptions
from ocrpress.errors import InputError, PasswordError
from ocrpress.jobs.reading import losses
from ocrpress.jobs.reading.feed import cause_of
from ocrpress.jobs.reading.settings import Settings
from ocrpress.modes import plan
from ocrpress.server.desk.facts import EngineFacts, Load
from ocrpress.server.door.metrics import CAUSES, STAGES, Metrics, router
from ocrpress.server.door.processes import Taken, descendants, processes

UNITS = ("_total", "_seconds", "_bytes")


class StandInDesk:
    state, error, restarts = "ready", None, 2
    engine = EngineFacts("fake", "native", Capabilities(("native",)))

    def load(self):
        return Load(documents=3, jobs=4, waiting=50, reading=6, clients=2, rate=7.5)


class StandInJobs:
    def counts(self):
        return {"waiting": 1, "done": 9}


def samples(metrics):
    """Name -> labels -> value."""
    return parsed(metrics.render())


def parsed(text):
    """The same of what was given."""
    found = {}
    for family in text_string_to_metric_families(text.decode()):
        for sample in family.samples:
            found.setdefault(sample.name, {})[frozenset(sample.labels.items())] = sample.value
    return found


def value(metrics, name, **labels):
    return samples(metrics)[name][frozenset(labels.items())]


def page(**fields):
    told = {"number": 1, "status": "ok", "engine": "deepseek", "mode": "tiny", **fields}
    return PageResult(**told)


def attempts(*tokens, engine="deepseek"):
    return tuple(Attempt(engine, "tiny", "end", 0.1, output_tokens=count) for count in tokens)


def ask(app, *requests, raise_app_exceptions=False):
    async def run():
        transport = httpx.ASGITransport(app, raise_app_exceptions=raise_app_exceptions)
        async with httpx.AsyncClient(transport=transport, base_url="http://here") as client:
            return [await client.request(method, path, content=body) for method, path, body in requests]

    return asyncio.run(run())


def small_app():
    app = FastAPI()

    @app.get("/v1/jobs/{job}")
    async def job(job: str):
        return {"job": job}

    @app.post("/v1/convert")
    async def convert():
        raise ValueError("broken")

    return app


def test_pages_are_counted_by_status_engine_and_mode():
    metrics = Metrics()
    metrics.saw_page(page(), "")
    metrics.saw_page(page(), "")
    metrics.saw_page(page(status="blank", engine="rapid", mode="native"), "")
    assert value(metrics, "ocrpress_pages_total", status="ok", engine="deepseek", mode="tiny") == 2
    assert value(metrics, "ocrpress_pages_total", status="blank", engine="rapid", mode="native") == 1


def test_the_cause_of_a_failure_is_what_the_crew_says_or_the_fault_of_the_last_try():
    metrics = Metrics()
    looped = (Attempt("deepseek", "tiny", "length", 1.0, "it loops", fault="loop"),)
    metrics.saw_page(page(status="failed"), "crash")
    metrics.saw_page(page(status="failed", attempts=looped), "")
    metrics.saw_page(page(status="failed", attempts=looped), "time limit")
    metrics.saw_page(page(status="failed"), "")
    causes = {
        next(iter(labels))[1]: count for labels, count in samples(metrics)["ocrpress_page_failures_total"].items()
    }
    assert causes == {"crash": 1, "loop": 1, "time limit": 1, "unreadable page": 1}


def test_tokens_are_of_the_answer_that_was_taken_and_output_of_every_try():
    metrics, costs = Metrics(), plan(800, 600, "tiny", 9)
    block = Block("paragraph", "ten letters", (0, 0, 1, 1))
    metrics.saw_page(page(plan=costs, attempts=attempts(100, 30), blocks=(block,)), "")
    metrics.saw_page(page(status="failed", plan=costs, attempts=attempts(7)), "")
    assert value(metrics, "ocrpress_vision_tokens_total", mode="tiny") == costs.vision_tokens == 64
    assert value(metrics, "ocrpress_sequence_tokens_total", mode="tiny") == costs.sequence_tokens
    assert value(metrics, "ocrpress_output_tokens_total", mode="tiny") == 137
    assert value(metrics, "ocrpress_characters_total", mode="tiny") == len("ten letters")
    assert value(metrics, "ocrpress_retries_total") == 1


def test_a_page_of_the_engine_of_last_resort_is_counted_as_one():
    metrics = Metrics()
    tries = (*attempts(5), *attempts(None, engine="rapid"))
    metrics.saw_page(page(engine="rapid", attempts=tries), "")
    metrics.saw_page(page(attempts=attempts(5)), "")
    metrics.saw_page(page(status="failed", attempts=tries), "")
    assert value(metrics, "ocrpress_fallback_pages_total") == 1


def test_seconds_of_a_stage_fall_into_buckets_from_milliseconds_to_ten_minutes():
    metrics = Metrics()
    for seconds in (0.008, 0.3, 599.0, math.nan, -1.0, math.inf):
        metrics.saw_page(page(seconds={"decode": seconds}), "")
    bucket = {dict(labels)["le"]: count for labels, count in samples(metrics)["ocrpress_stage_seconds_bucket"].items()}
    assert (bucket["0.01"], bucket["0.5"], bucket["300.0"], bucket["600.0"], bucket["+Inf"]) == (1, 2, 2, 3, 3)
    assert value(metrics, "ocrpress_stage_seconds_sum", stage="decode") == pytest.approx(599.308)


def test_labels_stay_few_whatever_engines_and_clients_say():
    metrics = Metrics()
    app = metrics.wrap(small_app())
    for number in range(300):
        odd = f"odd{number}"
        metrics.saw_page(page(engine=odd, mode=odd, status="failed", seconds={odd: 1.0}), odd)
    odd_requests = [(f"X{number}", f"/v1/jobs/{number}?q={number}", b"") for number in range(100)]
    ask(app, *odd_requests, *[("GET", f"/v1/jobs/{number}", b"") for number in range(100)])
    ask(app, *[("GET", f"/nothing/{number}", b"") for number in range(100)])
    found = samples(metrics)
    assert all(len(series) <= 40 for name, series in found.items() if not name.endswith("_bucket"))
    assert {dict(labels)["cause"] for labels in found["ocrpress_page_failures_total"]} == {"other"}
    routes = {dict(labels)["route"] for labels in found["ocrpress_http_requests_total"]}
    assert routes == {"/v1/jobs/{job}", "none"}
    assert "odd" not in metrics.render().decode()


def test_requests_are_counted_by_method_route_and_status_with_their_bytes():
    metrics = Metrics()
    answers = ask(metrics.wrap(small_app()), ("GET", "/v1/jobs/17", b""), ("POST", "/v1/convert", b"x" * 1000))
    assert [answer.status_code for answer in answers] == [200, 500]
    name = "ocrpress_http_requests_total"
    assert value(metrics, name, method="GET", route="/v1/jobs/{job}", status="200") == 1
    assert value(metrics, name, method="POST", route="/v1/convert", status="500") == 1
    assert value(metrics, "ocrpress_http_sent_bytes_total", route="/v1/jobs/{job}") == len(answers[0].content)
    seconds = "ocrpress_http_request_seconds_count"
    assert value(metrics, seconds, method="GET", route="/v1/jobs/{job}", status="200") == 1
    assert value(metrics, "ocrpress_http_requests_open") == 0


def test_a_body_is_counted_as_it_is_read_and_an_open_request_is_one():
    metrics, seen = Metrics(), []

    async def app(scope, receive, send):
        scope["route"] = SimpleNamespace(path="/v1/convert")
        for _ in range(2):
            await receive()
        seen.append(value(metrics, "ocrpress_http_requests_open"))
        await send({"type": "http.response.start", "status": 413, "headers": []})
        await send({"type": "http.response.body", "body": b"too large"})

    async def parts():
        return {"type": "http.request", "body": b"12345", "more_body": True}

    async def sent(message):
        pass

    asyncio.run(metrics.wrap(app)({"type": "http", "method": "POST"}, parts, sent))
    assert seen == [1]
    assert value(metrics, "ocrpress_http_received_bytes_total", route="/v1/convert") == 10
    assert value(metrics, "ocrpress_http_requests_total", method="POST", route="/v1/convert", status="413") == 1


def test_a_request_whose_client_leaves_is_counted_as_aborted():
    metrics = Metrics()

    async def app(scope, receive, send):
        await asyncio.sleep(60)

    async def run():
        task = asyncio.create_task(metrics.wrap(app)({"type": "http", "method": "GET"}, None, None))
        await asyncio.sleep(0)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    asyncio.run(run())
    assert value(metrics, "ocrpress_http_requests_total", method="GET", route="none", status="aborted") == 1
    assert value(metrics, "ocrpress_http_requests_open") == 0


def test_what_is_no_request_passes_through_uncounted():
    metrics, passed = Metrics(), []

    async def app(scope, receive, send):
        passed.append((scope, receive, send))

    asyncio.run(metrics.wrap(app)({"type": "lifespan"}, 1, 2))
    assert passed == [({"type": "lifespan"}, 1, 2)]
    assert "ocrpress_http_requests_total" not in samples(metrics)


def test_the_queue_is_asked_at_every_scrape():
    metrics, desk = Metrics(Settings("deepseek", EngineOptions(checkpoint="/home/somebody/fine-tuned/"))), StandInDesk()
    metrics.attach(desk, StandInJobs())
    assert value(metrics, "ocrpress_queue_pages", state="waiting") == 50
    assert value(metrics, "ocrpress_queue_pages", state="reading") == 6
    assert value(metrics, "ocrpress_documents", kind="job") == 4
    assert value(metrics, "ocrpress_jobs", state="done") == 9
    assert value(metrics, "ocrpress_clients") == 2
    assert value(metrics, "ocrpress_pages_per_second") == 7.5
    assert value(metrics, "ocrpress_engine_restarts_total") == 2
    assert value(metrics, "ocrpress_engine_up") == 1
    desk.state = "broken"
    assert value(metrics, "ocrpress_engine_up") == 0
    about = {"version": __version__, "engine": "fake", "mode": "native", "checkpoint": "fine-tuned"}
    assert value(metrics, "ocrpress_info", **about) == 1


def test_an_engine_that_was_never_open_is_no_error():
    metrics, desk = Metrics(), StandInDesk()
    desk.engine, desk.state = None, "starting"
    metrics.attach(desk)
    assert value(metrics, "ocrpress_info", version=__version__, engine="", mode="", checkpoint="") == 1


@pytest.mark.parametrize(
    ("engine", "options", "named"),
    [
        ("deepseek", EngineOptions(), "deepseek-ocr"),
        ("server", EngineOptions(url="http://vllm:8000/v1", model="deepseek-ai/DeepSeek-OCR"), "DeepSeek-OCR"),
        ("rapid", EngineOptions(), ""),
    ],
)
def test_the_checkpoint_is_named(engine, options, named):
    metrics = Metrics(Settings(engine, options))
    metrics.attach(StandInDesk())
    (labels,) = samples(metrics)["ocrpress_info"]
    assert dict(labels)["checkpoint"] == named


def test_names_are_as_prometheus_wants_them():
    metrics = Metrics()
    metrics.attach(StandInDesk(), StandInJobs())
    metrics.saw_page(page(seconds={"render": 0.1}), "")
    families = list(text_string_to_metric_families(metrics.render().decode()))
    names = [family.name for family in families]
    assert len(names) == len(set(names)) >= 25
    for family in families:
        assert re.fullmatch(r"ocrpress_[a-z_]+", family.name)
        assert family.documentation.endswith(".")
        if family.type == "counter":
            assert all(sample.name.endswith("_total") for sample in family.samples)
        if family.type == "histogram":
            assert family.name.endswith(UNITS)
        assert not any(sample.name.endswith("_created") for sample in family.samples)


def test_the_tables_of_stages_and_causes_hold_what_the_code_says():
    """A stage or a cause that is new elsewhere would be counted as "other"."""
    rooms = [ROOT / "ocrpress" / room for room in ("sources", "engines", "pipeline")]
    code = "\n".join(path.read_text() for room in rooms for path in sorted(room.rglob("*.py")))
    booked = re.findall(r"\.(?:lap|measure)\(\"(\w+)\"\)|seconds\[\"(\w+)\"\]", code)
    given = re.findall(r"seconds\w*=?\s*(?:=|\()?\s*\{([^}]*)\}", code)
    stages = {name for pair in booked for name in pair if name} | set(re.findall(r'"(\w+)":', " ".join(given)))
    assert {"render", "detect", "recognise", "answer", "encode", "decode", "layout", "figures"} <= stages
    assert stages - {"failure", "message", "advice"} <= STAGES
    assert {*get_args(Fault), losses.CRASH, losses.LATE, losses.MEMORY, losses.BROKEN} <= CAUSES
    refusals = {cause_of(error("x")) for error in (PasswordError, InputError, MemoryError, ValueError)}
    assert {*refusals, "changed", "unreadable page"} <= CAUSES


def test_counting_from_many_threads_loses_nothing():
    metrics, result = Metrics(), page(seconds={"render": 0.01})

    def count():
        for _ in range(200):
            metrics.saw_page(result, "")
            if _ % 50 == 0:
                metrics.render()

    threads = [threading.Thread(target=count) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert value(metrics, "ocrpress_pages_total", status="ok", engine="deepseek", mode="tiny") == 800


def test_processes_below_are_summed_up_to_the_last():
    found = {
        1: Taken(0, 9.0, 9.0, 9000),
        10: Taken(1, 1.0, 0.5, 100),
        11: Taken(10, 2.0, 0.0, 200),
        12: Taken(11, 4.0, 0.25, 400),
        13: Taken(1, 8.0, 0.0, 800),
    }
    below = descendants(found, 10)
    assert sorted(process.resident for process in below) == [200, 400]
    assert descendants(found, 13) == []


@pytest.mark.skipif(not Path("/proc/self").is_dir(), reason="there is no /proc here")
def test_a_process_below_is_seen_and_its_seconds_stay_when_it_ends():
    """In a process of its own: below this one there are others, that may end meanwhile."""
    code = """if True:
        import subprocess, sys
        from ocrpress.server.door.metrics import Metrics
        spin = "import time; t = time.process_time\\nwhile t() < 0.3: pass\\nprint(flush=True); input()"
        with subprocess.Popen([sys.executable, "-c", spin], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
            process.stdout.readline()
            there = Metrics().render()
            process.stdin.close()
            process.wait()
        sys.stdout.buffer.write(there + b"=" + Metrics().render())"""
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, check=True, timeout=60)
    there, then = (parsed(text) for text in done.stdout.split(b"="))
    workers, own = "ocrpress_workers", frozenset()
    assert (there[workers][own], then[workers][own]) == (1, 0)
    assert there[f"{workers}_resident_memory_bytes"][own] > 1 << 20
    assert there[f"{workers}_cpu_seconds_total"][own] >= 0.25
    assert then[f"{workers}_cpu_seconds_total"][own] >= there[f"{workers}_cpu_seconds_total"][own]


@pytest.mark.skipif(not Path("/proc/self").is_dir(), reason="there is no /proc here")
def test_seconds_of_a_process_that_nobody_waits_for_are_not_taken_back():
    """It outlives the process between, so that it is no longer below: its parent is another one then."""
    metrics, name = Metrics(), "ocrpress_workers_cpu_seconds_total"
    inner = "import time; t = time.process_time\nwhile t() < 0.3: pass\nprint(flush=True); input()"
    outer = f"import subprocess, sys, os; subprocess.Popen([sys.executable, '-c', {inner!r}]); os.wait()"
    with subprocess.Popen([sys.executable, "-c", outer], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        process.stdout.readline()
        there = value(metrics, name)
        process.kill()
        process.wait()
        assert there >= 0.25
        assert value(metrics, name) >= there


def test_without_proc_there_is_nothing_to_say(tmp_path):
    assert processes(tmp_path / "proc") == {}


def test_metrics_are_given_in_the_text_format_of_prometheus():
    app, metrics = FastAPI(), Metrics()
    app.include_router(router)
    app.state.service = SimpleNamespace(metrics=metrics)
    (answer,) = ask(metrics.wrap(app), ("GET", "/metrics", b""))
    assert answer.status_code == 200
    assert answer.headers["content-type"] == "text/plain; version=0.0.4; charset=utf-8"
    assert b"ocrpress_retries_total 0.0" in answer.content
    assert value(metrics, "ocrpress_http_requests_total", method="GET", route="/metrics", status="200") == 1
