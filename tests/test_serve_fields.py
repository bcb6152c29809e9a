"""The fields of a request as options: what may be said, how it is spelt, and what is refused with which words."""

from __future__ import annotations

from types import SimpleNamespace

import pytest

from ocrpress.engines.base import Capabilities
from ocrpress.errors import UsageError
from ocrpress.modes import MODES
from ocrpress.pipeline import Options
from ocrpress.server.desk.facts import EngineFacts
from ocrpress.server.errors import Draining
from ocrpress.server.intake.fields import KNOWN, format_of, options_of, request_body, stream_of, writing_of
from ocrpress.writers import WriterOptions

DEFAULT = Options(dpi=None, renderer="pdfium", max_tokens=None, page_seconds=7.0, max_pages=500, retries=1)


def service(decoding: bool = True, modes: tuple[str, ...] = ("base", "tiny", "gundam"), is_open: bool = True):
    capabilities = Capabilities(modes, ("markdown", "text", "locate"), decoding=decoding)
    facts = EngineFacts("deepseek", "base", capabilities)
    return SimpleNamespace(
        desk=SimpleNamespace(engine=facts if is_open else None),
        settings=SimpleNamespace(reading=SimpleNamespace(options=DEFAULT), max_pages=100),
    )


def test_what_is_not_said_is_as_the_service_reads():
    found = options_of({}, service())
    assert found == Options(mode="base", renderer="pdfium", page_seconds=7.0, max_pages=100, retries=1)


def test_all_that_can_be_said():
    given = {
        "mode": "gundam", "task": "locate=the total", "pages": "1-3,7", "password": "geheim é", "dpi": "150.5",
        "max_tiles": "6", "max_tokens": "900", "retries": "0", "keep_furniture": "true", "page_breaks": "none",
        "format": "json", "stream": "yes",
    }  # fmt: skip
    assert set(given) == set(KNOWN)
    found = options_of(given, service())
    assert (found.mode, found.task, found.pages, found.password) == ("gundam", "locate=the total", "1-3,7", "geheim é")
    assert (found.dpi, found.max_tiles, found.max_tokens, found.retries) == (150.5, 6, 900, 0)
    assert (found.renderer, found.page_seconds) == ("pdfium", 7.0)
    assert writing_of(given) == WriterOptions(keep_furniture=True, page_breaks="none")
    assert (format_of(given), stream_of(given)) == ("json", True)


def test_json_says_numbers_and_booleans_as_they_are():
    given = {"dpi": 150, "max_tiles": 6, "retries": 2, "keep_furniture": True, "stream": False, "pages": None}
    found = options_of(given, service())
    assert (found.dpi, found.max_tiles, found.retries, found.pages) == (150.0, 6, 2, None)
    assert writing_of(given).keep_furniture
    assert not stream_of(given)


def test_what_nobody_filled_in_is_not_said():
    assert options_of(dict.fromkeys(KNOWN, ""), service()) == options_of({}, service())
    assert writing_of(dict.fromkeys(KNOWN, "")) == WriterOptions()
    assert (format_of({"format": ""}), format_of({"format": ""}, "txt"), stream_of({"stream": ""})) == (
        "md", "txt", False,
    )  # fmt: skip


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({"mod": "tiny"}, "unknown field 'mod': did you mean 'mode'"),
        ({"workers": "9"}, "unknown field 'workers'"),
        ({"figures": "/tmp"}, "unknown field 'figures'"),  # noqa: S108
        ({"engine": "rapid"}, "unknown field 'engine'"),
        ({"url": "http://x"}, "unknown field 'url'"),
        ({"x" * 999: ""}, "unknown field 'x{60}'"),
        ({"mode": "larg"}, "unknown mode 'larg': did you mean 'large'"),
        ({"mode": "large"}, "engine deepseek does not read mode 'large': it reads base, tiny, gundam"),
        ({"mode": 7}, "mode is no text"),
        ({"task": "tex"}, "'tex': did you mean 'text'"),
        ({"task": "locate"}, "does not say what to look for"),
        ({"task": "locate=" + "x" * 1000}, "more than 1000 characters"),
        ({"pages": "3-1"}, "'3-1' .*backwards: write 1-3"),
        ({"pages": "one"}, "'one'"),
        ({"pages": "0"}, "page 0"),
        ({"pages": "1," * 501}, "more than 1000 characters"),
        ({"dpi": "1000000"}, "1e.06 dpi is out of range"),
        ({"dpi": "nan"}, "dpi is 'nan': it must be a number"),
        ({"dpi": "1e3"}, "dpi is '1e3'"),
        ({"dpi": True}, "dpi is 'True'"),
        ({"dpi": "9"}, "9 dpi is out of range"),
        ({"max_tiles": "1"}, "max_tiles is 1: it must be 2 or more"),
        ({"max_tiles": "33"}, "max_tiles is 33: it must be 32 or less"),
        ({"max_tiles": "999999999999999999999"}, "whole number"),
        ({"max_tiles": "2.5"}, "whole number"),
        ({"max_tiles": "٣"}, "whole number"),
        ({"max_tokens": "0"}, "max_tokens is 0: it must be 1 or more"),
        ({"max_tokens": "-1"}, "whole number"),
        ({"retries": "21"}, "retries is 21: it must be 20 or less"),
        ({"retries": [1]}, "whole number"),
    ],
)  # fmt: skip
def test_what_cannot_be_is_refused_before_the_document_is_looked_at(given, words):
    with pytest.raises(UsageError, match=words) as caught:
        options_of(given, service())
    assert caught.value.http_status == 400
    assert len(str(caught.value)) < 400


@pytest.mark.parametrize(
    ("read", "given", "words"),
    [
        (writing_of, {"keep_furniture": "maybe"}, "keep_furniture is 'maybe': it must be true or false"),
        (writing_of, {"page_breaks": "non"}, "'non': did you mean 'none'"),
        (format_of, {"format": "mdd"}, "unknown format 'mdd': did you mean 'md'"),
        (format_of, {"format": "parquet"}, "unknown format 'parquet'"),
        (stream_of, {"stream": "2"}, "stream is '2'"),
    ],
)
def test_an_answer_that_cannot_be_is_refused(read, given, words):
    with pytest.raises(UsageError, match=words):
        read(given)


def test_a_field_that_the_engine_has_no_use_for_is_refused():
    for name in ("max_tokens", "retries"):
        with pytest.raises(UsageError, match=f"the engine deepseek has no use for the field {name}: leave it out"):
            options_of({name: "1"}, service(decoding=False))


def test_without_an_engine_nothing_can_be_said():
    with pytest.raises(Draining):
        options_of({}, service(is_open=False))


def test_a_password_is_never_in_a_message():
    with pytest.raises(UsageError) as caught:
        options_of({"password": "geheim" * 200}, service())
    assert "geheim" not in str(caught.value)
    assert "geheim" not in repr(options_of({"password": "geheim"}, service()))


def test_the_form_describes_every_field():
    found = request_body()["content"]["multipart/form-data"]["schema"]
    assert set(found["properties"]) == {"file", *KNOWN}
    assert set(MODES) >= set(found["properties"]["mode"]["examples"])
    assert "stream" not in request_body(without=("stream",))["content"]["multipart/form-data"]["schema"]["properties"]
