"""What the hardware would allow: the roofline of reading pages, from a checkpoint's figures and two measured rates.

**Decoding** one token for each of S rows takes, at the least, the time in which memory gives the bytes of a step:

    bytes(S, n) = w + e · hit(S) + S · n · c          step = max(bytes / bandwidth, FLOPs / matmul rate)

    w      weights that every step reads: attention, dense layer, shared experts, routers, norms, head. Of the embedding
           only S rows are read: nothing.
    e      weights of all routed experts
    hit    share of them that S rows choose among, if each row chooses k of E by chance: 1 - (1 - k / E)^S
    n      tokens that a row sees, the mean over its answer: prompt + T / 2 with full attention
    c      keys and values of one token: 2 · layers · kv heads · head size

**Encoding and prefill** of a page take their FLOPs at the matmul rate: linear layers and convolutions 2 · weights ·
tokens, attention 4 · tokens · tokens seen · width (half of it where it is causal). SAM's padded windows and CLIP's
class token are counted, norms and activations are not.

    seconds a page = T · step / S + FLOPs(encode + prefill) / matmul rate
    pages a second = 1 / that

The two are added, as if the device did one at a time. They use different parts of it, so an engine that overlaps them
perfectly could come as near as the larger of the two: `Bound.overlapped`. Nothing is charged for activations, launches,
rendering or views. For DeepSeek-OCR in bfloat16: w + e = 5.54 GB, c = 61,440 bytes.

Standard library alone; `probe` measures the rates.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import fmean
from typing import TYPE_CHECKING

from ocrpress.engines.deepseek.architecture import ClipConfig
from ocrpress.modes import get_mode

if TYPE_CHECKING:
    from ocrpress.engines.deepseek.architecture import Architecture, DecoderConfig, QwenConfig, SamConfig
    from ocrpress.modes import Plan

PROMPT_TEXT = 10  # tokens of the prompt beside the vision sequence: the start token and the question
HALF = 2  # bytes of a bfloat16


@dataclass(frozen=True)
class Rates:
    """What a device does at best: bytes a second of its memory, and floating-point operations a second in matmuls."""

    bandwidth: float
    matmul: float


@dataclass(frozen=True)
class DecoderCost:
    """A decoder's cost in weights and operations; a weight or a cached value is one item.

    Attributes:
        fixed: weights that every step reads.
        experts: weights of all routed experts.
        chosen: share of the experts that one row chooses.
        cache: items of one token in the KV cache.
        active: weights that one token is multiplied with, the head not among them.
        head: weights of the head.
        attention: operations for each token that a token sees.
    """

    fixed: int
    experts: int
    chosen: float
    cache: int
    active: int
    head: int
    attention: int


@dataclass(frozen=True)
class Bound:
    """What the roofline says of one kind of work.

    Attributes:
        pages_per_second: encoding, prefill and decoding one after the other.
        overlapped: pages a second if encoding and prefill cost nothing while decoding lasts longer, and vice versa.
        step_seconds, step_bytes: of one decode step of all slots.
        page_flops: of encoding and prefilling one page.
    """

    pages_per_second: float
    overlapped: float
    step_seconds: float
    step_bytes: float
    page_flops: float


def bound(
    rates: Rates, architecture: Architecture, plan: Plan, slots: int, outputs: Sequence[int], item: int = HALF
) -> Bound:
    """The bound for pages of one plan.

    Args:
        slots: rows decoded side by side, 1 or more.
        outputs: tokens of the answers, one entry a page, each 1 or more.
        item: bytes of a weight and of a cached value.
    """
    decoder = architecture.decoder
    cost, prompt = decoder_cost(decoder), plan.sequence_tokens + PROMPT_TEXT
    tokens = fmean(outputs)
    seen = seen_tokens(decoder, prompt, outputs)
    hit = 1 - (1 - cost.chosen) ** slots
    step_bytes = item * (cost.fixed + cost.experts * hit + slots * seen * cost.cache)
    step_flops = slots * (2 * (cost.active + cost.head) + seen * cost.attention)
    step = max(step_bytes / rates.bandwidth, step_flops / rates.matmul)
    flops = encode_flops(architecture, plan) + prefill_flops(cost, prompt)
    decoding, encoding = tokens * step / slots, flops / rates.matmul
    return Bound(1 / (decoding + encoding), 1 / max(decoding, encoding), step, step_bytes, flops)


def seen_tokens(decoder: DecoderConfig, prompt: int, outputs: Sequence[int]) -> float:
    """How many tokens a row sees at a step, the mean over all steps of all answers."""
    window = decoder.sliding_window
    total = sum(_before(length, window) for length in outputs)
    return prompt + total / sum(outputs)


def _before(length: int, window: int | None) -> float:
    """Tokens of its own answer that a row has seen in all, over the steps of an answer."""
    if window is None or length <= window:
        return length**2 / 2
    return window**2 / 2 + (length - window) * window


def decoder_cost(decoder: DecoderConfig) -> DecoderCost:
    """A decoder's cost, counted from its figures: exact, but for the embedding, which is left out."""
    width, layers, sparse = decoder.width, decoder.layers, decoder.layers - decoder.dense_layers
    kv = decoder.kv_heads * (width // decoder.heads)
    attention = 2 * width * width + 2 * width * kv
    expert = 3 * width * decoder.expert_mlp
    router, shared = width * decoder.experts, expert * decoder.shared_experts
    plain = layers * attention + decoder.dense_layers * 3 * width * decoder.mlp + sparse * (shared + router)
    head, norms = width * decoder.vocabulary, (2 * layers + 1) * width
    return DecoderCost(
        fixed=plain + norms + head, experts=sparse * decoder.experts * expert,
        chosen=decoder.experts_per_token / decoder.experts, cache=2 * layers * kv,
        active=plain + sparse * decoder.experts_per_token * expert, head=head, attention=4 * width * layers,
    )  # fmt: skip


def prefill_flops(cost: DecoderCost, prompt: int) -> float:
    """Operations of reading a prompt of so many tokens; the head looks at its last token alone."""
    return 2 * cost.active * prompt + 2 * cost.head + cost.attention * prompt**2 / 2


def encode_flops(architecture: Architecture, plan: Plan) -> float:
    """Operations of encoding one page's views."""
    mode = get_mode(plan.mode)
    return _view_flops(architecture, mode.view) + plan.tiles * _view_flops(architecture, mode.tile)


def _view_flops(architecture: Architecture, side: int) -> float:
    """Operations of encoding one view of side × side pixels."""
    if not side:
        return 0.0
    sam, encoder = architecture.sam, architecture.encoder
    across = side // sam.patch
    tokens = across**2 // 16
    projector = 2 * tokens * architecture.features * architecture.decoder.width
    second = _clip_flops(encoder, tokens) if isinstance(encoder, ClipConfig) else _qwen_flops(encoder, tokens)
    return _sam_flops(sam, across) + second + projector


def _sam_flops(sam: SamConfig, across: int) -> float:
    """SAM, its neck and the compressor, for a view of across × across patches."""
    patches, width = across**2, sam.width
    padded = (math.ceil(across / sam.window) * sam.window) ** 2
    linear = 2 * patches * (4 * width * width + 2 * width * sam.mlp)
    windows = 4 * padded * sam.window**2 * width
    everywhere = 4 * patches * patches * width
    whole = len(set(sam.global_layers))
    embedding = 2 * patches * 3 * sam.patch**2 * width
    neck = 2 * patches * (width * sam.neck + 9 * sam.neck**2)
    first, second = sam.channels
    compressor = 2 * 9 * (patches // 4 * sam.neck * first + patches // 16 * first * second)
    return sam.layers * linear + (sam.layers - whole) * windows + whole * everywhere + embedding + neck + compressor


def _qwen_flops(qwen: QwenConfig, tokens: int) -> float:
    """Qwen2 over so many features, which see one another, and as many queries, which see them and those before."""
    width, kv = qwen.width, qwen.kv_heads * qwen.width // qwen.heads
    linear = 2 * (2 * tokens) * (2 * width * width + 2 * width * kv + 3 * width * qwen.mlp)
    return qwen.layers * (linear + 4 * 2.5 * tokens**2 * width)


def _clip_flops(clip: ClipConfig, tokens: int) -> float:
    """CLIP over so many features and its class token."""
    count, width = tokens + 1, clip.width
    return clip.layers * (2 * count * (4 * width * width + 2 * width * clip.mlp) + 4 * count**2 * width)
