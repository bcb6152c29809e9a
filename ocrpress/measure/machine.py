"""What a measurement says of where it ran: processor, cores, GPU, commit, versions. Asks; imports nothing heavy."""

from __future__ import annotations

import os
import platform
import subprocess
import sys
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
PACKAGES = (
    "ocrpress", "matplotlib", "numpy", "openvino", "pdf2image", "pillow", "pypdfium2", "rapid-layout", "rapidfuzz",
    "rapidocr", "tokenizers", "torch", "transformers",
)  # fmt: skip


def describe_machine(gpu: str = "") -> dict[str, object]:
    """Machine, commit and versions, ready for JSON.

    Args:
        gpu: name of the GPU that is used; empty if none is.
    """
    machine = {"processor": processor(), "cores": cores(), "gpu": gpu or None, "python": platform.python_version()}
    return {"machine": machine, "commit": commit(), "versions": versions()}


def gpu_name(device: str) -> str:
    """Name of a CUDA device; empty for any other, and if torch was not needed so far."""
    torch = sys.modules.get("torch")
    if torch is None or not device.startswith("cuda"):
        return ""
    return str(torch.cuda.get_device_name(device))


def processor() -> str:
    """Name of the processor, and whether it has bfloat16 instructions."""
    try:
        info = Path("/proc/cpuinfo").read_text(encoding="ascii", errors="replace")
    except OSError:
        return platform.processor() or platform.machine()
    names = [line.split(":", 1)[1].strip() for line in info.splitlines() if line.startswith("model name")]
    bfloat16 = [flag for flag in ("avx512_bf16", "amx_bf16") if flag in info]
    return " ".join([names[0] if names else platform.machine(), *bfloat16])


def cores() -> int:
    """Processor cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def commit() -> str:
    """The commit of the checkout that this code runs from, with a plus if it has changes; "unknown" if it is none."""
    try:
        # An installed package may lie inside somebody else's checkout.
        if Path(_git("rev-parse", "--show-toplevel")).resolve() != ROOT:
            return "unknown"
        return _git("rev-parse", "--short", "HEAD") + ("+" if _git("status", "--porcelain") else "")
    except (OSError, subprocess.CalledProcessError):
        return "unknown"


def versions() -> dict[str, str]:
    """Installed versions of what the figures depend on."""
    found = {}
    for package in PACKAGES:
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            continue
    return found


def _git(*arguments: str) -> str:
    done = subprocess.run(["git", *arguments], cwd=ROOT, capture_output=True, text=True, check=True)  # noqa: S607
    return done.stdout.strip()
