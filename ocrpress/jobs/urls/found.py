"""Which documents there are behind URLs: files, folders, patterns and lists -> a stream of `FoundUrl` and `LeftOut`.

The rules for names and choices are those of `finding`. A folder is listed when it is its turn, so that the first
document comes before the rest of the tree is looked at.
"""

from __future__ import annotations

import posixpath
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from glob import has_magic
from itertools import chain
from typing import Any

from ocrpress.errors import InputError, OcrpressError, UsageError
from ocrpress.jobs.finding.found import Choice, Found, LeftOut, fold
from ocrpress.jobs.finding.seen import Folder
from ocrpress.jobs.finding.walking import Judge
from ocrpress.jobs.ledger.values import Stamp
from ocrpress.jobs.urls.files import file_system, is_url, state, translated

Info = Mapping[str, Any]


@dataclass(frozen=True)
class FoundUrl(Found):
    """A document behind a URL, and what its listing says it is known by."""

    stamp: Stamp = field(default_factory=lambda: Stamp(0, 0, ""))


def find_urls(inputs: Sequence[str], choice: Choice, listed: Iterable[str] = ()) -> Iterator[Found | LeftOut]:
    """The documents of a batch, as they are found. See `finding.find`, of which this is the counterpart for URLs.

    Nothing that is met on the way raises: it is LeftOut, with the reason.
    """
    rest = iter(listed)
    first = next(rest, None)
    hunt = _Hunt(choice, several=len(inputs) + (first is not None) > 1)
    for url in inputs:
        yield from hunt.named(url)
    for url in chain([first] if first is not None else [], rest):
        yield from hunt.listed(url)


class _Hunt:
    """The inputs of one call of `find_urls`."""

    def __init__(self, choice: Choice, several: bool) -> None:
        self._judge = Judge(choice)
        self._skip = {_whole(url) for url in choice.skip if is_url(url)}
        self._several = several
        self._names: set[str] = set()
        self._seen: set[str] = set()

    def named(self, url: str) -> Iterator[Found | LeftOut]:
        """An input of the command line."""
        try:
            system, inside = file_system(url)
            with translated(url, "read", InputError):
                matched = sorted(system.glob(inside)) if has_magic(inside) else [inside]
            if not matched:
                yield LeftOut(url, "nothing matches it")
            for path in matched:
                info = self._info(system, path, url)
                if info["type"] == "directory":
                    relative = path[len(_fixed(inside)) :].strip("/") if has_magic(inside) else ""
                    yield from self._walk(system, path.rstrip("/"), relative, self._prefix(path))
                else:
                    yield from self._file(system, info, posixpath.basename(path))
        except OcrpressError as error:
            yield LeftOut(url, error.message)

    def listed(self, url: str) -> Iterator[Found | LeftOut]:
        """A URL of a list."""
        try:
            if not is_url(url):
                raise InputError(f"{url} is no URL")
            system, inside = file_system(url)
            info = self._info(system, inside, url)
            if info["type"] == "directory":
                yield from self._walk(system, inside.rstrip("/"), "", inside.strip("/"))
            else:
                yield from self._file(system, info, inside.strip("/"))
        except OcrpressError as error:
            yield LeftOut(url, error.message)

    def _info(self, system: Any, path: str, url: str) -> Info:
        with translated(url, "read", InputError):
            info: Info = system.info(path)
        return info

    def _prefix(self, path: str) -> str:
        """What the names of a folder's documents begin with."""
        if not self._several:
            return ""
        return self._unused(posixpath.basename(path.rstrip("/")) or "root")

    def _file(self, system: Any, info: Info, name: str) -> Iterator[Found | LeftOut]:
        if not self._judge.excludes(name) and self._is_new(system, info):
            yield self._found(system, info, self._unused(name), False)

    def _walk(self, system: Any, top: str, relative: str, prefix: str) -> Iterator[Found | LeftOut]:
        stack = [Folder(top, top, relative, self._judge.takes_all_folders)]
        while stack:
            folder = stack.pop()
            url = system.unstrip_protocol(folder.path).rstrip("/")
            if url in self._skip:
                continue
            try:
                with translated(url, "list", InputError):
                    listing = system.ls(folder.path, detail=True)
            except OcrpressError as error:
                yield LeftOut(url, error.message)
                continue
            yield from self._files(system, folder, listing, prefix)
            below = [self._below(folder, info) for info in listing if info["type"] == "directory"]
            stack.extend(sorted((found for found in below if found), key=lambda found: found.path, reverse=True))

    def _files(self, system: Any, folder: Folder, listing: Sequence[Info], prefix: str) -> Iterator[Found]:
        # A store may list a folder as an empty file of its own, with or without a "/" at the end.
        files = {posixpath.basename(info["name"]): info for info in listing if info["type"] == "file"}
        names = sorted(name for name in files if name and self._judge.takes(folder, name))
        stems = Counter(fold(posixpath.splitext(name)[0]) for name in names)
        for name in names:
            if files[name]["name"].rstrip("/") != folder.path and self._is_new(system, files[name]):
                path = folder.inside(name)
                crowded = stems[fold(posixpath.splitext(name)[0])] > 1
                yield self._found(system, files[name], f"{prefix}/{path}" if prefix else path, crowded)

    def _below(self, folder: Folder, info: Info) -> Folder | None:
        path = info["name"].rstrip("/")
        name = posixpath.basename(path)
        if not name or name.startswith(".") or path == folder.path:
            return None
        below = self._judge.below(folder, name, path, None)
        return Folder(path, path, below.relative, below.chosen) if below else None

    def _found(self, system: Any, info: Info, name: str, crowded: bool) -> FoundUrl:
        return FoundUrl(system.unstrip_protocol(info["name"]), name, crowded, Stamp(*state(info)))

    def _is_new(self, system: Any, info: Info) -> bool:
        url = system.unstrip_protocol(info["name"])
        new = url not in self._seen
        self._seen.add(url)
        return new

    def _unused(self, name: str) -> str:
        stem, suffix = posixpath.splitext(name)
        number, unused = 1, name
        while unused in self._names:
            number += 1
            unused = f"{stem}-{number}{suffix}"
        self._names.add(unused)
        return unused


def check_urls(inputs: Sequence[str], out: str) -> None:
    """Find out before a batch whether its inputs, of which some are URLs, can be.

    Raises:
        UsageError: others are paths; a URL is of a kind that fsspec does not know, or needs a package that is not
            there; or results would lie among the documents that they are of.
    """
    place = f"{_whole(out)}/" if is_url(out) else ""
    for url in inputs:
        if not is_url(url):
            raise UsageError(f"{url} is a path and other inputs are URLs", "give one kind of them")
        if place and f"{_whole(url)}/".startswith(place):
            raise UsageError(f"the results in {out} would lie among documents of {url}", "choose another place with -o")


def _whole(url: str) -> str:
    """A URL as its file system writes it, without a slash at the end."""
    system, inside = file_system(url)
    return str(system.unstrip_protocol(inside)).rstrip("/")


def _fixed(path: str) -> str:
    """The folders of a pattern that are no pattern, with a slash at the end."""
    parts = path.split("/")
    return "".join(
        f"{part}/" for part in parts[: next((n for n, part in enumerate(parts) if has_magic(part)), len(parts) - 1)]
    )
