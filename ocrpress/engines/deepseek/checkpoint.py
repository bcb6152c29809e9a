"""A checkpoint: found by name, judged by its headers, loaded. No download, no remote code, safetensors only.

`open_checkpoint` says which folder and which card; `load_model` checks config.json and every tensor's name and shape
first, and loads only what fits exactly.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from ocrpress.engines.cards import CARD_FILE, DEFAULT_CHECKPOINT, Card, cards, load_card, read_card
from ocrpress.engines.deepseek.architecture import Architecture, QwenConfig
from ocrpress.engines.deepseek.config import CONFIG_FILE, read_architecture, transformers_config
from ocrpress.engines.deepseek.hub import UPDATE, find_snapshot, find_weights, is_hub_id, require
from ocrpress.engines.deepseek.tensors import Tensor, check_tensors, read_headers, weight_files
from ocrpress.errors import EngineError, OcrpressError

if TYPE_CHECKING:
    import torch
    from transformers import PreTrainedModel
    from transformers.models.deepseek_ocr2.configuration_deepseek_ocr2 import DeepseekOcr2Config
    from transformers.models.unlimited_ocr.configuration_unlimited_ocr import UnlimitedOcrConfig

REFERENCE_CHECKPOINT, QWEN_CHECKPOINT = "unlimited-ocr", "deepseek-ocr-2"


@dataclass(frozen=True)
class Checkpoint:
    """A checkpoint on this machine.

    Attributes:
        name: the card's, the folder's or the repository's.
        folder: holds config.json, tokenizer.json and the safetensors.
        card: its own, or that of the published checkpoint of the same architecture.
    """

    name: str
    folder: Path
    card: Card


def open_checkpoint(name: str | None = None) -> Checkpoint:
    """The checkpoint of that name.

    Args:
        name: a card's name, a folder, or a hub id ("owner/name") that has been pulled; None takes the default.

    Raises:
        UsageError: no card, folder or hub id is so called; the message has the nearest known name.
        EngineError: it is not on this machine, or not complete; the message says how to get it.
    """
    name = name or DEFAULT_CHECKPOINT
    if name in cards():
        card = load_card(name)
        return Checkpoint(name, _complete(find_weights(card), name), card)
    folder = Path(name).expanduser()
    if folder.is_dir():
        return Checkpoint(folder.resolve().name, folder, _card_of(folder))
    if folder.exists():
        raise EngineError(f"{name} is a file", "a checkpoint is a folder: give that")
    if is_hub_id(name):
        found = _complete(find_snapshot(name), name)
        return Checkpoint(name, found, replace(_card_of(found), name=name))
    return Checkpoint(name, folder, load_card(name))  # which raises


def is_present(name: str) -> bool:
    """Whether `open_checkpoint` would find it, complete; quick, and without torch. False for an unknown name."""
    try:
        return bool(weight_files(open_checkpoint(name).folder))
    except OcrpressError:
        return False


def check_checkpoint(checkpoint: Checkpoint) -> tuple[Architecture, dict[str, Tensor]]:
    """Its figures, and its tensors by published name; reads headers alone.

    Raises:
        EngineError: config.json is wrong, the card says another attention or encoder, or tensors do not fit.
    """
    architecture = read_architecture(checkpoint.folder)
    if architecture.attention != checkpoint.card.attention:
        raise EngineError(
            f"{checkpoint.folder / CONFIG_FILE} means {architecture.attention} attention, the card of "
            f"{checkpoint.card.name} {checkpoint.card.attention}",
            "they belong to different checkpoints",
        )
    if isinstance(architecture.encoder, QwenConfig) != (checkpoint.card.modes == ("dynamic",)):
        raise EngineError(
            f"{checkpoint.folder / CONFIG_FILE} and the modes of the card of {checkpoint.card.name} do not fit",
            "'dynamic', and no other mode, is that of DeepSeek-OCR-2's encoder",
        )
    return architecture, check_tensors(checkpoint.folder, architecture, checkpoint.card.skip)


def load_model(checkpoint: Checkpoint, device: torch.device, dtype: torch.dtype) -> PreTrainedModel:
    """The model of a checkpoint on a device, in eval mode, its parameters without gradients.

    Its memory is taken on the device first; then each tensor goes from its file to its place there.

    Args:
        checkpoint: as `open_checkpoint` gave it.
        device: where the weights go.
        dtype: their type there, whatever type they have in the files.

    Raises:
        EngineError: transformers is missing or too old, config.json is wrong, tensors do not fit it, or the device
            has no room.
    """
    architecture, tensors = check_checkpoint(checkpoint)
    model_class(isinstance(architecture.encoder, QwenConfig))
    from ocrpress.engines.deepseek.weights import fill

    with room_on(device, f"the weights of {checkpoint.name}"):
        model = empty_model(transformers_config(architecture), device, dtype)
        fill(model, tensors)
    return model


def model_class(qwen: bool = False) -> type[PreTrainedModel]:
    """Transformers' class of the architecture: DeepSeek-OCR-2's with `qwen`, else Unlimited-OCR's, which is
    DeepSeek-OCR's too. Raises EngineError if it is not to be had.
    """
    for package in ("torch", "transformers", "safetensors"):
        require(package)
    found: type[PreTrainedModel]
    try:
        if qwen:
            from transformers.models.deepseek_ocr2.modeling_deepseek_ocr2 import DeepseekOcr2ForConditionalGeneration

            found = DeepseekOcr2ForConditionalGeneration
        else:
            from transformers.models.unlimited_ocr.modeling_unlimited_ocr import UnlimitedOcrForConditionalGeneration

            found = UnlimitedOcrForConditionalGeneration
    except ImportError as error:
        raise EngineError(f"this version of transformers lacks the architecture ({error})", UPDATE) from error
    return found


def empty_model(
    config: UnlimitedOcrConfig | DeepseekOcr2Config, device: torch.device, dtype: torch.dtype
) -> PreTrainedModel:
    """A model in eval mode whose parameters, without gradients, hold whatever was in memory; its buffers are right."""
    cls = model_class(config.model_type == "deepseek_ocr2")
    import torch
    from transformers.initialization import no_init_weights

    kept = torch.get_default_dtype()
    try:
        torch.set_default_dtype(dtype)
        with torch.device(device), no_init_weights():
            model = cls(config)
    finally:
        torch.set_default_dtype(kept)
    for parameter in model.parameters():  # the routers' are made in a type of their own
        parameter.data = parameter.data.to(dtype)
    return model.requires_grad_(False).eval()


@contextmanager
def room_on(device: torch.device, what: str) -> Iterator[None]:
    """Turn a lack of memory into an EngineError that says so."""
    from ocrpress.engines.deepseek.memory import is_out_of_memory

    try:
        yield
    except (RuntimeError, MemoryError) as error:
        if is_out_of_memory(error):
            raise EngineError(
                f"{device} has no room for {what}", "free its memory, or take another --device"
            ) from error
        raise


def _complete(folder: Path | None, name: str) -> Path:
    """The folder of a name, if all of its weights are there."""
    if folder is None:
        raise EngineError(f"the checkpoint {name} is not on this machine", f"run: ocrpress pull {name}")
    try:
        weight_files(folder)
    except EngineError as error:
        raise EngineError(
            f"the checkpoint {name} is not complete ({error.message})", f"run: ocrpress pull {name}"
        ) from error
    return folder


def _card_of(folder: Path) -> Card:
    """A folder's own card, or that of the published checkpoint whose encoder, attention and surplus tensors it has."""
    if (folder / CARD_FILE).is_file():
        return read_card(folder)
    architecture = read_architecture(folder)
    if isinstance(architecture.encoder, QwenConfig):
        card = load_card(QWEN_CHECKPOINT)
    elif architecture.attention == "reference":
        card = load_card(REFERENCE_CHECKPOINT)
    else:
        names = _tensor_names(folder)
        alike = (card for card in cards().values() if any(name.startswith(card.skip) for name in names))
        card = next(alike, load_card(DEFAULT_CHECKPOINT))
    # A smaller vocabulary has other tokens under these ids, or none.
    exempt = tuple(token for token in card.generation.exempt if token < architecture.decoder.vocabulary)
    return replace(
        card, name=folder.resolve().name, folder=folder, repository="", revision="", weights_here=True, weights={},
        generation=replace(card.generation, exempt=exempt),
    )  # fmt: skip


def _tensor_names(folder: Path) -> tuple[str, ...]:
    """Of all tensors in a folder; none where they cannot be read, which is complained of when they are needed."""
    try:
        return tuple(read_headers(folder))
    except EngineError:
        return ()
