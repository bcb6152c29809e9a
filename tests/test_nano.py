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


@torch.no_grad()
def test_the_forward_pass_for_training_is_the_published_one(nano: Any) -> None:
    model, architecture = small(nano)
    for parameter in model.eval().parameters():
        parameter.add_(torch.randn_like(parameter) * 0.05)  # else many are zero, and zeros agree with anything
    net = nano.net.Net(model, architecture)
    pages = torch.randint(0, 256, (2, 256, 256), dtype=torch.uint8)
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
        until = row.index(nano.figures.PAD) if nano.figures.PAD in row else len(row)
        assert row[:until] == whole[:until]
        assert until == len(row) or row[until - 1] == nano.figures.END


def test_a_folder_it_writes_is_one_that_the_engine_takes(nano: Any, tmp_path: Path) -> None:
    from ocrpress.engines.deepseek.config import read_architecture
    from ocrpress.engines.deepseek.tensors import check_tensors
    from ocrpress.engines.deepseek.tokenizer import Tokenizer

    model, architecture = small(nano)
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


def test_a_page_knows_where_its_letters_are(nano: Any) -> None:
    fonts, text = nano.pages.Fonts([]), "IIII lll IIIIIII IIII ll lll"
    for seed in range(6):
        rng = random.Random(seed)
        page = nano.pages.set_page(text, fonts.choose(rng, text, 0), (256, 512)[seed % 2], 0.5, rng, wear=0)
        assert text.startswith(page.text.replace("\n", " "))
        spots = [(int(x), int(y)) for mark, (x, y) in zip(page.text, page.places, strict=True) if mark not in " \n"]
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
        assert row[len(text)] == nano.figures.END
        assert set(row[len(text) + 1 :]) <= {nano.figures.PAD}


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


@pytest.mark.slow
def test_a_run_goes_on_where_it_was_stopped(tmp_path: Path) -> None:
    command = [
        sys.executable, str(RECIPE / "train.py"), "--out", str(tmp_path), "--batch", "1", "--threads", "1",
        "--log-every", "0", "--sight", "-1",
    ]  # fmt: skip
    paths = {**os.environ, "PYTHONPATH": str(RECIPE.parents[1])}
    for pages in ("2", "4", "6"):
        if pages == "6":
            (tmp_path / "state.pt").unlink()  # the weights alone will do
        subprocess.run([*command, "--pages", pages], check=True, capture_output=True, timeout=300, env=paths)
    log = [json.loads(line) for line in (tmp_path / "log.jsonl").read_text().splitlines()]
    steps = [entry["steps"] for entry in log if "speed" in entry]
    assert steps == sorted(set(steps))
    assert log[-1]["pages"] >= 6
    assert "read" in [*log[-1], *log[-2]]
    assert (tmp_path / "nano" / "model.safetensors").is_file()
