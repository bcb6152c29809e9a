"""The figures of a checkpoint: config.json, as it is published or as transformers writes it -> an `Architecture`.

Every figure that decides a shape or a result is checked, so that a wrong one is an error that names it and never a
model that reads nonsense. Plain Python: torch and transformers are imported by `transformers_config` alone.

The published layout has `language_config`, `projector_config` and `vision_config.width.{sam_vit_b, clip-l-14-224}`, for
DeepSeek-OCR-2 `vision_config.width.{sam_vit_b, qwen2-0-5b}`; that of transformers has `text_config` and
`vision_config.{sam_config, encoder_config}`.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ocrpress.engines.deepseek.architecture import (
    ADVICE,
    IMAGE_TOKEN,
    Architecture,
    ClipConfig,
    DecoderConfig,
    QwenConfig,
    SamConfig,
    check_architecture,
)
from ocrpress.errors import EngineError

if TYPE_CHECKING:
    from transformers.models.deepseek_ocr2.configuration_deepseek_ocr2 import DeepseekOcr2Config
    from transformers.models.unlimited_ocr.configuration_unlimited_ocr import UnlimitedOcrConfig

CONFIG_FILE = "config.json"
# What a decoder must say, or leave to its default, to be the one that this engine computes.
FIXED: dict[str, Any] = {
    "use_mla": False, "hidden_act": "silu", "scoring_func": "softmax", "norm_topk_prob": False, "moe_layer_freq": 1,
    "attention_bias": False, "mlp_bias": False, "tie_word_embeddings": False, "rope_scaling": None,
    "kv_lora_rank": None, "q_lora_rank": None,
}  # fmt: skip


def read_architecture(folder: Path) -> Architecture:
    """The figures in a folder's config.json.

    Raises:
        EngineError: there is none, it is no JSON, or a figure is missing or impossible; the message names it.
    """
    path = folder / CONFIG_FILE
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise EngineError(f"{folder} has no {CONFIG_FILE}", "a checkpoint folder needs one") from error
    except (OSError, ValueError) as error:
        raise EngineError(f"{path} cannot be read ({error})", "download the checkpoint again") from error
    top = _Figures(str(path), found, "")
    if not top.found.keys() & {"language_config", "text_config"}:
        raise top.wrong("model_type", f"it has neither language_config nor text_config: {ADVICE}")
    sam, encoder = _vision(top)
    architecture = Architecture(sam, encoder, _decoder(top), top.whole("image_token_id", IMAGE_TOKEN, least=0))
    check_architecture(architecture, str(path))
    if "projector_config" in top.found:
        _check_projector(top.table("projector_config"), architecture)
    return architecture


def transformers_config(architecture: Architecture) -> UnlimitedOcrConfig | DeepseekOcr2Config:
    """The same figures as transformers' class wants them."""
    from transformers.models.deepseek_ocr2.configuration_deepseek_ocr2 import DeepseekOcr2Config
    from transformers.models.unlimited_ocr.configuration_unlimited_ocr import UnlimitedOcrConfig

    sam, decoder = architecture.sam, architecture.decoder
    layer_type = "full_attention" if decoder.sliding_window is None else "reference_sliding_attention"
    kind = UnlimitedOcrConfig if isinstance(architecture.encoder, ClipConfig) else DeepseekOcr2Config
    return kind(
        vision_config={
            "sam_config": {
                "num_hidden_layers": sam.layers, "hidden_size": sam.width, "num_attention_heads": sam.heads,
                "mlp_dim": sam.mlp, "global_attn_indexes": list(sam.global_layers), "output_channels": sam.neck,
                "downsample_channels": list(sam.channels), "image_size": sam.image, "patch_size": sam.patch,
                "window_size": sam.window,
                # Its default of 1e-10 leaves a model that was not loaded blind.
                "initializer_range": 0.02,
            },
            "encoder_config": _encoder_config(architecture.encoder),
        },
        text_config={
            "vocab_size": decoder.vocabulary, "hidden_size": decoder.width, "num_hidden_layers": decoder.layers,
            "num_attention_heads": decoder.heads, "num_key_value_heads": decoder.kv_heads,
            "intermediate_size": decoder.mlp, "moe_intermediate_size": decoder.expert_mlp,
            "n_routed_experts": decoder.experts, "n_shared_experts": decoder.shared_experts,
            "num_experts_per_tok": decoder.experts_per_token, "max_position_embeddings": decoder.context,
            "bos_token_id": decoder.bos, "eos_token_id": decoder.eos, "topk_method": decoder.routing,
            "n_group": decoder.groups, "topk_group": decoder.groups_per_token,
            "routed_scaling_factor": decoder.routed_scale, "rms_norm_eps": decoder.norm_eps,
            "rope_parameters": {"rope_type": "default", "rope_theta": decoder.rope_theta},
            "mlp_layer_types": ["dense" if index < decoder.dense_layers else "sparse"
                                for index in range(decoder.layers)],
            "layer_types": [layer_type] * decoder.layers,
            # The class refuses None, whatever the layers are.
            "sliding_window": decoder.sliding_window or 128,
        },
        image_token_id=architecture.image_token,
    )  # fmt: skip


def _encoder_config(encoder: ClipConfig | QwenConfig) -> dict[str, Any]:
    """The figures of the encoder's second half as transformers' class wants them."""
    shared = {
        "num_hidden_layers": encoder.layers, "hidden_size": encoder.width, "num_attention_heads": encoder.heads,
        "intermediate_size": encoder.mlp,
    }  # fmt: skip
    if isinstance(encoder, ClipConfig):
        return {**shared, "image_size": encoder.image, "patch_size": encoder.patch}
    rope = {"rope_type": "default", "rope_theta": encoder.rope_theta}
    return {
        **shared, "num_key_value_heads": encoder.kv_heads, "rms_norm_eps": encoder.norm_eps, "rope_parameters": rope
    }  # fmt: skip


class _Figures:
    """A table of config.json that knows its own name, and finds what is missing or of the wrong kind."""

    def __init__(self, path: str, found: Any, name: str) -> None:
        self.path, self.name = path, name
        if not isinstance(found, Mapping):
            raise EngineError(f"{path}: {name.rstrip('.') or 'it'} is {str(found)[:40]!r}, not a table", ADVICE)
        self.found = found

    def table(self, key: str) -> _Figures:
        if key not in self.found:
            raise EngineError(f"{self.path} has no {self.name}{key}", ADVICE)
        return _Figures(self.path, self.found[key], f"{self.name}{key}.")

    def whole(self, key: str, default: int | None = None, least: int = 1) -> int:
        value = self._get(key, default)
        if not isinstance(value, int) or isinstance(value, bool) or not least <= value < 2**31:
            raise self.wrong(key, f"it must be a whole number, {least} or more")
        return value

    def number(self, key: str, default: float) -> float:
        value = self._get(key, default)
        if not isinstance(value, int | float) or isinstance(value, bool) or not 0 < value < float("inf"):
            raise self.wrong(key, "it must be a positive number")
        return float(value)

    def wholes(self, key: str) -> tuple[int, ...]:
        value = self._get(key, None)
        if not isinstance(value, list) or not all(isinstance(each, int) and each >= 0 for each in value):
            raise self.wrong(key, "it must be a list of whole numbers")
        return tuple(value)

    def must_be(self, key: str, *allowed: Any) -> None:
        if self.found.get(key, allowed[0]) not in allowed:
            raise self.wrong(key, f"this engine computes {' or '.join(map(repr, allowed))} only")

    def wrong(self, key: str, why: str) -> EngineError:
        return EngineError(f"{self.path}: {self.name}{key} is {str(self.found.get(key))[:60]!r}", why)

    def _get(self, key: str, default: Any) -> Any:
        value = self.found.get(key)
        if value is None and default is None:
            raise EngineError(f"{self.path} has no {self.name}{key}", ADVICE)
        return default if value is None else value


def _vision(top: _Figures) -> tuple[SamConfig, ClipConfig | QwenConfig]:
    """The encoder's figures, in either layout."""
    vision = top.table("vision_config")
    if "sam_config" in vision.found:
        return _vision_of_transformers(vision.table("sam_config"), vision.table("encoder_config"))
    width = vision.table("width")
    sam = width.table("sam_vit_b")
    first = SamConfig(
        layers=sam.whole("layers"), width=sam.whole("width"), heads=sam.whole("heads"),
        mlp=sam.whole("mlp_dim", 4 * sam.whole("width")), global_layers=sam.wholes("global_attn_indexes"),
        channels=_pair(sam, "downsample_channels"), image=vision.whole("image_size", 1024),
    )  # fmt: skip
    if "qwen2-0-5b" in width.found:
        second = _qwen(width.table("qwen2-0-5b"), "dim", "layers", "heads", "kv_heads")
        # The published file's compressor ends in Qwen2's channels, whatever its config.json says.
        return replace(first, channels=(first.channels[0], second.width)), second
    clip = width.table("clip-l-14-224")
    return first, ClipConfig(
        layers=clip.whole("layers"), width=clip.whole("width"), heads=clip.whole("heads"),
        mlp=clip.whole("intermediate_size", 4 * clip.whole("width")), image=clip.whole("image_size", 224),
        patch=clip.whole("patch_size", 14),
    )  # fmt: skip


def _qwen(table: _Figures, width: str, layers: str, heads: str, kv_heads: str) -> QwenConfig:
    """Qwen2's figures under these names. The published config.json gives the width alone: the others are its code's."""
    for key, value in {"hidden_act": "silu", "use_sliding_window": False}.items():
        table.must_be(key, value)
    usual = QwenConfig()
    rope = _Figures(table.path, table.found.get("rope_parameters") or {}, f"{table.name}rope_parameters.")
    rope.must_be("rope_type", "default")
    return QwenConfig(
        layers=table.whole(layers, usual.layers), width=table.whole(width), heads=table.whole(heads, usual.heads),
        kv_heads=table.whole(kv_heads, usual.kv_heads), mlp=table.whole("intermediate_size", usual.mlp),
        norm_eps=table.number("rms_norm_eps", usual.norm_eps), rope_theta=rope.number("rope_theta", usual.rope_theta),
    )  # fmt: skip


def _vision_of_transformers(sam: _Figures, second: _Figures) -> tuple[SamConfig, ClipConfig | QwenConfig]:
    for key, value in {"use_abs_pos": True, "use_rel_pos": True, "qkv_bias": True, "hidden_act": "gelu"}.items():
        sam.must_be(key, value)
    first = SamConfig(
        layers=sam.whole("num_hidden_layers"), width=sam.whole("hidden_size"), heads=sam.whole("num_attention_heads"),
        mlp=sam.whole("mlp_dim"), global_layers=sam.wholes("global_attn_indexes"),
        channels=_pair(sam, "downsample_channels"), neck=sam.whole("output_channels", 256),
        image=sam.whole("image_size", 1024), patch=sam.whole("patch_size", 16), window=sam.whole("window_size", 14),
    )  # fmt: skip
    if "num_key_value_heads" in second.found:
        return first, _qwen(second, "hidden_size", "num_hidden_layers", "num_attention_heads", "num_key_value_heads")
    second.must_be("hidden_act", "quick_gelu")
    return first, ClipConfig(
        layers=second.whole("num_hidden_layers"), width=second.whole("hidden_size"),
        heads=second.whole("num_attention_heads"), mlp=second.whole("intermediate_size"),
        image=second.whole("image_size", 224), patch=second.whole("patch_size", 14),
    )  # fmt: skip


def _decoder(top: _Figures) -> DecoderConfig:
    """The language model's figures, which both layouts name alike."""
    text = _text(top)
    for key, value in FIXED.items():
        text.must_be(key, value)
    text.must_be("topk_method", "greedy", "group_limited_greedy")
    rope = text.found.get("rope_parameters") or {"rope_theta": text.found.get("rope_theta", 10000.0)}
    rope = _Figures(text.path, rope, f"{text.name}rope_parameters.")
    rope.must_be("rope_type", "default")
    return DecoderConfig(
        vocabulary=text.whole("vocab_size"), width=text.whole("hidden_size"), layers=text.whole("num_hidden_layers"),
        heads=text.whole("num_attention_heads"),
        kv_heads=text.whole("num_key_value_heads", text.whole("num_attention_heads")),
        mlp=text.whole("intermediate_size"), dense_layers=_dense_layers(text), experts=text.whole("n_routed_experts"),
        shared_experts=text.whole("n_shared_experts"), experts_per_token=text.whole("num_experts_per_tok"),
        expert_mlp=text.whole("moe_intermediate_size"), context=text.whole("max_position_embeddings"),
        bos=text.whole("bos_token_id", 0, least=0), eos=text.whole("eos_token_id", 1, least=0),
        sliding_window=_window(text), routing=text.found.get("topk_method", "greedy"),
        groups=text.whole("n_group", 1), groups_per_token=text.whole("topk_group", 1),
        routed_scale=text.number("routed_scaling_factor", 1.0), norm_eps=text.number("rms_norm_eps", 1e-6),
        rope_theta=rope.number("rope_theta", 10000.0),
    )  # fmt: skip


def _text(top: _Figures) -> _Figures:
    """The language model's table; the published layout repeats it at the top, and adds to it there."""
    if "text_config" in top.found:
        return top.table("text_config")
    text = top.table("language_config")
    for key, value in text.found.items():
        if isinstance(value, int | float) and top.found.get(key, value) != value:
            raise text.wrong(key, f"it is {top.found[key]!r} at the top: both must be the same")
    return _Figures(top.path, {**top.found, **text.found}, text.name)


def _dense_layers(text: _Figures) -> int:
    """How many layers have no experts: the first ones."""
    layers = text.whole("num_hidden_layers")
    kinds = text.found.get("mlp_layer_types")
    if kinds is None:
        return text.whole("first_k_dense_replace", least=0)
    dense = kinds.count("dense") if isinstance(kinds, list) else -1
    if dense < 0 or kinds != ["dense"] * dense + ["sparse"] * (layers - dense):
        raise text.wrong("mlp_layer_types", f"it must be {layers} entries, 'dense' ones first, then 'sparse' ones")
    return dense


def _window(text: _Figures) -> int | None:
    """The sliding window, if there is one.

    The published layout names it for Unlimited-OCR (under either name) and not for DeepSeek-OCR; transformers always
    names it, and says in `layer_types` whether it counts.
    """
    layers = text.whole("num_hidden_layers")
    seen = text.found.get("layer_types")
    if seen == ["full_attention"] * layers:
        return None
    if seen not in (None, ["reference_sliding_attention"] * layers):
        raise text.wrong("layer_types", f"it must be {layers} times 'full_attention' or 'reference_sliding_attention'")
    keys = [key for key in ("sliding_window", "sliding_window_size") if text.found.get(key) is not None]
    return text.whole(keys[0]) if keys else None


def _check_projector(projector: _Figures, architecture: Architecture) -> None:
    projector.must_be("projector_type", "linear")
    if projector.whole("input_dim") != architecture.features:
        raise projector.wrong("input_dim", f"the encoder's features have {architecture.features} channels")
    if projector.whole("n_embed") != architecture.decoder.width:
        raise projector.wrong("n_embed", f"the decoder's hidden_size is {architecture.decoder.width}")


def _pair(table: _Figures, key: str) -> tuple[int, int]:
    values = table.wholes(key)
    if len(values) != 2:
        raise table.wrong(key, "it must be two whole numbers")
    return values[0], values[1]
