"""Patterns for names and paths. They know nothing of the disk."""

from __future__ import annotations

import fnmatch
import re
from collections.abc import Iterable

Places = frozenset[int]  # how far a path may have come in a pattern: numbers of its parts
_ANY_FOLDERS = "**"


class Patterns:
    """Patterns as `Choice` describes them: does a file or a folder match one of them?"""

    def __init__(self, patterns: Iterable[str]) -> None:
        names: list[str] = []
        paths: list[str] = []
        folder_names: list[str] = []
        folder_paths: list[str] = []
        for pattern in patterns:
            only_folders, bare = pattern.endswith("/"), pattern.rstrip("/")
            if "/" in bare:
                (folder_paths if only_folders else paths).append(_path_pattern(bare))
            else:
                (folder_names if only_folders else names).append(part_pattern(bare))
        self._name, self._path = _any_of(names), _any_of(paths)
        self._folder_name, self._folder_path = _any_of(names + folder_names), _any_of(paths + folder_paths)

    def __bool__(self) -> bool:
        return self._folder_name is not None or self._folder_path is not None

    def match(self, name: str, path: str) -> bool:
        """Does a file of this name and this path inside the input match?"""
        return _matches(self._name, name) or _matches(self._path, path)

    def match_folder(self, name: str, path: str) -> bool:
        """Does a folder?"""
        return _matches(self._folder_name, name) or _matches(self._folder_path, path)


class Glob:
    """A pattern for paths as a shell has it, with "**": case counts, and what is hidden must be named.

    A path is followed from the top: `start`, then a `step` for every name in it.

    >>> glob = Glob("**/*.pdf")
    >>> glob.is_whole(glob.step(glob.start, "x.pdf"))
    True
    """

    def __init__(self, pattern: str) -> None:
        parts = [part for part in pattern.split("/") if part not in {"", "."}]
        self.folders_only = pattern.endswith("/") or parts[-1:] == [_ANY_FOLDERS]
        while parts[-1:] == [_ANY_FOLDERS]:  # all that is in a folder: the folder
            parts.pop()
        self._parts = [(part, re.compile(part_pattern(part), re.DOTALL)) for part in parts]
        self.start = self._reach({0})

    def step(self, places: Places, name: str) -> Places:
        """The places after one more name; none if no path that goes on like this matches."""
        reached = set()
        for part, pattern, place in ((*self._parts[place], place) for place in places if place < len(self._parts)):
            if name.startswith(".") and not part.startswith("."):
                continue
            if part == _ANY_FOLDERS:
                reached.add(place)
            elif pattern.fullmatch(name):
                reached.add(place + 1)
        return self._reach(reached)

    def is_whole(self, places: Places) -> bool:
        """Does the path match the whole pattern?"""
        return len(self._parts) in places

    def _reach(self, places: set[int]) -> Places:
        """With the places that come after any number of folders, none included."""
        for place in sorted(places):
            after = place
            while after < len(self._parts) and self._parts[after][0] == _ANY_FOLDERS:
                after += 1
                places.add(after)
        return frozenset(places)


def part_pattern(part: str) -> str:
    """One part of a path, between slashes, as a regular expression that matches no slash."""
    made: list[str] = []
    at = 0
    while at < len(part):
        sign, at = part[at], at + 1
        if sign == "*":
            if not made or made[-1] != "[^/]*":
                made.append("[^/]*")
        elif sign == "?":
            made.append("[^/]")
        elif sign == "[" and (end := _closing(part, at)):
            inner = fnmatch.translate(part[at - 1 : end + 1])
            made.append(f"(?!/){inner.removeprefix('(?s:')[:-3]}")  # without the ")\\Z" that it ends with
            at = end + 1
        else:
            made.append(re.escape(sign))
    return "".join(made)


def _closing(part: str, at: int) -> int:
    """Where the set that begins before `at` ends; 0 if it does not: a bracket may be the first of the set."""
    at += part.startswith(("!", "^"), at)
    at += part.startswith("]", at)
    return max(0, part.find("]", at))


def _path_pattern(pattern: str) -> str:
    parts = [part for part in pattern.split("/") if part not in {"", "."}]
    made = []
    for number, part in enumerate(parts, 1):
        last = number == len(parts)
        if part == _ANY_FOLDERS:
            made.append(".+" if last else "(?:[^/]+/)*")
        else:
            made.append(part_pattern(part) + ("" if last else "/"))
    return "".join(made)


def _any_of(patterns: list[str]) -> re.Pattern[str] | None:
    return (
        re.compile("|".join(f"(?:{pattern})" for pattern in patterns), re.IGNORECASE | re.DOTALL) if patterns else None
    )


def _matches(pattern: re.Pattern[str] | None, text: str) -> bool:
    return pattern is not None and pattern.fullmatch(text) is not None
