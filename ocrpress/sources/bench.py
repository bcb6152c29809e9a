"""Idle worker processes, waiting for the next document: starting one costs more than many a document."""

from __future__ import annotations

import threading

from ocrpress.sources.pool import Worker

MOST_REQUESTS = 2000  # then a worker is replaced: what a renderer leaks over many documents goes with it


class Bench:
    """Workers that nobody uses at the moment. Several threads may share it."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._idle: list[Worker] = []
        self._closed = False

    def take(self) -> Worker:
        """A worker that is alive: the last one given back, or a new one. Raises EngineError if none can be started."""
        while True:
            with self._lock:
                worker = self._idle.pop() if self._idle else None
            if worker is None:
                return Worker()
            if worker.alive:
                return worker
            worker.stop()

    def give(self, worker: Worker) -> None:
        """Give a worker back that has answered all it was asked."""
        with self._lock:
            if not self._closed and worker.requests < MOST_REQUESTS:
                self._idle.append(worker)
                return
        worker.stop()

    def close(self) -> None:
        """Stop those that are here, and at once each that is given back from now on. Safe to call twice."""
        with self._lock:
            idle, self._idle, self._closed = self._idle, [], True
        for worker in idle:
            worker.stop()
