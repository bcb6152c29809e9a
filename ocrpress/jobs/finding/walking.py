"""Through one folder and all below it, in order. Never raises for what it meets; holds one folder's names at a time.

Files of a folder come before its subfolders. Links come last where what they lead to may come by itself under its own
name: so it does not change its name with the link.
"""

# Paths are strings here: a Path costs more than looking at the file, and rewrites what it is given.
# ruff: noqa: PTH118, PTH120, PTH122

from __future__ import annotations

import os
import stat
from collections import Counter, deque
from collections.abc import Iterator
from dataclasses import dataclass, field

from ocrpress.jobs.finding.found import DOCUMENT_ENDINGS, Choice, Found, LeftOut, ending, fold, reason, shown, special
from ocrpress.jobs.finding.patterns import Glob, Patterns, Places
from ocrpress.jobs.finding.seen import Folder, Identity, Seen, identity


class Judge:
    """What the user chose, ready to be asked."""

    def __init__(self, choice: Choice) -> None:
        self.takes_all_folders = not choice.include
        self._include, self._exclude = Patterns(choice.include), Patterns(choice.exclude)
        self._skip = {os.path.normpath(path) for path in choice.skip}
        self._skip_identities: set[Identity] = set()
        for path in choice.skip:
            try:
                self._skip_identities.add(identity(path, os.path.realpath(path)))
            except (OSError, ValueError):
                continue  # it is still to be made

    def excludes(self, path: str, folder: bool = False) -> bool:
        """Is this left, a file or a folder by its path inside the input, even if it was named?"""
        if not self._exclude:
            return False
        parts = path.split("/")
        above = len(parts) if folder else len(parts) - 1
        if any(self._exclude.match_folder(parts[n], "/".join(parts[: n + 1])) for n in range(above)):
            return True
        return not folder and self._exclude.match(parts[-1], path)

    def takes(self, folder: Folder, name: str) -> bool:
        """Is a file of this name in this folder a document?"""
        path = folder.inside(name)
        if name.startswith(".") or self._exclude.match(name, path):
            return False
        return (folder.chosen and ending(name) in DOCUMENT_ENDINGS) or self._include.match(name, path)

    def below(self, folder: Folder, name: str, real: str, places: Places | None) -> Folder | None:
        """The subfolder of this name; None if it is left."""
        path = folder.inside(name)
        if self._exclude.match_folder(name, path):
            return None
        chosen = folder.chosen or self._include.match_folder(name, path)
        return Folder(os.path.join(folder.path, name), real, path, chosen, places)

    def skips(self, folder: Folder, known: Identity) -> bool:
        """Is it one of the folders that are never entered?"""
        return known in self._skip_identities or folder.path in self._skip or folder.real in self._skip


@dataclass
class _Listing:
    """What of a folder counts."""

    files: list[str] = field(default_factory=list)
    links: dict[str, str] = field(default_factory=dict)  # names of links to files -> where they lead
    folders: list[Folder] = field(default_factory=list)
    linked: list[Folder] = field(default_factory=list)
    problems: list[LeftOut] = field(default_factory=list)


class Walk:
    """A walk through a folder.

    Args:
        root: the folder, absolute.
        prefix: what the names of its documents begin with, without a slash; empty for nothing.
        glob: take only what matches it: files whatever they are, folders as they would be without it.
        seen: what other walks have found; what this one finds is added.
    """

    def __init__(self, root: str, prefix: str, judge: Judge, seen: Seen, glob: Glob | None = None) -> None:
        self._start = Folder(root, os.path.realpath(root), "", judge.takes_all_folders)
        self._prefix, self._glob, self._judge, self._seen = prefix, glob, judge, seen
        self.matched = glob is None
        if glob:
            self._start = self._in_glob(self._start, glob.start)
        self._partly: set[tuple[Identity, Places]] = set()
        self._waiting: deque[Folder | tuple[Found, str]] = deque()

    def run(self) -> Iterator[Found | LeftOut]:
        """What there is, as it is found. Afterwards `matched` says whether anything was of the pattern."""
        yield from self._walk(self._start)
        while self._waiting:
            link = self._waiting.popleft()
            if isinstance(link, Folder):
                yield from self._walk(link)
            else:
                yield self._linked_file(*link)

    def _walk(self, start: Folder) -> Iterator[Found | LeftOut]:
        stack = [start]  # not recursion: paths have up to 2,048 folders
        while stack:
            folder = stack.pop()
            try:
                known = identity(folder.path, folder.real)
            except (OSError, ValueError) as error:
                yield LeftOut(folder.path, _gone(error, folder))
                continue
            if (refusal := self._refusal(folder, known)) is not None:
                yield from refusal
                continue
            listing = self._list(folder, known)
            yield from self._files(folder, listing)
            yield from sorted(listing.problems, key=_path_of)
            links = sorted(listing.linked, key=_path_of)
            self._waiting.extend(links)
            stack.extend(sorted(listing.folders, key=_path_of, reverse=True))

    def _refusal(self, folder: Folder, known: Identity) -> list[LeftOut] | None:
        """What is to be said of a folder that is not entered; None if it is."""
        if self._judge.skips(folder, known):
            return [LeftOut(folder.path, "the results go there")] if not folder.relative else []
        if folder.places is not None:
            before = (known, folder.places) in self._partly
            self._partly.add((known, folder.places))
            return [] if before else None
        if (earlier := self._seen.walk(known, folder)) is None:
            return None
        above = os.path.join(os.path.realpath(os.path.dirname(folder.path)), "")
        if folder.relative and above.startswith(os.path.join(folder.real, "")):
            return [LeftOut(folder.path, "it leads back to a folder that it lies in", lost=False)]
        other = "" if earlier.path == folder.path else f" as {shown(earlier.path)}"
        return [LeftOut(folder.path, f"it is read already{other}", lost=False)]

    def _list(self, folder: Folder, known: Identity) -> _Listing:
        listing = _Listing()
        is_listed = False
        try:
            with os.scandir(folder.path) as scan:
                for entry in scan:
                    is_listed = True
                    self._sort_in(listing, folder, entry)
        except OSError as error:
            listing.problems.append(LeftOut(folder.path, _gone(error, folder)))
            if not is_listed and folder.places is None:
                self._seen.forget(known)
        return listing

    def _sort_in(self, listing: _Listing, folder: Folder, entry: os.DirEntry[str]) -> None:
        name, places = entry.name, None
        if self._glob and folder.places is not None:
            places = self._glob.step(folder.places, name)
            if not places:
                return
        elif name.startswith("."):
            return
        try:
            linked = entry.is_symlink()
            if not linked and entry.is_file(follow_symlinks=False):
                if self._takes_file(folder, name, places):
                    listing.files.append(name)
                return
            mode = entry.stat().st_mode
        except OSError as error:
            self._sort_in_unknown(listing, folder, entry, places, error)
            return
        real = os.path.realpath(entry.path) if linked else os.path.join(folder.real, name)
        if stat.S_ISDIR(mode):
            if below := self._below(folder, name, real, places):
                (listing.linked if linked else listing.folders).append(below)
        elif self._takes_file(folder, name, places):
            if stat.S_ISREG(mode):
                listing.links[name] = real
            else:
                listing.problems.append(LeftOut(entry.path, special(mode)))

    def _sort_in_unknown(
        self, listing: _Listing, folder: Folder, entry: os.DirEntry[str], places: Places | None, error: OSError
    ) -> None:
        """Something that cannot be looked at: worth a word if it could be a document or a folder of documents."""
        if self._takes_file(folder, entry.name, places) or (
            not ending(entry.name) and self._below(folder, entry.name, "", places)
        ):
            why = "a link to nothing" if isinstance(error, FileNotFoundError) else reason(error)
            listing.problems.append(LeftOut(entry.path, why))

    def _takes_file(self, folder: Folder, name: str, places: Places | None) -> bool:
        if places is None:
            return self._judge.takes(folder, name)
        if not self._glob or self._glob.folders_only or not self._glob.is_whole(places):
            return False
        self.matched = True
        return not self._judge.excludes(folder.inside(name))

    def _below(self, folder: Folder, name: str, real: str, places: Places | None) -> Folder | None:
        below = self._judge.below(folder, name, real, places)
        return below if below is None or places is None else self._in_glob(below, places)

    def _in_glob(self, folder: Folder, places: Places) -> Folder:
        """The folder, entered as a whole if the pattern names it."""
        whole = self._glob is not None and self._glob.is_whole(places)
        self.matched = self.matched or whole
        return Folder(folder.path, folder.real, folder.relative, folder.chosen, None if whole else places)

    def _files(self, folder: Folder, listing: _Listing) -> Iterator[Found | LeftOut]:
        names = sorted([*listing.files, *listing.links])
        stems = Counter(fold(os.path.splitext(name)[0]) for name in names)
        for name in names:
            crowded = stems[fold(os.path.splitext(name)[0])] > 1
            path = folder.inside(name)
            found = Found(os.path.join(folder.path, name), f"{self._prefix}/{path}" if self._prefix else path, crowded)
            if (target := listing.links.get(name)) is not None:
                if self._comes_by_itself(target):
                    self._waiting.append((found, target))
                else:
                    yield self._linked_file(found, target)
            elif self._is_new(folder, name):
                yield found

    def _is_new(self, folder: Folder, name: str) -> bool:
        real = os.path.join(folder.real, name)
        return not self._seen.came_alone(real) if folder.places is None else self._seen.is_new(real)

    def _linked_file(self, found: Found, target: str) -> Found | LeftOut:
        if self._seen.is_new(target):
            return found
        return LeftOut(found.path, f"a link to {shown(target)}, which is read already", lost=False)

    def _comes_by_itself(self, target: str) -> bool:
        """May the target of a link be met on this walk?"""
        inside = os.path.join(self._start.real, "")
        if not target.startswith(inside):
            return False
        parts = target[len(inside) :].split("/")
        return not any(part.startswith(".") for part in parts) and ending(parts[-1]) in DOCUMENT_ENDINGS


def _path_of(thing: Folder | LeftOut) -> str:
    return thing.path


def _gone(error: Exception, folder: Folder) -> str:
    """Why a folder that was there cannot be entered."""
    return "it has vanished" if folder.relative and isinstance(error, FileNotFoundError) else reason(error)
