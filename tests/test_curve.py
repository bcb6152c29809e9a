"""Measuring a curve: what is read is kept, scored as it is, and the same again with the same seed."""

from __future__ import annotations

from pathlib import Path
from random import Random

import pytest

from ocrpress.document import Fault
from ocrpress.engines.base import EngineOptions
from ocrpress.engines.fake import FakeEngine, misread, script
from ocrpress.errors import EngineError, OutputError, UsageError
from ocrpress.measure import sweep
from ocrpress.measure.curve import Cell, point, points, spread
from ocrpress.measure.kept import Kept
from ocrpress.measure.samples import Choice, Sample, load_samples
from ocrpress.measure.sweep import CELLS, Subject, Sweep, measure_cells
from ocrpress.measure.tokens import Counter

WORDS = [
    "paper",
    "is",
    "the",
    "memory",
    "of",
    "ink",
    "and",
    "light",
    "reads",
    "it",
    "slowly",
    "whatever",
    "Peter",
    "says",
]
FAKE = Subject("fake", EngineOptions(), "fake")


def prose(words: int, seed: int = 0) -> str:
    chance = Random(seed)
    return " ".join(chance.choice(WORDS) for _ in range(words))


@pytest.fixture
def samples(tmp_path):
    """Four pages of 100 to 400 words, a token each."""
    files = []
    for index, words in enumerate((100, 200, 300, 400)):
        file = tmp_path / f"page{index}.txt"
        file.write_text(prose(words, index))
        files.append(str(file))
    return load_samples(files, Counter("words", lambda text: len(text.split())), Choice(variants=("natural",)))


@pytest.fixture
def engine(monkeypatch):
    """The next engine that is opened is the one that a test hands over."""

    def use(made: FakeEngine) -> FakeEngine:
        monkeypatch.setattr(sweep, "open_engine", lambda name, options: made)
        return made

    return use


def measure(samples, folder: Path, modes: tuple[str, ...] = ("tiny",), **more: object) -> list[Cell]:
    (folder / CELLS).mkdir(parents=True, exist_ok=True)
    wanted = Sweep((FAKE,), modes, samples.by_variant(), folder, **more)
    return [found.cell for found in measure_cells(wanted)]


# The instrument is right


@pytest.mark.parametrize("rate", [0.0, 0.02, 0.2, 0.5, 1.0])
def test_a_known_error_rate_is_what_the_curve_shows(samples, tmp_path, engine, rate):
    engine(FakeEngine(misread([sample.text for sample in samples.items], rate, seed=3)))
    (cell,) = measure(samples, tmp_path)
    for sample, page in zip(samples.items, cell.pages, strict=True):
        letters = sum(not char.isspace() for char in sample.text)
        assert page.score.edit_distance == pytest.approx(round(rate * letters) / len(sample.text))
        assert (page.page, page.bucket, page.status, page.fault) == (sample.name, sample.text_tokens, "ok", "")
    whole = point(cell.pages)
    shown = whole.spreads["edit_distance"]
    spaces = sum(sample.text.count(" ") for sample in samples.items) / sum(len(sample.text) for sample in samples.items)
    assert shown.low - 1e-3 <= rate * (1 - spaces) <= shown.high + 1e-3
    assert [found.bucket for found in points(cell)] == [100, 200, 300, 400]
    assert whole.tokens_per_vision_token == pytest.approx(1000 / (4 * 64))
    assert whole.tokens_per_sequence_token == pytest.approx(1000 / (4 * 73))


def test_pages_that_no_answer_was_taken_for_count_with_what_was_kept(samples, tmp_path, engine):
    answers = ["", "the same again and " * 400, "x " * 60, prose(400, 3)]
    model = engine(FakeEngine(lambda request: answers[request.page.number - 1], sampling=True, max_tokens=50))
    model.max_tokens = 500
    (cell,) = measure(samples, tmp_path)
    faults: list[Fault | str] = [page.fault for page in cell.pages]
    assert faults == ["empty", "loop", "", ""]
    assert cell.pages[0].score.edit_distance == 1.0
    assert cell.pages[3].score.edit_distance == 0.0
    whole = point(cell.pages)
    assert (whole.looped, whole.cut, whole.failed) == (0.25, 0.0, 0.5)
    assert all(page.vision_tokens == 64 for page in cell.pages)


def test_an_engine_that_fails_on_a_page_has_read_nothing_of_it(samples, tmp_path, engine):
    engine(FakeEngine(script(ValueError("no light"))))
    (cell,) = measure(samples, tmp_path)
    assert {(page.status, page.fault, page.read) for page in cell.pages} == {("failed", "error", "")}
    assert "no light" in cell.pages[0].error
    assert point(cell.pages).spreads["edit_distance"].mean == 1.0


def test_a_spread_is_of_the_middle_four_fifths():
    assert spread([5.0]) == spread(iter([5.0]))
    found = spread(range(11))
    assert (found.mean, found.median, found.low, found.high) == (5, 5, 1, 9)
    with pytest.raises(ValueError, match="no pages"):
        point([])


# What is read is kept


def test_a_run_that_broke_off_goes_on_where_it_stopped(samples, tmp_path, engine):
    texts = [sample.text for sample in samples.items]
    asked: list[str] = []

    def once(request) -> str:
        if len(asked) == 2:
            raise EngineError("it is gone")
        asked.append("page")
        return texts[request.page.number - 1]

    class Dying(FakeEngine):
        def _answer(self, request):
            if len(asked) == 2:
                raise EngineError("it is gone")
            return super()._answer(request)

    engine(Dying(once))
    with pytest.raises(EngineError, match="it is gone"):
        measure(samples, tmp_path)
    rest = engine(FakeEngine(misread(texts[2:], 0.0)))
    (cell,) = measure(samples, tmp_path)
    assert [page.score.edit_distance for page in cell.pages] == [0.0] * 4
    rest.read_as = script(AssertionError("nothing is left to read"))
    assert measure(samples, tmp_path) == [cell]
    assert measure(samples, tmp_path, fresh=True) != [cell]


def test_pages_that_failed_are_asked_for_again_and_no_others(samples, tmp_path, engine):
    texts = [sample.text for sample in samples.items]

    def second_fails(request) -> str:
        if request.page.number == 2:
            raise TimeoutError("later")
        return texts[request.page.number - 1]

    engine(FakeEngine(second_fails))
    (first,) = measure(samples, tmp_path)
    assert [page.fault for page in first.pages] == ["", "error", "", ""]
    asked = []
    engine(FakeEngine(lambda request: asked.append(request.page.number) or texts[1]))
    for _ in range(2):
        (again,) = measure(samples, tmp_path)
        assert [page.score.edit_distance for page in again.pages] == [0.0] * 4
    assert asked == [1]


def test_other_options_are_another_measurement(samples, tmp_path, engine):
    engine(FakeEngine(script("first")))
    (first,) = measure(samples, tmp_path)
    engine(FakeEngine(script("second")))
    assert measure(samples, tmp_path) == [first]
    (other,) = measure(samples, tmp_path, max_tiles=6)
    assert {page.read for page in other.pages} == {"second"}
    assert measure(samples, tmp_path) == [first]


def test_a_torn_line_and_what_follows_it_is_dropped(tmp_path):
    file = tmp_path / "cell.jsonl"
    kept = Kept(file, {"mode": "tiny"})
    for name in "abc":
        kept.add({"page": name})
    kept.close()
    whole = file.read_text()
    file.write_text(whole[: whole.index('"b"')] + "\n" + whole)
    assert list(Kept(file, {"mode": "tiny"}).pages) == ["a"]
    file.write_text(whole)
    assert list(Kept(file, {"mode": "base"}).pages) == []


def test_what_cannot_be_kept_is_said_in_one_line(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(OutputError, match="cannot write"):
        Kept(tmp_path / "file" / "cell.jsonl", {})


def test_an_engine_without_any_of_the_modes_is_refused(samples, tmp_path, engine):
    engine(FakeEngine(modes=("base",)))
    with pytest.raises(UsageError, match="reads none of the modes asked for: it reads base"):
        measure(samples, tmp_path)


def test_an_image_that_cannot_be_decoded_is_left_out_and_named(tmp_path, engine):
    engine(FakeEngine(script("text")))
    (tmp_path / "broken.png").write_bytes(b"\x89PNG\r\n\x1a\n broken")
    broken = Sample("broken.png", "text", 1, 0, "natural", "image", file=str(tmp_path / "broken.png"))
    (tmp_path / CELLS).mkdir()
    (found,) = measure_cells(Sweep((FAKE,), ("tiny",), {"natural": (broken,)}, tmp_path))
    assert found.cell.pages == ()
    assert found.unreadable[0][0] == "broken.png"
