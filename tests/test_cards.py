from __future__ import annotations

import re
import subprocess
import sys
from types import SimpleNamespace

import pytest
from conftest import ROOT, environment

from ocrpress.engines.base import Capabilities
from ocrpress.engines.cards import DEFAULT_CHECKPOINT, cards, load_card, read_card
from ocrpress.errors import EngineError, UsageError
from ocrpress.modes import MODES, plan
from ocrpress.pipeline import Options, options_for
from ocrpress.sources import render_size

GOOD = """
about = "a small one"
licence = "MIT"
weights_here = true
attention = "full"
modes = ["tiny", "base"]
[prompts]
markdown = "Convert."
locate = "Find {what}."
[generation]
ngram = 10
window = 40
exempt = [9, 10]
"""


def card_of(folder, text):
    (folder / "model.toml").write_text(text)
    return read_card(folder)


def test_published_checkpoints_have_a_card_and_the_default_comes_first():
    assert list(cards()) == [DEFAULT_CHECKPOINT, "deepseek-ocr-2", "jina-ocr-v1", "nano", "unlimited-ocr"]
    for card in published():
        assert re.fullmatch("[0-9a-f]{40}", card.revision)
        assert re.fullmatch(r"[\w-]+/[\w-]+", card.repository)
        assert set(card.modes) <= set(MODES)
        assert (card.folder / "README.md").is_file()


def published():
    return [card for card in cards().values() if card.repository]


def test_the_cards_for_people_say_what_model_toml_says():
    for card in published():
        text = (card.folder / "README.md").read_text()
        assert card.repository in text
        assert card.revision in text
        assert card.licence in text
        for file in card.weights.values():
            assert file.sha256 in text
            assert f"{file.size:,}" in text


def test_prompts_are_those_that_the_authors_publish():
    card = load_card("deepseek-ocr")
    assert card.tasks == ("markdown", "text", "ocr", "figure", "describe", "locate")
    assert card.prompt("markdown") == "\n<|grounding|>Convert the document to markdown."
    assert card.prompt("text") == "\nFree OCR."
    assert card.prompt("ocr") == "\n<|grounding|>OCR this image."
    assert card.prompt("locate=the title") == "\nLocate <|ref|>the title<|/ref|> in the image."
    assert load_card("unlimited-ocr").prompt("markdown") == "document parsing."
    generation = card.generation
    assert (generation.ngram, generation.window, generation.exempt) == (30, 90, (128821, 128822))
    assert {name: each.max_tiles for name, each in cards().items() if each.max_tiles != 9} == {
        "deepseek-ocr-2": 6, "unlimited-ocr": 32
    }  # fmt: skip


@pytest.mark.parametrize("task", ["locate", "locate=", "locate= ", "markdown=x", "Markdown", ""])
def test_a_task_that_it_does_not_know_is_refused_with_those_that_it_does(task):
    with pytest.raises(UsageError, match="locate=WHAT"):
        load_card("deepseek-ocr").prompt(task)


@pytest.mark.parametrize("what", ["<image>", "a<|/ref|>b", "<｜end▁of▁sentence｜>"])
def test_what_is_looked_for_cannot_pass_for_a_token(what):
    with pytest.raises(UsageError, match="cannot be looked for"):
        load_card("deepseek-ocr").prompt(f"locate={what}")


def test_a_comparison_may_be_looked_for():
    assert "x < 3 and y > 2" in load_card("deepseek-ocr").prompt("locate=x < 3 and y > 2")


def test_an_unknown_name_comes_with_the_nearest_one():
    with pytest.raises(UsageError, match="did you mean 'deepseek-ocr'"):
        load_card("deepsek-ocr")


def test_a_folder_that_holds_its_weights_needs_no_repository(tmp_path):
    card = card_of(tmp_path, GOOD)
    assert (card.weights_here, card.repository, card.after_image) == (True, "", "\n")
    assert (card.generation.exempt, card.generation.max_tokens) == ((9, 10), 8192)
    assert card.prompt("locate=a table") == "\nFind a table."


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("licence =", "license =", "did you mean 'licence'"),
        ("ngram =", "ngrams =", "did you mean 'ngram'"),
        ("[generation]", "[generations]", "did you mean 'generation'"),
        ('"tiny"', '"tinny"', "did you mean 'tiny'"),
        ("markdown =", "markdwon =", "did you mean 'markdown'"),
        ('licence = "MIT"', "", "has no licence"),
        ("ngram = 10", 'ngram = "10"', "generation.ngram is '10'"),
        ("ngram = 10", "ngram = true", "generation.ngram is True"),
        ('attention = "full"', 'attention = "some"', "'full' or 'reference'"),
        ("Find {what}.", "Find it.", "prompt of locate"),
        ("Convert.", "Convert {what}.", "prompt of markdown"),
        ('= "Convert."', "= 3", "prompt of markdown"),
        ("[9, 10]", "[9, '10']", "generation.exempt"),
        ("weights_here = true", "", "either repository or weights_here"),
        ("weights_here = true", 'weights_here = true\nrepository = "a/b"', "either repository or weights_here"),
        ("[prompts]", "[weights.x]\nsize = 3\n[prompts]", "has no weights.x.sha256"),
        ("[prompts]", "prompts = 3\n[other]", "unknown name 'other'"),
        ("about =", "about", "cannot be read"),
        ("[prompts]", "max_tiles = 1\n[prompts]", "max_tiles is 1"),
        ("[prompts]", "skip = [3]\n[prompts]", "skip is [3]"),
        ("[prompts]", "skip = ['']\n[prompts]", "skip is ['']"),
        ("[prompts]", "skips = []\n[prompts]", "did you mean 'skip'"),
    ],
)
def test_a_model_toml_that_makes_no_sense_is_an_error_that_names_the_place(tmp_path, old, new, message):
    assert old in GOOD
    with pytest.raises(EngineError, match=re.escape(message)):
        card_of(tmp_path, GOOD.replace(old, new))


def test_a_checkpoints_tiles_are_taken_where_nobody_says_otherwise():
    engine = SimpleNamespace(name="some", capabilities=Capabilities(("gundam",), max_tiles=32))
    assert options_for(Options(), engine).max_tiles == 32
    assert options_for(Options(max_tiles=4), engine).max_tiles == 4
    pages = [
        render_size(595, 842, options_for(given, engine).of_source()) for given in (Options(), Options(max_tiles=9))
    ]
    assert [plan(*size, "gundam", 32).tiles for size in pages] == [24, 6]


def test_cards_need_no_heavy_package():
    heavy = ["torch", "transformers", "numpy", "huggingface_hub", "tokenizers", "safetensors"]
    code = f"import sys; sys.modules.update(dict.fromkeys({heavy})); from ocrpress.engines.cards import cards; cards()"
    subprocess.run([sys.executable, "-c", code], env=environment(), cwd=ROOT, check=True)
