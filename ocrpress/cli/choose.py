"""Which engine `--engine auto` is. Only the command line and the server choose."""

from __future__ import annotations

from ocrpress.engines import DEFAULT_ENGINE, ENGINES
from ocrpress.errors import unknown

AUTO = "auto"


def choose_engine(name: str) -> tuple[str, str]:
    """The engine's name and, if it was chosen here, why.

    Raises UsageError for a name that is not known.
    """
    if name != AUTO:
        if name not in ENGINES:
            raise unknown("engine", name, [AUTO, *ENGINES])
        return name, ""
    return DEFAULT_ENGINE, "the one engine of this version that reads; it runs on the CPU, offline"
