"""What a request may choose: the fields of a form, or of a JSON object, as the options of the pipeline and the writers.

Everything that a client can get wrong here is refused with a UsageError, before its document is looked at.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Container, Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from ocrpress.errors import UsageError, unknown
from ocrpress.modes import get_mode
from ocrpress.pipeline import Options, check_task
from ocrpress.server.errors import Draining
from ocrpress.server.intake.forms import FILE
from ocrpress.sources.checks import check_options
from ocrpress.sources.pages import parse_ranges
from ocrpress.writers import FORMATS, PAGE_BREAKS, WriterOptions, check_format

if TYPE_CHECKING:
    from ocrpress.server.desk.facts import EngineFacts
    from ocrpress.server.service import Service

Given = Mapping[str, object]  # strings, and from JSON numbers and booleans too

MOST_TILES = 32  # no checkpoint knows more; to choose among n takes n² steps
MOST_RETRIES = 20
MOST_TEXT = 1000  # characters of the pages, the task or the password
_WORDS = {"true": True, "1": True, "yes": True, "on": True, "false": False, "0": False, "no": False, "off": False}
_WHOLE = re.compile(r"[0-9]{1,9}")
_NUMBER = re.compile(r"[0-9]{1,9}(\.[0-9]{0,9})?")


def _text(name: str, value: object) -> str:
    if not isinstance(value, str):
        raise UsageError(f"the field {name} is no text", "send it as a string")
    if len(value) > MOST_TEXT:
        raise UsageError(f"the field {name} has more than {MOST_TEXT} characters", "shorten it")
    return value


def _whole(name: str, value: object) -> int:
    text = str(value).strip()
    if isinstance(value, bool) or not _WHOLE.fullmatch(text):
        raise UsageError(f"the field {name} is '{_short(value)}'", "it must be a whole number, like 3")
    return int(text)


def _number(name: str, value: object) -> float:
    text = str(value).strip()
    if isinstance(value, bool) or not _NUMBER.fullmatch(text):
        raise UsageError(f"the field {name} is '{_short(value)}'", "it must be a number, like 144")
    return float(text)


def _truth(name: str, value: object) -> bool:
    found = _WORDS.get(str(value).strip().lower())
    if found is None:
        raise UsageError(f"the field {name} is '{_short(value)}'", "it must be true or false")
    return found


READING: dict[str, Callable[[str, object], Any]] = {
    "mode": _text, "task": _text, "pages": _text, "password": _text, "dpi": _number, "max_tiles": _whole,
    "max_tokens": _whole, "retries": _whole,
}  # fmt: skip
WRITING: dict[str, Callable[[str, object], Any]] = {"keep_furniture": _truth, "page_breaks": _text}
ANSWER = ("format", "stream")
KNOWN = (*READING, *WRITING, *ANSWER)
_OF_MODELS = frozenset({"max_tokens", "retries"})  # of use where an engine chooses tokens


_ABOUT: dict[str, dict[str, Any]] = {
    "mode": {"type": "string", "description": "a resolution mode that the engine reads", "examples": ["base"]},
    "task": {"type": "string", "description": "what the engine is asked for; locate=WHAT looks for something"},
    "pages": {"type": "string", "description": "pages to read", "examples": ["1-3,7", "5-"]},
    "password": {"type": "string", "format": "password", "description": "of an encrypted PDF"},
    "dpi": {"type": "number", "description": "resolution of PDF and text pages; else what the mode can use"},
    "max_tiles": {"type": "integer", "minimum": 2, "maximum": MOST_TILES, "description": "of the gundam modes"},
    "max_tokens": {"type": "integer", "minimum": 1, "description": "longest answer to one page"},
    "retries": {"type": "integer", "minimum": 0, "maximum": MOST_RETRIES, "description": "further tries at a page"},
    "keep_furniture": {"type": "boolean", "description": "keep running heads and page numbers"},
    "page_breaks": {"type": "string", "enum": list(PAGE_BREAKS), "description": "marks between pages"},
    "format": {"type": "string", "enum": list(FORMATS), "description": "of the answer; else the Accept header decides"},
    "stream": {"type": "boolean", "description": "pages as they are read, in server-sent events"},
}


def request_body(without: Container[str] = ()) -> dict[str, Any]:
    """The form as OpenAPI describes a request's body, but for these fields."""
    file = {"type": "string", "contentMediaType": "application/octet-stream", "format": "binary",
            "description": "a PDF, a PNG, JPEG, WebP, TIFF, GIF or BMP image, text or Markdown"}  # fmt: skip
    about = {FILE: file} | {name: _ABOUT[name] for name in KNOWN if name not in without}
    schema = {"type": "object", "required": [FILE], "properties": about, "additionalProperties": False}
    return {"required": True, "content": {"multipart/form-data": {"schema": schema}}}


def options_of(fields: Given, service: Service) -> Options:
    """How the document is to be read; what is not given, or empty, is as the service reads by default.

    Args:
        fields: all of the request's; those that are about the answer are only known here.

    Raises:
        UsageError: an unknown field, with the nearest known name, or a value that cannot be.
        Draining: the engine is not open.
    """
    for name in fields:
        if name not in KNOWN:
            raise unknown("field", _short(name), KNOWN)
    engine = service.desk.engine
    if engine is None:
        raise Draining("the engine is not open yet", 5)
    given = _read(fields, READING)
    _check(given, engine)
    default = service.settings.reading.options
    most = min(default.max_pages, service.settings.max_pages)
    options = replace(default, **{"mode": engine.mode, **given, "max_pages": most})
    check_task(options.task, engine.capabilities.tasks, engine.name)
    check_options(options.of_source())
    return options


def writing_of(fields: Given) -> WriterOptions:
    """How the answer is to be written. Raises UsageError."""
    return WriterOptions(**_read(fields, WRITING))


def format_of(fields: Given, default: str = FORMATS[0]) -> str:
    """The format of the answer: "md", "json" or "txt". Raises UsageError."""
    name = _text("format", fields.get("format") or default).strip()
    check_format(_short(name))
    return name


def stream_of(fields: Given) -> bool:
    """Are the pages wanted as they come? Raises UsageError."""
    return _truth("stream", fields.get("stream") or "false")


def _read(fields: Given, kinds: Mapping[str, Callable[[str, object], Any]]) -> dict[str, Any]:
    """Those of these kinds that are given. A form sends what nobody filled in as an empty text."""
    return {name: kind(name, fields[name]) for name, kind in kinds.items() if fields.get(name, "") not in ("", None)}


def _check(given: Mapping[str, Any], engine: EngineFacts) -> None:
    if "mode" in given:
        get_mode(_short(given["mode"]))
        if given["mode"] not in engine.capabilities.modes:
            known = ", ".join(engine.capabilities.modes)
            raise UsageError(f"engine {engine.name} does not read mode '{given['mode']}'", f"it reads {known}")
    for name in sorted(_OF_MODELS & set(given)):
        if not engine.capabilities.decoding:
            raise UsageError(f"the engine {engine.name} has no use for the field {name}", "leave it out")
    for name, most in (("max_tiles", MOST_TILES), ("retries", MOST_RETRIES)):
        if given.get(name, 0) > most:
            raise UsageError(f"{name} is {given[name]}", f"it must be {most} or less")
    if "pages" in given:
        parse_ranges(given["pages"])


def _short(value: object) -> str:
    """A client's word in an error message."""
    return " ".join(str(value).split())[:60]
