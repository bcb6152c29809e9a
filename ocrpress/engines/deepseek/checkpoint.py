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
from ocrpress.engines.deepseek.architecture import Architecture
from ocrpress.engines.deepseek.config import CONFIG_FILE, read_architecture, transformers_config
from ocrpress.engines.deepseek.hub import find_snapshot, find_weights, is_hub_id, require
from ocrpress.engines.deepseek.tensors import ADVICE, Tensor, check_tensors, weight_files
from ocrpress.errors import EngineError, OcrpressError

if TYPE_CHECKING:
    import torch
    from transformers.models.unlimited_ocr.modeling_unlimited_ocr import UnlimitedOcrForConditionalGeneration

REFERENCE_CHECKPOINT = "unlimited-ocr"
UPDATE = "run: pip install --upgrade 'ocrpress[deepseek]'"


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
        EngineError: config.json is wrong, the card says another attention, or tensors do not fit.
    """
    architecture = read_architecture(checkpoint.folder)
    if architecture.attention != checkpoint.card.attention:
        raise EngineError(
            f"{checkpoint.folder / CONFIG_FILE} means {architecture.attention} attention, the card of "
            f"{checkpoint.card.name} {checkpoint.card.attention}",
            "they belong to different checkpoints",
        )
    return architecture, check_tensors(checkpoint.folder, architecture)


def load_model(
    checkpoint: Checkpoint, device: torch.device, dtype: torch.dtype
) -> UnlimitedOcrForConditionalGeneration:
    """The model of a checkpoint on a device, in eval mode, its parameters without gradients.

    Args:
        checkpoint: as `open_checkpoint` gave it.
        device: where the weights go.
        dtype: their type there, whatever type they have in the files.

    Raises:
        EngineError: transformers is missing or too old, config.json is wrong, tensors do not fit it, or the device
            has no room.
    """
    architecture, tensors = check_checkpoint(checkpoint)
    cls = model_class()
    from transformers import GenerationConfig

    with room_on(device, f"the weights of {checkpoint.name}"), _no_progress_bar():
        # A generation configuration of ours, or else transformers wants a file, which the published repository lacks.
        model, report = cls.from_pretrained(
            None, config=transformers_config(architecture), state_dict=_read(tensors, dtype),
            generation_config=GenerationConfig(), dtype=dtype, output_loading_info=True,
        )  # fmt: skip
        wrong = {kind: sorted(names)[:3] for kind, names in report.items() if names}
        if wrong:
            raise EngineError(f"transformers understands {checkpoint.folder} otherwise: {wrong}", UPDATE)
        return model.requires_grad_(False).eval().to(device)


def model_class() -> type[UnlimitedOcrForConditionalGeneration]:
    """Transformers' class of the architecture. Raises EngineError if it is not to be had."""
    for package in ("torch", "transformers", "safetensors"):
        require(package)
    try:
        from transformers.models.unlimited_ocr.modeling_unlimited_ocr import UnlimitedOcrForConditionalGeneration
    except ImportError as error:
        raise EngineError(f"this version of transformers lacks the architecture ({error})", UPDATE) from error
    loaded: type[UnlimitedOcrForConditionalGeneration] = UnlimitedOcrForConditionalGeneration
    return loaded


@contextmanager
def room_on(device: torch.device, what: str) -> Iterator[None]:
    """Turn a lack of memory into an EngineError that says so."""
    try:
        yield
    except (RuntimeError, MemoryError) as error:
        # On the CPU it is a RuntimeError like any other.
        if type(error).__name__ in ("OutOfMemoryError", "MemoryError") or "allocate memory" in str(error):
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
    """A folder's own card, or that of the published checkpoint whose attention its config.json has."""
    if (folder / CARD_FILE).is_file():
        return read_card(folder)
    architecture = read_architecture(folder)
    card = load_card(DEFAULT_CHECKPOINT if architecture.attention == "full" else REFERENCE_CHECKPOINT)
    # A smaller vocabulary has other tokens under these ids, or none.
    exempt = tuple(token for token in card.generation.exempt if token < architecture.decoder.vocabulary)
    return replace(
        card, name=folder.resolve().name, folder=folder, repository="", revision="", weights_here=True, weights={},
        generation=replace(card.generation, exempt=exempt),
    )  # fmt: skip


def _read(tensors: dict[str, Tensor], dtype: torch.dtype) -> dict[str, torch.Tensor]:
    """The tensors themselves: mapped from their files, copied only where the type is another."""
    from safetensors import SafetensorError, safe_open

    found: dict[str, torch.Tensor] = {}
    for path in sorted({tensor.file for tensor in tensors.values()}):
        try:
            with safe_open(path, framework="pt") as file:
                for name in (name for name, tensor in tensors.items() if tensor.file == path):
                    found[name] = file.get_tensor(name).to(dtype)
        except (SafetensorError, OSError) as error:
            raise EngineError(f"{path} cannot be read ({error})", ADVICE) from error
    return found


@contextmanager
def _no_progress_bar() -> Iterator[None]:
    """Keep transformers from drawing one of its own."""
    from transformers.utils import logging

    shown = logging.is_progress_bar_enabled()
    logging.disable_progress_bar()
    try:
        yield
    finally:
        if shown:
            logging.enable_progress_bar()
