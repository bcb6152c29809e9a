"""Which font file draws which character. Knows names, files and their character maps; nothing of sizes or pixels.

The packaged fonts are those inside the matplotlib wheel (STIX, like Times, and DejaVu), found without importing it.
What a chosen font lacks is taken from them; only what none of them has is missing, and drawn as a box.
"""

from __future__ import annotations

import difflib
import importlib.util
import unicodedata
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Literal

from ocrpress.errors import UsageError
from ocrpress.typeset.style import Style

REGULAR, BOLD, ITALIC, MONO = 0, 1, 2, 4  # a role is a sum of these
_MONO_SCALE = 0.88  # DejaVu Sans Mono beside a Times-like face of the same size looks large
FAMILIES = ("serif", "sans", "mono")
_PACKAGED = {
    "serif": ("STIXGeneral", "STIXGeneralBol", "STIXGeneralItalic", "STIXGeneralBolIta"),
    "sans": ("DejaVuSans", "DejaVuSans-Bold", "DejaVuSans-Oblique", "DejaVuSans-BoldOblique"),
    "mono": ("DejaVuSansMono", "DejaVuSansMono-Bold", "DejaVuSansMono-Oblique", "DejaVuSansMono-BoldOblique"),
    # For what STIX lacks of Latin, Cyrillic, Armenian and Georgian.
    "serif too": ("DejaVuSerif", "DejaVuSerif-Bold", "DejaVuSerif-Italic", "DejaVuSerif-BoldItalic"),
}
_SUFFIXES = (".ttf", ".otf", ".ttc", ".otc")


@dataclass(frozen=True)
class FontFile:
    """A face in a font file.

    Attributes:
        index: of the face in a collection; 0 in other files.
    """

    path: str
    index: int = 0


def chain(font: str, role: int) -> tuple[FontFile, ...]:
    """The files to look for a character in, the first that has it first.

    Args:
        font: as `Style.font`.
        role: a sum of BOLD, ITALIC and MONO.

    Raises:
        UsageError: there is no such font.
    """
    return _chain(font, role & (BOLD | ITALIC), bool(role & MONO))


def scale_of(font: str, role: int) -> float:
    """What the size of a role is multiplied by beside the running text of a font."""
    return _MONO_SCALE if role & MONO and font != "mono" else 1.0


@lru_cache(maxsize=64)
def covered(file: FontFile) -> frozenset[str]:
    """The characters that a face has.

    Raises:
        UsageError: the file is no font.
    """
    from fontTools.ttLib import TTFont, TTLibError

    try:
        with TTFont(file.path, fontNumber=file.index, lazy=True) as font:
            return frozenset(map(chr, font.getBestCmap() or ()))
    except (TTLibError, OSError, ValueError, KeyError, AssertionError, IndexError) as error:
        raise UsageError(
            f"{file.path} cannot be used as a font ({error})",
            "give a TrueType or OpenType file, or serif, sans or mono",
        ) from error


def missing(text: str, style: Style = Style()) -> tuple[str, ...]:  # noqa: B008 - frozen
    """The printable characters of a text that neither the style's font nor a packaged one has, in order.

    Combining marks, joiners, variation selectors, spaces and control characters do not count.

    Raises:
        UsageError: there is no such font.
    """
    files = chain(style.font, REGULAR)
    return tuple(c for c in dict.fromkeys(text) if is_printable(c) and not any(c in covered(file) for file in files))


def is_printable(character: str) -> bool:
    """Whether a character has ink of its own: no space, control, format character or combining mark."""
    category = unicodedata.category(character)
    return category[0] not in "ZM" and category not in ("Cc", "Cf", "Cs")


@lru_cache(maxsize=256)
def _chain(font: str, slant: int, mono: bool) -> tuple[FontFile, ...]:
    files = [packaged("mono", slant)] if mono else _chosen(font, slant)
    if font == "serif" and not mono:
        files.append(packaged("serif too", slant))
    files += [packaged("sans", slant), packaged("sans", REGULAR), packaged("mono", slant), packaged("serif", REGULAR)]
    return tuple(dict.fromkeys(files))


def _chosen(font: str, slant: int) -> list[FontFile]:
    """The files of the font that was asked for. A font file has no other faces than its own."""
    if font in FAMILIES:
        return [packaged(font, slant)]
    path, _, index = font.rpartition("#") if "#" in font and font.rpartition("#")[2].isdigit() else (font, "", "0")
    if Path(path).suffix.lower() in _SUFFIXES or Path(path).is_file():
        file = FontFile(str(Path(path).absolute()), int(index))
        if not Path(path).is_file():
            raise UsageError(f"there is no font file {path}", "check the spelling, or use serif, sans or mono")
        covered(file)  # says so now if it is no font
        return [file]
    return list(dict.fromkeys([_installed(font, slant), _installed(font, REGULAR)]))


def packaged(family: str, slant: int) -> FontFile:
    """A file of a packaged family; `slant` is a sum of BOLD and ITALIC.

    Raises:
        UsageError: matplotlib, whose fonts these are, is not installed whole.
    """
    folder = _packaged_folder()
    return FontFile(str(folder / f"{_PACKAGED[family][slant]}.ttf"))


@lru_cache(maxsize=1)
def _packaged_folder() -> Path:
    found = importlib.util.find_spec("matplotlib")
    folder = Path(found.origin).parent / "mpl-data" / "fonts" / "ttf" if found and found.origin else None
    if folder is None or not (folder / "STIXGeneral.ttf").is_file():
        raise UsageError("the packaged fonts are not there", "install matplotlib: pip install matplotlib")
    return folder


def _installed(name: str, slant: int) -> FontFile:
    """The file of an installed family."""
    from matplotlib import font_manager

    manager = font_manager.fontManager
    names = sorted({entry.name for entry in manager.ttflist})
    exact = {known.lower(): known for known in names}.get(name.strip().lower())
    if exact is None:
        near = difflib.get_close_matches(name, [*FAMILIES, *names], n=1, cutoff=0.5)
        hint = f"did you mean '{near[0]}'? " if near else ""
        known = f"Known: serif, sans, mono, a font file, and {len(names)} installed families"
        raise UsageError(f"unknown font '{name}'", hint + known)
    weight = "bold" if slant & BOLD else "normal"
    style: Literal["italic", "normal"] = "italic" if slant & ITALIC else "normal"
    path = manager.findfont(font_manager.FontProperties(family=[exact], weight=weight, style=style))
    return FontFile(str(path), int(getattr(path, "face_index", 0)))
