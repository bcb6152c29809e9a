"""Pages of many documents in one stream through one engine; what a single document does is in test_pipeline."""

from __future__ import annotations

import random
import threading
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Self

import pytest
from PIL import Image

from ocrpress.document import Completion, PageImage, PageResult, Region, Request, UnreadablePage
from ocrpress.engines.fake import FakeEngine, script
from ocrpress.engines.side_by_side import SideBySide
from ocrpress.errors import EngineError, OutputError
from ocrpress.figures import FigureWriter
from ocrpress.modes import MODES
from ocrpress.pipeline import Options, Substitute
from ocrpress.pipeline.case import Finisher, Origin
from ocrpress.pipeline.flow import NUDGED, Flow, Leaf, Pulled

GOOD = "# A heading\n\nThe page as it stands, read to its end."
LOOP = "First a sentence that is true.\n\n" + "and then again " * 300


@dataclass(eq=False)
class Book:
    """A document. A letter a page: "p" picture, "b" blank, "u" unreadable."""

    name: str
    pattern: str
    figures: FigureWriter | None = None
    options: Options = None  # type: ignore[assignment] (those of the reading)
    redrawn: list[tuple[int, str]] = field(default_factory=list)
    results: dict[int, PageResult] = field(default_factory=dict)

    @property
    def finish(self) -> Finisher:
        return Finisher(self.name, "base", "markdown", self.figures)

    def leaves(self) -> Iterator[Leaf]:
        for number, kind in enumerate(self.pattern, 1):
            page = UnreadablePage(number, "no pixels") if kind == "u" else self.page(number, 64 if kind == "p" else 0)
            yield Leaf(self, page)

    def page(self, number: int, ink: int) -> PageImage:
        image = Image.new("RGB", (100, 100), "white")
        image.paste((0, 0, 0), (0, 0, ink, ink))
        return PageImage(number, image, 100 + len(self.name), 100)

    def redraw(self, number: int, mode: str) -> PageImage | None:
        self.redrawn.append((number, mode))
        return self.page(number, 80)


def read(
    engine: FakeEngine, books: list[Book], substitute: Substitute | None = None, *, salvage: bool = True, **more: object
) -> Flow:
    """The pages of all books in turn: the first of each, the second of each, …"""
    waiting = deque(book.leaves() for book in books)
    options = Options(mode="base", **more)  # type: ignore[arg-type]
    for book in books:
        book.options = book.options or options

    def pull() -> Leaf | None:
        while waiting:
            leaves = waiting.popleft()
            if leaf := next(leaves, None):
                waiting.append(leaves)
                return leaf
        return None

    def deliver(origin: Origin, result: PageResult) -> None:
        assert isinstance(origin, Book)
        assert result.number not in origin.results
        origin.results[result.number] = result

    flow = Flow(engine, options.fallback, pull, deliver, substitute, salvage=salvage)
    try:
        for _ in flow.steps():
            pass
    finally:
        flow.close()
    return flow


def sampling(read_as: Callable[[Request], str], **more: object) -> FakeEngine:
    return FakeEngine(read_as, sampling=True, modes=tuple(MODES), name="model", max_tokens=400, **more)  # type: ignore[arg-type]


@pytest.mark.parametrize("seed", range(10))
def test_pages_with_the_same_number_go_back_to_their_own_documents(seed: int) -> None:
    draw = random.Random(seed)
    books = [Book("x" * n, "".join(draw.choices("pppbu", k=draw.randint(0, 8)))) for n in range(1, 12)]
    engine = FakeEngine(in_flight=draw.randint(1, 7), backwards=draw.random() < 0.5)
    read(engine, books)
    for book in books:
        kinds = {"p": "ok", "b": "blank", "u": "failed"}
        assert {number: page.status for number, page in book.results.items()} == {
            number: kinds[kind] for number, kind in enumerate(book.pattern, 1)
        }
        for page in book.results.values():
            assert page.width == (0 if page.status == "failed" else 100 + len(book.name))
            assert page.status != "ok" or page.text.startswith(f"Page {page.number} is")


def test_the_engine_is_full_across_the_ends_of_documents() -> None:
    """Five pages at a time, though no document has more than one."""
    held: list[int] = []

    class Watched(FakeEngine):
        def _answers(self, requests: deque[Request]) -> Iterator[Completion]:
            held.append(len(requests))
            return super()._answers(requests)

    read(Watched(in_flight=5), [Book(f"{n}", "p") for n in range(23)])
    assert held == [5, 5, 5, 5, 3]


def test_a_rejected_page_is_drawn_again_by_its_own_document() -> None:
    books = [Book("a", "pp"), Book("bb", "pp"), Book("ccc", "pp")]

    def answer(request: Request) -> str:
        bad = request.page.width == 101 and request.page.number == 2 and request.mode == "base"
        if bad:
            raise ValueError("too small")
        return GOOD

    read(sampling(answer, in_flight=3, backwards=True), books)
    assert [book.redrawn for book in books] == [[(2, "large")], [], []]
    assert books[0].results[2].mode == "large"
    assert all(page.status == "ok" for book in books for page in book.results.values())


def test_one_substitute_serves_all_documents(monkeypatch: pytest.MonkeyPatch) -> None:
    opened = []

    def open_engine(name: str) -> FakeEngine:
        opened.append(FakeEngine(lambda request: f"Page {request.page.number} of {request.page.width}.", name=name))
        return opened[-1]

    monkeypatch.setattr("ocrpress.pipeline.substitute.open_engine", open_engine)
    books = [Book("a" * n, "p" * n) for n in (1, 2, 3)]
    substitute = Substitute("rapid")
    for _ in range(2):  # flow after flow
        for book in books:
            book.results.clear()
        read(sampling(script(LOOP), in_flight=4), books, substitute)
        for book in books:
            assert [page.text for _, page in sorted(book.results.items())] == [
                f"Page {number} of {100 + len(book.name)}." for number in book.results
            ]
    assert len(opened) == 1
    substitute.close()


def test_figures_go_to_the_folder_of_their_document(tmp_path: Path) -> None:
    class Seeing(FakeEngine):
        def _answer(self, request: Request) -> Completion:
            return Completion(request.key, regions=(Region("figure", (0, 0, 50, 50)),))

    books = [Book(name, "pp", FigureWriter(tmp_path / name, name, tmp_path)) for name in ("one", "two")]
    read(Seeing(in_flight=3, backwards=True), books)
    found = sorted(path.relative_to(tmp_path).as_posix() for path in tmp_path.rglob("*.png"))
    assert found == [f"{name}/{name}-p000{page}-1.png" for name in ("one", "two") for page in (1, 2)]
    assert books[1].results[2].blocks[0].image == "two/two-p0002-1.png"


def test_figures_that_cannot_be_written_end_the_flow(tmp_path: Path) -> None:
    class Seeing(FakeEngine):
        def _answer(self, request: Request) -> Completion:
            return Completion(request.key, regions=(Region("figure", (0, 0, 50, 50)),))

    (tmp_path / "in the way").write_text("")
    books = [Book("fine", "p"), Book("bad", "p", FigureWriter(tmp_path / "in the way" / "x", "x", tmp_path))]
    with pytest.raises(OutputError, match="in the way"):
        read(Seeing(), books)
    assert books[0].results[1].status == "ok"


@pytest.mark.parametrize("salvage", [True, False])
def test_when_the_engine_gives_up_rejected_pages_are_delivered_only_if_they_are_to_be_salvaged(salvage: bool) -> None:
    """A batch has them read again, by an engine that runs."""

    class GivingUp(FakeEngine):
        def read(self, requests: Iterable[Request]) -> Iterator[Completion]:
            source = iter(requests)
            first, second, third = next(source), next(source), next(source)
            yield Completion(first.key, GOOD, form="markup")
            yield Completion(second.key, LOOP, form="markup", stop="length")
            yield Completion(third.key, stop="error", error="no answer")
            raise EngineError("the endpoint is gone")

    books = [Book("a", "p"), Book("b", "p"), Book("c", "p")]
    engine = GivingUp(sampling=True, modes=tuple(MODES))
    with pytest.raises(EngineError, match="gone"):
        read(engine, books, salvage=salvage, fallback="none")
    came = [{number: page.status for number, page in book.results.items()} for book in books]
    assert came == ([{1: "ok"}, {1: "failed"}, {1: "failed"}] if salvage else [{1: "ok"}, {}, {}])


def test_flow_after_flow_uses_the_same_engine() -> None:
    engine = FakeEngine(in_flight=4)
    for count in (0, 1, 9):
        books = [Book(f"{n}", "pb") for n in range(count)]
        read(engine, books)
        assert all(len(book.results) == 2 for book in books)


# Options of each document.


@pytest.mark.parametrize("in_flight", [1, 4])
def test_every_document_is_read_as_its_own_options_say(monkeypatch: pytest.MonkeyPatch, in_flight: int) -> None:
    asked: list[Request] = []

    def answer(request: Request) -> str:
        asked.append(request)
        return LOOP

    opened = FakeEngine(lambda request: f"Page {request.page.number}, told.", name="rapid")
    monkeypatch.setattr("ocrpress.pipeline.substitute.open_engine", lambda name: opened)
    books = [
        Book("plain", "pp", options=Options(mode="tiny", retries=0, fallback="none")),
        Book("rescued", "pp", options=Options(mode="small", retries=1, max_tokens=90, fallback="rapid")),
        Book("thorough", "p", options=Options(mode="base", retries=2, temperatures=(0.7,), fallback="none")),
        Book("sought", "p", options=Options(mode="gundam", task="locate=a dog", max_tiles=3, retries=0)),
    ]
    flow = read(sampling(answer, in_flight=in_flight, backwards=True), books, Substitute("rapid"))
    assert not flow._cases
    requests = {book.name: [each for each in asked if each.page.width == 100 + len(book.name)] for book in books}
    plain, rescued, thorough, sought = requests.values()
    assert {(each.mode, each.task, each.attempt) for each in plain} == {("tiny", "markdown", 1)}
    assert sorted((each.mode, each.attempt, each.decoding.max_tokens) for each in rescued) == [
        ("small", attempt, 90) for attempt in (1, 1, 2, 2)
    ]
    assert [each.decoding.temperature for each in thorough] == [0.0, 0.0, 0.7]
    assert [(each.mode, each.task, each.max_tiles) for each in sought] == [("gundam", "locate=a dog", 3)]
    assert {(page.status, page.engine, len(page.attempts)) for page in books[0].results.values()} == {
        ("failed", "plain", 1)
    }
    assert {(page.status, page.engine, page.text) for page in books[1].results.values()} == {
        ("ok", "rapid", f"Page {number}, told.") for number in (1, 2)
    }
    assert books[2].results[1].status == "failed"
    assert (books[3].results[1].status, books[3].results[1].engine) == ("failed", "sought")


# Pages that are long in coming.


class Supply:
    """Pages as a test gives them; `pull` waits for the next."""

    def __init__(self) -> None:
        self.changed = threading.Condition()
        self.leaves: deque[Leaf] = deque()
        self.nudged = self.ended = False
        self.nudges = 0

    def give(self, leaf: Leaf) -> None:
        with self.changed:
            self.leaves.append(leaf)
            self.changed.notify_all()

    def nudge(self) -> None:
        with self.changed:
            self.nudged = True
            self.nudges += 1
            self.changed.notify_all()

    def end(self) -> None:
        with self.changed:
            self.ended = True
            self.changed.notify_all()

    def pull(self) -> Pulled:
        with self.changed:
            assert self.changed.wait_for(lambda: self.nudged or self.leaves or self.ended, 20.0)
            if self.nudged:
                self.nudged = False
                return NUDGED
            return self.leaves.popleft() if self.leaves else None


class Threaded(FakeEngine):
    """Pulls in a thread of its own and answers in others."""

    def read(self, requests: Iterable[Request]) -> Iterator[Completion]:
        with (
            ThreadPoolExecutor(min(8, self.in_flight)) as pool,
            SideBySide(requests, lambda request: pool.submit(self._answer, request), self.in_flight) as pages,
        ):
            for future in pages:
                yield future.result()


@dataclass
class Line:
    """A flow over a supply that does not end, in a thread."""

    engine: FakeEngine
    substitute: Substitute | None = None
    supply: Supply = field(default_factory=Supply)
    done: threading.Condition = field(default_factory=threading.Condition)
    raised: list[BaseException] = field(default_factory=list)
    delivered: int = 0

    def __enter__(self) -> Self:
        self.flow = Flow(
            self.engine, "none", self.supply.pull, self.deliver, self.substitute, salvage=False, nudge=self.supply.nudge
        )
        self.thread = threading.Thread(target=self.run, daemon=True)
        self.thread.start()
        return self

    def __exit__(self, *error: object) -> None:
        self.supply.end()
        self.thread.join(20.0)
        assert not self.thread.is_alive()
        assert not self.raised

    def run(self) -> None:
        try:
            for _ in self.flow.steps():
                pass
        except BaseException as error:
            self.raised.append(error)

    def deliver(self, origin: Origin, result: PageResult) -> None:
        assert isinstance(origin, Book)
        with self.done:
            assert result.number not in origin.results
            origin.results[result.number] = result
            self.delivered += 1
            self.done.notify_all()

    def read(self, book: Book) -> dict[int, str]:
        """The book given, and the statuses of its pages once they are there, though no other page comes."""
        for leaf in book.leaves():
            self.supply.give(leaf)
        with self.done:
            assert self.done.wait_for(lambda: len(book.results) == len(book.pattern) or self.raised, 20.0)
        return {number: page.status for number, page in sorted(book.results.items())}


def quick_substitute(monkeypatch: pytest.MonkeyPatch, seconds: float = 0.0) -> Substitute:
    engine = FakeEngine(lambda request: f"Page {request.page.number}, told.", seconds, name="rapid")
    monkeypatch.setattr("ocrpress.pipeline.substitute.open_engine", lambda name: engine)
    return Substitute("rapid")


@pytest.mark.parametrize("engine", [FakeEngine, Threaded], ids=["pulled when wanted", "pulled in a thread"])
@pytest.mark.parametrize("kept_busy", [0.0, 0.05])
def test_pages_are_answered_though_no_other_ever_comes(
    monkeypatch: pytest.MonkeyPatch, engine: type[FakeEngine], kept_busy: float
) -> None:
    """Also those that are asked for again, and those that the substitute reads: that is what nudges are for."""
    in_flight = 5 if engine is Threaded else 1

    def answer(request: Request) -> str:
        number = request.page.number
        good = number == 1 or (number == 2 and request.attempt == 2) or (number == 4 and request.mode == "large")
        return GOOD if good else LOOP

    model = engine(answer, kept_busy, in_flight, sampling=True, modes=tuple(MODES), name="model", max_tokens=400)
    substitute = quick_substitute(monkeypatch, kept_busy)
    options = Options(mode="base", fallback="rapid")
    with Line(model, substitute) as line:
        for name in ("a", "b", "c"):
            for pattern in ("p", "ppbupp"):
                book = Book(name, pattern, options=options)
                expected = {"p": "ok", "b": "blank", "u": "failed"}
                assert line.read(book) == {n: expected[kind] for n, kind in enumerate(pattern, 1)}
                assert book.results[1].engine == "model"
                if len(pattern) > 1:
                    assert len(book.results[2].attempts) == 2
                    assert (book.results[6].engine, book.results[6].text) == ("rapid", "Page 6, told.")
    substitute.close()


def test_a_page_of_a_document_that_wants_no_substitute_fails_at_once_beside_one_that_does(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    engine = Threaded(script(LOOP), in_flight=3, sampling=True, modes=tuple(MODES), max_tokens=400)
    substitute = quick_substitute(monkeypatch)
    with Line(engine, substitute) as line:
        for fallback, status in (("none", "failed"), ("rapid", "ok")) * 3:
            options = Options(mode="base", retries=1, fallback=fallback)
            assert line.read(Book("a", "pp", options=options)) == {1: status, 2: status}
    substitute.close()


class Lagging(Future[Completion]):
    """The thread that hands pages over has its turn whenever the one that pulls looks."""

    def done(self) -> bool:
        if threading.current_thread().name == "ocrpress-requests":
            time.sleep(0.002)
        return super().done()


class Looked(Substitute):
    """Gives such futures."""

    def ask(self, request: Request) -> Future[Completion]:
        looked = Lagging()
        super().ask(request).add_done_callback(lambda future: looked.set_result(future.result()))
        return looked


def test_nudges_from_all_sides_lose_and_double_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    """Answers of the substitute are taken by whichever thread finds them, while others are handed over."""
    monkeypatch.setattr("ocrpress.pipeline.flow.MOST_SUBSTITUTED", 8)
    quick_substitute(monkeypatch)
    substitute = Looked("rapid")
    engine = Threaded(script(LOOP), in_flight=400, sampling=True, modes=tuple(MODES), max_tokens=400)
    books = [Book(f"{n}", "p" * 25, options=Options(mode="base", retries=n % 2)) for n in range(16)]
    with Line(engine, substitute) as line:
        for book in books:
            for leaf in book.leaves():
                line.supply.give(leaf)
        with line.done:
            assert line.done.wait_for(lambda: line.delivered == 400 or line.raised, 20.0)
        assert line.supply.nudges >= 400
    substitute.close()
    for book in books:
        assert {page.text for page in book.results.values()} == {f"Page {n}, told." for n in range(1, 26)}


def test_what_a_source_raises_in_the_thread_that_pulls_ends_the_flow() -> None:
    engine = Threaded(script(GOOD), in_flight=3, sampling=True, modes=tuple(MODES))
    book = Book("a", "pp", options=Options(mode="base"))
    leaves = book.leaves()

    def pull() -> Leaf:
        if leaf := next(leaves, None):
            return leaf
        raise OSError("torn")

    with pytest.raises(OSError, match="torn"):
        for _ in Flow(
            engine, "none", pull, lambda origin, result: book.results.update({result.number: result})
        ).steps():
            pass
    assert sorted(book.results) == [1, 2]
