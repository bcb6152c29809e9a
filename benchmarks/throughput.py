"""Pages a second of the engine deepseek on a GPU: the published size, random weights, beside transformers' `generate`.

    python benchmarks/throughput.py [--minutes 8] [--tokens 1000] [--cells base:256 baseline:64 …] [--out FILE.json]
    python benchmarks/throughput.py --small --device cpu
    python benchmarks/throughput.py --count [--tokens 1000] [--out FILE.json]

First it checks, on a small model, that captured steps give the same tokens as plain ones, and our decoder those of
`generate`. Then it measures the device's rates and the cells, in order, as many as the minutes allow: MODE:SLOTS is our
engine (gundam with at most 6 tiles), baseline:N is `generate` with N pages at a time in mode base, grouped:N the same
with its grouped expert products kept. The JSON is written after every cell; a table and the JSON line come last. The
text is noise. Exit codes: 0, 1 if tokens differ or a cell or page failed, 4 without a CUDA GPU.

--count needs no GPU and no weights: it counts the bytes, operations and launches of encoding, prefill and decode steps
at the published size, and says what named GPUs would come to at known rates, beside their roofline, in a minute.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ocrpress.cli.say import say, say_error
from ocrpress.cli.table import table
from ocrpress.engines.base import EngineOptions
from ocrpress.errors import EngineError, OcrpressError, UsageError
from ocrpress.measure.bench import Settings, Subject, Watcher, measure_baseline, measure_one
from ocrpress.measure.machine import describe_machine
from ocrpress.measure.pages import drawn_pages
from ocrpress.measure.report import NOISE, ratio_lines, result_object, rows, stage_rows
from ocrpress.measure.roofline import PROMPT_TEXT, bound
from ocrpress.measure.work import Lengths, Work
from ocrpress.modes import MODES, plan
from ocrpress.output import check_writable, write_text

if TYPE_CHECKING:
    from ocrpress.measure.agreement import Agreement
    from ocrpress.measure.throughput import Cell

BASELINES = {"baseline": False, "grouped": True}  # name of a cell -> are the grouped expert products kept
CELLS = (
    "base:256", "grouped:64", "tiny:256", "gundam:256", "baseline:64", "base:128", "gundam:128", "base:64",
    "baseline:16", "gundam:64", "baseline:1",
)  # fmt: skip
SMALL_CELLS = ("base:3", "baseline:2", "gundam:2", "tiny:2")
MAX_TILES = 6
ROUNDS = 3  # pages for every slot: enough for a steady window of one round
SHARE = 0.4  # of the roofline, to guess what a cell will take before one has been measured
STEP_SECONDS = 0.07  # of `generate`, likewise
COUNTED_MODES, COUNTED_ROWS = ("tiny", "base", "gundam"), (64, 128, 256)
OPENING = 8.0  # seconds to open an engine


class Session:
    """The cells, the clock and what has been measured so far."""

    def __init__(self, subject: Subject, agreements: list[Agreement], args: argparse.Namespace, started: float) -> None:
        self.subject, self.agreements, self.out = subject, agreements, args.out
        self.started, self.limit, self.commit = started, 60 * args.minutes, args.commit
        self.settings = Settings(
            lengths=(Lengths(args.tokens, args.tokens),), repeats=args.repeat, max_tiles=MAX_TILES, pages=args.pages
        )
        self.cells: list[Cell] = []
        self.skipped: list[str] = []
        self.errors: dict[str, str] = {}
        self.watcher = Watcher(remark=say)

    def measure(self, name: str) -> None:
        """One cell, unless it would take longer than is left."""
        kind, slots = parse_cell(name)
        guess, left = self.guess(kind, slots), self.limit - (time.perf_counter() - self.started)
        if guess > left:
            self.skipped.append(name)
            say(f"{name} left out: it would take about {guess:.0f} s, {max(0.0, left):.0f} s are left")
            self.write()
            return
        say(f"{name}, about {guess:.0f} s")
        try:
            found = self.baseline(kind, slots) if kind in BASELINES else [self.ours(kind, slots)]
        except Exception as error:  # minutes of a GPU are dear: the other cells are measured all the same
            self.errors[name] = f"{type(error).__name__}: {error}"
            say(f"{name} failed: {self.errors[name]}")
            found = []
        for cell in found:
            self.cells.append(cell)
            say(f"{name}: {cell.pages_per_second:.2f} pages/s" + (f", {cell.error}" if cell.failed else ""))
        self.write()

    def ours(self, mode: str, slots: int) -> Cell:
        """Our engine with so many slots."""
        engine = self.subject.open(slots)
        try:
            return measure_one(self.subject, engine, self.work(mode, slots), self.settings, self.watcher, slots)
        finally:
            engine.close()

    def baseline(self, kind: str, batch: int) -> list[Cell]:
        """Transformers' `generate`; empty if there is no memory for it."""
        assert self.subject.loaded
        work = self.work("base", batch)
        grouped = BASELINES[kind]
        return list(
            measure_baseline(self.subject, self.subject.loaded, work, self.settings, self.watcher, batch, grouped)
        )

    def work(self, mode: str, slots: int) -> Work:
        """The pages of a cell."""
        pages = self.settings.pages or ROUNDS * slots
        return Work(mode, pages, self.settings.lengths[0], max_tiles=MAX_TILES)

    def guess(self, kind: str, slots: int) -> float:
        """Seconds that a cell will take, warm-up included."""
        tokens = self.settings.lengths[0].high
        if kind in BASELINES:
            return OPENING + tokens * STEP_SECONDS
        assert self.subject.loaded
        assert self.subject.rates
        work, image = self.work(kind, slots), drawn_pages(1)[0].image
        seen = plan(image.width, image.height, kind, MAX_TILES)
        loaded, rates = self.subject.loaded, self.subject.rates
        limit = bound(rates, loaded.architecture, seen, slots, [tokens], loaded.dtype.itemsize)
        shares = [cell.pages_per_second / cell.bound.pages_per_second for cell in self.ours_so_far if cell.bound]
        pages = work.pages * self.settings.repeats + min(work.pages, slots)
        return OPENING + pages / (max(min(shares, default=SHARE), 0.01) * limit.pages_per_second)

    @property
    def ours_so_far(self) -> list[Cell]:
        """The cells of our engine that have been measured."""
        return [cell for cell in self.cells if not cell.baseline]

    def result(self) -> dict[str, Any]:
        """Everything, for JSON."""
        found = result_object(self.cells, [self.subject], self.settings, noise=True)
        found["agreement"] = [asdict(agreement) | {"complete": agreement.complete} for agreement in self.agreements]
        found |= {"skipped": self.skipped, "errors": self.errors}
        found["took_seconds"] = round(time.perf_counter() - self.started, 1)
        return found | ({"commit": self.commit} if self.commit else {})

    def write(self) -> None:
        """Write what there is, whole or not at all."""
        if self.out:
            write_text(self.out, json.dumps(self.result(), indent=1) + "\n")


def parse_cell(name: str) -> tuple[str, int]:
    """ "base:256" -> ("base", 256). Raises UsageError."""
    kind, _, slots = name.partition(":")
    if kind not in (*BASELINES, *MODES) or not slots.isdigit() or int(slots) < 1:
        raise UsageError(f"'{name}' is no cell", f"give MODE:SLOTS, or {' or '.join(BASELINES)}:N")
    return kind, int(slots)


def check_fast_paths(device: Any, dtype: Any) -> list[Agreement]:
    """On a small model: captured steps against plain ones, our decoder in float32 against `generate`."""
    import torch

    from ocrpress.measure.agreement import Agreement, compare_generate, compare_graphs
    from ocrpress.measure.loaded import load_small

    found = []
    for compare, kind in ((compare_graphs, dtype), (compare_generate, torch.float32)):
        try:
            found.append(compare(load_small(device, kind)))
        except Exception as error:  # it is measured all the same, and the exit code says that something is wrong
            found.append(Agreement(f"{compare.__name__} ({type(error).__name__}: {error})", 0, 0, tokens=1, before=0))
        word = "agree" if found[-1].complete else "DISAGREE"
        say(f"{found[-1].what} {word}: {found[-1].before} of {found[-1].tokens} tokens equal")
    return found


def prepare(args: argparse.Namespace) -> tuple[Subject, list[Agreement]]:
    """The model on its device, the device's rates, and whether the fast paths can be trusted. Raises EngineError."""
    from ocrpress.engines.deepseek.checkpoint import model_class
    from ocrpress.engines.deepseek.device import choose_dtype, find_device

    model_class()  # refuses, in words, what the imports below would fail on
    device = find_device(args.device)
    if device.type != "cuda" and not args.small:
        raise EngineError("there is no CUDA GPU to measure", "on the CPU, run with --small --device cpu")
    from ocrpress.measure.loaded import attention_of, load, load_small
    from ocrpress.measure.probe import measure_rates

    dtype = choose_dtype(device)
    agreements = check_fast_paths(device, dtype)
    options = EngineOptions(random_weights=True, device=str(device))
    loaded = load_small(device, dtype) if args.small else load(options)
    subject = Subject("deepseek", options, loaded, measure_rates(device, dtype))
    say(f"attention: {attention_of(loaded)}; {subject.rates}")
    return subject, agreements


def parse(arguments: list[str] | None = None) -> argparse.Namespace:
    """The command line; figures for a small model are small."""
    parser = argparse.ArgumentParser(description="pages a second of the engine deepseek on a GPU")
    parser.add_argument("--minutes", type=float, default=8.0, help="cells that would not end by then are left out")
    parser.add_argument("--tokens", type=int, help="of every answer (default: 1000, with --small 6)")
    parser.add_argument("--pages", type=int, help=f"of a run (default: {ROUNDS} for every slot)")
    parser.add_argument("--repeat", type=int, default=1, help="runs of our engine after its warm-up")
    parser.add_argument("--cells", nargs="+", help=f"default: {' '.join(CELLS)}")
    parser.add_argument("--device", default="auto")
    parser.add_argument("--count", action="store_true", help="predict from counted operations; needs no GPU")
    parser.add_argument("--small", action="store_true", help="a small model and few pages: to try this script out")
    parser.add_argument("--commit", help="where this is no checkout")
    parser.add_argument("--out", type=Path)
    args = parser.parse_args(arguments)
    small = {"tokens": 6, "cells": SMALL_CELLS} if args.small else {"tokens": 1000, "cells": CELLS}
    for name, value in small.items():
        if getattr(args, name) is None:
            setattr(args, name, value)
    return args


def measure(args: argparse.Namespace) -> Session:
    """All of it. Raises OcrpressError."""
    started = time.perf_counter()
    for name in args.cells:
        parse_cell(name)
    if args.out:
        check_writable(args.out)
    say(f"NOISE: {NOISE}")
    session = Session(*prepare(args), args, started)
    session.write()
    for name in args.cells:
        session.measure(name)
    return session


def predicted(args: argparse.Namespace) -> dict[str, Any]:
    """Count, print tables, write and return the JSON. Raises OcrpressError."""
    from ocrpress.engines.deepseek.checkpoint import model_class

    model_class()  # refuses, in words, what the imports below would fail on
    from ocrpress.measure.predictions import (
        DEVICES,
        TOGETHER,
        count_encode,
        count_prefill,
        count_step,
        predict,
        scheduling_seconds,
    )

    image, kinds = drawn_pages(1)[0].image, sorted({device.capability for device in DEVICES})
    plans = [plan(image.width, image.height, mode, MAX_TILES) for mode in COUNTED_MODES]
    counted = {}
    for each in plans:
        prompt = each.sequence_tokens + PROMPT_TEXT
        counted[f"encode {each.mode}, a page of {TOGETHER}"] = count_encode(each).figures(TOGETHER)
        for kind in kinds:
            on = f"on {kind[0]}.{kind[1]}"
            counted[f"prefill {each.mode}, a page of {TOGETHER}, {on}"] = count_prefill(prompt, kind).figures(TOGETHER)
            for slots in COUNTED_ROWS:
                figures = count_step(slots, prompt, args.tokens, kind).figures()
                counted[f"step {each.mode}, {slots} rows, {on}"] = figures
    found = list(predict(plans, COUNTED_ROWS, args.tokens))
    head = ["", *next(iter(counted.values()))]
    print(table([head, *([name, *map(_two, figures.values())] for name, figures in counted.items())]))
    heads = ["device", "mode", "rows", "pages/s", "% of roofline", "encode ms", "prefill ms", "step ms"]
    lines = []
    for guess in found:
        milliseconds = [1000 * value for value in (guess.encode, guess.prefill, guess.step)]
        names = [guess.device, guess.mode, str(guess.rows)]
        lines.append([*names, *map(_two, (guess.pages_per_second, 100 * guess.share, *milliseconds))])
    print(table([heads, *lines]))
    host = {rows: round(1000 * scheduling_seconds(rows, 283, args.tokens), 4) for rows in COUNTED_ROWS}
    print("scheduling, ms of this processor a step: " + ", ".join(f"{ms:.3f} at {n} rows" for n, ms in host.items()))
    result = {
        "benchmark": "throughput", "scheduling_ms_a_step": host, "counted": counted,
        "predictions": [asdict(guess) for guess in found],
        "devices": [asdict(each) for each in DEVICES], "tokens": args.tokens, **describe_machine(),
    }  # fmt: skip
    if args.out:
        write_text(args.out, json.dumps(result, indent=1) + "\n")
    return result


def _two(value: float) -> str:
    return f"{value:,.2f}"


def main(arguments: list[str] | None = None) -> int:
    """Measure and print; returns the exit code."""
    try:
        args = parse(arguments)
        if args.count:
            print(json.dumps(predicted(args)))
            return 0
        done = measure(args)
    except OcrpressError as error:
        return say_error(error)
    if done.cells:
        print(table(rows(done.cells)))
        print(table(stage_rows(done.cells)))
        print("\n".join(ratio_lines(done.cells)))
    print(f"NOISE: {NOISE}")
    print(json.dumps(done.result()))
    agree = all(agreement.complete for agreement in done.agreements)
    return int(not agree or bool(done.errors) or any(cell.failed for cell in done.cells))


if __name__ == "__main__":
    sys.exit(main())
