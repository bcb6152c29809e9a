"""Who is to blame for processes that were lost: a page, or the engine. It counts, and knows nothing of processes."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection

from ocrpress.jobs.reading.held import Place

CRASH, LATE, MEMORY, BROKEN = "crash", "time limit", "out of memory", "engine error"  # how a process was lost
BARREN = 3  # processes in succession that no page is to blame for, or that gave up: the engine cannot run
FEW, MANY = 3, 10  # pages in succession that ended their processes: then other documents are tried; then it is the end


class Losses:
    """The processes that were lost.

    A page is guilty only if the process was at nothing else; so suspects must be read by themselves. A loss that it
    shared with others is its own then, too.

    Args:
        tries: how many losses condemn a page; for an engine that gives up, fewer than end the batch.
    """

    def __init__(self, tries: int) -> None:
        self._tries = tries
        self._times: Counter[Place] = Counter()
        self._shared: list[set[Place]] = []  # suspects of losses that nobody is guilty of yet
        self._unexplained = 0
        self._condemned: list[Place] = []  # in succession
        self.ever_read = False

    def read(self) -> None:
        """The engine has read a page."""
        self.ever_read = True
        self._unexplained = 0
        self._condemned.clear()

    def clear(self, place: Place) -> None:
        """A page has come; a document is open."""
        del self._times[place]
        self._shared = [rest for suspects in self._shared if (rest := suspects - {place})]

    def forget(self, document: int) -> None:
        """It is settled."""
        for place in {place for places in (self._times, *self._shared) for place in places if place[0] == document}:
            self.clear(place)

    def lost(self, suspects: Collection[Place], cause: str) -> Place | None:
        """A process is lost. Returns the page that is condemned for it, if it is certain which one that is."""
        self._unexplained += cause == BROKEN or not suspects
        if len(suspects) != 1:
            self._shared += [set(suspects)] if suspects else []
            return None
        (guilty,) = suspects
        self._times[guilty] += 1 + sum(guilty in shared for shared in self._shared)
        self._shared = [shared for shared in self._shared if guilty not in shared]
        if self._times[guilty] < (min(self._tries, BARREN - 1) if cause == BROKEN else self._tries):
            return None
        if cause != BROKEN:
            self._condemned.append(guilty)
        return guilty

    def times(self, place: Place) -> int:
        """How many losses it is guilty of."""
        return self._times[place]

    @property
    def afflicted(self) -> set[int]:
        """Documents whose pages ended process after process: others may show whether the engine still runs."""
        return {document for document, _ in self._condemned} if len(self._condemned) >= FEW else set()

    @property
    def hopeless(self) -> bool:
        """Is it the engine, rather than pages of one document?"""
        many = len(self._condemned) >= MANY
        return self._unexplained >= BARREN or (many and (len(self.afflicted) >= FEW or not self.ever_read))
