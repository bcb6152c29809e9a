"""The mission's engine: DeepSeek-OCR, and checkpoints of its architecture, in process.

    checkpoint ──▶ Encoder (vision, sam) ─┐
                                          ├─▶ DeepseekEngine ◀── Scheduler ◀── Slots ◀── KVCache, n-gram rule, draw
    checkpoint ──▶ Decoder (experts) ─────┘

Everything here but this file may import torch: only `open_deepseek` imports it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from ocrpress.engines.deepseek.hub import INSTALL
from ocrpress.errors import EngineError, UsageError

if TYPE_CHECKING:
    import torch

    from ocrpress.engines.base import EngineOptions
    from ocrpress.engines.deepseek.engine import DeepseekEngine


def open_deepseek(options: EngineOptions) -> DeepseekEngine:
    """The engine with its checkpoint loaded.

    Raises:
        UsageError: an option is out of range, or no checkpoint is so called.
        EngineError: packages, checkpoint or device are missing or do not fit.
    """
    try:
        import torch  # noqa: F401, to find out now
        import transformers  # noqa: F401
    except ImportError as error:
        raise EngineError(f"the engine deepseek needs {error.name}, which is not installed", INSTALL) from error
    from ocrpress.engines.deepseek.loaded import load

    if options.slots is not None and options.slots < 1:
        raise UsageError(f"{options.slots} slots are out of range", "it must be 1 or more")
    return load(options).open(options.slots)


def find_device(name: str) -> torch.device:
    """The torch device of "auto", "cpu", "cuda" or "cuda:N". Raises EngineError if it is not there."""
    import torch

    if name == "auto":
        name = "cuda" if torch.cuda.is_available() else "cpu"
    try:
        device = torch.device(name)
    except RuntimeError as error:
        raise EngineError(f"unknown device '{name}'", "known: auto, cpu, cuda, cuda:0, cuda:1, …") from error
    if device.type not in ("cpu", "cuda"):
        raise EngineError(f"device '{name}' is not supported", "known: auto, cpu, cuda, cuda:0, cuda:1, …")
    if device.type == "cuda":
        index, count = device.index or 0, torch.cuda.device_count()
        if index >= count:
            raise EngineError(f"there is no device '{name}': torch sees {count} GPUs", "take --device cpu")
        torch.cuda.set_device(index)
        return torch.device("cuda", index)
    return device


def choose_dtype(device: torch.device) -> torch.dtype:
    """bfloat16 where the device computes in it, else float32."""
    import torch

    if device.type == "cuda":
        return torch.bfloat16
    abilities = torch.cpu.get_capabilities()
    return torch.bfloat16 if abilities.get("avx512_bf16") or abilities.get("bf16") else torch.float32
