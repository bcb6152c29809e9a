"""How many tokens a document was read through, and how many its text would have cost: the ratios of the paper.

Told three ways, always together, as everywhere in ocrpress: see `measure.page_costs`. Blocks for as long as it takes to
count the tokens of a text, some milliseconds a page: for threads.
"""

from __future__ import annotations

import functools
import logging
from collections.abc import Sequence
from typing import Any

from ocrpress.document import PageResult
from ocrpress.errors import OcrpressError
from ocrpress.measure.accuracy import fold
from ocrpress.measure.tokens import Counter, open_counter

log = logging.getLogger("ocrpress.server")


def compression(pages: Sequence[PageResult]) -> dict[str, Any]:
    """Counts and ratios of the pages that went through vision tokens; of all pages if none did ("native").

    Returns:
        pages: how many are counted; text_tokens: of their plain text without running heads and page numbers, null where
        nothing is installed that counts; characters: of the same, runs of white space once; vision_tokens,
        valid_tokens, sequence_tokens: see `modes.Plan`; tokens_per_vision_token, tokens_per_sequence_token,
        characters_per_vision_token: null where nothing is to be divided by; counter: what counted text tokens, or null.
    """
    plans = [page.plan for page in pages if page.plan and page.plan.vision_tokens]
    counted = [page for page in pages if page.plan and page.plan.vision_tokens] if plans else list(pages)
    texts = [page.text for page in counted if page.status == "ok"]
    counter = token_counter()
    tokens = sum(map(counter.count, texts)) if counter else None
    characters = sum(len(fold(text)) for text in texts)
    vision = sum(plan.vision_tokens for plan in plans)
    sequence = sum(plan.sequence_tokens for plan in plans)
    return {
        "pages": len(counted),
        "text_tokens": tokens,
        "characters": characters,
        "vision_tokens": vision,
        "valid_tokens": sum(plan.valid_tokens for plan in plans),
        "sequence_tokens": sequence,
        "tokens_per_vision_token": _ratio(tokens, vision),
        "tokens_per_sequence_token": _ratio(tokens, sequence),
        "characters_per_vision_token": _ratio(characters, vision),
        "counter": counter.name if counter else None,
    }


@functools.cache
def token_counter() -> Counter | None:
    """What counts tokens; None where nothing is installed that does. To open it takes a second."""
    try:
        return open_counter()
    except OcrpressError as error:
        log.warning("text tokens are not counted: %s", error)
        return None


def _ratio(part: int | None, whole: int) -> float | None:
    return round(part / whole, 4) if part is not None and whole else None
