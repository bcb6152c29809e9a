"""The body of a request, JSON, in which long strings stay where they are until somebody wants them.

A chat request is a few hundred bytes of JSON around one or more files in base64, so the body is walked literal by
literal: what is long is left in the buffer (memory, or a file that is mapped into it) and the rest is parsed. Hostile
bodies cost little: the number of strings, the length of the rest and its depth are bounded before anything is built.
Knows nothing of chats.
"""

from __future__ import annotations

import json
import mmap
import secrets
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from ocrpress.server.errors import BadRequest

LONG = 4096  # bytes; a string with more stays in the buffer
MOST_REST = 1 << 20  # bytes of JSON without its long strings
MOST_QUOTES = 100_000  # quotation marks that are looked at
PIECE = 1 << 20  # bytes of a long string at a time
_LONGEST_ESCAPE = 6  # bytes

Buffer = bytes | mmap.mmap


@dataclass(frozen=True)
class Long:
    """A long string that is still in the buffer: where it begins and ends there, without its quotation marks."""

    start: int
    end: int


Text = str | Long


@dataclass(frozen=True)
class Body:
    """A JSON object.

    Attributes:
        found: the object; in the place of every long string stands a name.
        long: name -> the string.
    """

    buffer: Buffer
    found: dict[str, Any]
    long: dict[str, Long]

    def text(self, value: object) -> Text | None:
        """The string that a value of the object is; None if it is none."""
        return self.long.get(value, value) if isinstance(value, str) else None

    def pieces(self, text: Text, size: int = PIECE) -> Iterator[str]:
        """A string, piece by piece of at most `size` bytes.

        Raises:
            BadRequest: it is no JSON string.
        """
        if isinstance(text, str):
            yield text
            return
        start = text.start
        while start < text.end:
            end = _cut(self.buffer, start, min(text.end, start + size)) if start + size < text.end else text.end
            yield _loads(b'"' + self.buffer[start:end] + b'"')
            start = end

    def head(self, text: Text) -> str:
        """How a string begins: its first LONG characters or so."""
        return text[:LONG] if isinstance(text, str) else next(self.pieces(text, LONG))


def read_body(buffer: Buffer) -> Body:
    """Read a JSON object.

    Raises:
        BadRequest: it is none, has a name twice, a number that is none, too many strings, or is nested too deep.
    """
    rest: list[bytes] = []
    long: dict[str, Long] = {}
    mark, position, length, quotes = secrets.token_hex(12), 0, 0, 0
    while True:
        quote = buffer.find(b'"', position)
        between = (len(buffer) if quote < 0 else quote) - position
        length += between
        if length > MOST_REST:
            raise BadRequest("the request has too much JSON besides its files", "send images and files only")
        rest.append(buffer[position : position + between])
        if quote < 0:
            break
        end, seen = _closing(buffer, quote + 1, MOST_QUOTES - quotes)
        quotes += seen + 1
        if end - quote > LONG:
            name = f"{mark}{len(long)}"
            long[name] = Long(quote + 1, end)
            rest.append(b'"' + name.encode() + b'"')
        else:
            rest.append(buffer[quote : end + 1])
        length += len(rest[-1])
        position = end + 1
    found = _loads(b"".join(rest).removeprefix(b"\xef\xbb\xbf"))
    if not isinstance(found, dict):
        raise BadRequest("the body is no JSON object", 'send {"model": …, "messages": […]}')
    return Body(buffer, found, long)


def _closing(buffer: Buffer, start: int, most: int) -> tuple[int, int]:
    """Where the string that begins at `start` ends, and how many quotation marks were looked at."""
    end = start
    for seen in range(1, most + 1):
        end = buffer.find(b'"', end)
        if end < 0:
            raise BadRequest("the body is no JSON: a string does not end", "check that it was sent whole")
        if _backslashes(buffer, start, end) % 2 == 0:
            return end, seen
        end += 1
    raise BadRequest("the request has too many strings", "send images and files only")


def _backslashes(buffer: Buffer, start: int, end: int) -> int:
    """How many stand right before `end`."""
    size = 64
    while True:
        tail = buffer[max(start, end - size) : end]
        kept = len(tail.rstrip(b"\\"))
        if kept or end - size <= start:
            return len(tail) - kept
        size *= 8


def _cut(buffer: Buffer, start: int, end: int) -> int:
    """The place at or shortly before `end` at which neither an escape nor a character of UTF-8 is cut in two."""
    escape = buffer.find(b"\\", end - _LONGEST_ESCAPE, end)
    if escape >= 0:
        return escape - _backslashes(buffer, start, escape) % 2
    return next((end - back for back in range(4) if buffer[end - back] & 0xC0 != 0x80), end)


def _loads(text: bytes) -> Any:
    try:
        return json.loads(text.decode("utf-8"), object_pairs_hook=_unique, parse_constant=_refuse)
    except RecursionError:
        raise BadRequest("the JSON is nested too deep", "a chat request has some six levels") from None
    except UnicodeDecodeError:
        raise BadRequest("the body is not UTF-8", "encode the JSON as UTF-8") from None
    except ValueError as error:
        raise BadRequest(f"the body is no JSON ({_short(error)})", "check how it was made") from None


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise ValueError("a name stands twice in one object")
    return found


def _refuse(constant: str) -> None:
    raise ValueError(f"{constant} is no number of JSON")


def _short(error: ValueError) -> str:
    """Without the place, which is one of what is left of the body."""
    return str(getattr(error, "msg", error))[:100]
