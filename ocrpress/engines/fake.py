"""A deterministic engine without a model, for tests: ours and yours."""

from __future__ import annotations

import time
import zlib
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field

from ocrpress.document import Completion, Region, Request
from ocrpress.engines.base import Capabilities
from ocrpress.modes import MODES, NATIVE, plan


def describe(request: Request) -> str:
    """What the fake engine reads where it is not told otherwise: page, size and a checksum of the pixels."""
    image = request.page.image
    return f"Page {request.page.number} is {image.width} by {image.height} pixels, {zlib.crc32(image.tobytes()):08x}."


@dataclass
class FakeEngine:
    """Reads every page as `read_as` says, one line of text a line of the page.

    Args:
        read_as: request -> text; it may raise to make the page fail.
        seconds: how long a page takes.
        in_flight: pages held at a time.
        backwards: answers in the reverse order of what it holds, as batching engines may.
    """

    read_as: Callable[[Request], str] = describe
    seconds: float = 0.0
    in_flight: int = 1
    backwards: bool = False
    name: str = "fake"
    capabilities: Capabilities = field(init=False)

    def __post_init__(self) -> None:
        self.capabilities = Capabilities(modes=(NATIVE.name, *MODES), in_flight=self.in_flight)

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
        return Completion(
            request.key,
            text,
            regions=tuple(_regions(text, image.width, image.height)),
            plan=plan(image.width, image.height, request.mode),
            output_tokens=len(text.split()),
            seconds={"decode": time.perf_counter() - started},
        )


def _regions(text: str, width: int, height: int) -> Iterator[Region]:
    """Lines of equal height down the page, a tenth of it left free all round."""
    lines = text.splitlines()
    step = 0.8 * height / max(len(lines), 20)
    for index, line in enumerate(lines):
        if line.strip():
            top = 0.1 * height + index * step
            yield Region("line", (0.1 * width, top, 0.9 * width, top + 0.7 * step), line, height=0.7 * step)
