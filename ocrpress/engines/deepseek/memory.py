"""How much of the device's memory the KV cache may take, and how many slots share it."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import torch

if TYPE_CHECKING:
    from ocrpress.engines.deepseek.decoder import Decoder

MOST_SLOTS = 256  # beyond, the step takes longer and the pages per second hardly rise
SLOTS_ON_CPU = 8
TYPICAL_TOKENS = 1280  # of a page, prompt and answer
OF_FREE_GPU_MEMORY = 0.9
FOR_ENCODING = 6 * 2**30  # bytes left for the encoder's activations and the decoder's scores
OF_CPU_MEMORY = 0.25


def is_out_of_memory(error: BaseException) -> bool:
    """Whether an error says that there is no memory: libraries of CUDA and the CPU use words of their own."""
    words = ("out of memory", "allocate memory", "ALLOC_FAILED")
    return isinstance(error, (MemoryError, torch.OutOfMemoryError)) or any(each in str(error) for each in words)


def token_budget(decoder: Decoder) -> int:
    """Tokens that the KV cache may hold in all, after the weights are in place; 1 or more."""
    if decoder.device.type == "cuda":
        torch.cuda.empty_cache()  # what loading held and no longer needs would count as taken
        free, _ = torch.cuda.mem_get_info(decoder.device)
        usable = max(free * OF_FREE_GPU_MEMORY - FOR_ENCODING, free / 4)
    else:
        usable = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") * OF_CPU_MEMORY
    return max(1, int(usable) // decoder.sizes.cache_bytes(decoder.dtype))


def fit_slots(decoder: Decoder, budget: int) -> int:
    """How many slots to open where the user did not say."""
    most = MOST_SLOTS if decoder.device.type == "cuda" else SLOTS_ON_CPU
    return max(1, min(most, budget // TYPICAL_TOKENS))
