"""Where in the folder of results a document's output goes. Pure: it knows names, not the disk.

The tree of results is that of the inputs. No folder that comes from here ends like an output, so an output is never in
the way of a folder, whichever of them comes first.
"""

# Names are strings here: a Path rewrites what it is given.
# ruff: noqa: PTH122

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Iterator
from itertools import count

from ocrpress.jobs.finding.found import fold

_LONGEST_FOLDER_BYTES = 255
_LONGEST_FILE_BYTES = 200  # leaves room for what is called after it: figures, hidden temporary files
_LONGEST_PATH_BYTES = 2000  # of 4,096, of which the folder of results takes some
_NUMBERS = 99  # names tried in a folder before another folder is made
_RESERVED = frozenset({".ocrpress", "report.html"})  # at the top


def place(name: str, ending: str, crowded: bool, taken: Callable[[str], bool]) -> str:
    """The path of a document's output, relative to the folder of results, with "/" between its parts.

    "sub/x.pdf" gives "sub/x.md". If the document is crowded, or that is taken, it is "sub/x.pdf.md", then
    "sub/x.pdf-2.md" and so on. Names that are too long for a file system end in a digest of the whole name.

    Args:
        name: of the document, as in `Found`; may hold any bytes, as `os.fsdecode` gives them.
        ending: of the output, "md" or ".md".
        crowded: as in `Found`.
        taken: may a path not be used? True for the output of another document, for a path inside of one, and for a
            folder that holds outputs; without regard to case.

    Returns:
        A path that is not taken. It has no ".." in it, is not absolute, and is none of the batch's own files.
    """
    ending = f".{ending.removeprefix('.')}"
    parts = [part for part in name.split("/") if part not in {"", ".", ".."}] or ["document"]
    folders = _folders(parts[:-1], ending)
    return next(path for path in _candidates(folders, parts[-1], ending, crowded) if _is_free(path, taken))


def _candidates(folders: list[str], name: str, ending: str, crowded: bool) -> Iterator[str]:
    stem = os.path.splitext(name)[0]
    for folder_number in count(1):
        folder = "".join(f"{part}/" for part in _other(folders, folder_number))
        if not crowded:
            yield folder + _file(stem, ending, name)
        # A folder may be in the way of nothing but all that is in it: after some names, another folder is tried.
        for number in count(1) if not folders else range(1, _NUMBERS + 1):
            yield folder + _file(name if number == 1 else f"{name}-{number}", ending, name)


def _other(folders: list[str], number: int) -> list[str]:
    return folders if number == 1 else [f"{shortened(folders[0], _LONGEST_FILE_BYTES)}-{number}", *folders[1:]]


def _file(stem: str, ending: str, name: str) -> str:
    return shortened(stem, _LONGEST_FILE_BYTES - len(os.fsencode(ending)), f"{name}/{stem}") + ending


def _folders(parts: list[str], ending: str) -> list[str]:
    """The folders, none of which could be an output or is one of the batch's own."""
    made = []
    for number, part in enumerate(parts):
        if fold(part).endswith(fold(ending)) or (number == 0 and fold(part) in _RESERVED):
            made.append(shortened(part, _LONGEST_FOLDER_BYTES - 1) + "_")
        else:
            made.append(shortened(part, _LONGEST_FOLDER_BYTES))
    if sum(len(os.fsencode(part)) + 1 for part in made) > _LONGEST_PATH_BYTES:
        return [shortened(" ".join(made), _LONGEST_FILE_BYTES, "/".join(made), always=True)]
    return made


def _is_free(path: str, taken: Callable[[str], bool]) -> bool:
    return fold(path) not in _RESERVED and not taken(path)


def shortened(text: str, limit: int, whole: str | None = None, always: bool = False) -> str:
    """The text, if it has no more than so many bytes; else the start of it and a digest.

    Args:
        limit: bytes, 32 or more.
        whole: what the digest is of; None for the text.
        always: put the digest there even if the text is short enough.
    """
    if len(os.fsencode(text)) <= limit and not always:
        return text
    digest = hashlib.sha256(os.fsencode(text if whole is None else whole)).hexdigest()[:16]
    start = text[:limit]
    while len(os.fsencode(start)) > limit - len(digest) - 1:  # whole characters: half of one is no UTF-8
        start = start[:-1]
    return f"{start}~{digest}"
