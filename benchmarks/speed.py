"""Pages a minute of `ocrpress convert` over a PDF, beside a plain script of pdf2image + RapidOCR, in turn.

    python benchmarks/speed.py DATA [--limit N] [--repeats N] [--out FILE.json]

DATA is as in accuracy.py; its images become the pages of one PDF, each page as large as its image at 144 dpi. Both are
run as whole processes, start-up included, and both texts are scored against the truth, so that speed cannot be bought
with errors. Prints a table, then a JSON line.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from statistics import fmean, median
from typing import Any

from accuracy import load_truth
from PIL import Image

from ocrpress.measure.accuracy import edit_distance
from ocrpress.measure.machine import describe_machine

HERE = Path(__file__).parent
COMMANDS = {
    "ocrpress": [sys.executable, "-m", "ocrpress", "convert", "--format", "txt", "--engine", "rapid"],
    "plain script": [sys.executable, str(HERE / "plain_script.py")],
}


def make_pdf(images: list[Path], path: Path) -> None:
    """One PDF of all images, losslessly, at 144 dpi."""
    first, *rest = [Image.open(image).convert("RGB") for image in images]
    first.save(path, save_all=True, append_images=rest, resolution=144, quality=95)


def run(command: list[str], pdf: Path) -> tuple[float, list[str]]:
    """Seconds of one whole run, and the text of each page."""
    started = time.perf_counter()
    done = subprocess.run([*command, str(pdf)], capture_output=True, check=True)
    return time.perf_counter() - started, done.stdout.decode("utf-8").split("\f")


def measure(data: Path, limit: int | None, repeats: int) -> dict[str, Any]:
    """Both commands in turn, `repeats` times."""
    pages = load_truth(data)[:limit]
    seconds: dict[str, list[float]] = {name: [] for name in COMMANDS}
    errors: dict[str, float] = {}
    with tempfile.TemporaryDirectory() as folder:
        pdf = Path(folder, "pages.pdf")
        make_pdf([image for image, _, _ in pages], pdf)
        for _ in range(repeats):
            for name, command in COMMANDS.items():
                took, texts = run(command, pdf)
                seconds[name].append(took)
                errors[name] = fmean(
                    edit_distance(text, truth) for text, (_, _, truth) in zip(texts, pages, strict=False)
                )
    ratios = [plain / ours for ours, plain in zip(seconds["ocrpress"], seconds["plain script"], strict=True)]
    return {
        "benchmark": "speed", "pages": len(pages), "repeats": repeats,
        "seconds": {name: [round(value, 2) for value in values] for name, values in seconds.items()},
        "pages_per_minute": {name: round(60 * len(pages) / median(values), 1) for name, values in seconds.items()},
        "edit_distance": {name: round(value, 4) for name, value in errors.items()},
        "ratio": round(median(ratios), 2), "ratio_spread": [round(min(ratios), 2), round(max(ratios), 2)],
        **describe_machine(),
    }  # fmt: skip


def main() -> None:
    """Parse, measure, print."""
    parser = argparse.ArgumentParser(description="pages a minute beside a plain script")
    parser.add_argument("data", type=Path)
    parser.add_argument("--limit", type=int)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--out", type=Path)
    args = parser.parse_args()
    result = measure(args.data, args.limit, args.repeats)
    rates, errors = result["pages_per_minute"], result["edit_distance"]
    print(f"{'':<16}{'pages/minute':>14}{'edit distance':>15}")
    for name in COMMANDS:
        print(f"{name:<16}{rates[name]:>14}{errors[name]:>15}")
    print(f"{result['ratio']} times as fast (spread {result['ratio_spread']})")
    if args.out:
        args.out.write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")
    print(json.dumps(result))


if __name__ == "__main__":
    main()
