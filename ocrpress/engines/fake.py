"""A deterministic engine without a model, for tests: ours and yours. It can imitate one that chooses tokens.

>>> engine = FakeEngine(script("the the the " * 999, "A fine page."), sampling=True)

answers every page with a loop, which is cut off at `max_tokens` words, and with the fine text when it is asked again.
"""

from __future__ import annotations

import re
import time
import zlib
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from copy import copy
from dataclasses import dataclass, field
from random import Random

from ocrpress.document import Completion, Region, Request
from ocrpress.engines.base import Capabilities
from ocrpress.engines.cards import TASKS
from ocrpress.modes import MODES, NATIVE, plan


def describe(request: Request) -> str:
    """What the fake engine reads where it is not told otherwise: page, size and a checksum of the pixels."""
    image = request.page.image
    return f"Page {request.page.number} is {image.width} by {image.height} pixels, {zlib.crc32(image.tobytes()):08x}."


def script(*answers: str | Exception) -> Callable[[Request], str]:
    """For `read_as`: the first answer at the first attempt, the second at the second, the last from then on.

    An exception is raised: that attempt fails.
    """

    def read_as(request: Request) -> str:
        answer = answers[min(request.attempt, len(answers)) - 1]
        if isinstance(answer, Exception):
            raise copy(answer)  # its traceback holds the page, and must not outlive it
        return answer

    return read_as


def misread(texts: Sequence[str], rate: float, seed: int = 0) -> Callable[[Request], str]:
    """For `read_as`: page n is `texts[n - 1]` with a known share of its characters wrong, to test an instrument with.

    Of n characters that are not white space, round(rate × n) become "¤", which no text should hold: so that number is
    the edit distance to the truth, neither more nor less.

    Args:
        rate: 0 to 1.
    """

    def read_as(request: Request) -> str:
        letters = list(texts[request.page.number - 1])
        places = [place for place, letter in enumerate(letters) if not letter.isspace()]
        for place in Random(f"{seed} {request.page.number}").sample(places, round(rate * len(places))):  # noqa: S311
            letters[place] = "¤"
        return "".join(letters)

    return read_as


@dataclass
class FakeEngine:
    """Reads every page as `read_as` says, one line of text a line of the page.

    Args:
        read_as: request -> text; it may raise to make the page fail.
        seconds: how long a page takes.
        in_flight: pages held at a time.
        backwards: answers in the reverse order of what it holds, as batching engines may.
        sampling: imitate a vision-language model: its text is markup, it knows all tasks, heeds `Request.decoding`, and
            is cut off (stop "length") after so many words as that, or `max_tokens`, allows.
        modes: that it reads, the first is its default.
        max_tokens: words of an answer, where it is sampling.
    """

    read_as: Callable[[Request], str] = describe
    seconds: float = 0.0
    in_flight: int = 1
    backwards: bool = False
    sampling: bool = False
    modes: tuple[str, ...] = (NATIVE.name, *MODES)
    max_tokens: int = 8192
    name: str = "fake"
    capabilities: Capabilities = field(init=False)

    def __post_init__(self) -> None:
        tasks = TASKS if self.sampling else Capabilities.tasks
        self.capabilities = Capabilities(self.modes, tasks, decoding=self.sampling, in_flight=self.in_flight)

    def read(self, requests: Iterable[Request]) -> Iterator[Completion]:
        """Answer every request, `in_flight` at a time."""
        held: deque[Request] = deque()
        for request in requests:
            held.append(request)
            if len(held) == self.in_flight:
                yield from self._answers(held)
        yield from self._answers(held)

    def close(self) -> None:
        """Nothing to give back."""

    def _answers(self, held: deque[Request]) -> Iterator[Completion]:
        while held:
            yield self._answer(held.pop() if self.backwards else held.popleft())

    def _answer(self, request: Request) -> Completion:
        started = time.perf_counter()
        image = request.page.image
        if self.seconds:
            time.sleep(self.seconds)
        try:
            text = self.read_as(request)
        except Exception as error:  # a page that fails must not end the document, whatever it raises
            return Completion(request.key, stop="error", error=f"{type(error).__name__}: {error}")
        kept = self._cut(text, request.decoding.max_tokens) if self.sampling else text
        return Completion(
            request.key,
            kept,
            form="markup" if self.sampling else "lines",
            regions=() if self.sampling else tuple(_regions(text, image.width, image.height)),
            stop="end" if kept == text else "length",
            plan=plan(image.width, image.height, request.mode, request.max_tiles),
            output_tokens=len(kept.split()),
            seconds={"decode": time.perf_counter() - started},
        )

    def _cut(self, text: str, most: int | None) -> str:
        """The first words, at most so many."""
        found = re.match(rf"(?:\s*\S+){{0,{self.max_tokens if most is None else most}}}", text)
        return text if found is None or not text[found.end() :].strip() else found[0]


def _regions(text: str, width: int, height: int) -> Iterator[Region]:
    """Lines of equal height down the page, a tenth of it left free all round."""
    lines = text.splitlines()
    step = 0.8 * height / max(len(lines), 20)
    for index, line in enumerate(lines):
        if line.strip():
            top = 0.1 * height + index * step
            yield Region("line", (0.1 * width, top, 0.9 * width, top + 0.7 * step), line, height=0.7 * step)
