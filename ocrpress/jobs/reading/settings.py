"""How a batch reads: what every reader needs to know, and how it is told to a process on the other side of a pipe."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from typing import Any

from ocrpress.engines import DEFAULT_ENGINE, DEFAULT_OPTIONS
from ocrpress.engines.base import EngineOptions
from ocrpress.errors import UsageError
from ocrpress.jobs.reading.order import bare, options_of
from ocrpress.pipeline import Options

# What changes how fast pages come, and not what comes.
_SPEED = frozenset({"workers", "page_seconds", "slots", "timeout", "api_key", "password", "url", "device"})


# Seconds. A model that writes its answer needs longer, on a CPU much longer, and many pages share it.
PAGE_LIMITS = {"rapid": 300.0, "deepseek": 3600.0, "server": 1800.0, "fake": 60.0}

LONGEST = max(PAGE_LIMITS.values())


@dataclass(frozen=True)
class Settings:
    """How pages are read.

    Attributes:
        engine: a name of `ocrpress.engines.ENGINES`; and how it is opened.
        options: of the pipeline. `figures…` are of each Order. `workers` render documents side by side.
        page_limit: seconds after which a page that is being read is given up, with the process that reads it; None is
            the engine's own (PAGE_LIMITS).
        tries: how often a page may take its process with it before it is failed; 1 or more.
    """

    engine: str = DEFAULT_ENGINE
    engine_options: EngineOptions = DEFAULT_OPTIONS
    options: Options = field(default_factory=Options)
    page_limit: float | None = None
    tries: int = 2

    def __post_init__(self) -> None:
        """Refuse what cannot be (UsageError)."""
        if self.page_limit is not None and not self.page_limit > 0:
            raise UsageError(f"the time limit of a page is {self.page_limit:g} s", "it must be more than 0")
        if self.tries < 1:
            raise UsageError(f"a page is tried {self.tries} times", "it must be 1 or more")

    @property
    def limit(self) -> float:
        """Seconds that a page may take."""
        return PAGE_LIMITS.get(self.engine, LONGEST) if self.page_limit is None else self.page_limit

    def as_message(self) -> dict[str, Any]:
        """As JSON may hold it; secrets included, so it goes through pipes only."""
        return asdict(replace(self, options=bare(self.options)))

    @staticmethod
    def of_message(message: Mapping[str, Any]) -> Settings:
        """What `as_message` said."""
        engine_options = EngineOptions(**message["engine_options"])
        return Settings(**{**message, "engine_options": engine_options, "options": options_of(message["options"])})

    def identity(self) -> dict[str, Any]:
        """What of this decides the text that comes out: two runs that differ here differ in their outputs."""
        options, engine_options = asdict(self.options), asdict(self.engine_options)
        kept = {name: value for name, value in {**options, **engine_options}.items() if name not in _SPEED}
        kept["temperatures"] = list(self.options.temperatures)
        kept["figures"] = self.options.figures is not None
        return {"engine": self.engine, **{name: kept[name] for name in sorted(kept) if "figures_" not in name}}
