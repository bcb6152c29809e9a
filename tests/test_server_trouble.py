"""The server engine in trouble: endpoints that stall, err, refuse, cut off and die."""

from __future__ import annotations

import threading
import time
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime

import pytest
from openai_server import Act, EndpointServer
from server_tools import Waits, free_port, read, read_one, reading, request, requests, wait_until

from ocrpress.engines.server.patience import Patience, retry_after
from ocrpress.errors import EngineError

pytest_plugins = ["server_fixtures"]


# ---- what is tried again

TROUBLES = {
    "503": Act(status=503, body={"error": {"message": "loading the model"}}),
    "500 with a page": Act(status=500, body=b"<html>oh</html>"),
    "429": Act(status=429, body={"error": "slow down"}),
    "408": Act(status=408, body=b""),
    "garbage": Act(body=b"\xff\xfenot json{{{"),
    "nested garbage": Act(body=b"[" * 100_000),
    "an empty body": Act(body=b""),
    "a list": Act(body=b"[1, 2]"),
    "an error under 200": Act(body={"error": {"message": "provider is down"}}),
    "no choices": Act(body={"choices": []}),
    "choices of the wrong kind": Act(body={"choices": "none"}),
    "a choice of the wrong kind": Act(body={"choices": [3]}),
    "no message": Act(body={"choices": [{"finish_reason": "stop"}]}),
    "content of the wrong kind": Act(body={"choices": [{"message": {"content": 3}, "finish_reason": "stop"}]}),
    "abort": Act(text="half of i", finish="abort"),
    "a truncated body": Act(cut=40),
    "a closed connection": Act(hang_up=True),
}


@pytest.mark.parametrize("trouble", TROUBLES)
def test_trouble_that_passes_costs_another_try(engine_for, trouble):
    with EndpointServer(lambda asked: TROUBLES[trouble] if asked.number <= 2 else Act()) as server:
        done = read_one(engine_for(server))
    assert (done.text, done.stop, done.warnings) == (reading(request()), "end", ())
    assert len(server.asked) == 3
    assert server.asked[0].body == server.asked[2].body


@pytest.mark.parametrize("trouble", TROUBLES)
def test_trouble_that_stays_is_an_error_of_the_page_in_one_line(engine_for, trouble):
    bad = reading(request(2))
    with EndpointServer(lambda asked: TROUBLES[trouble] if asked.reading == bad else Act()) as server:
        found = read(engine_for(server, slots=2), requests(4))
    assert [found[key].stop for key in (1, 2, 3, 4)] == ["end", "error", "end", "end"]
    assert "after 6 tries: " in found[2].error
    assert "\n" not in found[2].error
    assert len(found[2].error) < 450
    assert sum(asked.reading == bad for asked in server.asked) == 6


def test_the_endpoints_own_words_are_in_the_error(engine_for):
    with EndpointServer(lambda asked: TROUBLES["503"]) as server:
        assert read_one(engine_for(server)).error.endswith("status 503: loading the model")


def test_delays_double_up_to_the_longest_and_vary(engine_for):
    waits = Waits()
    with EndpointServer(lambda asked: TROUBLES["503"]) as server:
        read_one(engine_for(server, Patience(delay=1.0, longest=6.0, chance=lambda: 0.5), waits))
        assert waits.seconds == [0.75, 1.5, 3.0, 4.5, 4.5]
        waits.seconds.clear()
        read_one(engine_for(server, Patience(), waits))
    assert all(
        low <= seconds <= high
        for seconds, low, high in zip(waits.seconds, (0.5, 1, 2, 4, 8), (1, 2, 4, 8, 16), strict=True)
    )


def test_a_real_delay_is_waited_for(engine_for):
    with EndpointServer(lambda asked: TROUBLES["503"] if asked.number == 1 else Act()) as server:
        read_one(engine_for(server, Patience(delay=0.2, chance=lambda: 1.0)))
    assert server.asked[1].at - server.asked[0].at >= 0.2


@pytest.mark.parametrize("value", ["7", format_datetime(datetime.now(UTC) + timedelta(days=3650))])
def test_retry_after_is_honoured(engine_for, value):
    waits = Waits()
    act = Act(status=429, headers={"Retry-After": value}, body={"error": {"message": "busy"}})
    with EndpointServer(lambda asked: act if asked.number <= 2 else Act()) as server:
        done = read_one(engine_for(server, Patience(longest=1e9), waits))
    assert done.stop == "end"
    assert len(waits.seconds) == 2
    assert all(seconds >= 7 for seconds in waits.seconds)
    assert value != "7" or all(seconds <= 8 for seconds in waits.seconds)


def test_an_endpoint_that_asks_to_wait_for_too_long_is_not_waited_for(engine_for):
    act = Act(status=429, headers={"Retry-After": "3600"}, body={"error": {"message": "quota used up"}})
    with EndpointServer(lambda asked: act) as server:
        done = read_one(engine_for(server))
    assert done.error.endswith("after 1 try: status 429: quota used up; it asks to wait 3600 s")


@pytest.mark.parametrize(
    ("value", "seconds"),
    [(None, None), ("", None), ("soon", None), ("nan", None), ("inf", None), ("-5", 0.0), ("2.5", 2.5),
     ("Wed, 21 Oct 2015 07:28:00 GMT", 0.0), ("99 Foo 2015", None)],
)  # fmt: skip
def test_retry_after_is_a_number_or_a_date_or_nothing(value, seconds):
    assert retry_after(value) == seconds


@pytest.mark.parametrize("act", [Act(seconds=30), Act(drip=0.02)], ids=["stalls", "drips"])
def test_an_answer_that_is_not_whole_in_time_is_given_up_after_a_second_try(engine_for, act):
    bad = reading(request(2))
    started = time.monotonic()
    with EndpointServer(lambda asked: act if asked.reading == bad else Act()) as server:
        found = read(engine_for(server, slots=2, timeout=0.3), requests(3))
    assert time.monotonic() - started < 3
    assert [found[key].stop for key in (1, 2, 3)] == ["end", "error", "end"]
    assert found[2].error.endswith("after 2 tries: no whole answer in 0.3 s")
    assert len(server.asked) == 4


def test_an_answer_without_end_is_cut_off(engine_for, monkeypatch):
    from ocrpress.engines.server import client

    monkeypatch.setattr(client, "LONGEST_ANSWER", 2**20)
    with EndpointServer(lambda asked: Act(text="x" * 2**21)) as server:
        assert read_one(engine_for(server)).error.endswith("an answer of more than 1 MiB")


# ---- what the endpoint refuses


def test_a_page_that_is_refused_is_an_error_with_the_endpoints_words_and_is_asked_once(engine_for):
    bad = reading(request(3))
    refusal = Act(status=400, body={"error": {"message": "cannot identify image", "type": "BadRequestError"}})
    with EndpointServer(lambda asked: refusal if asked.reading == bad else Act()) as server:
        found = read(engine_for(server, slots=1), requests(4))
    assert [found[key].stop for key in (1, 2, 3, 4)] == ["end", "end", "error", "end"]
    assert found[3].error == f"{server.url} refuses the page: status 400: cannot identify image"
    assert found[4].warnings == ()
    assert [asked.reading for asked in server.asked].count(bad) == 1


def test_a_first_page_that_is_refused_costs_the_later_pages_nothing(engine_for):
    bad = reading(request(1))
    with EndpointServer(lambda asked: Act(status=422, body=b"no") if asked.reading == bad else Act()) as server:
        found = read(engine_for(server, slots=1), requests(2))
    assert (found[1].error, found[2].stop) == (f"{server.url} refuses the page: status 422: no", "end")
    assert "vllm_xargs" in server.asked[-1].body


@pytest.mark.parametrize("status", [413, 415])
def test_other_refusals_are_not_tried_again(engine_for, status):
    with EndpointServer(lambda asked: Act(status=status, body={"message": "image too large"})) as server:
        done = read_one(engine_for(server))
    assert (done.stop, len(server.asked)) == ("error", 1)
    assert done.error.endswith(f"refuses the page: status {status}: image too large")


UNKNOWN = {
    "as OpenAI says it": {
        "error": {"message": "Unrecognized request arguments supplied: skip_special_tokens, vllm_xargs", "param": None}
    },
    "as pydantic says it": {"detail": [{"type": "extra_forbidden", "loc": ["body", name], "msg": "Extra inputs are not "
                             "permitted", "input": "x" * 400} for name in ("skip_special_tokens", "vllm_xargs")]},
    "without a name": {"error": "bad request"},
}  # fmt: skip


@pytest.mark.parametrize("words", UNKNOWN)
def test_an_endpoint_that_refuses_unknown_fields_is_asked_without_them_from_then_on(engine_for, words):
    def strict(asked):
        return (
            Act(status=400, body=UNKNOWN[words]) if {"vllm_xargs", "skip_special_tokens"} & asked.body.keys() else Act()
        )

    with EndpointServer(strict) as server:
        engine = engine_for(server, slots=1)
        found = [*engine.read(requests(3)), *engine.read([request(4)])]
    assert [completion.stop for completion in found] == ["end"] * 4
    assert all("the endpoint refuses vllm_xargs, skip_special_tokens" in done.warnings[0] for done in found)
    assert len(server.asked) == 5
    assert ("seed" in server.asked[-1].body) == (words != "without a name")


def test_one_field_named_after_the_other_is_left_out_one_after_the_other(engine_for):
    def fussy(asked):
        known = {"model", "messages", "max_tokens"}
        wrong = [name for name in asked.body if name not in known]
        return Act(status=422, body={"detail": f"what is {wrong[0]}?"}) if wrong else Act()

    with EndpointServer(fussy) as server:
        done = read_one(engine_for(server))
    assert done.warnings == ("the endpoint refuses vllm_xargs, skip_special_tokens, seed, temperature",)
    assert len(server.asked) == 5


@pytest.mark.parametrize(
    "words",
    [
        "'max_tokens' or 'max_completion_tokens' is too large: 8192. This model's maximum context length is 8192",
        "Requested token count exceeds the model's maximum context length of 8192 tokens.",
    ],
)
def test_a_limit_as_long_as_the_context_is_left_to_the_endpoint(engine_for, words):
    def vllm(asked):
        return Act(status=400, body={"error": {"message": words}}) if "max_tokens" in asked.body else Act()

    with EndpointServer(vllm) as server:
        found = read(engine_for(server, slots=1), requests(2))
    assert [found[key].warnings for key in (1, 2)] == [(), ()]
    assert len(server.asked) == 3
    assert "vllm_xargs" in server.asked[-1].body


# ---- ends that are no end


def test_an_endpoint_that_dies_midway_costs_the_pages_under_way_and_ends_the_run(engine_for):
    found = []
    with EndpointServer(lambda asked: Act(seconds=0.02 if asked.number <= 6 else 30)) as server:
        engine = engine_for(server, slots=4)
        with pytest.raises(EngineError, match=r"cannot reach .* 6 tries\): look at --url, and whether"):
            for completion in engine.read(iter(requests(30))):
                found.append(completion)
                if len(found) == 6:
                    threading.Timer(0.1, server.die).start()
    stops = [completion.stop for completion in found]
    assert stops[:6] == ["end"] * 6
    assert set(stops[6:]) == {"error"}
    assert 4 <= len(stops[6:]) <= 6
    assert sorted(completion.key for completion in found) == list(range(1, len(found) + 1))
    assert all("cannot reach" in completion.error for completion in found[6:])


def test_an_endpoint_that_is_away_now_and_then_costs_single_pages(engine_for):
    port = free_port()

    def source():
        for each in requests(7):
            if each.key % 2 == 0:
                yield each
            else:
                with EndpointServer(port=port):
                    yield each  # the engine comes back for more only when this one is answered

    engine = engine_for(f"http://127.0.0.1:{port}", Patience(tries=1, lost_pages=2), slots=1)
    found = read(engine, source())
    assert [found[key].stop for key in range(1, 8)] == ["end", "error"] * 3 + ["end"]
    assert "cannot reach" in found[2].error


def test_an_endpoint_that_is_slow_to_start_is_waited_for(engine_for):
    servers, port = [], free_port()
    engine = engine_for(f"http://127.0.0.1:{port}", Patience(tries=100, first_tries=100, delay=0.05, longest=0.05))
    start = threading.Timer(0.3, lambda: servers.append(EndpointServer(port=port).__enter__()))
    start.start()
    assert read_one(engine).text == reading(request())
    servers[0].die()


def test_a_refusal_midway_keeps_what_was_answered(engine_for):
    def expiring(asked):
        return Act(status=401, body=b"expired") if asked.number == 5 else Act(seconds=30 if asked.number > 5 else 0)

    found = []
    with EndpointServer(expiring) as server, pytest.raises(EngineError, match="expired"):
        found.extend(engine_for(server, slots=2).read(requests(20)))
    assert [completion.stop for completion in found] == ["end"] * 4 + ["error"] * 2


@pytest.mark.parametrize("how", ["close", "interrupt"])
def test_breaking_off_closes_the_connections_at_once(engine_for, how):
    with EndpointServer(lambda asked: Act(seconds=0 if asked.number == 1 else 30)) as server:
        reading_on = engine_for(server, slots=4).read(requests(20))
        next(reading_on)
        wait_until(lambda: len(server.asked) == 4)
        started = time.monotonic()
        if how == "close":
            reading_on.close()
        else:
            with pytest.raises(KeyboardInterrupt):
                reading_on.throw(KeyboardInterrupt)
        assert time.monotonic() - started < 0.5
        wait_until(lambda: server.left == 3)
        assert len(server.asked) == 4


def test_breaking_off_does_not_sit_out_a_delay(engine_for):
    with EndpointServer(lambda asked: Act() if asked.number == 1 else TROUBLES["503"]) as server:
        engine = engine_for(server, Patience(delay=60.0), slots=2)
        reading_on = engine.read(requests(4))
        next(reading_on)
        wait_until(lambda: len(server.asked) == 2)
        started = time.monotonic()
        reading_on.close()
        engine.close()
        assert time.monotonic() - started < 1


def test_closing_the_engine_ends_its_thread_and_a_reading_that_goes_on_says_so(engine_for):
    with EndpointServer(lambda asked: Act(seconds=0 if asked.number == 1 else 30)) as server:
        engine = engine_for(server, slots=2)
        reading_on = engine.read(requests(3))
        next(reading_on)
        engine.close()
        assert not any(thread.name == "ocrpress-server" for thread in threading.enumerate())
        with pytest.raises(EngineError, match="closed while it was reading"):
            next(reading_on)


def test_a_closed_engine_can_be_used_again(engine_for):
    with EndpointServer() as server:
        engine = engine_for(server)
        read_one(engine)
        engine.close()
        assert read_one(engine).stop == "end"


def test_an_error_in_the_source_of_pages_passes_through(engine_for):
    def source():
        yield request(1)
        raise RuntimeError("the PDF is gone")

    with EndpointServer() as server, pytest.raises(RuntimeError, match="the PDF is gone"):
        list(engine_for(server).read(source()))


def test_a_page_that_cannot_be_sent_is_an_error_of_the_page(engine_for):
    with EndpointServer() as server:
        found = read(engine_for(server), [request(1), request(2, task="sing"), request(3, mode="tiny")])
    assert [found[key].stop for key in (1, 2, 3)] == ["end", "error", "end"]
    assert "unknown task 'sing'" in found[2].error
