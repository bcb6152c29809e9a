"""What `doctor` finds out. Looks and asks; changes nothing, loads no model."""

from __future__ import annotations

import contextlib
import importlib.metadata
import os
import platform
import shutil
from dataclasses import dataclass
from pathlib import Path

from ocrpress import __version__
from ocrpress.engines import ENGINES
from ocrpress.errors import EngineError
from ocrpress.sources.checks import POPPLER_ADVICE

# The dependencies of pyproject.toml; a test keeps both equal.
PACKAGES = ("numpy", "openvino", "pdf2image", "pillow", "pypdfium2", "rapidocr", "rapid-layout", "tqdm")
_CGROUP_LIMITS = ("/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory/memory.limit_in_bytes")


@dataclass(frozen=True)
class Program:
    """A program of the system that ocrpress can use; `path` is None if it is not there."""

    name: str
    path: str | None
    use: str
    remedy: str


@dataclass(frozen=True)
class EngineHealth:
    """Whether an engine can run here. `notes`: why not and the one command that changes it, or what it makes use of."""

    name: str
    about: str
    runs: bool
    notes: tuple[str, ...] = ()


@dataclass(frozen=True)
class Health:
    """All findings. `memory_bytes` is what this process may use; 0 if unknown. A missing package has no version."""

    ocrpress: str
    python: str
    platform: str
    cores: int
    memory_bytes: int
    packages: dict[str, str | None]
    programs: tuple[Program, ...]
    engines: tuple[EngineHealth, ...]


def examine() -> Health:
    """Look around. Never raises for what is missing."""
    pdftoppm = Program(
        "pdftoppm", shutil.which("pdftoppm"), "second renderer, for PDF pages that pdfium cannot draw", POPPLER_ADVICE
    )
    return Health(
        ocrpress=__version__,
        python=platform.python_version(),
        platform=platform.platform(),
        cores=_cores(),
        memory_bytes=_memory(),
        packages={name: _version(name) for name in PACKAGES},
        programs=(pdftoppm,),
        engines=tuple(_engine(name, about) for name, about in ENGINES.items()),
    )


def _engine(name: str, about: str) -> EngineHealth:
    if name != "rapid":
        return EngineHealth(name, about, True)
    try:
        return EngineHealth(name, about, True, (_check_rapid(),))
    except EngineError as error:
        return EngineHealth(name, about, False, (str(error),))
    except ImportError as error:
        package = (error.name or "").partition(".")[0]
        return EngineHealth(name, about, False, (f"{error}: run: pip install {package or '--upgrade ocrpress'}",))


def _check_rapid() -> str:
    """Which arithmetic it uses. Raises EngineError or ImportError if it cannot run."""
    from ocrpress.engines.rapid.models import WEIGHTS, import_openvino, weights_path

    for role in WEIGHTS:
        weights_path(role)
    try:
        abilities = import_openvino().Core().get_property("CPU", "OPTIMIZATION_CAPABILITIES")
    except RuntimeError as error:
        raise EngineError(
            f"OpenVINO does not start ({error})", "run: pip install --force-reinstall openvino"
        ) from error
    if "BF16" in abilities:
        return "reads in bfloat16: this processor has instructions for it"
    return "reads in float32: this processor has no bfloat16 instructions (avx512_bf16, amx), which would be faster"


def _version(name: str) -> str | None:
    try:
        return importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        return None


def _cores() -> int:
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def _memory() -> int:
    """The machine's memory, or less where the container is allowed less."""
    found = []
    with contextlib.suppress(AttributeError, OSError, ValueError):  # not a POSIX system
        found.append(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES"))
    for name in _CGROUP_LIMITS:
        try:
            found.append(int(Path(name).read_text()))
        except (OSError, ValueError):
            continue  # no such limit, or "max"
    return min(found, default=0)
