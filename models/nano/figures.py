"""What nano is: its sizes, its alphabet, its special tokens, and the folder that `ocrpress` loads. No training here."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

from ocrpress.engines.deepseek.architecture import Architecture, ClipConfig, DecoderConfig, SamConfig
from ocrpress.engines.deepseek.config import transformers_config

SPECIAL = (
    "<｜begin▁of▁sentence｜>", "<｜end▁of▁sentence｜>", "<｜▁pad▁｜>", "<image>", "<|grounding|>", "<|ref|>",
    "<|/ref|>", "<|det|>", "<|/det|>", "<td>", "</td>", "Free OCR.", "Convert the document to markdown.", "\ufffd",
)  # fmt: skip
BEGIN, END, PAD, IMAGE, START = 0, 1, 2, 3, 11
UNKNOWN = 13
NEWLINE = len(SPECIAL)
# Printable ASCII first, then what European text and typography need most.
LETTERS = "\n" + "".join(map(chr, range(32, 127))) + "ÄÖÜäöüßéèêàâçîôûñíóáúåæø£€§°±×–—‘’“”…•«»©"
TOKENS = {name: index for index, name in enumerate([*SPECIAL, *LETTERS])}
ALPHABET = len(TOKENS)
# Anchors, said before a line and wherever reading moves on to another vision token; the tokenizer makes them nothing.
# Both tell shares of the page, as the position embeddings of the CLIP half do: the same in every mode.
CELL = 64  # pixels behind a vision token
ROW, ROWS = ALPHABET, 128  # where the line's middle is, from the top
COLUMN, COLUMNS = ROW + ROWS, 16  # where the vision token's middle is, from the left
TOKENS |= {f"<|y{row}|>": ROW + row for row in range(ROWS)} | {f"<|x{row}|>": COLUMN + row for row in range(COLUMNS)}
VOCABULARY = 304
LOUDNESS = 0.7  # deviation of position embeddings to begin with, beside local features of about 1

ARCHITECTURE = Architecture(
    SamConfig(layers=4, width=192, heads=6, mlp=768, global_layers=(), channels=(192, 320), neck=128, image=256,
              window=16),
    ClipConfig(layers=2, width=320, heads=5, mlp=1024, image=256, patch=16),
    DecoderConfig(
        vocabulary=VOCABULARY, width=320, layers=5, heads=5, kv_heads=5, mlp=864, dense_layers=5, experts=1,
        shared_experts=1, experts_per_token=1, expert_mlp=64, context=4096, bos=BEGIN, eos=END,
    ),
    image_token=IMAGE,
)  # fmt: skip


def encode(text: str) -> list[int]:
    """Token ids of a text, one a character."""
    return [TOKENS.get(letter, UNKNOWN) for letter in text]


def decode(ids: list[int]) -> str:
    """The characters of token ids; special tokens and anchors are left out."""
    return "".join(LETTERS[token - NEWLINE] for token in ids if NEWLINE <= token < NEWLINE + len(LETTERS))


def new_model(architecture: Architecture = ARCHITECTURE) -> Any:
    """The transformers model of these sizes in float32, with weights to start training from.

    Its vision tokens know from the start where on the page they stand: without that no decoder finds the one it wants.
    """
    from transformers.models.unlimited_ocr.modeling_unlimited_ocr import UnlimitedOcrForConditionalGeneration

    model = UnlimitedOcrForConditionalGeneration(transformers_config(architecture))
    clip = architecture.encoder
    positions = model.model.vision_tower.vision_encoder.embeddings.position_embedding.weight
    positions.data[1:] = _positions(clip.image // clip.patch, clip.width)
    return model


def _positions(grid: int, width: int) -> Any:
    """Cosines of row and column, mixed at random: smooth, so that they can be stretched to another grid."""
    import torch

    middles = (torch.arange(grid) + 0.5) / grid
    waves = torch.stack([torch.cos(math.pi * wave * middles) for wave in range(1, 13)], 1) * 2**0.5
    code = torch.cat([waves[:, None].expand(grid, grid, -1), waves[None].expand(grid, grid, -1)], -1).flatten(0, 1)
    return code @ torch.randn(code.shape[1], width) * LOUDNESS / code.shape[1] ** 0.5


def write_tokenizer(path: Path) -> None:
    """tokenizer.json: one token a character; letters outside the alphabet lose their accents or become U+FFFD.

    Anchors are decoded to nothing.
    """
    from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers

    backend = Tokenizer(models.WordLevel(vocab=TOKENS, unk_token="\ufffd"))  # noqa: S106, no password
    accents = Regex(r"\p{Mn}")
    backend.normalizer = normalizers.Sequence([normalizers.NFC(), normalizers.Replace(accents, "")])
    backend.pre_tokenizer = pre_tokenizers.Split(Regex(r"[\s\S]"), "isolated")
    backend.decoder = decoders.Sequence([decoders.Replace(Regex(r"<\|[xy]\d+\|>"), ""), decoders.Fuse()])
    backend.add_special_tokens([AddedToken(name, special=True, normalized=False) for name in SPECIAL])
    backend.save(str(path))


def write_folder(model: Any, folder: Path) -> None:
    """A checkpoint folder: config.json, generation_config.json, tokenizer.json, model.safetensors in float16."""
    import copy

    import torch
    from transformers import GenerationConfig

    folder.mkdir(parents=True, exist_ok=True)
    half = copy.deepcopy(model).to("cpu", torch.float16)
    half.generation_config = GenerationConfig(bos_token_id=BEGIN, eos_token_id=END, pad_token_id=PAD)
    half.save_pretrained(folder)
    write_tokenizer(folder / "tokenizer.json")
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps(config, indent=1))


def read_folder(folder: Path) -> Any:
    """The transformers model in a checkpoint folder that `write_folder` wrote, in float32."""
    import torch
    from transformers.models.unlimited_ocr.modeling_unlimited_ocr import UnlimitedOcrForConditionalGeneration

    return UnlimitedOcrForConditionalGeneration.from_pretrained(folder, dtype=torch.float32, local_files_only=True)
