"""A model loaded once and measured in several engines: ours with any number of slots, transformers' `generate`."""

from __future__ import annotations

import torch

from ocrpress.engines.base import EngineOptions
from ocrpress.engines.cards import DEFAULT_CHECKPOINT, load_card
from ocrpress.engines.deepseek import loaded
from ocrpress.engines.deepseek.architecture import PUBLISHED, Architecture, ClipConfig, DecoderConfig, SamConfig
from ocrpress.engines.deepseek.attention import choose_attention
from ocrpress.engines.deepseek.config import transformers_config
from ocrpress.engines.deepseek.device import choose_dtype, find_device
from ocrpress.engines.deepseek.loaded import Loaded
from ocrpress.measure.random_weights import NoiseTokenizer, random_model

__all__ = ["SMALL", "Loaded", "attention_of", "load", "load_small"]

# Small enough for a CPU, with an encoder so cheap that decoding is most of the work. Widths are multiples of 16 bytes,
# as the grouped products of a GPU want them.
SMALL = Architecture(
    SamConfig(layers=2, width=64, heads=2, mlp=128, global_layers=(1,), channels=(64, 128), neck=32),
    ClipConfig(layers=1, width=128, heads=4, mlp=256),
    DecoderConfig(
        vocabulary=1024, width=128, layers=3, heads=2, kv_heads=2, mlp=256, dense_layers=1, experts=8,
        shared_experts=2, experts_per_token=2, expert_mlp=64, context=2048, bos=0, eos=1,
    ),
    image_token=1023,
)  # fmt: skip


def load_small(device: torch.device, dtype: torch.dtype, architecture: Architecture = SMALL) -> Loaded:
    """A small model of random weights, with the card of the default checkpoint."""
    model = random_model(device, dtype, transformers_config(architecture))
    tokenizer = NoiseTokenizer(architecture.decoder.vocabulary)
    return Loaded(model, tokenizer, load_card(DEFAULT_CHECKPOINT), architecture, noise=True)


def load(options: EngineOptions) -> Loaded:
    """The model that the engine deepseek would read with, or noise of the published size.

    Raises:
        UsageError: no checkpoint is so called.
        EngineError: packages, checkpoint or device are missing or do not fit.
    """
    if not options.random_weights:
        return loaded.load(options)
    card, device = load_card(options.checkpoint or DEFAULT_CHECKPOINT), find_device(options.device)
    return Loaded(random_model(device, choose_dtype(device)), NoiseTokenizer(), card, PUBLISHED, noise=True)


def attention_of(found: Loaded) -> str:
    """Which kernel does the attention of a decoding step."""
    decoder = found.architecture.decoder
    shape = decoder.heads, decoder.kv_heads, decoder.width // decoder.heads
    return choose_attention(found.device, found.dtype, *shape).name
