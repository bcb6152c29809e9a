"""Text set in pages, pages a second on one core: ocrpress against a plain Pillow script.

    python benchmarks/typesetting.py [--repeats 5] [--pages 10] [--out results.json]

Full A4 pages at 144 dpi in the default style, of English prose and of random letters in words as long. Ours is
`lay_out` and `draw`; packing PNGs is measured on its own. Theirs is what a plain script does: `textwrap` at the number
of characters that such a page has in a line, then one `ImageDraw.text` a line, with the same font at the same size.

Everything runs in one thread, and what is given is its processor time: other work on the machine makes it slower, too,
but less so than the time on the clock. The contenders take turns, and each round has pages that none had before. The
first round begins with empty caches; its times are given as `cold`. Prints a table, then one line of JSON.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import statistics
import string
import textwrap
import time
from collections import deque
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from PIL import Image, ImageDraw, ImageFont

from ocrpress.measure.machine import describe_machine
from ocrpress.measure.samples.prose import builtin_prose
from ocrpress.typeset import Style, breaking, draw, glyphs, lay_out
from ocrpress.typeset.files import png
from ocrpress.typeset.fonts import REGULAR, packaged
from ocrpress.typeset.geometry import frame
from ocrpress.typeset.shaping import letters

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from ocrpress.typeset.sheet import Sheet

STYLE = Style()
Thing = TypeVar("Thing")


def take_pages(text: str, pages: int) -> list[Sheet]:
    """The first full pages of a text."""
    sheets = [sheet for sheet, _ in zip(lay_out(text, STYLE), range(pages + 1), strict=False)]
    return sheets[:pages]


def scrambled(text: str) -> str:
    """Random letters in words of the same lengths."""
    chance = random.Random(5)  # noqa: S311
    return "\n\n".join(
        " ".join("".join(chance.choices(string.ascii_lowercase, k=len(word))) for word in paragraph.split())
        for paragraph in text.split("\n\n")
    )


def plain_script(text: str, line_characters: int) -> int:
    """Set a text with textwrap and Pillow; how many pages it took."""
    place = frame(STYLE)
    font = ImageFont.truetype(packaged("serif", REGULAR).path, STYLE.size * place.unit)
    step = STYLE.size * STYLE.leading * place.unit
    page, y, pages = None, place.bottom, 0
    for paragraph in text.split("\n\n"):
        for line in textwrap.wrap(paragraph, line_characters):
            if page is None or y + step > place.bottom:
                page, y, pages = Image.new("RGB", (place.width, place.height), "white"), place.top, pages + 1
                pen = ImageDraw.Draw(page)
            pen.text((place.lefts[0], y), line, fill="black", font=font)
            y += step
        y += step / 2
    return pages


def timed(work: Callable[[], int]) -> float:
    """Processor milliseconds a page of something that says how many pages it made."""
    start = time.process_time()
    count = work()
    return (time.process_time() - start) * 1000 / count


def measure(text: str, pages: int, repeats: int) -> tuple[dict[str, list[float]], float]:
    """Milliseconds a page of each step, one value a round, and characters a page. Each round has pages of its own."""
    all_pages = take_pages(text, pages * (repeats + 1))
    if len(all_pages) < pages * (repeats + 1):
        raise SystemExit(f"the text has {len(all_pages)} pages: fewer --pages or --repeats")
    characters = statistics.mean(len(sheet.text) for sheet in all_pages)
    lines = statistics.mean(len({run.y for run in sheet.runs}) for sheet in all_pages)
    forget()
    times: dict[str, list[float]] = {name: [] for name in ("layout", "draw", "png", "plain script")}
    for start in range(0, len(all_pages), pages):
        part = "".join(sheet.text + sheet.joint for sheet in all_pages[start : start + pages])
        sheets: list[Sheet] = []
        images: deque[Image.Image] = deque(maxlen=4)  # who draws pages seldom keeps them
        times["layout"].append(timed(partial(count, lay_out(part, STYLE), sheets)))
        times["draw"].append(timed(partial(count, map(draw, sheets), images)))
        times["png"].append(timed(partial(count, map(partial(png, dpi=sheets[0].dpi), images), [])))
        times["plain script"].append(timed(partial(plain_script, part, round(characters / lines))))
    return times, characters


def count(things: Iterable[Thing], kept: list[Thing] | deque[Thing]) -> int:
    """How many things came; they are kept, or the last ones."""
    number = 0
    for number, thing in enumerate(things, 1):  # noqa: B007
        kept.append(thing)
    return number


def forget() -> None:
    """Empty the caches of metrics, words and ink, so that the first round is cold."""
    letters.cache_clear()
    breaking._cut_and_kept.cache_clear()
    glyphs._kept.clear()


def row(name: str, values: Sequence[float], characters: float) -> dict[str, object]:
    """A line of the table, printed, and as data."""
    median, first = statistics.median(values[1:]), values[0]
    print(
        f"{name:<34} {median:>8.2f} {min(values[1:]):>8.2f} {max(values[1:]):>8.2f} {first:>8.2f} {1000 / median:>8.1f}"
    )
    return {
        "what": name,
        "ms_a_page": [round(value, 3) for value in values[1:]],
        "median": round(median, 3),
        "cold": round(first, 3),
        "pages_a_second": round(1000 / median, 1),
        "characters_a_page": round(characters),
    }


def main() -> None:
    """Measure, print the table and the JSON line."""
    parser = argparse.ArgumentParser(description="text set in pages, pages a second on one core")
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--pages", type=int, default=10, help="of each round")
    parser.add_argument("--out", type=Path, help="write the JSON line there as well")
    arguments = parser.parse_args()
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, {max(os.sched_getaffinity(0))})
    prose = builtin_prose(arguments.pages * (arguments.repeats + 1) * 6000).text
    rows = []
    print(f"{'ms a page':<34} {'median':>8} {'least':>8} {'most':>8} {'cold':>8} {'pages/s':>8}")
    for kind, text in (("prose", prose), ("random letters", scrambled(prose))):
        times, characters = measure(text, arguments.pages, arguments.repeats)
        both = [sum(pair) for pair in zip(times["layout"], times["draw"], strict=True)]
        for name, values in {"layout and draw": both, **times}.items():
            rows.append(row(f"{kind}: {name}", values, characters))
        ratio = statistics.median(times["plain script"][1:]) / statistics.median(both[1:])
        rows[-1]["times_ours"] = round(ratio, 2)
        print(f"{kind}: {characters:.0f} characters a page; the plain script takes {ratio:.2f} times as long as ours")
    result = {
        "benchmark": "typesetting",
        **describe_machine(),
        "repeats": arguments.repeats,
        "pages": arguments.pages,
        "rows": rows,
    }
    print(json.dumps(result))
    if arguments.out:
        arguments.out.write_text(json.dumps(result) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
