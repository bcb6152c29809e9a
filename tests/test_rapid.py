"""The embedded engine on real pages: text, rotation, blank pages, modes; and that it needs nothing from the system."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from rapidfuzz.distance import Levenshtein
from test_flow import Book, Line

from ocrpress.document import Completion, PageImage, Request
from ocrpress.engines.rapid import RapidEngine, models
from ocrpress.engines.rapid.seen import seen_pixels
from ocrpress.errors import EngineError
from ocrpress.modes import MODES, plan
from ocrpress.pipeline import Options, open_reading
from ocrpress.sources import SourceOptions, open_source

SAMPLE = Path(__file__).parent / "data" / "sample.pdf"


@pytest.fixture(scope="module")
def engine() -> Iterator[RapidEngine]:
    made = RapidEngine()
    yield made
    made.close()


@pytest.fixture(scope="module")
def page() -> Image.Image:
    source = open_source(SAMPLE, SourceOptions())
    first = next(iter(source.pages()))
    source.close()
    assert isinstance(first, PageImage)
    return first.image


def read(engine: RapidEngine, image: Image.Image, mode: str = "native") -> Completion:
    (completion,) = engine.read([Request(1, PageImage(1, image, *image.size), mode)])
    assert completion.error == ""
    return completion


def words(completion: Completion) -> list[str]:
    return sorted(completion.text.split())


def test_a_page_is_read_nearly_without_error(engine: RapidEngine, page: Image.Image) -> None:
    text = " ".join(region.text for region in read(engine, page).regions)
    for phrase in (
        "Reading a Page from Few Tokens",
        "Vision tokens",
        "A page becomes pixels",
        "1024",
        "encoder turns the",
    ):
        assert min(
            Levenshtein.distance(phrase, text[start : start + len(phrase)]) for start in range(len(text))
        ) <= 2, phrase  # fmt: skip


@pytest.mark.parametrize("turned", [90, 180, 270])
def test_rotated_pages_are_righted(engine: RapidEngine, page: Image.Image, turned: int) -> None:
    upright = words(read(engine, page))
    completion = read(engine, page.rotate(turned, expand=True))
    assert completion.rotation == turned
    assert completion.warnings == (f"page turned by {turned}° to stand upright",)
    same = sum(word in upright for word in words(completion))
    assert same >= 0.95 * len(upright)
    assert all(edge >= 0 for region in completion.regions for edge in region.box[:2])


def test_a_skewed_page_keeps_its_order(engine: RapidEngine, page: Image.Image, tmp_path: Path) -> None:
    skewed = page.rotate(-2.0, Image.Resampling.BICUBIC, expand=True, fillcolor=(255, 255, 255))
    texts = []
    for name, image in (("straight", page), ("skewed", skewed)):
        path = tmp_path / f"{name}.png"
        image.save(path)
        with open_reading(path, engine, Options()) as reading:
            (result,) = reading
        texts.append(" ".join(result.text.split()))
    assert Levenshtein.normalized_distance(*texts) < 0.05


@pytest.mark.parametrize("noise", [0, 6])
def test_an_empty_page_stays_empty(engine: RapidEngine, noise: int) -> None:
    rng = np.random.default_rng(3)
    grain = rng.normal(0, noise, (1000, 800, 1)).repeat(3, axis=2) if noise else np.zeros((1000, 800, 3))
    image = Image.fromarray(np.clip(245 + grain, 0, 255).astype(np.uint8))
    assert read(engine, image).regions == ()


@pytest.mark.parametrize("mode", MODES)
def test_every_mode_reads_from_its_own_pixels(engine: RapidEngine, page: Image.Image, mode: str) -> None:
    completion = read(engine, page, mode)
    assert completion.plan == plan(*page.size, mode)
    right = max(region.box[2] for region in completion.regions)
    assert 0.8 * page.width < right <= page.width + 1  # boxes come back in the page's pixels
    if mode != "tiny":
        assert "vision tokens" in completion.text


def test_a_mode_shows_no_more_than_its_views_hold() -> None:
    rng = np.random.default_rng(5)
    page = Image.fromarray(rng.integers(0, 255, (1600, 1200, 3), dtype=np.uint8))
    for mode in ("tiny", "small", "base", "large", "gundam"):
        made = plan(*page.size, mode)
        seen = seen_pixels(page, made)
        assert seen.width / seen.height == pytest.approx(0.75, rel=0.01)
        back = seen.resize(page.size, Image.Resampling.BICUBIC)
        lost = np.abs(np.asarray(back, dtype=float) - np.asarray(page, dtype=float)).mean()
        assert lost > 20, mode  # fine detail is gone in every mode that has fewer pixels than the page
    assert seen_pixels(page, plan(*page.size, "native")) is page


def test_tiles_are_joined_again_without_a_seam() -> None:
    page = Image.linear_gradient("L").convert("RGB").resize((900, 1300))
    made = plan(*page.size, "gundam")
    seen = seen_pixels(page, made)
    cols, rows = made.grid
    canvas = page.resize((cols * 640, rows * 640), Image.Resampling.BICUBIC)
    assert seen.tobytes() == canvas.resize(seen.size, Image.Resampling.BICUBIC).tobytes()


def test_a_page_that_breaks_the_runtime_fails_alone(page: Image.Image, monkeypatch: pytest.MonkeyPatch) -> None:
    engine = RapidEngine()
    good = engine._read_page

    def sometimes(request: Request) -> Completion:
        if request.key == 2:
            raise MemoryError("no room")
        return good(request)

    monkeypatch.setattr(engine, "_read_page", sometimes)
    small = page.resize((300, 400))
    answers = {
        item.key: item
        for item in engine.read(Request(key, PageImage(key, small, 300, 400), "native") for key in (1, 2, 3))
    }
    engine.close()
    assert {key: item.stop for key, item in answers.items()} == {1: "end", 2: "error", 3: "end"}
    assert answers[2].error == "MemoryError: no room"


def test_pages_in_flight_are_bounded(engine: RapidEngine) -> None:
    taken = 0
    small = Image.new("RGB", (200, 200), "white")

    def requests() -> Iterator[Request]:
        nonlocal taken
        for key in range(30):
            taken += 1
            yield Request(key, PageImage(key, small, 200, 200), "native")

    most, answered = 0, 0
    for _ in engine.read(requests()):
        most = max(most, taken - answered)
        answered += 1
    assert answered == 30
    assert most <= engine.capabilities.in_flight + 1


def test_missing_weights_name_the_remedy(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(models.WEIGHTS, "detect", ("rapidocr", "models/absent.onnx"))
    with pytest.raises(EngineError, match=r"not installed.*pip install"):
        models.weights_path("detect")


def test_nothing_needs_opencv_and_nothing_reports_home(tmp_path: Path) -> None:
    script = (
        "import sys; from ocrpress.engines.rapid import RapidEngine; engine = RapidEngine(); engine._networks.load(); "
        "unwanted = ('cv2', 'rapidocr', 'rapid_layout', 'openvino_telemetry'); "
        "bad = [name for name in sys.modules if name.split('.')[0] in unwanted]; "
        "engine.close(); sys.exit(str(bad) if bad else 0)"
    )
    done = subprocess.run(
        [sys.executable, "-c", script],
        env={"HOME": str(tmp_path), "PYTHONPATH": ":".join(sys.path)},
        capture_output=True,
        text=True,
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert list(tmp_path.iterdir()) == []


def test_pages_are_answered_though_no_other_ever_comes(engine: RapidEngine) -> None:
    """As in a service: the supply of pages has no end."""
    options = Options(mode="native")
    with Line(engine) as line:
        for pattern in ("p", "ppp", "bp"):
            assert sorted(line.read(Book("a", pattern, options=options))) == list(range(1, len(pattern) + 1))
