"""The mission's engine: DeepSeek-OCR, and checkpoints of its architecture, in process.

    checkpoint ──▶ Encoder (vision, sam) ─┐
                                          ├─▶ DeepseekEngine ◀── Scheduler ◀── Slots ◀── KVCache, n-gram rule, draw
    checkpoint ──▶ Decoder (experts) ─────┘

Importing this file imports no torch; `open_deepseek` does.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from ocrpress.engines.deepseek.hub import INSTALL
from ocrpress.errors import EngineError, UsageError

if TYPE_CHECKING:
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
