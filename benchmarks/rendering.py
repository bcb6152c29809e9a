"""Rendering plus views, milliseconds a page on one core: ocrpress against pdf2image + Pillow.

    python benchmarks/rendering.py [FILE.pdf ...] [--repeats 5] [--pages 20] [--output results.json]

Ours is pdfium in this process at the size that the mode asks for, then `ocrpress.views.make_views`. Theirs is what a
plain script does: `pdf2image.convert_from_path` at 144 dpi (and at its default, 200), all pages of the document in one
call, then the same views in plain Pillow: pad, resize, crop. The contenders take turns on each file and mode, and all
processes are pinned to one core. Prints a table, then one line of JSON.

Without files it makes a document of generated text.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from functools import partial
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any

from PIL import Image, ImageOps

from ocrpress.document import PageImage
from ocrpress.measure.machine import describe_machine
from ocrpress.modes import get_mode, plan
from ocrpress.sources import SourceOptions, open_source
from ocrpress.views import PADDING, make_views

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

MODES = ("base", "tiny", "gundam")
DPIS = (144, 200)
TEXT = "the page of a long document holds many words and few of them surprise a reader who has seen more"


@dataclass(frozen=True)
class Measurement:
    """Milliseconds a page of one contender on one file in one mode, one value a repeat."""

    file: str
    mode: str
    contender: str
    times: tuple[float, ...]

    @property
    def median(self) -> float:
        """Median of the repeats."""
        return statistics.median(self.times)


def ours(path: Path, mode: str, pages: int) -> int:
    """Render and cut the first pages; how many there were."""
    source = open_source(path, SourceOptions(mode=mode, workers=0, renderer="pdfium", pages=f"-{pages}"))
    count = 0
    for page in source.pages():
        if not isinstance(page, PageImage):
            raise TypeError(page.error)
        make_views(page.image, plan(*page.image.size, mode))
        count += 1
    source.close()
    return count


def theirs(path: Path, mode: str, pages: int, *, dpi: int) -> int:
    """The same with pdf2image and Pillow."""
    from pdf2image import convert_from_path

    spec = get_mode(mode)
    images = convert_from_path(str(path), dpi=dpi, last_page=pages)
    for image in images:
        square = (spec.view, spec.view)
        if spec.stretch:
            image.resize(square, Image.Resampling.BICUBIC)
        else:
            ImageOps.pad(image, square, Image.Resampling.BICUBIC, color=PADDING)
        if spec.tile:
            cols, rows = plan(*image.size, mode).grid
            canvas = image.resize((cols * spec.tile, rows * spec.tile), Image.Resampling.BICUBIC)
            for x in range(0, canvas.width, spec.tile):
                for y in range(0, canvas.height, spec.tile):
                    canvas.crop((x, y, x + spec.tile, y + spec.tile))
    return len(images)


def contenders() -> dict[str, Callable[[Path, str, int], int]]:
    """Name -> what renders a file in a mode up to a page and says how many pages it did."""
    found: dict[str, Callable[[Path, str, int], int]] = {"ocrpress": ours}
    for dpi in DPIS:
        found[f"pdf2image {dpi} dpi"] = partial(theirs, dpi=dpi)
    return found


def measure(files: Sequence[Path], repeats: int, pages: int) -> Iterator[Measurement]:
    """Every contender on every file in every mode, interleaved, after one run each to warm up."""
    everyone = contenders()
    for path in files:
        for mode in MODES:
            times: dict[str, list[float]] = {name: [] for name in everyone}
            for repeat in range(repeats + 1):
                for name, work in everyone.items():
                    start = time.perf_counter()
                    count = work(path, mode, pages)
                    if repeat:
                        times[name].append((time.perf_counter() - start) * 1000 / count)
            for name, values in times.items():
                yield Measurement(path.name, mode, name, tuple(values))


def make_document(folder: Path, pages: int = 5) -> Path:
    """A PDF of plain text, 50 lines a page."""
    sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "tests"))
    maker = import_module("pdfmaker")  # the tests' own; not a package

    words = TEXT.split()

    def line(seed: int) -> str:
        return " ".join(words[(seed * 7 + i * (seed % 5 + 1)) % len(words)] for i in range(14))

    made = [maker.Page(maker.text(*(line(50 * n + i) for i in range(50)), size=10, top=740)) for n in range(pages)]
    path = folder / "generated.pdf"
    path.write_bytes(maker.make_pdf(made))
    return path


def pin() -> int | None:
    """Stay on one core, children included; its number, or None where the system has no such thing."""
    if not hasattr(os, "sched_setaffinity"):
        return None
    core = max(os.sched_getaffinity(0))
    os.sched_setaffinity(0, {core})
    return core


def summary(results: Sequence[Measurement]) -> dict[str, dict[str, Any]]:
    """By mode, geometric means over the files: milliseconds a page, and times faster than each other contender."""
    out: dict[str, dict[str, Any]] = {}
    for mode in MODES:
        rows = [row for row in results if row.mode == mode]
        by_name = {name: [row.median for row in rows if row.contender == name] for name in contenders()}
        mine = by_name["ocrpress"]
        out[mode] = {
            "ms_a_page": {name: round(statistics.geometric_mean(values), 2) for name, values in by_name.items()},
            "ratio": {
                name: round(statistics.geometric_mean(other / own for other, own in zip(values, mine, strict=True)), 2)
                for name, values in by_name.items()
                if name != "ocrpress"
            },
        }
    return out


def settings(arguments: argparse.Namespace, core: int | None) -> dict[str, Any]:
    """Where and how this was measured."""
    poppler = subprocess.run(["pdftoppm", "-v"], capture_output=True, text=True, check=False).stderr.splitlines()
    return {
        "benchmark": "rendering",
        **describe_machine(),
        "poppler": poppler[0] if poppler else "",
        "core": core,
        "repeats": arguments.repeats,
        "pages": arguments.pages,
    }


def report(results: Sequence[Measurement], facts: dict[str, Any]) -> str:
    """The table for people on stdout, and the line for programs as the return value."""
    print(f"{'file':<32} {'mode':<7} {'contender':<18} {'ms a page':>9} {'least':>8} {'most':>8} {'times ours':>10}")
    for row in results:
        own = next(r for r in results if (r.file, r.mode, r.contender) == (row.file, row.mode, "ocrpress"))
        spread = f"{min(row.times):>8.1f} {max(row.times):>8.1f}"
        print(
            f"{row.file[:32]:<32} {row.mode:<7} {row.contender:<18} {row.median:>9.1f} {spread} "
            f"{row.median / own.median:>10.2f}"
        )
    totals = summary(results)
    for mode, total in totals.items():
        ratios = ", ".join(f"{ratio} times faster than {name}" for name, ratio in total["ratio"].items())
        print(f"{mode}: {total['ms_a_page']['ocrpress']} ms a page, {ratios}")
    rows = [
        {"file": r.file, "mode": r.mode, "contender": r.contender, "ms": [round(t, 2) for t in r.times]}
        for r in results
    ]
    return json.dumps({**facts, "summary": totals, "results": rows})


def main() -> None:
    """Measure, print the table and the JSON line."""
    parser = argparse.ArgumentParser(description="Rendering plus views, ms a page on one core.")
    parser.add_argument("files", nargs="*", type=Path)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--pages", type=int, default=20, help="most pages of each file")
    parser.add_argument("--out", type=Path, help="write the JSON line there as well")
    arguments = parser.parse_args()
    core = pin()
    with tempfile.TemporaryDirectory() as folder:
        files = arguments.files or [make_document(Path(folder))]
        line = report(list(measure(files, arguments.repeats, arguments.pages)), settings(arguments, core))
    print(line)
    if arguments.out:
        arguments.out.write_text(line + "\n")


if __name__ == "__main__":
    main()
