"""The order of a line's stretches where scripts of both directions meet. Knows text and faces' cuts; no pixels.

Within a stretch, which is in one face, Raqm orders the characters by the Unicode bidirectional algorithm (UAX #9). Here
its rules are applied to whole stretches: one is right-to-left if it has a letter of such a script, neutral if it has no
letter at all; a neutral one goes with its neighbours where they agree, else with the paragraph.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Sequence
from itertools import groupby

# Hebrew, Arabic, Syriac, Thaana, N'Ko, Samaritan, Mandaic, their presentation forms; marks that set that direction.
RTL = re.compile(
    "[\u0590-\u08ff\u200f\u202b\u202e\u2067\ufb1d-\ufdff\ufe70-\ufefe\U00010800-\U00010fff\U0001e800-\U0001efff]"
)


def is_rtl(text: str) -> bool:
    """Whether a paragraph runs from right to left: by its first character with a direction (UAX #9, P2 and P3)."""
    if text.isascii() or not RTL.search(text):
        return False
    first = next((d for c in text if (d := unicodedata.bidirectional(c)) in ("L", "R", "AL")), "L")
    return first != "L"


def visual_order(texts: Sequence[str], *, rtl: bool) -> list[int]:
    """Indices of a line's stretches from left to right.

    Args:
        texts: the stretches in reading order.
        rtl: the paragraph runs from right to left.
    """
    backwards = _resolve([_direction(text) for text in texts], rtl=rtl)
    groups = [list(group) for _, group in groupby(range(len(texts)), key=backwards.__getitem__)]
    if rtl:
        groups.reverse()
    return [i for group in groups for i in (reversed(group) if backwards[group[0]] else group)]


def _direction(text: str) -> bool | None:
    """True from right to left, False from left to right, None for neither."""
    if RTL.search(text):
        return True
    return False if any(unicodedata.bidirectional(character) == "L" for character in text) else None


def _resolve(directions: Sequence[bool | None], *, rtl: bool) -> list[bool]:
    out: list[bool] = []
    for i, direction in enumerate(directions):
        if direction is None:
            before = out[-1] if out else rtl
            after = next((later for later in directions[i:] if later is not None), rtl)
            direction = before if before == after else rtl
        out.append(direction)
    return out
