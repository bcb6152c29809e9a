"""`ocrpress curve` as a user runs it: files, table, exit codes, and what is refused in one line."""

from __future__ import annotations

import csv
import json

import pytest
from checkpoints import write_small_checkpoint
from pdfmaker import make_text_pdf
from PIL import Image

from ocrpress.__main__ import main

FILES = {"cells", "curve.json", "curve.csv", "curve.png", "curve.svg", "report.html"}
QUICK = ("curve", "-o", "out", "--engine", "fake", "--pages", "1", "--buckets", "600-800")


def without_times(path) -> str:
    found = json.loads(path.read_text())
    assert found.pop("times")["cells"]
    return json.dumps(found)


def test_a_curve_of_nothing_but_the_defaults_and_the_same_again(ocrpress, tmp_path):
    done = ocrpress(*QUICK, "--mode", "tiny,base")
    assert (done.code, done.err) == (0, "")
    out = tmp_path / "out"
    assert {path.name for path in out.iterdir()} == FILES
    assert "language reference" in done.text
    assert "text tokens: DeepSeek vocabulary" in done.text
    found = json.loads((out / "curve.json").read_text())
    cells = [(cell["engine"], cell["mode"], cell["variant"]) for cell in found["cells"]]
    assert cells == [
        ("fake", mode, variant) for mode in ("tiny", "base") for variant in ("natural", "shuffled", "random")
    ]
    rows = list(csv.DictReader((out / "curve.csv").open(encoding="utf-8")))
    assert len(rows) == 2 * 2 * 3
    with Image.open(out / "curve.png") as picture:
        assert picture.width > 1000
    again = ocrpress(*QUICK, "--mode", "tiny,base", "--fresh", "-o", "again")
    assert again.code == 0
    assert without_times(tmp_path / "again" / "curve.json") == without_times(out / "curve.json")
    other = ocrpress(*QUICK, "--mode", "tiny,base", "-o", "other", "--seed", "1")
    assert other.code == 0
    assert without_times(tmp_path / "other" / "curve.json") != without_times(out / "curve.json")


def test_a_vlm_is_measured_beside_a_reader_of_the_very_pixels(ocrpress, tmp_path):
    write_small_checkpoint(tmp_path / "tiny-model")
    (tmp_path / "notes.txt").write_text("A few words that nobody can read in so few tokens.")
    done = ocrpress(
        "curve", "notes.txt", "-o", "out", "--engine", "deepseek", "--checkpoint", "tiny-model", "--mode", "tiny",
        "--variant", "natural", "--max-tokens", 8, "--quiet",
    )  # fmt: skip
    assert (done.code, done.err) == (0, "")
    found = json.loads((tmp_path / "out" / "curve.json").read_text())
    model, control = found["cells"]
    assert (model["engine"], model["control"]) == ("deepseek (tiny-model)", False)
    assert (control["engine"], control["control"]) == ("rapid", True)
    assert found["tokens_by"] == "tokenizer of tiny-model"
    distances = [cell["all"]["scores"]["edit_distance"]["mean"] for cell in (control, model)]
    assert distances[0] < 0.1 < distances[1]
    assert model["edit_distance_of_pixels"] == distances[0]


def test_pages_of_pdfs_and_images_are_their_own_truth(ocrpress, tmp_path):
    (tmp_path / "three.pdf").write_bytes(make_text_pdf(3))
    done = ocrpress("curve", "three.pdf", "-o", "out", "--engine", "fake", "--mode", "tiny")
    assert done.code == 0
    found = json.loads((tmp_path / "out" / "curve.json").read_text())
    assert {cell["variant"] for cell in found["cells"]} == {"natural"}
    assert len(found["cells"][0]["pages"]) == 3


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        (("curve",), 2, "-o/--output"),
        ((*QUICK, "--mode", "tny"), 2, "did you mean 'tiny'"),
        ((*QUICK, "--variant", "shufled"), 2, "did you mean 'shuffled'"),
        ((*QUICK, "--engine", "fak"), 2, "did you mean 'fake'"),
        ((*QUICK, "--buckets", "many"), 2, "--buckets is 'many'"),
        ((*QUICK, "--buckets", "700-600"), 2, "600-1300"),
        ((*QUICK, "--pages", "0"), 2, "1 or more"),
        ((*QUICK, "--limit", "0"), 2, "1 or more"),
        ((*QUICK, "--max-tiles", "1"), 2, "2 or more"),
        ((*QUICK, "--checkpoint", "x"), 2, "has no use for --checkpoint"),
        ((*QUICK, "--task", "text"), 2, "has no use for --task"),
        ((*QUICK, "--font", "no such font"), 2, "no such font"),
        (
            ("curve", "-o", "out", "--engine", "deepseek", "--checkpoint", "deepseek-ocr", "--limit", "1"),
            4,
            "ocrpress pull",
        ),
        ((*QUICK, "nowhere.txt"), 3, "nowhere.txt does not exist"),
        ((*QUICK, "empty.txt"), 3, "empty.txt"),
        ((*QUICK, "signs.txt"), 3, "signs.txt"),
        ((*QUICK, "pages.json"), 3, "gone.png"),
        ((*QUICK, "three.pdf", "--variant", "random"), 2, "add --typeset"),
        ((*QUICK[:2], "file/out", *QUICK[3:]), 2, "cannot write"),
    ],
)
def test_what_cannot_be_measured_is_refused_in_one_line(tmp_path, monkeypatch, capsys, arguments, code, said):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "empty.txt").write_text("")
    (tmp_path / "signs.txt").write_text("\u200b \u200b")
    (tmp_path / "file").write_text("")
    (tmp_path / "three.pdf").write_bytes(make_text_pdf(3))
    (tmp_path / "pages.json").write_text('[{"image": "gone.png", "text": "text"}]')
    assert main(list(arguments)) == code
    (line,) = capsys.readouterr().err.splitlines()
    assert said in line


def test_an_image_that_cannot_be_shown_is_named_and_the_exit_code_says_so(ocrpress, tmp_path):
    (tmp_path / "bad.png").write_bytes(b"\x89PNG\r\n\x1a\n")
    Image.new("L", (200, 200), "white").save(tmp_path / "good.png")
    entries = [{"image": name, "text": "some text"} for name in ("bad.png", "good.png")]
    (tmp_path / "pages.json").write_text(json.dumps(entries))
    done = ocrpress("curve", "pages.json", "-o", "out", "--engine", "fake", "--mode", "tiny")
    assert done.code == 1
    found = json.loads((tmp_path / "out" / "curve.json").read_text())
    assert "bad.png" in json.dumps(found["left_out"])
    assert [page["page"] for page in found["cells"][0]["pages"]] == ["good.png"]
