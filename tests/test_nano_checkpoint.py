"""models/nano as it is shipped: found by name, small, and reading, offline, through the command."""

from __future__ import annotations

import json
import random
import re
from dataclasses import replace
from pathlib import Path
from statistics import mean, median

import pytest

pytest.importorskip("torch")
pytest.importorskip("transformers.models.unlimited_ocr")

from conftest import ROOT

from ocrpress.engines.cards import load_card
from ocrpress.measure.accuracy import score
from ocrpress.measure.samples.choice import STYLE
from ocrpress.measure.samples.setting import fit
from ocrpress.typeset import lay_out
from ocrpress.typeset.drawing import draw

NANO = ("--engine", "deepseek", "--checkpoint", "nano")
# Held out of its training: one word in twenty by its CRC-32, see models/nano/texts.py.
WORDS = (
    "epiphytical", "soldiery", "resting", "celebrates", "stander", "auxins", "pasteurs", "fatum", "dialectisa",
    "zooidal", "patins", "ricochets", "coesite", "thesis", "lorgnons", "actuels", "conserving", "antistatics",
    "pediatric", "magnifico", "observante", "keratomas", "blubbers", "ponderate", "fanned", "gladiator",
    "menial", "signifying", "hypersonic", "almona", "stepstone", "unterste", "hiccough", "schisma", "brack",
    "tularemic", "firepans", "gabions", "carioca", "coffrage", "pillorized", "unvitrified", "gentled",
    "mulards", "misentreats",
)  # fmt: skip


def make_pages(folder: Path, characters: int, count: int, font: str = "sans") -> dict[str, str]:
    """PNGs of held-out words, so many characters each, in the largest type in which they fit: name -> text."""
    folder.mkdir(exist_ok=True)
    texts = {}
    for number in range(count):
        chance = random.Random(f"{characters}/{number}")
        text = " ".join(chance.choices(WORDS, k=characters // 4))[:characters].rsplit(" ", 1)[0]
        fitted = fit([text], replace(STYLE, font=font, size=80.0))
        assert fitted
        style, (printed,) = fitted
        (sheet,) = lay_out(printed, style)
        name = f"{characters}-{number}"
        draw(sheet).save(folder / f"{name}.png")
        texts[name] = printed
    return texts


def test_it_lies_in_the_repository_and_is_small():
    card = load_card("nano")
    assert card.weights_here
    assert card.modes == ("tiny", "small", "base")
    weights = card.folder / "model.safetensors"
    assert weights.stat().st_size < 24e6
    assert (card.folder / "tokenizer.json").is_file()
    text = (card.folder / "README.md").read_text()
    assert card.licence in text
    assert f"{weights.stat().st_size:,}" in text


def test_its_card_says_what_was_measured():
    text, measured = (load_card("nano").folder / "README.md").read_text(), {}
    for name in ("nano", "nano-base"):
        found = json.loads((ROOT / "benchmarks" / "results" / f"{name}.json").read_text())
        measured |= {mode: (found["nano_seen"][mode], found["nano_unseen"][mode]) for mode in found["nano_seen"]}
    rows = re.findall(r"^\| (tiny|base) \| (\d+) \|(.*)\|$", text, re.MULTILINE)
    assert {mode for mode, *_ in rows} == {"tiny", "base"}
    for mode, ratio, cells in rows:
        told = [cell.strip() for cell in cells.split("|")]
        kinds = ("words", "prose", "shuffled", "random")
        assert told == [" / ".join(f"{100 * known[kind][ratio]:.0f}" for known in measured[mode]) for kind in kinds]


@pytest.mark.parametrize(
    ("mode", "characters", "least"), [("tiny", 256, 0.9), ("small", 200, 0.85), ("base", 512, 0.85)]
)
def test_it_reads_words_that_it_never_saw_offline(tmp_path, ocrpress, mode, characters, least):
    """In tiny four characters a vision token: what a checkpoint must read to be shipped."""
    texts = make_pages(tmp_path / "pages", characters, 4)
    no_hub = {"HF_HOME": str(tmp_path / "hub"), "HF_HUB_OFFLINE": "1"}
    alone = ("--retries", "0", "--fallback", "none")  # nothing else reads for it
    run = ocrpress("convert", tmp_path / "pages", *NANO, "--mode", mode, *alone, "--format", "json", env=no_hub)
    assert run.code == 0, run.err
    pages = json.loads(run.text)["pages"]
    found = ["\n\n".join(block["text"] for block in page["blocks"]) for page in pages]
    scores = [score(text, texts[name]) for text, name in zip(found, sorted(texts), strict=True)]
    assert mean(1 - each.character_error_rate for each in scores) >= least


def test_its_curve_falls_as_the_compression_rises(tmp_path, ocrpress):
    place = tmp_path / "texts"
    place.mkdir()
    for characters in (160, 1300):
        for number in range(2):
            words = random.Random(number).choices(WORDS, k=characters)
            (place / f"{characters}-{number}.txt").write_text(" ".join(words)[:characters].rsplit(" ", 1)[0])
    run = ocrpress(
        "curve", place, "--checkpoint", "nano", "--mode", "tiny", "--variant", "natural", "--size", "60",
        "--font", "sans", "--buckets", "9000-9100", "--no-control", "-o", "out",
    )  # fmt: skip
    assert run.code == 0, run.err
    (cell,) = json.loads((tmp_path / "out" / "curve.json").read_text())["cells"]
    easy, *_, hard = sorted(cell["buckets"], key=lambda bucket: bucket["characters_per_vision_token"])
    assert easy["scores"]["edit_distance"]["mean"] < 0.2
    assert hard["scores"]["edit_distance"]["mean"] > 2 * easy["scores"]["edit_distance"]["mean"]


@pytest.mark.slow
def test_a_page_of_600_characters_takes_seconds(tmp_path, ocrpress):
    """Three are the aim; 2.6 to 3.7, median 3.2, were seen on two cores."""
    make_pages(tmp_path / "pages", 600, 3)
    run = ocrpress("convert", tmp_path / "pages", *NANO, "--format", "json", "--slots", "1")
    assert run.code == 0, run.err
    seconds = [page["seconds"] for page in json.loads(run.text)["pages"]]
    assert median(sum(each.values()) for each in seconds) <= 5.0
