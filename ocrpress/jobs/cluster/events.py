"""What has come back from a cluster of each document, as events; whatever comes twice or too late is dropped."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

from ocrpress.jobs.cluster.stages import error_of
from ocrpress.jobs.ledger import codec
from ocrpress.jobs.ledger.values import as_numbers, as_ranges
from ocrpress.jobs.reading.order import Done, Event, Opened, Order, Refused

MOST_TRIES = 2  # datasets that a document may be part of
LOST = "what was reading it on the cluster died again and again"


@dataclass
class _Held:
    """A document that is not settled.

    Attributes:
        left: pages to come; None until it is open.
        tries: datasets that it was part of.
        came: rows that came of it from the last of them.
        refused: why no more of its pages are drawn than `given`.
    """

    order: Order
    left: set[int] | None = None
    tries: int = 0
    came: int = 0
    refused: Refused | None = None
    given: int = 0


class Tally:
    """The documents that are on the cluster."""

    def __init__(self) -> None:
        self._held: dict[int, _Held] = {}

    def begin(self, order: Order) -> None:
        """The document is part of the dataset that begins."""
        held = self._held.setdefault(order.document, _Held(order))
        held.tries, held.came = held.tries + 1, 0

    def take(self, head: Mapping[str, Any], body: bytes) -> Iterator[Event]:
        """The events that a row makes. Raises the error that it carries."""
        if head["kind"] == "broken":
            raise error_of(head)
        held = self._held.get(head["document"])
        if held is None:
            return
        if head["kind"] == "refused":
            held.refused = Refused(head["document"], head["error"], head["cause"])
            held.given = head["given"]
        else:
            yield from self._page(held, head, body)
        if held.refused and held.came >= held.given:  # its last pages may come after the refusal
            del self._held[head["document"]]
            yield held.refused

    def end(self) -> tuple[list[Order], list[Refused]]:
        """The dataset is through: orders for one more try of what has not come, and what has had that try."""
        again, refused = [], []
        for document, held in sorted(self._held.items()):
            if held.tries >= MOST_TRIES:
                refused.append(held.refused or Refused(document, LOST, "crash"))
            else:
                again.append(held.order if held.left is None else replace(held.order, pages=as_ranges(held.left)))
        for each in refused:
            del self._held[each.document]
        return again, refused

    def _page(self, held: _Held, head: Mapping[str, Any], body: bytes) -> Iterator[Event]:
        document, result = head["document"], codec.decode(body)
        if held.left is None:
            numbers = as_numbers(head["numbers"])
            held.left = set(numbers)
            yield Opened(document, tuple(numbers))
        if result.number not in held.left:
            return
        held.left.discard(result.number)
        held.came += 1
        if not held.left:
            del self._held[document]
        yield Done(document, result, head["cause"])
