"""The engines, and how one is opened by name."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ocrpress.errors import unknown

if TYPE_CHECKING:
    from ocrpress.engines.base import Engine

ENGINES: dict[str, str] = {
    "rapid": "embedded: PP-OCRv6 and a layout model on the CPU, offline",
    "fake": "deterministic, reads nothing: for tests",
}
DEFAULT_ENGINE = "rapid"


def open_engine(name: str) -> Engine:
    """The engine of that name, ready to read.

    Raises:
        UsageError: unknown name.
        EngineError: it cannot run here.
    """
    if name == "rapid":
        from ocrpress.engines.rapid import RapidEngine

        return RapidEngine()
    if name == "fake":
        from ocrpress.engines.fake import FakeEngine

        return FakeEngine()
    raise unknown("engine", name, ENGINES)
