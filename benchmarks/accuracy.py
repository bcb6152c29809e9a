"""How much of a page's text the engine reads in the right order: normalised edit distance over pages with known text.

    python benchmarks/accuracy.py DATA [--engine rapid] [--mode native] [--limit N] [--out FILE.json]

DATA is a folder with a JSON list of {"image": path, "text": true text} (its `pages.json`, or the file itself), or a PDF
with a text layer, which then is the truth (pages without one that can be trusted are left out). The
distance is that of `ocrpress.measure.accuracy`: 0 is perfect and 1 nothing. Two figures a page: the text as `convert`
gives it by default, and with running heads kept, since true texts mostly hold them. Prints a table, then a JSON line.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from statistics import fmean, median
from typing import Any

from ocrpress.engines import open_engine
from ocrpress.measure.accuracy import compared_text, edit_distance
from ocrpress.measure.machine import describe_machine
from ocrpress.measure.samples import Choice, load_samples
from ocrpress.measure.tokens import open_counter
from ocrpress.pipeline import Options, open_reading


def load_truth(data: Path) -> list[tuple[Path, int, str]]:
    """(file, page number in it, true text) of every page of a data set whose truth can be trusted."""
    found = load_samples([str(data)], open_counter(), Choice(variants=("natural",)))
    return [(Path(sample.file), sample.page, sample.text) for sample in found.items]


def measure(data: Path, engine_name: str, mode: str, limit: int | None) -> dict[str, Any]:
    """Read every page and score it."""
    engine = open_engine(engine_name)
    rows = []
    try:
        for file, number, truth in load_truth(data)[:limit]:
            with open_reading(file, engine, Options(mode=mode, pages=str(number))) as reading:
                (page,) = reading
            name = f"{file.name}:{number}" if file.suffix == ".pdf" else file.name
            kept, dropped = edit_distance(compared_text(page), truth), edit_distance(page.text, truth)
            rows.append({"page": name, "kept": round(kept, 4), "default": round(dropped, 4), "status": page.status})
    finally:
        engine.close()
    return {
        "benchmark": "accuracy", "engine": engine_name, "mode": mode, "data": data.name, "pages": len(rows),
        **{f"{key}_{name}": round(function([float(str(row[key])) for row in rows]), 4)
           for key in ("default", "kept") for name, function in (("mean", fmean), ("median", median), ("worst", max))},
        "rows": rows, **describe_machine(),
    }  # fmt: skip


def main() -> None:
    """Parse, measure, print."""
    parser = argparse.ArgumentParser(description="normalised edit distance over pages with known text")
    parser.add_argument("data", type=Path)
    parser.add_argument("--engine", default="rapid")
    parser.add_argument("--mode", default="native")
    parser.add_argument("--limit", type=int)
    parser.add_argument("--out", type=Path)
    args = parser.parse_args()
    result = measure(args.data, args.engine, args.mode, args.limit)
    rows: list[dict[str, Any]] = result.pop("rows")
    print(f"{'page':<24}{'default':>9}{'kept':>9}")
    for row in sorted(rows, key=lambda row: -row["default"]):
        print(f"{row['page']:<24}{row['default']:>9.4f}{row['kept']:>9.4f}")
    print(f"{'mean':<24}{result['default_mean']:>9}{result['kept_mean']:>9}")
    print(f"{'median':<24}{result['default_median']:>9}{result['kept_median']:>9}")
    if args.out:
        args.out.write_text(json.dumps({**result, "rows": rows}, indent=1) + "\n", encoding="utf-8")
    print(json.dumps(result))


if __name__ == "__main__":
    main()
