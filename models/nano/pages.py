"""Text -> a page as the model sees it, with the place of every letter known: fonts, setting, drawing, wear.

Words are drawn whole by Pillow, letters placed by its own advances, so a place is true to about a pixel. The page is
drawn larger than the view and shrunk to it, as a real page is.
"""

from __future__ import annotations

import io
import random
import re
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import numpy as np
from figures import CELL, COLUMN, COLUMNS, ROW, ROWS, encode
from PIL import Image, ImageDraw, ImageFilter, ImageFont

HELD_OUT_FONTS = ("Vollkorn", "Cabin", "Courier", "Lato", "Fanwood", "Charis")  # families never trained on
# A family may come as many files under many names; fonts whose ASCII is something else are no family.
_FAMILY = re.compile(
    r"(?!cm[a-z]+10|LastResort|\.)(cmun|PT|Gen|Anonymous|LinLibertine|LinBiolinum|Free(Mono|Sans|Serif)|STIX|"
    r"DejaVu(SansMono|Sans|Serif)|Liberation(Mono|Sans|Serif)|[A-Za-z]+)"
)
PLAIN = "DejaVuSans"  # the family to begin with
ASCII = frozenset(range(32, 127))
ROOM = 0.62  # of a letter with its share of leading and blanks, in squares of the font's size
GREY = 127  # of the padding of a page that is fitted into its view


@dataclass(frozen=True)
class Page:
    """A view and what stands in it.

    Attributes:
        pixels: uint8 (q, q), grey.
        tokens: ids of the text and its anchors in reading order, int64 (n).
        places: centre of each token in pixels, x and y, float32 (n, 2); of a blank, where it would stand; of an
            anchor, the next letter's.
    """

    pixels: np.ndarray
    tokens: np.ndarray
    places: np.ndarray
    text: str


class Fonts:
    """Font files by family, those that hold all of ASCII.

    Args:
        folders: searched for .ttf and .otf; matplotlib's own fonts are always taken.
        test: the held-out families instead of all others.
    """

    def __init__(self, folders: list[Path], test: bool = False) -> None:
        import matplotlib
        from fontTools.ttLib import TTFont

        self.families: dict[str, list[tuple[str, frozenset[int]]]] = {}
        for folder in [Path(matplotlib.get_data_path()) / "fonts" / "ttf", *folders]:
            for path in sorted([*folder.rglob("*.ttf"), *folder.rglob("*.otf")]):
                family = _FAMILY.match(path.stem)
                if not family or path.stem.startswith(HELD_OUT_FONTS) != test:
                    continue
                with TTFont(path, lazy=True) as font:
                    letters = frozenset(font.getBestCmap() or ())
                if letters >= ASCII:
                    self.families.setdefault(family[0], []).append((str(path), letters))
        self.names = sorted(self.families, key=lambda name: (name != PLAIN, name))
        later = self.names[1:]
        random.Random(0).shuffle(later)  # noqa: S311
        self.names[1:] = later

    def choose(self, rng: random.Random, text: str, variety: float = 1.0) -> str:
        """A file that holds every letter of a text, if one is found; families are equally likely.

        Args:
            variety: share of the families to choose from, at least one.
        """
        needed = {ord(letter) for letter in set(text)} - {10}
        names = self.names[: max(1, round(variety * len(self.names)))]
        for _ in range(20):
            path, letters = rng.choice(self.families[rng.choice(names)])
            if letters >= needed:
                return path
        return path


@lru_cache(maxsize=2000)
def face(path: str, size: int) -> tuple[ImageFont.FreeTypeFont, dict[str, float]]:
    """A font at a size in whole pixels, and its advances."""
    font = ImageFont.truetype(path, size, layout_engine=ImageFont.Layout.BASIC)
    return font, {}


def set_page(text: str, path: str, side: int, fill: float, rng: random.Random, wear: float = 1.0) -> Page:
    """The text on one page; what does not fit is left out.

    Args:
        path: of the font.
        side: of the view in pixels.
        fill: how much of the page the text is to take, 0 to 1.
        wear: how often it is pale, askew, blurred, noisy or badly packed; 1 as a rule, 0 never.
    """
    padded = side >= 1024 or rng.random() < 0.2
    aspect = rng.choice((0.7071, 0.7071, 0.7727, 1.0, rng.uniform(0.65, 1.5)))
    scale = rng.uniform(1.0, 2.0) if side < 1024 else rng.uniform(1.0, 1.3)
    height = side * scale * (1 if padded or aspect > 1 else 1 / aspect**0.5)
    if padded and aspect >= 1:
        width, height = int(height), int(height / aspect)
    else:
        width, height = int(height * aspect), int(height)
    size = max(8 * scale, (0.9 * width * height * fill / (ROOM * max(12, len(text)))) ** 0.5 * rng.uniform(0.8, 1.0))
    ink, paper = (rng.randint(0, 90), rng.randint(200, 255)) if rng.random() < 0.3 * wear else (0, 255)
    sheet = _Sheet(text, path, int(min(size, 0.2 * width, 90 * scale)), (width, height), rng)
    image = Image.new("L", (width, height), paper)
    sheet.set_text(text, ImageDraw.Draw(image), ink, justify=rng.random() < 0.3)
    return _see(image, padded, side, sheet, rng, wear)


class _Sheet:
    """A page while it is set: its measures, drawn by lot, and what stands on it so far."""

    def __init__(self, text: str, path: str, size: int, page: tuple[int, int], rng: random.Random) -> None:
        width, self.height = page
        self.size = size
        self.font, self.advances = face(path, size)
        for letter in {*text, " "} - {"\n"}:
            if letter not in self.advances:
                self.advances[letter] = self.font.getlength(letter)
        airy = rng.random() < 0.25
        self.blank = self.advances[" "] * rng.choice((1.0, 1.0, 1.2)) * (rng.uniform(1, 4) if airy else 1)
        self.pitch = size * (rng.uniform(1.3, 3) if airy else rng.uniform(1.05, 1.5))
        self.gap = self.pitch * rng.choice((0.5, 0.7, 1.0))
        self.indent = rng.choice((0, 0, 1.5 * size))
        self.columns = 2 if rng.random() < 0.12 and width > 24 * size else 1
        self.gutter = 2 * size
        self.left, right, self.top, self.bottom = (
            int(rng.uniform(0.01, 0.12) * length) for length in (width, width, self.height, self.height)
        )
        needed = ROOM * size * size * len(text) / (width - self.left - right) + 3 * size
        self.top += int(max(0.0, self.height - self.top - self.bottom - 1.5 * needed) * rng.random())
        self.measure = (width - self.left - right - self.gutter * (self.columns - 1)) / self.columns
        self.tokens: list[str] = []
        self.starts: set[int] = set()  # of lines, as indices into the tokens
        self.places: list[tuple[float, float]] = []

    def set_text(self, text: str, draw: ImageDraw.ImageDraw, ink: int, justify: bool) -> None:
        """All paragraphs, until the page is full."""
        column, y = 0, self.top + self.size
        for paragraph in text.split("\n"):
            words = paragraph.split()
            start = 0
            while start < len(words):
                if y + 0.3 * self.size > self.height - self.bottom:
                    column, y = column + 1, self.top + self.size
                    if column == self.columns:
                        return
                indent = 0 if start else self.indent
                widths = self._break(words, start, self.measure - indent)
                end, blank = start + len(widths), self.blank
                if justify and end < len(words) and len(widths) > 1:
                    blank += (self.measure - indent - sum(widths) - blank * (len(widths) - 1)) / (len(widths) - 1)
                if self.tokens:
                    self.tokens.append(" " if start else "\n")
                    self.places.append((self.places[-1][0] + self.size * 0.4, self.places[-1][1]))
                self.starts.add(len(self.tokens))
                x = self.left + column * (self.measure + self.gutter) + indent
                self._draw_line(words[start:end], widths, x, y, blank, draw, ink)
                start, y = end, y + self.pitch
            y += self.gap

    def _break(self, words: list[str], start: int, room: float) -> list[float]:
        """Widths of the words that go on a line; a first word that is too long is cut."""
        widths: list[float] = []
        total = 0.0
        for index in range(start, len(words)):
            width = sum(self.advances[letter] for letter in words[index])
            if width > room and not widths:
                words[index] = words[index][: max(1, int(len(words[index]) * room / width) - 1)]
                width = sum(self.advances[letter] for letter in words[index])
            elif total + width > room:
                break
            widths.append(width)
            total += width + self.blank
        return widths

    def _draw_line(
        self,
        words: list[str],
        widths: list[float],
        x: float,
        y: float,
        blank: float,
        draw: ImageDraw.ImageDraw,
        ink: int,
    ) -> None:
        middle = y - 0.28 * self.size
        for index, word in enumerate(words):
            if index:
                self.tokens.append(" ")
                self.places.append((x - blank / 2, middle))
            draw.text((round(x), round(y)), word, font=self.font, fill=ink, anchor="ls")
            at: float = round(x)
            for letter in word:
                self.tokens.append(letter)
                self.places.append((at + self.advances[letter] / 2, middle))
                at += self.advances[letter]
            x += widths[index] + blank


def _see(image: Image.Image, padded: bool, side: int, sheet: _Sheet, rng: random.Random, wear: float) -> Page:
    """The page worn a little and brought to its view, the places with it."""
    spots = np.array(sheet.places, np.float32).reshape(-1, 2)
    if rng.random() < 0.15 * wear:
        image, spots = _turn(image, spots, rng.uniform(-1.2, 1.2))
    size = np.array(image.size)
    ratio = side / size.max() if padded else side / size
    small = np.maximum(1, np.round(size * ratio)).astype(int)
    corner = (side - small) // 2
    view = image.resize((int(small[0]), int(small[1])), Image.Resampling.BICUBIC)
    if padded:
        whole = Image.new("L", (side, side), GREY)
        whole.paste(view, (int(corner[0]), int(corner[1])))
        view = whole
    spots = spots * (small / size) + corner
    if rng.random() < 0.15 * wear:
        view = view.filter(ImageFilter.GaussianBlur(rng.uniform(0.3, 0.8)))
    if rng.random() < 0.1 * wear:
        buffer = io.BytesIO()
        view.save(buffer, "JPEG", quality=rng.randint(30, 85))
        view = Image.open(buffer)
    pixels = np.asarray(view)
    if rng.random() < 0.2 * wear:
        noise = np.random.default_rng(rng.getrandbits(32)).integers(-12, 13, pixels.shape, np.int16)
        pixels = np.clip(pixels + noise, 0, 255).astype(np.uint8)
    spots = np.clip(spots, 0, side - 0.01).astype(np.float32)
    text = "".join(sheet.tokens)
    tokens, whose = _anchored(text, spots, sheet.starts, side)
    return Page(pixels, tokens, spots[whose], text)


def _anchored(text: str, spots: np.ndarray, starts: set[int], side: int) -> tuple[np.ndarray, np.ndarray]:
    """Token ids with anchors among them, and the index of the letter whose place each has, both int64 (n)."""
    tokens: list[int] = []
    whose: list[int] = []
    at = (-1, -1)
    for index, (token, (x, y)) in enumerate(zip(encode(text), spots.tolist(), strict=True)):
        cell = (int(y // CELL), int(x // CELL))
        if index in starts or (text[index] not in " \n" and cell[0] != at[0]):
            tokens.append(ROW + int(y * ROWS / side))
            at = (cell[0], -1)
        if text[index] not in " \n" and cell[1] != at[1]:
            tokens.append(COLUMN + int((cell[1] + 0.5) * CELL * COLUMNS / side))
            at = cell
        tokens.append(token)
        whose += [index] * (len(tokens) - len(whose))
    return np.array(tokens, np.int64), np.array(whose, np.int64)


def _turn(image: Image.Image, spots: np.ndarray, degrees: float) -> tuple[Image.Image, np.ndarray]:
    """The page askew, turned about its middle."""
    angle, middle = np.deg2rad(degrees), np.array(image.size) / 2
    x, y = (spots - middle).T
    turned = np.stack([x * np.cos(angle) + y * np.sin(angle), y * np.cos(angle) - x * np.sin(angle)], 1)
    return image.rotate(degrees, Image.Resampling.BILINEAR, fillcolor=image.getpixel((0, 0))), turned + middle
