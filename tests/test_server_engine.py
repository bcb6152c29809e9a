"""The server engine where all goes well: what it is for, what it sends, what it makes of the answers."""

from __future__ import annotations

import json
import threading
import time

import pytest
from openai_server import Act, EndpointServer
from server_tools import KEY, page, read, read_one, reading, request, requests

from ocrpress.engines import open_engine
from ocrpress.engines.base import EngineOptions
from ocrpress.engines.server.body import sent_image
from ocrpress.modes import MODES, plan
from ocrpress.views import make_views, overview

pytest_plugins = ["server_fixtures"]


# ---- what it is for


def test_twenty_pages_are_read_four_at_a_time(engine_for):
    with EndpointServer(lambda asked: Act(seconds=0.05 + 0.03 * (asked.number % 3))) as server:
        found = read(engine_for(server, slots=4), requests(20))
    assert {key: found[key].text for key in found} == {each.key: reading(each) for each in requests(20)}
    assert {completion.stop for completion in found.values()} == {"end"}
    assert server.busiest == 4
    assert (len(server.asked), server.listed) == (20, 1)


def test_a_quick_answer_does_not_wait_for_a_slow_one(engine_for):
    with EndpointServer(lambda asked: Act(seconds=0.5 if asked.reading == reading(request(1)) else 0)) as server:
        keys = [completion.key for completion in engine_for(server, slots=2).read(requests(5))]
    assert keys == [2, 3, 4, 5, 1]


def test_requests_are_taken_in_one_thread_of_their_own_and_only_when_there_is_room(engine_for):
    taken, answered, threads = [], [], set()

    def source():
        for each in requests(12):
            threads.add(threading.current_thread())
            taken.append(each.key)
            assert len(taken) - len(answered) <= 3
            yield each

    with EndpointServer() as server:
        for completion in engine_for(server, slots=3).read(source()):
            answered.append(completion.key)
            assert len(taken) - len(answered) <= 3
    assert len(threads) == 1
    assert threads != {threading.current_thread()}
    assert sorted(answered) == list(range(1, 13))


def test_an_answer_goes_before_the_rendering_of_more_pages(engine_for):
    order = []

    def slow():
        for each in requests(4):
            time.sleep(0.15)
            order.append(f"taken {each.key}")
            yield each

    with EndpointServer() as server:
        order += [
            f"answered {completion.key}" for completion in _noting(engine_for(server, slots=4).read(slow()), order)
        ]
    assert order.index("answered 1") < order.index("taken 4")


def _noting(completions, order):
    for completion in completions:
        order.append(f"answered {completion.key}")
        yield completion


def test_a_completion_tells_what_happened(engine_for):
    with EndpointServer(lambda asked: Act(text="<|ref|>title<|/ref|>", tokens=12)) as server:
        done = read_one(engine_for(server), mode="base")
    assert (done.key, done.text, done.form, done.stop) == (1, "<|ref|>title<|/ref|>", "markup", "end")
    assert (done.output_tokens, done.plan, done.warnings) == (12, plan(61, 79, "base"), ())
    assert set(done.seconds) == {"views", "answer"}
    assert done.seconds["answer"] > 0


def test_it_is_opened_by_name_and_says_what_it_can_do():
    engine = open_engine("server", EngineOptions(url="localhost:8000", slots=5))
    can = engine.capabilities
    assert (engine.name, can.modes[0], can.in_flight) == ("server", "native", 5)
    assert can.decoding
    assert can.grounding
    assert set(can.tasks) == {"markdown", "text", "ocr", "figure", "describe", "locate"}
    assert "gundam-m" not in can.modes
    engine.close()
    engine.close()


# ---- what is sent


@pytest.mark.parametrize(
    ("task", "prompt"),
    [
        ("markdown", "<|grounding|>Convert the document to markdown."),
        ("text", "Free OCR."),
        ("figure", "Parse the figure."),
        ("describe", "Describe this image in detail."),
        ("locate=the {stamp}", "Locate <|ref|>the {stamp}<|/ref|> in the image."),
    ],
)
def test_the_prompts_are_those_of_the_checkpoint(engine_for, task, prompt):
    with EndpointServer() as server:
        read_one(engine_for(server), task=task)
    assert server.asked[0].prompt == prompt


def test_the_request_is_what_vllm_takes_for_deepseek_ocr(engine_for):
    with EndpointServer() as server:
        read_one(engine_for(server, api_key=KEY))
    [asked] = server.asked
    assert asked.headers["authorization"] == f"Bearer {KEY}"
    assert [part["type"] for part in asked.parts] == ["image_url", "text"]
    assert {name: value for name, value in asked.body.items() if name != "messages"} == {
        "model": "ocr",
        "max_tokens": 8192,
        "temperature": 0.0,
        "seed": 0,
        "skip_special_tokens": False,
        "vllm_xargs": {"ngram_size": 30, "window_size": 90, "whitelist_token_ids": [128821, 128822]},
    }


def test_how_to_decode_is_passed_on(engine_for):
    with EndpointServer() as server:
        read_one(engine_for(server), temperature=0.4, ngram=20, window=200, max_tokens=99, seed=5, ignore_end=True)
        read_one(engine_for(server), ngram=0)
    full, without = (asked.body for asked in server.asked)
    assert (full["temperature"], full["seed"], full["max_tokens"], full["ignore_eos"]) == (0.4, 5, 99, True)
    assert full["vllm_xargs"] == {"ngram_size": 20, "window_size": 200, "whitelist_token_ids": [128821, 128822]}
    assert "vllm_xargs" not in without
    assert "authorization" not in {name.lower() for name in server.asked[0].headers}


def test_another_card_brings_its_own_prompt_and_rule(engine_for):
    with EndpointServer() as server:
        engine = engine_for(server, checkpoint="unlimited-ocr")
        read_one(engine)
    assert engine.capabilities.tasks == ("markdown",)
    assert server.asked[0].prompt == "document parsing."
    assert server.asked[0].body["vllm_xargs"] == {"ngram_size": 35, "window_size": 128}


def test_a_card_is_found_by_the_hub_id_of_its_weights_or_in_a_folder_of_ones_own(engine_for, tmp_path):
    (tmp_path / "model.toml").write_text(
        'about = "a"\nlicence = "MIT"\nattention = "full"\nmodes = ["base"]\nrepository = "me/mine"\n'
        '[prompts]\nmarkdown = "Transcribe this page."\n[generation]\nmax_tokens = 4000\n'
    )
    with EndpointServer() as server:
        read_one(engine_for(server, checkpoint="baidu/Unlimited-OCR"))
        read_one(engine_for(server, checkpoint=str(tmp_path)))
    known, own = server.asked
    assert known.prompt == "document parsing."
    assert (own.prompt, own.body["max_tokens"], "vllm_xargs" in own.body) == ("Transcribe this page.", 4000, False)


def test_the_page_arrives_pixel_for_pixel(engine_for):
    asked_for = request()
    with EndpointServer() as server:
        list(engine_for(server).read([asked_for]))
    sent = server.asked[0].image
    assert (sent.format, sent.mode, sent.size) == ("PNG", "RGB", (61, 79))
    assert sent.tobytes() == asked_for.page.image.tobytes()


@pytest.mark.parametrize("size", [(724, 1024), (1100, 850), (333, 512), (1024, 1024)])
def test_a_mode_sends_its_global_view_and_no_more(size):
    image = page(1, size).image
    for mode in ("tiny", "small", "base", "large"):
        view = make_views(image, plan(*size, mode)).overview
        sent, spec = sent_image(image, mode), MODES[mode]
        assert max(sent.size) == spec.view
        # What an encoder that pads makes of it is the mode's own global view; coordinates are those of the page.
        assert overview(sent, spec.view, spec.stretch).tobytes() == view.tobytes()
        assert spec.stretch or abs(sent.width / sent.height - size[0] / size[1]) < 0.003
    for mode in ("native", "gundam"):
        assert sent_image(image, mode) is image


@pytest.mark.parametrize(("mode", "expected"), [("native", (0, 0)), ("tiny", (512, 64)), ("base", (1024, 256))])
def test_the_plan_is_that_of_the_view_that_is_sent(engine_for, mode, expected):
    with EndpointServer() as server:
        done = read_one(engine_for(server), mode=mode)
    assert done.plan.vision_tokens == expected[1]
    assert max(server.asked[0].image.size) == (expected[0] or 79)


def test_the_plan_of_gundam_is_the_endpoints_and_not_known_here(engine_for):
    with EndpointServer() as server:
        assert read_one(engine_for(server), mode="gundam").plan is None


# ---- what the endpoint answers


@pytest.mark.parametrize(
    ("finish", "tokens", "stop"),
    [
        ("stop", 7, "end"),
        ("length", 7, "length"),
        (None, 7, "end"),
        (None, 50, "length"),
        (None, None, "end"),
        ("", 7, "end"),
    ],
)
def test_how_an_answer_ended(engine_for, finish, tokens, stop):
    with EndpointServer(lambda asked: Act(finish=finish, tokens=tokens)) as server:
        done = read_one(engine_for(server), max_tokens=50)
    assert (done.stop, done.output_tokens, done.warnings) == (stop, tokens, ())


@pytest.mark.parametrize("finish", ["content_filter", "repetition", "tool_calls"])
def test_an_answer_that_did_not_stop_by_itself_counts_as_cut_off(engine_for, finish):
    with EndpointServer(lambda asked: Act(finish=finish)) as server:
        done = read_one(engine_for(server))
    assert (done.stop, done.warnings) == ("length", (f"the endpoint ended the answer: {finish}",))


@pytest.mark.parametrize(
    ("content", "text"),
    [(None, ""), ("", ""), ([{"type": "text", "text": "a"}, {"type": "text", "text": "b"}, 3], "ab"),
     ("a\ud800b", "a\ufffdb"),
     ("\U0001f600", "\U0001f600")],
)  # fmt: skip
def test_text_in_every_shape(engine_for, content, text):
    body = json.dumps({"choices": [{"message": {"content": content}, "finish_reason": "stop"}], "usage": None})
    with EndpointServer(lambda asked: Act(body=body.encode())) as server:
        done = read_one(engine_for(server))
    assert (done.text, done.stop, done.output_tokens) == (text, "end", None)


@pytest.mark.parametrize("count", [-1, "7", True, 1.5, None])
def test_a_count_of_tokens_that_is_none_is_not_believed(engine_for, count):
    body = {"choices": [{"message": {"content": "x"}}], "usage": {"completion_tokens": count}}
    with EndpointServer(lambda asked: Act(body=body)) as server:
        assert read_one(engine_for(server)).output_tokens is None
