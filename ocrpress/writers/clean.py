"""Characters that no output may carry: control characters, and halves of surrogate pairs that UTF-8 cannot encode."""

from __future__ import annotations

import re

_LINE_ENDS = re.compile(r"\r\n?|[\x0b\x0c\x1c-\x1e\x85\u2028\u2029]")
_CONTROLS = re.compile(r"[\x00-\x08\x0e-\x1b\x1f\x7f-\x84\x86-\x9f]")
_SURROGATES = re.compile(r"[\ud800-\udfff]")
_NO_BYTES = re.compile(r"[\ud800-\udc7f\udd00-\udfff]")


def clean(text: str) -> str:
    """Text of a block with plain line ends and without control characters.

    A form feed would otherwise pass for a page break, and an escape character for a command to the terminal.
    """
    return _CONTROLS.sub("", _LINE_ENDS.sub("\n", text))


def one_line(text: str) -> str:
    """The text on one line, white space folded."""
    return " ".join(clean(text).split())


def encodable(text: str) -> str:
    """The text without lone surrogates: those that stand for the bytes of a file name are read as UTF-8 where they are.

    The others, and bytes that are no UTF-8, become replacement characters.
    """
    if not _SURROGATES.search(text):
        return text
    return _NO_BYTES.sub("\ufffd", text).encode("utf-8", "surrogateescape").decode("utf-8", "replace")
