"""A chat completion request -> what is to be read, and how. Knows the wire's names; reads no files.

What of OpenAI's fields is heeded
    messages              the last message of the user that has images or files, each a document, in order; the prompt
                          is its text and that of later ones, else that of the system
    model                 any name; one that ends in ":tiny" or so chooses that mode
    stream, stream_options
    max_tokens, max_completion_tokens         of each try at a page; engines that write no tokens take no notice
    mode, task, pages, password, dpi, max_tiles, retries, keep_furniture      our own, as in /v1/convert
What is refused, because an answer would not be what was asked for
    n above 1, a tool_choice that demands a call, a response_format other than text, addresses that would be fetched
What is checked for its type and has no effect
    temperature, top_p, seed: the first try at a page takes the likeliest token, later ones are the service's own recipe
All other fields are ignored, `tools`, `stop` and `vllm_xargs` among them: the checkpoint's own n-gram rule holds.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ocrpress.modes import MODES, NATIVE
from ocrpress.server.chat.body import Body, Long, Text
from ocrpress.server.chat.data_url import header_length
from ocrpress.server.errors import BadRequest
from ocrpress.server.intake.forms import clean_name
from ocrpress.writers.clean import encodable

MOST_MESSAGES = 256
MOST_PARTS = 256  # of a message
MOST_PROMPT = 64 << 10  # characters
MOST_NAME = 256  # characters of a model's name
ROLES = frozenset({"system", "developer", "user", "assistant", "tool", "function"})
OWN_FIELDS = ("mode", "task", "pages", "password", "dpi", "max_tiles", "retries", "keep_furniture")
_KINDS: dict[type, str] = {bool: "true or false", int: "a whole number", dict: "an object"}
_IMAGE_ADVICE = 'send {"type": "image_url", "image_url": {"url": "data:image/png;base64,…"}}'


class BadField(BadRequest):
    """A field of the request is wrong.

    Args:
        param: the field's name, as OpenAI's errors have it.
    """

    def __init__(self, param: str, message: str, advice: str | None = None) -> None:
        super().__init__(message, advice)
        self.param = param

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), (self.param, self.message, self.advice)


@dataclass(frozen=True)
class Attachment:
    """An image or a file that the request brings.

    Attributes:
        name: what it is called.
        where: it stands in the request.
        text: its base64, behind `skip` characters.
    """

    name: str
    where: str
    text: Text
    skip: int


@dataclass(frozen=True)
class Chat:
    """A chat completion request.

    Attributes:
        model: as the client calls it.
        fields: our own, for `fields.options_of`; `mode` from the model's name too.
    """

    model: str
    prompt: str
    attachments: tuple[Attachment, ...]
    fields: Mapping[str, str]
    stream: bool = False
    include_usage: bool = False


def read_chat(body: Body) -> Chat:
    """Read a request. Raises BadField, BadRequest."""
    found = body.found
    _refuse_what_cannot_be(found)
    model = _name(body, found.get("model"))
    prompt, attachments = _asked(body, found.get("messages"))
    options = _typed(found, "stream_options", dict, {})
    return Chat(
        model, prompt, attachments, _fields(body, model), _typed(found, "stream", bool, False),
        _typed(options, "include_usage", bool, False),
    )  # fmt: skip


def _refuse_what_cannot_be(found: Mapping[str, Any]) -> None:
    if _integer(found, "n", 1) != 1:
        raise BadField("n", "n is not 1: a page has one answer", "leave n out")
    for name, most in (("temperature", 2), ("top_p", 1)):
        value = _typed(found, name, (int, float), 0)
        if not (math.isfinite(value) and 0 <= value <= most):
            raise BadField(name, f"{name} is out of range", f"it is 0 to {most}")
    _integer(found, "seed", None)
    choice = found.get("tool_choice")
    if choice not in (None, "none", "auto"):
        raise BadField("tool_choice", "this model reads pages and calls no tools", "leave tool_choice out")
    format_ = _typed(found, "response_format", dict, {}).get("type", "text")
    if format_ != "text":
        raise BadField(
            "response_format", "answers are Markdown and cannot be made to a schema",
            "leave response_format out, or take JSON from /v1/convert",
        )  # fmt: skip


def _fields(body: Body, model: str) -> dict[str, str]:
    """Our own fields, as a form would have them."""
    found = {}
    ending = model.rpartition(":")[2]
    if ":" in model and (ending in MODES or ending == NATIVE.name):
        found["mode"] = ending
    for name in OWN_FIELDS:
        value = body.found.get(name)
        if value is None:
            continue
        if not isinstance(value, str | int | float) or isinstance(body.text(value), Long) or not _is_sound(str(value)):
            raise BadField(name, f"{name} is neither a short text nor a number", "see /v1/convert")
        found[name] = str(value).lower() if isinstance(value, bool) else str(value)
    for name in ("max_tokens", "max_completion_tokens"):  # the second is the newer name
        value = _integer(body.found, name, None)
        if value is not None and value < 1:
            raise BadField(name, f"{name} is {value}", "it must be 1 or more")
        found |= {"max_tokens": str(value)} if value is not None else {}
    return found


def _asked(body: Body, messages: object) -> tuple[str, tuple[Attachment, ...]]:
    """The prompt, and what it is about."""
    if not isinstance(messages, list) or not 1 <= len(messages) <= MOST_MESSAGES:
        raise BadField("messages", f"messages is no list of 1 to {MOST_MESSAGES} messages", _IMAGE_ADVICE)
    said: dict[str, str] = {}  # by role
    attachments: tuple[Attachment, ...] = ()
    for number, message in enumerate(messages):
        where = f"messages[{number}]"
        role = message.get("role") if isinstance(message, dict) else None
        if not isinstance(role, str) or role not in ROLES:
            raise BadField(where, f"{where} has no role that is known", f"one of: {', '.join(sorted(ROLES))}")
        if role not in ("user", "system", "developer"):
            continue  # what was answered before, however long
        texts, brought = _content(body, message.get("content"), f"{where}.content")
        if role != "user":
            said["system"] = texts
            continue
        if brought:
            attachments, said["user"] = brought, ""
        said["user"] = _joined([said.get("user", ""), texts], where)
    if not attachments:
        raise BadField("messages", "no message of the user has an image or a file to be read", _IMAGE_ADVICE)
    return said["user"] if said["user"].strip() else said.get("system", ""), attachments


def _content(body: Body, content: object, where: str) -> tuple[str, tuple[Attachment, ...]]:
    """What a message says, and what it brings."""
    text = body.text(content)
    if text is not None:
        return _short(body, text, where), ()
    if content is None:
        return "", ()
    if not isinstance(content, list) or len(content) > MOST_PARTS:
        raise BadField(where, f"{where} is neither a text nor a list of up to {MOST_PARTS} parts", _IMAGE_ADVICE)
    said: list[str] = []
    brought: list[Attachment] = []
    for number, part in enumerate(content):
        read = _part(body, part, f"{where}[{number}]", len(brought) + 1)
        (said if isinstance(read, str) else brought).append(read)  # type: ignore[arg-type]
    return _joined(said, where), tuple(brought)


def _part(body: Body, part: object, where: str, number: int) -> str | Attachment:
    """A part of a message; `number` counts images and files."""
    kind = part.get("type") if isinstance(part, dict) else None
    if not isinstance(part, dict) or not isinstance(kind, str):
        raise BadField(where, f"{where} has no type", _IMAGE_ADVICE)
    if kind == "text":
        text = body.text(part.get("text"))
        if text is None:
            raise BadField(f"{where}.text", f"{where}.text is no text")
        return _short(body, text, where)
    if kind == "image_url":
        place, image = f"{where}.image_url", part.get("image_url")
        if isinstance(image, dict):  # some clients leave the object out
            place, image = f"{place}.url", image.get("url")
        return _attachment(body, image, place, f"image {number}", bare=False)
    if kind == "file":
        file = part.get("file")
        file = file if isinstance(file, dict) else {}
        if file.get("file_data") is None and file.get("file_id") is not None:
            raise BadField(f"{where}.file.file_id", "no files are kept here", "send the file itself as file_data")
        name = body.text(file.get("filename"))
        shown = clean_name(_cleaned(body.head(name))) if name else f"file {number}"
        return _attachment(body, file.get("file_data"), f"{where}.file.file_data", shown, bare=True)
    raise BadField(where, f"{where} is of the type '{_cleaned(kind)}'", "text, image_url and file can be read")


def _attachment(body: Body, value: object, where: str, name: str, bare: bool) -> Attachment:
    text = body.text(value)
    if text is None:
        raise BadField(where, f"{where} is no text", _IMAGE_ADVICE)
    try:
        return Attachment(name, where, text, header_length(body.head(text), where, bare))
    except BadRequest as error:
        raise BadField(where, error.message, error.advice) from None


def _short(body: Body, text: Text, where: str) -> str:
    if isinstance(text, Long) and text.end - text.start > MOST_PROMPT:
        raise BadField(where, f"{where} has more than {MOST_PROMPT:,} bytes of text", "send pages as images or files")
    return "".join(body.pieces(text))


def _joined(texts: Sequence[str], where: str) -> str:
    if sum(map(len, texts)) > MOST_PROMPT:
        raise BadField(
            where, f"{where} has more than {MOST_PROMPT:,} characters of text", "send pages as images or files"
        )
    return encodable("\n".join(filter(None, texts)))


def _is_sound(text: str) -> bool:
    """Whether it can be encoded: JSON can spell halves of surrogate pairs."""
    return encodable(text) == text


def _name(body: Body, value: object) -> str:
    text = body.text(value)
    if text is None and value is not None:
        raise BadField("model", "model is no text", "any name will do, see /v1/models")
    return _cleaned(body.head(text))[:MOST_NAME] if text else ""


def _cleaned(text: str) -> str:
    """On one line, without what cannot be encoded or seen, and not too long."""
    return " ".join("".join(char if char.isprintable() else " " for char in encodable(text)).split())[:MOST_NAME]


def _integer(found: Mapping[str, Any], name: str, default: Any) -> Any:
    return _typed(found, name, int, default)


def _typed(found: Mapping[str, Any], name: str, kind: type | tuple[type, ...], default: Any) -> Any:
    """A field, or its default where it is missing or null."""
    value = found.get(name)
    if value is None:
        return default
    if not isinstance(value, kind) or (isinstance(value, bool) and kind is not bool):
        wanted = "a number" if isinstance(kind, tuple) else _KINDS[kind]
        raise BadField(name, f"{name} is not {wanted}", "see /openapi.json")
    return value
