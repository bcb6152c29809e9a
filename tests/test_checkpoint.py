from __future__ import annotations

import json
import math
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from checkpoints import (
    GOLDEN,
    SMALL,
    golden_config,
    golden_model,
    published_config,
    write_checkpoint,
    write_small_checkpoint,
)
from conftest import ROOT, environment
from safetensors.numpy import load_file

from ocrpress.engines.deepseek import weights
from ocrpress.engines.deepseek.architecture import PUBLISHED
from ocrpress.engines.deepseek.attention import BY_ROW, RowAttention, row_by_row
from ocrpress.engines.deepseek.cache import KVCache
from ocrpress.engines.deepseek.checkpoint import check_checkpoint, empty_model, is_present, load_model, open_checkpoint
from ocrpress.engines.deepseek.config import read_architecture, transformers_config
from ocrpress.engines.deepseek.decoder import Decoder
from ocrpress.engines.deepseek.scheduler import Scheduler
from ocrpress.engines.deepseek.sequences import Job
from ocrpress.engines.deepseek.slots import Rule, Slots
from ocrpress.engines.deepseek.tensors import UNUSED, expected_tensors
from ocrpress.engines.deepseek.tokenizer import Tokenizer
from ocrpress.errors import EngineError, UsageError
from ocrpress.measure.random_weights import NoiseTokenizer, random_model

CPU = torch.device("cpu")
# deepseek-ai/DeepSeek-OCR, config.json, but for what no shape or result hangs on.
PUBLISHED_CONFIG = {
    "architectures": ["DeepseekOCRForCausalLM"],
    "auto_map": {"AutoModel": "modeling_deepseekocr.DeepseekOCRForCausalLM"},
    "candidate_resolutions": [[1024, 1024]],
    "global_view_pos": "head",
    "language_config": {
        "architectures": ["DeepseekV2ForCausalLM"], "bos_token_id": 0, "eos_token_id": 1, "first_k_dense_replace": 1,
        "hidden_size": 1280, "intermediate_size": 6848, "kv_lora_rank": None, "lm_head": True,
        "max_position_embeddings": 8192, "moe_intermediate_size": 896, "n_group": 1, "n_routed_experts": 64,
        "n_shared_experts": 2, "num_attention_heads": 10, "num_experts_per_tok": 6, "num_hidden_layers": 12,
        "num_key_value_heads": 10, "q_lora_rank": None, "qk_nope_head_dim": 0, "qk_rope_head_dim": 0,
        "rm_head": False, "topk_group": 1, "topk_method": "greedy", "torch_dtype": "bfloat16", "use_mla": False,
        "v_head_dim": 0, "vocab_size": 129280,
    },
    "model_type": "deepseek_vl_v2",
    "projector_config": {"input_dim": 2048, "model_type": "mlp_projector", "n_embed": 1280, "projector_type": "linear"},
    "tile_tag": "2D",
    "torch_dtype": "bfloat16",
    "vision_config": {
        "image_size": 1024, "mlp_ratio": 3.7362, "model_name": "deeplip_b_l", "model_type": "vision",
        "width": {
            "clip-l-14-224": {"heads": 16, "image_size": 224, "layers": 24, "patch_size": 14, "width": 1024},
            "sam_vit_b": {"downsample_channels": [512, 1024], "global_attn_indexes": [2, 5, 8, 11], "heads": 12,
                          "layers": 12, "width": 768},
        },
    },
    "vocab_size": 129280, "hidden_size": 1280, "num_hidden_layers": 12, "max_position_embeddings": 8192,
}  # fmt: skip


@pytest.fixture(scope="module", autouse=True)
def one_thread():
    kept = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(kept)


@pytest.fixture(scope="module")
def golden(tmp_path_factory):
    """The golden checkpoint's folder and our loading of it."""
    folder = write_checkpoint(tmp_path_factory.mktemp("golden"))
    return folder, load_model(open_checkpoint(str(folder)), CPU, torch.float32)


@pytest.fixture
def small(tmp_path):
    return write_small_checkpoint(tmp_path / "small")


def changed(folder: Path, **edits: object) -> Path:
    """config.json with values at dotted paths replaced; None removes."""
    path = folder / "config.json"
    config = json.loads(path.read_text())
    for where, value in edits.items():
        *tables, key = where.split("__")
        table = config
        for name in tables:
            table = table[name]
        if value is None:
            del table[key]
        else:
            table[key] = value
    path.write_text(json.dumps(config))
    return folder


def opened(folder: Path):
    return open_checkpoint(str(folder))


# What is loaded is what was published


def test_text_logits_are_those_of_an_independent_implementation(golden):
    expected = load_file(GOLDEN / "expected.safetensors")
    with torch.no_grad():
        logits = golden[1](input_ids=torch.from_numpy(expected["text.input_ids"])[None]).logits[0].double().numpy()
    error = np.abs(logits - expected["text.logits"]).max() / np.abs(expected["text.logits"]).max()
    assert error < 1e-5


def test_two_hundred_greedy_tokens_are_equal(golden):
    expected = load_file(GOLDEN / "expected.safetensors")
    prompt = torch.from_numpy(expected["text.input_ids"])[None]
    made = golden[1].generate(
        prompt, attention_mask=torch.ones_like(prompt), max_new_tokens=200, do_sample=False, eos_token_id=None,
        pad_token_id=0,
    )  # fmt: skip
    assert made[0].tolist() == expected["text.greedy_200"].tolist()


def test_our_own_decoder_gives_the_same_logits_and_the_same_two_hundred_tokens(golden):
    expected = load_file(GOLDEN / "expected.safetensors")
    ids = torch.from_numpy(expected["text.input_ids"])
    decoder = Decoder(golden[1])
    with torch.no_grad():
        prompt = decoder.embed(ids)
        plain = RowAttention(BY_ROW, row_by_row)
        attend = KVCache(decoder.sizes, 64, 1, CPU, torch.float32, plain).prefill([0], [len(ids)])
        states = decoder.forward(prompt[None], torch.arange(len(ids))[None], attend)
        logits = decoder.logits(states)[0].double().numpy()
    error = np.abs(logits - expected["text.logits"]).max() / np.abs(expected["text.logits"]).max()
    assert error < 1e-5

    scheduler = Scheduler(Slots(decoder, 1, 8192), end=1)
    scheduler.admit([Job(0, prompt, Rule(), max_tokens=200, ignore_end=True)])
    answers = []
    while not answers:
        answers = scheduler.advance()
    assert [*ids.tolist(), *answers[0].tokens] == expected["text.greedy_200"].tolist()


def test_every_parameter_and_buffer_is_that_of_transformers_own_loading(golden, tmp_path):
    ours, theirs = golden[1].state_dict(), golden_model(tmp_path).state_dict()
    assert ours.keys() == theirs.keys()
    assert all(torch.equal(ours[name], theirs[name]) for name in theirs)
    assert {name: value.dtype for name, value in golden[1].named_buffers()} == {
        name: value.dtype for name, value in golden_model(tmp_path).named_buffers()
    }


def test_the_published_config_gives_the_published_tensors():
    needed = expected_tensors(PUBLISHED)
    assert len(needed) + len(UNUSED) == 2710
    assert sum(map(math.prod, needed.values())) + 1024 * 3 * 14 * 14 == 3_336_106_240


def test_the_published_config_is_read(tmp_path):
    (tmp_path / "config.json").write_text(json.dumps(PUBLISHED_CONFIG))
    assert read_architecture(tmp_path) == PUBLISHED
    config = transformers_config(PUBLISHED)
    assert config.text_config.layer_types == ["full_attention"] * 12
    assert config.text_config.mlp_layer_types == ["dense"] + ["sparse"] * 11


def test_unlimited_ocr_is_the_same_with_a_window(tmp_path):
    text = {**PUBLISHED_CONFIG["language_config"], "max_position_embeddings": 32768, "sliding_window_size": 128}
    top = {"model_type": "unlimited-ocr", "max_position_embeddings": 32768, "sliding_window": 128}
    (tmp_path / "config.json").write_text(json.dumps({**PUBLISHED_CONFIG, **top, "language_config": text}))
    found = read_architecture(tmp_path)
    assert (found.attention, found.decoder.sliding_window, found.decoder.context) == ("reference", 128, 32768)
    assert opened(tmp_path).card.prompt("markdown") == "document parsing."
    assert transformers_config(found).text_config.layer_types == ["reference_sliding_attention"] * 12
    assert expected_tensors(found) == expected_tensors(PUBLISHED)


def test_what_transformers_saves_is_read_again(golden, tmp_path):
    golden[1].save_pretrained(tmp_path)
    again = load_model(opened(tmp_path), CPU, torch.float32).state_dict()
    assert all(torch.equal(value, again[name]) for name, value in golden[1].state_dict().items())


def test_reference_attention_loads_as_such(tmp_path):
    folder = write_small_checkpoint(tmp_path, config={"sliding_window": 64})
    model = load_model(opened(folder), CPU, torch.float32)
    assert model.config.text_config.layer_types == ["reference_sliding_attention"] * 2
    assert model.config.text_config.sliding_window == 64


def test_it_comes_in_the_type_asked_for_ready_to_read_and_without_a_word(small, capfd):
    model = load_model(opened(small), CPU, torch.bfloat16)
    assert {parameter.dtype for parameter in model.parameters()} == {torch.bfloat16}
    assert not model.training
    assert not any(parameter.requires_grad for parameter in model.parameters())
    assert capfd.readouterr() == ("", "")


def test_the_folder_is_left_as_it_was(small):
    before = {path.name: path.read_bytes() for path in small.iterdir()}
    load_model(opened(small), CPU, torch.float32)
    assert "generation_config.json" not in before
    assert {path.name: path.read_bytes() for path in small.iterdir()} == before


def test_code_in_the_folder_is_never_run(small):
    changed(small, auto_map={"AutoModel": "modeling_trap.Trap", "AutoConfig": "modeling_trap.Trap"})
    (small / "modeling_trap.py").write_text("raise SystemExit('run')")
    load_model(opened(small), CPU, torch.float32)


@pytest.mark.parametrize("shards", [1, 3])
def test_one_file_or_many(tmp_path, shards):
    folder = write_small_checkpoint(tmp_path, shards=shards)
    tensors = {name: each for path in folder.glob("*.safetensors") for name, each in load_file(path).items()}
    model = load_model(opened(folder), CPU, torch.float32)
    assert np.array_equal(model.lm_head.weight.numpy(), tensors["lm_head.weight"])
    up = [tensors[f"model.layers.1.mlp.experts.{index}.up_proj.weight"] for index in range(8)]
    assert np.array_equal(model.model.language_model.layers[1].mlp.experts.gate_up_proj[:, 32:].numpy(), np.stack(up))


def test_a_parameter_that_no_tensor_fills_is_an_error(small):
    architecture, headers = check_checkpoint(opened(small))
    model = empty_model(transformers_config(architecture), CPU, torch.float32)
    for left_out in ("model.norm.weight", "model.layers.1.mlp.experts.3.up_proj.weight"):
        with pytest.raises(EngineError, match="1 parameters stay unfilled"):
            weights.fill(model, {name: header for name, header in headers.items() if name != left_out})


def test_one_tensor_at_a_time_is_on_the_host_beside_the_model(small, monkeypatch):
    _, headers = check_checkpoint(opened(small))
    made = []
    empty = torch.empty
    monkeypatch.setattr(torch, "empty", lambda *a, **b: (made.append(a), empty(*a, **b))[1])
    for _, value in weights._read(headers, pin=False):
        assert value.numel()
    assert made == [(max(4 * math.prod(header.shape) for header in headers.values()),)]


@pytest.mark.parametrize("name", ["model.safetensors", "weights.safetensors"])
def test_a_single_file_needs_no_index(small, name):
    (small / "model.safetensors.index.json").unlink()
    (small / "model-00001-of-000001.safetensors").rename(small / name)
    check_checkpoint(opened(small))


# Tensors that do not fit


def drop(*names):
    return lambda tensors: [tensors.pop(name) for name in names]


def put(name, value):
    return lambda tensors: tensors.update({name: value})


def drop_experts(tensors):
    for name in [name for name in tensors if ".experts.7." in name]:
        del tensors[name]


def drop_all_but_one(tensors):
    for name in list(tensors)[1:]:
        del tensors[name]


FLAT = np.zeros((3,), np.float32)


@pytest.mark.parametrize(
    ("edit", "said"),
    [
        (drop("model.norm.weight"), "1 tensor missing (model.norm.weight)"),
        (drop_experts, "3 tensors missing (model.layers.1.mlp.experts.7.gate_proj.weight, "),
        (drop("lm_head.weight", "model.view_seperator"), "2 tensors missing (lm_head.weight, model.view_seperator)"),
        (put("model.extra.weight", FLAT), "1 tensor unknown (model.extra.weight)"),
        (put("model.layers.2.input_layernorm.weight", FLAT), "1 tensor unknown (model.layers.2."),
        (put("model.norm.weight", FLAT), "1 tensor of a wrong shape (model.norm.weight is 3, not 64)"),
        (put("lm_head.weight", np.zeros((64, 300), np.float32)), "lm_head.weight is 64 × 300, not 300 × 64"),
        (put("model.norm.weight", np.zeros((64,), np.int8)), "1 tensor of a wrong type (model.norm.weight is I8)"),
        (drop_all_but_one, " tensors missing (model.embed_tokens.weight, model.norm.weight, model.image_newline and "),
    ],
)  # fmt: skip
def test_tensors_that_do_not_fit_are_counted_and_named_before_any_is_loaded(tmp_path, monkeypatch, edit, said):
    folder = write_small_checkpoint(tmp_path, edit)
    monkeypatch.setattr(weights, "fill", lambda *_: pytest.fail("weights were read"))
    with pytest.raises(EngineError) as caught:
        load_model(opened(folder), CPU, torch.float32)
    assert said in caught.value.message
    assert len(str(caught.value)) < 500


def test_the_unused_tensor_may_be_there_or_not(tmp_path):
    write_small_checkpoint(tmp_path / "with")
    write_small_checkpoint(tmp_path / "without", drop(*UNUSED))
    assert (
        check_checkpoint(opened(tmp_path / "with"))[1].keys()
        == check_checkpoint(opened(tmp_path / "without"))[1].keys()
    )


def cut(path: Path):
    path.write_bytes(path.read_bytes()[:-1000])


@pytest.mark.parametrize(
    ("spoil", "said"),
    [
        (cut, "bytes where its header says"),
        (lambda path: path.write_bytes(b""), "no safetensors file"),
        (lambda path: path.write_bytes(b"\xff" * 4000), "no safetensors file"),
        (lambda path: path.write_bytes((60).to_bytes(8, "little") + b"{" * 60), "no safetensors file"),
        (lambda path: path.write_bytes((2).to_bytes(8, "little") + b"[]"), "no safetensors file"),
        (lambda path: path.write_bytes(b"<!DOCTYPE html><html>not found</html>"), "no safetensors file"),
        (lambda path: path.unlink(), "lacks model-00001-of-000001.safetensors"),
    ],
)
def test_a_broken_file_of_weights_is_one_line(small, spoil, said):
    spoil(small / "model-00001-of-000001.safetensors")
    with pytest.raises(EngineError, match=said) as caught:
        load_model(opened(small), CPU, torch.float32)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("index", "said"),
    [
        ("{", "cannot be read"),
        ('{"weight_map": 3}', "cannot be read"),
        ('{"weight_map": {}}', "lacks weights"),
        ('{"weight_map": {"a": "../x.safetensors"}}', "outside its folder"),
        ('{"weight_map": {"a": "/etc/passwd"}}', "outside its folder"),
        ('{"weight_map": {"a": "b.safetensors"}}', "lacks b.safetensors"),
    ],
)
def test_a_broken_index_is_one_line(small, index, said):
    (small / "model.safetensors.index.json").write_text(index)
    with pytest.raises(EngineError, match=said):
        check_checkpoint(opened(small))


def test_a_tensor_in_two_files_is_refused(tmp_path):
    folder = write_small_checkpoint(tmp_path, shards=2)
    shutil.copy(folder / "model-00001-of-000002.safetensors", folder / "model-00002-of-000002.safetensors")
    with pytest.raises(EngineError, match="is both in"):
        check_checkpoint(opened(folder))


@pytest.mark.parametrize("kind", ["bin", "pt", "pth"])
def test_weights_in_a_format_that_can_carry_code_are_refused(small, kind):
    (small / "model.safetensors.index.json").unlink()
    (small / "model-00001-of-000001.safetensors").rename(small / f"pytorch_model.{kind}")
    with pytest.raises(EngineError, match=rf"only pytorch_model.{kind}: only safetensors are read"):
        load_model(opened(small), CPU, torch.float32)


@pytest.mark.parametrize(
    "error", [torch.OutOfMemoryError("CUDA out of memory"), RuntimeError("DefaultCPUAllocator: can't allocate memory")]
)
def test_a_device_without_room_is_one_line(small, monkeypatch, error):
    def full(*_):
        raise error

    monkeypatch.setattr(torch.Tensor, "copy_", full)
    with pytest.raises(EngineError, match="cpu has no room for the weights of small"):
        load_model(opened(small), CPU, torch.float32)


# Wrong figures


@pytest.mark.parametrize(
    ("where", "value", "said"),
    [
        ("language_config__hidden_size", 65, "hidden_size 65 for 4 heads"),
        ("language_config__hidden_size", "64", "language_config.hidden_size is '64'"),
        ("language_config__hidden_size", -1, "language_config.hidden_size is '-1'"),
        ("language_config__hidden_size", None, "no language_config.hidden_size"),
        ("language_config__num_hidden_layers", 0, "num_hidden_layers is '0'"),
        ("language_config__num_key_value_heads", 3, "num_key_value_heads 3"),
        ("language_config__num_experts_per_tok", 9, "num_experts_per_tok is 9 of n_routed_experts 8"),
        ("language_config__first_k_dense_replace", 3, "first_k_dense_replace is 3 of 2 layers"),
        ("language_config__n_group", 3, "n_group is 3"),
        ("language_config__use_mla", True, "language_config.use_mla is 'True'"),
        ("language_config__topk_method", "noaux_tc", "topk_method is 'noaux_tc'"),
        ("language_config__norm_topk_prob", True, "norm_topk_prob is 'True'"),
        ("language_config__rope_scaling", {"type": "yarn"}, "rope_scaling is"),
        ("language_config__rms_norm_eps", 0, "rms_norm_eps is '0'"),
        ("language_config__eos_token_id", 300, "eos_token_id 300 exceeds vocab_size 300"),
        ("language_config__sliding_window", 0, "sliding_window is '0'"),
        ("language_config", [1], "language_config is '[1]', not a table"),
        ("hidden_size", 128, "language_config.hidden_size is '64': it is 128 at the top"),
        ("vision_config__width__sam_vit_b__heads", 5, "SAM has 32 channels for 5 heads"),
        ("vision_config__width__sam_vit_b__global_attn_indexes", [2], "global_attn_indexes [2]"),
        ("vision_config__width__sam_vit_b__downsample_channels", [48], "two whole numbers"),
        ("vision_config__width__sam_vit_b__downsample_channels", [48, 63], "but CLIP takes 64"),
        ("vision_config__width__clip-l-14-224", None, "no vision_config.width.clip-l-14-224"),
        ("vision_config__image_size", 1000, "image_size is 1000"),
        ("projector_config__input_dim", 100, "projector_config.input_dim is '100'"),
        ("projector_config__n_embed", 100, "projector_config.n_embed is '100'"),
        ("projector_config__projector_type", "mlp_gelu", "projector_type is 'mlp_gelu'"),
    ],
)
def test_a_wrong_figure_is_an_error_that_names_it(small, where, value, said):
    changed(small, **{where: value})
    with pytest.raises(EngineError) as caught:
        load_model(opened(small), CPU, torch.float32)
    assert said in caught.value.message or said in str(caught.value)


@pytest.mark.parametrize(
    ("where", "value", "said"),
    [
        ("text_config__layer_types", ["full_attention", "sliding_attention", "full_attention"], "layer_types is"),
        ("text_config__mlp_layer_types", ["sparse", "dense", "sparse"], "mlp_layer_types is"),
        ("vision_config__sam_config__use_rel_pos", False, "use_rel_pos is 'False'"),
        ("vision_config__encoder_config__hidden_act", "gelu", "hidden_act is 'gelu'"),
    ],
)
def test_a_wrong_figure_in_transformers_layout_is_an_error_that_names_it(tmp_path, where, value, said):
    golden_config().save_pretrained(tmp_path)
    with pytest.raises(EngineError, match=said):
        read_architecture(changed(tmp_path, **{where: value}))


def test_a_figure_that_fits_no_tensor_is_found_by_the_tensors(small):
    changed(small, language_config__intermediate_size=97)
    with pytest.raises(
        EngineError, match=r"3 tensors of a wrong shape \(model\.layers\.0\.mlp\.gate_proj\.weight is 96 × 64"
    ):
        check_checkpoint(opened(small))


@pytest.mark.parametrize("text", ["", "{", "[]", "3", '{"model_type": "llama"}', "\udcff"])
def test_no_config_at_all_is_one_line(small, text):
    (small / "config.json").write_text(text, errors="surrogateescape")
    with pytest.raises(EngineError, match=r"config\.json"):
        opened(small)
    (small / "config.json").unlink()
    with pytest.raises(EngineError, match=r"has no config\.json"):
        opened(small)


def test_surplus_tensors_are_skipped_where_a_card_says_so_or_they_are_those_of_a_published_one(tmp_path):
    extra = put("mtp_module.heads.0.enorm.weight", FLAT)
    folder = write_small_checkpoint(tmp_path, extra, config={"rope_theta": 1000000})
    card = opened(folder).card
    assert (card.skip, card.before_image) == (("mtp_module.",), "<|User|>:\n")
    model = load_model(opened(folder), CPU, torch.float32)
    assert model.config.text_config.rope_parameters["rope_theta"] == 1e6
    text = (ROOT / "models" / "deepseek-ocr" / "model.toml").read_text()
    (folder / "model.toml").write_text(text)
    with pytest.raises(EngineError, match=r"1 tensor unknown \(mtp_module"):
        check_checkpoint(opened(folder))
    (folder / "model.toml").write_text('skip = ["mtp_module.heads"]\n' + text)
    check_checkpoint(opened(folder))


# Found by name


@pytest.fixture
def cache(tmp_path, monkeypatch):
    """An empty Hugging Face cache."""
    from huggingface_hub import constants

    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "hub"))
    return tmp_path / "hub"


def test_a_checkpoint_that_is_not_here_says_how_to_get_it(cache):
    for name in (None, "deepseek-ocr", "unlimited-ocr", "someone/some-model"):
        with pytest.raises(EngineError) as caught:
            open_checkpoint(name)
        assert caught.value.advice == f"run: ocrpress pull {name or 'deepseek-ocr'}"
        assert caught.value.exit_code == 4
    assert not is_present("deepseek-ocr")


def test_a_card_finds_its_pinned_revision_and_no_other(cache):
    snapshots = cache / "models--deepseek-ai--DeepSeek-OCR" / "snapshots"
    write_small_checkpoint(snapshots / ("0" * 40))
    assert not is_present("deepseek-ocr")
    folder = write_small_checkpoint(snapshots / "9f30c71f441d010e5429c532364a86705536c53a")
    found = open_checkpoint()
    assert (found.name, found.folder, found.card.name) == ("deepseek-ocr", folder, "deepseek-ocr")
    assert is_present("deepseek-ocr")


def test_a_hub_id_finds_what_was_pulled(cache):
    write_small_checkpoint(cache / "models--some-one--a.model" / "snapshots" / "abc")
    found = open_checkpoint("some-one/a.model")
    assert (found.name, found.folder.name) == ("some-one/a.model", "abc")


def test_a_download_that_broke_off_is_not_there_yet(cache):
    folder = write_small_checkpoint(cache / "models--a--b" / "snapshots" / "abc", shards=2)
    (folder / "model-00002-of-000002.safetensors").unlink()
    assert not is_present("a/b")
    with pytest.raises(EngineError, match=r"not complete .*ocrpress pull a/b"):
        open_checkpoint("a/b")


def test_a_name_that_nobody_knows_comes_with_the_nearest(cache):
    with pytest.raises(UsageError, match="did you mean 'deepseek-ocr'"):
        open_checkpoint("deepseek-ocrr")
    assert not is_present("deepseek-ocrr")


def test_a_file_is_no_checkpoint(small):
    with pytest.raises(EngineError, match="is a file"):
        open_checkpoint(str(small / "config.json"))


def test_a_folder_without_a_card_gets_the_published_prompts_and_only_its_own_tokens(small):
    card = opened(small).card
    assert card.prompt("text") == "\nFree OCR."
    assert card.generation.ngram == 30
    assert card.generation.exempt == ()  # 128821 and 128822 are not among its 300


def test_a_folder_with_a_card_keeps_it_and_both_must_agree(small):
    text = (ROOT / "models" / "unlimited-ocr" / "model.toml").read_text()
    (small / "model.toml").write_text(text)
    assert opened(small).card.prompt("markdown") == "document parsing."
    with pytest.raises(EngineError, match="full attention, the card of small reference"):
        check_checkpoint(opened(small))


def test_without_the_extra_it_names_the_command(small, monkeypatch):
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    for ask in (lambda: load_model(opened(small), CPU, torch.float32), lambda: Tokenizer(small), open_checkpoint):
        with pytest.raises(EngineError, match=r"pip install 'ocrpress\[deepseek\]'"):
            ask()


def test_finding_and_checking_need_no_torch(small):
    code = f"""
import sys
sys.modules.update(dict.fromkeys(["torch", "transformers", "numpy", "tokenizers", "safetensors"]))
from ocrpress.engines.deepseek.checkpoint import check_checkpoint, is_present, open_checkpoint
is_present("unlimited-ocr")
check_checkpoint(open_checkpoint({str(small)!r}))
"""
    subprocess.run([sys.executable, "-c", code], env=environment(), cwd=ROOT, check=True)


# Tokens


def test_text_becomes_the_ids_that_the_published_processor_gives(small):
    from transformers import PreTrainedTokenizerFast

    ours, theirs = Tokenizer(small), PreTrainedTokenizerFast(tokenizer_file=str(small / "tokenizer.json"))
    for text in ("\n<|grounding|>Convert the document to markdown.", "\nFree OCR.", "ü – 中文", "", " a "):
        assert ours.encode(text) == theirs.encode(text, add_special_tokens=False)
    assert (ours.bos, ours.end, ours.image) == (0, 1, 3)


def test_decoding_keeps_grounding_and_drops_begin_end_and_padding(small):
    tokenizer = Tokenizer(small)
    text = "<|ref|>title<|/ref|><|det|>[[1, 2, 3, 4]]<|/det|>\n# Ünïcode 中文\n<td>1</td>"
    assert tokenizer.decode([tokenizer.bos, *tokenizer.encode(text), tokenizer.end, 2, 2]) == text


def test_half_a_character_and_an_id_beyond_the_vocabulary_do_no_harm(small):
    tokenizer = Tokenizer(small)
    assert tokenizer.decode([*tokenizer.encode("a中")[:-1], 299, 10**6]).startswith("a\ufffd")


@pytest.mark.parametrize("token", ["<image>", "<｜end▁of▁sentence｜>", "<｜begin▁of▁sentence｜>"])
def test_a_tokenizer_without_a_special_token_is_refused(small, token):
    path = small / "tokenizer.json"
    path.write_text(path.read_text().replace(token, "other"))
    with pytest.raises(EngineError, match="has no token"):
        Tokenizer(small)


def test_a_tokenizer_that_is_broken_or_missing_is_one_line(small):
    (small / "tokenizer.json").write_text("{}")
    with pytest.raises(EngineError, match="cannot be read"):
        Tokenizer(small)
    (small / "tokenizer.json").unlink()
    with pytest.raises(EngineError, match=r"no tokenizer\.json"):
        Tokenizer(small)


def test_the_noise_tokenizer_has_real_lengths_and_gives_nothing_to_believe():
    noise = NoiseTokenizer()
    ids = noise.encode("\n<|grounding|>Convert the document to markdown.")
    assert len(ids) == 8
    assert not {noise.bos, noise.end, noise.image} & set(ids)
    assert noise.decode([0, 7, 1]) == "noise7"
    assert max(NoiseTokenizer(300).encode("a b c d e f g")) < NoiseTokenizer(300).image == 299


# Random weights


def small_config(tmp_path):
    (tmp_path / "config.json").write_text(json.dumps(published_config(SMALL["vision"], SMALL["text"])))
    return transformers_config(read_architecture(tmp_path))


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_a_random_model_sees_and_stays_finite(tmp_path, dtype):
    model = random_model(CPU, dtype, small_config(tmp_path))
    assert {parameter.dtype for parameter in model.parameters()} == {dtype}
    assert model.model.language_model.rotary_emb.inv_freq.dtype == torch.float32
    assert not model.training
    images = torch.randn((2, 3, 256, 256), generator=torch.Generator().manual_seed(0)).to(dtype)
    with torch.no_grad():
        first, second = model.model.get_image_features(images).pooler_output
        logits = model(input_ids=torch.arange(4, 200)[None]).logits
    assert (first.shape[0], first.shape[-1]) == (second.shape[0], 64)
    assert not torch.allclose(first, second, atol=0.1)
    assert logits.isfinite().all()
    assert 0.5 < logits.float().std() < 2


def test_a_random_model_is_the_same_every_time_and_leaves_the_default_type_alone(tmp_path):
    first, second = (random_model(CPU, torch.bfloat16, small_config(tmp_path)) for _ in range(2))
    assert all(torch.equal(a, b) for a, b in zip(first.parameters(), second.parameters(), strict=True))
    assert torch.get_default_dtype() == torch.float32
    assert all(parameter.std() > 0 for parameter in first.parameters() if parameter.dim() > 1)
