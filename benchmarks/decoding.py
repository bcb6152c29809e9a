"""What slots are worth, on a CPU with a small model of random weights: speed, refilling, memory.

    python benchmarks/decoding.py [--parts speed refill memory] [--repeat 3] [--out FILE.json]

1. speed: pages through our engine against transformers' `generate` page by page, from page images to tokens.
2. refill: answers of spread lengths against answers that are all as long as their mean: tokens a second, and the share
   of the slots' steps that gave a wanted token.
3. memory: of the process after so many pages, and after so many more.

The model is float32, its encoder so small that decoding is most of the work. Prints a table, then a JSON line.
"""

from __future__ import annotations

import argparse
import gc
import json
from pathlib import Path
from statistics import median
from typing import Any

import torch

from ocrpress.measure.baseline import GenerateEngine
from ocrpress.measure.loaded import Loaded, load_small
from ocrpress.measure.machine import describe_machine
from ocrpress.measure.memory import resident
from ocrpress.measure.pages import drawn_pages
from ocrpress.measure.throughput import Run, run_once, spread
from ocrpress.measure.work import Lengths, Work, parse_lengths
from ocrpress.output import write_text

MODE = "tiny"
WARMUP = 8  # tokens


def runs(engine: Any, works: list[Work], repeats: int) -> list[list[Run]]:
    """Every work `repeats` times, in turn, after a short warm-up."""
    images = drawn_pages(max(work.pages for work in works))
    run_once(engine, Work(MODE, 2, Lengths(WARMUP, WARMUP)), lambda: images)
    found: list[list[Run]] = [[] for _ in works]
    for _ in range(repeats):
        for work, kept in zip(works, found, strict=True):
            kept.append(run_once(engine, work, lambda: images))
    return found


def rate(found: list[Run]) -> dict[str, float]:
    """Tokens a second: median, smallest, largest."""
    return {name: round(value, 1) for name, value in spread(run.tokens_per_second for run in found).items()}


def speed(loaded: Loaded, args: argparse.Namespace) -> dict[str, Any]:
    """Our slots against page by page."""
    work = Work(MODE, args.pages, Lengths(args.tokens, args.tokens))
    rates = {}
    for name, engine in (("our slots", loaded.open(args.slots)), ("page by page", GenerateEngine(loaded, 1))):
        (found,) = runs(engine, [work], args.repeat)
        engine.close()
        rates[name] = {"tokens_per_second": rate(found), "pages_per_second": _pages(found)}
    ratio = rates["our slots"]["pages_per_second"]["median"] / rates["page by page"]["pages_per_second"]["median"]
    return {"pages": args.pages, "tokens": args.tokens, "slots": args.slots, **rates, "ratio": round(ratio, 2)}


def refill(loaded: Loaded, args: argparse.Namespace) -> dict[str, Any]:
    """Spread lengths against equal ones of the same mean."""
    pages = args.rounds * args.slots
    mean = round((args.spread.low + args.spread.high) / 2)
    works = [Work(MODE, pages, args.spread, seed=args.seed), Work(MODE, pages, Lengths(mean, mean))]
    engine = loaded.open(args.slots)
    unequal, equal = runs(engine, works, args.repeat)
    engine.close()
    seconds = [one.tokens_per_second / other.tokens_per_second for one, other in zip(unequal, equal, strict=True)]
    steps = [_tokens_a_step(one) / _tokens_a_step(other) for one, other in zip(unequal, equal, strict=True)]
    return {
        "pages": pages, "slots": args.slots, "lengths": str(args.spread), "mean": mean,
        "tokens_per_second": {"spread": rate(unequal), "equal": rate(equal)},
        "occupancy": {"spread": _occupancy(unequal, args.slots), "equal": _occupancy(equal, args.slots)},
        "ratio_seconds": _rounded(spread(seconds)), "ratio_steps": _rounded(spread(steps)),
    }  # fmt: skip


def memory(loaded: Loaded, args: argparse.Namespace) -> dict[str, Any]:
    """Resident bytes after the first pages, and after the others."""
    first, last = args.memory
    engine = loaded.open(args.slots)
    images = drawn_pages(last)
    found = []
    for pages in (first, last - first):
        run_once(engine, Work(MODE, pages, Lengths(4, 12)), lambda: images)
        gc.collect()
        found.append(resident())
    engine.close()
    return {"pages": [first, last], "resident_bytes": found, "ratio": round(found[1] / max(1, found[0]), 4)}


PARTS = {"speed": speed, "refill": refill, "memory": memory}


def _tokens_a_step(run: Run) -> float:
    """The first token of a page comes from its prefill, not from a step."""
    return (sum(run.outputs) - len(run.outputs)) / run.steps


def _pages(found: list[Run]) -> dict[str, float]:
    return _rounded(spread(run.pages_per_second for run in found))


def _occupancy(found: list[Run], slots: int) -> float:
    return round(median(run.occupancy(slots) or 0.0 for run in found), 4)


def _rounded(found: dict[str, float]) -> dict[str, float]:
    return {name: round(value, 4) for name, value in found.items()}


def parse(arguments: list[str] | None = None) -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description="what slots are worth, on a CPU with a small model")
    parser.add_argument("--parts", nargs="+", choices=list(PARTS), default=list(PARTS))
    parser.add_argument("--slots", type=int, default=8)
    parser.add_argument("--pages", type=int, default=32, help="of 'speed'")
    parser.add_argument("--tokens", type=int, default=200, help="of every answer in 'speed'")
    parser.add_argument("--spread", type=parse_lengths, default=Lengths(100, 1000), help="of the answers in 'refill'")
    parser.add_argument("--rounds", type=int, default=16, help="pages for every slot in 'refill'")
    parser.add_argument("--memory", type=int, nargs=2, default=[50, 500], metavar=("FIRST", "LAST"))
    parser.add_argument("--repeat", type=int, default=3)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--threads", type=int, help="of torch")
    parser.add_argument("--out", type=Path)
    return parser.parse_args(arguments)


def lines(result: dict[str, Any]) -> list[str]:
    """What was found, for people."""
    found = []
    if fast := result.get("speed"):
        ours, theirs = (fast[name]["pages_per_second"]["median"] for name in ("our slots", "page by page"))
        found.append(f"speed: {ours} pages/s with {fast['slots']} slots, {theirs} page by page: {fast['ratio']} times")
    if kept := result.get("refill"):
        seconds, steps = kept["ratio_seconds"]["median"], kept["ratio_steps"]["median"]
        found.append(
            f"refill: lengths {kept['lengths']} against {kept['mean']}: {seconds} in tokens/s, {steps} in steps"
        )
    if held := result.get("memory"):
        sizes = " and ".join(f"{size / 2**20:.0f} MiB" for size in held["resident_bytes"])
        found.append(f"memory: after {held['pages'][0]} and {held['pages'][1]} pages {sizes}, ratio {held['ratio']}")
    return found


def main(arguments: list[str] | None = None) -> None:
    """Measure, print."""
    args = parse(arguments)
    if args.threads:
        torch.set_num_threads(args.threads)
    loaded = load_small(torch.device("cpu"), torch.float32)
    result: dict[str, Any] = {"benchmark": "decoding", "repeats": args.repeat, "threads": torch.get_num_threads()}
    for name in args.parts:
        result[name] = PARTS[name](loaded, args)
        if args.out:
            write_text(args.out, json.dumps({**result, **describe_machine()}, indent=1) + "\n")
    print("\n".join(lines(result)))
    print(json.dumps({**result, **describe_machine()}))


if __name__ == "__main__":
    main()
