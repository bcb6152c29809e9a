"""The file with the bearer tokens: one a line, with a name for its client before it or without."""

from __future__ import annotations

import re
import stat
from pathlib import Path

from ocrpress.errors import UsageError

SHORTEST = 16  # characters: 96 bits, if they were drawn at random
LONGEST_FILE = 1 << 20  # bytes
HOW = "python3 -c 'import secrets; print(secrets.token_urlsafe(32))'"

_TOKEN = re.compile(r"[A-Za-z0-9._~+/-]+=*")  # RFC 6750


def read_tokens(path: Path) -> dict[str, str]:
    """Token -> the client's name; "client 3" for the one in line 3, if it is not given.

    Raises UsageError, which names no token: the file cannot be read, has none, or one that is short or malformed.
    """
    found: dict[str, str] = {}
    for number, line in enumerate(_text(path).splitlines(), 1):
        words = line.split()
        if not words or words[0].startswith("#"):
            continue
        if len(words) > 2:
            raise UsageError(f"{path}, line {number}, has {len(words)} words", "write 'NAME TOKEN' or 'TOKEN'")
        name, token = words if len(words) == 2 else (f"client {number}", words[0])
        if not name.isprintable() or not _TOKEN.fullmatch(token):
            raise UsageError(f"{path}, line {number}, is no token", "take letters, digits and . _ ~ + / - only")
        if len(token) < SHORTEST:
            raise UsageError(f"the token in {path}, line {number}, is shorter than {SHORTEST}", f"make one with {HOW}")
        if token in found:
            raise UsageError(f"the token in {path}, line {number}, is there twice", "give each client its own")
        found[token] = name
    if not found:
        raise UsageError(f"there is no token in {path}", f"write 'NAME TOKEN' into it; make one with {HOW}")
    return found


def is_open_to_others(path: Path) -> bool:
    """May others than its owner read the file?"""
    return bool(path.stat().st_mode & (stat.S_IRGRP | stat.S_IROTH))


def _text(path: Path) -> str:
    try:
        with path.open("rb") as stream:
            data = stream.read(LONGEST_FILE + 1)
        if len(data) > LONGEST_FILE:
            raise UsageError(f"{path} is too large for a token file", "write 'NAME TOKEN' into it, one a line")
        return data.decode("utf-8-sig")
    except (OSError, ValueError) as error:
        why = getattr(error, "strerror", None) or "it is no text"
        raise UsageError(f"the token file {path} cannot be read ({why})", "check the path") from error
