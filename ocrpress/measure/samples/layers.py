"""PDFs -> samples: a page's text layer is its truth, where it can be trusted. Pages that have none are left out.

What is not truth: no layer; a layer that `trust` doubts; text in invisible ink or under a picture of the page, mostly
what another program read in a scan; a few words on a page with much more ink than they need. The order of the text is
that of the file.
"""

from __future__ import annotations

import re
from collections.abc import Generator, Sequence
from contextlib import closing
from pathlib import Path

from ocrpress.document import UnreadablePage
from ocrpress.layout.joining import join_text
from ocrpress.measure.samples.sample import LeftOut, Sample, natural
from ocrpress.measure.samples.trust import distrust
from ocrpress.measure.tokens import Counter
from ocrpress.quality.ink import count_letters
from ocrpress.sources.base import SourceOptions
from ocrpress.sources.layer import BROKEN_WORD, Layer
from ocrpress.sources.pdf import PdfSource

PAGE_SECONDS = 30.0  # for one layer; ordinary ones take milliseconds
MOST_HIDDEN = 0.02  # of the text objects
FULL_OF_TEXT = 1000  # letters; of a page with so many the ink is not asked
INK_RATIO = 5  # letters that the ink could be, for one in the layer; contents with rows of dots reach 3
INK_EXCESS = 150  # letters

_BROKEN = re.compile(rf"(\S*){BROKEN_WORD}\s*(\S*)")


def pdf_samples(
    file: str, counter: Counter, most: int | None = None, password: str | None = None
) -> tuple[list[Sample], list[LeftOut]]:
    """The pages of a PDF with their text layers, in page order, and what of it was left out.

    Args:
        most: stop after so many samples.

    Raises:
        PasswordError: encrypted, and the password is missing or wrong.
        InputError: it cannot be opened.
    """
    path = Path(file).absolute()
    samples: list[Sample] = []
    doubts: list[tuple[int, str]] = []
    source = PdfSource(str(path), file, SourceOptions(mode="base", password=password, page_seconds=PAGE_SECONDS), None)
    with closing(source), closing(_judged(source)) as pages:
        for number, text, doubt in pages:
            if doubt:
                doubts.append((number, doubt))
                continue
            tokens = counter.count(text)
            where = {"file": str(path), "page": number, "password": password}
            samples.append(natural(f"{path.name}:{number}", text, tokens, "pdf", **where))
            if len(samples) == most:
                break
    return samples, [(f"{path.name} {_pages(numbers)}", why) for numbers, why in _runs(doubts)]


def _judged(source: PdfSource) -> Generator[tuple[int, str, str], None, None]:
    """(page number, its text, why it is not the truth or nothing) of every page."""
    with closing(source.layers()) as layers:
        for layer in layers:
            if isinstance(layer, UnreadablePage):
                yield layer.number, "", f"its text layer cannot be read ({layer.error})"
            else:
                text = _BROKEN.sub(lambda word: join_text(f"{word[1]}-", word[2]), layer.text).strip()
                yield layer.number, text, _doubt(layer, text, source)


def _doubt(layer: Layer, text: str, source: PdfSource) -> str:
    why = distrust(text)
    if why:
        return why
    if layer.hidden > MOST_HIDDEN:
        return "its text layer holds text that cannot be seen"
    letters = sum(char.isalpha() for char in text)
    if letters < FULL_OF_TEXT:
        page = source.redraw(layer.number, "base")
        inked = count_letters(page.image) if page else 0
        if inked > INK_RATIO * letters and inked > letters + INK_EXCESS:
            return "its text layer has a small part of what stands there"
    return ""


def _runs(doubts: Sequence[tuple[int, str]]) -> list[tuple[list[int], str]]:
    """The page numbers of every reason, each reason once, in the order in which they came up."""
    found: dict[str, list[int]] = {}
    for number, why in doubts:
        found.setdefault(why, []).append(number)
    return [(numbers, why) for why, numbers in found.items()]


def _pages(numbers: Sequence[int]) -> str:
    """Page numbers as one writes them: "page 3", "pages 3-5, 9"."""
    ranges: list[list[int]] = []
    for number in numbers:
        if ranges and number == ranges[-1][1] + 1:
            ranges[-1][1] = number
        else:
            ranges.append([number, number])
    written = ", ".join(str(first) if first == last else f"{first}-{last}" for first, last in ranges)
    return f"page{'s' if len(numbers) > 1 else ''} {written}"
