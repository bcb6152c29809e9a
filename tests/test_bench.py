"""Measuring without a model: lengths, pages, the arithmetic of rates, and the command."""

from __future__ import annotations

import json
import subprocess
import sys
from types import SimpleNamespace

import pytest
from conftest import environment

from ocrpress.__main__ import main
from ocrpress.document import Completion, Decoding, Request
from ocrpress.engines.base import Capabilities, EngineOptions
from ocrpress.engines.fake import FakeEngine
from ocrpress.errors import InputError, UsageError
from ocrpress.measure import throughput
from ocrpress.measure.bench import Settings, Subject, Watcher, measure_all
from ocrpress.measure.machine import commit
from ocrpress.measure.memory import PeakMemory, resident
from ocrpress.measure.pages import drawn_pages, file_pages
from ocrpress.measure.report import best_baseline, cell_object, cell_objects, rows
from ocrpress.measure.throughput import Cell, Run, measure_cell, run_once
from ocrpress.measure.work import Lengths, Work, parse_lengths
from ocrpress.modes import plan


def test_lengths_are_one_number_or_a_spread():
    assert parse_lengths("1000") == Lengths(1000, 1000)
    assert parse_lengths(" 100-1000 ") == Lengths(100, 1000)
    assert [str(parse_lengths(text)) for text in ("7", "7-7", "1-2")] == ["7", "7", "1-2"]
    for wrong in ("", "many", "-5", "5-", "1000-100", "0", "0-10", "1.5", "1-2-3", "１-2x"):
        with pytest.raises(UsageError):
            parse_lengths(wrong)


def test_spread_lengths_have_the_mean_of_the_spread_whatever_the_seed():
    lengths = Lengths(100, 1000)
    first, second = lengths.draw(64, 0), lengths.draw(64, 1)
    assert first != second
    assert sorted(first) == sorted(second)
    assert sum(first) / 64 == pytest.approx(550, abs=0.5)
    assert min(first) < 110
    assert max(first) > 990
    assert lengths.draw(64, 0) == first
    assert Lengths(5, 5).draw(3, 0) == [5, 5, 5]
    assert lengths.draw(1, 0) == [550]


def test_drawn_pages_are_letter_pages_of_text_that_take_six_tiles():
    pages = drawn_pages(20, seed=3)
    assert [page.number for page in pages] == list(range(1, 21))
    assert {(page.image.size, page.image.mode) for page in pages} == {((1224, 1584), "RGB")}
    assert plan(*pages[0].image.size, "gundam", 6).tiles == 6
    ink = [1 - sum(page.image.convert("L").histogram()[128:]) / (1224 * 1584) for page in pages[:3]]
    assert all(0.02 < share < 0.2 for share in ink), ink
    assert len({page.image.tobytes() for page in pages}) == 16
    assert drawn_pages(1, seed=3)[0].image.tobytes() == pages[0].image.tobytes() != drawn_pages(1)[0].image.tobytes()


def test_pages_of_files_come_over_and_over_as_the_mode_wants_them(pdf):
    pages = file_pages([str(pdf)], "tiny")
    found = [next(pages) for _ in range(7)]
    assert [page.number for page in found] == [1, 2, 3, 1, 2, 3, 1]
    assert found[0].image.width == 512
    pages.close()


@pytest.mark.filterwarnings("ignore:Corrupt EXIF")
def test_a_page_that_cannot_be_read_ends_the_measurement(tmp_path):
    path = tmp_path / "cut.tiff"
    from PIL import Image

    Image.new("RGB", (200, 200)).save(path, save_all=True, append_images=[Image.new("RGB", (200, 200))])
    data = path.read_bytes()
    path.write_bytes(data[: len(data) - 150_000])
    with pytest.raises(InputError, match=r"cut\.tiff"):
        list(zip(range(5), file_pages([str(path)], "tiny"), strict=False))


class Clock:
    """Time that passes only when an engine says so."""

    def __init__(self, monkeypatch) -> None:
        self.now = 0.0
        monkeypatch.setattr(throughput, "time", SimpleNamespace(perf_counter=lambda: self.now))


class Scripted:
    """An engine whose pages take the seconds that it is told."""

    name = "scripted"

    def __init__(self, clock: Clock, seconds, tokens: int = 10, in_flight: int = 2) -> None:
        self.clock, self.seconds, self.tokens = clock, seconds, tokens
        self.capabilities = Capabilities(("base", "tiny"), decoding=True, in_flight=in_flight)
        self.seen: list[Request] = []

    def read(self, requests):
        for index, request in enumerate(requests):
            self.seen.append(request)
            self.clock.now += self.seconds(index)
            tokens = request.decoding.max_tokens or self.tokens
            yield Completion(request.key, "x", output_tokens=tokens, seconds={"decode": 0.25})

    def close(self) -> None:
        pass


def test_known_seconds_give_the_known_rates(monkeypatch):
    clock = Clock(monkeypatch)
    engine = Scripted(clock, lambda index: 3.0 if index == 0 else 0.5)  # the slots fill for three seconds
    cell = measure_cell(engine, Work("base", 9), lambda: drawn_pages(9), repeats=2)
    first, second = cell.runs
    assert first == second
    assert first.seconds == 7.0
    assert cell.pages_per_second == 9 / 7
    assert first.tokens_per_second == 90 / 7
    assert cell.slots == 2
    assert first.steady(2) == 2.0
    assert first.steady(4) is None
    assert first.stages == {"decode": 2.25}
    assert cell.warmup == 3.5
    found = cell_object(cell)
    assert found["pages_per_second"] == {"median": round(9 / 7, 4), "min": round(9 / 7, 4), "max": round(9 / 7, 4)}
    assert found["pages_per_day"] == round(86_400 * 9 / 7)
    assert found["mean_tokens"] == 10
    assert found["occupancy"] is None


def test_forced_lengths_reach_the_engine_and_the_warm_up_is_a_page_a_slot(monkeypatch):
    engine = Scripted(Clock(monkeypatch), lambda index: 1.0)
    measure_cell(engine, Work("tiny", 6, Lengths(100, 1000), task="markdown"), lambda: drawn_pages(6), repeats=1)
    assert len(engine.seen) == 2 + 6
    lengths = [request.decoding.max_tokens for request in engine.seen[2:]]
    assert lengths == Lengths(100, 1000).draw(6, 0)
    assert {request.decoding.ignore_end for request in engine.seen} == {True}
    run_once(engine, Work("tiny", 1), lambda: drawn_pages(1))
    assert engine.seen[-1].decoding == Decoding()


def test_a_fake_engine_of_known_speed_measures_as_fast():
    cell = measure_cell(FakeEngine(lambda request: "a b", seconds=0.02), Work("native", 6), lambda: drawn_pages(6))
    assert 15 < cell.pages_per_second <= 50
    assert all(run.outputs == (2,) * 6 for run in cell.runs)


def test_failed_and_forgotten_pages_do_not_count_as_read():
    def read_as(request):
        if request.key in (1, 3):
            raise ValueError("no such luck")
        return "text"

    run = run_once(FakeEngine(read_as), Work("base", 5), lambda: drawn_pages(5))
    assert (len(run.ends), run.failed, run.error) == (3, 2, "ValueError: no such luck")
    assert run.pages_per_second == pytest.approx(3 / run.seconds)

    class Forgetful(FakeEngine):
        def read(self, requests):
            return (answer for answer in super().read(requests) if answer.key != 2)

    run = run_once(Forgetful(), Work("base", 5), lambda: drawn_pages(5))
    assert (len(run.ends), run.failed) == (4, 1)
    assert "gave no answer" in run.error

    nothing = run_once(FakeEngine(lambda request: 1 / 0), Work("base", 2), lambda: drawn_pages(2))
    assert (nothing.pages_per_second, nothing.tokens_per_second, nothing.failed) == (0.0, 0.0, 2)


def test_occupancy_counts_wanted_tokens_and_not_those_of_the_prefill():
    run = Run(2.0, ends=(1.0, 2.0), outputs=(11, 21), steps=20)
    assert run.occupancy(2) == (10 + 20) / 40
    assert Run(1.0, (1.0,), (5,)).occupancy(1) is None


def test_an_unknown_mode_or_task_is_refused_before_anything_is_read():
    for work in (Work("large", 1), Work("base", 1, task="sing")):
        with pytest.raises(UsageError, match=r"it (reads|has)"):
            measure_cell(Scripted(None, None), work, lambda: drawn_pages(1))


def test_each_mode_is_measured_with_each_number_of_slots_and_length():
    bars, remarks = [], []

    class Bar:
        def __enter__(self):
            return self

        def __exit__(self, *error):
            pass

        def update(self, pages):
            bars[-1] += pages

    def bar(name, pages):
        bars.append(-pages)
        return Bar()

    settings = Settings(modes=("tiny", "base"), repeats=2)
    cells = list(measure_all(Subject("fake", EngineOptions()), settings, Watcher(bar, remarks.append)))
    assert [(cell.work.mode, cell.work.pages, cell.slots) for cell in cells] == [("tiny", 8, 1), ("base", 8, 1)]
    assert bars == [0, 0]  # every page was counted, warm-up included
    assert rows(cells)[1][:6] == ["fake", "tiny", "1", "–", "8", rows(cells)[1][5]]


def test_a_cell_stands_beside_the_fastest_baseline_of_the_same_work():
    def cell(mode, seconds, baseline, slots=1):
        run = Run(seconds, (seconds,), (10,))
        return Cell("x", Work(mode, slots, Lengths(5, 5)), slots, (run,), 0.0, 1, "", baseline=baseline)

    ours = cell("base", 1.0, False, 4)
    others = [cell("base", 8.0, True), cell("base", 5.0, True, 2), cell("tiny", 0.1, True)]
    assert best_baseline(ours, [ours, *others]) == others[1]
    found = cell_objects([ours, *others])
    assert found[0]["times_baseline"] == 5.0
    assert "times_baseline" not in found[1]
    assert best_baseline(ours, [ours]) is None


@pytest.mark.skipif(not resident(), reason="this system does not say how much memory a process uses")
def test_peak_memory_forgets_what_was_before():
    memory = PeakMemory("cpu")
    memory.reset()
    before = memory.peak()
    block = b"x" * 100_000_000
    assert memory.peak() >= before + 90_000_000
    del block
    memory.reset()
    assert memory.peak() < before + 50_000_000


def test_the_commit_is_that_of_this_checkout_or_unknown(monkeypatch):
    assert commit()
    monkeypatch.setenv("PATH", "")
    assert commit() == "unknown"


# --- the command -----------------------------------------------------------------------------------------------------


def test_bench_prints_a_table_and_one_line_of_json(ocrpress, tmp_path):
    run = ocrpress("bench", "--engine", "fake", "--mode", "tiny,native", "--pages", 4, "--repeat", 2, "-o", "out.json")
    assert (run.code, run.err) == (0, "")
    lines = run.text.splitlines()
    assert lines[0].split()[:3] == ["engine", "mode", "slots"]
    found = json.loads(lines[-1])
    assert [cell["mode"] for cell in found["cells"]] == ["tiny", "native"]
    for cell in found["cells"]:
        assert (cell["engine"], cell["pages"], cell["repeats"], cell["from"]) == ("fake", 4, 2, "images")
        assert cell["pages_per_day"] == pytest.approx(86_400 * cell["pages_per_second"]["median"], rel=0.001)
        assert cell["pages_per_second"]["min"] <= cell["pages_per_second"]["median"] <= cell["pages_per_second"]["max"]
        assert cell["peak_memory_bytes"] > 10_000_000
        assert (cell["failed"], cell["error"], cell["tokens"]) == (0, None, None)
        assert set(cell["seconds_by_stage"]) == {"decode"}
    assert found["random_weights"] is False
    assert set(found["machine"]) == {"processor", "cores", "gpu", "python"}
    assert {"commit", "versions", "settings", "note", "rates", "attention", "benchmark"} < set(found)
    assert found["settings"]["modes"] == ["tiny", "native"]
    assert json.loads((tmp_path / "out.json").read_text()) == found


def test_bench_over_files_renders_them_in_the_run(ocrpress, pdf):
    run = ocrpress("bench", pdf, "--engine", "fake", "--mode", "base", "--pages", 5, "--repeat", 1)
    cell = json.loads(run.text.splitlines()[-1])["cells"][0]
    assert (run.code, cell["from"], cell["pages"]) == (0, "files", 5)
    assert cell["seconds_by_stage"]["render"] > 0
    assert "render" in run.text


def test_failed_pages_are_said_and_make_the_exit_code_1(capsys, monkeypatch):
    monkeypatch.setattr("ocrpress.measure.bench.open_engine", lambda name, options: FakeEngine(lambda request: 1 / 0))
    assert main(["bench", "--engine", "fake", "--pages", "2", "--repeat", "1"]) == 1
    captured = capsys.readouterr()
    assert "2 pages failed: ZeroDivisionError" in captured.err
    assert json.loads(captured.out.splitlines()[-1])["cells"][0]["pages_per_second"]["median"] == 0


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--mode", "larg"], ["unknown mode 'larg'", "'large'"]),
        (["--engine", "rapidd"], ["unknown engine 'rapidd'", "'rapid'"]),
        (["--engine", "deepseek", "--slots", "0"], ["--slots is '0'", "1 or more"]),
        (["--engine", "deepseek", "--slots", "4,x"], ["--slots is 'x'"]),
        (["--engine", "deepseek", "--tokens", "1000-100"], ["1000-100"]),
        (["--engine", "fake", "--pages", "0"], ["--pages is 0"]),
        (["--engine", "fake", "--repeat", "0"], ["--repeat is 0"]),
        (["--engine", "fake", "--max-tiles", "1"], ["max_tiles is 1"]),
        (["--engine", "fake", "--slots", "4"], ["fake has no use for --slots", "--engine deepseek"]),
        (["--engine", "fake", "--tokens", "4"], ["fake has no use for --tokens", "--engine deepseek"]),
        (["--engine", "fake", "--device", "cpu"], ["fake has no use for --device", "--engine deepseek"]),
        (["--engine", "rapid", "--random-weights"], ["rapid has no use for --random-weights", "--engine deepseek"]),
        (["--engine", "fake", "--baseline"], ["fake has no use for --baseline"]),
        (["--engine", "fake", "--task", "sing"], ["no task 'sing'"]),
        (["--engine", "fake", "-o", "/proc/nowhere/x.json"], ["/proc/nowhere"]),
        (["--engine", "fake", "--tokns", "4"], ["unknown option '--tokns'", "'--tokens'"]),
    ],
)
def test_a_wrong_option_is_one_line_with_a_remedy(capsys, arguments, words):
    assert main(["bench", *arguments]) == 2
    captured = capsys.readouterr()
    assert (captured.out, captured.err.count("\n")) == ("", 1)
    for word in words:
        assert word in captured.err


def test_a_missing_file_is_exit_code_3(capsys, tmp_path):
    assert main(["bench", str(tmp_path / "none.pdf"), "--engine", "fake"]) == 3
    assert capsys.readouterr().err.count("\n") == 1


def test_engines_without_a_model_are_measured_without_torch_and_deepseek_says_what_it_needs(tmp_path):
    code = (
        "import sys\n"
        "for name in ('torch', 'transformers'): sys.modules[name] = None\n"
        "from ocrpress.__main__ import main\n"
        "sys.exit(main(sys.argv[1:]))"
    )

    def run(*arguments):
        command = [sys.executable, "-c", code, "bench", *arguments]
        return subprocess.run(command, env=environment(), cwd=tmp_path, capture_output=True, text=True, check=False)

    assert run("--engine", "fake", "--pages", "2", "--repeat", "1").returncode == 0
    missing = run("--engine", "deepseek", "--random-weights", "--device", "cpu")
    assert missing.returncode == 4
    assert "torch is not installed: run: pip install 'ocrpress[deepseek]'" in missing.stderr
