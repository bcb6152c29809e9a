"""Variants of a text: the same page without its sense, to tell what a model reads from what it guesses.

    natural   the text as it is
    shuffled  the same words in an order drawn at random: words can still be guessed, sentences no more
    random    every word exchanged for random letters, as many as it had characters: nothing can be guessed

White space stays where it was, so a variant has as many words, characters and paragraphs as the text it comes from.
Where words are not parted by spaces (Chinese, Japanese), every character counts as a word.
"""

from __future__ import annotations

import random
import re
import string
import unicodedata

NATURAL, SHUFFLED, RANDOM = "natural", "shuffled", "random"
VARIANTS = (NATURAL, SHUFFLED, RANDOM)

_SPACELESS = "\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\u3000-\u303f\uff00-\uffef"
_WORD = re.compile(rf"[{_SPACELESS}]|[^\s{_SPACELESS}]+")


def vary(text: str, variant: str, name: str, seed: int) -> str:
    """A variant of a text.

    Args:
        variant: of VARIANTS.
        name: of the page; with the seed it decides every draw, so that a page has the same variants in any company.
    """
    if variant == NATURAL:
        return text
    chance = random.Random(f"{seed}/{name}/{variant}")  # noqa: S311, no secret
    return _shuffled(text, chance) if variant == SHUFFLED else _random(text, chance)


def _shuffled(text: str, chance: random.Random) -> str:
    """All words of the text in another order, each with the punctuation that it carries."""
    words = _WORD.findall(text)
    chance.shuffle(words)
    drawn = iter(words)
    return _WORD.sub(lambda _: next(drawn), text)


def _random(text: str, chance: random.Random) -> str:
    """Random letters in words of the same lengths, punctuation included.

    Letters are a to z and A to Z, each as likely as any, as on the random pages of the critics of the published curve.
    A word with letters of another script gets letters of the page's own outside Latin.
    """
    others = sorted(char for char in set(text) if _is_foreign(char))

    def exchanged(word: re.Match[str]) -> str:
        foreign = not word[0].isascii() and any(map(_is_foreign, word[0]))
        return "".join(chance.choices(others if foreign else string.ascii_letters, k=len(word[0])))

    return _WORD.sub(exchanged, text)


def _is_foreign(char: str) -> bool:
    """A letter outside Latin."""
    return char.isalpha() and not char.isascii() and not unicodedata.name(char, "LATIN").startswith("LATIN")
