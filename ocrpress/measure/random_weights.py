"""A model of the published size whose weights are noise: honest for speed and memory, and good for nothing else.

Built on the device in its own type, so that neither a download nor a copy in float32 is needed.
"""

from __future__ import annotations

import math
import re
import zlib
from collections.abc import Sequence
from typing import TYPE_CHECKING

import torch

from ocrpress.engines.deepseek.architecture import PUBLISHED
from ocrpress.engines.deepseek.checkpoint import empty_model, room_on
from ocrpress.engines.deepseek.config import transformers_config

if TYPE_CHECKING:
    from transformers import PreTrainedModel
    from transformers.models.deepseek_ocr2.configuration_deepseek_ocr2 import DeepseekOcr2Config
    from transformers.models.unlimited_ocr.configuration_unlimited_ocr import UnlimitedOcrConfig

SEED = 20251020
SMALL = 0.02  # standard deviation of biases and of single vectors


def random_model(
    device: torch.device, dtype: torch.dtype, config: UnlimitedOcrConfig | DeepseekOcr2Config | None = None
) -> PreTrainedModel:
    """A model of random weights in eval mode, its parameters without gradients; the same each time on the same device.

    Norms are 1, matrices have the variance 1 / inputs: activations keep their size from layer to layer, and the
    experts are chosen about equally often.

    Args:
        device: where it is built.
        dtype: type of its parameters.
        config: sizes; None takes DeepSeek-OCR's (3.34e9 parameters, 6.7 GB in bfloat16).

    Raises:
        EngineError: transformers is missing or too old, or the device has no room.
    """
    with room_on(device, "the weights"):
        model = empty_model(config or transformers_config(PUBLISHED), device, dtype)
    generator = torch.Generator(device).manual_seed(SEED)
    for name, parameter in model.named_parameters():
        _fill(name, parameter, generator)
    return model


def _fill(name: str, parameter: torch.Tensor, generator: torch.Generator) -> None:
    """One parameter, in place."""
    if parameter.dim() == 1 and "norm" in name:
        parameter.fill_(float(name.endswith("weight")))
    elif parameter.dim() == 1:
        parameter.normal_(0, SMALL, generator=generator)
    else:
        # A stack of experts holds one matrix an expert, a convolution one an output channel.
        stacked = ".experts." in name
        inputs = parameter.shape[-1] if stacked else math.prod(parameter.shape[1:])
        parameter.normal_(0, inputs**-0.5, generator=generator)


class NoiseTokenizer:
    """For a model of random weights: prompts as long as they really are, and text that nobody takes for a reading.

    Args:
        vocabulary: of the model; ids stay below it.
    """

    def __init__(self, vocabulary: int = 129280) -> None:
        self.bos, self.end = 0, 1
        self.image = min(128815, vocabulary - 1)
        self._words = self.image - 2

    def encode(self, text: str) -> list[int]:
        """One id a special token, word or mark, as the published tokenizer gives for its own prompts."""
        pieces = re.findall(r"<\|[^|]*\|>| ?\w+|[^\w\s]|\s", text)
        return [2 + zlib.crc32(piece.encode()) % self._words for piece in pieces]

    def decode(self, ids: Sequence[int]) -> str:
        """The ids themselves, marked as noise."""
        return " ".join(f"noise{token}" for token in ids if token not in (self.bos, self.end))
