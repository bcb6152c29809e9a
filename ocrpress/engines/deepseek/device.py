"""The device that reads: found by name, made current in a thread, described, and why a GPU that is here cannot be used.

torch is imported where it is asked: the command line looks here before it knows whether torch is installed.
"""

from __future__ import annotations

import importlib.util
import os
import platform
import re
import warnings
from pathlib import Path
from typing import TYPE_CHECKING

from ocrpress.errors import EngineError

if TYPE_CHECKING:
    import torch

    from ocrpress.engines.deepseek.plan import DecodePlan

BFLOAT16 = (8, 0)  # the compute capability from which on a GPU computes in it
HOPPER = 9
DRIVERS = {12: 525, 13: 580}  # CUDA's major version -> the oldest driver that runs its programs
# The newest wheels for a driver: its version, torch's, the index. Blackwell needs driver 570, and CUDA 12.8 or newer.
WHEELS = ((580, "<2.15", "cu130"), (570, "==2.11.*", "cu128"), (525, "<2.15", "cu126"))
DRIVER_FILE = Path("/proc/driver/nvidia/version")
DEVICES = Path("/dev")
WSL_LIBRARY = Path("/usr/lib/wsl/lib/libcuda.so.1")  # /dev/dxg alone may be a GPU of another make
INSTEAD = "or take --device cpu or --engine rapid"
FLASH_3 = ("flash_attn_interface", "fa3_fwd_interface")
KNOWN = "known: auto, cpu, cuda, cuda:0, cuda:1, …"


def find_device(name: str, fallback: bool = False) -> torch.device:
    """The device of a name, made ready; a GPU becomes the calling thread's current device.

    Args:
        name: "auto" (the first GPU that can be used, else the CPU), "cpu", "cuda" or "cuda:N".
        fallback: let "auto" take the CPU where there is a GPU that cannot be used.

    Raises:
        EngineError: it is not there or cannot be used; with cause and remedy.
    """
    import torch

    if name == "auto":
        try:
            gpu = find_gpu()
        except EngineError:
            if not fallback:
                raise
            gpu = None
        name = "cpu" if gpu is None else f"cuda:{gpu}"
    try:
        device = torch.device(name)
    except RuntimeError as error:
        raise EngineError(f"unknown device '{name}'", KNOWN) from error
    if device.type == "cpu":
        return device
    if device.type != "cuda":
        raise EngineError(f"device '{name}' is not supported", KNOWN)
    if not _is_available():
        find_gpu()  # says why, if there is one
    index, count = device.index or 0, torch.cuda.device_count()
    if index >= count:
        raise EngineError(f"there is no device '{name}': torch sees {count} GPUs", "take --device cpu")
    if objection := _objection(index):
        raise objection
    device = torch.device("cuda", index)
    use_device(device)
    # torch ≥ 2.11 prefers cuDNN's on Hopper: with one query and a mask of −inf it is not to be relied upon.
    torch.backends.cuda.enable_cudnn_sdp(False)
    return device


def use_device(device: torch.device) -> None:
    """Make a GPU the calling thread's current device, which every new thread has to do; of a CPU, nothing."""
    import torch

    if device.type == "cuda":
        torch.cuda.set_device(device)


def find_gpu() -> int | None:
    """The number of the first GPU that can be used; None if there is no GPU, or the user hides them all.

    Raises:
        EngineError: there are GPUs, but none can be used; with cause and remedy.
    """
    import torch

    if not _is_available():
        if _is_visible():
            raise _unusable()
        return None
    objections = [_objection(index) for index in range(torch.cuda.device_count())]
    if None in objections:
        return objections.index(None)
    raise objections[0] or EngineError("torch sees no GPU")


def describe_device(device: torch.device) -> str:
    """A device in words: "cuda:0 (NVIDIA H100, capability 9.0, driver 580.65)"; of a CPU, why it is not the GPU."""
    import torch

    if device.type == "cuda":
        major, minor = torch.cuda.get_device_capability(device)
        version = driver()
        return f"{device} ({torch.cuda.get_device_name(device)}, capability {major}.{minor}" + (
            f", driver {version})" if version else ")"
        )
    return f"{device} ({_unusable()})" if not _is_available() and _is_visible() else str(device)


def driver() -> str:
    """The version of NVIDIA's driver, like "580.65.06"; empty if it is not known."""
    try:
        found = re.search(r"\s(\d{3,}(?:\.\d+)+)\s", DRIVER_FILE.read_text(encoding="utf-8"))
    except OSError:  # none, or WSL
        return ""
    return found[1] if found else ""


def kernel_advice(device: torch.device) -> str:
    """The command that brings Hopper's own attention kernel, where it is missing and would run; else empty."""
    import torch

    if device.type != "cuda" or torch.cuda.get_device_capability(device)[0] != HOPPER:
        return ""
    # Its wheel is for this processor, and links CUDA 13.
    fits = platform.machine() == "x86_64" and int((torch.version.cuda or "0").partition(".")[0]) >= 13
    if not fits or any(importlib.util.find_spec(name) for name in FLASH_3):
        return ""
    return "FlashAttention 3 is missing (20 pages/s against 13 by our estimate): run: pip install 'ocrpress[h100]'"


def start_line(plan: DecodePlan) -> str:
    """How an engine is going to decode, in one line for people."""
    return (
        f"{plan.device}: {plan.dtype}, attention: {plan.attention}, experts: {plan.experts}, CUDA graphs: "
        f"{plan.graphs}, {plan.rows} rows, KV cache of {plan.cache_tokens:,} tokens ({plan.cache_bytes / 1e9:.1f} GB)"
    ) + (f"; {plan.advice}" if plan.advice else "")


def choose_dtype(device: torch.device) -> torch.dtype:
    """bfloat16 where the device computes in it, else float32."""
    import torch

    if device.type == "cuda":
        return torch.bfloat16
    abilities = torch.cpu.get_capabilities()
    return torch.bfloat16 if abilities.get("avx512_bf16") or abilities.get("bf16") else torch.float32


def _is_available() -> bool:
    """Whether torch can use a GPU; its own warning would say the same as our error."""
    import torch

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return torch.cuda.is_available()


def _is_visible() -> bool:
    """Whether the system shows an NVIDIA GPU, and the user has not hidden them all from CUDA."""
    shown = os.environ.get("CUDA_VISIBLE_DEVICES")
    if shown is not None and (not shown.strip() or shown.strip().startswith("-")):
        return False
    return any(DEVICES.glob("nvidia[0-9]*")) or ((DEVICES / "dxg").exists() and WSL_LIBRARY.exists())


def _objection(index: int) -> EngineError | None:
    """Why torch can use a GPU, but the engine cannot; None if it can."""
    import torch

    major, minor = torch.cuda.get_device_capability(index)
    if (major, minor) >= BFLOAT16:
        return None
    return EngineError(
        f"cuda:{index} ({torch.cuda.get_device_name(index)}) has compute capability {major}.{minor}, and the engine "
        "deepseek needs 8.0 or newer for bfloat16",
        f"take another GPU, {INSTEAD}",
    )


def _unusable() -> EngineError:
    """Why torch cannot use the GPU that the system shows: its build, the driver, or what torch itself says."""
    import torch

    build, cuda, version = f"torch {torch.__version__}", torch.version.cuda, driver()
    has = int(version.partition(".")[0] or 0)
    needs = DRIVERS.get(int(cuda.partition(".")[0]), 0) if cuda else 0
    update = f"update the driver to {WHEELS[0][0]} or newer"
    # Of an unknown driver the newest wheel is as good a guess as any.
    fitting = [wheel for wheel in WHEELS if wheel[0] <= (has or WHEELS[0][0])]
    install = "".join(
        f"run: pip install --force-reinstall 'torch{wanted}' --index-url https://download.pytorch.org/whl/{index}"
        for _, wanted, index in fitting[:1]
    )
    if cuda is None:
        cause, remedies = f"{build} is built without CUDA", [install or update]
    elif has and has < needs:
        cause, remedies = (
            f"{build} with CUDA {cuda} needs driver {needs}, and {version} is installed",
            [update, install],
        )
    else:
        cause, remedies = f"{build} says: {_words_of_torch()}", ["see what nvidia-smi says"]
    return EngineError(f"the GPU here cannot be used: {cause}", ", ".join([*filter(None, remedies), INSTEAD]))


def _words_of_torch() -> str:
    import torch

    try:
        torch.cuda.init()
    except Exception as error:  # whatever CUDA has to complain of
        return " ".join(str(error).split()).rstrip(".")
    return "no GPU is available"
