"""Pixels of a page: where ink is, and that it is always the same."""

from __future__ import annotations

import pickle
import random
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import numpy as np
import pytest

from ocrpress.typeset import Style, draw, lay_out
from ocrpress.typeset.geometry import frame
from ocrpress.typeset.glyphs import glyphs_of
from ocrpress.typeset.sheet import Run

TEXT = "The quick brown fox jumps over the lazy dog, again and again. " * 30
STYLE = Style(page="a5", dpi=72)


def sheet(text=TEXT, style=STYLE, **options):
    return next(iter(lay_out(text, style, **options)))


def ink(image):
    return 255 - np.asarray(image.convert("L"))


def test_a_page_is_rgb_black_on_white_of_the_page_s_size():
    page = sheet()
    image = draw(page)
    assert image.mode == "RGB" and image.size == (page.width, page.height)
    pixels = np.asarray(image)
    assert (pixels == pixels[..., :1]).all()
    assert pixels.max() == 255 and pixels.min() < 30
    assert 0.02 < ink(image).mean() / 255 < 0.3


def test_ink_stays_within_the_margins():
    place = frame(STYLE)
    rows, columns = np.nonzero(ink(draw(sheet())))
    assert place.lefts[0] - 1 <= columns.min() and columns.max() <= place.lefts[0] + place.measure + 1
    assert place.top <= rows.min() and rows.max() <= place.bottom


def test_every_run_leaves_ink_where_it_stands():
    page = sheet()
    pixels = ink(draw(page))
    for run in page.runs:
        left, right = int(run.x), int(run.x + glyphs_of(run.face).length(run.text)) + 1
        assert pixels[int(run.y - run.face.size) : int(run.y) + 1, left:right].max() > 100, run


def test_the_same_sheet_gives_the_same_pixels_in_any_order_and_thread():
    pages = list(lay_out(TEXT * 8, STYLE))
    first = [draw(page).tobytes() for page in pages]
    assert [draw(page).tobytes() for page in reversed(pages)] == first[::-1]
    with ThreadPoolExecutor(4) as pool:
        assert [image.tobytes() for image in pool.map(draw, pages * 3)] == first * 3


def test_what_falls_off_the_page_is_cut():
    page = sheet("word")
    (run,) = page.runs
    for x, y in ((-5, 20), (page.width - 5, 20), (50, 2), (50, page.height + 3), (-500, 20), (50, 9999), (9999, 20)):
        draw(replace(page, runs=(replace(run, x=x, y=y),)))
    partly = ink(draw(replace(page, runs=(replace(run, x=-5, y=20),))))
    whole = ink(draw(replace(page, runs=(replace(run, x=5, y=20),))))
    assert (partly[:, :60] == whole[:, 10:70]).all()


def test_rules_are_black_and_never_vanish():
    page = replace(sheet("word"), runs=(), rules=((10.2, 20.4, 50.4, 20.6), (-5, 30, 5, 33)))
    rows, columns = np.nonzero(ink(draw(page)))
    assert set(rows) == {20, 30, 31, 32}
    assert columns[rows == 20].min() == 10 and columns[rows == 20].max() == 49


def test_a_character_that_no_font_has_is_drawn_as_a_box():
    page = sheet("汉")
    assert page.text == "汉"
    assert ink(draw(page)).max() > 100


def test_sheets_survive_pickling():
    page = sheet()
    assert pickle.loads(pickle.dumps(page)) == page  # noqa: S301


@pytest.mark.parametrize("text", ["مرحبا بالعالم", "שלום עולם", "e\u0301a\u0308"])
def test_shaped_script_is_drawn_whole(text):
    page = sheet(text, Style(font="sans", page="a5", dpi=72))
    assert ink(draw(page)).max() > 100


def test_arabic_letters_join():
    face = sheet("ب", Style(font="sans", page="a5")).runs[0].face
    apart = glyphs_of(face).length("ب\u200c" * 3, rtl=True)
    assert glyphs_of(face).length("ببب", rtl=True) < apart


def test_hebrew_is_drawn_from_right_to_left():
    face = sheet("ש", Style(font="sans", page="a5")).runs[0].face
    glyphs = glyphs_of(face)
    both = glyphs.mask("שי", rtl=True).ink
    # Yod, the second letter, is short and stands on the left: there is nothing at its foot.
    foot = both[-both.shape[0] // 4 :]
    assert foot[:, :3].sum() == 0 and foot[:, 4:].sum() > 0


def test_a_long_run_is_drawn_without_being_kept():
    face = sheet("a").runs[0].face
    long = "ab" * 40
    page = replace(sheet("a"), runs=(Run(long, 5.0, 50.0, face),))
    assert ink(draw(page)).any()
    assert not any(key[0] == long for key in glyphs_of(face)._masks)


@pytest.mark.parametrize("columns", [1, 3])
@pytest.mark.parametrize("leading", [0.5, 1.25])
def test_ink_laid_down_is_ink_merged(columns, leading):
    text = "Ågy|ſ (fjord) ÇŖ∫ ﷺ — Type " * 120
    page = sheet(text, Style(page="a5", dpi=72, columns=columns, leading=leading, font="sans", size=9))
    chance = random.Random(1)
    shuffled = list(page.runs)
    chance.shuffle(shuffled)
    assert (ink(draw(page)) == ink(draw(replace(page, runs=tuple(shuffled))))).all()


def test_a_word_put_together_is_the_word_drawn_glyph_by_glyph():
    face = sheet("a").runs[0].face
    glyphs = glyphs_of(face)
    word, x = "Typography,ÅÇ|", 20.0
    runs = [
        Run(character, x + offset, 50.0, face) for character, offset in zip(word, glyphs.offsets(word), strict=False)
    ]
    together = ink(draw(replace(sheet("a"), runs=(Run(word, x, 50.0, face),))))
    assert (together == ink(draw(replace(sheet("a"), runs=tuple(runs))))).all()


def test_a_glyph_taller_than_others_is_whole():
    face = replace(sheet("a").runs[0].face, size=20.0)
    found = glyphs_of(face)
    found._box = (8, 12)  # as if all were too tall
    page = replace(sheet("a"), runs=(Run("Wall", 20.0, 50.0, face),))
    low = ink(draw(page))
    del found._box
    found.forget()
    found._box = (30, 40)
    high = ink(draw(page))
    assert abs(low.astype(float).sum() - high.astype(float).sum()) < 0.02 * high.sum()
