"""How to ask again for a page whose answer was rejected: rung after rung, until one is taken or none is left.

    the checkpoint's own recipe ─▶ a stronger n-gram rule ─▶ rising temperatures ─▶ larger modes ─▶ the embedded engine

Data and arithmetic only. What to do with the last rung, another engine, is the pipeline's affair.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from ocrpress.document import Decoding, Fault
from ocrpress.errors import UsageError, unknown
from ocrpress.modes import MODES, plan

NO_FALLBACK = "none"
FALLBACKS = ("rapid", NO_FALLBACK)
MOST_TEMPERATURE = 2.0


@dataclass(frozen=True)
class Ladder:
    """How often, and in which ways, a page is asked for again. Defaults live here and nowhere else.

    The stronger rule: the published one (no 30 tokens twice within 90) sees only loops shorter than 60 tokens. This one
    sees those of up to half a page, and bites after about a line; a true text that says a line twice within half a page
    suffers from it, so it is for pages that have failed once.

    Attributes:
        retries: further tries of the same engine, at most; 0 takes the first answer or none. Five is the stronger
            rule, three temperatures and the next larger mode.
        ngram, window: the stronger n-gram rule, in tokens; it holds for every further try.
        temperatures: of the tries that draw their tokens, in turn.
        fallback: name of the engine that reads what this one cannot; "none" for no other.
    """

    retries: int = 5
    ngram: int = 16
    window: int = 512
    temperatures: tuple[float, ...] = (0.2, 0.5, 0.8)
    fallback: str = "rapid"

    def __post_init__(self) -> None:
        """Refuse figures out of range and unknown engines (UsageError)."""
        if self.retries < 0:
            raise UsageError(f"retries is {self.retries}", "it must be 0 or more")
        if not all(0 < temperature <= MOST_TEMPERATURE for temperature in self.temperatures):
            raise UsageError(
                f"temperatures are {self.temperatures}", f"they must be above 0, up to {MOST_TEMPERATURE:g}"
            )
        if self.fallback not in FALLBACKS:
            raise unknown("fallback", self.fallback, FALLBACKS)


@dataclass(frozen=True)
class Rung:
    """One way to ask.

    Attributes:
        kind: "own" (the checkpoint's recipe), "rule", "temperature" or "mode".
        place: on the ladder, from 0.
    """

    kind: Literal["own", "rule", "temperature", "mode"]
    mode: str
    decoding: Decoding
    place: int = 0


def first_rung(mode: str, max_tokens: int | None = None) -> Rung:
    """The first try: the checkpoint's own recipe.

    Args:
        max_tokens: longest answer of this and all further tries; None leaves it to the checkpoint.
    """
    return Rung("own", mode, Decoding(max_tokens=max_tokens))


def next_rung(
    ladder: Ladder,
    rung: Rung,
    fault: Fault,
    size: tuple[int, int],
    modes: Sequence[str],
    max_tiles: int | None = None,
) -> Rung | None:
    """The next way to ask after an answer was rejected, or None at the end of the ladder.

    Drawing tokens cannot help against an error (a page too long, a server in trouble, no numbers), nor an n-gram rule
    against an empty answer: such rungs are left out.

    Args:
        rung: the try that was rejected.
        size: of the page image in pixels; a mode that would not see more of it is no rung.
        modes: those that the engine reads.
    """
    draws = len(ladder.temperatures)
    for place in range(rung.place + 1, ladder.retries + 1):
        if place <= 1 + draws and (fault == "error" or (place == 1 and fault == "empty")):
            continue
        temperature = ladder.temperatures[place - 2] if 2 <= place <= 1 + draws else 0.0
        tokens = rung.decoding.max_tokens
        decoding = Decoding(temperature, ladder.ngram, ladder.window, tokens, seed=place)
        if place <= 1 + draws:
            return Rung("rule" if place == 1 else "temperature", rung.mode, decoding, place)
        larger = larger_mode(rung.mode, size, modes, max_tiles)
        return Rung("mode", larger, decoding, place) if larger else None
    return None


def larger_mode(mode: str, size: tuple[int, int], modes: Sequence[str], max_tiles: int | None) -> str | None:
    """The next mode of the table that sees more of a page of that size in pixels; None if there is none."""
    names = list(MODES)
    if mode not in names:
        return None
    tokens = plan(*size, mode, max_tiles).vision_tokens
    larger = (name for name in names[names.index(mode) + 1 :] if name in modes)
    return next((name for name in larger if plan(*size, name, max_tiles).vision_tokens > tokens), None)
