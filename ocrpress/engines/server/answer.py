"""What an endpoint sent back -> text, stop, tokens; or what it says went wrong. Nothing in it is taken on trust."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from typing import Any, Literal

from ocrpress.engines.server.patience import TryError

MESSAGE_LENGTH = 300  # characters of an endpoint's message that are passed on
_ENDS = {"stop": "end", "length": "length"}
_BROKEN_OFF = ("abort", "error")  # vLLM and SGLang: the endpoint's fault, not the page's
_SURROGATES = re.compile(r"[\ud800-\udfff]")  # halves that JSON can spell and UTF-8 cannot


@dataclass(frozen=True)
class Answer:
    """What a model wrote.

    Attributes:
        tokens: how many it generated; None if the endpoint does not say.
    """

    text: str
    stop: Literal["end", "length"]
    tokens: int | None = None
    warnings: tuple[str, ...] = ()


def read_answer(body: bytes, max_tokens: int | None) -> Answer:
    """Read the body of a chat completion.

    Args:
        max_tokens: the longest answer that was asked for, to tell how an answer without a finish_reason ended.

    Raises:
        TryError: it is no chat completion, or one that the endpoint broke off.
    """
    found = read_json(body)
    choices = found.get("choices")
    if not isinstance(choices, list) or not choices or not isinstance(choices[0], dict):
        said = said_in(found)
        raise TryError("broken", f"an error in place of an answer: {said}" if said else "an answer without choices")
    message, reason = choices[0].get("message"), choices[0].get("finish_reason")
    text = _text(message.get("content")) if isinstance(message, dict) else None
    tokens = _tokens(found.get("usage"))
    if text is None:
        raise TryError("broken", "an answer without text")
    if reason in _BROKEN_OFF:
        raise TryError("broken", f"an answer broken off ({reason})")
    if not reason:
        full = tokens is not None and max_tokens is not None and tokens >= max_tokens
        return Answer(text, "length" if full else "end", tokens)
    if reason in _ENDS:
        return Answer(text, "end" if reason == "stop" else "length", tokens)
    # Not stopped by itself, whatever it is: content_filter, vLLM's repetition, tool_calls, …
    return Answer(text, "length", tokens, (f"the endpoint ended the answer: {one_line(str(reason))}",))


def read_models(body: bytes) -> tuple[str, ...]:
    """Names of the models that an endpoint lists. Raises TryError if it is no such list."""
    data = read_json(body).get("data")
    if not isinstance(data, list):
        raise TryError("broken", "a list of models without data")
    return tuple(model["id"] for model in data if isinstance(model, dict) and isinstance(model.get("id"), str))


def read_json(body: bytes) -> dict[str, Any]:
    """A JSON object. Raises TryError if it is none."""
    try:
        found = json.loads(body)
    except (ValueError, RecursionError):
        found = None
    if not isinstance(found, dict):
        begin = one_line(body[:80].decode("utf-8", "replace"))
        raise TryError("broken", f"an answer that is no JSON object: '{begin}'" if begin else "an empty answer")
    return found


def error_message(body: bytes) -> str:
    """What an endpoint says went wrong, on one line; empty if it says nothing that people can read."""
    try:
        return said_in(read_json(body))
    except TryError:
        text = one_line(body.decode("utf-8", "replace"))
        return "" if text.startswith("<") else text  # pages of proxies


def said_in(found: dict[str, Any]) -> str:
    """The message in an error object, in any of the shapes that are about."""
    error = found.get("error")
    if isinstance(error, dict):
        error = error.get("message") or error
    said = error or found.get("message") or found.get("detail") or ""
    return one_line(said if isinstance(said, str) else json.dumps(said, ensure_ascii=False))


def one_line(text: str) -> str:
    """White space folded, cut to a length that fits a message."""
    text = " ".join(text.split())
    return text if len(text) <= MESSAGE_LENGTH else text[: MESSAGE_LENGTH - 1] + "…"


def _text(content: object) -> str | None:
    """The text of a message: a string, null (nothing was written), or a list of parts; None if it is neither."""
    if content is None:
        return ""
    if isinstance(content, list):
        parts = [part.get("text") for part in content if isinstance(part, dict)]
        content = "".join(part for part in parts if isinstance(part, str))
    return _SURROGATES.sub("\ufffd", content) if isinstance(content, str) else None


def _tokens(usage: object) -> int | None:
    count = usage.get("completion_tokens") if isinstance(usage, dict) else None
    return count if isinstance(count, int) and not isinstance(count, bool) and count >= 0 else None
