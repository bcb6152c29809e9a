"""How an engine is going to decode: what was found on its device, and what was chosen."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class DecodePlan:
    """What an engine decodes with.

    Attributes:
        device: in words, as `describe_device` says it.
        dtype: of weights and KV cache, like "bfloat16".
        attention: which kernel does it, like "torch's FlashAttention 2".
        experts: how the routed experts are multiplied: "grouped", "batched" or "looped".
        graphs: "captured", or why the steps are not captured in CUDA graphs.
        rows: pages decoded side by side.
        cache_tokens, cache_bytes: what the KV cache may hold in all.
        advice: a package that would pay but is missing, with the command that installs it; else empty.
    """

    device: str
    dtype: str
    attention: str
    experts: str
    graphs: str
    rows: int
    cache_tokens: int
    cache_bytes: int
    advice: str = ""
