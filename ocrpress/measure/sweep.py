"""Engine × mode × variant: every cell of a curve is read, page by page, and kept on disk as it is read.

    Samples ──▶ SampleSource ──▶ Reading (no second try, no substitute) ──▶ Kept ──▶ Cell of PageScores

What is scored is what a user would get: the page's text with its running heads, which true texts mostly hold. An answer
that was rejected counts with what was worth keeping of it; the cell's share of faults says how many there were.
"""

from __future__ import annotations

import hashlib
import json
import re
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ocrpress.document import PageImage
from ocrpress.engines import describe, open_engine
from ocrpress.errors import UsageError
from ocrpress.measure.accuracy import compared_text, score
from ocrpress.measure.bars import Bars, no_bar
from ocrpress.measure.curve import Cell, PageScore
from ocrpress.measure.kept import Kept
from ocrpress.measure.machine import describe_machine
from ocrpress.measure.samples import SampleSource
from ocrpress.modes import DEFAULT_MAX_TILES, plan
from ocrpress.pipeline import Options, Reading
from ocrpress.quality.ladder import NO_FALLBACK

if TYPE_CHECKING:
    from ocrpress.document import PageResult, UnreadablePage
    from ocrpress.engines.base import Engine, EngineOptions
    from ocrpress.measure.samples import Sample
    from ocrpress.modes import Plan
    from ocrpress.sources import Source

CONTROL = "rapid"  # reads pixels: what it loses in a mode, the pixels lost
FREE = "text"  # the task whose answer is the page's text and nothing else, where an engine knows it
CELLS = "cells"  # the folder of kept pages


@dataclass(frozen=True)
class Subject:
    """An engine of the curve.

    Attributes:
        label: what the results call it: its name, and its checkpoint or model if that was chosen.
        task: None takes "text" where the engine knows it, else the engine's own default.
        control: it is there to tell what the pixels lost from what the tokens lost.
    """

    name: str
    options: EngineOptions
    label: str
    task: str | None = None
    control: bool = False


@dataclass(frozen=True)
class Sweep:
    """What is to be read.

    Attributes:
        samples: by variant, in the order in which they are shown.
        modes: an engine is asked for those that it reads.
        folder: where what was read is kept.
        fresh: read everything anew, whatever is kept.
    """

    subjects: tuple[Subject, ...]
    modes: tuple[str, ...]
    samples: Mapping[str, Sequence[Sample]]
    folder: Path
    max_tiles: int = DEFAULT_MAX_TILES
    max_tokens: int | None = None
    fresh: bool = False


@dataclass(frozen=True)
class Measured:
    """A cell, the seconds it took, and what of its samples had no pixels.

    Attributes:
        seconds: of every page, by stage, in the order of the cell's pages; as they were when the page was read.
        unreadable: (name of the sample, why); no page of the cell.
        scoring: seconds that scoring took in this run.
    """

    cell: Cell
    seconds: tuple[Mapping[str, float], ...]
    unreadable: tuple[tuple[str, str], ...]
    scoring: float


def measure_cells(
    wanted: Sweep, bars: Bars = no_bar, tell: Callable[[str], object] | None = None
) -> Iterator[Measured]:
    """Every cell, one after the other; each engine is opened once.

    Args:
        bars: gives a bar for a cell, by its name and the number of its pages.
        tell: told of every engine how it runs, if it says so.

    Raises:
        UsageError: an engine reads none of the modes, or does not know the task.
        EngineError: an engine cannot run. What was read before is kept.
        OutputError: what was read cannot be kept.
    """
    for subject in wanted.subjects:
        engine = open_engine(subject.name, subject.options)
        try:
            if tell and (line := describe(engine)):
                tell(line)
            modes = [mode for mode in wanted.modes if mode in engine.capabilities.modes]
            if not modes:
                known = ", ".join(engine.capabilities.modes)
                raise UsageError(f"engine {subject.label} reads none of the modes asked for", f"it reads {known}")
            for mode in modes:
                for variant in wanted.samples:
                    yield measure_samples(wanted, subject, engine, mode, variant, bars)
        finally:
            engine.close()


def measure_samples(
    wanted: Sweep, subject: Subject, engine: Engine, mode: str, variant: str, bars: Bars = no_bar
) -> Measured:
    """One cell, with an engine that is open. Raises as `measure_cells`."""
    samples = wanted.samples[variant]
    options = Options(
        mode=mode, task=_task(subject, engine), max_tokens=wanted.max_tokens, max_tiles=wanted.max_tiles, retries=0,
        fallback=NO_FALLBACK,
    )  # fmt: skip
    head = _head(subject, options, variant)
    with (
        closing(Kept(_file(wanted.folder, head), head, wanted.fresh)) as kept,
        bars(f"{subject.label} {mode} {variant}", len(samples)) as bar,
    ):
        missing = [sample for sample in samples if not _is_read(kept.pages.get(_key(sample)))]
        bar.update(len(samples) - len(missing))
        if missing:
            source = _Measuring(SampleSource(missing, mode, wanted.max_tiles), mode, wanted.max_tiles)
            with Reading(source, engine, options) as reading:
                for sample, page in zip(missing, reading, strict=True):
                    kept.add(_record(sample, page, source.plans.pop(page.number, None)))
                    bar.update(1)
        return _scored(subject, mode, variant, samples, kept.pages)


class _Measuring:
    """A source that notes what each page costs, whatever becomes of it: engines plan only what they have read."""

    def __init__(self, source: Source, mode: str, max_tiles: int) -> None:
        self.name, self.page_count, self.drawn = source.name, source.page_count, source.drawn
        self.numbers, self.redraw, self.close = source.numbers, source.redraw, source.close
        self.plans: dict[int, Plan] = {}
        self._source, self._mode, self._max_tiles = source, mode, max_tiles

    def pages(self) -> Iterator[PageImage | UnreadablePage]:
        """The source's own."""
        for page in self._source.pages():
            if isinstance(page, PageImage):
                self.plans[page.number] = plan(page.image.width, page.image.height, self._mode, self._max_tiles)
            yield page


def _record(sample: Sample, page: PageResult, costs: Plan | None) -> dict[str, Any]:
    """What is kept of a page: all that reading it told, and nothing that scoring can tell again."""
    last = page.attempts[-1] if page.attempts else None
    return {
        "page": _key(sample), "status": page.status, "fault": (last.fault if last else None) or "",
        "read": compared_text(page), "error": page.error, "output_tokens": last.output_tokens if last else None,
        "tokens": [costs.vision_tokens, costs.valid_tokens, costs.sequence_tokens] if costs else None,
        "seconds": {stage: round(took, 4) for stage, took in page.seconds.items()},
    }  # fmt: skip


def _scored(
    subject: Subject, mode: str, variant: str, samples: Sequence[Sample], kept: Mapping[str, Mapping[str, Any]]
) -> Measured:
    started = time.perf_counter()
    pages: list[PageScore] = []
    seconds: list[Mapping[str, float]] = []
    unreadable: list[tuple[str, str]] = []
    for sample in samples:
        record = kept[_key(sample)]
        if record["tokens"] is None:  # it had no pixels: no engine saw it
            unreadable.append((sample.name, record["error"]))
            continue
        seconds.append(record["seconds"])
        vision, valid, sequence = record["tokens"]
        pages.append(PageScore(
            sample.name, sample.bucket, record["status"], record["fault"], sample.text_tokens, vision, valid, sequence,
            score(record["read"], sample.text), record["read"], record["output_tokens"], record["error"],
        ))  # fmt: skip
    cell = Cell(subject.label, mode, variant, tuple(pages), subject.control)
    return Measured(cell, tuple(seconds), tuple(unreadable), time.perf_counter() - started)


def _is_read(record: Mapping[str, Any] | None) -> bool:
    """Whether a page need not be read again. One that could not be shown, or made the engine fail, may succeed now."""
    return record is not None and record["tokens"] is not None and record["fault"] != "error"


def _task(subject: Subject, engine: Engine) -> str:
    tasks = engine.capabilities.tasks
    return subject.task or (FREE if FREE in tasks else tasks[0])


def _key(sample: Sample) -> str:
    return f"{sample.name} {sample.identity}"


def _head(subject: Subject, options: Options, variant: str) -> dict[str, Any]:
    """What makes two measurements the same. Another commit or version is another measurement."""
    asked = {
        name: value for name, value in asdict(subject.options).items() if name not in {"api_key", "slots", "timeout"}
    }
    if asked["url"]:  # it may hold a password
        asked["url"] = hashlib.sha256(asked["url"].encode()).hexdigest()[:16]
    machine = describe_machine()
    return {
        "engine": subject.name, "label": subject.label, "options": asked, "weights": _weights(subject),
        "mode": options.mode, "variant": variant, "task": options.task, "max_tiles": options.max_tiles,
        "max_tokens": options.max_tokens, "commit": machine["commit"], "versions": machine["versions"],
    }  # fmt: skip


def _weights(subject: Subject) -> list[list[Any]]:
    """What tells one checkpoint from the next under the same name: its files of weights."""
    if subject.name != "deepseek" or subject.options.random_weights:
        return []
    from ocrpress.engines.deepseek.checkpoint import open_checkpoint

    files = sorted(open_checkpoint(subject.options.checkpoint).folder.glob("*.safetensors"))
    return [[file.name, file.stat().st_size, file.stat().st_mtime_ns] for file in files]


def _file(folder: Path, head: Mapping[str, Any]) -> Path:
    """A file name that people can read, and that no other measurement has."""
    name = re.sub(r"[^\w.-]+", "-", f"{head['label']}-{head['mode']}-{head['variant']}").strip("-")
    digest = hashlib.sha256(json.dumps(head, sort_keys=True).encode()).hexdigest()[:10]
    return folder / CELLS / f"{name}-{digest}.jsonl"
