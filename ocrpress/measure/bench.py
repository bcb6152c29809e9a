"""All cells of a benchmark: an engine in every mode, with every number of slots and every length of answers.

    Subject (an engine by name, or a loaded model) ──▶ measure_all ──▶ Cells, one after the other

A checkpoint is loaded once; the roofline's rates are measured on its device, and transformers' `generate` reads with
the very same weights.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterator
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from ocrpress.engines import describe, open_engine
from ocrpress.errors import EngineError
from ocrpress.measure.bars import Bars, no_bar
from ocrpress.measure.pages import drawn_pages, file_pages
from ocrpress.measure.roofline import bound
from ocrpress.measure.throughput import Cell, Pages, measure_cell, slots_of
from ocrpress.measure.work import Lengths, Work
from ocrpress.modes import DEFAULT_MAX_TILES

if TYPE_CHECKING:
    from ocrpress.engines.base import Engine, EngineOptions
    from ocrpress.measure.loaded import Loaded
    from ocrpress.measure.roofline import Rates

PAGES_A_SLOT = 4
LEAST_PAGES = 8
NOISE_LENGTHS = Lengths(1000, 1000)  # a model of noise does not end by itself
WARMUP_TOKENS = 8  # of the baseline: it has no graphs to capture and no cache to grow


@dataclass(frozen=True)
class Watcher:
    """Who is told what goes on: a bar for each cell, by its name and pages, and remarks in words."""

    bar: Bars = no_bar
    remark: Callable[[str], object] = print


@dataclass(frozen=True)
class Settings:
    """What is to be measured of an engine; every mode with every number of slots and every length.

    Attributes:
        modes: empty for the engine's default mode alone.
        slots: empty for what the engine takes by itself; of no concern to engines without slots.
        lengths: output tokens; empty lets a model end by itself. Of no concern to engines that do not heed it.
        pages: of a run; None takes four for every slot, and 8 at least.
        task: None takes the engine's default.
        files: documents whose pages are read, over and over; empty takes drawn pages, which lie ready.
        baselines: batches in which transformers' own `generate` reads the same, and whether grouped (see `baseline`).
    """

    modes: tuple[str, ...] = ()
    slots: tuple[int, ...] = ()
    lengths: tuple[Lengths, ...] = ()
    pages: int | None = None
    repeats: int = 3
    task: str | None = None
    max_tiles: int = DEFAULT_MAX_TILES
    seed: int = 0
    files: tuple[str, ...] = ()
    password: str | None = field(default=None, repr=False)
    baselines: tuple[tuple[int, bool], ...] = ()

    def work(self, engine: Engine, slots: int) -> Iterator[Work]:
        """What the engine is given, one cell after the other."""
        known = engine.capabilities
        pages = self.pages or max(LEAST_PAGES, PAGES_A_SLOT * slots)
        for mode in self.modes or known.modes[:1]:
            for lengths in (self.lengths if known.decoding else ()) or (None,):
                yield Work(mode, pages, lengths, self.task or known.tasks[0], self.max_tiles, self.seed)

    def images(self, work: Work) -> Pages:
        """The pages for a cell."""
        if self.files:
            return lambda: file_pages(self.files, work.mode, work.max_tiles, self.password)
        drawn = drawn_pages(work.pages, self.seed)
        return lambda: drawn


@dataclass(frozen=True)
class Subject:
    """An engine to be measured.

    Attributes:
        name: of the engine.
        options: how it is opened; its slots are set cell by cell.
        loaded: its model, if it has one in this process; else it is opened by name.
        rates: of the device that the model is on.
    """

    name: str
    options: EngineOptions
    loaded: Loaded | None = None
    rates: Rates | None = None

    @property
    def device(self) -> str:
        """Whose memory it fills."""
        return str(self.loaded.device) if self.loaded else "cpu"

    def open(self, slots: int | None) -> Engine:
        """The engine with so many slots; the caller closes it. Raises EngineError."""
        if self.loaded:
            return self.loaded.open(slots)
        return open_engine(self.name, replace(self.options, slots=slots))


def open_subject(name: str, options: EngineOptions) -> Subject:
    """An engine by name, its model loaded and its device measured, if it has one in this process.

    Raises:
        UsageError, EngineError: as `open_engine`.
    """
    if name != "deepseek":
        return Subject(name, options)
    from ocrpress.engines.deepseek.checkpoint import model_class

    model_class()  # refuses, in words, what the imports below would fail on
    from ocrpress.measure.loaded import load
    from ocrpress.measure.probe import measure_rates

    loaded = load(options)
    return Subject(name, options, loaded, measure_rates(loaded.device, loaded.dtype))


def measure_all(subject: Subject, settings: Settings, watcher: Watcher) -> Generator[Cell]:
    """Every cell of one engine, the baselines of each mode and length last.

    Raises:
        UsageError: the engine does not know a mode or the task.
        InputError: a file cannot be read.
        EngineError: the engine cannot run.
    """
    if subject.loaded and subject.loaded.noise and not settings.lengths:
        settings = replace(settings, lengths=(NOISE_LENGTHS,))
    seen: dict[Work, None] = {}
    for slots in settings.slots or (None,):
        engine = subject.open(slots)
        try:
            if line := describe(engine):
                watcher.remark(line)
            count = slots or slots_of(engine)
            for work in settings.work(engine, count):
                seen[replace(work, pages=1)] = None
                yield measure_one(subject, engine, work, settings, watcher, count)
        finally:
            engine.close()
    if subject.loaded:
        for work in seen:
            for batch, grouped in settings.baselines:
                yield from measure_baseline(subject, subject.loaded, work, settings, watcher, batch, grouped)


def measure_one(
    subject: Subject, engine: Engine, work: Work, settings: Settings, watcher: Watcher, slots: int,
    warmup: Work | None = None,
) -> Cell:  # fmt: skip
    """One cell, with its roofline if the rates of the device are known."""
    total = work.pages * settings.repeats + (warmup.pages if warmup else min(work.pages, slots))
    with watcher.bar(f"{engine.name} {work.mode} {slots} slots", total) as bar:
        cell = measure_cell(
            engine, work, settings.images(work), repeats=settings.repeats, slots=slots, warmup=warmup,
            device=subject.device, on_page=lambda: bar.update(1),
        )  # fmt: skip
    plan = next((run.plan for run in cell.runs if run.plan), None)
    outputs = [length for run in cell.runs for length in run.outputs if length]
    cell = replace(cell, source="files" if settings.files else "images")
    if not (subject.loaded and subject.rates and plan and outputs):
        return cell
    limit = bound(
        subject.rates, subject.loaded.architecture, plan, min(slots, work.pages), outputs, subject.loaded.dtype.itemsize
    )
    return replace(cell, bound=limit)


def measure_baseline(
    subject: Subject,
    loaded: Loaded,
    work: Work,
    settings: Settings,
    watcher: Watcher,
    batch: int,
    grouped: bool = False,
) -> Iterator[Cell]:
    """The same with transformers' `generate`: one batch, once. Nothing, and a remark, if memory does not hold it."""
    from ocrpress.measure.baseline import GenerateEngine

    engine = GenerateEngine(loaded, batch, grouped)
    warmup = replace(work, pages=min(batch, 2), lengths=Lengths(WARMUP_TOKENS, WARMUP_TOKENS))
    once = replace(settings, repeats=1)
    try:
        cell = measure_one(subject, engine, replace(work, pages=batch), once, watcher, batch, warmup)
        yield replace(cell, baseline=True)
    except EngineError as error:
        watcher.remark(str(error))
    finally:
        engine.close()
