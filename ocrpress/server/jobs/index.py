"""Which jobs there are, whose they are and how far: in memory, for any thread. What it says of a job is never stale
by more than a commit; what was read of it, the ledger knows.
"""

from __future__ import annotations

import threading
from collections import Counter, OrderedDict
from dataclasses import dataclass
from typing import Literal

from ocrpress.server.errors import Gone, NotFound
from ocrpress.server.jobs.record import Record, is_id

State = Literal["waiting", "reading", "done", "failed"]
STATES: tuple[State, ...] = ("waiting", "reading", "done", "failed")
_MOST_GONE = 10_000  # jobs of which it is remembered that they were there


@dataclass
class _Ticket:
    client: str
    state: State


class Index:
    """The jobs.

    Args:
        private: clients see their own jobs only.
    """

    def __init__(self, private: bool) -> None:
        self._private = private
        self._lock = threading.Lock()
        self._tickets: dict[str, _Ticket] = {}
        self._of: dict[str, dict[str, None]] = {}  # the jobs of each client, oldest first
        self._counts: Counter[State] = Counter()
        self._gone: OrderedDict[str, str] = OrderedDict()  # jobs that were there -> their clients

    def add(self, record: Record, state: State) -> None:
        """A job that is there; if it was before, only its state is new."""
        with self._lock:
            old = self._tickets.get(record.id)
            if old:
                self._counts[old.state] -= 1
                old.state = state
            else:
                self._tickets[record.id] = _Ticket(record.client, state)
                self._of.setdefault(record.client, {})[record.id] = None
            self._counts[state] += 1

    def set(self, job: str, state: State) -> bool:
        """How far a job is. Was that new?"""
        with self._lock:
            ticket = self._tickets.get(job)
            if ticket is None or ticket.state == state:
                return False
            self._counts[ticket.state] -= 1
            self._counts[state] += 1
            ticket.state = state
            return True

    def drop(self, job: str) -> None:
        """A job is no more."""
        with self._lock:
            ticket = self._tickets.pop(job, None)
            if ticket is None:
                return
            self._counts[ticket.state] -= 1
            mine = self._of[ticket.client]
            del mine[job]
            if not mine:
                del self._of[ticket.client]
            self._gone[job] = ticket.client
            if len(self._gone) > _MOST_GONE:
                self._gone.popitem(last=False)

    def find(self, job: str, client: str) -> State:
        """How far a job is, for a client that asks. Raises NotFound, Gone."""
        with self._lock:
            ticket = self._tickets.get(job)
            if ticket and self._may_see(ticket.client, client):
                return ticket.state
            if job in self._gone and self._may_see(self._gone[job], client):
                raise Gone("the job was deleted, or has expired", "send its document again")
        raise NotFound("there is no such job" if is_id(job) else "that is no job's id", "POST /v1/jobs makes one")

    def jobs_of(self, client: str, most: int) -> list[str]:
        """The jobs of a client, newest first."""
        with self._lock:
            found = reversed(self._of.get(client, {}))
            return [job for job, _ in zip(found, range(most), strict=False)]

    def all(self) -> list[str]:
        """All jobs."""
        with self._lock:
            return list(self._tickets)

    def counts(self) -> dict[str, int]:
        """How many jobs are in each state."""
        with self._lock:
            return {state: self._counts[state] for state in STATES}

    @property
    def unfinished(self) -> int:
        """Jobs that are not finished."""
        with self._lock:
            return self._counts["waiting"] + self._counts["reading"]

    def _may_see(self, owner: str, client: str) -> bool:
        return owner == client or not self._private
