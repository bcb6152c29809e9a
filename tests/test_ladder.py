"""The retry ladder in the pipeline: every rung, the substitute, what is kept if none helps; order and memory."""

from __future__ import annotations

import gc
import json
import queue
import random
import threading
import weakref
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

import pytest
from pdfmaker import make_text_pdf
from PIL import Image, ImageDraw

import ocrpress
from ocrpress.document import Completion, PageImage, PageResult, Request, UnreadablePage
from ocrpress.engines.fake import FakeEngine, script
from ocrpress.errors import EngineError, UsageError
from ocrpress.modes import MODES, NATIVE
from ocrpress.pipeline import Options, Substitute, convert, open_reading, stream
from ocrpress.pipeline.flow import MOST_SUBSTITUTED
from ocrpress.pipeline.reading import Reading
from ocrpress.quality.ladder import Ladder

GOOD = "# A heading\n\nThe page as it stands, read to its end."
LOOP = "First a sentence that is true.\n\n" + "and then again " * 300
KEPT = "First a sentence that is true."


def sampling(read_as: Callable[[Request], str], **more: object) -> FakeEngine:
    more = {"max_tokens": 400, **more}
    return FakeEngine(read_as, sampling=True, modes=tuple(MODES), name="model", **more)  # type: ignore[arg-type]


class Pages:
    """A source of so many small pages, which counts those that are still held."""

    name, drawn = "pages", False

    def __init__(self, count: int, unreadable: tuple[int, ...] = (), blank: tuple[int, ...] = ()) -> None:
        self.page_count, self.unreadable, self.blank_pages = count, unreadable, blank
        self.held = self.most_held = 0
        self.closed = False

    def pages(self) -> Iterator[PageImage | UnreadablePage]:
        for number in range(1, self.page_count + 1):
            if number in self.unreadable:
                yield UnreadablePage(number, "no pixels")
                continue
            yield self._page(number)

    def _page(self, number: int) -> PageImage:
        image = Image.new("RGB", (64, 64), "white")
        if number not in self.blank_pages:
            image.paste((0, 0, 0), (10, 10, 50, 50))
        page = PageImage(number, image, 64, 64, {"render": 0.5})
        self.held += 1
        self.most_held = max(self.most_held, self.held)
        weakref.finalize(image, self._gone)
        return page

    def _gone(self) -> None:
        self.held -= 1

    def redraw(self, number: int, mode: str) -> PageImage | None:
        return None

    def close(self) -> None:
        self.closed = True


@pytest.fixture
def substitutes(monkeypatch: pytest.MonkeyPatch) -> list[FakeEngine]:
    """The engines that were opened in place of the embedded one."""
    opened: list[FakeEngine] = []

    class Counting(FakeEngine):
        closed = 0

        def close(self) -> None:
            self.closed += 1

    def open_engine(name: str) -> FakeEngine:
        opened.append(Counting(lambda request: "Read by the substitute.", name=name))
        return opened[-1]

    monkeypatch.setattr("ocrpress.pipeline.substitute.open_engine", open_engine)
    return opened


def read(engine: FakeEngine, count: int = 1, **options: object) -> list[PageResult]:
    source = Pages(count)
    options = {"mode": "base", **options}
    with Reading(source, engine, Options(**options)) as reading:  # type: ignore[arg-type]
        results = list(reading)
    assert [page.number for page in results] == list(range(1, count + 1))
    assert source.closed
    return results


def test_a_page_that_is_read_at_once_has_one_attempt() -> None:
    (page,) = read(sampling(script(GOOD)))
    assert (page.status, page.engine, page.mode, len(page.attempts), page.warnings) == ("ok", "model", "base", 1, ())
    assert [block.kind for block in page.blocks] == ["heading", "paragraph"]


@pytest.mark.parametrize(
    ("wrong", "rung"),
    [*((LOOP, rung) for rung in range(1, 6)), ("and then again " * 100 + "the end", 3), (ValueError("NaN"), 1)],
)
def test_every_rung_is_reached_and_recorded(wrong: str | Exception, rung: int) -> None:
    (page,) = read(sampling(script(*[wrong] * rung, GOOD)))
    assert (page.status, page.text.split("\n")[0]) == ("ok", "A heading")
    assert len(page.attempts) == rung + 1
    assert all(attempt.rejected for attempt in page.attempts[:-1])
    assert page.attempts[-1].rejected == ""
    assert page.mode == ("large" if rung == 5 or isinstance(wrong, Exception) else "base")
    assert page.plan is not None
    assert page.plan.mode == page.mode


def test_attempts_are_in_the_json_with_how_each_was_asked() -> None:
    (page,) = read(sampling(script(LOOP, LOOP, LOOP, GOOD)), max_tokens=500)
    document = ocrpress.Document("x", (page,), "model", "base")
    attempts = json.loads(ocrpress.render(document, "json"))["pages"][0]["attempts"]
    ladder = Ladder()
    assert [attempt["temperature"] for attempt in attempts] == [0.0, 0.0, 0.2, 0.5]
    assert [attempt["ngram"] for attempt in attempts] == [None] + [ladder.ngram] * 3
    assert [attempt["window"] for attempt in attempts] == [None] + [ladder.window] * 3
    assert {attempt["max_tokens"] for attempt in attempts} == {500}
    assert [attempt["stop"] for attempt in attempts] == ["length"] * 3 + ["end"]
    assert [attempt["output_tokens"] for attempt in attempts] == [500] * 3 + [12]
    assert ["and then again" in attempt["rejected"] for attempt in attempts] == [True] * 3 + [False]
    assert {(attempt["engine"], attempt["mode"]) for attempt in attempts} == {("model", "base")}


def test_seconds_count_all_attempts() -> None:
    (page,) = read(sampling(script(LOOP, LOOP, GOOD), seconds=0.02))
    assert page.seconds["decode"] == pytest.approx(sum(attempt.seconds for attempt in page.attempts))
    assert page.seconds["decode"] > 0.06
    assert page.seconds["render"] == 0.5


def test_an_answer_without_an_end_is_asked_for_again() -> None:
    long = " ".join(f"word{number}" for number in range(60))
    (page,) = read(sampling(script(long, GOOD), max_tokens=50))
    assert "cut off after 50 tokens" in page.attempts[0].rejected
    assert (page.status, len(page.attempts)) == ("ok", 2)


def test_the_embedded_engine_reads_what_the_model_cannot_and_says_so(substitutes: list[FakeEngine]) -> None:
    results = read(sampling(lambda request: GOOD if request.page.number % 2 else LOOP, in_flight=3), 9)
    assert [page.engine for page in results] == ["model", "rapid"] * 4 + ["model"]
    assert {page.status for page in results} == {"ok"}
    page = results[1]
    assert (page.text, page.mode, page.attempts[-1].engine, len(page.attempts)) == (
        "Read by the substitute.", "native", "rapid", 7,
    )  # fmt: skip
    (warning,) = page.warnings
    assert warning.startswith("read by the engine rapid instead: 6 answers of model were rejected, the last because:")
    assert (len(substitutes), substitutes[0].closed) == (1, 1)  # type: ignore[attr-defined]
    assert page.attempts[-1].decoding is None


def test_pages_wait_for_a_slow_substitute_in_bounded_number(monkeypatch: pytest.MonkeyPatch) -> None:
    slow = FakeEngine(seconds=0.01)
    monkeypatch.setattr("ocrpress.pipeline.substitute.open_engine", lambda name: slow)
    source = Pages(40)
    with Reading(source, sampling(script(LOOP), in_flight=2), Options("base", retries=0)) as reading:
        assert [page.engine for page in reading] == ["rapid"] * 40
    assert source.most_held <= 2 + MOST_SUBSTITUTED + 2


def test_a_page_that_nothing_reads_is_failed_and_keeps_the_best_of_it() -> None:
    def read_as(request: Request) -> str:
        return LOOP if request.attempt == 2 else "too short " * 900

    (page,) = read(sampling(read_as), fallback="none")
    assert (page.status, page.text) == ("failed", KEPT + "\n\nand then again")
    assert page.error.startswith("6 answers of model were rejected, the last because: it repeats 'too short")
    assert page.error.endswith("the best of what was read is kept")
    assert len(page.attempts) == 6
    document = ocrpress.Document("x", (page,))
    for form in ("md", "txt"):
        text = ocrpress.render(document, form)
        assert "page 1 failed: 6 answers" in text
        assert KEPT in text


def test_without_retries_and_substitute_the_first_answer_decides() -> None:
    cut = " ".join(f"word{number}" for number in range(60))
    (page,) = read(sampling(script(cut, GOOD), max_tokens=50), retries=0, fallback="none")
    assert (page.status, len(page.attempts)) == ("failed", 1)
    assert page.error.startswith("the answer of model was rejected: cut off after 50 tokens")
    assert page.text.endswith("word49")
    (page,) = read(sampling(script(ValueError("NaN"))), retries=0, fallback="none")
    assert (page.status, page.blocks, page.error) == ("failed", (), "the answer of model was rejected: ValueError: NaN")


def test_a_substitute_that_cannot_run_is_a_warning_and_is_tried_once(monkeypatch: pytest.MonkeyPatch) -> None:
    opened = []

    def cannot(name: str) -> FakeEngine:
        opened.append(name)
        raise EngineError("OpenVINO cannot be imported", "run: pip install openvino")

    monkeypatch.setattr("ocrpress.pipeline.substitute.open_engine", cannot)
    results = read(sampling(script(LOOP)), 5)
    assert opened == ["rapid"]
    assert [page.status for page in results] == ["failed"] * 5
    assert {page.warnings for page in results} == {
        ("the engine rapid cannot take over: OpenVINO cannot be imported: run: pip install openvino",)
    }
    assert all(page.text.startswith(KEPT) for page in results)


@pytest.mark.parametrize("wrong", ["error", "raise", "nothing", "silence"])
def test_a_substitute_that_fails_too_leaves_what_was_kept(monkeypatch: pytest.MonkeyPatch, wrong: str) -> None:
    class Failing(FakeEngine):
        def read(self, requests: Iterable[Request]) -> Iterator[Completion]:
            for request in requests:
                if wrong == "raise":
                    raise RuntimeError("out of memory")
                if wrong == "error":
                    yield Completion(request.key, stop="error", error="no lines")
                if wrong == "silence":
                    yield Completion(request.key)

    monkeypatch.setattr("ocrpress.pipeline.substitute.open_engine", lambda name: Failing())
    results = read(sampling(script(LOOP)), 3)
    reason = {"error": "no lines", "raise": "out of memory", "nothing": "no answer", "silence": "no text"}[wrong]
    for page in results:
        assert page.status == "failed"
        assert page.text.startswith(KEPT)
        assert reason in page.warnings[0]
        assert len(page.attempts) == (6 if wrong == "raise" else 7)


def test_a_page_on_which_both_engines_see_nothing_is_blank(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ocrpress.quality.verdict.count_letters", lambda image: 5000)
    monkeypatch.setattr("ocrpress.pipeline.substitute.open_engine", lambda name: FakeEngine(lambda request: ""))
    (page,) = read(sampling(script("")))
    assert (page.status, page.blocks, page.engine) == ("blank", (), "rapid")
    assert [attempt.decoding.temperature for attempt in page.attempts[:-1] if attempt.decoding] == [0, 0.2, 0.5, 0.8, 0]
    (page,) = read(sampling(script("", LOOP)))
    assert (page.status, page.text.startswith(KEPT)) == ("failed", True)


def test_errors_in_the_middle_of_the_ladder_skip_what_cannot_help(substitutes: list[FakeEngine]) -> None:
    (page,) = read(sampling(script(LOOP, ValueError("NaN"), GOOD)))
    assert (page.status, page.mode, [attempt.stop for attempt in page.attempts]) == (
        "ok", "large", ["length", "error", "end"],
    )  # fmt: skip
    (page,) = read(sampling(script(ValueError("NaN"))))
    assert [(attempt.engine, attempt.mode) for attempt in page.attempts] == [
        ("model", "base"), ("model", "large"), ("rapid", "native"),
    ]  # fmt: skip


def test_engines_that_choose_no_tokens_are_asked_once() -> None:
    engine = FakeEngine(script(ValueError("no sense"), "fine"))
    (page,) = read(engine)
    assert (page.status, page.error, len(page.attempts)) == ("failed", "ValueError: no sense", 1)
    assert page.attempts[0].decoding is None
    (page,) = read(FakeEngine(script("so it goes " * 500)))
    assert page.status == "ok"


def test_other_tasks_may_be_answered_with_nothing_and_have_no_substitute(substitutes: list[FakeEngine]) -> None:
    for task in ("figure", "describe", "locate=the seal"):
        (page,) = read(sampling(script("")), task=task)
        assert (page.status, len(page.attempts)) == ("blank", 1)
        (page,) = read(sampling(script(LOOP)), task=task)
        assert (page.status, len(page.attempts)) == ("failed", 6)
    assert substitutes == []


def test_tasks_are_checked_before_the_first_page(pdf: Path) -> None:
    for task, match in (
        ("locate", "locate=WHAT"), ("locate= ", "locate=WHAT"), ("text=all", "takes no '=all'"),
        ("descrbe", "did you mean 'describe'"), ("", "unknown task"),
    ):  # fmt: skip
        with pytest.raises(UsageError, match=match):
            convert(pdf, engine=sampling(script(GOOD)), task=task)
    with pytest.raises(UsageError, match="unknown task of engine fake 'text'"):
        convert(pdf, engine=FakeEngine(), task="text")
    seen: list[str] = []
    convert(pdf, engine=sampling(lambda request: seen.append(request.task) or GOOD), task="locate=the seal")
    assert seen == ["locate=the seal"] * 3


def test_options_out_of_range_are_refused() -> None:
    for wrong in ({"retries": -1}, {"max_tokens": 0}, {"fallback": "rapd"}, {"temperatures": (3.0,)}):
        with pytest.raises(UsageError):
            Options(**wrong)  # type: ignore[arg-type]


def test_engine_options_are_for_engines_given_by_name(pdf: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    given = []

    def open_engine(name: str, options: ocrpress.EngineOptions) -> FakeEngine:
        given.append((name, options.checkpoint))
        return sampling(script(GOOD))

    monkeypatch.setattr("ocrpress.pipeline.open_engine", open_engine)
    options = ocrpress.EngineOptions(checkpoint="mine")
    assert convert(pdf, engine="deepseek", engine_options=options).pages[0].status == "ok"
    assert given == [("deepseek", "mine")]
    with pytest.raises(UsageError, match="given by name"):
        next(stream(pdf, engine=FakeEngine(), engine_options=options))


@pytest.mark.parametrize(
    ("in_flight", "backwards", "fallback"),
    [(1, False, "rapid"), (4, False, "none"), (4, True, "rapid"), (7, True, "none")],
)
def test_two_hundred_pages_with_random_rejections_lose_nothing(
    substitutes: list[FakeEngine], in_flight: int, backwards: bool, fallback: str
) -> None:
    rng = random.Random(in_flight)
    plans = {number: rng.choice([0, 0, 0, 1, 2, 4, 5, 9]) for number in range(1, 201)}
    wrong = [LOOP, "cut " + " ".join(map(str, range(3000))), None]
    kinds = {number: rng.choice(wrong) for number in plans}

    def read_as(request: Request) -> str:
        number = request.page.number
        kind = kinds[number]
        if request.attempt > plans[number]:
            return f"Page {number} at attempt {request.attempt}."
        if kind is None:
            raise ValueError("server trouble")
        return kind

    engine = sampling(read_as, in_flight=in_flight, backwards=backwards, max_tokens=200)
    source = Pages(200, unreadable=(13, 200), blank=(1, 77, 199))
    with Reading(source, engine, Options(mode="base", fallback=fallback)) as reading:
        for count, page in enumerate(reading, start=1):
            assert page.number == count
            _check_page(page, plans[count], kinds[count], fallback)
    assert count == 200
    assert source.most_held <= in_flight + MOST_SUBSTITUTED + 2
    gc.collect()
    assert source.held == 0
    assert threads() == []


def _check_page(page: PageResult, rejections: int, kind: str | None, fallback: str) -> None:
    if page.number in (13, 200):
        assert (page.status, page.error, page.attempts) == ("failed", "no pixels", ())
        return
    if page.number in (1, 77, 199):
        assert (page.status, page.attempts) == ("blank", ())
        return
    most = 1 if kind is None else 5  # retries that the ladder has for it
    tries = min(rejections, most) + 1
    assert len([attempt for attempt in page.attempts if attempt.engine == "model"]) == tries
    if rejections <= most:
        assert page.text == f"Page {page.number} at attempt {rejections + 1}."
        assert (page.status, page.engine, page.warnings) == ("ok", "model", ())
    elif fallback == "rapid":
        assert (page.status, page.engine) == ("ok", "rapid")
    else:
        assert page.status == "failed"
        assert bool(page.blocks) == (kind is not None)


def threads() -> list[str]:
    return [thread.name for thread in threading.enumerate() if thread.name.startswith(("substitute", "asking"))]


class Threaded(FakeEngine):
    """Asks for pages in a thread of its own, ahead of its answers, as an engine on a GPU does."""

    def read(self, requests: Iterable[Request]) -> Iterator[Completion]:
        answers: queue.Queue[Completion | None] = queue.Queue()
        room = threading.Semaphore(self.in_flight)

        def ask() -> None:
            source = iter(requests)
            while room.acquire() and (request := next(source, None)) is not None:
                answers.put(self._answer(request))
            answers.put(None)

        thread = threading.Thread(target=ask, name="asking")
        thread.start()
        while (answer := answers.get()) is not None:
            room.release()
            yield answer
        thread.join()


def test_an_engine_may_ask_from_a_thread_of_its_own(substitutes: list[FakeEngine]) -> None:
    read_as = lambda request: GOOD if request.attempt > request.page.number % 8 else LOOP  # noqa: E731
    engine = Threaded(read_as, sampling=True, modes=("base",), in_flight=5, name="model", max_tokens=300)
    results = read(engine, 60)
    assert [page.engine for page in results] == ["rapid" if n % 8 > 4 else "model" for n in range(1, 61)]
    assert {page.status for page in results} == {"ok"}


def test_a_rejected_page_goes_before_pages_that_were_not_read_yet() -> None:
    asked = []

    def read_as(request: Request) -> str:
        asked.append((request.page.number, request.attempt))
        return LOOP if (request.page.number, request.attempt) == (2, 1) else GOOD

    read(sampling(read_as), 4)
    assert asked == [(1, 1), (2, 1), (2, 2), (3, 1), (4, 1)]


def test_pages_that_the_engine_forgets_are_asked_for_again() -> None:
    class Forgetful(FakeEngine):
        def read(self, requests: Iterable[Request]) -> Iterator[Completion]:
            attempts: dict[int, int] = {}
            for request in requests:
                attempts[request.key] = request.attempt
                answer = self._answer(request)
                if attempts[request.key] > 1 or request.key % 3:
                    yield answer

    results = read(Forgetful(script(GOOD), sampling=True, modes=("base", "large"), in_flight=2), 7)
    assert [page.status for page in results] == ["ok"] * 7
    assert [len(page.attempts) for page in results] == [1, 1, 2, 1, 1, 2, 1]
    assert "gave no answer" in results[2].attempts[0].rejected


@pytest.mark.parametrize("takes", [-1, 0, 1, 3])
def test_an_engine_that_stops_asking_loses_no_page(takes: int) -> None:
    class Lazy(FakeEngine):
        def read(self, requests: Iterable[Request]) -> Iterator[Completion]:
            if takes < 0:
                return
            for count, request in enumerate(requests, start=1):
                if count <= takes:
                    yield self._answer(request)
                if count >= takes:
                    return

    results = read(Lazy(script(GOOD)), 10)
    statuses = [page.status for page in results]
    assert statuses == (["ok"] * 10 if takes > 0 else ["failed"] * 10)


def test_a_second_answer_for_a_page_that_waits_to_be_asked_again_is_an_engine_error() -> None:
    class Doubling(FakeEngine):
        def read(self, requests: Iterable[Request]) -> Iterator[Completion]:
            for answer in super().read(requests):
                yield answer
                yield answer

    engine = Doubling(script(LOOP, GOOD), sampling=True, modes=("base",))
    with pytest.raises(EngineError, match="key 1, which it does not hold"):
        read(engine)


def test_what_was_read_is_not_lost_with_the_engine() -> None:
    class Dying(FakeEngine):
        def read(self, requests: Iterable[Request]) -> Iterator[Completion]:
            for count, answer in enumerate(super().read(requests), start=1):
                yield answer
                if count == 3:
                    raise EngineError("the endpoint is gone", "start it again")

    engine = Dying(lambda request: LOOP if request.page.number > 1 else GOOD, sampling=True, modes=("base",))
    got = []
    with (
        pytest.raises(EngineError, match="the endpoint is gone"),
        Reading(Pages(9), engine, Options("base")) as reading,
    ):
        got.extend(reading)
    assert [(page.number, page.status) for page in got] == [(1, "ok"), (2, "failed")]
    assert got[1].text.startswith(KEPT)


@pytest.mark.parametrize("last", ["break", "interrupt"])
def test_a_reading_that_is_left_in_the_middle_leaves_no_thread(substitutes: list[FakeEngine], last: str) -> None:
    def read_as(request: Request) -> str:
        if last == "interrupt" and request.page.number == 5:
            raise KeyboardInterrupt
        return LOOP

    source, got = Pages(20), []
    try:
        with Reading(source, sampling(read_as, in_flight=2), Options("base")) as reading:
            for page in reading:
                got.append(page.number)
                if last == "break" and page.number == 3:
                    break
    except KeyboardInterrupt:
        assert last == "interrupt"
    assert got == list(range(1, len(got) + 1))
    assert len(got) >= 2
    assert source.closed
    assert threads() == []
    del reading
    gc.collect()
    assert source.held == 0


def test_a_substitute_can_be_shared_and_outlives_a_reading(substitutes: list[FakeEngine]) -> None:
    substitute = Substitute("rapid")
    for _ in range(3):
        with Reading(Pages(2), sampling(script(LOOP)), Options("base", retries=0), substitute) as reading:
            assert [page.engine for page in reading] == ["rapid", "rapid"]
        assert substitutes[0].closed == 0  # type: ignore[attr-defined]
    substitute.close()
    substitute.close()
    assert (len(substitutes), substitutes[0].closed) == (1, 1)  # type: ignore[attr-defined]
    assert threads() == []


@pytest.mark.parametrize("workers", [0, 1])
def test_a_larger_mode_and_the_substitute_see_a_page_drawn_for_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, workers: int
) -> None:
    sizes: dict[int, list[tuple[str, tuple[int, int]]]] = {}

    def read_as(request: Request) -> str:
        sizes.setdefault(request.page.number, []).append((request.mode, request.page.image.size))
        if request.page.number == 2:
            raise ValueError("NaN")
        return GOOD

    monkeypatch.setattr("ocrpress.pipeline.substitute.open_engine", lambda name: FakeEngine(read_as, name=name))
    (tmp_path / "three.pdf").write_bytes(make_text_pdf(3))
    engine, more = sampling(read_as), {"mode": "tiny", "workers": workers, "retries": 6}
    page = convert(tmp_path / "three.pdf", engine=engine, **more).pages[1]
    assert [mode for mode, _ in sizes[2]] == ["tiny", "small", "base", NATIVE.name]
    widths = [size[0] for _, size in sizes[2]]
    assert widths == [512, 640, 791, 1224]
    assert [size[0] for _, size in sizes[1] + sizes[3]] == [512, 512]
    assert (page.width, page.height) == (612, 792)
    sizes.clear()
    convert(tmp_path / "three.pdf", engine=engine, **more, dpi=36)
    assert {size for _, size in sizes[2]} == {(306, 396)}


def test_a_stream_can_be_drawn_again_too(tmp_path: Path) -> None:
    (tmp_path / "three.pdf").write_bytes(make_text_pdf(3))
    sizes = []

    def read_as(request: Request) -> str:
        sizes.append(request.page.image.size[0])
        if request.mode == "base":
            raise ValueError("NaN")
        return GOOD

    with (tmp_path / "three.pdf").open("rb") as file:
        assert {page.mode for page in stream(file, engine=sampling(read_as), mode="base")} == {"large"}
    assert set(sizes) == {791, 989}


def test_figures_are_cropped_from_the_pixels_of_the_answer_that_was_taken(tmp_path: Path) -> None:
    image = Image.new("RGB", (400, 600), "white")
    image.paste((200, 30, 30), (100, 200, 300, 350))
    image.save(tmp_path / "page.png")
    boxes = "<|ref|>image<|/ref|><|det|>[[250, 333, 749, 583]]<|/det|>\n"
    engine = sampling(script(boxes + LOOP, boxes))
    page = convert(tmp_path / "page.png", engine=engine, figures=tmp_path / "figures").pages[0]
    (block,) = page.blocks
    assert (block.kind, page.status) == ("figure", "ok")
    colours = Image.open(tmp_path / "figures" / "page-p0001-1.png").getcolors()
    assert colours is not None
    assert max(colours)[1] == (200, 30, 30)


def test_the_embedded_engine_itself_takes_over(tmp_path: Path) -> None:
    image = Image.new("RGB", (900, 300), "white")
    ImageDraw.Draw(image).text((60, 100), "Optical compression", fill="black", font_size=60)
    image.save(tmp_path / "page.png")
    with open_reading(tmp_path / "page.png", sampling(script(LOOP)), Options("small", retries=0)) as reading:
        (page,) = reading
    assert (page.status, page.engine, page.text) == ("ok", "rapid", "Optical compression")
    assert "1 answer" not in page.warnings[-1]
    assert page.warnings[-1].startswith(
        "read by the engine rapid instead: the answer of model was rejected: it repeats"
    )
