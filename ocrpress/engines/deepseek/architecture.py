"""What a checkpoint is made of: its figures as data, and what they must be to one another. Standard library alone."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from ocrpress.errors import EngineError

IMAGE_TOKEN = 128815  # of the published tokenizer
ADVICE = "is this a checkpoint of DeepSeek-OCR's architecture? Its config.json must be the published one"


@dataclass(frozen=True)
class SamConfig:
    """The first half of the DeepEncoder: SAM's encoder and the 16× compressor. Sizes in channels, pixels or patches."""

    layers: int
    width: int
    heads: int
    mlp: int
    global_layers: tuple[int, ...]
    channels: tuple[int, int]
    neck: int = 256
    image: int = 1024
    patch: int = 16
    window: int = 14


@dataclass(frozen=True)
class ClipConfig:
    """The second half of the DeepEncoder. Sizes in channels or pixels."""

    layers: int
    width: int
    heads: int
    mlp: int
    image: int = 224
    patch: int = 14


@dataclass(frozen=True)
class QwenConfig:
    """The second half of DeepSeek-OCR-2's encoder, in the place of CLIP: Qwen2's layers over features and queries.

    Attributes:
        queries: how many trained queries there are for a view; the one for its number of features is taken.
    """

    layers: int = 24
    width: int = 896
    heads: int = 14
    kv_heads: int = 2
    mlp: int = 4864
    queries: tuple[int, int] = (144, 256)
    norm_eps: float = 1e-6
    rope_theta: float = 1e6


@dataclass(frozen=True)
class DecoderConfig:
    """The mixture-of-experts language model.

    Attributes:
        dense_layers: how many layers, from the first, have no experts.
        context: longest sequence in tokens, vision tokens and prompt included.
        sliding_window: how many of the last tokens a token sees beside image and prompt; None: it sees all.
    """

    vocabulary: int
    width: int
    layers: int
    heads: int
    kv_heads: int
    mlp: int
    dense_layers: int
    experts: int
    shared_experts: int
    experts_per_token: int
    expert_mlp: int
    context: int
    bos: int
    eos: int
    sliding_window: int | None = None
    routing: str = "greedy"
    groups: int = 1
    groups_per_token: int = 1
    routed_scale: float = 1.0
    norm_eps: float = 1e-6
    rope_theta: float = 10000.0


@dataclass(frozen=True)
class Architecture:
    """All figures of a checkpoint."""

    sam: SamConfig
    encoder: ClipConfig | QwenConfig
    decoder: DecoderConfig
    image_token: int = IMAGE_TOKEN

    @property
    def attention(self) -> Literal["full", "reference"]:
        """What the decoder's tokens see."""
        return "full" if self.decoder.sliding_window is None else "reference"

    @property
    def features(self) -> int:
        """Channels of a view's features before the projector: of both halves with CLIP, of the second with Qwen2."""
        return self.encoder.width + (self.sam.channels[-1] if isinstance(self.encoder, ClipConfig) else 0)


PUBLISHED = Architecture(
    SamConfig(layers=12, width=768, heads=12, mlp=3072, global_layers=(2, 5, 8, 11), channels=(512, 1024)),
    ClipConfig(layers=24, width=1024, heads=16, mlp=4096),
    DecoderConfig(
        vocabulary=129280, width=1280, layers=12, heads=10, kv_heads=10, mlp=6848, dense_layers=1, experts=64,
        shared_experts=2, experts_per_token=6, expert_mlp=896, context=8192, bos=0, eos=1,
    ),
)  # fmt: skip
"""DeepSeek-OCR's figures."""


def check_architecture(architecture: Architecture, source: str) -> None:
    """Raises EngineError, naming `source`, if the figures contradict one another."""
    sam, encoder, decoder = architecture.sam, architecture.encoder, architecture.decoder
    second = "CLIP" if isinstance(encoder, ClipConfig) else "Qwen2"
    rules = [
        (sam.width % sam.heads == 0, f"SAM has {sam.width} channels for {sam.heads} heads"),
        (encoder.width % encoder.heads == 0, f"{second} has {encoder.width} channels for {encoder.heads} heads"),
        (decoder.width % (2 * decoder.heads) == 0,
         f"the decoder has hidden_size {decoder.width} for {decoder.heads} heads"),
        (decoder.heads % decoder.kv_heads == 0,
         f"the decoder has {decoder.heads} heads for num_key_value_heads {decoder.kv_heads}"),
        (max(sam.global_layers, default=0) < sam.layers,
         f"SAM's global_attn_indexes {list(sam.global_layers)} exceed its {sam.layers} layers"),
        (sam.image % (4 * sam.patch) == 0, f"SAM's image_size is {sam.image}, no multiple of {4 * sam.patch}"),
        (sam.channels[-1] == encoder.width,
         f"SAM's downsample_channels end in {sam.channels[-1]}, but {second} takes {encoder.width}"),
        (decoder.dense_layers <= decoder.layers,
         f"first_k_dense_replace is {decoder.dense_layers} of {decoder.layers} layers"),
        (decoder.experts_per_token <= decoder.experts,
         f"num_experts_per_tok is {decoder.experts_per_token} of n_routed_experts {decoder.experts}"),
        (decoder.experts % decoder.groups == 0 and decoder.groups_per_token <= decoder.groups,
         f"n_group is {decoder.groups}, topk_group {decoder.groups_per_token} of {decoder.experts} experts"),
        (max(decoder.bos, decoder.eos) < decoder.vocabulary,
         f"bos_token_id {decoder.bos} or eos_token_id {decoder.eos} exceeds vocab_size {decoder.vocabulary}"),
    ]  # fmt: skip
    if isinstance(encoder, ClipConfig):
        whole = encoder.image % encoder.patch == 0
        rules.append((whole, f"CLIP's image_size is {encoder.image}, no multiple of {encoder.patch}"))
    else:
        whole = encoder.heads % encoder.kv_heads == 0 and encoder.width % (2 * encoder.heads) == 0
        heads = f"{encoder.heads} heads and num_key_value_heads {encoder.kv_heads}"
        rules.append((whole, f"Qwen2 has {encoder.width} channels for {heads}"))
    for holds, why in rules:
        if not holds:
            raise EngineError(f"{source} contradicts itself: {why}", ADVICE)
