"""For tests of `ocrpress batch`: a reader without processes for what the runner does, and a reading process that counts
its pages for what happens when processes are killed.

As a program it is either of the two processes of such a batch: `batch_tools.py batch LOG SECONDS ARGUMENT…` is the
command `ocrpress batch`, and `batch_tools.py worker LOG SECONDS` its reading process, whose engine takes so many
seconds a page and adds a line to LOG when it begins one.
"""

from __future__ import annotations

import functools
import os
import sys
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

from ocrpress.document import Attempt, Block, PageResult
from ocrpress.jobs.reading.order import Done, Event, Opened, Order, Orders, Refused, Tick
from ocrpress.jobs.reading.settings import Settings
from ocrpress.modes import plan
from ocrpress.sources.pages import parse_ranges, select_pages


@dataclass(frozen=True)
class Outcome:
    """What a run did: exit code, the pages that it read ("x.pdf 2"; 0 for opening it), and what it said on stderr."""

    code: int
    read: list[str]
    err: str

    @property
    def opened(self) -> list[str]:
        """The documents that were opened."""
        return [place.removesuffix(" 0") for place in self.read if place.endswith(" 0")]

    @property
    def pages(self) -> list[str]:
        """The pages that were read."""
        return [place for place in self.read if not place.endswith(" 0")]


@dataclass
class Scene:
    """Batches in a folder of their own, read within this process.

    A document is a file of lines, whatever its name says. Each is a page: its text, "FAIL why", or "HANG", which the
    reader says is lost. "REFUSE why" as the first line: it cannot be opened.

    Attributes:
        on: what to do before a place is read, by place: "x.pdf 2", "x.pdf 0" before it is opened, "x.pdf refused" when
            it is found that it cannot be.
    """

    root: Path
    run_command: Callable[[list[str]], tuple[int, str]]
    on: dict[str, Callable[[], object]] = field(default_factory=dict)
    places: list[str] = field(default_factory=list)
    readers: int = 0  # that had something to read

    @property
    def out(self) -> Path:
        """The folder of results."""
        return self.root / "out"

    def write(self, name: str, *lines: str) -> Path:
        """A document in the input folder."""
        path = self.root / "in" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("\n".join(lines))
        return path

    def batch(self, *arguments: object) -> Outcome:
        """`ocrpress batch in -o out`, or with these inputs and options."""
        given = [str(argument) for argument in arguments]
        if not given or given[0].startswith("--"):
            given.insert(0, str(self.root / "in"))
        if "-o" not in given:
            given += ["-o", str(self.out)]
        self.places.clear()
        code, err = self.run_command(["batch", *given, "--engine", "fake", "--mode", "tiny"])
        return Outcome(code, list(self.places), err)

    def visible(self, folder: Path | None = None) -> list[str]:
        """The results: all files that are not hidden, but for the report."""
        top = folder or self.out
        found = (path.relative_to(top) for path in top.rglob("*") if path.is_file())
        return sorted(str(path) for path in found if path.parts[0] not in {".ocrpress", "report.html"})

    def texts(self) -> dict[str, str]:
        """The results' contents by name, without the marks of pages."""
        return {name: (self.out / name).read_text() for name in self.visible()}


class LineReader:
    """A `Reader` in this process, in place of the crew."""

    def __init__(self, scene: Scene, settings: Settings, log: Path | None = None) -> None:
        self._scene, self._settings = scene, settings

    def read(self, orders: Orders) -> Iterator[Event]:
        """One page after the other."""
        while not orders.exhausted:
            if (order := orders.take()) is None:
                yield Tick()
                continue
            self._scene.readers += 1
            yield from self._document(order)
            yield Tick()

    def close(self) -> None:
        """Nothing runs."""

    def _document(self, order: Order) -> Iterator[Event]:
        self._reach(order, 0)
        try:
            lines = Path(order.path).read_text().splitlines()
        except OSError as error:
            yield Refused(order.document, f"{order.name} cannot be opened ({error.strerror})", "cannot be opened")
            return
        if lines[:1] and lines[0].startswith("REFUSE "):
            self._scene.on.get(f"{order.name} refused", lambda: None)()
            yield Refused(order.document, lines[0].removeprefix("REFUSE "), "cannot be opened")
            return
        numbers = select_pages(parse_ranges(order.pages) if order.pages else None, len(lines))
        yield Opened(order.document, tuple(numbers))
        for number in numbers:
            self._reach(order, number)
            if lines[number - 1] == "HANG":
                yield Refused(order.document, "the reading process crashed", "crash")
                return
            yield Done(order.document, self._page(number, lines[number - 1]))
            yield Tick()

    def _reach(self, order: Order, number: int) -> None:
        place = f"{order.name} {number}"
        self._scene.places.append(place)
        if action := self._scene.on.get(place):
            action()

    def _page(self, number: int, line: str) -> PageResult:
        mode = self._settings.options.mode or "tiny"
        fault = "loop" if line.startswith("FAIL ") else None
        error = line.removeprefix("FAIL ") if fault else ""
        attempt = Attempt("fake", mode, "end", 0.1, error, fault=fault)
        blocks = () if fault else (Block("paragraph", line, (0, 0, 9, 9)),)
        return PageResult(
            number, "failed" if fault else "ok", blocks, 100, 100, engine="fake", mode=mode,
            plan=plan(100, 100, mode), attempts=(attempt,), seconds={"decode": 0.1}, error=error,
        )  # fmt: skip


def scene(root: Path, monkeypatch, capfd) -> Scene:
    """A Scene whose commands run in this process."""
    import ocrpress.cli.batching
    from ocrpress.__main__ import main

    def run_command(arguments: list[str]) -> tuple[int, str]:
        capfd.readouterr()
        code = main(arguments)
        return code, capfd.readouterr().err

    made = Scene(root, run_command)
    monkeypatch.setattr(ocrpress.cli.batching, "Crew", functools.partial(LineReader, made))
    (root / "in").mkdir(exist_ok=True)
    return made


def worker_command(log: Path, seconds: float) -> tuple[str, ...]:
    """What runs a reading process that counts its pages."""
    return (sys.executable, __file__, "worker", str(log), str(seconds))


def batch_command(log: Path, seconds: float, *arguments: object) -> tuple[str, ...]:
    """What runs a batch with such a process."""
    return (sys.executable, __file__, "batch", str(log), str(seconds), *map(str, arguments))


def pages_begun(log: Path) -> Counter[str]:
    """How often each page was begun, by what the fake engine reads on it."""
    return Counter(log.read_text().splitlines()) if log.exists() else Counter()


def _be_worker(log: str, seconds: float) -> None:
    import ocrpress.jobs.reading.worker as worker
    from ocrpress.document import Request
    from ocrpress.engines.fake import FakeEngine, describe

    descriptor = os.open(log, os.O_WRONLY | os.O_APPEND | os.O_CREAT)

    def read_as(request: Request) -> str:
        text = describe(request)
        os.write(descriptor, f"{text}\n".encode())
        return text

    worker.open_engine = lambda name, options: FakeEngine(read_as, seconds)  # type: ignore[attr-defined]
    worker.main()


def _be_batch(log: str, seconds: float, arguments: list[str]) -> int:
    import ocrpress.cli.batching as batching
    from ocrpress.__main__ import main
    from ocrpress.jobs.reading.crew import Crew

    command = worker_command(Path(log), seconds)
    batching.Crew = functools.partial(Crew, command=command)  # type: ignore[misc, assignment]
    return main(["batch", *arguments])


if __name__ == "__main__":
    role, log, seconds, *rest = sys.argv[1:]
    if role == "worker":
        _be_worker(log, float(seconds))
    else:
        sys.exit(_be_batch(log, float(seconds), rest))
