"""Texts -> pages to be set: in which type a text and its variants stand on one page each, and what they then print."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from functools import reduce
from itertools import islice

from ocrpress.errors import InputError
from ocrpress.layout.joining import join_text
from ocrpress.measure.samples.sample import LeftOut, Sample
from ocrpress.measure.samples.texts import plain_text
from ocrpress.measure.samples.variants import NATURAL, VARIANTS, vary
from ocrpress.measure.tokens import Counter
from ocrpress.typeset import lay_out, missing
from ocrpress.typeset.style import Style

SMALLEST = 6.0  # points; or the size asked for, if that is smaller
STEP = 0.5  # points
MOST_LACKING = 0.01  # of a text's characters: those without a shape in the font
_ROUNDS = 3  # of setting what was printed once more

Twins = tuple[Sample, ...]  # a page in every variant, in the order of VARIANTS


def set_samples(
    samples: Sequence[Sample], style: Style, seed: int, counter: Counter, most: int | None = None
) -> tuple[list[Twins], list[LeftOut]]:
    """Natural samples to be set in a style, with their variants: each on one page, in smaller type where it must be.

    Twins are set alike, in a size in which every variant fits. Characters that the font lacks go, where they are few.

    Args:
        most: stop after so many.

    Returns:
        twins; and which samples cannot be set, and why.
    """
    kept: list[Twins] = []
    left_out: list[LeftOut] = []
    for sample in samples:
        if len(kept) == most:
            break
        try:
            kept.append(_twins(sample, style, seed, counter))
        except InputError as error:
            left_out.append((sample.name, error.message))
    return kept, left_out


def _twins(sample: Sample, style: Style, seed: int, counter: Counter) -> Twins:
    """Raises InputError for a sample that cannot be set."""
    text = _with_shapes(plain_text(sample.text, markdown=False), style)
    fitted = None
    if sample.origin != "typeset":  # the line ends are those of another page, and may be given up
        fitted = fit(_variants(text, sample, seed), style, smallest=style.size)
        text = "\n\n".join(reduce(join_text, part.split("\n")) for part in text.split("\n\n"))
    fitted = fitted or fit(_variants(text, sample, seed), style)
    if fitted is None:
        raise InputError(f"it does not fit on one page in type of {min(SMALLEST, style.size):g} points")
    smaller, printed = fitted
    made = replace(sample, origin="typeset", style=smaller, file="", page=1, password=None)
    twins = []
    for variant, shown in zip(VARIANTS, printed, strict=True):
        tokens = sample.text_tokens if variant == NATURAL else counter.count(shown)
        twins.append(replace(made, variant=variant, text=shown, text_tokens=tokens))
    return tuple(twins)


def _variants(text: str, sample: Sample, seed: int) -> list[str]:
    return [vary(text, variant, sample.name, seed) for variant in VARIANTS]


def fit(texts: Sequence[str], style: Style, smallest: float = SMALLEST) -> tuple[Style, list[str]] | None:
    """The style in the largest size, up to its own, in which each of the texts stands on one page; and what is printed.

    None if there is no such size from the smallest on.
    """
    for smaller in _smaller(style, smallest):
        printed: list[str] = []
        for text in reversed(texts):  # the last one is the widest, mostly: if it does not fit, no other need be tried
            found = _on_one_page(text, smaller)
            if found is None:
                break
            printed.append(found)
        else:
            return smaller, printed[::-1]
    return None


def _smaller(style: Style, smallest: float) -> Iterator[Style]:
    size = style.size
    while size >= min(smallest, style.size):
        yield replace(style, size=size)
        size -= STEP


def _on_one_page(text: str, style: Style) -> str | None:
    """A text that prints what it says, on one page: this one, or what is printed of it. None if it needs more pages."""
    for _ in range(_ROUNDS):
        sheet, *more = islice(lay_out(text, style), 2)
        if more:
            return None
        if sheet.text.split() == text.split():
            return text
        text = sheet.text
    return None


def _with_shapes(text: str, style: Style) -> str:
    """The text without the few characters that the font lacks. Raises InputError if they are many."""
    lacking = set(missing(text, style))
    count = sum(char in lacking for char in text)
    if count > MOST_LACKING * len(text):
        named = "".join(sorted(lacking)[:8])
        raise InputError(f"the font {style.font} lacks {count} of its {len(text)} characters ({named})")
    return "".join(char for char in text if char not in lacking) if count else text
