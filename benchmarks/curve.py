"""What measuring a curve costs beside the engine: the sweep of `ocrpress curve` against the engine alone.

    python benchmarks/curve.py [--engine rapid] [--modes native,tiny,small,base] [--pages 10] [--out FILE.json]

The same pages of the built-in prose (by default 10 in each of the seven buckets of the published table) are read twice
in every mode, a bucket at a time in turn: by the engine alone, the page images lying ready in memory, and by the sweep,
which draws the pages, reads, scores and keeps them. Prints a table, then a JSON line.
"""

from __future__ import annotations

import argparse
import json
import tempfile
import time
from contextlib import closing
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING, Any

from ocrpress.document import PageImage, Request
from ocrpress.engines import open_engine
from ocrpress.engines.base import EngineOptions
from ocrpress.measure.machine import describe_machine
from ocrpress.measure.samples import Choice, SampleSource, load_samples
from ocrpress.measure.sweep import CELLS, Subject, Sweep, measure_samples
from ocrpress.measure.tokens import open_counter

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ocrpress.engines.base import Engine
    from ocrpress.measure.samples import Sample


@dataclass(frozen=True)
class Part:
    """Pages of one bucket in one mode: seconds of the engine alone, of the sweep, and of scoring within it."""

    mode: str
    pages: int
    alone: float
    sweep: float
    scoring: float


def read_alone(engine: Engine, samples: Sequence[Sample], mode: str) -> float:
    """Seconds that the engine takes for pages that lie ready."""
    with closing(SampleSource(samples, mode)) as source:
        pages = [page for page in source.pages() if isinstance(page, PageImage)]
    started = time.perf_counter()
    answers = list(engine.read(Request(page.number, page, mode) for page in pages))
    assert len(answers) == len(samples)
    return time.perf_counter() - started


def compare(engine: Engine, subject: Subject, samples: Sequence[Sample], mode: str, first: bool) -> Part:
    """One part, by the engine alone first, or by the sweep."""
    alone = read_alone(engine, samples, mode) if first else 0.0
    with tempfile.TemporaryDirectory() as folder:
        Path(folder, CELLS).mkdir()
        wanted = Sweep((subject,), (mode,), {"natural": samples}, Path(folder))
        started = time.perf_counter()
        measured = measure_samples(wanted, subject, engine, mode, "natural")
        sweep = time.perf_counter() - started
    return Part(mode, len(samples), alone or read_alone(engine, samples, mode), sweep, measured.scoring)


def measure(engine_name: str, modes: Sequence[str], per_bucket: int) -> dict[str, Any]:
    """Every bucket in every mode."""
    found = load_samples([], open_counter(), Choice(variants=("natural",), per_bucket=per_bucket))
    subject = Subject(engine_name, EngineOptions(), engine_name)
    parts: list[Part] = []
    with closing(open_engine(engine_name)) as engine:
        for mode in modes:
            read_alone(engine, found.items[:1], mode)  # it prepares for the size
            for _, group in groupby(found.items, key=lambda sample: sample.bucket):
                parts.append(compare(engine, subject, list(group), mode, first=len(parts) % 2 == 0))
    ratios = sorted(part.sweep / part.alone for part in parts)
    sweep = sum(part.sweep for part in parts)
    return {
        "benchmark": "curve", "engine": engine_name, "modes": list(modes), "pages": len(found.items),
        "data": found.about,
        "seconds": {"engine alone": round(sum(part.alone for part in parts), 2), "sweep": round(sweep, 2),
                    "scoring": round(sum(part.scoring for part in parts), 3)},
        "ratio": round(sweep / sum(part.alone for part in parts), 3), "median_ratio": round(median(ratios), 3),
        "ratio_spread": [round(ratios[0], 3), round(ratios[-1], 3)],
        "scoring_share": round(sum(part.scoring for part in parts) / sweep, 5),
        "by_mode": {mode: round(sum(part.sweep for part in parts if part.mode == mode)
                                / sum(part.alone for part in parts if part.mode == mode), 3) for mode in modes},
        **describe_machine(),
    }  # fmt: skip


def main() -> None:
    """Parse, measure, print."""
    parser = argparse.ArgumentParser(description="what measuring a curve costs beside the engine")
    parser.add_argument("--engine", default="rapid")
    parser.add_argument("--modes", default="native,tiny,small,base")
    parser.add_argument("--pages", type=int, default=10, help="in each of the seven buckets")
    parser.add_argument("--out", type=Path)
    args = parser.parse_args()
    result = measure(args.engine, args.modes.split(","), args.pages)
    seconds = result["seconds"]
    print(f"{'engine alone':<16}{seconds['engine alone']:>9.1f} s\n{'sweep':<16}{seconds['sweep']:>9.1f} s")
    print(f"{'ratio':<16}{result['ratio']:>9}\n{'scoring':<16}{result['scoring_share']:>9.3%}")
    if args.out:
        args.out.write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")
    print(json.dumps(result))


if __name__ == "__main__":
    main()
