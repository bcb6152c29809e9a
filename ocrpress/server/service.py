"""What every handler needs at hand: one Service a process, on `app.state.service`."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from ocrpress.server.desk.desk import Desk
    from ocrpress.server.door.metrics import Metrics
    from ocrpress.server.jobs.store import JobStore
    from ocrpress.server.settings import ServerSettings
    from ocrpress.sources.bench import Bench


@dataclass
class Service:
    """The service.

    Attributes:
        desk: has pages read.
        bench: workers that look at documents and draw pictures of their pages.
        draining: it is being stopped: what is under way is finished, new requests are refused.
        under_way: requests that are being answered; those for the health of the service are not counted.
    """

    settings: ServerSettings
    desk: Desk
    jobs: JobStore
    metrics: Metrics
    bench: Bench
    draining: bool = False
    under_way: int = 0
