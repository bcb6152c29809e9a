"""Whether an answer goes round in circles for good, seen from its tokens while it is being generated.

The n-gram rule sees only what comes round within its window. What is caught here would go on to the token limit, for
minutes, in a slot that other pages could have; whether the answer is worth anything is judged elsewhere, from the text.
"""

from __future__ import annotations

from array import array
from collections.abc import Sequence

RUN = 1024  # tokens that say the same thing again and again: no true page does, tables of empty cells included
COPIES = 4  # that the run holds at least
LOOK_EVERY = 256  # tokens
GRAM = 16  # tokens by whose last occurrence a period is found
_SIZE = array("q").itemsize


def is_endless(tokens: Sequence[int], run: int = RUN) -> bool:
    """Whether the last `run` tokens are one period, said COPIES times or more."""
    if len(tokens) < run:
        return False
    tail = array("q", tokens[-run:]).tobytes()
    gram = tail[-GRAM * _SIZE :]
    place = tail.rfind(gram, 0, -_SIZE)
    while place > 0 and place % _SIZE:  # between two tokens' bytes
        place = tail.rfind(gram, 0, place + len(gram) - 1)
    period = len(tail) - len(gram) - place
    return place >= 0 and period * COPIES <= len(tail) and tail[period:] == tail[:-period]
