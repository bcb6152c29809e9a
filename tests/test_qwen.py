"""DeepSeek-OCR-2 against transformers' own class, at reduced size: its folder, its encoder, its decoder, its views.

Relative errors are of norms: |ours - theirs| / |theirs|.
"""

from __future__ import annotations

import json

import numpy as np
import pytest
from checkpoints import SMALL, as_qwen, published_config, write_small_checkpoint
from PIL import Image

torch = pytest.importorskip("torch")
pytest.importorskip("transformers")

from ocrpress.document import PageImage, Request  # noqa: E402
from ocrpress.engines.deepseek.architecture import PUBLISHED, QwenConfig  # noqa: E402
from ocrpress.engines.deepseek.checkpoint import load_model, open_checkpoint  # noqa: E402
from ocrpress.engines.deepseek.config import read_architecture, transformers_config  # noqa: E402
from ocrpress.engines.deepseek.decoder import Decoder  # noqa: E402
from ocrpress.engines.deepseek.engine import DeepseekEngine  # noqa: E402
from ocrpress.engines.deepseek.tensors import expected_tensors  # noqa: E402
from ocrpress.engines.deepseek.tokenizer import Tokenizer  # noqa: E402
from ocrpress.engines.deepseek.vision import Encoder, pixel_views  # noqa: E402
from ocrpress.errors import EngineError  # noqa: E402
from ocrpress.modes import plan  # noqa: E402
from ocrpress.views import make_views  # noqa: E402

CPU = torch.device("cpu")
WITHIN = 1e-5
SIZES = [(500, 700), (768, 768), (1600, 900), (500, 1500), (1200, 1600)]  # of pages with 0, 0, 2, 3 and 6 tiles
PUBLISHED_CONFIG = as_qwen(published_config(), 896) | {"model_type": "deepseek_vl_v2"}
PUBLISHED_CONFIG["vision_config"]["width"]["qwen2-0-5b"] = {"dim": 896}


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return write_small_checkpoint(tmp_path_factory.mktemp("small") / "small", qwen=True)


@pytest.fixture(scope="module")
def ours(folder):
    return load_model(open_checkpoint(str(folder)), CPU, torch.float32)


@pytest.fixture(scope="module")
def theirs(folder):
    """What transformers makes of the same published names by itself."""
    from transformers import GenerationConfig
    from transformers.models.deepseek_ocr2.modeling_deepseek_ocr2 import DeepseekOcr2ForConditionalGeneration

    return DeepseekOcr2ForConditionalGeneration.from_pretrained(
        folder, config=transformers_config(read_architecture(folder)), generation_config=GenerationConfig(),
        dtype="float32",
    ).eval()  # fmt: skip


def error(mine, reference):
    return ((mine.double() - reference.double()).norm() / reference.double().norm()).item()


def page(width, height, seed=0):
    pixels = np.random.default_rng(seed).integers(0, 256, (height, width, 3), np.uint8)
    return pixel_views(make_views(Image.fromarray(pixels), plan(width, height, "dynamic")))


def normalised(pixels):
    return ((pixels.permute(0, 3, 1, 2).float() / 255 - 0.5) / 0.5).contiguous()


def seen(model, views):
    """What transformers is given of a page."""
    local = {}
    if views.tiles is not None:
        local = {"pixel_values_local": normalised(views.tiles), "num_local_patches": [views.plan.tiles]}
    return {"pixel_values": normalised(views.overview[None]), **local}


def attend(layer, q, k, v):
    q, k, v = (each.transpose(1, 2) for each in (q, k, v))
    return torch.nn.functional.scaled_dot_product_attention(q, k, v, is_causal=True).transpose(1, 2)


def test_every_parameter_and_buffer_is_that_of_transformers_own_loading(ours, theirs):
    mine, reference = ours.state_dict(), theirs.state_dict()
    assert mine.keys() == reference.keys()
    assert all(torch.equal(mine[name], reference[name]) for name in reference)
    buffers = dict(theirs.named_buffers())
    assert all(torch.equal(value, buffers[name]) for name, value in ours.named_buffers())


def test_vision_sequences_equal_transformers_with_no_tiles_and_with_several(ours, theirs):
    pages = [page(*size, seed) for seed, size in enumerate(SIZES)]
    assert [views.plan.tiles for views in pages] == [0, 0, 2, 3, 6]
    for views, sequence in zip(pages, Encoder(ours.model).encode(pages), strict=True):
        with torch.no_grad():
            reference = theirs.model.get_image_features(**seen(theirs, views)).pooler_output[0]
        assert sequence.shape == reference.shape == (views.plan.sequence_tokens, 64)
        assert error(sequence, reference) < WITHIN


@pytest.mark.parametrize("size", [(500, 700), (1600, 900)])
def test_logits_of_the_whole_model_equal_transformers(ours, theirs, size):
    views = page(*size)
    decoder, sequence = Decoder(ours), Encoder(ours.model).encode([views])[0]
    before, after = torch.tensor([0]), torch.tensor([20, 21, 22])
    image = theirs.config.image_token_id = 3
    ids = torch.cat([before, torch.full((len(sequence),), image), after])
    with torch.no_grad():
        reference = theirs(input_ids=ids[None], **seen(theirs, views)).logits[0]
        prompt = torch.cat([decoder.embed(before), sequence, decoder.embed(after)])
        logits = decoder.logits(decoder.forward(prompt[None], torch.arange(len(ids))[None], attend))[0]
    assert error(logits, reference) < WITHIN


def test_a_folder_of_either_layout_is_recognised_and_read_by_its_own_card(folder, ours, tmp_path):
    found = open_checkpoint(str(folder))
    assert (found.card.modes, found.card.max_tiles, found.card.generation.ngram) == (("dynamic",), 6, 20)
    ours.save_pretrained(tmp_path)
    again = load_model(open_checkpoint(str(tmp_path)), CPU, torch.float32).state_dict()
    assert all(torch.equal(value, again[name]) for name, value in ours.state_dict().items())


def test_the_published_config_gives_the_published_figures(tmp_path):
    (tmp_path / "config.json").write_text(json.dumps(PUBLISHED_CONFIG))
    found = read_architecture(tmp_path)
    assert found.encoder == QwenConfig(24, 896, 14, 2, 4864)
    assert found.sam.channels[1] == 896  # whatever downsample_channels says
    needed = expected_tensors(found)
    assert needed["model.qwen2_model.query_768.weight"] == (144, 896)
    assert needed["model.qwen2_model.model.model.layers.23.self_attn.k_proj.bias"] == (128,)
    assert "model.image_newline" not in needed
    assert not any(name.startswith("model.vision_model") for name in needed)


@pytest.mark.parametrize(
    ("edit", "said"),
    [
        (lambda tensors: tensors.pop("model.qwen2_model.query_768.weight"), "1 tensor missing"),
        (lambda tensors: tensors.update({"model.image_newline": np.zeros(64, np.float32)}), "1 tensor unknown"),
        (lambda tensors: tensors.update({"model.qwen2_model.query_1024.weight": np.zeros((9, 64), np.float32)}),
         "of a wrong shape"),
    ],
)  # fmt: skip
def test_tensors_that_do_not_fit_are_named(tmp_path, edit, said):
    with pytest.raises(EngineError, match=said):
        load_model(open_checkpoint(str(write_small_checkpoint(tmp_path, edit, qwen=True))), CPU, torch.float32)


@pytest.mark.parametrize("mode", ["base", "dynamic"])
def test_the_mode_is_that_of_the_encoder(tmp_path, mode):
    folder = write_small_checkpoint(tmp_path, qwen=mode == "base")
    (folder / "model.toml").write_text(
        f'about = "x"\nlicence = "MIT"\nweights_here = true\nattention = "full"\nmodes = ["{mode}"]\n'
        '[prompts]\ntext = "x"\n[generation]\n'
    )
    with pytest.raises(EngineError, match="do not fit"):
        load_model(open_checkpoint(str(folder)), CPU, torch.float32)


@pytest.mark.parametrize("key", ["heads", "kv_heads"])
def test_a_wrong_figure_of_the_encoder_is_an_error_that_names_it(tmp_path, key):
    spec = as_qwen(published_config(SMALL["vision"], SMALL["text"]))
    spec["vision_config"]["width"]["qwen2-0-5b"][key] = 3
    (tmp_path / "config.json").write_text(json.dumps(spec))
    with pytest.raises(EngineError, match="Qwen2 has 64 channels"):
        read_architecture(tmp_path)


def test_the_engine_reads_pages_with_it(folder, ours):
    engine = DeepseekEngine(ours, Tokenizer(folder), open_checkpoint(str(folder)).card, slots=2)
    image = Image.new("RGB", (900, 700), "white")
    try:
        assert (engine.capabilities.modes, engine.capabilities.max_tiles) == (("dynamic",), 6)
        requests = [Request(key, PageImage(key + 1, image, 900.0, 700.0), "dynamic") for key in range(2)]
        answers = list(engine.read(requests))
    finally:
        engine.close()
    assert [(answer.error, answer.plan.sequence_tokens) for answer in answers] == [("", 6 * 144 + 257)] * 2


def test_nothing_waits_for_the_device_at_the_published_size():
    """On the device "meta", which has no values, so that whatever asks for one raises."""
    from transformers.models.deepseek_ocr2.modeling_deepseek_ocr2 import DeepseekOcr2Model

    from ocrpress.engines.deepseek.vision import PixelViews

    config = transformers_config(type(PUBLISHED)(PUBLISHED.sam, QwenConfig(), PUBLISHED.decoder))
    config.text_config.num_hidden_layers = 1
    config.vision_config.sam_config.downsample_channels = [512, 896]
    with torch.device("meta"):
        encoder = Encoder(DeepseekOcr2Model(config), 2**30)
    views = []
    for size in ((300, 200), (1000, 3000)):
        planned = plan(*size, "dynamic")
        tiles = torch.zeros(planned.tiles, 768, 768, 3, dtype=torch.uint8) if planned.tiles else None
        views.append(PixelViews(planned, torch.zeros(1024, 1024, 3, dtype=torch.uint8), tiles))
    lengths = [tuple(sequence.shape) for sequence in encoder.encode(views)]
    assert lengths == [(each.plan.sequence_tokens, 1280) for each in views]


def test_the_model_works_as_before_and_holds_nothing_twice(theirs):
    views = page(500, 700)
    with torch.no_grad():
        before = theirs.model.get_image_features(**seen(theirs, views)).pooler_output[0]
        Encoder(theirs.model)
        assert torch.equal(theirs.model.get_image_features(**seen(theirs, views)).pooler_output[0], before)
    attention = theirs.model.vision_tower.vision_encoder.layers[0].self_attn
    assert len({part.weight.untyped_storage().data_ptr() for part in (attention.q_proj, attention.v_proj)}) == 1


def test_plans_are_those_of_the_published_image_processor():
    from transformers.models.deepseek_ocr2 import image_processing_pil_deepseek_ocr2 as published

    rng = np.random.default_rng(0)
    for width, height in [*SIZES, (768, 769), (769, 1), (1, 4000), *rng.integers(1, 4000, (200, 2)).tolist()]:
        made, tiles = plan(width, height, "dynamic"), (1, 1)
        if max(width, height) > 768:
            tiles = published.get_optimal_tiled_canvas((height, width), (768, 768), 2, 6)
        assert made.grid == tuple(tiles)
        assert made.sequence_tokens == 144 * made.tiles + 257


@pytest.mark.parametrize("size", [(500, 700), (1600, 900)])
def test_views_are_those_of_the_published_image_processor(size):
    from transformers.models.deepseek_ocr2.image_processing_pil_deepseek_ocr2 import DeepseekOcr2ImageProcessorPil

    image = Image.fromarray(np.random.default_rng(1).integers(0, 256, (size[1], size[0], 3), np.uint8))
    theirs, ours = DeepseekOcr2ImageProcessorPil()(image), make_views(image, plan(*size, "dynamic"))
    for mine, reference in zip(
        [ours.overview, *ours.tiles], [theirs["pixel_values"][0], *theirs.get("pixel_values_local", [])], strict=True
    ):
        pixels = np.asarray(mine, np.float32).transpose(2, 0, 1) / 127.5 - 1
        assert np.abs(pixels - np.asarray(reference)).max() < 1e-5
