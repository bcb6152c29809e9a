from __future__ import annotations

import json

import pytest
from checkpoints import write_small_checkpoint

from ocrpress.__main__ import main
from ocrpress.engines.cards import cards


@pytest.fixture
def cache(tmp_path, monkeypatch):
    """An empty Hugging Face cache."""
    from huggingface_hub import constants

    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path))
    return tmp_path


def models(capsysbinary, *arguments):
    assert main(["models", *arguments]) == 0
    return capsysbinary.readouterr().out.decode()


def test_every_card_is_listed_with_what_it_costs_and_how_to_get_it(cache, capsysbinary):
    text = models(capsysbinary)
    for card in cards().values():
        row = next(line for line in text.splitlines() if line.startswith(f"{card.name} "))
        cost = ["no", f"{card.download_gb:.1f}", "GB"] if card.repository else ["yes", "none"]
        assert row.split()[: 2 + len(cost)] == [card.name, *cost, card.licence]
        assert ", ".join(card.modes) in row
    assert "ocrpress pull NAME" in text


def test_what_is_here_is_marked(cache, capsysbinary):
    card = cards()["deepseek-ocr"]
    folder = write_small_checkpoint(cache / "models--deepseek-ai--DeepSeek-OCR" / "snapshots" / card.revision)
    rows = {line.split()[0]: line.split()[1] for line in models(capsysbinary).splitlines() if "GB" in line}
    assert rows == {"deepseek-ocr": "yes", "deepseek-ocr-2": "no", "jina-ocr-v1": "no", "unlimited-ocr": "no"}
    found = {each["name"]: each for each in json.loads(models(capsysbinary, "--json"))}
    assert (found["deepseek-ocr"]["present"], found["deepseek-ocr"]["folder"]) == (True, str(folder))
    assert (found["unlimited-ocr"]["present"], found["unlimited-ocr"]["folder"]) == (False, None)


def test_for_programs_it_is_all_that_the_cards_say(cache, capsysbinary):
    for each in json.loads(models(capsysbinary, "--json")):
        card = cards()[each["name"]]
        said = (each["repository"] or "", each["revision"] or "", each["licence"])
        assert said == (card.repository, card.revision, card.licence)
        assert (each["attention"], each["modes"], each["tasks"]) == (card.attention, [*card.modes], [*card.tasks])


def test_without_the_extra_it_lists_them_all_the_same(cache, capsysbinary, monkeypatch):
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    text = models(capsysbinary)
    assert text.count(" no ") == sum(not card.weights_here for card in cards().values())


def test_in_a_process_of_its_own(ocrpress, tmp_path):
    run = ocrpress("models", env={"HF_HOME": str(tmp_path)})
    assert (run.code, run.err) == (0, "")
    assert "deepseek-ocr" in run.text
