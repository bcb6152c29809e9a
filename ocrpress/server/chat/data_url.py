"""base64 as clients write it -> bytes: with or without a data: URL around it, padding and white space.

Both alphabets are taken. It is decoded piece by piece, so that neither memory nor a moment of the interpreter depends
on its length. What the bytes are, their first ones decide and not the type that the URL names.
"""

from __future__ import annotations

import binascii
import re
from collections.abc import Iterable, Iterator

from ocrpress.server.errors import BadRequest

ADVICE = "send the file itself: data:image/png;base64,…"
MOST_PADDING = 3
_DATA = re.compile(r"\s*data:([^,]{0,200}),", re.IGNORECASE)
_SCHEME = re.compile(r"\s*([a-z][a-z0-9+.-]{0,20}):", re.IGNORECASE)
_WHITE = str.maketrans("-_", "+/", " \t\r\n\f")


def header_length(head: str, where: str, bare: bool = False) -> int:
    """How many characters stand before the base64.

    Args:
        head: how the text begins.
        where: it stands, for messages.
        bare: base64 without a data: URL around it will do.

    Raises:
        BadRequest: it is another URL, or a data: URL that is not in base64. Nothing is ever fetched.
    """
    found = _DATA.match(head)
    if found:
        if found[1].rpartition(";")[2].strip().lower() != "base64":
            raise BadRequest(f"{where} is a data: URL that is not in base64", ADVICE)
        return found.end()
    scheme = _SCHEME.match(head)
    if scheme:
        raise BadRequest(f"{where} is a {scheme[1].lower()}: address, and nothing is fetched here", ADVICE)
    if bare:
        return 0
    raise BadRequest(f"{where} is no data: URL", ADVICE)


def decode(pieces: Iterable[str], skip: int, where: str) -> Iterator[bytes]:
    """The bytes, piece by piece.

    Args:
        pieces: of the text.
        skip: characters of it that are no base64; they stand in the first piece.

    Raises:
        BadRequest: it is no base64.
    """
    rest = ""
    for piece in pieces:
        rest += piece[skip:].translate(_WHITE)
        skip = 0
        letters = len(rest.rstrip("="))
        if len(rest) - letters > MOST_PADDING or "=" in rest[:letters]:
            raise BadRequest(f"{where} is not base64 (it goes on behind its end)", ADVICE)
        ready = letters // 4 * 4
        yield _bytes(rest[:ready], where)
        rest = rest[ready:]
    letters = len(rest.rstrip("="))
    if letters % 4 == 1:
        raise BadRequest(f"{where} ends in the middle of its base64", "check that it was sent whole")
    yield _bytes(rest[:letters] + "=" * (-letters % 4), where)


def _bytes(text: str, where: str) -> bytes:
    try:
        return binascii.a2b_base64(text, strict_mode=True)
    except ValueError as error:
        raise BadRequest(f"{where} is not base64 ({str(error)[:80]})", ADVICE) from None
