"""Small checkpoints for tests, in the published layout: tensors, config.json, tokenizer.json.

The weights are those of golden/README's recipe: anyone can make them again from the tensor's name and shape.
"""

from __future__ import annotations

import json
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

GOLDEN = Path(__file__).parent / "golden"
SPECIAL = {
    "<｜begin▁of▁sentence｜>": 0, "<｜end▁of▁sentence｜>": 1, "<｜▁pad▁｜>": 2, "<image>": 3, "<|grounding|>": 4,
    "<|ref|>": 5, "<|/ref|>": 6, "<|det|>": 7, "<|/det|>": 8, "<td>": 9, "</td>": 10,
}  # fmt: skip


def golden() -> dict[str, Any]:
    """What golden/checkpoint.json says: configurations, tensor shapes, images."""
    return json.loads((GOLDEN / "checkpoint.json").read_text())


def make_tensor(name: str, shape: list[int]) -> np.ndarray:
    """The tensor of that name by the golden recipe."""
    a = np.random.default_rng(zlib.crc32(name.encode())).standard_normal(shape).astype(np.float32)
    low = name.lower()
    norm = (
        name.endswith("norm.weight")
        or ("layernorm" in low and name.endswith("weight"))
        or any(part in name for part in ("norm1.weight", "norm2.weight", "layrnorm.weight"))
        or (("neck.1" in name or "neck.3" in name) and name.endswith("weight"))
    )
    if norm:
        return (1 + 0.1 * a).astype(np.float32)
    if len(shape) >= 2:
        return (a / np.sqrt(np.prod(shape[1:]))).astype(np.float32)
    return (0.02 * a).astype(np.float32)


def published_config(vision: dict[str, Any] | None = None, text: dict[str, Any] | None = None) -> dict[str, Any]:
    """config.json in the form in which DeepSeek-OCR is published, with the golden checkpoint's figures."""
    spec = golden()
    vision, text = vision or spec["vision"], text or spec["text"]
    sam, clip = vision["sam"], vision["clip"]
    return {
        "architectures": ["DeepseekOCRForCausalLM"],
        "model_type": "DeepseekOCR",
        "torch_dtype": "bfloat16",
        "language_config": {
            "model_type": "deepseek_v2", "use_mla": False, "topk_method": "greedy", "n_group": 1, "topk_group": 1,
            "max_position_embeddings": 8192, "kv_lora_rank": None, "q_lora_rank": None, "rm_head": False,
            "lm_head": True, "bos_token_id": 0, "eos_token_id": 1, **text,
        },
        "projector_config": {
            "input_dim": 2 * clip["hidden_size"], "n_embed": text["hidden_size"], "model_type": "mlp_projector",
            "projector_type": "linear",
        },
        "vision_config": {
            "image_size": sam["image_size"], "mlp_ratio": 3.7362, "model_name": "deeplip_b_l", "model_type": "vision",
            "width": {
                "clip-l-14-224": {
                    "heads": clip["num_attention_heads"], "image_size": clip["image_size"],
                    "layers": clip["num_hidden_layers"], "patch_size": clip["patch_size"],
                    "width": clip["hidden_size"], "intermediate_size": clip["intermediate_size"],
                },
                "sam_vit_b": {
                    "downsample_channels": sam["downsample_channels"],
                    "global_attn_indexes": sam["global_attn_indexes"], "heads": sam["num_attention_heads"],
                    "layers": sam["num_hidden_layers"], "width": sam["hidden_size"], "mlp_dim": sam["mlp_dim"],
                },
            },
        },
    }  # fmt: skip


def write_tokenizer(path: Path, vocabulary: int = 512) -> None:
    """A byte-level tokenizer.json of `vocabulary` entries: the special tokens, the 256 bytes, and fillers."""
    from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers

    letters = sorted(pre_tokenizers.ByteLevel.alphabet())
    vocab = dict(SPECIAL)
    for letter in letters:
        vocab[letter] = len(vocab)
    for index in range(len(vocab), vocabulary):
        vocab[f"word{index}"] = index
    tokenizer = Tokenizer(models.BPE(vocab=vocab, merges=[]))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.add_special_tokens([AddedToken(name, special=True, normalized=False) for name in SPECIAL])
    tokenizer.save(str(path))


def write_checkpoint(folder: Path) -> Path:
    """The golden checkpoint as a folder in the published layout (81 MB of float32)."""
    from safetensors.numpy import save_file

    folder.mkdir(parents=True, exist_ok=True)
    tensors = {name: make_tensor(name, shape) for name, shape in golden()["tensors"].items()}
    save_file(tensors, folder / "model-00001-of-000001.safetensors", metadata={"format": "pt"})
    weight_map = dict.fromkeys(tensors, "model-00001-of-000001.safetensors")
    (folder / "model.safetensors.index.json").write_text(json.dumps({"metadata": {}, "weight_map": weight_map}))
    (folder / "config.json").write_text(json.dumps(published_config(), indent=1))
    write_tokenizer(folder / "tokenizer.json")
    return folder


SMALL = {
    "vision": {
        "sam": {"hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2, "global_attn_indexes": [1],
                "mlp_dim": 64, "downsample_channels": [48, 64], "image_size": 1024},
        "clip": {"hidden_size": 64, "intermediate_size": 96, "num_hidden_layers": 1, "num_attention_heads": 2,
                 "image_size": 224, "patch_size": 14},
    },
    "text": {"hidden_size": 64, "num_hidden_layers": 2, "num_attention_heads": 4, "num_key_value_heads": 4,
             "intermediate_size": 96, "moe_intermediate_size": 32, "n_routed_experts": 8, "num_experts_per_tok": 2,
             "n_shared_experts": 1, "vocab_size": 300, "first_k_dense_replace": 1},
}  # fmt: skip


def as_qwen(config: dict[str, Any], channels: int = 64) -> dict[str, Any]:
    """A published config.json with DeepSeek-OCR-2's encoder in the place of CLIP, 2 layers of it; changed in place."""
    width = config["vision_config"]["width"]
    del width["clip-l-14-224"]
    width["qwen2-0-5b"] = {"dim": channels, "layers": 2, "heads": 4, "kv_heads": 2, "intermediate_size": 96}
    config["architectures"] = ["DeepseekOCR2ForCausalLM"]
    config["projector_config"]["input_dim"] = channels
    return config


def write_small_checkpoint(
    folder: Path,
    edit: Callable[[dict[str, np.ndarray]], object] = lambda tensors: None,
    config: dict[str, Any] | None = None,
    shards: int = 1,
    qwen: bool = False,
) -> Path:
    """A checkpoint folder of 0.4 M parameters, in the published layout, made in milliseconds.

    Args:
        edit: may change the tensors before they are written.
        config: merged over the language_config.
        shards: number of safetensors files.
        qwen: of DeepSeek-OCR-2's architecture.
    """
    from safetensors.numpy import save_file

    from ocrpress.engines.deepseek.config import read_architecture
    from ocrpress.engines.deepseek.tensors import expected_tensors

    folder.mkdir(parents=True, exist_ok=True)
    spec = published_config(SMALL["vision"], {**SMALL["text"], **(config or {})})
    (folder / "config.json").write_text(json.dumps(as_qwen(spec) if qwen else spec, indent=1))
    write_tokenizer(folder / "tokenizer.json", SMALL["text"]["vocab_size"])
    tensors = {
        name: make_tensor(name, list(shape)) for name, shape in expected_tensors(read_architecture(folder)).items()
    }
    if not qwen:
        tensors["model.vision_model.embeddings.patch_embedding.weight"] = np.zeros((64, 3, 14, 14), np.float32)
    edit(tensors)
    weight_map = {}
    for index in range(shards):
        name = f"model-{index + 1:05}-of-{shards:06}.safetensors"
        part = dict(list(tensors.items())[index::shards])
        save_file(part, folder / name, metadata={"format": "pt"})
        weight_map |= dict.fromkeys(part, name)
    (folder / "model.safetensors.index.json").write_text(json.dumps({"metadata": {}, "weight_map": weight_map}))
    return folder


def golden_config() -> Any:
    """The golden checkpoint's configuration for transformers."""
    from transformers.models.unlimited_ocr.configuration_unlimited_ocr import UnlimitedOcrConfig

    spec = golden()
    text = dict(spec["text"])
    dense = text.pop("first_k_dense_replace")
    layers = text["num_hidden_layers"]
    text["mlp_layer_types"] = ["dense" if index < dense else "sparse" for index in range(layers)]
    text["layer_types"] = ["full_attention"] * layers
    return UnlimitedOcrConfig(
        vision_config={"sam_config": spec["vision"]["sam"], "encoder_config": spec["vision"]["clip"]},
        text_config=text, image_token_id=SPECIAL["<image>"],
    )  # fmt: skip


def golden_model(folder: Path) -> Any:
    """The golden checkpoint loaded by transformers alone, float32 on the CPU: what ours is held against."""
    from transformers import GenerationConfig
    from transformers.models.unlimited_ocr.modeling_unlimited_ocr import UnlimitedOcrForConditionalGeneration

    return UnlimitedOcrForConditionalGeneration.from_pretrained(
        write_checkpoint(folder), config=golden_config(), generation_config=GenerationConfig(), dtype="float32"
    ).eval()


def small_model(attention: str = "full_attention", window: int = 128, context: int = 8192, seed: int = 0) -> Any:
    """A model whose decoder is made quickly (2 layers of 64, 8 experts, vocabulary 300), float32, random weights."""
    import torch
    from transformers.models.unlimited_ocr.configuration_unlimited_ocr import UnlimitedOcrConfig
    from transformers.models.unlimited_ocr.modeling_unlimited_ocr import UnlimitedOcrForConditionalGeneration

    torch.manual_seed(seed)
    config = UnlimitedOcrConfig(
        vision_config={
            "sam_config": {
                "hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2, "global_attn_indexes": [1],
                "mlp_dim": 64, "output_channels": 32, "downsample_channels": [48, 64], "initializer_range": 0.02,
            },
            "encoder_config": {
                "hidden_size": 64, "intermediate_size": 96, "num_hidden_layers": 1, "num_attention_heads": 2,
            },
        },
        text_config={
            "hidden_size": 64, "num_hidden_layers": 2, "num_attention_heads": 4, "num_key_value_heads": 2,
            "intermediate_size": 96, "moe_intermediate_size": 32, "n_routed_experts": 8, "num_experts_per_tok": 2,
            "n_shared_experts": 1, "vocab_size": 300, "layer_types": [attention] * 2, "sliding_window": window,
            "max_position_embeddings": context, "initializer_range": 0.3, "bos_token_id": 0, "eos_token_id": 1,
        },
        image_token_id=SPECIAL["<image>"],
    )  # fmt: skip
    return UnlimitedOcrForConditionalGeneration(config).requires_grad_(False).eval()
