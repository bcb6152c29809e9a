"""Jobs: documents that are read while nobody waits. They survive a restart.

    upload ──▶ folders (input, request.json) ──▶ store, in the desk's thread ◀──▶ desk
                       │                           └──▶ the ledger of batches ──▶ archive, read-only, in threads
                       └──▶ studio: pictures of pages, in processes of their own          ├──▶ routes
                                                                                          └──▶ followers: events

The truth about a job is its folder; what was read of it is in the ledger.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from ocrpress.server.jobs.routes import router
    from ocrpress.server.jobs.store import JobStore

__all__ = ["JobStore", "router"]


def __getattr__(name: str) -> Any:  # the process that draws imports neither
    if name == "router":
        from ocrpress.server.jobs.routes import router

        return router
    if name == "JobStore":
        from ocrpress.server.jobs.store import JobStore

        return JobStore
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
