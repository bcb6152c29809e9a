"""The vision encoder: equal to the published encoder (golden data) and to transformers' class, in every mode.

Relative errors are of norms: |ours - theirs| / |theirs|, of the worst vision token where it says so.
"""

from __future__ import annotations

import copy
from collections import Counter

import numpy as np
import pytest
from checkpoints import GOLDEN, golden, golden_config, golden_model, make_tensor
from PIL import Image

torch = pytest.importorskip("torch")
pytest.importorskip("transformers")

from safetensors.torch import load_file  # noqa: E402
from torch.utils._python_dispatch import TorchDispatchMode  # noqa: E402

from ocrpress.engines.deepseek import relative, sam  # noqa: E402
from ocrpress.engines.deepseek.relative import Augmented, augmented, banded, distances  # noqa: E402
from ocrpress.engines.deepseek.vision import Encoder, PixelViews, pixel_views  # noqa: E402
from ocrpress.errors import EngineError  # noqa: E402
from ocrpress.modes import MODES, plan  # noqa: E402
from ocrpress.views import make_views  # noqa: E402

WITHIN = 1e-5
CASES = ["tiny", "small", "base", "large", "gundam_2x3"]
PAGES = [("tiny", 300, 400), ("small", 640, 480), ("gundam", 1300, 640), ("large", 900, 1200), ("gundam", 500, 400),
         ("tiny", 512, 512), ("gundam", 640, 1300)]  # fmt: skip


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    return golden_model(tmp_path_factory.mktemp("golden")).model


@pytest.fixture(scope="module")
def encoder(model):
    return Encoder(model)


@pytest.fixture(scope="module")
def expected():
    return load_file(GOLDEN / "expected.safetensors")


@pytest.fixture(scope="module")
def little():
    """A model of one windowed and one global layer that takes milliseconds."""
    from transformers.models.unlimited_ocr.modeling_unlimited_ocr import UnlimitedOcrModel

    config = golden_config()
    sam_config, clip = config.vision_config.sam_config, config.vision_config.encoder_config
    sam_config.hidden_size, sam_config.num_hidden_layers, sam_config.num_attention_heads = 16, 2, 2
    sam_config.mlp_dim, sam_config.output_channels, sam_config.downsample_channels = 16, 16, [16, 32]
    clip.hidden_size, clip.intermediate_size, clip.num_hidden_layers, clip.num_attention_heads = 32, 32, 1, 2
    made = UnlimitedOcrModel(config).eval()
    for name, parameter in made.named_parameters():
        parameter.data = torch.from_numpy(make_tensor(name, list(parameter.shape)))
    return made


@pytest.fixture(scope="module")
def pages():
    """Uint8 views of pages in several modes: tiles of many sizes and none."""
    return [page(*size, seed) for seed, size in enumerate(PAGES)]


def error(ours, theirs):
    return ((ours.double() - theirs.double()).norm() / theirs.double().norm()).item()


def noise(spec):
    pixels = np.random.default_rng(spec["seed"]).uniform(-1, 1, spec["shape"]).astype(np.float32)
    return torch.from_numpy(pixels)


def page(mode, width, height, seed=0):
    """A page of noise as uint8 views."""
    pixels = np.random.default_rng(seed).integers(0, 256, (height, width, 3), np.uint8)
    return pixel_views(make_views(Image.fromarray(pixels), plan(width, height, mode)))


def normalised(pixels):
    """uint8 (n, q, q, 3) -> what transformers is given, (n, 3, q, q)."""
    return ((pixels.permute(0, 3, 1, 2).float() / 255 - 0.5) / 0.5).contiguous()


def theirs(model, views):
    """The vision sequence of a page by transformers' own forward."""
    dtype = model.image_newline.dtype
    local = {}
    if views.tiles is not None:
        local = {
            "pixel_values_local": normalised(views.tiles).to(dtype),
            "num_local_patches": [views.plan.tiles],
            "patches_grid": [list(views.plan.grid)],
        }
    with torch.no_grad():
        return model.get_image_features(normalised(views.overview[None]).to(dtype), **local).pooler_output[0]


def sequence_of(encoder, name):
    """The golden case's vision sequence."""
    image = golden()["images"][name]
    if "seed" in image:
        return encoder.arrange(encoder.encode_view(noise(image))[0])
    overview, tiles = encoder.encode_view(noise(image["global_view"])), encoder.encode_view(noise(image["tiles"]))
    return encoder.arrange(overview[0], tiles, tuple(image["grid"]))


def worst_row(sequence, expected, name):
    rows, values = expected[f"{name}.rows"].long(), expected[f"{name}.values"]
    return ((sequence[rows] - values).norm(dim=1) / values.norm(dim=1)).max().item()


class Watch(TorchDispatchMode):
    """Records the operations that run and the largest tensor that one makes."""

    def __init__(self):
        super().__init__()
        self.operations, self.largest = Counter(), 0

    def __torch_dispatch__(self, operation, types, args=(), kwargs=None):
        result = operation(*args, **(kwargs or {}))
        self.operations[operation._schema.name] += 1
        for made in result if isinstance(result, tuple | list) else [result]:
            if isinstance(made, torch.Tensor):
                self.largest = max(self.largest, made.untyped_storage().nbytes() // made.element_size())
        return result


@pytest.mark.parametrize("name", CASES)
def test_every_golden_token_is_within_1e_5_of_the_published_encoder(encoder, expected, name):
    assert worst_row(sequence_of(encoder, name), expected, name) < WITHIN


@pytest.mark.parametrize("name", ["tiny", "base"])
def test_the_way_taken_on_a_gpu_meets_the_golden_tokens_too(model, expected, name, monkeypatch):
    monkeypatch.setattr(sam, "relative_attention", augmented)
    assert worst_row(sequence_of(Encoder(model), name), expected, name) < WITHIN


def test_a_mixed_batch_equals_transformers_page_by_page(little, pages):
    for views, sequence in zip(pages, Encoder(little).encode(pages), strict=True):
        reference = theirs(little, views)
        assert sequence.shape == reference.shape
        assert error(sequence, reference) < WITHIN


def test_how_the_batch_is_cut_changes_nothing(little, pages):
    whole = Encoder(little, max_pixels=2**30).encode(pages)
    for pixels in (1, 3 * 640**2):
        for cut, together in zip(Encoder(little, max_pixels=pixels).encode(pages), whole, strict=True):
            assert error(cut, together) < WITHIN


def test_a_call_never_takes_more_pixels_than_it_may_or_one_view(little, monkeypatch):
    taken = []
    encoder = Encoder(little, max_pixels=3 * 512**2)
    project = encoder._project
    monkeypatch.setattr(encoder, "_project", lambda patches: (taken.append(patches.shape[:2]), project(patches))[1])
    encoder.encode([page("tiny", 100, 100, seed) for seed in range(7)] + [page("base", 100, 100)])
    assert taken == [(3, 32), (3, 32), (1, 32), (1, 64)]


def test_no_pages_give_no_sequences(little):
    assert Encoder(little).encode([]) == []


def test_bytes_give_what_normalised_pixels_give(little):
    encoder = Encoder(little)
    views = page("gundam", 1300, 640)
    pixels = [normalised(views.overview[None]), normalised(views.tiles)]
    overview, tiles = (encoder.encode_view(each) for each in pixels)
    assert error(encoder.encode([views])[0], encoder.arrange(overview[0], tiles, views.plan.grid)) < 1e-6


def test_in_bfloat16_it_is_as_close_to_float32_as_transformers_is(model):
    halved = copy.deepcopy(model).bfloat16()
    views = [page("tiny", 300, 400), page("small", 640, 480)]
    ours = Encoder(halved).encode(views)
    for mine, each in zip(ours, views, strict=True):
        exact = theirs(model, each)
        assert mine.dtype == torch.bfloat16
        assert error(mine, exact) < min(0.05, 1.1 * error(theirs(halved, each), exact))


@pytest.mark.parametrize("mode", [name for name in MODES if name != "dynamic"])
def test_a_sequence_is_as_long_as_planned_and_nothing_waits_for_the_device(mode):
    """On the device "meta", which has no values, so that whatever asks for one raises; at the published size."""
    from transformers.models.unlimited_ocr.configuration_unlimited_ocr import UnlimitedOcrConfig
    from transformers.models.unlimited_ocr.modeling_unlimited_ocr import UnlimitedOcrModel

    with torch.device("meta"):
        encoder = Encoder(UnlimitedOcrModel(UnlimitedOcrConfig(text_config={"num_hidden_layers": 1})), 2**30)
    spec, views = MODES[mode], []
    for size in ((300, 200), (1000, 3000), (2000, 1000), (640, 640), (641, 100), (3000, 2900)):
        planned = plan(*size, mode)
        tiles = torch.zeros(planned.tiles, spec.tile, spec.tile, 3, dtype=torch.uint8) if planned.tiles else None
        views.append(PixelViews(planned, torch.zeros(spec.view, spec.view, 3, dtype=torch.uint8), tiles))
    lengths = [tuple(sequence.shape) for sequence in encoder.encode(views)]
    assert lengths == [(each.plan.sequence_tokens, 1280) for each in views]
    assert isinstance(encoder.sam.tables_for(spec.view // 16).attention[0], Augmented)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_no_tensor_holds_every_query_by_every_key(model, dtype):
    encoder = Encoder(copy.deepcopy(model).to(dtype))
    with Watch() as watch:
        encoder.encode([page("base", 100, 100)])
    heads, patches = 4, 64 * 64
    assert watch.largest <= relative.BAND_ELEMENTS < heads * patches * patches


def test_tables_are_made_once_a_size(little):
    encoder, views = Encoder(little), page("tiny", 100, 100)
    made = {"aten::arange", "aten::upsample_linear1d", "aten::_upsample_bicubic2d_aa"}
    with Watch() as first:
        encoder.encode([views])
    assert made <= first.operations.keys()
    with Watch() as second:
        encoder.encode([views, views])
    assert not made & second.operations.keys()


def test_nothing_is_a_batched_product(little):
    """Without gradients a product with a tensor that is not contiguous becomes one too: a quarter of all time."""
    encoder = Encoder(copy.deepcopy(little).requires_grad_(False))
    with Watch() as watch:
        encoder.encode([page("tiny", 100, 100), page("tiny", 100, 100)])
    assert not watch.operations["aten::bmm"]


def test_the_model_still_works_and_holds_nothing_twice(little):
    model = copy.deepcopy(little)
    views = page("gundam", 1300, 640)
    before = theirs(model, views)
    Encoder(model)
    assert torch.equal(theirs(model, views), before)
    attention = model.vision_tower.vision_encoder.encoder.layers[0].self_attn
    storages = {part.weight.untyped_storage().data_ptr() for part in (attention.q_proj, attention.k_proj)}
    assert len(storages) == 1


def test_weights_that_are_not_finite_show_and_do_not_raise(little):
    model = copy.deepcopy(little)
    model.vision_tower.sam_encoder.layers[0].attn.qkv.weight.data[0, 0] = float("nan")
    good, bad = Encoder(little).encode([page("tiny", 9, 9)])[0], Encoder(model).encode([page("tiny", 9, 9)])[0]
    assert bad.shape == good.shape and good.isfinite().all()
    assert bad.isnan().any()


def test_views_that_are_not_the_plans_are_refused():
    views, other = page("gundam", 1300, 640), page("tiny", 10, 10)
    with pytest.raises(ValueError, match="needs views"):
        PixelViews(views.plan, other.overview, views.tiles)
    with pytest.raises(ValueError, match="needs views"):
        PixelViews(views.plan, views.overview, views.tiles[:1])
    with pytest.raises(ValueError, match="needs views"):
        PixelViews(views.plan, views.overview)


def test_an_encoder_without_position_embeddings_is_refused(little):
    model = copy.deepcopy(little)
    model.vision_tower.sam_encoder.config.use_rel_pos = False
    with pytest.raises(EngineError, match="position embeddings"):
        Encoder(model)


def test_pixels_keep_their_place():
    image = Image.new("RGB", (512, 512), (10, 20, 30))
    image.putpixel((5, 7), (1, 2, 3))
    views = pixel_views(make_views(image, plan(512, 512, "tiny")))
    assert views.tiles is None and views.overview.dtype == torch.uint8
    assert views.overview[7, 5].tolist() == [1, 2, 3] and views.overview[0, 0].tolist() == [10, 20, 30]


def whole_bias(q, k, v, rel_h, rel_w):
    """The attention as it is defined, in float64, with the bias of every query by every key."""
    q, k, v, rel_h, rel_w = (each.double() for each in (q, k, v, rel_h, rel_w))
    place = torch.arange(len(rel_h) // 2 + 1)
    rows, columns = (each[place[:, None] - place + len(place) - 1] for each in (rel_h, rel_w))
    grid = q.view(*q.shape[:2], len(place), len(place), -1)
    bias = (grid @ rows.transpose(1, 2))[..., :, None] + torch.einsum("bhyxc,xkc->bhyxk", grid, columns)[..., None, :]
    scores = q @ k.transpose(2, 3) * q.shape[-1] ** -0.5 + bias.flatten(4).flatten(2, 3)
    return scores.softmax(-1) @ v


def operands(side, depth, dtype, batch=2, heads=3):
    torch.manual_seed(side)
    q, k, v = (torch.randn(batch, heads, side * side, depth).to(dtype) for _ in range(3))
    return q, k, v, *(torch.randn(2 * side - 1, depth).to(dtype) / 3 for _ in range(2))


def attended(make, q, k, v, rel_h, rel_w):
    """By one of the ways, through the tensor that it wants."""
    qkv, depth = torch.stack([q, k, v]), q.shape[-1]
    attention = make(rel_h, rel_w, len(rel_h) // 2 + 1)
    buffer = attention.buffer(qkv, q.shape[0])
    assert buffer.shape == (*qkv.shape[:-1], depth + attention.extra)
    buffer[..., :depth] = qkv
    return attention(buffer, depth)


@pytest.mark.parametrize(("side", "depth"), [(14, 64), (5, 24), (9, 16), (1, 8)])
def test_both_ways_of_attending_are_exact(side, depth, monkeypatch):
    given = operands(side, depth, torch.float32)
    wanted = whole_bias(*given)
    assert error(attended(augmented, *given), wanted) < 2e-6
    for elements in (2**25, 2 * 3 * side**3 * 2, 1):  # one band, bands of two rows, bands of one
        monkeypatch.setattr(relative, "BAND_ELEMENTS", elements)
        assert error(attended(banded, *given), wanted) < 2e-6


def test_the_head_dimension_of_fused_kernels_is_a_multiple_of_8():
    for side, depth in ((14, 64), (5, 24), (32, 64), (80, 64)):
        made = augmented(*operands(side, depth, torch.float32)[3:], side)
        assert (depth + made.extra) % 8 == 0 and made.keys.shape == (side * side, made.extra)


def test_in_bfloat16_a_bias_that_is_never_summed_is_nearer_the_truth():
    given = operands(14, 64, torch.bfloat16)
    wanted = whole_bias(*given)
    assert error(attended(augmented, *given), wanted) < error(attended(banded, *given), wanted) < 0.02


@pytest.mark.parametrize("side", [32, 40, 64, 80])
def test_distances_are_resampled_as_transformers_does(model, side):
    attention = model.vision_tower.sam_encoder.layers[1].attn
    place = torch.arange(side)
    ours = distances(attention.rel_pos_h, side)[place[:, None] - place + side - 1]
    assert torch.allclose(ours, attention.get_rel_pos(side, side, attention.rel_pos_h), atol=1e-6)
