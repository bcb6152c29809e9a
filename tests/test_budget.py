"""The search for mode and type size: what it finds fits, and nothing larger would have."""

from __future__ import annotations

import random
from itertools import pairwise

import pytest

from ocrpress.errors import InputError, UsageError
from ocrpress.measure.budget import LARGEST, SMALLEST, fit_budget, highest
from ocrpress.modes import MODES, plan
from ocrpress.typeset import Style, lay_out, page_size

TEXT = "\n\n".join(
    "Of making many books there is no end, and much study is a weariness of the flesh. " * 5 for _ in range(12)
)
FOUR = ("tiny", "small", "base", "large")


def pages(style, text=TEXT):
    return sum(1 for _ in lay_out(text, style))


def cost(style, mode, text=TEXT):
    width, height, _ = page_size(style)
    return pages(style, text) * plan(width, height, mode).vision_tokens


@pytest.mark.parametrize("budget", [100, 350, 800, 1200])
def test_what_is_found_fits_and_no_mode_has_larger_type(budget):
    fit = fit_budget(TEXT, budget, modes=FOUR)
    assert cost(fit.style, fit.mode) == fit.vision_tokens <= budget
    assert fit.pages == pages(fit.style)
    assert page_size(fit.style) == (MODES[fit.mode].view, MODES[fit.mode].view, 72.0)
    assert SMALLEST <= fit.style.size <= LARGEST
    larger = round(fit.style.size / 0.97 + 0.1, 1)
    if larger <= LARGEST:
        assert [mode for mode in FOUR if cost(Style(page=mode, size=larger), mode) <= budget] == []


def test_among_almost_equals_the_fewest_pages_are_taken():
    assert fit_budget("Hello.", 5000).style.size == LARGEST
    assert (fit_budget("Hello.", 5000).mode, fit_budget("Hello.", 5000).pages) == ("tiny", 1)
    # Type of one size on the pages of four modes: fewer pages, though they cost more.
    fixed = fit_budget(TEXT * 6, 100_000, Style(size=12), FOUR, fixed_size=True)
    assert (fixed.mode, fixed.pages) == ("large", pages(Style(page="large", size=12), TEXT * 6))
    assert fixed.pages < pages(Style(page="base", size=12), TEXT * 6)


def test_a_larger_budget_never_gives_smaller_type():
    sizes = [fit_budget(TEXT, budget, modes=("tiny", "base")).style.size for budget in (200, 256, 300, 520, 800, 1600)]
    assert all(after >= 0.97 * before for before, after in pairwise(sizes))
    assert sizes[-1] > sizes[0]


@pytest.mark.parametrize("mode", ["gundam", "gundam-m"])
def test_the_pages_of_tiled_modes_are_whole_grids(mode):
    fit = fit_budget(TEXT, 6000, modes=(mode,))
    width, height, _ = page_size(fit.style)
    made = plan(width, height, mode)
    assert (width, height) == (made.grid[0] * MODES[mode].tile, made.grid[1] * MODES[mode].tile)
    assert made.tiles > 1
    assert fit.vision_tokens == fit.pages * made.vision_tokens <= 6000
    few = fit_budget(TEXT, 6000, modes=(mode,), max_tiles=2)
    assert page_size(few.style)[:2] == (MODES[mode].tile, 2 * MODES[mode].tile)


def test_what_is_fixed_stays():
    style = Style(page="base", font="sans", columns=2, margins=(10, 10, 10, 10), align="justify")
    fit = fit_budget(TEXT, 600, style, modes=FOUR)
    assert (fit.mode, fit.style.page, fit.style.font, fit.style.columns) == ("base", "base", "sans", 2)
    assert (fit.style.margins, fit.style.align) == (style.margins, "justify")
    assert fit.style.size > fit_budget(TEXT, 600, Style(page="base")).style.size  # margins took room
    sized = fit_budget(TEXT, 2000, Style(size=9.37), fixed_size=True)
    assert sized.style.size == 9.37


@pytest.mark.parametrize("fixed", [False, True])
def test_a_budget_that_is_too_small_is_refused_with_the_least_that_does(fixed):
    style = Style(size=11)
    with pytest.raises(
        UsageError, match=r"does not fit into 40 vision tokens: give \d+ or more: \d+ pages? in mode"
    ) as told:
        fit_budget(TEXT, 40, style, fixed_size=fixed)
    least = int(told.value.advice.split()[1])
    assert fit_budget(TEXT, least, style, fixed_size=fixed).vision_tokens == least
    assert fit_budget(TEXT, least, style, fixed_size=fixed).style.size >= (11 if fixed else SMALLEST)
    with pytest.raises(UsageError, match=f"give {least} or more"):
        fit_budget(TEXT, least - 1, style, fixed_size=fixed)


def test_what_cannot_be_is_refused():
    with pytest.raises(UsageError, match=r"budget of 0 .*1 or more"):
        fit_budget(TEXT, 0)
    with pytest.raises(UsageError, match="unknown mode 'larg': did you mean 'large'"):
        fit_budget(TEXT, 100, modes=("larg",))
    with pytest.raises(UsageError, match="do not fit into a page"):
        fit_budget(TEXT, 1000, Style(margins=(300, 300, 300, 300)), modes=("tiny",))
    with pytest.raises(InputError, match="no printable"):
        fit_budget(" \n", 1000)


def test_few_pages_are_laid_out():
    laid = 0

    def tried():
        nonlocal laid
        laid += 1

    fit = fit_budget(TEXT * 12, 4000, modes=FOUR, tried=tried)
    # Four modes have up to 62 pages each; laying them all out in every size would take ten thousands.
    assert fit.pages <= 62
    assert laid < 10 * 62


def test_the_highest_index_is_found_in_few_looks_whatever_is_guessed():
    chance = random.Random(1)
    for count in (1, 2, 3, 7, 20, 261):
        for top in {-1, 0, count // 3, count - 2, count - 1} - {-2}:
            for kind in range(4):
                looked = []

                def look(index, kind=kind, top=top, count=count, looked=looked):
                    looked.append(index)
                    guesses = (top, index, chance.randrange(-5, count + 5), top + chance.choice((-1, 0, 1)))
                    return index <= top, guesses[kind]

                found = highest(look, count, chance.randrange(-3, count + 3))
                assert found == (None if top < 0 else top)
                assert len(looked) == len(set(looked)) <= 22
                assert kind or len(looked) <= 3  # a good guess needs no search
