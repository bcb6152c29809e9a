"""The fused decode attention with per-row lengths, where one is installed: FlashAttention 3 on Hopper, else 2."""

from __future__ import annotations

import importlib
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

HOPPER = (9, 0)
AMPERE = (8, 0)
# Module and the compute capabilities it was built for: [first, first that it no longer covers).
KERNELS = (
    ("flash_attn_interface", HOPPER, (10, 0)),
    ("fa3_fwd_interface", HOPPER, (10, 0)),
    ("flash_attn", AMPERE, (99, 0)),
)


@dataclass(frozen=True)
class FlashAttention:
    """`flash_attn_with_kvcache` of either version.

    Attributes:
        name: of the module that it comes from.
    """

    name: str
    kernel: Callable[..., Any]

    def __call__(self, q: Tensor, keys: Tensor, values: Tensor, lengths: Tensor) -> Tensor:
        """Attention of one new token a row, whose key and value are in the cache already, at position lengths[i].

        Args:
            q: (rows, 1, heads, head_dim).
            keys, values: (rows, capacity, kv_heads, head_dim).
            lengths: (rows,), below the capacity.
        """
        output: Tensor = self.kernel(q, keys, values, cache_seqlens=(lengths + 1).int(), causal=True)
        return output


def find_flash(device: torch.device, dtype: torch.dtype) -> FlashAttention | None:
    """The kernel to use on this device, or None: then SDPA does it."""
    if device.type != "cuda" or dtype not in (torch.bfloat16, torch.float16):
        return None
    capability = torch.cuda.get_device_capability(device)
    for name, first, beyond in KERNELS:
        if first <= capability < beyond:
            try:
                kernel = importlib.import_module(name).flash_attn_with_kvcache
            except (ImportError, AttributeError, OSError):  # not there, or built for another torch
                continue
            return FlashAttention(name, kernel)
    return None
