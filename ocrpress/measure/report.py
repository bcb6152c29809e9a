"""Measured cells as rows of a table for people, and as objects for JSON."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import asdict, fields, replace
from statistics import fmean
from typing import TYPE_CHECKING, Any

from ocrpress.measure.machine import describe_machine, gpu_name
from ocrpress.measure.throughput import SECONDS_A_DAY, Cell, mean_stages, spread

if TYPE_CHECKING:
    from ocrpress.measure.bench import Settings, Subject
    from ocrpress.measure.roofline import Rates

NOISE = "the weights are random: the text is noise, and only the speed means anything"
STAGES_NOTE = "stages overlap (threads, streams): their seconds may add up to more than the whole run took"
HEAD = (
    "engine", "mode", "slots", "tokens", "pages", "pages/s", "from – to", "pages/day", "steady", "tokens/s", "used %",
    "roofline %", "MiB",
)  # fmt: skip
NONE = "–"


def rows(cells: Iterable[Cell]) -> list[list[str]]:
    """The head, then a row a cell."""
    return [list(HEAD), *(_row(cell) for cell in cells)]


def stage_rows(cells: Sequence[Cell]) -> list[list[str]]:
    """The head, then seconds by stage, a row a cell: means over its runs."""
    found = [mean_stages(cell.runs) for cell in cells]
    names = list(dict.fromkeys(name for stages in found for name in stages))
    head = ["engine", "mode", "slots", "tokens", "whole run", *names]
    return [
        head,
        *(
            [*_names(cell), _number(fmean(run.seconds for run in cell.runs)),
             *(_number(stages.get(name)) for name in names)]
            for cell, stages in zip(cells, found, strict=True)
        ),
    ]  # fmt: skip


def cell_object(cell: Cell, baseline: Cell | None = None) -> dict[str, Any]:
    """A cell for JSON; rates are pages or tokens a second: median, smallest and largest over the runs.

    Args:
        baseline: the same work done another way; the object then holds the ratio of the two.
    """
    runs, work = cell.runs, cell.work
    whole = spread(run.pages_per_second for run in runs)
    outputs = [length for run in runs for length in run.outputs]
    found: dict[str, Any] = {
        "engine": cell.engine, "baseline": cell.baseline, "mode": work.mode, "slots": cell.slots,
        "tokens": None if work.lengths is None else str(work.lengths), "task": work.task, "max_tiles": work.max_tiles,
        "pages": work.pages, "from": cell.source, "repeats": len(runs),
        "pages_per_second": _rounded(whole), "pages_per_day": round(whole["median"] * SECONDS_A_DAY),
        "steady_pages_per_second": _optional([run.steady(cell.slots) for run in runs]),
        "tokens_per_second": _tokens_per_second(cell),
        "mean_tokens": round(fmean(outputs), 1) if any(outputs) else None,
        "occupancy": _optional([run.occupancy(cell.slots) for run in runs]),
        "seconds": _rounded(spread(run.seconds for run in runs)),
        "seconds_by_stage": {name: round(value, 4) for name, value in mean_stages(runs).items()},
        "warmup_seconds": round(cell.warmup, 3),
        "steps": [run.steps for run in runs], "prefilled": [run.prefilled for run in runs],
        "restarts": [run.restarts for run in runs],
        "peak_memory_bytes": cell.memory, "memory_of": cell.memory_of,
        "failed": cell.failed, "error": cell.error or None,
    }  # fmt: skip
    if plan := next((run.plan for run in runs if run.plan), None):
        found |= {"tiles": plan.tiles, "vision_tokens": plan.vision_tokens, "sequence_tokens": plan.sequence_tokens}
    if cell.bound:
        found["roofline"] = {name: float(f"{value:.5g}") for name, value in asdict(cell.bound).items()}
        found["share_of_roofline"] = round(cell.pages_per_second / cell.bound.pages_per_second, 4)
    if baseline:
        found["times_baseline"] = round(cell.pages_per_second / baseline.pages_per_second, 2)
        found["compared_with"] = f"{baseline.engine}, {baseline.slots} at a time"
    return found


def rates_object(rates: Rates, device: str, dtype: str) -> dict[str, Any]:
    """The measured rates for JSON: bytes and floating-point operations a second."""
    return {"device": device, "dtype": dtype, "bandwidth": round(rates.bandwidth), "matmul": round(rates.matmul)}


def cell_objects(cells: Sequence[Cell]) -> list[dict[str, Any]]:
    """All cells for JSON, each of ours beside the fastest baseline of the same mode, task and lengths."""
    return [cell_object(cell, None if cell.baseline else best_baseline(cell, cells)) for cell in cells]


def best_baseline(cell: Cell, cells: Iterable[Cell]) -> Cell | None:
    """The fastest of the baselines that did the same work; None if there is none."""
    same = replace(cell.work, pages=1)
    others = [other for other in cells if other.baseline and replace(other.work, pages=1) == same]
    return max(others, key=lambda other: other.pages_per_second, default=None)


def ratio_lines(cells: Sequence[Cell]) -> list[str]:
    """For people: how many times as fast as the fastest baseline each cell is."""
    found = ((cell, best_baseline(cell, cells)) for cell in cells if not cell.baseline)
    return [
        f"{' '.join(_names(cell))}: {cell.pages_per_second / other.pages_per_second:.1f} times {other.engine}, "
        f"{other.slots} at a time"
        for cell, other in found if other
    ]  # fmt: skip


def result_object(
    cells: Sequence[Cell], subjects: Sequence[Subject], settings: Settings, noise: bool
) -> dict[str, Any]:  # fmt: skip
    """Everything for JSON: what was measured, how, where, and with which code."""
    loaded = [(subject.loaded, subject.rates) for subject in subjects if subject.loaded and subject.rates]
    gpu = next((name for model, _ in loaded if (name := gpu_name(str(model.device)))), "")
    found: dict[str, Any] = {"benchmark": "throughput", "random_weights": noise, "attention": None}
    if loaded:
        from ocrpress.measure.loaded import attention_of

        found["attention"] = attention_of(loaded[0][0])
    if noise:
        found["text"] = f"NOISE: {NOISE}"
    rates = [rates_object(rates, str(model.device), str(model.dtype).removeprefix("torch.")) for model, rates in loaded]
    return found | {
        "cells": cell_objects(cells),
        "note": STAGES_NOTE,
        "rates": rates[0] if rates else None,
        "settings": settings_object(settings),
        **describe_machine(gpu),
    }


def settings_object(settings: Settings) -> dict[str, Any]:
    """The settings for JSON; passwords stay out."""
    found = {item.name: getattr(settings, item.name) for item in fields(settings) if item.name != "password"}
    return found | {"lengths": [str(lengths) for lengths in settings.lengths]}


def _row(cell: Cell) -> list[str]:
    whole = spread(run.pages_per_second for run in cell.runs)
    steady = _optional([run.steady(cell.slots) for run in cell.runs])
    tokens = _tokens_per_second(cell)
    used = _optional([run.occupancy(cell.slots) for run in cell.runs])
    share = cell.pages_per_second / cell.bound.pages_per_second if cell.bound else None
    return [
        *_names(cell),
        str(cell.work.pages),
        _number(whole["median"]),
        f"{_number(whole['min'])} – {_number(whole['max'])}",
        f"{whole['median'] * SECONDS_A_DAY:,.0f}",
        _number(steady["median"] if steady else None),
        f"{tokens['median']:,.0f}" if tokens else NONE,
        f"{100 * used['median']:.0f}" if used else NONE,
        f"{100 * share:.0f}" if share is not None else NONE,
        f"{cell.memory / 2**20:,.0f}",
    ]


def _tokens_per_second(cell: Cell) -> dict[str, float] | None:
    """None for engines without tokens."""
    return _optional([run.tokens_per_second or None for run in cell.runs])


def _names(cell: Cell) -> list[str]:
    return [cell.engine, cell.work.mode, str(cell.slots), str(cell.work.lengths or NONE)]


def _number(value: float | None) -> str:
    """Three figures, never in exponents."""
    if value is None:
        return NONE
    return (
        f"{value:,.0f}"
        if value >= 100
        else f"{value:.1f}"
        if value >= 10
        else f"{value:.2f}"
        if value >= 1
        else f"{value:.3f}"
    )


def _optional(values: Sequence[float | None]) -> dict[str, float] | None:
    """Median, smallest and largest; None if a run has no such figure."""
    kept = [value for value in values if value is not None]
    return _rounded(spread(kept)) if kept and len(kept) == len(values) else None


def _rounded(found: dict[str, float]) -> dict[str, float]:
    return {name: round(value, 4) for name, value in found.items()}
