"""How often a page is asked for, how long it is waited for, and what is worth another try."""

from __future__ import annotations

import math
import random
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Literal

from ocrpress.errors import PageError

Trouble = Literal["unreachable", "stalled", "busy", "broken"]


class TryError(PageError):
    """One try that failed and may do better the next time.

    Attributes:
        trouble: "unreachable" (no connection), "stalled" (no whole answer in time), "busy" (the endpoint said that it
            cannot now), "broken" (the connection was cut off, or the answer makes no sense).
        after: seconds that the endpoint asked to wait.
    """

    def __init__(self, trouble: Trouble, message: str, after: float | None = None) -> None:
        super().__init__(message)
        self.trouble = trouble
        self.after = after


@dataclass(frozen=True)
class Patience:
    """Limits of all that is tried again. Delays double from try to try.

    Attributes:
        tries: how often a page is asked for in all.
        stalls: the same for an answer that does not come in time: what took too long once mostly does so again.
        first_tries: the same as long as the endpoint has never been reached: mostly the address is wrong.
        lost_pages: pages in a row that could not be sent at all, after which the endpoint is given up.
        delay: seconds before the second try.
        longest: seconds, the longest of all delays; an endpoint that asks for more is not waited for.
        connect: seconds in which a connection must stand.
        chance: a number from 0 to 1; shortens a delay to as little as half, so that pages do not come back all at once.
    """

    tries: int = 6
    stalls: int = 2
    first_tries: int = 3
    lost_pages: int = 3
    delay: float = 1.0
    longest: float = 60.0
    connect: float = 10.0
    chance: Callable[[], float] = random.random

    def again_in(self, failure: TryError, tried: int, reached: bool) -> float | None:
        """Seconds until the next try; None if there is none.

        Args:
            tried: how often it was tried, 1 or more.
            reached: whether the endpoint has ever been reached.
        """
        limit = self.tries
        if failure.trouble == "stalled":
            limit = min(limit, self.stalls)
        if not reached:
            limit = min(limit, self.first_tries)
        if tried >= limit or (failure.after or 0.0) > self.longest:
            return None
        delay = min(self.longest, self.delay * 2.0 ** (tried - 1)) * (0.5 + 0.5 * self.chance())
        return delay if failure.after is None else failure.after + min(delay, self.delay)


def retry_after(value: str | None) -> float | None:
    """Seconds from a Retry-After header: a number, or a date (RFC 9110, section 10.2.3); None if it is neither."""
    if not value:
        return None
    try:
        seconds = float(value)
    except ValueError:
        try:
            date = parsedate_to_datetime(value)
        except ValueError:
            return None
        seconds = (date.replace(tzinfo=date.tzinfo or UTC) - datetime.now(UTC)).total_seconds()
    return max(0.0, seconds) if math.isfinite(seconds) else None
