"""`ocrpress batch` over a folder: pages a second, what the ledger costs, memory over many pages, and beside `convert`.

    python benchmarks/batch.py speed [--documents 3000] [--mode tiny] [--workers 2] [--repeats 3] [--out FILE.json]
    python benchmarks/batch.py memory [--engine fake] [--pages 100 2000] [--out FILE.json]
    python benchmarks/batch.py convert [--documents 6] [--pages-each 5] [--repeats 3] [--out FILE.json]

The documents are made here: A4 pages with text of their own, drawn as vectors. All commands run as whole processes,
start-up included. `speed` reads one-page documents with the engine `fake`, which costs next to nothing: measured
is everything else, rendering included. `convert` reads the same documents by both commands in turn. Prints a table,
then a JSON line.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from statistics import median
from typing import Any

from memory import make_pdf, peak_memory

from ocrpress.measure.machine import describe_machine

OCRPRESS = [sys.executable, "-m", "ocrpress"]


def make_folder(folder: Path, documents: int, pages: int, lines: int) -> None:
    """So many PDFs, each of so many pages."""
    folder.mkdir()
    for number in range(documents):
        make_pdf(pages, folder / f"{number:05}.pdf", lines)


def batch(source: Path, out: Path, *options: str) -> list[str]:
    """The command."""
    return [*OCRPRESS, "batch", str(source), "-o", str(out), "--quiet", *options]


def seconds_of(command: list[str]) -> float:
    """What a command takes."""
    started = time.perf_counter()
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
    return time.perf_counter() - started


def ledger_seconds(out: Path) -> float:
    """What the ledger of a batch has cost, as it says itself."""
    told = subprocess.run([*OCRPRESS, "status", str(out), "--json"], check=True, capture_output=True).stdout
    return float(json.loads(told)["seconds_by_stage"]["ledger"])


def speed(args: argparse.Namespace, folder: Path) -> dict[str, Any]:
    """One-page documents through an engine that costs nothing."""
    make_folder(folder / "in", args.documents, 1, args.lines)
    rates, shares = [], []
    for repeat in range(args.repeats):
        out = folder / f"out{repeat}"
        options = ("--engine", "fake", "--mode", args.mode, "--workers", str(args.workers))
        took = seconds_of(batch(folder / "in", out, *options))
        rates.append(args.documents / took)
        shares.append(ledger_seconds(out) / took)
        print(f"{args.documents} documents in {took:.1f} s: {rates[-1]:.0f} pages/s, ledger {shares[-1]:.1%}")
    return {
        "documents": args.documents, "lines": args.lines, "mode": args.mode, "workers": args.workers,
        "pages_per_second": [round(rate, 1) for rate in rates], "median": round(median(rates), 1),
        "ledger_share": [round(share, 4) for share in shares], "ledger_share_median": round(median(shares), 4),
    }  # fmt: skip


def memory(args: argparse.Namespace, folder: Path) -> dict[str, Any]:
    """Many pages beside few, in documents of twenty."""
    peaks, seconds = [], []
    for pages in args.pages:
        make_folder(folder / f"in{pages}", pages // 20, 20, 3)
        options = ("--engine", args.engine, "--workers", "1")
        peak, took = peak_memory(batch(folder / f"in{pages}", folder / f"out{pages}", *options))
        peaks.append(peak)
        seconds.append(round(took, 1))
        print(f"{pages:>6} pages {peak / 2**20:>8.0f} MiB {took:>8.1f} s")
    ratio = round(peaks[1] / peaks[0], 3)
    return {"engine": args.engine, "pages": args.pages, "peak_bytes": peaks, "seconds": seconds, "ratio": ratio}


def convert(args: argparse.Namespace, folder: Path) -> dict[str, Any]:
    """The same documents by `batch` and by `convert`, in turn."""
    make_folder(folder / "in", args.documents, args.pages_each, 30)
    documents = [str(path) for path in sorted((folder / "in").iterdir())]
    found: dict[str, list[float]] = {"convert": [], "batch": []}
    for repeat in range(args.repeats):
        single = [*OCRPRESS, "convert", *documents, "-o", str(folder / f"convert{repeat}"), "--engine", args.engine]
        found["convert"].append(seconds_of([*single, "--quiet"]))
        found["batch"].append(seconds_of(batch(folder / "in", folder / f"out{repeat}", "--engine", args.engine)))
        print(", ".join(f"{name} {values[-1]:.1f} s" for name, values in found.items()))
    ratios = [ours / single for ours, single in zip(found["batch"], found["convert"], strict=True)]
    return {
        "engine": args.engine, "documents": args.documents, "pages_each": args.pages_each,
        "seconds": {name: [round(value, 2) for value in values] for name, values in found.items()},
        "ratio": round(median(ratios), 3), "ratio_spread": [round(min(ratios), 3), round(max(ratios), 3)],
    }  # fmt: skip


def main() -> None:
    """Parse, measure, print."""
    parser = argparse.ArgumentParser(description="ocrpress batch, measured")
    parser.add_argument("part", choices=["speed", "memory", "convert"])
    parser.add_argument("--engine", default="rapid", help="of memory and convert")
    parser.add_argument("--documents", type=int)
    parser.add_argument("--mode", default="tiny", help="of speed")
    parser.add_argument("--workers", type=int, default=2, help="of speed")
    parser.add_argument("--lines", type=int, default=40, help="of text on a page, of speed")
    parser.add_argument("--pages", type=int, nargs=2, default=[100, 2000], metavar=("FEW", "MANY"))
    parser.add_argument("--pages-each", type=int, default=5)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--out", type=Path)
    args = parser.parse_args()
    args.documents = args.documents or {"speed": 3000, "convert": 6}.get(args.part)
    measure = {"speed": speed, "memory": memory, "convert": convert}[args.part]
    with tempfile.TemporaryDirectory() as folder:
        result = {"benchmark": f"batch {args.part}", **measure(args, Path(folder)), **describe_machine()}
    if args.out:
        args.out.write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")
    print(json.dumps(result))


if __name__ == "__main__":
    main()
