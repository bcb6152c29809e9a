"""The engines, and how one is opened by name."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ocrpress.engines.base import EngineOptions
from ocrpress.errors import unknown

if TYPE_CHECKING:
    from ocrpress.engines.base import Engine

ENGINES: dict[str, str] = {
    "rapid": "embedded: PP-OCRv6 and a layout model on the CPU, offline",
    "deepseek": "DeepSeek-OCR and checkpoints of its architecture, in process, on the GPU or the CPU",
    "server": "an OpenAI-compatible endpoint that serves such a model (vLLM, SGLang, Ollama, llama-server)",
    "fake": "deterministic, reads nothing: for tests",
}
DEFAULT_ENGINE = "rapid"
DEFAULT_OPTIONS = EngineOptions()


def open_engine(name: str, options: EngineOptions = DEFAULT_OPTIONS) -> Engine:
    """The engine of that name, ready to read.

    Raises:
        UsageError: unknown name.
        EngineError: it cannot run here.
    """
    if name == "rapid":
        from ocrpress.engines.rapid import RapidEngine

        return RapidEngine()
    if name == "deepseek":
        from ocrpress.engines.deepseek import open_deepseek

        return open_deepseek(options)
    if name == "server":
        from ocrpress.engines.server import ServerEngine

        return ServerEngine(options)
    if name == "fake":
        from ocrpress.engines.fake import FakeEngine

        return FakeEngine()
    raise unknown("engine", name, ENGINES)


def describe(engine: Engine) -> str:
    """How an engine is going to run, in one line for people; empty for one that does not say."""
    plan = getattr(engine, "plan", None)
    if plan is None:
        return ""
    from ocrpress.engines.deepseek.device import start_line

    checkpoint = getattr(engine, "checkpoint", "")
    return f"engine {engine.name}{checkpoint and f', checkpoint {checkpoint},'} on {start_line(plan)}"
