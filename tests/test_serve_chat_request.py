"""What a chat completion request says, and what it may not say."""

from __future__ import annotations

import base64
import json
import mmap
import time
from contextlib import ExitStack
from pathlib import Path
from random import Random
from typing import Any

import pytest

from ocrpress.document import Attempt, Block, PageResult
from ocrpress.engines.cards import TASKS, cards
from ocrpress.modes import plan
from ocrpress.server.chat.answer import Sum, count_tokens, page_text
from ocrpress.server.chat.body import LONG, MOST_REST, PIECE, Body, Long, read_body
from ocrpress.server.chat.data_url import decode, header_length
from ocrpress.server.chat.prompts import Wanted, wanted
from ocrpress.server.chat.receive import spool
from ocrpress.server.chat.request import MOST_MESSAGES, MOST_PARTS, MOST_PROMPT, BadField, Chat, read_chat
from ocrpress.server.chat.shape import openai_error
from ocrpress.server.door.problems import describe
from ocrpress.server.errors import BadRequest, Full, TooLarge

IMAGE = "data:image/png;base64,iVBORw0KGgo="


def part(url: object = IMAGE) -> dict[str, Any]:
    return {"type": "image_url", "image_url": {"url": url}}


def said(*content: object, **more: object) -> dict[str, Any]:
    parts = [{"type": "text", "text": each} if isinstance(each, str) else each for each in content]
    return {"model": "any", "messages": [{"role": "user", "content": parts}], **more}


def chat(request: object) -> Chat:
    return read_chat(read_body(json.dumps(request).encode()))


def text_of(body: Body, value: object) -> str:
    found = body.text(value)
    assert found is not None
    return "".join(body.pieces(found))


# The body


def test_long_strings_stay_in_the_buffer() -> None:
    long = "x" * (LONG + 1)
    body = read_body(json.dumps({"short": "a", "long": long, "list": [long, 1.5, None]}).encode())
    assert body.found["short"] == "a"
    assert isinstance(body.text(body.found["long"]), Long)
    assert text_of(body, body.found["long"]) == text_of(body, body.found["list"][0]) == long
    assert body.text(1.5) is None


def test_a_long_string_that_says_the_name_of_another_is_not_taken_for_it() -> None:
    body = read_body(json.dumps({"a": "x" * 5000, "b": "0"}).encode())
    [name] = body.long
    again = read_body(json.dumps({"a": "x" * 5000, "b": name}).encode())
    assert text_of(again, again.found["b"]) == name


@pytest.mark.parametrize("seed", range(20))
def test_any_string_comes_back_as_it_was_written(seed: int) -> None:
    random = Random(seed)
    letters = ['"', "\\", "\n", "/", "a", "é", "語", "😀", "\u2028", "\x7f", "\\u0041", "\\\\"]
    text = "".join(random.choices(letters, k=random.choice([10, 3000, 9000])))
    for ascii_only in (True, False):
        data = json.dumps({"t": text, "k\\": [text, {text[:50]: 1}]}, ensure_ascii=ascii_only).encode()
        body = read_body(data)
        assert text_of(body, body.found["t"]) == text
        found = body.text(body.found["t"])
        assert found is not None
        whole = "".join(body.pieces(found, 64 + seed))
        # A pair of surrogates that was written as two escapes may be cut between them.
        assert whole.encode("utf-16", "surrogatepass").decode("utf-16") == text


def test_a_file_that_is_mapped_is_read_as_memory_is(tmp_path: Path) -> None:
    path = tmp_path / "body"
    text = "a\\/" * PIECE
    path.write_bytes(b'\xef\xbb\xbf{"t": "' + text.encode() + b'"}')
    with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as buffer:
        body = read_body(buffer)
        assert text_of(body, body.found["t"]) == "a/" * PIECE


@pytest.mark.parametrize(
    "data",
    [
        b"", b"[]", b'"text"', b"null", b"{", b'{"a"', b'{"a": }', b"{'a': 1}", b'{"a": 1,}', b'{"a": NaN}',
        b'{"a": -Infinity}', b'{"a": 1} {}', b'{"a": 1, "a": 2}', b'{"b": {"a": 1, "a": 1}}', b'{"a": "\xff"}',
        b'{"a": "\xed\xa0\x80"}', b'{"a": "\n"}', b'{"a": "\\x"}', b'{"a": "\\u12"}', b'{"a": "b', b'{"a": "b\\"}',
        b'{"a": ' + b"9" * 5000 + b"}", "{}".encode("utf-16"), b"\x00{}", b'{"a": "' + b"\\" * 9999 + b'"}',
    ],
)  # fmt: skip
def test_what_is_no_json_object_is_refused(data: bytes) -> None:
    with pytest.raises(BadRequest) as caught:
        read_body(data)
    assert len(str(caught.value)) < 300


HOSTILE = {
    "lists in lists": b"[" * 1_000_000,
    "objects in objects": b'{"a":' * 200_000,
    "many small strings": b'{"a": [' + b'"",' * 3_000_000 + b'""]}',
    "one string full of quotation marks": b'{"a": "' + b'\\"' * 10_000_000 + b'"}',
    "one string full of backslashes": b'{"a": "' + b"\\\\" * 10_000_000 + b'\\"',
    "much white space": b" " * 30_000_000 + b"{}",
    "a number without end": b'{"a": ' + b"1" * 30_000_000 + b"}",
    "a string without end": b'{"a": "' + b"x" * 30_000_000,
    "short strings full of backslashes": b'{"a": [' + (b'"' + b"\\\\" * 2000 + b'",') * 500 + b"]}",
}


@pytest.mark.parametrize("name", HOSTILE)
def test_a_hostile_body_is_refused_quickly(name: str) -> None:
    started = time.process_time()
    with pytest.raises(BadRequest):
        read_body(HOSTILE[name])
    assert time.process_time() - started < 2.0  # a hundredth of that, on an idle machine


def test_the_json_besides_the_files_is_bounded() -> None:
    with pytest.raises(BadRequest, match="too much JSON"):
        read_body(json.dumps({"a": ["x" * 4000] * (MOST_REST // 4000 + 1)}).encode())


# base64


def decoded(text: str, size: int = 7, where: str = "it") -> bytes:
    skip = header_length(text[:200], where, bare=True)
    pieces = [text[: skip + 1], *(text[at : at + size] for at in range(skip + 1, len(text), size))]
    return b"".join(decode(pieces, skip, where))


@pytest.mark.parametrize("length", [0, 1, 2, 3, 4, 100, 10_000])
@pytest.mark.parametrize("size", [1, 7, 76, 5000])
def test_base64_is_read_as_clients_write_it(length: int, size: int) -> None:
    data = Random(length).randbytes(length)
    standard = base64.b64encode(data).decode()
    urlsafe = base64.urlsafe_b64encode(data).decode()
    broken = base64.encodebytes(data).decode()
    for text in (standard, standard.rstrip("="), urlsafe, urlsafe.rstrip("="), broken, broken.replace("\n", "\r\n")):
        for head in ("", "data:image/png;base64,", " DATA:image/jpeg;name=a.jpg;BASE64,", "data:;base64,"):
            assert decoded(head + text, size) == data


@pytest.mark.parametrize("text", ["A", "AAAAA", "AA=A", "====", "AA====", "A*AA", "AAAé", "QUI=QUJD", "AAAA\x00AAA"])
@pytest.mark.parametrize("size", [1, 3, 100])
def test_what_is_no_base64_is_refused(text: str, size: int) -> None:
    with pytest.raises(BadRequest, match="base64"):
        decoded(f"data:image/png;base64,{text}", size)


@pytest.mark.parametrize(
    ("url", "why"),
    [
        ("http://127.0.0.1/a.png", "nothing is fetched"), ("HTTPS://example.org/a", "a https: address"),
        ("file:///etc/passwd", "nothing is fetched"), ("data:image/png,abc", "not in base64"),
        ("data:image/png;base64;x,abc", "not in base64"), ("/etc/passwd", "no data: URL"), ("", "no data: URL"),
        ("iVBORw0KGgo=", "no data: URL"), ("data:" + "x" * 300 + ";base64,AAAA", "a data: address"),
    ],
)  # fmt: skip
def test_addresses_are_not_fetched(url: str, why: str) -> None:
    with pytest.raises(BadRequest, match=why):
        header_length(url, "it")


def test_files_are_written_and_taken_away(tmp_path: Path) -> None:
    data = Random(1).randbytes(3 * PIECE + 1)
    escaped = json.dumps(said(part("data:x;base64," + base64.b64encode(data).decode()), part())).replace("/", "\\/")
    body = read_body(escaped.encode())
    attachments = read_chat(body).attachments
    with ExitStack() as stack:
        paths = spool(body, attachments, tmp_path, 1 << 30, stack)
        assert [path.read_bytes() for path in paths] == [data, b"\x89PNG\r\n\x1a\n"]
        assert all(path.parent == tmp_path and path.stat().st_mode & 0o777 == 0o600 for path in paths)
    assert not list(tmp_path.iterdir())
    with ExitStack() as stack, pytest.raises(TooLarge, match=r"content\[0\]\.image_url\.url has more than 100 bytes"):
        spool(body, attachments, tmp_path, 100, stack)
    assert not list(tmp_path.iterdir())


# The request


def test_images_are_taken_in_order_with_the_text_around_them() -> None:
    found = chat(said("Before.", part(), "Between.", part("data:image/webp;base64,AAAA"), "After.", stream=True))
    assert found.prompt == "Before.\nBetween.\nAfter."
    assert [(each.name, each.where) for each in found.attachments] == [
        ("image 1", "messages[0].content[1].image_url.url"), ("image 2", "messages[0].content[3].image_url.url"),
    ]  # fmt: skip
    assert (found.model, found.stream, found.include_usage) == ("any", True, False)


def test_an_image_may_stand_without_its_object() -> None:
    assert chat(said({"type": "image_url", "image_url": IMAGE})).attachments[0].where.endswith("[0].image_url")


@pytest.mark.parametrize("data", [IMAGE, "iVBORw0KGgo="])
def test_a_file_has_its_name(data: str) -> None:
    file = {"filename": "../../etc/a\u202e\ud800\n b.pdf", "file_data": data}
    [found] = chat(said({"type": "file", "file": file})).attachments
    assert "/" not in found.name
    assert found.name.isprintable()
    assert found.name.endswith("b.pdf")
    [nameless] = chat(said({"type": "file", "file": {"file_data": data}})).attachments
    assert nameless.name == "file 1"


def test_the_last_message_with_an_image_counts() -> None:
    messages = [
        {"role": "system", "content": "You read."},
        {"role": "user", "content": [part("data:;base64,AAAA"), {"type": "text", "text": "First."}]},
        {"role": "assistant", "content": "x" * (2 * MOST_PROMPT)},
        {"role": "user", "content": [part("data:;base64,AAAA"), part("data:;base64,AAAA")]},
        {"role": "assistant", "content": None, "tool_calls": []},
        {"role": "user", "content": "Free OCR."},
    ]
    found = chat({"messages": messages})
    assert found.prompt == "Free OCR."
    assert [each.where[:11] for each in found.attachments] == ["messages[3]"] * 2
    assert chat({"messages": messages[:4]}).prompt == "You read."
    assert chat({"messages": messages[1:2]}).prompt == "First."


@pytest.mark.parametrize(
    ("model", "given", "mode"),
    [
        ("deepseek-ai/DeepSeek-OCR", {}, None), ("deepseek:tiny", {}, "tiny"), ("a/b:gundam-m", {}, "gundam-m"),
        ("rapid:native", {}, "native"), ("llama3.2-vision:11b", {}, None), ("tiny", {}, None),
        ("deepseek:tiny", {"mode": "base"}, "base"), (None, {"mode": "base"}, "base"),
    ],
)  # fmt: skip
def test_a_models_name_may_choose_the_mode(model: str | None, given: dict[str, str], mode: str | None) -> None:
    assert chat({**said(part(), **given), "model": model}).fields.get("mode") == mode


def test_what_clients_send_besides_is_ignored() -> None:
    more = {
        "skip_special_tokens": False, "vllm_xargs": {"ngram_size": 30, "window_size": 90, "whitelist_token_ids": [1]},
        "temperature": 0.0, "top_p": 1, "seed": 42, "n": 1, "stop": ["<eos>"], "logprobs": None, "user": "me",
        "tools": [{"type": "function"}], "tool_choice": "auto", "response_format": {"type": "text"},
        "stream_options": None, "x" * 5000: "y" * 5000,
    }  # fmt: skip
    assert chat(said(part(), **more)).fields == {}


def test_our_own_fields_are_those_of_a_form() -> None:
    more = {"max_tokens": 5, "max_completion_tokens": 7, "keep_furniture": True, "dpi": 100.5, "pages": "1-2"}
    assert chat(said(part(), **more)).fields == {
        "max_tokens": "7", "keep_furniture": "true", "dpi": "100.5", "pages": "1-2",
    }  # fmt: skip


@pytest.mark.parametrize(
    ("request_", "param"),
    [
        ({}, "messages"), ({"messages": []}, "messages"), ({"messages": {}}, "messages"),
        ({"messages": "hi"}, "messages"),
        ({"messages": [1]}, "messages[0]"), ({"messages": [{"role": "king"}]}, "messages[0]"),
        ({"messages": [{"role": ["user"], "content": ""}]}, "messages[0]"),
        ({"messages": [{"role": "user", "content": 7}]}, "messages[0].content"),
        ({"messages": [{"role": "user", "content": "What is love?"}]}, "messages"),
        ({"messages": [{"role": "assistant", "content": [part()]}]}, "messages"),
        ({"messages": [{"role": "user", "content": "x"}] * (MOST_MESSAGES + 1)}, "messages"),
        (said(*["x"] * (MOST_PARTS + 1)), "messages[0].content"), (said(7), "messages[0].content[0]"),
        (said({"type": "text"}), "messages[0].content[0].text"), (said({"type": ["text"]}), "messages[0].content[0]"),
        (said({"type": "input_audio", "input_audio": {}}), "messages[0].content[0]"),
        (said({"type": "image_url"}), "messages[0].content[0].image_url"),
        (said({"type": "image_url", "image_url": {}}), "messages[0].content[0].image_url.url"),
        (said(part("http://x/")), "messages[0].content[0].image_url.url"),
        (said(part(7)), "messages[0].content[0].image_url.url"),
        (said({"type": "file", "file": {"file_id": "file-1"}}), "messages[0].content[0].file.file_id"),
        (said({"type": "file"}), "messages[0].content[0].file.file_data"),
        (said("x" * (MOST_PROMPT + 1), part()), "messages[0].content[0]"),
        (said("x" * (MOST_PROMPT // 2), "x" * MOST_PROMPT, part()), "messages[0].content"),
        (said(part(), n=2), "n"), (said(part(), n="1"), "n"), (said(part(), temperature="hot"), "temperature"),
        (said(part(), temperature=3), "temperature"), (said(part(), temperature=True), "temperature"),
        (said(part(), top_p=-1), "top_p"), (said(part(), seed=0.5), "seed"), (said(part(), max_tokens=0), "max_tokens"),
        (said(part(), max_tokens="many"), "max_tokens"),
        (said(part(), max_completion_tokens=-1), "max_completion_tokens"),
        (said(part(), stream="yes"), "stream"), (said(part(), stream_options=[]), "stream_options"),
        (said(part(), stream_options={"include_usage": 1}), "include_usage"),
        (said(part(), tool_choice="required"), "tool_choice"), (said(part(), tool_choice={}), "tool_choice"),
        (said(part(), response_format={"type": "json_object"}), "response_format"),
        (said(part(), response_format="json"), "response_format"), ({**said(part()), "model": 7}, "model"),
        (said(part(), dpi="\ud800"), "dpi"),
        (said(part(), mode=["tiny"]), "mode"), (said(part(), pages={"a": 1}), "pages"),
        (said(part(), task="x" * 5000), "task"),
    ],
)  # fmt: skip
def test_what_cannot_be_is_refused_by_the_name_of_its_field(request_: dict[str, Any], param: str) -> None:
    with pytest.raises(BadField) as caught:
        chat(request_)
    assert caught.value.param == param
    assert caught.value.http_status == 400
    found = openai_error(describe(caught.value), caught.value.param)["error"]
    assert (found["type"], found["param"], found["code"]) == ("invalid_request_error", param, "bad-request")
    assert len(found["message"]) < 400


def test_halves_of_surrogate_pairs_are_not_passed_on() -> None:
    found = chat({**said("Locate \ud800.", part()), "model": "a\udfffb"})
    assert (found.prompt + found.model).encode()


def test_a_temperature_beyond_all_numbers_is_refused() -> None:
    data = json.dumps(said(part())).encode()
    with pytest.raises(BadField, match="temperature is out of range"):
        read_chat(read_body(data[:-1] + b', "temperature": 1e999}'))


# Prompts


@pytest.mark.parametrize(
    ("prompt", "task", "form"),
    [
        ("<image>\n<|grounding|>Convert the document to markdown.", "markdown", "ref"),
        ("<image>\n<|grounding|>Convert the document to markdown. ", "markdown", "ref"),
        ("<|grounding|>convert  the\ndocument to Markdown", "markdown", "ref"),
        ("Convert the document to markdown.", "markdown", "plain"),
        ("<image>\n<|grounding|>OCR this image.", "ocr", "ref"),
        ("Free OCR.", "text", "plain"), ("<image>\nFree OCR. ", "text", "plain"), ("free ocr", "text", "plain"),
        ("<image>\nParse the figure.", "figure", "plain"), ("Describe this image in detail.", "describe", "plain"),
        ("<image>\nLocate <|ref|>the Red car<|/ref|> in the image.", "locate=the Red car", "ref"),
        ("document parsing.", "markdown", "det"), ("<image>document parsing.", "markdown", "det"),
        ("Return the plain text of this document as if you were reading it naturally.", "markdown", "plain"),
        ("What is Free OCR.?", "markdown", "plain"), ("", "markdown", "plain"),
    ],
)  # fmt: skip
def test_a_prompt_says_what_is_wanted(prompt: str, task: str, form: str) -> None:
    assert wanted(prompt, TASKS) == Wanted(task, form)  # type: ignore[arg-type]


def test_every_prompt_of_a_card_is_known() -> None:
    for card in cards().values():
        for task in card.tasks:
            asked = f"{task}=a cat" if task == "locate" else task
            assert wanted("<image>" + card.prompt(asked), TASKS).task == asked


def test_an_engine_that_only_reads_with_layout_takes_free_ocr_for_reading() -> None:
    assert wanted("Free OCR.", ("markdown",)).task == "markdown"
    assert wanted("<|grounding|>OCR this image.", ("markdown",)) == Wanted("markdown", "ref")
    assert wanted("Parse the figure.", ("markdown",)).task == "figure"  # and is refused later


@pytest.mark.parametrize("what", ["", "  ", "x" * 301, "a <|ref|>b"])
def test_nothing_and_novels_are_not_looked_for(what: str) -> None:
    with pytest.raises(BadRequest, match="what to look for"):
        wanted(f"Locate <|ref|>{what}<|/ref|> in the image.", TASKS)


# Answers

PAGE = PageResult(
    1, "ok",
    (
        Block("header", "A running head", (0, 0, 100, 5)),
        Block("heading", "On Pages", (10, 10, 90, 20), level=1),
        Block("heading", "Of Lines", (10, 20, 90, 25), level=2),
        Block("paragraph", "It is *so*.", (10, 30, 90, 40)), Block("figure", "", (10, 40, 90, 60)),
        Block("caption", "Fig. 1", (10, 60, 90, 65)),
        Block("table", "", (0, 70, 100, 80), rows=(("a", "b"), ("c", "d"))),
        Block("list", "- one\n- two", (-5, 80, 500, 90)), Block("page_number", "7", (50, 95, 55, 99)),
    ),
    width=100, height=100, plan=plan(100, 100, "tiny"),
)  # fmt: skip


def test_a_page_in_plain_markdown() -> None:
    found = page_text(PAGE, Wanted("markdown", "plain"))
    assert found.text == (
        "# On Pages\n\n## Of Lines\n\nIt is \\*so\\*.\n\nFig. 1\n\n| a | b |\n| --- | --- |\n| c | d |\n\n- one\n- two"
    )
    assert (found.prompt_tokens, found.finish) == (73, "stop")
    assert found.completion_tokens == count_tokens(found.text) > 20
    assert "A running head" in page_text(PAGE, Wanted("markdown", "plain"), keep_furniture=True).text


def test_a_page_with_grounding() -> None:
    assert page_text(PAGE, Wanted("markdown", "ref")).text.split("\n\n") == [
        "<|ref|>title<|/ref|><|det|>[[100, 100, 899, 200]]<|/det|>\n# On Pages",
        "<|ref|>sub_title<|/ref|><|det|>[[100, 200, 899, 250]]<|/det|>\n## Of Lines",
        "<|ref|>text<|/ref|><|det|>[[100, 300, 899, 400]]<|/det|>\nIt is \\*so\\*.",
        "<|ref|>image<|/ref|><|det|>[[100, 400, 899, 599]]<|/det|>",
        "<|ref|>image_caption<|/ref|><|det|>[[100, 599, 899, 649]]<|/det|>\nFig. 1",
        "<|ref|>table<|/ref|><|det|>[[0, 699, 999, 799]]<|/det|>\n| a | b |\n| --- | --- |\n| c | d |",
        "<|ref|>text<|/ref|><|det|>[[0, 799, 999, 899]]<|/det|>\n- one\n- two",
    ]
    assert page_text(PAGE, Wanted("markdown", "det")).text.startswith("<|det|>title [100, 100, 899, 200]<|/det|># On")


def test_what_was_located() -> None:
    blocks = tuple(Block("figure", "a cat [1, 2, 3, 4]", (10, 10, 20, edge)) for edge in (20, 30))
    page = PageResult(1, "ok", blocks, width=100, height=100)
    found = page_text(page, Wanted("locate=a cat", "ref")).text
    assert found == "<|ref|>a cat<|/ref|><|det|>[[100, 100, 200, 200], [100, 100, 200, 300]]<|/det|>"
    assert page_text(PageResult(1, "blank"), Wanted("locate=a cat", "ref")).text == ""


def test_the_tokens_that_an_engine_counted_are_believed() -> None:
    rejected = Attempt("e", "tiny", "length", 1.0, "it loops", output_tokens=999, fault="loop")
    taken = Attempt("e", "tiny", "end", 1.0, output_tokens=12)
    page = PageResult(1, "ok", PAGE.blocks, attempts=(rejected, taken))
    assert page_text(page, Wanted("markdown", "plain")).completion_tokens == 12


def test_a_page_that_was_cut_off_says_so_by_its_finish_reason() -> None:
    cut = Attempt("e", "tiny", "length", 1.0, "cut off", output_tokens=5, fault="cut off")
    page = PageResult(2, "failed", PAGE.blocks[3:4], attempts=(cut,), error="cut off after 5 tokens")
    alone = page_text(page, Wanted("markdown", "plain"))
    assert (alone.text, alone.finish) == ("It is \\*so\\*.", "length")
    among_others = page_text(page, Wanted("markdown", "plain"), alone=False)
    assert among_others.text.startswith("<!-- page 2 failed: cut off after 5 tokens -->\n\nIt is")


def test_pages_are_joined_by_blank_lines_and_summed() -> None:
    found = Sum()
    failed = PageResult(3, "failed", error="no --> pixels")
    pages = [PageResult(1, "blank"), PAGE, PageResult(2, "blank"), failed]
    pieces = [found.add(page_text(page, Wanted("markdown", "plain"), alone=False)) for page in pages]
    assert pieces[0] == pieces[2] == ""
    assert pieces[3] == "\n\n<!-- page 3 failed: no —> pixels -->"
    assert "".join(pieces) == "".join(found.texts)
    assert found.prompt_tokens == 73
    assert found.usage["total_tokens"] == found.prompt_tokens + found.completion_tokens


def test_an_error_keeps_its_advice_and_has_a_code() -> None:
    found = openai_error(describe(Full("256 documents are waiting already", 12)))
    assert found == {
        "error": {
            "message": "256 documents are waiting already: try again in 12 s", "type": "rate_limit_error",
            "param": None, "code": "full",
        }
    }  # fmt: skip
