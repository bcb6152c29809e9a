"""Measuring a small model of random weights: the command, the baseline, agreement, and the scripts of benchmarks/."""

from __future__ import annotations

import importlib.util
import json
import math
from dataclasses import replace
from types import SimpleNamespace

import pytest
from conftest import ROOT

torch = pytest.importorskip("torch")

from ocrpress.__main__ import main  # noqa: E402
from ocrpress.document import Completion, Decoding, Request  # noqa: E402
from ocrpress.engines.base import EngineOptions  # noqa: E402
from ocrpress.engines.fake import FakeEngine  # noqa: E402
from ocrpress.errors import EngineError  # noqa: E402
from ocrpress.measure import agreement, probe  # noqa: E402
from ocrpress.measure.baseline import GenerateEngine  # noqa: E402
from ocrpress.measure.bench import Settings, Subject, Watcher, measure_all  # noqa: E402
from ocrpress.measure.loaded import load_small  # noqa: E402
from ocrpress.measure.pages import drawn_pages  # noqa: E402
from ocrpress.measure.throughput import slots_of  # noqa: E402
from ocrpress.measure.work import Lengths, Work  # noqa: E402


@pytest.fixture(scope="module")
def small():
    return load_small(torch.device("cpu"), torch.float32)


@pytest.fixture
def bench_small(small, monkeypatch):
    """The command with a small model in place of the full-size one, and a device that is measured quickly."""
    monkeypatch.setattr("ocrpress.measure.loaded.load", lambda options: small)
    monkeypatch.setattr(probe, "COPIED", {"cpu": 2**20})
    monkeypatch.setattr(probe, "SIDE", {"cpu": 64})
    monkeypatch.setattr("ocrpress.cli.bench.BASELINES", {"cpu": ((1, False), (3, False))})


def test_random_weights_are_measured_beside_roofline_and_baseline_and_called_noise(bench_small, capsys):
    arguments = [
        "--random-weights",
        "--mode",
        "tiny",
        "--slots",
        "2,3",
        "--tokens",
        "5-9",
        "--repeat",
        "1",
        "--baseline",
    ]
    assert main(["bench", *arguments]) == 0
    captured = capsys.readouterr()
    assert "NOISE: the weights are random" in captured.err
    assert "NOISE: the weights are random" in captured.out
    found = json.loads(captured.out.splitlines()[-1])
    assert found["random_weights"] is True
    assert "noise" in found["text"]
    names = [(cell["engine"], cell["slots"], cell["pages"], cell["baseline"]) for cell in found["cells"]]
    assert names == [
        ("deepseek", 2, 8, False), ("deepseek", 3, 12, False),
        ("transformers", 1, 1, True), ("transformers", 3, 3, True),
    ]  # fmt: skip
    for cell in found["cells"]:
        assert cell["mean_tokens"] == 7
        assert cell["vision_tokens"] == 64
        limit = cell["roofline"]
        assert cell["share_of_roofline"] == pytest.approx(
            cell["pages_per_second"]["median"] / limit["pages_per_second"], rel=0.01
        )
    for cell in found["cells"][:2]:
        assert 0 < cell["occupancy"]["median"] <= 1
        assert cell["prefilled"] == [cell["pages"]]
        assert set(cell["seconds_by_stage"]) == {"views", "encode", "prefill", "decode"}
        assert cell["times_baseline"] > 0
    assert set(found["cells"][2]["seconds_by_stage"]) == {"views", "encode", "generate"}
    assert found["rates"]["bandwidth"] > 0
    assert found["rates"]["matmul"] > 0
    assert found["attention"] == "row by row"


def test_random_weights_without_a_length_are_forced_to_a_thousand_tokens(small, monkeypatch):
    asked = []

    class Spy(FakeEngine):
        def __post_init__(self):
            super().__post_init__()
            self.capabilities = replace(self.capabilities, decoding=True)

        def read(self, requests):
            for request in requests:
                asked.append(request.decoding)
                yield Completion(request.key, "x")

    subject = Subject("deepseek", EngineOptions(), small)
    monkeypatch.setattr(Subject, "open", lambda self, slots: Spy())
    list(measure_all(subject, Settings(modes=("tiny",), pages=1, repeats=1), Watcher()))
    assert set(asked) == {Decoding(max_tokens=1000, ignore_end=True)}


def test_what_was_measured_is_shown_when_a_later_engine_cannot_run(capsys, monkeypatch, tmp_path):
    monkeypatch.setattr("ocrpress.measure.loaded.load", _no_engine)
    arguments = ["--engine", "fake,deepseek", "--mode", "tiny", "--pages", "2", "--repeat", "1"]
    assert main(["bench", *arguments]) == 4
    captured = capsys.readouterr()
    assert json.loads(captured.out.splitlines()[-1])["cells"][0]["engine"] == "fake"
    assert "no room" in captured.err


def _no_engine(options):
    raise EngineError("no room", "make some")


@pytest.mark.parametrize(("mode", "batches"), [("tiny", (1, 4)), ("gundam", (3,))])
def test_the_baseline_generates_what_our_engine_generates(small, mode, batches):
    work = Work(mode, 3, Lengths(3, 12), max_tiles=2)
    requests = list(work.requests(drawn_pages(3)))
    requests[1] = replace(requests[1], task="text")  # a shorter prompt: a group of its own in the batch
    ours = small.open(2)
    expected = {answer.key: answer for answer in ours.read(requests)}
    ours.close()
    for batch in batches:
        theirs = GenerateEngine(small, batch)
        for answer in theirs.read(requests):
            assert answer.text == expected[answer.key].text
            assert answer.output_tokens == requests[answer.key].decoding.max_tokens
            assert answer.plan == expected[answer.key].plan
        theirs.close()


def test_the_baseline_ends_answers_at_the_end_token(small):
    engine = GenerateEngine(small, 1)
    request = Request(0, drawn_pages(1)[0], "tiny")
    views = SimpleNamespace(plan=None)
    end = small.tokenizer.end
    cut = engine._completion(request, views, [5, 6, end, end], {})
    assert (cut.stop, cut.output_tokens) == ("end", 2)
    forced = replace(request, decoding=Decoding(max_tokens=4, ignore_end=True))
    assert engine._completion(forced, views, [5, 6, end, 7], {}).output_tokens == 4


def test_a_baseline_without_memory_is_left_out_with_a_remark(small, monkeypatch):
    def full(**arguments):
        raise torch.OutOfMemoryError("CUDA out of memory")

    monkeypatch.setattr(small.model, "generate", full)
    remarks = []
    settings = Settings(
        modes=("tiny",), slots=(2,), lengths=(Lengths(2, 2),), pages=2, repeats=1, baselines=((2, False),)
    )
    cells = list(measure_all(Subject("deepseek", EngineOptions(), small), settings, Watcher(remark=remarks.append)))
    assert [cell.baseline for cell in cells] == [False]
    assert remarks[-1:] == ["transformers has no memory for 2 pages at a time: take a smaller batch"]


def test_kept_grouped_products_are_given_back(small):
    before = small.model._optimize_model_for_decode
    engine = GenerateEngine(small, 1, grouped=True)
    (answer,) = engine.read(Work("tiny", 1, Lengths(2, 2)).requests(drawn_pages(1)))
    assert answer.output_tokens == 2
    assert engine.name == "transformers grouped"
    assert small.model._optimize_model_for_decode == before


def test_slots_of_an_idle_engine_are_those_it_was_opened_with(small):
    engine = small.open(3)
    assert slots_of(engine) == 3
    engine.close()
    assert slots_of(FakeEngine(in_flight=5)) == 5


def test_captured_and_plain_steps_agree_and_so_does_generate(small, monkeypatch):
    monkeypatch.setattr(agreement, "SEQUENCES", 4)
    for compare in (agreement.compare_graphs, agreement.compare_generate):
        found = compare(small)
        assert found.complete, found
        assert (found.sequences, found.equal) == (4, 4)
        assert found.tokens > 60

    right = agreement.decode
    wrong = iter([False, True])

    def decode(decoder, jobs, **settings):
        tokens = right(decoder, jobs, **settings)
        return {**tokens, 2: (*tokens[2][:2], 0, *tokens[2][3:])} if next(wrong) else tokens

    monkeypatch.setattr(agreement, "decode", decode)
    found = agreement.compare_graphs(small)
    assert (found.complete, found.equal) == (False, 3)


# --- the scripts -----------------------------------------------------------------------------------------------------


def script(name: str):
    """A file of benchmarks/ as a module."""
    spec = importlib.util.spec_from_file_location(f"benchmark_{name}", ROOT / "benchmarks" / f"{name}.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_gpu_script_runs_small_on_a_cpu_and_keeps_what_it_has(bench_small, capsys, tmp_path, monkeypatch):
    throughput = script("throughput")
    monkeypatch.setattr(agreement, "SEQUENCES", 2)
    out = tmp_path / "out.json"
    few = ["--small", "--device", "cpu", "--tokens", "3", "--pages", "2", "--out", str(out), "--cells"]
    assert throughput.main([*few, "tiny:2", "baseline:2", "grouped:1"]) == 0
    captured = capsys.readouterr()
    found = json.loads(captured.out.splitlines()[-1])
    assert [(cell["engine"], cell["mode"], cell["slots"]) for cell in found["cells"]] == [
        ("deepseek", "tiny", 2), ("transformers", "base", 2), ("transformers grouped", "base", 1),
    ]  # fmt: skip
    assert [each["complete"] for each in found["agreement"]] == [True, True]
    assert (found["skipped"], found["errors"]) == ([], {})
    assert json.loads(out.read_text())["cells"] == found["cells"]
    assert "NOISE" in captured.out

    monkeypatch.setattr(throughput, "check_fast_paths", lambda device, dtype: [])
    monkeypatch.setattr(throughput.Session, "baseline", lambda *arguments: 1 / 0)
    assert throughput.main([*few, "baseline:1", "tiny:1"]) == 1
    found = json.loads(out.read_text())
    assert found["errors"] == {"baseline:1": "ZeroDivisionError: division by zero"}
    assert [cell["mode"] for cell in found["cells"]] == ["tiny"]

    assert throughput.main([*few, "base:3", "baseline:2", "--minutes", "0.001"]) == 0
    found = json.loads(out.read_text())
    assert (found["cells"], found["skipped"]) == ([], ["base:3", "baseline:2"])


def test_the_gpu_script_without_a_gpu_is_one_clear_line(capsys):
    throughput = script("throughput")
    assert throughput.main(["--device", "cpu"]) == 4
    assert "there is no CUDA GPU to measure" in capsys.readouterr().err.splitlines()[-1]
    assert throughput.main(["--cells", "bas:256"]) == 2
    assert "'bas:256' is no cell" in capsys.readouterr().err


def test_the_cpu_script_says_what_slots_refilling_and_memory_are_worth(capsys, tmp_path):
    out = tmp_path / "out.json"
    few = ["--slots", "2", "--pages", "2", "--tokens", "6", "--spread", "2-10", "--rounds", "3", "--memory", "2", "6"]
    script("decoding").main([*few, "--repeat", "1", "--out", str(out)])
    found = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert json.loads(out.read_text()) == found
    speed, refill, memory = found["speed"], found["refill"], found["memory"]
    assert speed["ratio"] == pytest.approx(
        speed["our slots"]["pages_per_second"]["median"] / speed["page by page"]["pages_per_second"]["median"], rel=0.02
    )
    assert (speed["slots"], refill["slots"], refill["mean"]) == (2, 2, 6)
    assert 0.4 < refill["ratio_steps"]["median"] < 1.6  # of so few pages the slots' filling is a large part
    assert all(0.4 < refill["occupancy"][lengths] <= 1.0 for lengths in ("spread", "equal"))
    assert memory["pages"] == [2, 6]
    assert math.isclose(memory["ratio"], memory["resident_bytes"][1] / memory["resident_bytes"][0], abs_tol=1e-3)
