"""The recipe of models/nano: its data, its forward pass, its checkpoint folder, and that it learns to see."""

from __future__ import annotations

import importlib
import json
import math
import os
import random
import string
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("transformers.models.unlimited_ocr")

from ocrpress.engines.deepseek.architecture import Architecture, ClipConfig, DecoderConfig, SamConfig  # noqa: E402

RECIPE = Path(__file__).parents[1] / "models" / "nano"
MODULES = ("figures", "texts", "pages", "feed", "net", "lessons", "exam", "train")


@pytest.fixture(scope="module")
def nano() -> Iterator[Any]:
    """The recipe's modules by name; they import one another as a script's neighbours do."""
    sys.path.insert(0, str(RECIPE))
    yield SimpleNamespace(**{name: importlib.import_module(name) for name in MODULES})
    sys.path.remove(str(RECIPE))
    for name in MODULES:
        del sys.modules[name]


def small(nano: Any, seed: int = 0) -> tuple[Any, Architecture]:
    """A model of 0.2 M parameters with the recipe's alphabet."""
    architecture = Architecture(
        SamConfig(
            layers=2, width=64, heads=2, mlp=128, global_layers=(), channels=(48, 64), neck=32, image=128, window=8
        ),
        ClipConfig(layers=1, width=64, heads=2, mlp=128, image=64, patch=16),
        DecoderConfig(
            vocabulary=nano.figures.VOCABULARY, width=64, layers=3, heads=2, kv_heads=2, mlp=128, dense_layers=3,
            experts=1, shared_experts=1, experts_per_token=1, expert_mlp=16, context=512, bos=0, eos=1,
        ),
        image_token=nano.figures.IMAGE,
    )  # fmt: skip
    torch.manual_seed(seed)
    return nano.figures.new_model(architecture), architecture


def test_the_figures_leave_room_in_24_megabytes(nano: Any) -> None:
    from ocrpress.engines.deepseek.architecture import check_architecture
    from ocrpress.engines.deepseek.tensors import expected_tensors

    check_architecture(nano.figures.ARCHITECTURE, "nano")
    numbers = sum(math.prod(shape) for shape in expected_tensors(nano.figures.ARCHITECTURE).values())
    assert 2 * numbers < 23.9e6


@pytest.mark.parametrize("side", [256, 192])  # 16 patches are two windows; of 12, the second window is half empty
@torch.no_grad()
def test_the_forward_pass_for_training_is_the_published_one(nano: Any, side: int) -> None:
    model, architecture = small(nano)
    for parameter in model.eval().parameters():
        parameter.add_(torch.randn_like(parameter) * 0.05)  # else many are zero, and zeros agree with anything
    net = nano.net.Net(model, architecture)
    pages = torch.randint(0, 256, (2, side, side), dtype=torch.uint8)
    rgb = (pages[:, None].float() / 127.5 - 1).expand(-1, 3, -1, -1)
    seen = model.model.multi_modal_projector(model.model.vision_tower(rgb).last_hidden_state)
    torch.testing.assert_close(net.see(pages)[1], seen, rtol=1e-4, atol=1e-4 * float(seen.abs().max()))
    x = torch.randn(2, 30, 64)
    read = model.model.language_model(inputs_embeds=x).last_hidden_state
    torch.testing.assert_close(net.read(x, 5)[0], read[:, 5:], rtol=1e-4, atol=1e-4)


@torch.no_grad()
def test_token_by_token_it_says_what_whole_passes_say(nano: Any) -> None:
    model, architecture = small(nano)
    for parameter in model.eval().parameters():
        parameter.add_(torch.randn_like(parameter) * 0.1)
    net = nano.net.Net(model, architecture)
    cells = net.see(torch.randint(0, 256, (3, 128, 128), dtype=torch.uint8))[1]
    said = net.greedy(cells, nano.lessons.ASK[0], 12)
    embed = model.model.language_model.embed_tokens
    ids = torch.tensor(nano.lessons.ASK[0]).expand(3, -1)
    for _ in range(said.shape[1]):
        hidden = net.read(torch.cat([net.prompt(cells), embed(ids)], 1), 0)[0]
        ids = torch.cat([ids, model.lm_head(hidden[:, -1]).argmax(-1)[:, None]], 1)
    for row, whole in zip(said.tolist(), ids[:, 2:].tolist(), strict=True):
        until = row.index(nano.figures.END) + 1 if nano.figures.END in row else len(row)
        assert row[:until] == whole[:until]
        assert set(row[until:]) <= {nano.figures.PAD}


def test_a_folder_it_writes_is_one_that_the_engine_takes(nano: Any, tmp_path: Path) -> None:
    from ocrpress.engines.deepseek.config import read_architecture
    from ocrpress.engines.deepseek.tensors import check_tensors
    from ocrpress.engines.deepseek.tokenizer import Tokenizer

    model, architecture = small(nano)
    figures = nano.figures
    nano.figures.write_folder(model, tmp_path)
    assert read_architecture(tmp_path) == architecture
    check_tensors(tmp_path, architecture)
    tokenizer = Tokenizer(tmp_path)
    text = f"\n{string.printable.partition(chr(9))[0]} é–“x”"
    assert tokenizer.encode(text) == nano.figures.encode(text)
    assert tokenizer.decode(tokenizer.encode(text)) == text == nano.figures.decode(tokenizer.encode(text))
    assert tokenizer.encode("\nFree OCR.") == nano.lessons.ASK[0]
    assert tokenizer.encode("\n<|grounding|>Convert the document to markdown.") == nano.lessons.ASK[1]
    assert tokenizer.decode(tokenizer.encode("漢ǎ")) == "\ufffd\ufffd"
    anchored = [figures.ROW + 3, figures.COLUMN, *figures.encode("ab"), figures.COLUMN + 15, *figures.encode("c <|x|>")]
    assert tokenizer.decode(anchored) == figures.decode(anchored) == "abc <|x|>"


def test_a_page_knows_where_its_letters_are(nano: Any) -> None:
    fonts, text = nano.pages.Fonts([]), "IIII lll IIIIIII IIII ll lll"
    for seed in range(6):
        rng = random.Random(seed)
        page = nano.pages.set_page(text, fonts.choose(rng, text, 0), (256, 512)[seed % 2], 0.5, rng, wear=0)
        assert text.startswith(page.text.replace("\n", " "))
        marks = [nano.figures.decode([token]) for token in page.tokens]
        spots = [(int(x), int(y)) for mark, (x, y) in zip(marks, page.places, strict=True) if mark.strip()]
        assert len(spots) == len("".join(page.text.split()))
        ink = [page.pixels[max(0, y - 1) : y + 2, max(0, x - 2) : x + 3].min() for x, y in spots]
        assert np.mean(np.array(ink) < 230) > 0.9


def test_the_same_order_gives_the_same_pages(nano: Any, tmp_path: Path) -> None:
    rng = random.Random(1)
    words = ["".join(rng.choices(string.ascii_lowercase, k=7)) for _ in range(400)]
    (tmp_path / "words.txt").write_text("\n".join(words))
    train, test = nano.texts.Texts(tmp_path), nano.texts.Texts(tmp_path, test=True)
    assert set(train.words) | set(test.words) == set(words)
    assert test.words
    assert not set(train.words) & set(test.words)
    fonts = nano.pages.Fonts([])
    order = nano.feed.Order(seed=7, pages=3, side=256, length=40)
    one, two = (nano.feed.make_batch(order, train, fonts) for _ in range(2))
    assert np.array_equal(one.pixels, two.pixels)
    assert np.array_equal(one.places, two.places)
    assert one.texts == two.texts
    for row, text in zip(one.tokens.tolist(), one.texts, strict=True):
        assert nano.figures.decode(row) == text
        end = row.index(nano.figures.END)
        assert nano.figures.decode(row[:end]) == text
        assert set(row[end + 1 :]) <= {nano.figures.PAD}


def test_anchors_say_where_each_letter_stands(nano: Any) -> None:
    figures, fonts = nano.figures, nano.pages.Fonts([])
    text = "The quick brown fox jumps over the lazy dog, and over the fence as well"
    for seed in range(6):
        rng = random.Random(seed)
        page = nano.pages.set_page(text, fonts.choose(rng, text, 0), 256, 0.9, rng, wear=0)
        row = column = lines = -1
        for token, (x, y) in zip(page.tokens.tolist(), page.places.tolist(), strict=True):
            if token >= figures.COLUMN:
                column = token - figures.COLUMN
            elif token >= figures.ROW:
                row, lines = token - figures.ROW, lines + 1
            if figures.decode([token]).strip() or token >= figures.ROW:
                assert row == int(y / 2)
            if figures.decode([token]).strip() or token >= figures.COLUMN:
                assert column == 4 * int(x / 64) + 2
        assert lines > 0


def test_a_vision_token_is_asked_for_the_letters_of_its_own_square(nano: Any) -> None:
    side, spot = 128, (70.0, 20.0)  # second cell of the first row; patch column 4, row 1; slot column 1, row 0
    page, spots = torch.tensor([1]), torch.tensor([spot])
    flat = nano.lessons._flat(page, spots, side)
    patches, slots = (side // 16) ** 2, nano.net.PATCH_SLOTS
    assert flat.item() == (patches + 1 * 8 + 4) * slots + 1
    by_cell = nano.lessons._by_cell(side, 2, torch.device("cpu"))
    assert by_cell[flat].item() == (patches + 1 * 16 + 1 * 4 + 0) * slots + 1
    assert sorted(by_cell.tolist()) == list(range(2 * patches * slots))


class Digits:
    """Text of random digits, three to a word."""

    def make(self, kind: str, rng: random.Random, length: int) -> str:
        return " ".join("".join(rng.choices("0123456789", k=3)) for _ in range(length // 4))


@pytest.mark.slow
def test_a_minute_teaches_the_encoder_more_than_the_text_alone_could(nano: Any) -> None:
    model, architecture = small(nano)
    net, fonts = nano.net.Net(model, architecture), nano.pages.Fonts([])
    optimizer = nano.train.Optimizer(net, 3e-3)
    began, losses = time.monotonic(), [math.inf] * 20
    while time.monotonic() - began < 90 and sum(losses[-20:]) > 20 * 1.6:
        batch = nano.feed.make_batch(nano.feed.Order(len(losses), 24, 128, 16, variety=0), Digits(), fonts)
        lesson = nano.lessons.teach(net, batch, torch.device("cpu"), reading=False)
        lesson.loss.backward()
        optimizer.step(3e-3)
        losses.append(float(lesson.figures["patch_letters"]))
    # Who knows the text's ten digits but not the page cannot do better than ln 10 = 2.30 nats a letter.
    assert sum(losses[-20:]) / 20 < 0.9 * math.log(10), f"after {len(losses) - 20} steps"


def test_a_net_comes_back_from_its_folder_with_its_heads(nano: Any, tmp_path: Path) -> None:
    model, architecture = small(nano)
    net = nano.net.Net(model, architecture)
    with torch.no_grad():
        for parameter in net.parameters():
            parameter.copy_(torch.randn_like(parameter).half())  # what a float16 holds
    nano.net.save_net(net, tmp_path, {"pages": 7})
    other = nano.net.Net(*small(nano, seed=1))
    assert nano.net.load_net(other, tmp_path) == {"pages": 7}
    for (name, one), (_, two) in zip(net.named_parameters(), other.named_parameters(), strict=True):
        assert torch.equal(one, two), name


@pytest.mark.slow
def test_a_run_goes_on_where_it_was_stopped(tmp_path: Path) -> None:
    command = [
        sys.executable, str(RECIPE / "train.py"), "--batch", "1", "--threads", "1", "--log-every", "0", "--sight", "-1",
    ]  # fmt: skip
    paths = {**os.environ, "PYTHONPATH": str(RECIPE.parents[1])}
    run, again = tmp_path / "run", tmp_path / "again"
    start = ("--start", str(run / "nano"))  # where there is no state, the checkpoint will do
    for pages, out, more in (("2", run, ()), ("4", run, ()), ("6", again, start)):
        words = [*command, "--out", str(out), "--pages", pages, *more]
        subprocess.run(words, check=True, capture_output=True, timeout=300, env=paths)
    lines = [line for out in (run, again) for line in (out / "log.jsonl").read_text().splitlines()]
    log = [json.loads(line) for line in lines]
    steps = [entry["steps"] for entry in log if "speed" in entry]
    assert steps == sorted(set(steps))
    assert log[-1]["pages"] >= 6
    assert "read" in [*log[-1], *log[-2]]
    assert (again / "nano" / "model.safetensors").is_file()
