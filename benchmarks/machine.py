"""What a benchmark says of where it ran: processor, cores, commit, versions. Shared by the scripts in this folder."""

from __future__ import annotations

import os
import platform
import subprocess
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

PACKAGES = ("ocrpress", "numpy", "openvino", "pdf2image", "pillow", "pypdfium2", "rapid-layout", "rapidocr")


def describe_machine() -> dict[str, object]:
    """Machine, commit and versions, ready for JSON."""
    return {"machine": {"processor": processor(), "cores": cores(), "python": platform.python_version()},
            "commit": commit(), "versions": versions()}  # fmt: skip


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
    """The commit of the working tree, with a plus if it has changes."""
    here = Path(__file__).parent
    try:
        head = subprocess.run(
            ["git", "rev-parse", "--short", "HEAD"], cwd=here, capture_output=True, text=True, check=True
        )
        changed = subprocess.run(["git", "status", "--porcelain"], cwd=here, capture_output=True, text=True, check=True)
    except (OSError, subprocess.CalledProcessError):
        return "unknown"
    return head.stdout.strip() + ("+" if changed.stdout.strip() else "")


def versions() -> dict[str, str]:
    """Installed versions of what the figures depend on."""
    found = {}
    for package in PACKAGES:
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            continue
    return found
