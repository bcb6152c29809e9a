"""Text to be set: mostly random, so that reading is learnt and not guessing; some of what pages really hold.

A kind of text is a function of a random generator; the same generator state gives the same text. Words and passages
whose hash says so are held out of training.
"""

from __future__ import annotations

import random
import re
import string
import zlib
from collections.abc import Callable, Iterable
from pathlib import Path

from figures import LETTERS

HELD_OUT = 20  # one word, and one passage, in so many is never trained on
PASSAGE = 4096  # characters that are held out together
ALPHABETS = (
    string.ascii_lowercase, string.ascii_letters, string.ascii_letters + string.digits,
    string.ascii_letters * 3 + string.digits * 3 + string.punctuation, string.ascii_uppercase,
)  # fmt: skip
FIGURES = ("{:d}", "{:,d}", "{:d}.00", "({:d})", "{:d}%", "${:,d}", "-{:d}", "{:d}/{:d}", "{:d}-{:d}-{:d}", "{:x}")
_KNOWN = re.compile(f"[^{re.escape(LETTERS)}]")


def held_out(text: str) -> bool:
    """Whether a word or passage is kept for testing."""
    return zlib.crc32(text.encode()) % HELD_OUT == 0


class Texts:
    """All kinds of text.

    Args:
        folder: `words*.txt` hold one word a line, `*.py` code, every other `*.txt` prose; may be empty of some.
        test: give what is held out, instead of all else.
    """

    def __init__(self, folder: Path | None = None, test: bool = False) -> None:
        files = sorted(folder.glob("*")) if folder else []
        lists = [path for path in files if path.name.startswith("words")]
        words = {word for path in lists for word in path.read_text().split() if word.isascii() and word.isalpha()}
        self.words = sorted(word for word in words if held_out(word) == test) or ["word"]
        self.prose = self._passages((path for path in files if path.suffix == ".txt" and path not in lists), test)
        self.code = self._passages((path for path in files if path.suffix == ".py"), test)
        self.kinds: dict[str, Callable[[random.Random, int], str]] = {
            "letters": self.letters, "jumbled": self.jumbled, "words": self.dictionary, "numbers": self.numbers,
            "prose": self.passage, "code": self.listing,
        }  # fmt: skip

    def make(self, kind: str, rng: random.Random, length: int) -> str:
        """About `length` characters of a kind, at most so many; words parted by spaces, paragraphs by line ends."""
        text = self.kinds[kind](rng, length)
        if len(text) > length:
            cut = text[:length].rsplit(None, 1)[0]
            text = cut or text[:length]
        return text.strip()

    def letters(self, rng: random.Random, length: int) -> str:
        """Strings of letters drawn one by one."""
        alphabet, longest = rng.choice(ALPHABETS), rng.randint(3, 12)
        return self._fill(rng, length, lambda: "".join(rng.choices(alphabet, k=rng.randint(1, longest))))

    def jumbled(self, rng: random.Random, length: int) -> str:
        """Words whose letters are shuffled: natural letters, no words."""
        return self._fill(rng, length, lambda: "".join(rng.sample(word := rng.choice(self.words), len(word))))

    def dictionary(self, rng: random.Random, length: int) -> str:
        """Words drawn one by one, with capitals and marks here and there."""
        return self._fill(rng, length, lambda: _dress(rng, rng.choice(self.words)))

    def numbers(self, rng: random.Random, length: int) -> str:
        """Figures as they stand in tables and bills."""
        return self._fill(
            rng, length, lambda: rng.choice(FIGURES).format(*(int(10 ** rng.uniform(0, 6)) for _ in range(3)))
        )

    def passage(self, rng: random.Random, length: int) -> str:
        """Prose from any word of the corpus on; without one, words."""
        if not self.prose:
            return self.dictionary(rng, length)
        passage = rng.choice(self.prose)
        start = rng.randrange(max(1, len(passage) - length))
        return passage[start:].partition(" ")[2][: length + 1]

    def listing(self, rng: random.Random, length: int) -> str:
        """Lines of source code, unindented; without any, numbers."""
        if not self.code:
            return self.numbers(rng, length)
        passage = rng.choice(self.code)
        start = rng.randrange(max(1, len(passage) - length))
        return passage[start:].partition("\n")[2][: length + 1] or passage[:length]

    def _fill(self, rng: random.Random, length: int, word: Callable[[], str]) -> str:
        paragraph = rng.choice((0.0, 0.0, 0.02, 0.05))
        text = word()
        while len(text) < length:
            text += ("\n" if rng.random() < paragraph else " ") + word()
        return text

    def _passages(self, files: Iterable[Path], test: bool) -> list[str]:
        found = []
        for path in files:
            text = path.read_text(errors="ignore")
            if path.suffix == ".txt":
                text = re.sub(r"[ \t]*\n[ \t]*(?=\S)", " ", text)
            text = re.sub(r"[ \t]+", " ", re.sub(r"\s*\n\s*", "\n", _KNOWN.sub("", text)))
            blocks = (text[start : start + PASSAGE] for start in range(0, len(text), PASSAGE))
            found += [block for block in blocks if len(block) > PASSAGE // 2 and held_out(block) == test]
        return found


def _dress(rng: random.Random, word: str) -> str:
    chance = rng.random()
    if chance < 0.1:
        return word.capitalize()
    if chance < 0.13:
        return word.upper()
    if chance < 0.23:
        return word + rng.choice(",,..;:!?")
    if chance < 0.26:
        return rng.choice(("({})", '"{}"', "'{}'", "[{}]", "{}-")).format(word)
    return word
