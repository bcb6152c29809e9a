"""What set pages cost: characters and text tokens on one side, a mode's tokens on the other, and the ratios.

Compression is told three ways, always together: text tokens a vision token is the published figure, text tokens a
sequence token what the decoder pays, characters a vision token fair to text that tokenizes badly.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from ocrpress.modes import DEFAULT_MAX_TILES, plan


@dataclass(frozen=True)
class Cost:
    """One page, or the sum of several, in one mode.

    Attributes:
        characters: of the text as `accuracy.fold` has it: runs of white space count once.
        vision_tokens, valid_tokens, sequence_tokens: see `Plan`.
    """

    mode: str
    pages: int
    tiles: int
    characters: int
    text_tokens: int
    vision_tokens: int
    valid_tokens: int
    sequence_tokens: int

    @property
    def tokens_per_vision_token(self) -> float:
        """Text tokens / vision tokens."""
        return self.text_tokens / self.vision_tokens

    @property
    def tokens_per_sequence_token(self) -> float:
        """Text tokens / tokens in the decoder's sequence."""
        return self.text_tokens / self.sequence_tokens

    @property
    def characters_per_vision_token(self) -> float:
        """Characters / vision tokens."""
        return self.characters / self.vision_tokens


def page_cost(
    size: tuple[int, int], mode: str, characters: int, text_tokens: int, max_tiles: int = DEFAULT_MAX_TILES
) -> Cost:
    """What one page costs.

    Args:
        size: of the page in pixels, as the mode is given it.
        mode: a name of MODES.
    """
    made = plan(*size, mode, max_tiles)
    return Cost(
        mode, 1, made.tiles, characters, text_tokens, made.vision_tokens, made.valid_tokens, made.sequence_tokens
    )


def total(costs: Iterable[Cost]) -> Cost:
    """The sum of one or more costs in the same mode. Raises ValueError for none, or for several modes."""
    found = list(costs)
    if len({cost.mode for cost in found}) != 1:
        raise ValueError("a total is of one mode")
    names = ("pages", "tiles", "characters", "text_tokens", "vision_tokens", "valid_tokens", "sequence_tokens")
    return Cost(found[0].mode, *(sum(getattr(cost, name) for cost in found) for name in names))
