"""Which documents there are: files, folders, patterns and lists -> a stream of `Found` and `LeftOut`.

The first document comes before the rest of the tree is looked at. The order is always the same: inputs as they were
given, then what is listed; a folder's files by name, then its subfolders by name, at last links to what might have come
by itself. Every file comes once, by its real path; hard links are files of their own.
"""

# Paths are strings here: a Path costs more than looking at the file, and rewrites what it is given.
# ruff: noqa: PTH109, PTH112, PTH114, PTH116, PTH118, PTH119, PTH122

from __future__ import annotations

import contextlib
import os
import stat
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from glob import has_magic
from itertools import chain, islice
from typing import BinaryIO

from ocrpress.errors import InputError
from ocrpress.jobs.finding.found import Choice, Found, LeftOut, fold, reason, special
from ocrpress.jobs.finding.patterns import Glob
from ocrpress.jobs.finding.seen import Seen
from ocrpress.jobs.finding.walking import Judge, Walk

__all__ = ["Choice", "Found", "LeftOut", "find", "read_list"]

_CHUNK_BYTES = 1 << 16
_LONGEST_PATH_BYTES = 8192  # twice what Linux opens: a longer one is cut, and then cannot be opened either


def find(inputs: Sequence[str], choice: Choice, listed: Iterable[str] = ()) -> Iterator[Found | LeftOut]:
    """The documents of a batch, as they are found.

    Args:
        inputs: files, folders, and patterns that the shell has left ("in/**/*.pdf"). Names are relative to a folder, or
            to the part of a pattern that is fixed; with several inputs, or with something listed, they begin with that
            folder's own name. A file that is named has its own name. Equal names are told apart: "x.pdf", "x-2.pdf".
        choice: which files count. What is named, matched by a pattern or listed counts unless it is excluded. Hidden
            files and folders count only if they are named.
        listed: paths of files and folders, taken as they come (but the first before any input is looked at); each
            file's name is its path, with no "/" at the start and no "." or ".." in it.

    Nothing that is met on the way raises: it is LeftOut, with the reason.

    Raises:
        InputError: the list cannot be read on.
    """
    rest = iter(listed)
    first = list(islice(rest, 1))
    hunt = _Hunt(inputs, choice, several=len(inputs) + len(first) > 1)
    for path in inputs:
        yield from hunt.named(path)
    for path in chain(first, rest):
        yield from hunt.listed(path)


def read_list(stream: BinaryIO, null: bool = False) -> Iterator[str]:
    """Paths one a line, or each ended by a null byte; as they come, whatever their bytes are.

    Blank lines are skipped, and the end of a line may be that of Windows. Memory is bounded, whatever the stream holds:
    a path of more than 8192 bytes is cut there.

    Raises InputError if the stream cannot be read.
    """
    separator = b"\0" if null else b"\n"
    rest, is_first = b"", True
    for chunk in _chunks(stream):
        *paths, rest = (rest + chunk).split(separator)
        for path in paths:
            yield from _listed_path(path, null, is_first)
            is_first = False
        rest = rest[: _LONGEST_PATH_BYTES + 1]
    yield from _listed_path(rest, null, is_first)


def _chunks(stream: BinaryIO) -> Iterator[bytes]:
    read = getattr(stream, "read1", stream.read)  # what is there: a list may come from a slow program
    while True:
        try:
            chunk = read(_CHUNK_BYTES)
        except OSError as error:
            raise InputError(
                f"the list cannot be read ({error.strerror or error})", "check the file, or the program that makes it"
            ) from error
        if not chunk:
            return
        yield chunk


def _listed_path(path: bytes, null: bool, is_first: bool) -> Iterator[str]:
    if not null:
        path = path.removesuffix(b"\r")
        path = path.removeprefix(b"\xef\xbb\xbf") if is_first else path
    if path if null else path.strip():
        yield os.fsdecode(path[:_LONGEST_PATH_BYTES])


class _Hunt:
    """The inputs of one call of `find`."""

    def __init__(self, inputs: Sequence[str], choice: Choice, several: bool) -> None:
        self._judge = Judge(choice)
        self._seen = Seen(self._judge.takes)
        self._several = several
        self._stems = _stems(inputs) if len(inputs) > 1 else Counter()
        self._tops = _Names()  # first parts of the names of inputs
        self._moved: dict[str, str] = {}  # first parts of listed names that were one of them
        self._names = _Names()  # of what is listed
        self._folder_real = ("", "")

    def named(self, path: str) -> Iterator[Found | LeftOut]:
        """An input of the command line."""
        try:
            full = _absolute(path)
            mode = os.stat(full).st_mode
        except (FileNotFoundError, NotADirectoryError):
            yield from self._pattern(path) if has_magic(path) else [LeftOut(path, "it does not exist")]
        except (OSError, ValueError) as error:
            yield LeftOut(path, reason(error))
        else:
            if stat.S_ISDIR(mode):
                yield from self._folder(path, full)
            else:
                yield from self._file(path, full, mode, os.path.basename(full), is_listed=False)

    def listed(self, path: str) -> Iterator[Found | LeftOut]:
        """A path of a list."""
        try:
            full = _absolute(path)
            mode = os.stat(full).st_mode
        except (OSError, ValueError) as error:
            yield LeftOut(path, reason(error))
            return
        name = "/".join(part for part in path.split("/") if part not in {"", ".", ".."})
        if not stat.S_ISDIR(mode):
            yield from self._file(path, full, mode, name, is_listed=True)
        elif not self._judge.excludes(name, folder=True):
            for item in Walk(full, name, self._judge, self._seen).run():
                yield replace(item, name=self._unused(item.name)) if isinstance(item, Found) else item

    def _folder(self, path: str, full: str) -> Iterator[Found | LeftOut]:
        if self._judge.excludes(os.path.basename(os.path.normpath(path)), folder=True):
            yield LeftOut(path, "it is excluded", lost=False)
        else:
            yield from self._walk(full).run()

    def _pattern(self, pattern: str) -> Iterator[Found | LeftOut]:
        parts = pattern.split("/")
        fixed = next(number for number, part in enumerate(parts) if has_magic(part))
        base = "/".join(parts[:fixed]) or ("/" if fixed else ".")
        walk = None
        if os.path.isdir(base):
            with contextlib.suppress(OSError):  # the current folder may be gone
                walk = self._walk(_absolute(base), Glob("/".join(parts[fixed:])))
        if walk:
            yield from walk.run()
        if walk is None or not walk.matched:
            yield LeftOut(pattern, "nothing matches it")

    def _walk(self, full: str, glob: Glob | None = None) -> Walk:
        prefix = ""
        if self._several:
            prefix = self._tops.new(os.path.basename(full) or "root")
        return Walk(full, prefix, self._judge, self._seen, glob)

    def _file(self, path: str, full: str, mode: int, name: str, is_listed: bool) -> Iterator[Found | LeftOut]:
        if self._judge.excludes(name):
            return
        if not stat.S_ISREG(mode):
            yield LeftOut(path, special(mode))
            return
        if not self._seen.is_new(self._real(full)):
            return
        if is_listed:
            yield Found(full, self._unused(name))
            return
        stem, suffix = os.path.splitext(name)
        yield Found(full, self._tops.new(stem, suffix), self._stems[fold(stem)] > 1)

    def _real(self, full: str) -> str:
        """The path without links. Files come folder by folder, so the folder's is kept: it takes longest."""
        if os.path.islink(full):
            return os.path.realpath(full)
        folder, name = os.path.split(full)
        if self._folder_real[0] != folder:
            self._folder_real = folder, os.path.realpath(folder)
        return os.path.join(self._folder_real[1], name)

    def _unused(self, name: str) -> str:
        """The name of something listed, told apart from those of all inputs and of all that was listed before."""
        top, slash, rest = name.partition("/")
        if top in self._tops:  # whose names are not remembered: none of them begins like this
            if top not in self._moved:
                self._moved[top] = self._tops.new(top)
            name = self._moved[top] + slash + rest
        return self._names.new(*os.path.splitext(name))


class _Names:
    """Names, no two of them equal."""

    def __init__(self) -> None:
        self._numbers: dict[str, int] = {}  # the last number that was tried for a name

    def __contains__(self, name: str) -> bool:
        return name in self._numbers

    def new(self, stem: str, suffix: str = "") -> str:
        """The name, with a number in it if it is taken; it is taken now."""
        plain = name = f"{stem}{suffix}"
        number = self._numbers.get(plain, 0)
        while name in self._numbers:
            number += 1
            name = f"{stem}-{number + 1}{suffix}"
        self._numbers[plain] = number
        self._numbers[name] = 0
        return name


def _absolute(path: str) -> str:
    """The path from the root; ".." is followed as the system does, through links. Raises OSError and ValueError."""
    if not path:
        raise FileNotFoundError
    full = path if path.startswith("/") else os.path.join(os.getcwd(), path)
    if ".." not in path.split("/"):
        return "/" + os.path.normpath(full).lstrip("/")
    folder, name = os.path.split(full.rstrip("/"))
    return os.path.realpath(full) if name in {".", ".."} else os.path.join(os.path.realpath(folder), name)


def _stems(inputs: Sequence[str]) -> Counter[str]:
    """How many files that are named share a stem."""
    files = {os.path.normpath(path) for path in inputs if not os.path.isdir(path)}
    return Counter(fold(os.path.splitext(os.path.basename(path))[0]) for path in files)
