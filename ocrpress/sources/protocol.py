"""What a source and its workers say to each other: a header, a JSON object, raw pixels. Nothing is ever unpickled.

A request is {"path", "renderer", "page", "options"}; page 0 asks how many pages there are, and "of", where it is
given, is how many there must be; "layer", where it is true, asks for the page's text instead of its pixels. A reply is
{"pages"}, or {"size", "points", "seconds", "warnings"} with the pixels behind it, or {"hidden"} with the text in UTF-8
behind it, or {"failure", "message", "advice"}.
"""

from __future__ import annotations

import json
import struct
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from ocrpress.errors import EngineError, InputError, OcrpressError, PageError, PasswordError, UsageError

Message = Mapping[str, Any]
Pixels = bytes | bytearray | memoryview
# "lost": the worker died; "late": it took too long and was stopped; the others are classes of exceptions.
Failure = Literal["page", "password", "input", "usage", "engine", "lost", "late"]

HEADER = struct.Struct("<IQ")  # bytes of JSON, bytes of pixels
MAX_JSON = 1 << 20

_CLASSES: dict[str, type[OcrpressError]] = {
    "page": PageError,
    "password": PasswordError,
    "input": InputError,
    "usage": UsageError,
    "engine": EngineError,
}


@dataclass(frozen=True)
class Reply:
    """What came back for one request."""

    message: Message
    pixels: Pixels = b""

    @property
    def failure(self) -> Failure | None:
        """How it failed; None if it did not."""
        found: Failure | None = self.message.get("failure")
        return found


def encode(message: Message, pixel_bytes: int = 0) -> bytes:
    """Header and JSON of a message; the sender writes the pixels after them."""
    text = json.dumps(message).encode()
    return HEADER.pack(len(text), pixel_bytes) + text


def failed(failure: Failure, message: str, advice: str = "") -> Reply:
    """A reply that says what went wrong."""
    return Reply({"failure": failure, "message": message, "advice": advice})


def failed_by(error: OcrpressError) -> Reply:
    """The reply that carries an exception to the other side."""
    kinds: dict[type[OcrpressError], Failure] = {
        PasswordError: "password", InputError: "input", UsageError: "usage", EngineError: "engine",
    }  # fmt: skip
    return failed(kinds.get(type(error), "page"), error.message, error.advice)


def as_exception(reply: Reply) -> OcrpressError:
    """The exception that a failed reply carries; a document whose worker was lost or late cannot be read."""
    kind = _CLASSES.get(str(reply.failure), InputError)
    return kind(reply.message["message"], reply.message["advice"])
