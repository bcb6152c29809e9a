"""A batch's files where inputs, outputs or both are behind URLs. See `storage.Storage`."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

from ocrpress.errors import OcrpressError
from ocrpress.jobs.ahead import Ahead
from ocrpress.jobs.disk import MOST_SEEN, Disk
from ocrpress.jobs.finding.found import Found, LeftOut
from ocrpress.jobs.ledger.values import Stamp
from ocrpress.jobs.storage import Candidate
from ocrpress.jobs.urls.files import exists, is_url, joined, state_of
from ocrpress.jobs.urls.found import FoundUrl

if TYPE_CHECKING:
    from ocrpress.jobs.urls.out import UrlOut


@dataclass
class UrlStorage:
    """Inputs and outputs, of which some are behind URLs.

    Args:
        disk: what is on this machine; over `UrlOut.folder` where the outputs are not. Its `found` are the inputs if
            those are paths.
        found: the inputs if they are URLs; else None.
        out: where the outputs are, if it is a URL.
    """

    disk: Disk
    found: Iterator[Found | LeftOut] | None = None
    out: UrlOut | None = None
    _walk: Ahead[Found | LeftOut] | None = None

    def candidates(self) -> Iterator[Candidate | LeftOut]:
        """Inputs with their stamps, as they are found: of URLs, what the listing says."""
        if self.found is None:
            yield from self.disk.candidates()
            return
        self._walk = Ahead(lambda: self.found or iter(()), MOST_SEEN)
        for found in self._walk:
            if isinstance(found, LeftOut):
                yield found
            elif isinstance(found, FoundUrl) and found.stamp.size:
                yield Candidate(found, found.stamp)
            else:
                yield Candidate(found, None, "it is empty: give a document with pages", "empty")

    @property
    def seen(self) -> int:
        """How many inputs there are at least."""
        return self._walk.seen if self._walk else self.disk.seen

    @property
    def seen_all(self) -> bool:
        """Are those all?"""
        return self._walk.seen_all if self._walk else self.disk.seen_all

    def changed(self, path: str, stamp: Stamp) -> Stamp | None:
        """The stamp that the file has now, if it is another one."""
        if not is_url(path):
            return self.disk.changed(path, stamp)
        try:
            now = Stamp(*state_of(path))
        except OcrpressError:
            return None
        return None if now.digest == stamp.digest else now

    def gone(self, path: str) -> bool:
        """Is there no such file any more?"""
        if not is_url(path):
            return self.disk.gone(path)
        try:
            return not exists(path)
        except OcrpressError:
            return False

    @property
    def holds_inputs(self) -> bool:
        """Results behind URLs do not lie beside documents: that is refused before."""
        return self.disk.holds_inputs and self.out is None

    def has(self, output: str, size: int = 0) -> bool:
        """Is there a file of that name where outputs are, and not an empty one where there was something?"""
        return self.out.has(output, size) if self.out else self.disk.has(output, size)

    def write(self, output: str, data: bytes) -> None:
        """Write an output, whole or not at all."""
        if self.out:
            self.out.write(output, data)
        else:
            self.disk.write(output, data)

    def close(self) -> None:
        """Have all outputs where they survive: a store that has taken one has it."""
        self.disk.close()

    def figures(self, output: str) -> tuple[str, str]:
        """Folder for the figures of an output, beside it, and how their names begin."""
        folder, prefix = self.disk.figures(output)
        if self.out:
            folder = joined(self.out.url, f"{output.rpartition('.')[0]}.figures")
        return folder, prefix
