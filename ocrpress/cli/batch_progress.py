"""How far a batch is, on stderr: a live line on a terminal, else plain lines at growing intervals. Nothing if quiet."""

from __future__ import annotations

import sys
import time
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TextIO

from ocrpress.cli.say import say
from ocrpress.jobs.report.words import SECONDS_A_DAY, duration, number, rate, short

if TYPE_CHECKING:
    from types import TracebackType
    from typing import Self

LIVE_SECONDS = 0.5  # between two looks of the live line
FIRST_SECONDS, LAST_SECONDS = 30.0, 300.0  # between two plain lines: at first, and in the end
GROWTH = 5  # the pause before the next plain line is a fifth of the time gone by
RECENT = 60.0  # seconds that pages a second are taken over
REMEMBERED = 600.0  # seconds that documents a second are taken over
SAMPLE_SECONDS = 1.0
BAR_WIDTH = 15  # characters, with its percentage
WORTH_SAYING = 60.0  # seconds; a lower bound below this says nothing


@dataclass(frozen=True)
class Standing:
    """How far the batch is; see `Progress.update`."""

    documents_done: int = 0
    documents_found: int = 0
    more: bool = True
    pages_done: int = 0
    pages_known: int = 0
    failed: int = 0
    skipped: int = 0


class Speed:
    """Pages and documents a second, from looks at the standing. Knows no clock."""

    def __init__(self) -> None:
        self._looks: deque[tuple[float, int, int]] = deque()

    def look(self, now: float, standing: Standing) -> None:
        """Take note; what is too long ago is forgotten."""
        if self._looks and now - self._looks[-1][0] < SAMPLE_SECONDS:
            return
        self._looks.append((now, standing.pages_done, standing.documents_done - standing.skipped))
        while len(self._looks) > 2 and now - self._looks[1][0] >= REMEMBERED:
            self._looks.popleft()

    def pages(self, now: float, standing: Standing) -> float:
        """Pages a second over the last minute; 0 if nothing is known."""
        since = next((look for look in self._looks if now - look[0] <= RECENT), None)
        if since is None or now <= since[0]:
            return 0.0
        return (standing.pages_done - since[1]) / (now - since[0])

    def seconds_left(self, now: float, standing: Standing) -> tuple[float, bool] | None:
        """How long it will take, and whether it may take longer than that; None if there is nothing to go by.

        The pages that are known at the speed of the pages, or the documents at the speed of the documents, whichever
        takes longer. Without a document done the second is not known.
        """
        pages_a_second = self.pages(now, standing)
        if pages_a_second <= 0:
            return None
        by_pages = max(0, standing.pages_known - standing.pages_done) / pages_a_second
        left = standing.documents_found - standing.documents_done
        then, _, before = self._looks[0]
        done = standing.documents_done - standing.skipped - before
        by_documents = left * (now - then) / done if done > 0 else 0.0
        return max(by_pages, by_documents), standing.more or (left > 1 and done <= 0)


class Progress:
    """A context. `update` may be called as often as one likes: it does little until it is time to show something.

    Args:
        quiet: show nothing at all.
        stream: where to; stderr if None.
        clock: seconds, monotonic; and the time of day as "12:01:05".
    """

    def __init__(
        self,
        quiet: bool = False,
        stream: TextIO | None = None,
        clock: Callable[[], float] = time.monotonic,
        time_of_day: Callable[[], str] = lambda: time.strftime("%H:%M:%S"),
    ) -> None:
        self._stream = sys.stderr if stream is None else stream
        self._quiet = quiet or self._stream is None
        self._clock, self._time_of_day = clock, time_of_day
        self._speed, self._standing = Speed(), Standing()
        self._bar: Any = None
        self._started = self._shown = clock()
        self._live = not self._quiet and _is_terminal(self._stream)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Wipe the live line off, however the batch ended."""
        self._wipe()

    def update(
        self,
        documents_done: int,
        documents_found: int,
        more: bool,
        pages_done: int,
        pages_known: int,
        failed: int,
        *,
        skipped: int = 0,
    ) -> None:
        """Say how far it is.

        Args:
            documents_done: settled, of the `documents_found`; `more` may yet be found.
            pages_done: read in this run, of the `pages_known` that it has to read in the documents opened so far.
            failed: pages and documents.
            skipped: of documents_done, those with which this run had nothing to do; they say nothing of its speed.
        """
        if self._quiet:
            return
        now = self._clock()
        self._standing = Standing(documents_done, documents_found, more, pages_done, pages_known, failed, skipped)
        self._speed.look(now, self._standing)
        if self._live:
            if self._bar is None or now - self._shown >= LIVE_SECONDS:
                self._shown = now
                self._draw(now)
        elif now - self._shown >= min(max(FIRST_SECONDS, (self._shown - self._started) / GROWTH), LAST_SECONDS):
            self._shown = now
            self._print(f"{self._time_of_day()} {describe(self._standing, self._speed, now)}")

    def say(self, message: str) -> None:
        """A line of the program's own above the live line, even if quiet."""
        if self._bar is not None:
            self._bar.clear()
        say(message)
        if self._bar is not None:
            self._bar.refresh()

    def finish(self, summary: str) -> None:
        """Wipe the live line off and say, in a line, how it ended; nothing if quiet."""
        self._wipe()
        if summary and not self._quiet:
            say(summary)

    def _draw(self, now: float) -> None:
        from shutil import get_terminal_size

        standing, size = self._standing, get_terminal_size()  # never 0, whatever the terminal says of itself
        if self._bar is None:
            from tqdm import tqdm

            self._bar = tqdm(file=self._stream, leave=False, bar_format="{desc}", total=1, position=0, nrows=size.lines)
        bar = self._bar
        bar.ncols = size.columns - 1
        bar.desc = describe_briefly(standing, self._speed, now)[: bar.ncols]
        bar.total, bar.n = standing.documents_found or 1, min(standing.documents_done, standing.documents_found)
        # A bar of documents: how many pages there will be, nobody knows. The words come first where both have no room.
        drawn = standing.documents_found and not standing.more and len(bar.desc) + BAR_WIDTH <= bar.ncols
        bar.bar_format = "{percentage:3.0f}%|{bar:8}| {desc}" if drawn else "{desc}"
        with suppress(OSError, ValueError):
            bar.refresh()

    def _print(self, line: str) -> None:
        """A stderr that is closed or full is nobody's error."""
        with suppress(OSError, ValueError):
            print(line, file=self._stream, flush=True)

    def _wipe(self) -> None:
        if self._bar is not None:
            with suppress(OSError, ValueError):
                self._bar.close()
            self._bar = None


def describe(standing: Standing, speed: Speed, now: float) -> str:
    """The standing in a line."""
    plus = "+" if standing.more else ""
    words = [
        f"documents {standing.documents_done:,} of {standing.documents_found:,}{plus}",
        f"pages {standing.pages_done:,}",
        rate(speed.pages(now, standing)),
        f"{standing.failed:,} failed",
        *_left(standing, speed, now),
    ]
    return ", ".join(words)


def describe_briefly(standing: Standing, speed: Speed, now: float) -> str:
    """The standing in half a line, what matters most first: the end may be cut off."""
    plus, pages = "+" if standing.more else "", speed.pages(now, standing)
    words = [
        f"{standing.documents_done:,}/{standing.documents_found:,}{plus} documents",
        f"{standing.pages_done:,} pages",
        f"{number(pages)}/s",
        f"{short(pages * SECONDS_A_DAY)}/day",
        f"{standing.failed:,} failed",
        *_left(standing, speed, now),
    ]
    return ", ".join(words)


def _left(standing: Standing, speed: Speed, now: float) -> list[str]:
    left = speed.seconds_left(now, standing)
    if left is None or (left[1] and left[0] < WORTH_SAYING):
        return []
    return [f"{'over' if left[1] else 'about'} {duration(left[0])} left"]


def _is_terminal(stream: TextIO) -> bool:
    with suppress(OSError, ValueError, AttributeError):
        return stream.isatty()
    return False
