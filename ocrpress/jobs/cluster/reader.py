"""A `Reader` whose work is done by a Ray cluster, through a process of this machine that drives it (`driver`).

Orders are collected and go out together, as a dataset; what comes up while it is being read makes the next one. What
comes back of them, page by page, becomes events.
"""

from __future__ import annotations

import json
import shutil
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict
from pathlib import Path

from ocrpress.errors import EngineError
from ocrpress.jobs.cluster.events import Tally
from ocrpress.jobs.cluster.joining import Cluster
from ocrpress.jobs.cluster.records import about_entry, check_pyarrow
from ocrpress.jobs.ledger.values import Entry
from ocrpress.jobs.reading.link import Link
from ocrpress.jobs.reading.order import Event, Order, Orders, Tick
from ocrpress.jobs.reading.settings import Settings

__all__ = ["Cluster", "ClusterReader"]

COMMAND = (sys.executable, "-P", "-m", "ocrpress.jobs.cluster.driver")
TICK = 0.1  # seconds
GATHERING = 5.0  # seconds that orders are collected before the first dataset begins: Ray takes them to start, too


class ClusterReader:
    """A `Reader` on a cluster.

    Args:
        records: folder for the records of pages, a path that all nodes share or a URL; see `records`.
        entry: what the ledger says of a document, by its number.
        command: what runs the process that has the engine, on the nodes; None is the usual.
        log: file for what Ray says.
    """

    def __init__(
        self,
        settings: Settings,
        cluster: Cluster,
        records: str,
        entry: Callable[[int], Entry],
        command: Sequence[str] | None = None,
        log: Path | None = None,
    ) -> None:
        self._task = {
            "settings": settings.as_message(), "cluster": asdict(cluster), "records": records, "command": command,
        }  # fmt: skip
        self._entry, self._log = entry, log
        self._tally = Tally()
        self._link: Link | None = None
        self._folder = ""  # of a Ray that is ours alone

    def read(self, orders: Orders) -> Iterator[Event]:
        """See `Reader.read`."""
        check_pyarrow()
        self._link = link = Link(COMMAND, self._log)
        link.send(self._task)
        waiting: list[Order] = []
        busy, begun = False, time.monotonic()
        while True:
            waiting += _some(orders)
            if waiting and not busy and (orders.exhausted or time.monotonic() - begun > GATHERING):
                self._begin(link, waiting)
                waiting, busy = [], True
            if orders.exhausted and not waiting and not busy:
                return
            heard = link.hear(TICK)
            for message, body in heard:
                if "folder" in message:
                    self._folder = message["folder"]
                elif "through" in message:
                    busy = False
                    again, refused = self._tally.end()
                    waiting += again
                    yield from refused
                else:
                    yield from self._tally.take(message, body)
            if not heard:
                if link.ended:
                    advice = f"{self._log} has what it said" if self._log else "run the batch again"
                    raise EngineError(f"the driver of the cluster: {link.how_it_ended()}", advice)
                yield Tick()

    def close(self) -> None:
        """Leave the cluster, and end it if it is ours alone; pages in flight are lost. Safe to call twice."""
        if self._link:
            self._link.stop()
            self._link = None
        if self._folder:
            shutil.rmtree(self._folder, ignore_errors=True)

    def _begin(self, link: Link, orders: Sequence[Order]) -> None:
        rows = []
        for order in orders:
            self._tally.begin(order)
            message, _ = order.as_message()
            about = about_entry(self._entry(order.document))
            rows.append({"order": json.dumps(message), "about": json.dumps(about)})
        link.send({"orders": len(rows)}, json.dumps(rows).encode())


def _some(orders: Orders) -> list[Order]:
    """The orders that are at hand, as far as they come within a moment."""
    taken: list[Order] = []
    until = time.monotonic() + TICK
    while time.monotonic() < until and (order := orders.take()) is not None:
        taken.append(order)
    return taken
