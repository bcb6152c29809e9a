"""What the service counts, for Prometheus: a registry of its own, a wrapper that counts requests, and GET /metrics.

    desk's thread ──saw_page──▶ Metrics ◀──wrap── requests        GET /metrics ──▶ render, which asks desk and /proc

Label values come from fixed tables and from the application's routes: nothing that a client sends becomes one, so the
number of time series is bounded. Knows nothing of how pages are read or requests answered.
"""

from __future__ import annotations

import math
import time
from collections.abc import Awaitable, Callable, Container, Iterator, Mapping, MutableMapping
from typing import TYPE_CHECKING, Any, Protocol

from fastapi import APIRouter, Request, Response
from prometheus_client import CONTENT_TYPE_PLAIN_0_0_4, CollectorRegistry, Counter, Gauge, Histogram, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, InfoMetricFamily
from prometheus_client.process_collector import ProcessCollector
from prometheus_client.registry import Collector
from starlette.concurrency import run_in_threadpool

from ocrpress import __version__
from ocrpress.document import PageResult
from ocrpress.engines import ENGINES
from ocrpress.jobs.reading.losses import BROKEN, CRASH, LATE, MEMORY
from ocrpress.jobs.reading.settings import Settings
from ocrpress.modes import MODES, NATIVE
from ocrpress.server.door.processes import Workers

if TYPE_CHECKING:
    from prometheus_client.metrics_core import Metric

    from ocrpress.server.desk.desk import Desk

Scope = MutableMapping[str, Any]
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
ASGIApp = Callable[[Scope, Receive, Send], Awaitable[None]]

PREFIX = "ocrpress"
OTHER = "other"  # stands for whatever is in none of the tables
UNROUTED = "none"  # the route of a request that was refused before it was matched, or matched nothing
ABORTED = "aborted"  # the status of a request whose client left before it was answered

STAGES = frozenset({
    "render", "views", "detect", "recognise", "areas", "answer", "encode", "prefill", "decode", "layout", "figures",
})  # fmt: skip
CAUSES = frozenset({
    "error", "loop", "cut off", "empty", "unreadable page", "cannot be opened", "password", "changed",
    CRASH, LATE, MEMORY, BROKEN,
})  # fmt: skip
_MODES = frozenset({NATIVE.name, *MODES})
_METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})

# A page costs milliseconds with the embedded parts and minutes with a model on a CPU; a request may wait as long.
BUCKETS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 120.0, 300.0, 600.0)


class JobCounts(Protocol):
    """What is asked of the store of jobs."""

    def counts(self) -> Mapping[str, int]:
        """Jobs by state; from any thread, in moments."""
        ...


class Metrics:
    """All that is counted. Its methods may be called from any thread.

    Args:
        reading: the settings of the engine, for the name of its checkpoint or its endpoint's model.
    """

    def __init__(self, reading: Settings | None = None) -> None:
        self.registry = CollectorRegistry()
        self._checkpoint = _checkpoint(reading)
        self._of_pages()
        self._of_requests()
        ProcessCollector(namespace=PREFIX, registry=self.registry)
        self.registry.register(Workers(f"{PREFIX}_workers"))

    def _of_pages(self) -> None:
        self._pages = self._counter("pages", "Pages that were read, blank or failed.", "status", "engine", "mode")
        self._failures = self._counter("page_failures", "Pages that failed, by cause.", "cause")
        # A histogram, not a sum: pages that are retried or full of tables take many times the mean, and only a
        # quantile shows whether it was a few of them or all.
        self._stages = self._histogram("stage_seconds", "Seconds of a page by stage, all its tries together.", "stage")
        self._vision = self._counter("vision_tokens", "Vision tokens of the pages whose answer was taken.", "mode")
        self._sequence = self._counter("sequence_tokens", "Tokens that they took in the decoder's sequence.", "mode")
        self._output = self._counter("output_tokens", "Tokens that the engine has written, in all tries.", "mode")
        self._characters = self._counter("characters", "Characters of text that were read, without furniture.", "mode")
        self._retries = self._counter("retries", "Tries at pages beyond the first.")
        self._fallbacks = self._counter("fallback_pages", "Pages that the engine of last resort has read.")

    def _of_requests(self) -> None:
        named = ("method", "route", "status")
        self._requests = self._counter("http_requests", "Requests that were answered.", *named)
        about = "Seconds from a request's head to the end of its answer; of streams and uploads, all of them."
        self._seconds = self._histogram("http_request_seconds", about, *named)
        self._received = self._counter("http_received_bytes", "Bytes of requests' bodies.", "route")
        self._sent = self._counter("http_sent_bytes", "Bytes of answers' bodies.", "route")
        self._open = Gauge("http_requests_open", "Requests under way.", namespace=PREFIX, registry=self.registry)

    def attach(self, desk: Desk, jobs: JobCounts | None = None) -> None:
        """Have the gauges that are read when somebody asks: once, when desk and jobs are made."""
        self.registry.register(_Asked(desk, jobs, self._checkpoint))

    def saw_page(self, result: PageResult, cause: str = "") -> None:
        """A page was read or failed for somebody.

        Args:
            cause: of a failure that the page's attempts do not tell of.
        """
        mode, attempts, plan = known(result.mode, _MODES), result.attempts, result.plan
        self._pages.labels(result.status, known(result.engine, ENGINES), mode).inc()
        if result.status == "failed":
            cause = cause or ((attempts[-1].fault or "error") if attempts else "unreadable page")
            self._failures.labels(known(cause, CAUSES)).inc()
        for stage, seconds in result.seconds.items():
            if 0 <= seconds < math.inf:  # a sum that is no number would stay so
                self._stages.labels(known(stage, STAGES)).observe(seconds)
        if plan and result.status != "failed":
            self._vision.labels(mode).inc(plan.vision_tokens)
            self._sequence.labels(mode).inc(plan.sequence_tokens)
        self._output.labels(mode).inc(sum(attempt.output_tokens or 0 for attempt in attempts))
        self._characters.labels(mode).inc(len(result.text))
        self._retries.inc(max(0, len(attempts) - 1))
        if attempts and result.engine != attempts[0].engine and result.status != "failed":
            self._fallbacks.inc()

    def wrap(self, app: ASGIApp) -> ASGIApp:
        """The application, its requests counted. Put it outside of all that refuses requests."""

        async def counted(scope: Scope, receive: Receive, send: Send) -> None:
            if scope["type"] != "http":
                await app(scope, receive, send)
                return
            started, status, received, sent = time.perf_counter(), ABORTED, 0, 0

            async def receive_counted() -> Message:
                nonlocal received
                message = await receive()
                received += len(message.get("body", b""))
                return message

            async def send_counted(message: Message) -> None:
                nonlocal status, sent
                if message["type"] == "http.response.start":
                    status = str(message["status"])
                sent += len(message.get("body", b""))
                await send(message)

            self._open.inc()
            try:
                await app(scope, receive_counted, send_counted)
            finally:
                self._open.dec()
                self._answered(scope, status, time.perf_counter() - started, received, sent)

        return counted

    def render(self) -> bytes:
        """All of it in Prometheus' text format."""
        return generate_latest(_Uncreated(self.registry))

    def _answered(self, scope: Scope, status: str, seconds: float, received: int, sent: int) -> None:
        method, route = known(scope["method"], _METHODS), route_of(scope)
        self._requests.labels(method, route, status).inc()
        self._seconds.labels(method, route, status).observe(seconds)
        self._received.labels(route).inc(received)
        self._sent.labels(route).inc(sent)

    def _counter(self, name: str, about: str, *labels: str) -> Counter:
        return Counter(name, about, labels, namespace=PREFIX, registry=self.registry)

    def _histogram(self, name: str, about: str, *labels: str) -> Histogram:
        return Histogram(name, about, labels, namespace=PREFIX, registry=self.registry, buckets=BUCKETS)


def known(value: str, names: Container[str]) -> str:
    """The value if it is one of the names, else `OTHER`."""
    return value if value in names else OTHER


def route_of(scope: Scope) -> str:
    """The template of the route that a request was matched with, like /v1/jobs/{id}."""
    path = getattr(scope.get("route"), "path", None)
    return path if isinstance(path, str) and path else UNROUTED


class _Asked(Collector):
    """What desk and jobs say when they are asked."""

    def __init__(self, desk: Desk, jobs: JobCounts | None, checkpoint: str) -> None:
        self._desk, self._jobs, self._checkpoint = desk, jobs, checkpoint

    def collect(self) -> Iterator[Metric]:
        """See Collector."""
        desk, load = self._desk, self._desk.load()
        pages = {"waiting": load.waiting, "reading": load.reading}
        yield _gauge("queue_pages", "Pages that wait, and that the reading process has.", "state", pages)
        documents = {"request": load.documents, "job": load.jobs}
        yield _gauge("documents", "Documents that wait or are read, for requests and for jobs.", "kind", documents)
        if self._jobs:
            yield _gauge("jobs", "Jobs that are kept, by state.", "state", self._jobs.counts())
        yield _gauge("clients", "Clients that wait for something.", value=load.clients)
        yield _gauge("pages_per_second", "Pages a second over the last minute.", value=load.rate)
        yield _gauge("engine_up", "1 while the engine is open, else 0.", value=float(desk.state == "ready"))
        lost = CounterMetricFamily(f"{PREFIX}_engine_restarts", "Reading processes that were lost.", desk.restarts)
        yield lost
        engine, mode = (desk.engine.name, desk.engine.mode) if desk.engine else ("", "")
        about = {"version": __version__, "engine": engine, "mode": mode, "checkpoint": self._checkpoint}
        yield InfoMetricFamily(PREFIX, "What is served: version, engine, its mode and checkpoint.", about)


class _Uncreated(Collector):
    """A registry without the moments at which its counters were made: a third of the lines, asked for by nobody."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self._registry = registry

    def collect(self) -> Iterator[Metric]:
        """See Collector."""
        for metric in self._registry.collect():
            metric.samples = [sample for sample in metric.samples if sample.name != f"{metric.name}_created"]
            yield metric


def _gauge(
    name: str, about: str, label: str = "", values: Mapping[str, float] | None = None, value: float | None = None
) -> GaugeMetricFamily:
    gauge = GaugeMetricFamily(f"{PREFIX}_{name}", about, value=value, labels=[label] if label else None)
    for key, number in (values or {}).items():
        gauge.add_metric([key], number)
    return gauge


def _checkpoint(reading: Settings | None) -> str:
    """Name of the checkpoint, or of an endpoint's model; of a folder only its own name: paths are nobody's business."""
    if reading is None:
        return ""
    options = reading.engine_options
    named = options.model if reading.engine == "server" else options.checkpoint
    if named is None and reading.engine == "deepseek":
        from ocrpress.engines.cards import DEFAULT_CHECKPOINT

        named = DEFAULT_CHECKPOINT
    return (named or "").rstrip("/").rpartition("/")[2]


router = APIRouter()


@router.get("/metrics", response_class=Response, summary="What the service counts, for Prometheus")
async def metrics(request: Request) -> Response:
    """Counters, gauges and histograms in Prometheus' text format; every name begins with ocrpress_."""
    found: Metrics = request.app.state.service.metrics
    return Response(await run_in_threadpool(found.render), media_type=CONTENT_TYPE_PLAIN_0_0_4)
