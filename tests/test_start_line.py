"""How an engine runs is said once on stderr, by every command that opens one, unless it is told to be quiet."""

from __future__ import annotations

import json
import sys
from dataclasses import asdict

import pytest
from conftest import ROOT
from service_tools import running, wait_until

from ocrpress.__main__ import main
from ocrpress.engines.base import EngineOptions
from ocrpress.engines.deepseek.plan import DecodePlan
from ocrpress.engines.fake import FakeEngine
from ocrpress.jobs.reading.crew import Crew
from ocrpress.measure.bench import Settings, Subject, Watcher, measure_all

PLAN = DecodePlan(
    "cuda:0 (NVIDIA H100)", "bfloat16", "FlashAttention 3", "grouped", "captured", 256, 524_288, 32 * 10**9
)
LINE = (
    "engine fake on cuda:0 (NVIDIA H100): bfloat16, attention: FlashAttention 3, experts: grouped, CUDA graphs: "
    "captured, 256 rows, KV cache of 524,288 tokens (32.0 GB)"
)


@pytest.fixture
def command(tmp_path):
    """What runs a reading process whose engine has a plan."""
    spec = {"engine": {}, "faults": [], "read": str(tmp_path / "read"), "plan": asdict(PLAN)}
    (tmp_path / "read").touch()
    (tmp_path / "spec.json").write_text(json.dumps(spec))
    return sys.executable, "-P", str(ROOT / "tests" / "faulty_worker.py"), str(tmp_path / "spec.json")


def planned(name="fake", options=None):
    engine = FakeEngine()
    engine.plan = PLAN
    return engine


@pytest.mark.parametrize("quiet", [False, True])
def test_convert(pdf, tmp_path, monkeypatch, capsys, quiet):
    monkeypatch.setattr("ocrpress.cli.conversion.open_engine", planned)
    copy = pdf.with_name("copy.pdf")
    copy.write_bytes(pdf.read_bytes())
    paths = [str(pdf), str(copy), "-o", f"{tmp_path}/out/"]
    assert main(["convert", *paths, "--engine", "fake", *["--quiet"] * quiet]) == 0
    assert capsys.readouterr().err.count(f"ocrpress: {LINE}\n") == (not quiet)


@pytest.mark.parametrize("quiet", [False, True])
def test_batch(pdf, tmp_path, monkeypatch, capsys, command, quiet):
    class Planned(Crew):
        def __init__(self, settings, log=None):
            super().__init__(settings, command, log)

    monkeypatch.setattr("ocrpress.cli.batching.Crew", Planned)
    arguments = ["batch", str(pdf), "-o", str(tmp_path / "out"), "--engine", "fake", *["--quiet"] * quiet]
    assert main(arguments) == 0
    assert capsys.readouterr().err.count(f"ocrpress: {LINE}\n") == (not quiet)


def test_serve(tmp_path, command, monkeypatch):
    with running(tmp_path, command=command) as server:
        wait_until(lambda: len(server.said) > 1)
        assert server.said[0] == LINE
        assert server.said[1].startswith("serving on ")
        assert server.said.count(LINE) == 1
        monkeypatch.setattr(server._house, "_quiet", True)
        server.said.clear()
        server._house._announce()
        assert LINE not in server.said


@pytest.mark.parametrize("quiet", [False, True])
def test_curve(tmp_path, monkeypatch, capsys, quiet):
    monkeypatch.setattr("ocrpress.measure.sweep.open_engine", planned)
    (tmp_path / "notes.txt").write_text("A few words.")
    arguments = ["curve", str(tmp_path / "notes.txt"), "-o", str(tmp_path / "out"), "--engine", "fake", "--mode",
                 "tiny,small", "--variant", "natural", *["--quiet"] * quiet]  # fmt: skip
    assert main(arguments) == 0
    assert capsys.readouterr().err.count(f"ocrpress: {LINE}\n") == (not quiet)


def test_bench(monkeypatch):
    said = []
    monkeypatch.setattr("ocrpress.measure.bench.open_engine", planned)
    subject = Subject("fake", EngineOptions())
    list(measure_all(subject, Settings(pages=1, repeats=1), Watcher(remark=said.append)))
    assert said == [LINE]
