"""A shop for tests: makes small documents, and has them read by a crew over the faulty worker."""

from __future__ import annotations

import itertools
import json
import sys
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from conftest import ROOT
from PIL import Image

from ocrpress.document import PageResult
from ocrpress.jobs.reading.crew import Crew
from ocrpress.jobs.reading.order import Done, Event, Opened, Order, Refused, Tick
from ocrpress.jobs.reading.settings import Settings
from ocrpress.pipeline import Options

BATCHED = {"in_flight": 5, "backwards": True}
WIDTHS = itertools.count(100)


@dataclass
class Given:
    """`Orders` that are there, or come one by one."""

    orders: list[Order]
    pause: float = 0.0
    _next: float = 0.0

    def take(self) -> Order | None:
        if not self.orders or time.monotonic() < self._next:
            return None
        self._next = time.monotonic() + self.pause
        return self.orders.pop(0)

    @property
    def exhausted(self) -> bool:
        return not self.orders


@dataclass
class Outcome:
    """What came of a batch: results and causes by document and page, and how often each was read."""

    results: dict[int, dict[int, PageResult]] = field(default_factory=dict)
    causes: dict[tuple[int, int], str] = field(default_factory=dict)
    refused: dict[int, Refused] = field(default_factory=dict)
    opened: dict[int, tuple[int, ...]] = field(default_factory=dict)
    ticks: int = 0

    def take(self, event: Event) -> None:
        """Every page comes once, after its document was opened."""
        if isinstance(event, Opened):
            assert event.document not in self.opened
            self.opened[event.document], self.results[event.document] = event.numbers, {}
        elif isinstance(event, Done):
            pages = self.results[event.document]
            assert event.document not in self.refused
            assert event.result.number in self.opened[event.document]
            assert event.result.number not in pages
            pages[event.result.number] = event.result
            self.causes[event.document, event.result.number] = event.cause
        elif isinstance(event, Refused):
            assert event.document not in self.refused
            self.refused[event.document] = event
        else:
            assert isinstance(event, Tick)
            self.ticks += 1

    @property
    def failed(self) -> dict[tuple[int, int], str]:
        """The pages that failed, and the cause."""
        return {
            (document, number): self.causes[document, number]
            for document, pages in self.results.items()
            for number, page in pages.items()
            if page.status == "failed"
        }


class Shop:
    """Makes documents and reads them."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.spec: dict[str, object] = {"engine": {}, "faults": [], "read": str(folder / "read")}
        self.log = folder / "worker.log"
        self.documents: list[Order] = []
        self.crew: Crew | None = None

    def add(self, count: int = 1, blank: bool = False, **more: object) -> int:
        """A document; its number is the width of its pages."""
        document = next(WIDTHS)
        frames = [Image.new("RGB", (document, 40), "white") for _ in range(count)]
        for frame in frames if not blank else ():
            frame.paste((0, 0, 0), (10, 10, 30, 30))
        path = self.folder / f"{document}.tiff"
        frames[0].save(path, save_all=True, append_images=frames[1:], dpi=(72, 72))
        return self.order(path, document, **more)

    def add_file(self, name: str, data: bytes, **more: object) -> int:
        path = self.folder / name
        path.write_bytes(data)
        return self.order(path, next(WIDTHS), **more)

    def order(self, path: Path, document: int, **more: object) -> int:
        self.documents.append(Order(document, str(path), path.name, **more))  # type: ignore[arg-type]
        return document

    def harm(self, document: int | str, page: int, what: str, times: int = 0) -> None:
        self.spec["faults"].append([document, page, what, times])  # type: ignore[attr-defined]

    def open(self, **settings: object) -> Crew:
        """A crew over the faulty worker."""
        (self.folder / "spec.json").write_text(json.dumps(self.spec))
        (self.folder / "read").touch()
        settings = {"options": Options(mode="tiny", page_seconds=1.0), "page_limit": 20.0, **settings}
        command = (sys.executable, "-P", str(ROOT / "tests" / "faulty_worker.py"), str(self.folder / "spec.json"))
        self.crew = Crew(Settings("fake", **settings), command, self.log)  # type: ignore[arg-type]
        return self.crew

    def events(self, orders: Given | None = None, **settings: object) -> Iterator[Event]:
        yield from self.open(**settings).read(orders or Given(list(self.documents)))

    def run(self, orders: Given | None = None, **settings: object) -> Outcome:
        """Read everything; every document is settled in the end."""
        outcome = Outcome()
        started = time.monotonic()
        for event in self.events(orders, **settings):
            outcome.take(event)
            assert time.monotonic() - started < 60, "it does not come to an end"
        for order in self.documents:
            settled = set(outcome.opened.get(order.document, ())) == set(outcome.results.get(order.document, ()))
            assert order.document in outcome.refused or (settled and order.document in outcome.opened)
        return outcome

    @property
    def read(self) -> Counter[str]:
        """How often "document page" was read; page 0 stands for its being opened, "engine 0" for processes."""
        return Counter((self.folder / "read").read_text().splitlines())


@pytest.fixture
def shop(tmp_path: Path) -> Iterator[Shop]:
    made = Shop(tmp_path)
    yield made
    if made.crew:
        made.crew.close()
