"""How the service is run. Every default lives here and nowhere else."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from ocrpress.errors import UsageError
from ocrpress.jobs.reading.settings import Settings

SLOWEST = 64 << 10  # bytes a second of an upload that is in time


@dataclass(frozen=True)
class ServerSettings:
    """How the service is run.

    Attributes:
        reading: the engine, how it is opened, and the options that requests do not change.
        folder: for uploads, jobs and their ledger; made where it is missing, for its owner alone.
        host, port: where it listens; port 0 takes a free one.
        max_bytes: of an upload.
        max_pages: of a document.
        queue: documents of `convert` and `chat` that are read or wait at a time; more are told to come again.
        max_jobs: jobs that are not finished, at a time.
        keep_hours: how long a finished job, its upload and its result are kept.
        request_seconds: how long a request may wait for its pages; jobs have no such limit.
        upload_seconds: how long an upload may send nothing; all of it may take that and its bytes at 64 KiB/s.
        drain_seconds: how long requests may go on after SIGTERM.
        tokens: bearer token -> the client's name; empty lets everybody in.
        origins: sites whose pages may use the API from a browser, besides the service's own.
    """

    reading: Settings
    folder: Path
    host: str = "127.0.0.1"
    port: int = 8000
    max_bytes: int = 100 << 20
    max_pages: int = 2000
    queue: int = 256
    max_jobs: int = 1000
    keep_hours: float = 24.0
    request_seconds: float = 600.0
    upload_seconds: float = 20.0
    drain_seconds: float = 30.0
    tokens: dict[str, str] = field(default_factory=dict, repr=False)
    origins: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        """Refuse what cannot be (UsageError)."""
        if not 0 <= self.port <= 65535:
            raise UsageError(f"port {self.port} is out of range", "choose from 1 to 65535, or 0 for a free one")
        for name in ("max_bytes", "max_pages", "queue", "max_jobs"):
            if getattr(self, name) < 1:
                raise UsageError(f"{name} is {getattr(self, name)}", "it must be 1 or more")
        for name in ("keep_hours", "request_seconds", "upload_seconds"):
            if not getattr(self, name) > 0:
                raise UsageError(f"{name} is {getattr(self, name):g}", "it must be more than 0")
        if not self.drain_seconds >= 0:
            raise UsageError(f"drain_seconds is {self.drain_seconds:g}", "it must be 0 or more")
