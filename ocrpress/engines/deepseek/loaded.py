"""A model in memory with what belongs to it. Engines are opened from it: one by users, several by benchmarks."""

from __future__ import annotations

import gc
from dataclasses import dataclass
from typing import Any

import torch

from ocrpress.engines.base import EngineOptions
from ocrpress.engines.cards import Card
from ocrpress.engines.deepseek.architecture import Architecture
from ocrpress.engines.deepseek.checkpoint import load_model, open_checkpoint
from ocrpress.engines.deepseek.config import read_architecture
from ocrpress.engines.deepseek.device import choose_dtype, find_device, use_device
from ocrpress.engines.deepseek.engine import DeepseekEngine
from ocrpress.engines.deepseek.tensors import weight_files
from ocrpress.engines.deepseek.tokenizer import TextCodec, Tokenizer
from ocrpress.errors import UsageError

SMALL = 2**30  # bytes of weights below which the CPU will do, where the GPU cannot be used


@dataclass(frozen=True)
class Loaded:
    """A model on its device, and what an engine needs beside it.

    Attributes:
        model: UnlimitedOcrForConditionalGeneration, in eval mode.
        noise: its weights are random, so that its text means nothing.
    """

    model: Any
    tokenizer: TextCodec
    card: Card
    architecture: Architecture
    noise: bool

    @property
    def device(self) -> torch.device:
        """Where the weights lie."""
        device: torch.device = self.model.lm_head.weight.device
        return device

    @property
    def dtype(self) -> torch.dtype:
        """Of the weights."""
        dtype: torch.dtype = self.model.lm_head.weight.dtype
        return dtype

    def open(self, slots: int | None = None) -> DeepseekEngine:
        """The engine over this model. Close it before another one is opened. Raises EngineError."""
        gc.collect()
        use_device(self.device)  # this may be another thread than the one that loaded it
        if self.device.type == "cuda":
            torch.cuda.empty_cache()
        return DeepseekEngine(self.model, self.tokenizer, self.card, slots)


def load(options: EngineOptions) -> Loaded:
    """The model that the engine deepseek would read with.

    Raises:
        UsageError: no checkpoint is so called, or random weights are asked for.
        EngineError: packages, checkpoint or device are missing or do not fit.
    """
    if options.random_weights:
        raise UsageError("random weights read nothing", "run: ocrpress bench --random-weights")
    checkpoint = open_checkpoint(options.checkpoint)
    size = sum(file.stat().st_size for file in weight_files(checkpoint.folder))
    device = find_device(options.device, fallback=size < SMALL)
    architecture = read_architecture(checkpoint.folder)
    tokenizer = Tokenizer(checkpoint.folder)  # before the weights: it is quick, and may be missing
    model = load_model(checkpoint, device, choose_dtype(device))
    return Loaded(model, tokenizer, checkpoint.card, architecture, noise=False)
