"""Fonts found, characters covered, glyphs measured."""

from __future__ import annotations

import shutil
import subprocess
import sys
from itertools import pairwise
from pathlib import Path

import pytest
from PIL import ImageFont

from ocrpress.errors import UsageError
from ocrpress.typeset import Style, glyph_boxes, missing
from ocrpress.typeset import glyphs as glyphs_module
from ocrpress.typeset.fonts import BOLD, ITALIC, MONO, REGULAR, chain, packaged
from ocrpress.typeset.glyphs import PHASES, Glyphs, glyphs_of
from ocrpress.typeset.shaping import letters
from ocrpress.typeset.sheet import Face, Run

SANS = packaged("sans", REGULAR).path


def face(size=20.0, path=SANS):
    return Face(path, 0, size)


def test_the_packaged_fonts_are_found_without_importing_matplotlib():
    code = "import sys; from ocrpress.typeset import missing; print(missing('aé汉'), 'matplotlib' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "('汉',) False"


def test_reading_a_style_imports_neither_pillow_nor_numpy():
    code = "import sys; from ocrpress.typeset.style import Style; print({'PIL', 'numpy'} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "set()"


@pytest.mark.parametrize("family", ["serif", "sans", "mono"])
def test_each_packaged_family_has_four_faces_of_its_own(family):
    assert len({chain(family, role)[0] for role in (REGULAR, BOLD, ITALIC, BOLD | ITALIC)}) == 4
    assert chain(family, MONO)[0] == packaged("mono", REGULAR)


def test_missing_names_what_no_font_has_once_and_in_order():
    text = "Ein Text: 汉字, हि, 汉 e\u0301 \u200d\ufe0f\x07\n\u00a0 שלום Ω"
    assert missing(text) == ("汉", "字", "ह")


def test_a_font_file_can_be_chosen_and_what_it_lacks_comes_from_the_packaged_ones(tmp_path):
    own = tmp_path / "own.ttf"
    shutil.copy(packaged("mono", REGULAR).path, own)
    assert chain(str(own), REGULAR)[0].path == str(own)
    assert missing("aש", Style(font=str(own))) == ()  # DejaVu Sans Mono has no Hebrew
    parts = letters(str(own), REGULAR, 20.0).spread("aש")
    assert [text for text, _ in parts] == ["aש"]  # a right-to-left word stays in one piece
    assert [found.file for _, found in letters(str(own), REGULAR, 20.0).spread("aꙮ汉")] == [str(own), SANS]


def test_an_installed_family_can_be_chosen(monkeypatch):
    from matplotlib import font_manager

    entry = font_manager.FontEntry(SANS, name="Some Family", weight=400)
    monkeypatch.setattr(font_manager.fontManager, "ttflist", [entry])
    assert chain("some family", REGULAR)[0].path == SANS


@pytest.mark.parametrize(
    ("font", "words"),
    [
        ("sanz", ["unknown font 'sanz'", "did you mean 'sans'"]),
        ("nowhere.ttf", ["no font file nowhere.ttf"]),
        ("", ["unknown font ''"]),
        ("README.md", ["README.md cannot be used as a font"]),
    ],
)
def test_a_font_that_cannot_be_is_a_usage_error(font, words, monkeypatch, request):
    monkeypatch.chdir(request.config.rootpath)
    with pytest.raises(UsageError) as caught:
        chain(font, REGULAR)
    for word in words:
        assert word in str(caught.value)


def test_a_broken_font_file_is_a_usage_error(tmp_path):
    broken = tmp_path / "broken.ttf"
    broken.write_bytes(Path(SANS).read_bytes()[:3000])
    with pytest.raises(UsageError, match="cannot be used as a font"):
        chain(str(broken), REGULAR)


def test_the_index_of_a_face_that_a_file_does_not_have_is_a_usage_error():
    with pytest.raises(UsageError, match="cannot be used as a font"):
        chain(f"{SANS}#7", REGULAR) and letters(f"{SANS}#7", REGULAR, 10.0)


@pytest.mark.parametrize("path", [SANS, packaged("serif", REGULAR).path])
@pytest.mark.parametrize("size", [9.0, 21.0, 60.0])
def test_lengths_are_those_of_the_shaper(path, size):
    found = Glyphs(face(size, path))
    text = "AVATAR, To Wa. fi ffl Τα Ду"
    shaper = ImageFont.truetype(path, size * 8)
    expected = shaper.getlength(text, features=["-liga", "-clig"]) / 8
    assert found.length(text) == pytest.approx(expected, rel=0.005)


def test_glyph_boxes_follow_each_other_and_end_with_the_run():
    run = Run("Type 12", 10.0, 50.0, face())
    boxes = glyph_boxes(run)
    assert "".join(character for character, _ in boxes) == run.text
    assert boxes[0][1][0] == 10.0
    assert boxes[-1][1][2] == pytest.approx(10.0 + glyphs_of(run.face).length(run.text))
    for (_, one), (_, other) in pairwise(boxes):
        assert one[0] < other[0]
    assert boxes[0][1][1] < 50.0 - 14 and boxes[0][1][3] > 50.0


def test_glyph_boxes_hold_the_ink_of_their_glyphs():
    run = Run("Hamburg", 0.0, 0.0, face(40.0))
    for character, (left, top, right, bottom) in glyph_boxes(run):
        mask = glyphs_of(run.face).mask(character)
        assert mask.left >= -1 and mask.left + mask.ink.shape[1] <= right - left + 2
        assert top - 1 <= mask.top and mask.top + mask.ink.shape[0] <= bottom + 1


def test_glyph_boxes_of_a_right_to_left_run_begin_at_the_right():
    run = Run("שלום", 5.0, 0.0, face(), rtl=True)
    boxes = glyph_boxes(run)
    assert boxes[0][1][0] > boxes[-1][1][0]
    assert boxes[-1][1][0] == pytest.approx(5.0)


def test_glyphs_stand_on_quarters_of_a_pixel():
    found = glyphs_of(face(10.0))
    inks = [found.mask("l", phase).ink.astype(float) for phase in range(PHASES)]
    weights = [ink.sum() for ink in inks]
    assert max(weights) == pytest.approx(min(weights), rel=0.02)
    lefts = [
        found.mask("l", phase).left + (inks[phase].sum(0) @ range(inks[phase].shape[1])) / inks[phase].sum()
        for phase in range(PHASES)
    ]
    assert [after - before for before, after in pairwise(lefts)] == pytest.approx([0.25] * 3, abs=0.1)


def test_a_word_is_the_sum_of_its_glyphs():
    found = glyphs_of(face(20.0))
    word = found.mask("iii").ink.astype(float).sum()
    assert word == pytest.approx(3 * found.mask("i").ink.astype(float).sum(), rel=0.02)


def test_caches_are_bounded(monkeypatch):
    monkeypatch.setattr(glyphs_module, "_kept", {})
    monkeypatch.setattr(glyphs_module, "_held", 0)
    monkeypatch.setattr(glyphs_module, "_MOST_BYTES", 40_000)
    monkeypatch.setattr(glyphs_module, "_MOST_FACES", 3)
    monkeypatch.setattr(glyphs_module, "_MOST_METRICS", 10)
    for size in range(10, 16):
        found = glyphs_of(face(float(size)))
        for number in range(40):
            found.mask(f"word{number}")
        assert len(found._advances) <= 10 and len(found._steps) <= 10
    assert len(glyphs_module._kept) <= 3
    assert sum(mask.ink.nbytes for each in glyphs_module._kept.values() for mask in each._masks.values()) <= 40_000


def test_without_raqm_latin_is_set_all_the_same(monkeypatch):
    shaped = Glyphs(face()).length("Hamburg")
    monkeypatch.setattr(glyphs_module, "has_raqm", lambda: False)
    plain = Glyphs(face())
    assert plain.length("Hamburg") == pytest.approx(shaped, rel=0.03)
    assert plain.mask("שלום", rtl=True).ink.any()  # in the wrong order, but no crash
