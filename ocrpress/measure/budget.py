"""A number of vision tokens -> the mode and the type size in which a whole text fits into them, as readable as can be.

Readable is large type, in pixels of what the mode sees: pages have its own pixels, so nothing is resampled. Pages
are counted by laying them out; where to begin, a few pages of the text tell.
"""

from __future__ import annotations

import math
from bisect import bisect_left, bisect_right
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, NoReturn

from ocrpress.errors import UsageError, unknown
from ocrpress.modes import DEFAULT_MAX_TILES, MODES, Mode, plan
from ocrpress.typeset import check_style, lay_out, page_size
from ocrpress.typeset.style import Style

if TYPE_CHECKING:
    from ocrpress.typeset.sheet import Sheet

DPI = 72.0  # a point is then a pixel
SMALLEST, LARGEST = 6.0, 32.0  # pixels: below, letters run together; above, nothing gets more readable
_STEP = 0.1  # pixels
_START = 12.0  # pixels, where guessing begins
_SAMPLE = 6_000  # characters, whose pages tell how much text a page holds
_ROUGHLY, _NEARLY = 0.8, 0.9  # of the best: pages that promise less are not tried
_ALIKE = 0.97  # of the largest type: nobody sees the difference, but everybody waits for the pages
_ALMOST = 0.999  # a share that is not all
_PATIENCE = 4  # looks that follow the guesses
_SIZES = tuple(round(SMALLEST + _STEP * step, 1) for step in range(round((LARGEST - SMALLEST) / _STEP) + 1))


@dataclass(frozen=True)
class Fit:
    """How a text fits.

    Attributes:
        style: sets the text in `pages` pages of the mode's own pixels; a point is a pixel.
        page_tokens: vision tokens of one page.
    """

    mode: str
    style: Style
    pages: int
    page_tokens: int

    @property
    def vision_tokens(self) -> int:
        """Of all pages."""
        return self.pages * self.page_tokens


def fit_budget(
    text: str, budget: int, style: Style = Style(), modes: Sequence[str] = tuple(MODES), *,  # noqa: B008 - frozen
    markdown: bool = False, max_tiles: int = DEFAULT_MAX_TILES, fixed_size: bool = False,
    tried: Callable[[], object] = lambda: None,
) -> Fit:  # fmt: skip
    """The largest type in which the text fits into so many vision tokens; of almost equals the one with fewer pages.

    Args:
        budget: vision tokens of all pages together, 1 or more.
        style: how the text is set. A page that is a mode's is kept, any other left to the search; so is the size,
            unless `fixed_size`: then it is in pixels.
        modes: to choose from.
        tried: called for every page that is laid out.

    Raises:
        UsageError: it does not fit; says how many vision tokens it takes at least. Or a style that cannot be.
        InputError: the text has no printable characters.
    """
    if budget < 1:
        raise UsageError(f"a budget of {budget} vision tokens", "it must be 1 or more")
    sizes = (style.size,) if fixed_size else _SIZES
    search = _Search(text, markdown, sizes, tried)
    papers = _papers(style, modes, max_tiles)
    return search.best(papers, budget) or _refuse(budget, search.cheapest(papers))


@dataclass(frozen=True)
class _Paper:
    """A page that a mode sees pixel for pixel, and what it costs."""

    mode: str
    style: Style
    tokens: int


class _Search:
    """Lays one text out in many styles and counts its pages.

    Args:
        sizes: of type to choose from, in pixels, rising.
        tried: called for every page.
    """

    def __init__(self, text: str, markdown: bool, sizes: Sequence[float], tried: Callable[[], object]) -> None:
        self._text, self._markdown, self._sizes, self._tried = text, markdown, sizes, tried

    def best(self, papers: Sequence[_Paper], budget: int) -> Fit | None:
        """The best fit; None if there is none."""
        rough = self._promising([(paper, _START) for paper in papers if paper.tokens <= budget], budget, _ROUGHLY)
        found: list[Fit] = []
        largest = self._sizes[0]
        for paper, promised in self._promising(rough, budget, _NEARLY):
            if promised < _NEARLY * largest:
                continue
            fit = self._best_on(paper, budget // paper.tokens, _ALIKE * largest, promised)
            if fit:
                found.append(fit)
                largest = max(largest, fit.style.size)
        alike = [fit for fit in found if fit.style.size >= _ALIKE * largest]
        return min(alike, key=lambda fit: (fit.pages, fit.vision_tokens, -fit.style.size), default=None)

    def cheapest(self, papers: Sequence[_Paper]) -> Fit:
        """The fit in the smallest type that costs the fewest vision tokens."""
        found: Fit | None = None
        for paper in papers:
            most = (found.vision_tokens - 1) // paper.tokens if found else None
            if most == 0:
                continue
            style = replace(paper.style, size=self._sizes[0])
            pages, share = self._fill(style, most)
            if share == 1:
                found = Fit(paper.mode, style, pages, paper.tokens)
        if found is None:
            raise ValueError("no page to set the text on")
        return found

    def _best_on(self, paper: _Paper, most: int, least: float, promised: float) -> Fit | None:
        """The best fit on at most so many pages of one kind, in type of at least this size; None if there is none."""
        sizes = self._sizes[bisect_left(self._sizes, least) :]
        pages: dict[int, int] = {}

        def look(index: int) -> tuple[bool, int]:
            count, share = self._fill(replace(paper.style, size=sizes[index]), most)
            fits = share == 1
            if fits:
                pages[index] = count
            # The area of a page goes with the square of the size.
            better = sizes[index] * math.sqrt(most / count if fits else share)
            return fits, bisect_right(sizes, better) - 1

        found = highest(look, len(sizes), bisect_left(sizes, promised))
        return (
            None
            if found is None
            else Fit(paper.mode, replace(paper.style, size=sizes[found]), pages[found], paper.tokens)
        )

    def _promising(
        self, papers: Sequence[tuple[_Paper, float]], budget: int, share: float
    ) -> list[tuple[_Paper, float]]:
        """Pages and about the largest type in which they hold the text, in pixels, the largest first.

        Args:
            papers: pages, each with a size to try.
            share: of the largest size; pages that promise less are left out.
        """
        found = [(paper, self._promise(paper, budget // paper.tokens, size)) for paper, size in papers]
        found.sort(key=lambda promise: -promise[1])
        return [promise for promise in found if promise[1] >= share * found[0][1]]

    def _promise(self, paper: _Paper, pages: int, size: float) -> float:
        size = min(max(size, self._sizes[0]), self._sizes[-1])
        count = held = 0
        for sheet in self._lay_out(replace(paper.style, size=size)):
            count, held = sheet.number, held + len(sheet.text)
            if held >= _SAMPLE:
                break
        # In type of twice the size a page holds a quarter of the text.
        promised = size * math.sqrt(held / count * pages / len(self._text))
        return min(max(promised, self._sizes[0] / 2), self._sizes[-1])

    def _fill(self, style: Style, most: int | None) -> tuple[int, float]:
        """How many pages the text takes, `most` at most, and which share of it stands on them: 1 if it is all."""
        held = count = 0
        for sheet in self._lay_out(style):
            if count == most:
                return count, min(held / len(self._text), _ALMOST)
            count, held = count + 1, held + len(sheet.text)
        return count, 1.0

    def _lay_out(self, style: Style) -> Iterator[Sheet]:
        for sheet in lay_out(self._text, style, markdown=self._markdown):
            self._tried()
            yield sheet


def highest(look: Callable[[int], tuple[bool, int]], count: int, guess: int) -> int | None:
    """The highest of so many indices that fits, if what fits is all up to some index; None if not even 0 does.

    Few looks if the guesses are good, and never many: where they do not lead on, steps are doubled, then halved.

    Args:
        look: whether an index fits, and a better guess.
        guess: where to look first.
    """
    good, bad, step, looks = -1, count, 1, 0
    index = min(max(guess, 0), count - 1)
    while True:
        (fits, guess), looks = look(index), looks + 1
        good, bad = (index, bad) if fits else (good, index)
        if bad - good == 1:
            return None if good < 0 else good
        if looks > _PATIENCE and good >= 0 and bad < count:
            guess = (good + bad) // 2
        elif looks > _PATIENCE or (guess <= good if fits else guess >= bad):
            guess = good + step if fits else bad - step
            step *= 2
        index = min(max(guess, good + 1), bad - 1)


def _papers(style: Style, modes: Sequence[str], max_tiles: int) -> list[_Paper]:
    """The pages to choose from: the style's own if it is a mode's, else one a mode, and one a grid of tiles."""
    if style.page in MODES:
        return [_paper(style.page, style, max_tiles)]
    papers = []
    for mode in modes:
        if mode not in MODES:
            raise unknown("mode", mode, MODES)
        pages = _grid_pages(MODES[mode], max_tiles) if MODES[mode].tile else [mode]
        papers += [_paper(mode, replace(style, page=page, dpi=DPI), max_tiles) for page in pages]
    return papers


def _paper(mode: str, style: Style, max_tiles: int) -> _Paper:
    check_style(style)
    width, height, _ = page_size(style)
    return _Paper(mode, style, plan(width, height, mode, max_tiles).vision_tokens)


def _grid_pages(mode: Mode, max_tiles: int) -> list[str]:
    """Upright pages, at most twice as high as wide, that are a grid of the mode's tiles pixel for pixel."""
    grids = [
        (cols, rows)
        for cols in range(1, max_tiles)
        for rows in range(cols, 2 * cols + 1)
        if 2 <= cols * rows <= max_tiles
    ]
    return [f"{cols * mode.tile}x{rows * mode.tile}px" for cols, rows in grids]


def _refuse(budget: int, least: Fit) -> NoReturn:
    pages = f"{least.pages:,} page{'s' * (least.pages > 1)} in mode {least.mode}"
    raise UsageError(
        f"the text does not fit into {budget:,} vision tokens",
        f"give {least.vision_tokens:,} or more: {pages}, in type of {least.style.size:g} pixels",
    )
