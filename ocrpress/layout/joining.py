"""How two lines of one paragraph become one text: spaces, hyphens, scripts without spaces."""

from __future__ import annotations

import re

HYPHENS = "-\u00ad\u2010"
GLUED = ("/", "—", "_", "@")  # nothing is set between a line that ends with one of these and the next
SPACELESS = re.compile(r"[\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\u3000-\u303f\uff00-\uffef]")
# First parts of compounds that keep their hyphen when a line breaks after it.
_COMPOUNDS = """
all best cross ex far fast first free full half hard high ill large late left life light long low mid near new off old
one open quasi real right second self short single small so soft third three time two user vice well wide
"""
COMPOUNDS = frozenset(_COMPOUNDS.split())


def join_text(first: str, second: str) -> str:
    """Two neighbouring lines of a paragraph as one text.

    A hyphen at the end of the first goes if it only broke a word: a letter before it, a small letter after it, and no
    compound ("self-", "state-of-the-") that keeps its own.
    """
    first, second = first.rstrip(), second.lstrip()
    if not first or not second:
        return first or second
    if first[-1] in HYPHENS and len(first) > 1 and not first[-2].isspace():
        return (first[:-1] if _breaks_word(first, second) else first.rstrip("\u00ad")) + second
    if first.endswith(GLUED) or (SPACELESS.match(first[-1]) and SPACELESS.match(second[0])):
        return first + second
    return f"{first} {second}"


def _breaks_word(first: str, second: str) -> bool:
    word = first.split()[-1][:-1].lstrip("([{\"'“‘")
    if not (word and word[-1].isalpha() and second[0].islower()):
        return first[-1] == "\u00ad"
    return not (any(hyphen in word for hyphen in HYPHENS) or word.lower() in COMPOUNDS)
