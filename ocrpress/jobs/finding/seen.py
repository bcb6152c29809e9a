"""What was found already: folders by device and inode, files that came on their own by their real path.

Files that are found by walking through a whole folder are not remembered: that their folder was walked says it. So
memory grows with the folders (some 300 bytes each) and with the files named on their own and behind links (some 100).
"""

# Paths are strings here: a Path costs more than looking at the file, and rewrites what it is given.
# ruff: noqa: PTH116

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Hashable
from dataclasses import dataclass

from ocrpress.jobs.finding.patterns import Places

Identity = Hashable


@dataclass(frozen=True, slots=True)
class Folder:
    """A folder on a walk.

    Attributes:
        path: to open it by, through whatever links.
        real: the same without links.
        relative: inside the input, "sub/deep"; empty for the input itself.
        chosen: are documents taken from it by their ending?
        places: how far it is in the pattern that is followed; None: everything in it counts.
    """

    path: str
    real: str
    relative: str
    chosen: bool
    places: Places | None = None

    def inside(self, name: str) -> str:
        """The path inside the input of something in this folder."""
        return f"{self.relative}/{name}" if self.relative else name


class Seen:
    """Each file once.

    Args:
        takes: would a walk through the folder take the file of that name in it?
    """

    def __init__(self, takes: Callable[[Folder, str], bool]) -> None:
        self._takes = takes
        self._walked: dict[Identity, Folder] = {}
        self._alone: set[bytes] = set()
        self._parent: tuple[str, Folder | None] | None = None

    def walk(self, identity: Identity, folder: Folder) -> Folder | None:
        """Note that the whole folder is walked through; gives the walk before this one, if there was one."""
        self._parent = None
        before = self._walked.setdefault(identity, folder)
        return None if before is folder else before

    def forget(self, identity: Identity) -> None:
        """The folder could not be listed."""
        self._parent = None
        self._walked.pop(identity, None)

    def is_new(self, real: str) -> bool:
        """Has this file, by its real path, not been found yet? It is now."""
        key = _key(real)
        if key in self._alone or self._was_walked_past(real):
            return False
        self._alone.add(key)
        return True

    def came_alone(self, real: str) -> bool:
        """Was this file, by its real path, found on its own?"""
        return bool(self._alone) and _key(real) in self._alone

    def _was_walked_past(self, real: str) -> bool:
        parent, name = os.path.split(real)
        if self._parent is None or self._parent[0] != parent:  # files come folder by folder
            self._parent = (parent, self._folder_of(parent))
        folder = self._parent[1]
        return folder is not None and self._takes(folder, name)

    def _folder_of(self, parent: str) -> Folder | None:
        try:
            return self._walked.get(identity(parent, parent))
        except (OSError, ValueError):
            return None


def identity(path: str, real: str) -> Identity:
    """What tells a folder from every other one. Raises OSError."""
    found = os.stat(path)
    return (found.st_dev, found.st_ino) if found.st_ino else real  # some network file systems number nothing


def _key(real: str) -> bytes:
    return hashlib.blake2b(os.fsencode(real), digest_size=16).digest()
