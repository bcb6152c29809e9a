"""Pages a second of an engine: warm-up, then whole runs over the same pages, end to end.

The headline is the whole run: from the first page asked for to the last answer, filling and draining of the slots
included. Beside it stands the steady rate, from the answer that ends the first round of the slots to the one that
begins the last round: what a long document approaches. Stages overlap, so their seconds may add up to more than the
run took.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from statistics import fmean, median
from typing import TYPE_CHECKING, Any

from ocrpress.errors import UsageError
from ocrpress.measure.memory import PeakMemory

if TYPE_CHECKING:
    from ocrpress.document import Completion, PageImage, Request
    from ocrpress.engines.base import Engine
    from ocrpress.measure.roofline import Bound
    from ocrpress.measure.work import Work
    from ocrpress.modes import Plan

SECONDS_A_DAY = 86_400
Pages = Callable[[], Iterable["PageImage"]]


@dataclass(frozen=True)
class Run:
    """One run over the pages.

    Attributes:
        seconds: from the start to the last answer.
        ends: when each page was answered, in seconds since the start, in order; failed pages are not among them.
        outputs: tokens of each answer, in the same order; 0 for engines without tokens.
        failed: pages that got no answer, or an error.
        error: what the first of them said.
        stages: seconds by stage, of all threads and streams.
        steps: decode steps; 0 for engines that do not count them, as the next two.
        prefilled, restarts: sequences prefilled, and those among them that had lost their slot.
        plan: of the last page answered.
    """

    seconds: float
    ends: tuple[float, ...]
    outputs: tuple[int, ...]
    failed: int = 0
    error: str = ""
    stages: Mapping[str, float] = field(default_factory=dict)
    steps: int = 0
    prefilled: int = 0
    restarts: int = 0
    plan: Plan | None = None

    @property
    def pages_per_second(self) -> float:
        """Pages read over the whole run; failed pages do not count."""
        return len(self.ends) / self.seconds if self.ends else 0.0

    @property
    def tokens_per_second(self) -> float:
        """Tokens of all answers over the whole run."""
        return sum(self.outputs) / self.seconds if self.ends else 0.0

    def steady(self, slots: int) -> float | None:
        """Pages a second without the first and the last `slots` pages; None with fewer than three times as many."""
        if len(self.ends) < 3 * slots:
            return None
        took = self.ends[-slots - 1] - self.ends[slots - 1]
        return (len(self.ends) - 2 * slots) / took if took > 0 else None

    def occupancy(self, slots: int) -> float | None:
        """Share of all slots' steps that gave a token that was wanted; the first token comes from the prefill."""
        return (sum(self.outputs) - len(self.ends)) / (self.steps * slots) if self.steps else None


@dataclass(frozen=True)
class Cell:
    """An engine measured on one kind of work.

    Attributes:
        slots: pages decoded side by side; of engines without slots, how many they hold at a time.
        warmup: seconds of the run before, which is not counted.
        memory: bytes at the peak, warm-up included; `memory_of` says which.
        bound: what the hardware would allow; None where nothing is known of it.
        source: "images" that lie ready in memory, or "files" that are rendered in the run.
        baseline: it is what a user would run without ocrpress.
    """

    engine: str
    work: Work
    slots: int
    runs: tuple[Run, ...]
    warmup: float
    memory: int
    memory_of: str
    bound: Bound | None = None
    source: str = "images"
    baseline: bool = False

    @property
    def pages_per_second(self) -> float:
        """Median over the runs."""
        return median(run.pages_per_second for run in self.runs)

    @property
    def failed(self) -> int:
        """Pages that failed, in all runs."""
        return sum(run.failed for run in self.runs)

    @property
    def error(self) -> str:
        """What the first failed page said."""
        return next((run.error for run in self.runs if run.error), "")


def measure_cell(
    engine: Engine, work: Work, pages: Pages, *, repeats: int = 3, slots: int | None = None, warmup: Work | None = None,
    device: str = "cpu", on_page: Callable[[], object] = lambda: None,
) -> Cell:  # fmt: skip
    """Warm up, then read the pages `repeats` times.

    Args:
        engine: opened, and doing nothing else.
        pages: gives at least `work.pages` images anew at each call.
        slots: pages that the engine decodes side by side; None asks it.
        warmup: the run before, which captures graphs and lets caches grow; None takes a page for every slot.
        device: whose memory is watched.
        on_page: called after each page, warm-up included.

    Raises:
        UsageError: the engine does not know the mode or the task.
        EngineError: it cannot run.
    """
    check_work(engine, work)
    held = slots or slots_of(engine)
    memory = PeakMemory(device)
    memory.reset()
    before = run_once(engine, warmup or default_warmup(work, held), pages, on_page)
    runs = tuple(run_once(engine, work, pages, on_page) for _ in range(repeats))
    return Cell(engine.name, work, held, runs, before.seconds, memory.peak(), memory.of)


def default_warmup(work: Work, slots: int) -> Work:
    """The same work with a page for every slot."""
    return replace(work, pages=min(work.pages, slots))


def check_work(engine: Engine, work: Work) -> None:
    """Raise UsageError if the engine cannot do it."""
    known = engine.capabilities
    if work.mode not in known.modes:
        raise UsageError(f"engine {engine.name} does not read mode '{work.mode}'", f"it reads {', '.join(known.modes)}")
    if work.task.partition("=")[0] not in known.tasks:
        raise UsageError(f"engine {engine.name} has no task '{work.task}'", f"it has {', '.join(known.tasks)}")


def run_once(engine: Engine, work: Work, pages: Pages, on_page: Callable[[], object] = lambda: None) -> Run:
    """Read the pages once and take the time."""
    rendering: list[float] = []
    before = _Gauges.read(engine)
    answers: list[tuple[float, Completion]] = []
    started = time.perf_counter()
    for completion in engine.read(_watched(work.requests(pages()), rendering)):
        answers.append((time.perf_counter() - started, completion))
        on_page()
    seconds = time.perf_counter() - started
    gauges = _Gauges.read(engine).since(before)
    read = [(end, answer) for end, answer in answers if answer.stop != "error"]
    errors = [answer.error for _, answer in answers if answer.stop == "error"]
    if len(answers) < len(rendering):
        errors.append(f"engine {engine.name} gave no answer")
    return Run(
        seconds, tuple(end for end, _ in read), tuple(answer.output_tokens or 0 for _, answer in read),
        failed=len(rendering) - len(read), error=errors[0] if errors else "",
        stages=_stages(rendering, gauges, [answer for _, answer in answers]),
        steps=gauges.counts.get("steps", 0), prefilled=gauges.counts.get("prefilled", 0),
        restarts=gauges.counts.get("restarts", 0), plan=read[-1][1].plan if read else None,
    )  # fmt: skip


def _watched(requests: Iterable[Request], rendering: list[float]) -> Iterator[Request]:
    """The requests; of each that is asked for, the seconds that rendering its page took are noted."""
    for request in requests:
        rendering.append(sum(request.page.seconds.values()))
        yield request


@dataclass(frozen=True)
class _Gauges:
    """What an engine counts by itself, if it does: `seconds()` by stage and `scheduler.tally`."""

    seconds: Mapping[str, float]
    counts: Mapping[str, int]

    @classmethod
    def read(cls, engine: Any) -> _Gauges:
        tally = getattr(getattr(engine, "scheduler", None), "tally", None)
        return cls(engine.seconds(), dict(vars(tally))) if tally else cls({}, {})

    def since(self, before: _Gauges) -> _Gauges:
        seconds = {stage: value - before.seconds.get(stage, 0.0) for stage, value in self.seconds.items()}
        return _Gauges(seconds, {name: value - before.counts[name] for name, value in self.counts.items()})


def slots_of(engine: Any) -> int:
    """Pages that an idle engine decodes side by side; of engines without slots, how many they hold at a time."""
    free = getattr(getattr(engine, "scheduler", None), "free", None)
    return int(engine.capabilities.in_flight if free is None else free)


def _stages(rendering: list[float], gauges: _Gauges, answers: list[Completion]) -> dict[str, float]:
    """Seconds by stage: what the engine counted, else what its answers say; rendering first, if there was any."""
    found = {"render": sum(rendering)} if any(rendering) else {}
    if gauges.seconds:
        return found | dict(gauges.seconds)
    for answer in answers:
        for stage, seconds in answer.seconds.items():
            found[stage] = found.get(stage, 0.0) + seconds
    return found


def spread(values: Iterable[float]) -> dict[str, float]:
    """Median, smallest and largest."""
    found = sorted(values)
    return {"median": median(found), "min": found[0], "max": found[-1]}


def mean_stages(runs: Iterable[Run]) -> dict[str, float]:
    """Seconds by stage, the mean over the runs."""
    kept = list(runs)
    names = dict.fromkeys(stage for run in kept for stage in run.stages)
    return {name: fmean(run.stages.get(name, 0.0) for run in kept) for name in names}
