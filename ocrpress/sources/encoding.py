"""Bytes -> text: is a file text, and in which encoding? Knows nothing of pages or of what the text means.

UTF-8, or UTF-16 and UTF-32 with a byte order mark. No other encoding is guessed: a wrong guess would be typeset, read
back and measured, and nobody would notice.
"""

from __future__ import annotations

import codecs
import unicodedata

from ocrpress.errors import InputError

# Longest first: the mark of UTF-32 begins with that of UTF-16.
_MARKS = (
    (codecs.BOM_UTF32_LE, "utf-32"), (codecs.BOM_UTF32_BE, "utf-32"), (codecs.BOM_UTF8, "utf-8-sig"),
    (codecs.BOM_UTF16_LE, "utf-16"), (codecs.BOM_UTF16_BE, "utf-16"),
)  # fmt: skip
_USUAL_CONTROLS = frozenset("\t\n\v\f\r\x1b\b")  # logs have colours, old manual pages overstrike
MOST_ODD = 0.02  # of the characters; beyond that it is no text, whatever it decodes as


def is_text(head: bytes, whole: bool) -> bool:
    """Whether a file that begins with these bytes is text in an encoding that we read.

    Args:
        whole: the head is the whole file, so it may not end inside a character.
    """
    decoder = codecs.getincrementaldecoder(_encoding(head))()
    try:
        text = decoder.decode(head, final=whole)
    except UnicodeDecodeError:
        return False
    return bool(text) and "\0" not in text and sum(map(_is_odd, text)) <= MOST_ODD * len(text)


def is_text_of_another_encoding(head: bytes) -> bool:
    """Whether bytes that are no text in an encoding of ours look like text in one of 8 bits a character."""
    usual = frozenset(_USUAL_CONTROLS)
    return any(byte >= 0x80 for byte in head) and all(byte >= 0x20 or chr(byte) in usual for byte in head)


def decode(data: bytes, name: str) -> str:
    """The text of a file, its line ends all "\\n", without byte order mark.

    Args:
        name: of the file, for the error.

    Raises:
        InputError: it is in another encoding, or has NUL characters, as no text has.
    """
    encoding = _encoding(data)
    try:
        text = data.decode(encoding)
    except UnicodeDecodeError as error:
        shown = encoding.removesuffix("-sig").upper()
        where = f"byte 0x{data[error.start]:02X} at {error.start:,}"
        raise InputError(f"{name} is not {shown} text throughout ({where})", ENCODING_ADVICE) from error
    if "\0" in text:
        raise InputError(f"{name} is no text (it has NUL characters)", "give a text file")
    return text.replace("\r\n", "\n").replace("\r", "\n")


ENCODING_ADVICE = "convert it, like: iconv -f WINDOWS-1252 -t UTF-8 OLD > NEW"


def _encoding(data: bytes) -> str:
    return next((name for mark, name in _MARKS if data.startswith(mark)), "utf-8")


def _is_odd(char: str) -> bool:
    """A control character, or one that is not assigned or private: what random bytes decode to."""
    return char not in _USUAL_CONTROLS and unicodedata.category(char) in {"Cc", "Cn", "Co", "Cs"}
