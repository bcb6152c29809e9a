"""The supply of pages of many documents: nothing waits for ever, is drawn too far ahead, or is left open."""

from __future__ import annotations

import random
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from pdfmaker import make_text_pdf
from PIL import Image

from ocrpress.document import PageImage, PageResult, Request, UnreadablePage
from ocrpress.engines.fake import FakeEngine
from ocrpress.errors import EngineError, InputError, PasswordError
from ocrpress.jobs.reading.feed import Desk, Feed
from ocrpress.jobs.reading.order import Order
from ocrpress.pipeline import Options, options_for
from ocrpress.pipeline.case import Finisher, Origin
from ocrpress.pipeline.flow import NUDGED, Flow, Leaf
from ocrpress.sources.bench import Bench

PATIENCE = 20.0  # seconds; what takes longer hangs


def picture(number: int, ink: bool = True) -> PageImage:
    image = Image.new("RGB", (32, 32), "white")
    if ink:
        image.paste((0, 0, 0), (4, 4, 28, 28))
    return PageImage(number, image, 32, 32)


@dataclass
class Played:
    """A source. Its pages: "p" picture, "b" blank, "u" unreadable, "e" the source raises, "s" it ends too soon."""

    pattern: str
    delay: float = 0.0
    gate: threading.Event | None = None  # must be set before the second page is drawn
    name: str = "played"
    drawn: int = 0
    exhausted: bool = False
    closed: int = 0

    @property
    def numbers(self) -> range:
        return range(1, len(self.pattern) + 1)

    def pages(self) -> Iterator[PageImage | UnreadablePage]:
        for number, kind in enumerate(self.pattern, 1):
            if number == 2 and self.gate:
                assert self.gate.wait(PATIENCE)
            time.sleep(self.delay)
            if kind == "e":
                raise InputError("it is torn", "mend it")
            if kind == "s":
                return
            self.drawn += 1
            yield UnreadablePage(number, "no pixels") if kind == "u" else picture(number, kind == "p")
        self.exhausted = True

    def redraw(self, number: int, mode: str) -> PageImage:
        assert not self.closed
        return picture(100 + number)

    def close(self) -> None:
        self.closed += 1


@dataclass
class Room:
    """A feed with played sources, an engine that reads what it gives, and what both said."""

    monkeypatch: pytest.MonkeyPatch
    workers: int = 1
    engine: FakeEngine = field(default_factory=FakeEngine)
    sources: dict[str, Played | Exception] = field(default_factory=dict)
    said: list[dict[str, Any]] = field(default_factory=list)
    done: list[tuple[int, PageResult]] = field(default_factory=list)
    failed: list[BaseException] = field(default_factory=list)
    use_files: bool = False

    def __post_init__(self) -> None:
        self.options = options_for(Options(mode="base", workers=self.workers), self.engine)
        self.changed = threading.Condition()
        self.finish = Finisher("fake", "base", "markdown", None)
        self.feed = Feed(self.options, lambda order, options: self.finish, self.say, self.failed.append)
        if not self.use_files:
            self.monkeypatch.setattr("ocrpress.jobs.reading.feed.open_source", self.open)

    def open(self, path: str, options: object, bench: Bench, name: str) -> Played:
        source = self.sources[path]
        if isinstance(source, Exception):
            raise source
        return source

    def say(self, message: dict[str, Any]) -> None:
        with self.changed:
            self.said.append(message)
            self.changed.notify_all()

    def add(self, pattern: str | Exception, **more: Any) -> Played | None:
        document = len(self.sources) + 1
        source = pattern if isinstance(pattern, Exception) else Played(pattern, **more)
        self.sources[str(document)] = source
        self.feed.add(Order(document, str(document), ""))
        return source if isinstance(source, Played) else None

    def deliver(self, origin: Origin, result: PageResult) -> None:
        assert isinstance(origin, Desk)
        with self.changed:
            self.done.append((origin.order.document, result))
        origin.settle()

    def read_on(self) -> None:
        """What the reading process does, in a thread."""

        def run() -> None:
            try:
                while True:
                    self.feed.wait()
                    for _ in Flow(self.engine, self.options.fallback, self.feed.pull, self.deliver).steps():
                        pass
            except BaseException as error:
                self.failed.append(error)
                raise

        threading.Thread(target=run, daemon=True).start()

    def wait(self, condition: Callable[[], bool]) -> None:
        with self.changed:
            assert self.changed.wait_for(condition, PATIENCE), (self.said, self.done)

    def closed(self) -> set[int]:
        return {message["closed"] for message in self.said if "closed" in message}

    def finish_all(self) -> None:
        self.finish_all_but(unopened=set())

    def finish_all_but(self, unopened: set[int]) -> None:
        self.feed.end()
        self.wait(lambda: len(self.closed()) == len(self.sources))
        assert not self.failed
        for document, source in self.sources.items():
            assert not isinstance(source, Played) or bool(source.closed) == (int(document) not in unopened)


@pytest.fixture
def room(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., Room]]:
    rooms: list[Room] = []

    def make(**more: Any) -> Room:
        rooms.append(Room(monkeypatch, **more))
        return rooms[-1]

    yield make
    for each in rooms:
        each.feed.close()


BATCHED = {"in_flight": 5, "backwards": True}


def test_what_happens_to_a_document_is_said_in_order(room: Callable[..., Room]) -> None:
    here = room()
    here.read_on()
    here.add("pb")
    here.finish_all()
    assert here.said == [
        {"drawing": [1, 0]}, {"opened": 1, "numbers": [1, 2]},
        {"drawing": [1, 1]}, {"drawn": [1, 1]},
        *sorted(here.said[4:-1], key=here.said.index),
        {"closed": 1},
    ]  # fmt: skip
    rest = here.said[4:-1]
    assert sorted(map(str, rest)) == sorted(
        map(str, [{"begun": [1, 1]}, {"drawing": [1, 2]}, {"drawn": [1, 2]}, {"begun": [1, 2]}])
    )
    assert [(number, result.status) for number, result in here.done] == [(1, "ok"), (1, "blank")]


@pytest.mark.parametrize("workers", [1, 3])
@pytest.mark.parametrize(
    "patterns",
    [
        ["p"],
        ["u", "uuu", "b"],
        ["b" * 20],
        ["ppp", "", "p"],
        ["ppe", "pp", "e", "s"],
        ["ppppppppps", "pppp"],
        [InputError("no", "no"), "pp", PasswordError("locked"), MemoryError()],
        [],
    ],
    ids=str,
)
def test_a_batch_of_any_kind_comes_to_its_end(
    room: Callable[..., Room], patterns: list[str | Exception], workers: int
) -> None:
    here = room(workers=workers, engine=FakeEngine(**BATCHED))
    here.read_on()
    for pattern in patterns:
        here.add(pattern)
    here.finish_all()
    for document, pattern in enumerate(patterns, 1):
        came = sorted(result.number for number, result in here.done if number == document)
        whole = pattern if isinstance(pattern, str) else "e"
        readable = min([whole.find(mark) for mark in "es" if mark in whole], default=len(whole))
        assert came == list(range(1, readable + 1))
        refused = [message for message in here.said if message.get("refused") == document]
        assert len(refused) == (readable < len(whole))


def test_why_a_document_is_refused_is_said(room: Callable[..., Room]) -> None:
    here = room()
    here.read_on()
    for error in (InputError("it is odd", "look"), PasswordError("locked"), MemoryError(), ValueError("what")):
        here.add(error)
    here.add("ps")
    here.finish_all()
    refused = {
        message["refused"]: (message["error"], message["cause"]) for message in here.said if "refused" in message
    }
    assert refused == {
        1: ("it is odd: look", "cannot be opened"),
        2: ("locked: give the right one with --password", "password"),
        3: ("MemoryError: ", "out of memory"),
        4: ("ValueError: what", "error"),
        5: ("played ended before page 2: read it again when it is whole", "cannot be opened"),
    }


def test_nothing_is_drawn_far_ahead_of_the_engine(room: Callable[..., Room]) -> None:
    """Of each of two threads one page waits and one is in hand; the engine takes none."""
    here = room(workers=2)
    sources = [here.add("p" * 50) for _ in range(3)]
    here.wait(lambda: sum("drawn" in message for message in here.said) == 4)
    time.sleep(0.1)
    assert sum(source.drawn for source in sources if source) == 4
    assert sum("opened" in message for message in here.said) == 2
    here.read_on()
    here.finish_all()
    assert len(here.done) == 150


def test_documents_are_drawn_side_by_side(room: Callable[..., Room]) -> None:
    """The first stands still; the second is read meanwhile."""
    here, gate = room(workers=2), threading.Event()
    here.read_on()
    here.add("ppp", gate=gate)
    here.add("ppp")
    here.wait(lambda: [number for number, _ in here.done].count(2) == 3)
    gate.set()
    here.finish_all()


def test_a_partial_batch_is_read_when_nothing_more_comes_and_the_next_one_too(room: Callable[..., Room]) -> None:
    here = room(engine=FakeEngine(**BATCHED))
    here.read_on()
    for count in (1, 2, 3):
        here.add("pp")
        here.feed.end()
        here.wait(lambda count=count: len(here.done) == 2 * count)
    here.finish_all()


def test_without_an_end_a_batch_waits_to_be_full(room: Callable[..., Room]) -> None:
    here = room(engine=FakeEngine(**BATCHED))
    here.read_on()
    here.add("pp")
    here.wait(lambda: sum("begun" in message for message in here.said) == 2)
    time.sleep(0.1)
    assert not here.done
    here.add("ppp")
    here.wait(lambda: len(here.done) == 5)
    here.finish_all()


def test_a_document_stays_open_until_its_last_page_is_settled(room: Callable[..., Room]) -> None:
    here = room()
    source = here.add("pp")
    assert source
    leaves = [here.feed.pull(), here.feed.pull()]
    here.feed.end()
    assert here.feed.pull() is None
    assert source.exhausted
    for leaf in leaves:
        assert leaf
        assert isinstance(leaf.origin, Desk)
        assert not source.closed
        page = leaf.origin.redraw(leaf.page.number, "large")
        assert page
        assert page.number == 100 + leaf.page.number
        leaf.origin.settle()
    assert source.closed == 1
    assert here.said[-1] == {"closed": 1}


def test_pages_that_came_as_pixels_are_drawn_again_from_their_document(
    room: Callable[..., Room], tmp_path: Path
) -> None:
    here = room(use_files=True)
    path = tmp_path / "three.pdf"
    path.write_bytes(make_text_pdf(3))
    for where in (path, tmp_path / "gone.pdf"):
        here.feed.add(Order(1, str(where), "", page=picture(2)))
    found, gone = here.feed.pull(), here.feed.pull()
    assert found
    assert gone
    assert found.page.number == 2
    page = found.origin.redraw(2, "large")
    assert page
    assert page.image.height > 1000
    assert gone.origin.redraw(2, "large") is None


def test_a_page_that_cannot_be_drawn_again_has_the_pixels_that_it_has(room: Callable[..., Room]) -> None:
    here = room()
    source = here.add("p")
    leaf = here.feed.pull()
    assert leaf
    assert source
    source.redraw = lambda number, mode: 1 / 0  # type: ignore[method-assign]
    assert leaf.origin.redraw(1, "large") is None


def test_the_render_worker_is_free_while_the_engine_reads_the_last_page(
    room: Callable[..., Room], tmp_path: Path
) -> None:
    """Else an engine that holds many documents of one page would hold as many processes."""
    here = room(use_files=True)
    path = tmp_path / "one.pdf"
    path.write_bytes(make_text_pdf(1))
    leaves = []
    for document in range(4):
        here.feed.add(Order(document, str(path), ""))
        leaves.append(here.feed.pull())
        here.wait(lambda: bool(here.feed._bench._idle))
        assert len(here.feed._bench._idle) == 1
    assert not any("closed" in message for message in here.said)


def test_where_nothing_can_be_drawn_the_reading_gives_up_and_settles_nothing(
    room: Callable[..., Room], monkeypatch: pytest.MonkeyPatch
) -> None:
    here = room()
    here.add(EngineError("no process can be started", "make room"))
    end = time.monotonic() + PATIENCE
    while not here.failed:
        assert time.monotonic() < end
        time.sleep(0.01)
    assert str(here.failed[0]) == "no process can be started: make room"
    assert here.said == [{"drawing": [1, 0]}]


def test_closing_ends_the_threads_and_the_waiting(room: Callable[..., Room]) -> None:
    here = room(workers=3)
    for _ in range(5):
        here.add("p" * 20)
    here.wait(lambda: sum("drawn" in message for message in here.said) >= 3)
    here.feed.close()
    for thread in here.feed._threads:
        thread.join(PATIENCE)
        assert not thread.is_alive()
    while here.feed.pull():
        pass


@pytest.mark.parametrize("seed", range(12))
def test_whenever_orders_and_ends_come_all_pages_are_read_once(room: Callable[..., Room], seed: int) -> None:
    draw = random.Random(seed)

    class Pulling(FakeEngine):
        """Asks for pages in a thread of its own, as engines on a GPU do."""

        def read(self, requests: Iterable[Request]):
            return super().read(iter(ahead(requests)) if seed % 3 == 0 else requests)

    engine = Pulling(in_flight=draw.randint(1, 6), backwards=draw.random() < 0.5)
    here = room(workers=draw.randint(1, 4), engine=engine)
    here.read_on()
    patterns = ["".join(draw.choices("ppppbu", k=draw.randint(1, 9))) for _ in range(30)]
    for pattern in patterns:
        here.add(pattern + draw.choice(["", "", "e"]), delay=draw.choice([0, 0, 0.001]))
        if draw.random() < 0.3:
            here.feed.end()
        if draw.random() < 0.2:
            time.sleep(draw.random() / 100)
    here.finish_all()
    places = [(document, result.number) for document, result in here.done]
    assert len(set(places)) == len(places) == sum(map(len, patterns))


def pulled(here: Room) -> Leaf:
    leaf = here.feed.pull()
    assert isinstance(leaf, Leaf)
    return leaf


def test_a_nudge_ends_the_waiting_once(room: Callable[..., Room]) -> None:
    here = room()
    got: list[object] = []
    for early in (True, False):
        thread = threading.Thread(target=lambda: got.append(here.feed.pull()))
        if early:
            here.feed.nudge()
            here.feed.nudge()
        thread.start()
        if not early:
            time.sleep(0.02)
            here.feed.nudge()
        thread.join(PATIENCE)
        assert got.pop() is NUDGED
    here.add("p")
    assert pulled(here).page.number == 1


def test_documents_are_opened_and_read_as_their_orders_say(room: Callable[..., Room]) -> None:
    here, opened = room(), []
    here.monkeypatch.setattr(
        "ocrpress.jobs.reading.feed.open_source",
        lambda path, options, bench, *name: opened.append(options) or Played("p"),
    )
    special = Options(mode="tiny", dpi=50.0, password="x", max_tiles=3, workers=7, page_seconds=3.0, max_pages=5)
    here.feed.add(Order(1, "1", "", pages="2-3", options=special))
    here.feed.add(Order(2, "2", "", pages="4"))
    leaves = [pulled(here), pulled(here)]
    assert [leaf.origin.options for leaf in leaves] == [special, here.options]
    first, second = opened
    assert (first.mode, first.dpi, first.password, first.max_tiles) == ("tiny", 50.0, "x", 3)
    assert (first.page_seconds, first.max_pages) == (3.0, 5)
    assert (second.mode, second.dpi, second.password) == ("base", None, None)
    assert [(each.pages, each.workers) for each in opened] == [("2-3", 1), ("4", 1)]


@pytest.mark.parametrize(
    ("options", "error"),
    [
        (Options(mode="bass"), "did you mean 'base'"),
        (Options(mode="tiny", dpi=5.0), "5 dpi is out of range"),
        (Options(mode="tiny", renderer="popler"), "did you mean 'poppler'"),
        (Options(mode="tiny", max_tiles=1), "1"),
    ],
    ids=str,
)
def test_options_that_make_no_sense_cost_their_own_document_only(
    room: Callable[..., Room], tmp_path: Path, options: Options, error: str
) -> None:
    here = room(use_files=True)
    path = tmp_path / "one.pdf"
    path.write_bytes(make_text_pdf(1))
    here.read_on()
    here.feed.add(Order(1, str(path), "", options=options))
    here.feed.add(Order(2, str(path), ""))
    here.wait(lambda: len(here.closed()) == 2)
    assert [(document, page.status) for document, page in here.done] == [(2, "ok")]
    (refused,) = (message for message in here.said if "refused" in message)
    assert refused["refused"] == 1
    assert error in refused["error"]
    assert not here.failed


def test_of_a_document_that_is_dropped_no_more_is_drawn(room: Callable[..., Room]) -> None:
    here = room()
    first, waiting = here.add("p" * 50), here.add("pp")
    assert first
    assert waiting
    here.wait(lambda: first.drawn == 2)  # one waits, one is in hand
    here.feed.drop(2)
    here.feed.drop(1)
    here.feed.drop(7)
    here.read_on()
    here.finish_all_but(unopened={2})
    assert [(document, page.number) for document, page in here.done] == [(1, 1), (1, 2)]
    assert (first.drawn, waiting.drawn) == (2, 0)
    assert not any(message in here.said for message in ({"drawing": [2, 0]}, {"refused": 1}))


def test_a_document_that_is_dropped_while_it_is_opened_is_not_drawn(room: Callable[..., Room]) -> None:
    here = room()
    opening, go_on = threading.Event(), threading.Event()

    def slowly(path: str, *more: object) -> Played:
        opening.set()
        assert go_on.wait(PATIENCE)
        return here.sources[path]  # type: ignore[return-value]

    here.monkeypatch.setattr("ocrpress.jobs.reading.feed.open_source", slowly)
    source = here.add("ppp")
    assert opening.wait(PATIENCE)
    here.feed.drop(1)
    go_on.set()
    here.finish_all()
    assert source
    assert source.drawn == 0
    assert not here.done


@pytest.mark.parametrize("seed", range(12))
def test_whatever_is_dropped_when_every_document_is_closed_once_and_others_are_read_whole(
    room: Callable[..., Room], seed: int
) -> None:
    draw = random.Random(seed)
    here = room(workers=draw.randint(1, 4), engine=FakeEngine(in_flight=draw.randint(1, 3)))
    here.read_on()
    patterns = ["".join(draw.choices("pppbue", k=draw.randint(1, 30))) for _ in range(25)]
    dropped: dict[int, int] = {}
    for document, pattern in enumerate(patterns, 1):
        here.add(pattern, delay=draw.choice([0, 0.001]))
        if draw.random() < 0.4:
            gone = draw.randint(max(1, document - 6), document)
            if gone not in dropped:
                here.feed.drop(gone)
                source = here.sources[str(gone)]
                assert isinstance(source, Played)
                dropped[gone] = source.drawn
        if draw.random() < 0.3:
            time.sleep(draw.random() / 50)
    here.feed.end()
    here.wait(lambda: len(here.closed()) == len(patterns))
    closed = [message["closed"] for message in here.said if "closed" in message]
    assert len(closed) == len(patterns)
    assert not here.failed
    for document, pattern in enumerate(patterns, 1):
        source = here.sources[str(document)]
        assert isinstance(source, Played)
        whole = pattern.partition("e")[0]
        came = sorted(page.number for number, page in here.done if number == document)
        assert came == list(range(1, len(came) + 1))
        if document in dropped:
            assert source.drawn <= dropped[document] + 1  # the one that was being drawn
            assert source.drawn == len(came)
        else:
            assert len(came) == len(whole)


def ahead(requests: Iterable[Request]) -> Iterator[Request]:
    import queue

    taken: queue.Queue[Request | None] = queue.Queue(2)

    def pull() -> None:
        for request in requests:
            taken.put(request)
        taken.put(None)

    threading.Thread(target=pull, daemon=True).start()
    while (request := taken.get()) is not None:
        yield request
