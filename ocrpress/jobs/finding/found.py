"""The nouns of finding: a document that was found, something that was left out, and what the user chose."""

# Paths are strings here: a Path costs more than looking at the file, and rewrites what it is given.
# ruff: noqa: PTH122

from __future__ import annotations

import errno
import os
import stat
import unicodedata
from dataclasses import dataclass

from ocrpress.errors import UsageError
from ocrpress.sources.sniff import IMAGE_SUFFIXES

DOCUMENT_ENDINGS = IMAGE_SUFFIXES | {".pdf"}


@dataclass(frozen=True)
class Found:
    """A document.

    Attributes:
        path: absolute, to be opened as it is; bytes that are no UTF-8 as `os.fsdecode` gives them.
        name: in the tree of results, "sub/x.pdf": no document of the same run has it too. Never empty, never absolute,
            no "." or ".." in it.
        crowded: a document beside it has the same stem, whatever the case: "x.pdf" and "X.png". Never so for what is
            listed: what comes after it is not known yet.
    """

    path: str
    name: str
    crowded: bool = False


@dataclass(frozen=True)
class LeftOut:
    """Something that was not looked at.

    Attributes:
        path: as the user named it, or absolute.
        why: in a few words, to follow "PATH: ".
        lost: False if every document that is there is found elsewhere (a loop of links, a second way to a folder).
    """

    path: str
    why: str
    lost: bool = True


@dataclass(frozen=True)
class Choice:
    """Which files of folders are documents.

    A pattern is matched without regard to case. With a "/" in it, it is matched against the path inside the input
    ("sub/*.pdf", "/x.pdf", "**/old/*"), else against the name alone ("*.pdf"); with a "/" at the end, against folders
    only. "*" and "?" do not match a "/", "**" stands for any folders. A pattern that matches a folder holds for what
    is in it.

    Attributes:
        include: files of folders to take, whatever they are, and folders to take documents from. Empty: documents by
            their ending (DOCUMENT_ENDINGS), in all folders.
        exclude: files and folders to leave, named ones too.
        skip: absolute folders never entered: that of the results, which may lie inside an input.

    Raises:
        UsageError: a pattern is empty.
    """

    include: tuple[str, ...] = ()
    exclude: tuple[str, ...] = ()
    skip: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        for kind, patterns in (("include", self.include), ("exclude", self.exclude)):
            if not all(pattern.strip("/") for pattern in patterns):
                raise UsageError(f"an empty pattern to {kind}", "give one like '*.pdf' or 'sub/*'")


def fold(name: str) -> str:
    """What two names have in common that a file system may take for one: without case, composed or decomposed.

    >>> fold("A.PDF") == fold("a.pdf")
    True
    """
    return (
        name.lower() if name.isascii() else unicodedata.normalize("NFD", unicodedata.normalize("NFD", name).casefold())
    )


def reason(error: Exception) -> str:
    """Why something could not be looked at."""
    if isinstance(error, ValueError):
        return "no file can have such a name"
    if isinstance(error, (FileNotFoundError, NotADirectoryError)):
        return "it does not exist"
    if isinstance(error, PermissionError):
        return "it may not be read"
    number = error.errno if isinstance(error, OSError) else None
    if number == errno.ELOOP:
        return "a link that leads to itself"
    if number == errno.ENAMETOOLONG:
        return "its name or path is too long"
    return f"it cannot be read ({getattr(error, 'strerror', None) or error})"


def shown(path: str) -> str:
    """A path within a sentence: one line, every byte of it for something to see."""
    return "".join(sign if sign.isprintable() else "\ufffd" for sign in os.fsencode(path).decode(errors="replace"))


def special(mode: int) -> str:
    """Why something of this mode is no document: it is neither a file nor a folder."""
    kinds = (
        (stat.S_ISSOCK, "a socket"), (stat.S_ISFIFO, "a named pipe"), (stat.S_ISCHR, "a device"),
        (stat.S_ISBLK, "a device"),
    )  # fmt: skip
    return next((f"{kind}, not a file" for test, kind in kinds if test(mode)), "not a file")


def ending(name: str) -> str:
    """The ending of a name in lower case, with its dot."""
    return os.path.splitext(name)[1].lower()
