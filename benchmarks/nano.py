"""How much text survives in how few vision tokens of nano, or of another checkpoint: pages filled with held-out text.

    python benchmarks/nano.py TEXTS [--checkpoint nano] [--font serif …] [--unseen FONT …] [--modes tiny,base]
                              [--ratios 2,4,…] [--pages 8] [--no-control] [--out FILE.json]

TEXTS is the folder that models/nano/train.py learns from; only what its recipe holds out is taken: words drawn at
random, and prose as it is, shuffled, and as random letters. Every page holds a given number of characters a vision
token, in the largest type in which they fit. The control is `rapid` on the very pixels. Prints a table, then a JSON
line; beside FILE.json it draws FILE.png.
"""

from __future__ import annotations

import argparse
import json
import random
import sys
import tempfile
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from statistics import mean, median
from typing import TYPE_CHECKING, Any

from ocrpress.engines.base import EngineOptions
from ocrpress.measure.machine import describe_machine
from ocrpress.measure.samples import Choice, load_samples
from ocrpress.measure.samples.choice import STYLE
from ocrpress.measure.sweep import CELLS, CONTROL, Subject, Sweep, measure_cells
from ocrpress.measure.tokens import open_counter
from ocrpress.modes import get_mode

if TYPE_CHECKING:
    from ocrpress.measure.samples import Samples

RECIPE = Path(__file__).resolve().parents[1] / "models" / "nano"
LARGEST = 96.0  # points; every page is set in the largest type up to this in which it fits
WHOLE = (90_000, 90_100)  # tokens: shorter texts are one page each
KINDS = {"words": ("natural",), "prose": ("natural", "shuffled", "random")}


@dataclass(frozen=True)
class Row:
    """Pages of one kind: shares of characters right, 1 - edits / characters, 0 at least."""

    font: str
    mode: str
    text: str
    ratio: int
    engine: str
    right: tuple[float, ...]
    characters: int
    tokens: int


def held_out(texts: Path, kind: str, lengths: Sequence[int], pages: int, folder: Path) -> None:
    """Files of held-out text, one a page: `KIND-LENGTH-NUMBER.txt`."""
    sys.path.insert(0, str(RECIPE))
    from texts import Texts  # type: ignore[import-not-found]

    source = Texts(texts, test=True)
    for length in lengths:
        for number in range(pages):
            text = source.make(kind, random.Random(f"{kind}/{length}/{number}"), length)  # noqa: S311, no secret
            (folder / f"{kind}-{length:05d}-{number:03d}.txt").write_text(text.replace("\n", "\n\n"))


def rows(args: argparse.Namespace, font: str, mode: str, ratios: Sequence[int], scratch: Path) -> Iterator[Row]:
    """All rows of a font in a mode."""
    cells = get_mode(mode).view_tokens
    subjects = [Subject("deepseek", EngineOptions(checkpoint=args.checkpoint), "nano", task="text")]
    if not args.no_control:
        subjects.append(Subject(CONTROL, EngineOptions(), CONTROL, control=True))
    for kind, variants in KINDS.items():
        place = Path(tempfile.mkdtemp(dir=scratch))
        held_out(args.texts, kind, [ratio * cells for ratio in ratios], args.pages, place)
        choice = Choice(variants, buckets=WHOLE, style=replace(STYLE, font=font, size=LARGEST))
        samples: Samples = load_samples([str(path) for path in sorted(place.iterdir())], open_counter(), choice)
        for name, why in samples.left_out:
            print(f"left out: {name}: {why}", file=sys.stderr)
        (place / CELLS).mkdir()
        for found in measure_cells(Sweep(tuple(subjects), (mode,), samples.by_variant(), place)):
            groups = defaultdict(list)
            for page in found.cell.pages:
                groups[int(Path(page.page).name.split("-")[1]) // cells].append(page.score)
            for ratio, scores in sorted(groups.items()):
                right = tuple(max(0.0, 1 - score.character_error_rate) for score in scores)
                text = kind if found.cell.variant == "natural" else found.cell.variant
                characters = sum(score.characters for score in scores)
                yield Row(font, mode, text, ratio, found.cell.engine, right, characters, cells * len(scores))


def described(row: Row, unseen: bool) -> dict[str, Any]:
    """A row, ready for JSON."""
    return {
        "font": Path(row.font).stem, "seen": not unseen, "mode": row.mode, "text": row.text, "engine": row.engine,
        "ratio": row.ratio, "characters_per_vision_token": round(row.characters / row.tokens, 2),
        "pages": len(row.right),
        "right": round(mean(row.right), 4), "median": round(median(row.right), 4),
        "spread": [round(min(row.right), 4), round(max(row.right), 4)],
    }  # fmt: skip


def summary(lines: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """Means over the fonts: "ENGINE seen" or "ENGINE unseen" -> mode -> text -> ratio."""
    groups: dict[tuple[str, str, str, str], list[float]] = defaultdict(list)
    for line in lines:
        who = f"{line['engine']}_{'seen' if line['seen'] else 'unseen'}"
        groups[who, line["mode"], line["text"], str(line["ratio"])].append(line["right"])
    found: dict[str, Any] = {}
    for (who, mode, text, ratio), values in groups.items():
        found.setdefault(who, {}).setdefault(mode, {}).setdefault(text, {})[ratio] = round(mean(values), 4)
    return found


def draw(means: dict[str, Any], path: Path) -> None:
    """The curves of every mode: nano's whole, its control's dashed, unseen families' dotted."""
    from matplotlib.figure import Figure
    from matplotlib.ticker import NullFormatter

    modes = list(means["nano_seen"])
    figure = Figure(figsize=(5.2 * len(modes), 4), layout="constrained")
    for mode, axes in zip(modes, figure.subplots(1, len(modes), squeeze=False, sharey=True)[0], strict=True):
        for text, colour in zip(means["nano_seen"][mode], ("C0", "C1", "C2", "C3"), strict=False):
            for who, style in (("nano_seen", "-o"), ("nano_unseen", ":"), (f"{CONTROL}_seen", "--")):
                points = means.get(who, {}).get(mode, {}).get(text, {})
                label = text if who == "nano_seen" else None
                axes.plot([int(ratio) for ratio in points], [*points.values()], style, color=colour, label=label, ms=3)
        axes.set(xscale="log", title=mode, xlabel="characters a vision token", ylim=(0, 1.02))
        ratios = [int(ratio) for ratio in next(iter(means["nano_seen"][mode].values()))]
        axes.set_xticks(ratios, [str(ratio) for ratio in ratios], minor=False)
        axes.xaxis.set_minor_formatter(NullFormatter())
        axes.grid(alpha=0.3)
    figure.axes[0].set_ylabel("share of characters right")
    figure.axes[0].legend(title="whole: nano; dotted: unseen\nfonts; dashed: its pixels", fontsize=8, title_fontsize=8)
    figure.savefig(path, dpi=110)


def main() -> None:
    """Parse, measure, print."""
    parser = argparse.ArgumentParser(description="how much text survives in how few vision tokens of nano")
    parser.add_argument("texts", type=Path)
    parser.add_argument("--checkpoint", default="nano")
    parser.add_argument("--font", nargs="+", default=["serif", "sans"], help="families that it was trained on")
    parser.add_argument("--unseen", nargs="*", default=[], help="families that it was not trained on")
    parser.add_argument("--modes", default="tiny,base")
    parser.add_argument("--ratios", default="2,4,6,8,10,15,20,30,40", help="characters a vision token")
    parser.add_argument("--pages", type=int, default=8, help="of every kind and length")
    parser.add_argument("--no-control", action="store_true")
    parser.add_argument("--out", type=Path)
    args = parser.parse_args()
    ratios = [int(ratio) for ratio in args.ratios.split(",")]
    found = []
    with tempfile.TemporaryDirectory() as scratch:
        for font in [*args.font, *args.unseen]:
            for mode in args.modes.split(","):
                for row in rows(args, font, mode, ratios, Path(scratch)):
                    line = described(row, font in args.unseen)
                    found.append(line)
                    print("{font:<16}{mode:<6}{text:<10}{engine:<8}{characters_per_vision_token:>6}"
                          "{right:>8.3f}  {spread}".format(**line), flush=True)  # fmt: skip
    means = summary(found)
    result = {
        "benchmark": "nano",
        "checkpoint": Path(args.checkpoint).name,
        **means,
        "rows": found,
        **describe_machine(),
    }
    if args.out:
        draw(means, args.out.with_suffix(".png"))
        args.out.write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")
    print(json.dumps(result))


if __name__ == "__main__":
    main()
