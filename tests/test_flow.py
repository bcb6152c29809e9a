"""Pages of many documents in one stream through one engine; what a single document does is in test_pipeline."""

from __future__ import annotations

import random
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from PIL import Image

from ocrpress.document import Completion, PageImage, PageResult, Region, Request, UnreadablePage
from ocrpress.engines.fake import FakeEngine, script
from ocrpress.errors import EngineError, OutputError
from ocrpress.figures import FigureWriter
from ocrpress.modes import MODES
from ocrpress.pipeline import Options, Substitute
from ocrpress.pipeline.case import Finisher
from ocrpress.pipeline.flow import Flow, Leaf, Origin

GOOD = "# A heading\n\nThe page as it stands, read to its end."
LOOP = "First a sentence that is true.\n\n" + "and then again " * 300


@dataclass(eq=False)
class Book:
    """A document. A letter a page: "p" picture, "b" blank, "u" unreadable."""

    name: str
    pattern: str
    figures: FigureWriter | None = None
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


def read(engine: FakeEngine, books: list[Book], substitute: Substitute | None = None, **more: object) -> Flow:
    """The pages of all books in turn: the first of each, the second of each, …"""
    waiting = deque(book.leaves() for book in books)

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

    salvage = bool(more.pop("salvage", True))
    flow = Flow(engine, Options(mode="base", **more), pull, deliver, substitute, salvage=salvage)  # type: ignore[arg-type]
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
