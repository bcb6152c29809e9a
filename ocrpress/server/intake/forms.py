"""multipart/form-data (RFC 7578) as it comes: small fields, and one file that is handed on piece by piece.

What a client sends is refused at the first byte that breaks a limit. Knows nothing of requests, and touches no file.
"""

from __future__ import annotations

import logging
import re
import unicodedata
from urllib.parse import unquote

from python_multipart import MultipartParser
from python_multipart.exceptions import FormParserError

from ocrpress.server.errors import BadRequest, TooLarge

FILE = "file"  # the field that holds the file
MOST_FIELDS = 32
MOST_VALUE = 4 << 10  # bytes of a field's value
MOST_HEAD = 4 << 10  # bytes of the headers of a part
MOST_BESIDE = 512 << 10  # bytes of the body that are not the file's: more than all fields can have
MOST_NAME = 200  # characters of a file's name
NAMELESS = "upload"

_HOW = "send it as a form does, like: curl -F file=@paper.pdf"
_PARAMETER = re.compile(r';\s*([\w!#$&+.^`|~*-]+)\s*=\s*("(?:[^"\\]|\\.)*"|[^;]*)', re.ASCII | re.DOTALL)
_BOUNDARY = re.compile(r"[0-9A-Za-z'()+_,./:=? -]{0,69}[0-9A-Za-z'()+_,./:=?-]")
_FIELD_NAME = re.compile(r"[\w.-]{1,64}", re.ASCII)
_EXTENDED = re.compile(r"(utf-8|iso-8859-1)'[^']*'(.*)", re.IGNORECASE | re.DOTALL)

# The parser logs what it refuses; here the client is told.
logging.getLogger("python_multipart").setLevel(logging.ERROR)


class Form:
    """A form that is being received.

    Args:
        content_type: the request's.
        max_bytes: of the file.

    Attributes:
        fields: those that came so far, but the file.
        name: the file's, as `clean_name` leaves it; empty before it begins.
        size: bytes of the file that came so far.
        waiting: bytes of it that `take` would give.

    Raises:
        BadRequest: it is no form.
    """

    def __init__(self, content_type: str, max_bytes: int) -> None:
        self.fields: dict[str, str] = {}
        self.name = ""
        self.size = self.waiting = 0
        self._max_bytes = max_bytes
        self._received = 0
        self._pieces: list[memoryview] = []
        self._head = bytearray()  # of the part that is coming: its headers, one a line
        self._in_value = False
        self._field = ""  # that is coming; FILE is the file's
        self._value = bytearray()
        self._ended = False
        self._parser = MultipartParser(
            boundary_of(content_type),
            {
                "on_part_begin": self._head.clear, "on_header_begin": self._begin_header,
                "on_header_field": self._add_to_head, "on_header_value": self._add_value,
                "on_headers_finished": self._open, "on_part_data": self._data, "on_part_end": self._close,
                "on_end": self._end,
            },
        )  # fmt: skip

    def feed(self, data: bytes) -> None:
        """Take the next bytes of the body. Raises BadRequest, TooLarge."""
        self._received += len(data)
        try:
            self._parser.write(data)
        except FormParserError as error:
            raise BadRequest(f"the form is broken ({error})", _HOW) from error
        if self._received - self.size > MOST_BESIDE:
            raise BadRequest("there is too much in the request beside the file", _HOW)

    def take(self) -> list[memoryview]:
        """The bytes of the file that came since it was last asked."""
        pieces, self._pieces, self.waiting = self._pieces, [], 0
        return pieces

    def finish(self) -> None:
        """The body is over. Raises BadRequest if the form is not, or if it has no file."""
        if not self._ended:
            raise BadRequest("the upload is cut short: the end of the form did not come", "send it again, all of it")
        if not self.name:
            raise BadRequest(f"the form has no field '{FILE}' with a file", _HOW)

    def _begin_header(self) -> None:
        self._head += b"\n"
        self._in_value = False

    def _add_value(self, data: bytes, start: int, end: int) -> None:
        if not self._in_value:
            self._head += b":"
            self._in_value = True
        self._add_to_head(data, start, end)

    def _add_to_head(self, data: bytes, start: int, end: int) -> None:
        self._head += data[start:end]
        if len(self._head) > MOST_HEAD:
            raise BadRequest(f"a part of the form has more than {MOST_HEAD:,} bytes of headers", "shorten its name")

    def _open(self) -> None:
        """The headers of a part are there: which field is it?"""
        self._field, file_name = _disposition(bytes(self._head))
        self._value.clear()
        if self._field == FILE and file_name:
            if self.name:
                raise BadRequest("the form has more than one file", "send them one by one")
            self.name = clean_name(file_name)
            return
        if self._field == FILE:
            raise BadRequest(f"the field '{FILE}' has no file name, so it is no file", _HOW)
        if file_name is not None:
            raise BadRequest(f"there is a file in the field '{self._field}'", f"the field for it is '{FILE}'")
        if self._field in self.fields:
            raise BadRequest(f"the field '{self._field}' is there twice", "send it once")
        if len(self.fields) == MOST_FIELDS:
            raise BadRequest(f"the form has more than {MOST_FIELDS} fields", "send those that are known")

    def _data(self, data: bytes, start: int, end: int) -> None:
        if self._field == FILE:
            self.size += end - start
            if self.size > self._max_bytes:
                raise TooLarge(f"the file is larger than {self._max_bytes:,} bytes", "send a smaller one, or split it")
            self._pieces.append(memoryview(data)[start:end])
            self.waiting += end - start
            return
        self._value += data[start:end]
        if len(self._value) > MOST_VALUE:
            raise BadRequest(f"the field '{self._field}' has more than {MOST_VALUE:,} bytes", "shorten it")

    def _close(self) -> None:
        if self._field == FILE:
            return
        try:
            self.fields[self._field] = self._value.decode()
        except UnicodeDecodeError as error:
            raise BadRequest(f"the field '{self._field}' is not in UTF-8", "send it in UTF-8") from error

    def _end(self) -> None:
        self._ended = True


def boundary_of(content_type: str) -> str:
    """What separates the parts, from a Content-Type header. Raises BadRequest."""
    kind = content_type.partition(";")[0].strip().lower()
    if kind != "multipart/form-data":
        raise BadRequest(f"the request is {f'of the type {kind[:100]}' if kind else 'of no type'}, but no form", _HOW)
    boundary = _parameters(content_type).get("boundary", "")
    if not _BOUNDARY.fullmatch(boundary):
        raise BadRequest("the Content-Type has no boundary that could be one", _HOW)
    return boundary


def clean_name(name: str) -> str:
    """A client's file name as it may be shown anywhere: its last component, in one line, not too long.

    >>> clean_name("C:\\\\letters\\\\..\\\\a\\x00 b\\u202e.pdf")
    'a b.pdf'
    """
    last = name.replace("\\", "/").rstrip("/").rpartition("/")[2]
    shown = "".join(" " if char.isspace() else char for char in last if char.isspace() or _is_shown(char))
    shown = " ".join(shown.split())
    if not shown.strip(".-"):
        return NAMELESS
    if len(shown) > MOST_NAME:
        stem, dot, suffix = shown.rpartition(".")
        kept = f"{dot}{suffix}" if stem and len(suffix) < 20 else ""
        shown = shown[: MOST_NAME - len(kept) - 1] + "…" + kept
    return shown


def _is_shown(char: str) -> bool:
    """Neither a control character, nor one that turns the order of others round, nor one that nobody can see."""
    return unicodedata.category(char) not in {"Cc", "Cf", "Cn", "Co", "Cs"}


def _disposition(head: bytes) -> tuple[str, str | None]:
    """Name of the field, and of the file if it is one, from the headers of a part, one a line. Raises BadRequest."""
    for line in head.split(b"\n"):
        name, _, value = line.partition(b":")
        if name.strip().lower() == b"content-disposition":
            break
    else:
        raise BadRequest("a part of the form has no Content-Disposition", _HOW)
    text = value.decode("utf-8", "replace")
    found = _parameters(text)
    field = found.get("name", "")
    if text.partition(";")[0].strip().lower() != "form-data" or not _FIELD_NAME.fullmatch(field):
        raise BadRequest("a part of the form has no name that could be a field's", _HOW)
    if extended := _EXTENDED.fullmatch(found.get("filename*", "")):  # by RFC 5987; forms should not, some do
        return field, unquote(extended[2], encoding=extended[1], errors="replace")
    return field, found.get("filename")


def _parameters(header: str) -> dict[str, str]:
    """What stands behind the first semicolon of a header; of several by one name the first."""
    found: dict[str, str] = {}
    for match in _PARAMETER.finditer(header):
        name, value = match[1].lower(), match[2].strip()
        if len(value) > 1 and value.startswith('"'):
            value = re.sub(r'\\(["\\])', r"\1", value[1:-1])
        found.setdefault(name, value)
    return found
