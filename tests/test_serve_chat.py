"""Existing clients of OpenAI-compatible OCR servers, against the running service: the official client above all."""

from __future__ import annotations

import asyncio
import base64
import json
import socket
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import openai
import pytest
from conftest import ROOT
from service_tools import Running, pdf, png, running, wait_until

from ocrpress.pipeline import Options

MODEL = "deepseek-ai/DeepSeek-OCR"
GROUNDED = "<image>\n<|grounding|>Convert the document to markdown."


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    """A service that many tests share."""
    with running(tmp_path_factory.mktemp("chat")) as found:
        yield found


@pytest.fixture
def client(server: Running) -> Iterator[openai.OpenAI]:
    with client_of(server) as found:
        yield found
    wait_until(lambda: not server.uploads)


def client_of(server: Running, key: str = "EMPTY", retries: int = 0) -> openai.OpenAI:
    plain = httpx.Client(trust_env=False)
    return openai.OpenAI(base_url=f"{server.url}/v1", api_key=key, max_retries=retries, timeout=60, http_client=plain)


def image(data: bytes, kind: str = "image/png") -> dict[str, Any]:
    return {"type": "image_url", "image_url": {"url": f"data:{kind};base64,{base64.b64encode(data).decode()}"}}


def messages(*content: object) -> Any:
    parts = [{"type": "text", "text": each} if isinstance(each, str) else each for each in content]
    return [{"role": "user", "content": parts}]


def read_by(*content: object, model: str = MODEL, **more: object) -> dict[str, Any]:
    """A body without the client."""
    return {"model": model, "messages": messages(*content), **more}


def text_of(client: openai.OpenAI, *content: object, **more: Any) -> str:
    found = client.chat.completions.create(**{"model": MODEL, "messages": messages(*content), **more})
    return found.choices[0].message.content or ""


# What clients do


def test_the_vllm_recipe_for_deepseek_ocr_works(client: openai.OpenAI) -> None:
    found = client.chat.completions.create(
        model=MODEL,
        messages=messages(image(png()), "Free OCR."),
        max_tokens=2048,
        temperature=0.0,
        extra_body={
            "skip_special_tokens": False,
            "vllm_xargs": {"ngram_size": 30, "window_size": 90, "whitelist_token_ids": [128821, 128822]},
        },
    )
    [choice] = found.choices
    assert choice.message.role == "assistant"
    assert (choice.message.content or "").startswith("Page 1 is 300 by 200 pixels")
    assert (choice.finish_reason, choice.index, found.model, found.object) == ("stop", 0, MODEL, "chat.completion")
    assert found.id.startswith("chatcmpl-")
    assert abs(found.created - time.time()) < 600
    assert found.usage
    assert found.usage.completion_tokens == 8  # as the engine says
    assert found.usage.total_tokens == found.usage.prompt_tokens + 8


def test_a_grounding_prompt_gets_boxes(client: openai.OpenAI) -> None:
    found = text_of(client, image(png()), GROUNDED)
    assert found.startswith("<|ref|>text<|/ref|><|det|>[[100, 100, 899, 128]]<|/det|>\nPage 1 is 300 by 200 pixels")


def test_several_images_are_pages_in_their_order(client: openai.OpenAI) -> None:
    sizes = [(40 + number, 50) for number in range(9)]
    found = text_of(client, "Read these:", *[image(png(size)) for size in sizes], "Thank you.")
    assert [part[:25] for part in found.split("\n\n")] == [f"Page 1 is {width} by 50 pixels"[:25] for width, _ in sizes]


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "WEBP", "TIFF", "GIF", "BMP"])
def test_images_of_any_kind_are_known_by_their_bytes(client: openai.OpenAI, kind: str) -> None:
    assert "300 by 200" in text_of(client, image(png(kind=kind), "image/png"))


def test_a_pdf_is_read_page_by_page_in_either_way(client: openai.OpenAI) -> None:
    data = pdf(3)
    url = text_of(client, image(data, "application/pdf"))
    encoded = base64.b64encode(data).decode()
    for given in (f"data:application/pdf;base64,{encoded}", encoded):
        file = {"type": "file", "file": {"filename": "paper.pdf", "file_data": given}}
        assert text_of(client, file, "Read it.") == url
    assert [part[:6] for part in url.split("\n\n")] == ["Page 1", "Page 2", "Page 3"]
    assert text_of(client, image(data), extra_body={"pages": "2"}).startswith("Page 2")


def test_a_text_is_read_too(client: openai.OpenAI) -> None:
    notes = base64.b64encode(b"# Notes\n\nShort.").decode()
    file = {"type": "file", "file": {"filename": "notes.md", "file_data": notes}}
    assert text_of(client, file).startswith("Page 1 is")


def test_a_system_message_and_earlier_turns_do_no_harm(client: openai.OpenAI) -> None:
    asked = [
        {"role": "system", "content": "You are an OCR engine."},
        *messages(image(png("first")), "Free OCR."),
        {"role": "assistant", "content": "first"},
        *messages(image(png((70, 60))), "And this?"),
    ]
    found = client.chat.completions.create(model=MODEL, messages=asked)  # type: ignore[arg-type]
    assert (found.choices[0].message.content or "").startswith("Page 1 is 70 by 60")


def test_the_models_name_chooses_the_mode(client: openai.OpenAI) -> None:
    listed = [model.id for model in client.models.list()]
    assert listed[0] == "fake"
    assert {"fake:tiny", "fake:base", "fake:gundam"} < set(listed)
    assert client.models.retrieve("fake:tiny").id == "fake:tiny"
    used = {}
    for model in ("fake:tiny", "fake:base", "fake"):
        found = client.chat.completions.create(model=model, messages=messages(image(png())))
        assert found.usage
        used[model] = found.usage.prompt_tokens
    assert used == {"fake:tiny": 73, "fake:base": 273, "fake": 0}
    raw = client.chat.completions.with_raw_response.create(
        model=MODEL, messages=messages(image(png())), extra_body={"mode": "small"}
    )
    assert raw.headers["ocrpress-vision-tokens"] == "100"
    assert (raw.headers["ocrpress-pages"], raw.headers["ocrpress-failed-pages"]) == ("1", "0")
    assert raw.headers["x-request-id"]
    assert raw.parse().choices[0].finish_reason == "stop"


def test_pages_come_in_pieces(client: openai.OpenAI) -> None:
    content = (image(png()), image(pdf(3)), image(png((80, 90))))
    whole = client.chat.completions.create(model="a:tiny", messages=messages(*content, GROUNDED))
    stream = client.chat.completions.create(
        model="a:tiny", messages=messages(*content, GROUNDED), stream=True, stream_options={"include_usage": True}
    )
    chunks = list(stream)
    assert len({chunk.id for chunk in chunks}) == 1
    assert {chunk.object for chunk in chunks} == {"chat.completion.chunk"}
    first, *pieces, last, usage = chunks
    assert (first.choices[0].delta.role, first.choices[0].delta.content) == ("assistant", "")
    assert len(pieces) == 5
    assert "".join(piece.choices[0].delta.content or "" for piece in pieces) == whole.choices[0].message.content
    assert [piece.choices[0].finish_reason for piece in pieces] == [None] * 5
    assert last.choices[0].finish_reason == "stop"
    assert not last.choices[0].delta.content
    assert not usage.choices
    assert usage.usage == whole.usage


def test_a_stream_is_made_of_events_that_any_client_understands(server: Running) -> None:
    with server.client.stream("POST", "/v1/chat/completions", json=read_by(image(png()), stream=True)) as answer:
        lines = [line for line in answer.iter_lines() if line]
    assert answer.headers["content-type"].startswith("text/event-stream")
    assert lines[-1] == "data: [DONE]"
    found = [json.loads(line.removeprefix("data: ")) for line in lines[:-1]]
    assert [each["choices"][0]["finish_reason"] for each in found] == [None, None, "stop"]
    assert not any("usage" in each for each in found)


def test_the_asynchronous_client_asks_side_by_side(server: Running) -> None:
    async def ask(client: openai.AsyncOpenAI, width: int, stream: bool) -> str:
        made = client.chat.completions.create(model=MODEL, messages=messages(image(png((width, 50)))), stream=stream)  # type: ignore[call-overload]
        answer = await made
        if not stream:
            return str(answer.choices[0].message.content)
        return "".join([chunk.choices[0].delta.content or "" async for chunk in answer])

    async def all_of_them() -> list[str]:
        async with openai.AsyncOpenAI(
            base_url=f"{server.url}/v1", api_key="x", max_retries=0, http_client=httpx.AsyncClient(trust_env=False)
        ) as client:
            return await asyncio.gather(*(ask(client, 40 + number, number % 2 == 0) for number in range(24)))

    for number, found in enumerate(asyncio.run(all_of_them())):
        assert found.startswith(f"Page 1 is {40 + number} by 50 pixels")
    wait_until(lambda: not server.uploads)


@pytest.mark.parametrize("stream", [False, True])
def test_a_large_body_goes_through_a_file(server: Running, stream: bool) -> None:
    padded = png() + bytes(6 << 20)  # behind its end; base64 makes it 8 MiB
    found = server.client.post("/v1/chat/completions", json=read_by(image(padded), stream=stream))
    assert "300 by 200 pixels" in found.text
    wait_until(lambda: not server.uploads)


def test_base64_may_be_broken_into_lines_and_want_its_padding(server: Running) -> None:
    encoded = base64.encodebytes(png()).decode()
    for text in (encoded, encoded.rstrip("\n="), encoded.replace("+", "-").replace("/", "_")):
        part = {"type": "image_url", "image_url": {"url": f"data:image/png;base64,{text}", "detail": "high"}}
        body = json.dumps(read_by(part)).replace("/", "\\/")  # as PHP writes it
        found = server.client.post("/v1/chat/completions", content=body, headers={"Content-Type": "application/json"})
        assert "300 by 200" in found.json()["choices"][0]["message"]["content"]


# What goes wrong


def refused(client: openai.OpenAI, kind: type[openai.APIStatusError], *content: object, **more: Any) -> dict[str, Any]:
    """OpenAI's error object, which the client must understand."""
    with pytest.raises(kind) as caught:
        text_of(client, *content, **more)
    found = caught.value.response.json()
    assert set(found) == {"error"}
    assert set(found["error"]) == {"message", "type", "param", "code"}
    assert caught.value.body == found["error"]
    assert caught.value.response.headers["content-type"] == "application/json"
    return {**found["error"], "status": caught.value.status_code}


def test_an_engine_says_which_tasks_it_knows(client: openai.OpenAI) -> None:
    found = refused(client, openai.BadRequestError, image(png()), "Parse the figure.")
    assert "task of engine fake 'figure'" in found["message"]
    assert found["type"] == "invalid_request_error"


def test_nothing_is_fetched(client: openai.OpenAI) -> None:
    asked: list[object] = []
    with socket.create_server(("127.0.0.1", 0)) as listener:
        listener.settimeout(0.3)
        url = f"http://127.0.0.1:{listener.getsockname()[1]}/page.png"
        found = refused(client, openai.BadRequestError, {"type": "image_url", "image_url": {"url": url}})
        with pytest.raises(TimeoutError):
            asked.append(listener.accept())
    assert not asked
    assert "nothing is fetched here" in found["message"]
    assert found["param"] == "messages[0].content[0].image_url.url"


@pytest.mark.parametrize(
    ("content", "more", "code"),
    [
        (("Only words.",), {}, "bad-request"), ((image(png()),), {"n": 2}, "bad-request"),
        ((image(png()),), {"response_format": {"type": "json_object"}}, "bad-request"),
        ((image(png()),), {"extra_body": {"mode": "tinny"}}, "usage"),
        ((image(png()),), {"extra_body": {"dpi": "many"}}, "usage"),
        ((image(pdf(2)),), {"extra_body": {"pages": "7"}}, "usage"),
    ],
)  # fmt: skip
def test_what_cannot_be_is_a_bad_request(
    client: openai.OpenAI, content: tuple[object, ...], more: dict[str, Any], code: str
) -> None:
    assert refused(client, openai.BadRequestError, *content, **more)["code"] == code


def test_what_is_no_document_cannot_be_processed(client: openai.OpenAI) -> None:
    for data in (b"", b"\x00\x01\x02" * 50, png()[:60], b"%PDF-1.7\nnothing", b"PK\x03\x04" + bytes(100)):
        assert refused(client, openai.UnprocessableEntityError, image(data))["code"] in {"document", "page"}
    found = refused(client, openai.UnprocessableEntityError, image(pdf(1, user="secret")))
    assert (found["code"], "the field password" in found["message"]) == ("password", True)
    assert text_of(client, image(pdf(1, user="secret")), extra_body={"password": "secret"}).startswith("Page 1")


def test_a_page_that_fails_alone_is_an_error_and_among_others_a_mark(client: openai.OpenAI, server: Running) -> None:
    data = png()
    torn = data[: len(data) // 2]
    found = refused(client, openai.UnprocessableEntityError, image(torn))
    assert found["message"].startswith("the page could not be read (")
    both = text_of(client, image(png()), image(torn))
    assert both.startswith("Page 1 is 300 by 200 pixels")
    assert "\n\n<!-- page 1 failed: " in both
    with pytest.raises(openai.APIError, match="the page could not be read"):
        list(client.chat.completions.create(model=MODEL, messages=messages(image(torn)), stream=True))


def test_errors_before_the_routes_have_the_same_shape(server: Running) -> None:
    for method, path, status in (
        ("GET", "/v1/chat/completions", 405), ("POST", "/v1/models", 405), ("GET", "/v1/chat/nothing", 404),
        ("GET", "/v1/models/none:such", 404), ("PUT", "/v1/chat/completions", 405),
    ):  # fmt: skip
        found = server.client.request(method, path)
        assert found.status_code == status
        assert set(found.json()["error"]) == {"message", "type", "param", "code"}
        assert found.headers["content-type"] == "application/json"
        assert int(found.headers["content-length"]) == len(found.content)
    assert server.client.get("/v1/nothing").headers["content-type"] == "application/problem+json"
    assert not server.client.head("/v1/chat/completions").content


@pytest.mark.parametrize(
    ("body", "headers"),
    [
        (b"", {}), (b"{", {}), (b"[]", {}), (b"\xff", {}), (b'{"messages": NaN}', {}), (b"[" * 1_000_000, {}),
        (b'{"messages": [], "messages": []}', {}), (b"{}", {"Content-Type": "text/plain"}),
        (b"{}", {"Content-Encoding": "gzip"}), (b"{}", {"Content-Type": "multipart/form-data; boundary=x"}),
    ],
)  # fmt: skip
def test_what_is_no_json_is_a_bad_request(server: Running, body: bytes, headers: dict[str, str]) -> None:
    sent = {"Content-Type": "application/json", **headers}
    found = server.client.post("/v1/chat/completions", content=body, headers=sent)
    assert found.status_code == 400
    assert found.json()["error"]["type"] == "invalid_request_error"


def test_tokens_are_wanted_where_they_are_set(tmp_path: Path) -> None:
    with running(tmp_path, tokens={"s3cret": "alice"}) as server:
        with client_of(server, "wrong") as client:
            found = refused(client, openai.AuthenticationError, image(png()))
            assert (found["type"], found["code"]) == ("authentication_error", "unauthorized")
            with pytest.raises(openai.AuthenticationError):
                client.models.list()
        with client_of(server, "s3cret") as client:
            assert text_of(client, image(png())).startswith("Page 1")


def test_limits_hold_for_what_is_in_a_chat(tmp_path: Path) -> None:
    with running(tmp_path, max_bytes=20_000, max_pages=3) as server, client_of(server) as client:
        assert text_of(client, image(png()), image(png()), image(png()))
        found = refused(client, openai.UnprocessableEntityError, image(png()), image(pdf(2)), image(png()))
        assert "4 pages" in found["message"]
        found = refused(client, openai.APIStatusError, image(png() + bytes(20_000)))
        assert (found["status"], found["code"]) == (413, "too-large")
        found = refused(client, openai.APIStatusError, image(bytes(2_000_000)))
        assert (found["status"], found["code"]) == (413, "too-large")
        wait_until(lambda: not server.uploads)


def test_the_description_of_the_api_has_errors_in_their_shape(server: Running) -> None:
    paths = server.client.get("/openapi.json").json()["paths"]
    for path, method in (("/v1/chat/completions", "post"), ("/v1/models", "get"), ("/v1/models/{name}", "get")):
        for status, answer in paths[path][method]["responses"].items():
            [(kind, said)] = answer["content"].items()
            assert kind == "application/json"
            assert ("error" in said["example"]) == (status != "200"), (path, status)


# An engine that takes its time, or does harm


def harmful(folder: Path, *faults: list[object], **engine: object) -> tuple[str, ...]:
    """What runs a reading process that does this. Faults are [width, page, what, times]."""
    spec = {"engine": engine, "faults": list(faults), "read": str(folder / "read.txt")}
    (folder / "spec.json").write_text(json.dumps(spec))
    (folder / "read.txt").touch()
    return (sys.executable, "-P", str(ROOT / "tests" / "faulty_worker.py"), str(folder / "spec.json"))


def test_a_model_is_asked_what_its_prompts_ask(tmp_path: Path) -> None:
    command = harmful(tmp_path, sampling=True)
    with running(tmp_path, command=command) as server, client_of(server) as client:
        for prompt in ("Free OCR.", "Parse the figure.", "Describe this image in detail.", GROUNDED):
            assert "300 by 200 pixels" in text_of(client, image(png()), prompt)
        assert text_of(client, image(png()), "Locate <|ref|>a cat<|/ref|> in the image.") == ""
        found = refused(client, openai.BadRequestError, image(png()), "Locate <|ref|> <|/ref|> in the image.")
        assert "what to look for" in found["message"]


def test_an_answer_that_is_cut_off_ends_for_its_length(tmp_path: Path) -> None:
    command, once = harmful(tmp_path, sampling=True), Options(retries=0, fallback="none")
    with running(tmp_path, command=command, options=once) as server, client_of(server) as client:
        found = client.chat.completions.create(model=MODEL, messages=messages(image(png())), max_tokens=3)
        assert (found.choices[0].finish_reason, found.choices[0].message.content) == ("length", "Page 1 is")


def test_a_full_queue_is_tried_again_by_the_client_itself(tmp_path: Path) -> None:
    with running(tmp_path, queue=1, command=harmful(tmp_path, seconds=0.4)) as server:
        body = {"json": read_by(image(png()))}
        held = threading.Thread(target=server.client.post, args=("/v1/chat/completions",), kwargs=body)
        held.start()
        wait_until(lambda: server.service.desk.load().documents)
        with client_of(server) as client:
            for stream in (False, True):  # a stream is refused before it begins
                with pytest.raises(openai.RateLimitError) as caught:
                    client.chat.completions.create(model=MODEL, messages=messages(image(png())), stream=stream)
                assert int(caught.value.response.headers["retry-after"]) >= 1
                assert (caught.value.type, caught.value.code) == ("rate_limit_error", "full")
        with client_of(server, retries=5) as client:
            assert text_of(client, image(png()), image(png())).count("300 by 200") == 2
        held.join()
        wait_until(lambda: not server.uploads)


@pytest.mark.parametrize("stream", [False, True])
def test_a_client_that_leaves_frees_its_place(tmp_path: Path, stream: bool) -> None:
    with running(tmp_path, command=harmful(tmp_path, seconds=0.3)) as server:
        body = json.dumps(read_by(image(pdf(20)), image(pdf(20)), stream=stream)).encode()
        head = f"POST /v1/chat/completions HTTP/1.1\r\nHost: localhost\r\nContent-Length: {len(body)}\r\n\r\n".encode()
        with server.connect() as connection:
            connection.sendall(head + body)
            wait_until(lambda: server.service.desk.load().documents == 2)
            if stream:
                assert b"200" in connection.recv(100)
        wait_until(lambda: server.service.desk.load().documents == 0)
        wait_until(lambda: not server.uploads)
        assert server.client.post("/v1/chat/completions", json=read_by(image(png()))).status_code == 200


def test_an_error_in_the_middle_of_a_stream_is_told(tmp_path: Path) -> None:
    slow = harmful(tmp_path, seconds=0.3)
    asked: dict[str, Any] = {"model": MODEL, "messages": messages(*[image(png())] * 12)}
    with running(tmp_path, request_seconds=1.5, command=slow) as server, client_of(server) as client:
        got: list[str | None] = []
        with pytest.raises(openai.APIError, match=r"not read (with)?in") as caught:
            got.extend(chunk.choices[0].delta.content for chunk in client.chat.completions.create(**asked, stream=True))
        assert any(got)
        assert (caught.value.type, caught.value.code) == ("server_error", "time-limit")
        with pytest.raises(openai.InternalServerError) as whole:
            client.chat.completions.create(**asked)
        assert whole.value.status_code == 504
        wait_until(lambda: server.service.desk.load().documents == 0)
        wait_until(lambda: not server.uploads)


def test_a_page_that_takes_the_engine_with_it_fails_alone(tmp_path: Path) -> None:
    command = harmful(tmp_path, [66, 1, "crash", 0])
    with running(tmp_path, command=command) as server, client_of(server) as client:
        found = text_of(client, image(png((66, 50))), image(png()))
        assert found.startswith("<!-- page 1 failed: ")
        assert found.endswith("300 by 200 pixels, " + found[-9:])
