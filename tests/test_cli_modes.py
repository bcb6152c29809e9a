from __future__ import annotations

import json
import re

from conftest import ROOT
from pdfmaker import Page, make_pdf, make_text_pdf
from PIL import Image

from ocrpress.modes import MODES


def test_the_table_is_the_published_one(ocrpress):
    run = ocrpress("modes")
    assert (run.code, run.err) == (0, "")
    rows = {line.split()[0]: " ".join(line.split()[1:]) for line in run.text.splitlines()[2:]}
    assert list(rows) == ["tiny", "small", "base", "large", "gundam", "gundam-m", "dynamic", "native"]
    assert rows["tiny"] == "512² – 64 73"
    assert rows["large"] == "1280² – 400 421"
    assert rows["gundam"] == "1024² n × 640² 100 n + 256 (10 rows)(10 cols + 1) + 273"
    assert rows["gundam-m"] == "1280² n × 1024² 256 n + 400 (16 rows)(16 cols + 1) + 421"
    assert rows["dynamic"] == "1024² n × 768² 144 n + 256 144 n + 257"
    published = re.findall(r"^\| ([\w-]+) \| (.*?) \|$", (ROOT / "README.md").read_text(), re.MULTILINE)
    assert {name: cells.replace(" | ", " ") for name, cells in published if name in MODES} == {
        name: row for name, row in rows.items() if name != "native"
    }


def test_the_table_for_programs(ocrpress):
    modes = {mode["mode"]: mode for mode in json.loads(ocrpress("modes", "--json", "--max-tiles", 6).text)["modes"]}
    assert modes["gundam"] == {
        "mode": "gundam", "view": 1024, "tile": 640, "max_tiles": 6, "fit": "pad", "view_vision_tokens": 256,
        "tile_vision_tokens": 100, "view_sequence_tokens": 273,
    }  # fmt: skip
    assert modes["native"]["view_vision_tokens"] == 0


def test_what_a_document_would_cost(tmp_path, ocrpress):
    (tmp_path / "two.pdf").write_bytes(make_pdf([Page(size=(612, 792)), Page(size=(1000, 500))]))
    run = ocrpress("modes", "two.pdf", "--json")
    assert (run.code, run.err) == (0, "")
    found = json.loads(run.text)
    costs = {mode["mode"]: mode for mode in found["modes"]}
    assert (found["file"], found["pages"], found["unreadable"]) == ("two.pdf", 2, [])
    assert (costs["tiny"]["vision_tokens"], costs["tiny"]["sequence_tokens"]) == (128, 146)
    assert costs["base"]["valid_tokens"] == 198 + 128
    assert costs["base"]["valid_tokens_a_page"] == 163.0
    assert costs["gundam"]["tiles"] == 6 + 8
    assert "two.pdf: 2 pages" in ocrpress("modes", "two.pdf").text


def test_an_image_costs_what_its_own_pixels_cost(tmp_path, ocrpress):
    Image.new("RGB", (600, 600), "white").save(tmp_path / "small.png")
    costs = {mode["mode"]: mode for mode in json.loads(ocrpress("modes", "small.png", "--json").text)["modes"]}
    assert costs["gundam"]["tiles"] == 0  # no side beyond 640: the global view alone
    assert costs["gundam"]["sequence_tokens"] == 273


def test_pages_and_passwords_are_taken(tmp_path, ocrpress):
    (tmp_path / "locked.pdf").write_bytes(make_text_pdf(4, user="secret"))
    found = json.loads(ocrpress("modes", "locked.pdf", "--json", "--pages", "2-3", "--password", "secret").text)
    assert found["pages"] == 2


def test_bad_arguments_are_one_line(ocrpress):
    for arguments, code, word in (
        (("missing.pdf",), 3, "missing.pdf"), (("--max-tiles", "1"), 2, "max_tiles"), (("--max-tiles", "x"), 2, "'x'"),
    ):  # fmt: skip
        run = ocrpress("modes", *arguments)
        assert (run.code, run.out, len(run.lines)) == (code, b"", 1)
        assert word in run.err
