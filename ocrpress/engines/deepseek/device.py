"""The device that reads: found by name, made current, described, and why a GPU that is here cannot be used."""

from __future__ import annotations

import importlib.util
import os
import platform
import re
import warnings
from pathlib import Path
from typing import TYPE_CHECKING

import torch

from ocrpress.engines.deepseek.attention import FLASH3
from ocrpress.errors import EngineError, UsageError

if TYPE_CHECKING:
    from ocrpress.engines.deepseek.plan import DecodePlan

BFLOAT16 = (8, 0)  # the compute capability from which on a GPU computes in it
DRIVERS = {12: 525, 13: 580}  # CUDA's major version -> the oldest driver that runs its programs
# The newest wheels for a driver: its version, torch's, the index. Blackwell needs driver 570, and CUDA 12.8 or newer.
WHEELS = ((580, "<2.15", "cu130"), (570, "==2.11.*", "cu128"), (525, "<2.15", "cu126"))
DRIVER_FILE = Path("/proc/driver/nvidia/version")
DEVICES = Path("/dev")
WSL_LIBRARY = Path("/usr/lib/wsl/lib/libcuda.so.1")  # /dev/dxg alone may be a GPU of another make
INSTEAD = "or take --device cpu or --engine rapid"


def find_device(name: str, fallback: bool = False) -> torch.device:
    """The device of a name, made ready; a GPU becomes the calling thread's current device.

    Args:
        name: "auto" (the first GPU that can be used, else the CPU), "cpu", "cuda" or "cuda:N".
        fallback: let "auto" take the CPU where there is a GPU that cannot be used.

    Raises:
        UsageError: there are no devices of such a name.
        EngineError: it is not there or cannot be used; with cause and remedy.
    """
    if name == "auto":
        try:
            gpu = find_gpu()
        except EngineError:
            if not fallback:
                raise
            gpu = None
        name = "cpu" if gpu is None else f"cuda:{gpu}"
    if not re.fullmatch(r"cpu|cuda(:\d+)?", name):
        raise UsageError(f"unknown device '{name}'", "known: auto, cpu, cuda, cuda:0, cuda:1, …")
    if name == "cpu":
        return torch.device(name)
    if not _is_available():
        find_gpu()  # says why, if there is one
    index, count = int(name.partition(":")[2] or 0), torch.cuda.device_count()
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
    if device.type == "cuda":
        torch.cuda.set_device(device)


def find_gpu() -> int | None:
    """The number of the first GPU that can be used; None if there is no GPU, or the user hides them all.

    Raises:
        EngineError: there are GPUs, but none can be used; with cause and remedy.
    """
    if not _is_available():
        if _is_visible():
            raise _unusable()
        return None
    objections = [_objection(index) for index in range(torch.cuda.device_count())]
    if None not in objections and objections[0]:
        raise objections[0]
    return objections.index(None)


def describe_device(device: torch.device) -> str:
    """A device in words: "cuda:0 (NVIDIA H100, capability 9.0, driver 580.65)"; of a CPU, why it is not the GPU."""
    if device.type == "cuda":
        major, minor = torch.cuda.get_device_capability(device)
        version = f", driver {driver()}" if driver() else ""
        return f"{device} ({torch.cuda.get_device_name(device)}, capability {major}.{minor}{version})"
    return f"{device} ({_unusable()})" if not _is_available() and _is_visible() else str(device)


def driver() -> str:
    """The version of NVIDIA's driver, like "580.65.06"; empty if it is not known, as under WSL."""
    text = DRIVER_FILE.read_text(encoding="utf-8") if DRIVER_FILE.exists() else ""
    found = re.search(r"\s(\d{3,}(?:\.\d+)+)\s", text)
    return found[1] if found else ""


def kernel_advice(device: torch.device) -> str:
    """The command that brings Hopper's own attention kernel, where it is missing and would run; else empty."""
    if device.type != "cuda" or torch.cuda.get_device_capability(device)[0] != 9:
        return ""
    # Its wheel is for this processor, and links CUDA 13.
    fits = platform.machine() == "x86_64" and _major(torch.version.cuda) >= 13
    if not fits or any(importlib.util.find_spec(name) for name in FLASH3):
        return ""
    return "FlashAttention 3, made for this GPU, is missing: run: pip install 'ocrpress[h100]'"


def start_line(plan: DecodePlan) -> str:
    """How an engine is going to decode, in one line for people."""
    return (
        f"{plan.device}: {plan.dtype}, attention: {plan.attention}, experts: {plan.experts}, CUDA graphs: "
        f"{plan.graphs}, {plan.rows} rows, KV cache of {plan.cache_tokens:,} tokens ({plan.cache_bytes / 1e9:.1f} GB)"
    ) + (f"; {plan.advice}" if plan.advice else "")


def choose_dtype(device: torch.device) -> torch.dtype:
    """bfloat16 where the device computes in it, else float32."""
    if device.type == "cuda":
        return torch.bfloat16
    abilities = torch.cpu.get_capabilities()
    return torch.bfloat16 if abilities.get("avx512_bf16") or abilities.get("bf16") else torch.float32


def _is_available() -> bool:
    """Whether torch can use a GPU; its own warning would say the same as our error."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return torch.cuda.is_available()


def _is_visible() -> bool:
    """Whether the system shows an NVIDIA GPU, and the user has not hidden them all from CUDA."""
    hidden = os.environ.get("CUDA_VISIBLE_DEVICES", "0").strip()[:1] in ("", "-")
    under_wsl = (DEVICES / "dxg").exists() and WSL_LIBRARY.exists()
    return not hidden and (under_wsl or any(DEVICES.glob("nvidia[0-9]*")))


def _objection(index: int) -> EngineError | None:
    """Why torch can use a GPU, but the engine cannot; None if it can."""
    major, minor = torch.cuda.get_device_capability(index)
    if (major, minor) >= BFLOAT16:
        return None
    cause = f"cuda:{index} ({torch.cuda.get_device_name(index)}) has compute capability {major}.{minor}"
    return EngineError(f"{cause}, and the engine deepseek needs 8.0 or newer", f"take another GPU, {INSTEAD}")


def _unusable() -> EngineError:
    """Why torch cannot use the GPU that the system shows: its build, the driver, or what torch itself says."""
    build, cuda, version = f"torch {torch.__version__}", torch.version.cuda, driver()
    has, needs = _major(version), DRIVERS.get(_major(cuda), 0)
    update = "update the driver to 580 or newer"
    install = ""
    for least, wanted, index in WHEELS:
        if not install and (least <= has or not version):  # of an unknown driver the newest is as good a guess as any
            source = f"https://download.pytorch.org/whl/{index}"
            install = f"run: pip install --force-reinstall 'torch{wanted}' --index-url {source}"
    if cuda is None:
        cause, remedy = "is built without CUDA", install or update
    elif version and has < needs:
        cause = f"with CUDA {cuda} needs driver {needs}, and {version} is installed"
        remedy = f"{update}, {install}" if install else update
    else:
        cause, remedy = "cannot start CUDA", "see what nvidia-smi says"
        try:
            torch.cuda.init()
        except Exception as error:  # whatever CUDA has to complain of
            cause = f"says: {error}"
    return EngineError(f"the GPU here cannot be used: {build} {cause}", f"{remedy}, {INSTEAD}")


def _major(version: str | None) -> int:
    return int((version or "0").partition(".")[0])
