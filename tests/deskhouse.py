"""A house for tests: a desk over a real, faulty reading process, and those who ask it to read."""

from __future__ import annotations

import json
import sys
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from conftest import ROOT
from crewshop import Shop, shop

from ocrpress.document import PageResult
from ocrpress.jobs.reading.order import Done, Opened
from ocrpress.jobs.reading.settings import Settings
from ocrpress.pipeline import Options
from ocrpress.server.desk.desk import Desk
from ocrpress.server.desk.facts import Load
from ocrpress.server.desk.work import Over, Told, Work

__all__ = ["shop"]

PATIENCE = 40.0  # seconds; what takes longer hangs
NONE = Load()
TINY = Options(mode="tiny", page_seconds=1.0, workers=2)


@dataclass
class Asked:
    """A work, and what it was told."""

    told: list[Told] = field(default_factory=list)
    when: list[float] = field(default_factory=list)
    threads: set[str] = field(default_factory=set)
    work: Work = field(init=False)

    def tell(self, told: Told) -> None:
        self.threads.add(threading.current_thread().name)
        self.when.append(time.monotonic())
        self.told.append(told)

    @property
    def pages(self) -> dict[int, PageResult]:
        """By number; each came once, after Opened and before Over."""
        done = [told.result for told in self.told if isinstance(told, Done)]
        kinds = [type(told) for told in self.told]
        assert kinds == [*[Opened] * (Opened in kinds), *[Done] * len(done), *[Over] * (Over in kinds)]
        assert len({page.number for page in done}) == len(done)
        return {page.number: page for page in done}

    @property
    def over(self) -> Over | None:
        last = self.told[-1] if self.told else None
        return last if isinstance(last, Over) else None

    @property
    def statuses(self) -> dict[int, str]:
        assert self.over == Over()
        assert [told.numbers for told in self.told if isinstance(told, Opened)] == [tuple(sorted(self.pages))]
        assert self.threads == {"ocrpress-desk"}
        return {number: page.status for number, page in sorted(self.pages.items())}

    def wait(self) -> Asked:
        wait_for(lambda: self.over)
        return self


class House:
    """A shop whose documents are read by a desk."""

    def __init__(self, shop: Shop) -> None:
        self.shop = shop
        self.watched: list[tuple[int, str]] = []
        self.desk: Desk

    def open(self, queue: int = 50, **more: object) -> Desk:
        self.make(queue, **more).start()
        return self.desk

    def make(self, queue: int = 50, limit: float = 20.0, options: Options = TINY, **more: object) -> Desk:
        self.write_spec()
        more.setdefault("watch", lambda result, cause: self.watched.append((result.number, cause)))
        settings = Settings("fake", options=options, page_limit=limit)
        self.desk = Desk(settings, queue, log=self.shop.log, command=command(self.shop), **more)  # type: ignore[arg-type]
        return self.desk

    def write_spec(self) -> None:
        (self.shop.folder / "spec.json").write_text(json.dumps(self.shop.spec))
        (self.shop.folder / "read").touch()

    def ask(
        self, path: str | Path, numbers: object = (1,), client: str = "a", options: Options = TINY, name: str = "",
        **more: object,
    ) -> Asked:  # fmt: skip
        asked, name = Asked(), name or Path(path).name
        asked.work = Work(str(path), name, options, client, numbers, asked.tell, **more)  # type: ignore[arg-type]
        self.desk.submit(asked.work)
        return asked

    def path(self, document: int) -> Path:
        return self.shop.folder / f"{document}.tiff"

    def tiff(self, count: int, client: str = "a", **more: object) -> Asked:
        """A new document of so many pages."""
        return self.ask(self.path(self.shop.add(count)), range(1, count + 1), client, **more)

    def text(self, name: str, lines: int, **more: object) -> Asked:
        """Some 45 lines are a page."""
        path = self.shop.folder / name
        path.write_text("\n\n".join(f"Line {n} of a text." for n in range(lines)))
        return self.ask(path, None, **more)

    def ends(self) -> None:
        """Nothing is left of anything; closing tells nobody."""
        wait_for(lambda: (self.desk.load().documents, self.desk.load().waiting, self.desk.load().reading) == (0, 0, 0))
        self.desk.close()
        assert self.desk.load().clients == 0


def command(shop: Shop) -> tuple[str, ...]:
    return sys.executable, "-P", str(ROOT / "tests" / "faulty_worker.py"), str(shop.folder / "spec.json")


def wait_for(condition: Callable[[], object], seconds: float = PATIENCE) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "in vain"
        time.sleep(0.005)


@pytest.fixture
def house(shop: Shop) -> Iterator[House]:
    made = House(shop)
    yield made
    if hasattr(made, "desk"):
        made.desk.close()


def side_by_side(house: House, in_flight: int = 3) -> None:
    house.shop.spec |= {"engine": {"in_flight": in_flight}, "side_by_side": True}
