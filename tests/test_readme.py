"""The README says what is true: the output is what the command prints, the table the code's, the figures measured."""

from __future__ import annotations

import json
import re

from conftest import ROOT

from ocrpress import convert, render
from ocrpress.modes import MODES, plan

README = (ROOT / "README.md").read_text(encoding="utf-8")
RESULTS = ROOT / "benchmarks" / "results"


def test_the_output_shown_is_the_output():
    shown = re.search(r"```markdown\n(.*?)```", README, re.DOTALL)[1]
    assert render(convert(ROOT / "tests" / "data" / "sample.pdf")).startswith(shown)


def test_the_mode_table_is_that_of_the_code():
    rows = re.findall(r"^\| (\S+) \| (\d+)² \| \S.*? \| (\d+) \| (\d+) \|$", README, re.MULTILINE)
    assert {row[0] for row in rows} == {"tiny", "small", "base", "large"}
    for name, view, vision, sequence in rows:
        made = plan(1000, 1400, name)
        assert (MODES[name].view, made.vision_tokens, made.sequence_tokens) == (int(view), int(vision), int(sequence))


def test_every_figure_stands_in_a_result():
    quoted = re.findall(r"\*\*([\d.]+)\*\* \| `(\S+?)\.json`, `([\w.]+)`", README)
    assert len(quoted) >= 7
    for value, name, key in quoted:
        measured = json.loads((RESULTS / f"{name}.json").read_text())
        for part in key.split("."):
            measured = measured[int(part) if isinstance(measured, list) else part]
        assert round(measured, len(value.partition(".")[2])) == float(value), (name, key)


def test_every_path_named_exists():
    for path in re.findall(r"\]\(([^):]+)\)|`((?:benchmarks|tests)/[\w./]*)`", README):
        assert (ROOT / (path[0] or path[1])).exists(), path
