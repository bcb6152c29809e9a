"""Which engine `--engine auto` is, and how the engine is opened. Only the command line and the server choose."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from typing import Any

from ocrpress.engines import DEFAULT_ENGINE, DEFAULT_OPTIONS, ENGINES
from ocrpress.engines.base import EngineOptions
from ocrpress.errors import EngineError, UsageError, unknown

AUTO = "auto"
API_KEY = "OCRPRESS_API_KEY"

_MODEL = frozenset({"checkpoint", "slots", "max_tokens", "retries", "fallback"})
# The options that an engine makes use of, among those that not every engine does.
HEEDED: dict[str, frozenset[str]] = {
    "rapid": frozenset(),
    "deepseek": _MODEL | {"device"},
    "server": _MODEL | {"url", "model", "api_key", "timeout"},
    "fake": frozenset(),
}
_PARTICULAR = frozenset().union(*HEEDED.values())


@dataclass(frozen=True)
class Choice:
    """An engine by name, how it is opened, and why it was chosen; empty if the user chose it."""

    name: str
    options: EngineOptions = DEFAULT_OPTIONS
    why: str = ""


def choose_engine(name: str, given: Mapping[str, Any]) -> Choice:
    """The engine that the user means.

    Args:
        name: of `ENGINES`, or "auto".
        given: the options that the user gave, by the names that the library has for them.

    Raises:
        UsageError: an unknown name, an option that this engine does not heed, or one out of range.
    """
    if name != AUTO and name not in ENGINES:
        raise unknown("engine", name, [AUTO, *ENGINES])
    name, why = (name, "") if name != AUTO else _choose(given.get("checkpoint"))
    for option in given:
        if option in _PARTICULAR and option not in HEEDED[name]:
            others = " or ".join(f"--engine {other}" for other, heeded in HEEDED.items() if option in heeded)
            auto = f" ({AUTO}: {why})" if why else ""
            flag = f"--{option.replace('_', '-')}"
            raise UsageError(f"the engine {name}{auto} has no use for {flag}", f"leave it out, or take {others}")
    if given.get("slots", 1) < 1:
        raise UsageError(f"--slots is {given['slots']}", "it must be 1 or more")
    names = {item.name for item in fields(EngineOptions)}
    options = {option: value for option, value in given.items() if option in names}
    if "api_key" in HEEDED[name] and os.environ.get(API_KEY):
        options.setdefault("api_key", os.environ[API_KEY])
    return Choice(name, EngineOptions(**options), why)


def choose_engines(names: Sequence[str], given: Mapping[str, Any]) -> list[Choice]:
    """Several engines, each with the options that it heeds. Raises UsageError, for one that none heeds too."""
    heeded = frozenset().union(*(HEEDED.get(name, frozenset(given)) for name in names))
    return [
        choose_engine(name, {key: given[key] for key in given if key in HEEDED.get(name, given) or key not in heeded})
        for name in names
    ]


def _choose(checkpoint: str | None) -> tuple[str, str]:
    """The best engine that can run here, and why. torch is imported only if there is a checkpoint to run on it."""
    from ocrpress.engines.cards import DEFAULT_CHECKPOINT, cards
    from ocrpress.engines.deepseek.checkpoint import is_present

    if checkpoint in cards() and cards()[checkpoint].weights_here:
        return "deepseek", f"the checkpoint {checkpoint} comes with ocrpress, and is small enough for any machine"
    name = checkpoint or DEFAULT_CHECKPOINT
    if not is_present(name):
        return DEFAULT_ENGINE, f"it runs on the CPU, offline; the checkpoint {name} for deepseek is not on this machine"
    try:
        import torch

        from ocrpress.engines.deepseek.device import find_gpu

        gpu = find_gpu()
        shown = "" if gpu is None else torch.cuda.get_device_name(gpu)
    except (ImportError, OSError):  # not there, or its libraries do not load
        return DEFAULT_ENGINE, f"it runs on the CPU; the checkpoint {name} is here, but torch for deepseek is not"
    except EngineError as error:
        return DEFAULT_ENGINE, f"it runs on the CPU; the checkpoint {name} for deepseek is here, but {error}"
    if not shown:
        return DEFAULT_ENGINE, f"it runs on the CPU; the checkpoint {name} is here, but no CUDA GPU for deepseek"
    return "deepseek", f"the checkpoint {name} and a GPU ({shown}) are here"
