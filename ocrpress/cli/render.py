"""`ocrpress render`: text typeset into page images, and what those pages cost in tokens."""

from __future__ import annotations

import argparse
import re
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from ocrpress.cli.parser import add_debug, items
from ocrpress.errors import UsageError, unknown
from ocrpress.modes import DEFAULT_MAX_TILES, MODES, plan
from ocrpress.typeset.geometry import POINTS
from ocrpress.typeset.style import Style

if TYPE_CHECKING:
    from collections.abc import Callable

    from ocrpress.cli.parser import Parser
    from ocrpress.cli.rendering import Wanted

FORMATS = ("png", "pdf")
DESCRIPTION = """Typeset plain text or Markdown into page images, and count what the pages cost: text tokens beside the
vision tokens of a mode. Without -o nothing is drawn, only counted."""
EPILOG = """examples: ocrpress render notes.txt -o pages; ocrpress render book.md -o book.pdf --columns 2;
ocrpress render notes.txt --budget 1000 -o pages. Exit code 1 if one of several texts could not be read."""
STYLE = ("font", "size", "leading", "margins", "columns", "gutter", "page", "dpi", "align")
_LENGTH = re.compile(r"(\d{1,6}(?:\.\d*)?|\.\d+)\s*(pt|mm|cm|in)?")


def add_parser(subparsers: argparse._SubParsersAction[Parser], about: str) -> None:
    """Add the command. Options without a default are left out when not given: their defaults live in `Style`."""
    parser = subparsers.add_parser(
        "render", help=about, description=DESCRIPTION, epilog=EPILOG, argument_default=argparse.SUPPRESS
    )
    add = parser.add_argument
    add("inputs", nargs="+", metavar="TEXT", help="a text or Markdown file, a pattern, or - for stdin")
    add("-o", "--output", metavar="OUT", default=None, help="folder for the pages, or a name that ends in .pdf")
    add("--format", metavar="F", help="png (NAME-0001.png, …) or pdf (NAME.pdf) (default: png)")
    add("--budget", type=int, metavar="N", help="choose mode and type size such that the text takes N vision tokens at"
        " most, in the largest type")  # fmt: skip
    add("--mode", metavar="M", action="extend", type=items, help=f"count in this mode, or choose from these: comma list"
        f" of {', '.join(MODES)} (default: that of --page, else all)")  # fmt: skip
    add(
        "--max-tiles",
        type=int,
        metavar="N",
        default=DEFAULT_MAX_TILES,
        help="of the gundam modes (default: %(default)s)",
    )
    add("--checkpoint", metavar="C", help="whose tokenizer counts text tokens, where it is on this machine")
    kind = parser.add_mutually_exclusive_group()
    kind.add_argument("--markdown", action="store_true", default=None, help="it is Markdown (default: by the name)")
    kind.add_argument("--plain", dest="markdown", action="store_false", help="it is plain text, whatever it looks like")
    _add_style(parser.add_argument_group("how the text is set").add_argument)
    add("--json", action="store_true", default=False, help="the counts for programs")
    add("--quiet", action="store_true", default=False, help="no progress and no warnings on stderr")
    add_debug(parser)


def _add_style(add: Callable[..., object]) -> None:
    add("--page", metavar="P", help="a4, letter, …, WIDTHxHEIGHT with a unit (mm, cm, in, pt, px), or a mode: pages of"
        f" its pixels, where a point is a pixel (default: {Style.page})")  # fmt: skip
    add("--dpi", type=float, metavar="N", help="pixels an inch (default: 144; 72 for the page of a mode)")
    add("--font", metavar="F", help=f"serif, sans, mono, a font file, or a family (default: {Style.font})")
    add("--size", type=float, metavar="PT", help=f"of the running text (default: {Style.size:g})")
    add("--leading", type=float, metavar="X", help=f"baseline to baseline, in sizes (default: {Style.leading:g})")
    add("--margins", type=margins, metavar="L", help="one length, or left,top,right,bottom, in points or with mm, cm"
        " or in (default: a tenth of the shorter side)")  # fmt: skip
    add("--columns", type=int, metavar="N", help=f"(default: {Style.columns})")
    add("--gutter", type=length, metavar="L", help="between columns (default: two sizes)")
    add("--align", metavar="A", help=f"left or justify (default: {Style.align})")


def length(text: str) -> float:
    """A length in points.

    >>> length("1in")
    72.0

    Raises:
        UsageError: it is none.
    """
    found = _LENGTH.fullmatch(text.strip())
    if not found:
        raise UsageError(f"'{text}' is no length", "write points, or a number with mm, cm or in, like 2cm")
    return float(found[1]) * POINTS[found[2] or "pt"]


def margins(text: str) -> tuple[float, float, float, float]:
    """Left, top, right and bottom in points, from one length or four.

    Raises:
        UsageError: it is neither.
    """
    found = [length(part) for part in text.split(",")]
    if len(found) == 1:
        found *= 4
    if len(found) != 4:
        raise UsageError(f"{len(found)} margins in '{text}'", "give one, or four: left,top,right,bottom")
    left, top, right, bottom = found
    return left, top, right, bottom


def run(args: argparse.Namespace) -> int:
    """Render and count; returns the exit code. What is wrong with the options is found before a text is read."""
    wanted = _wanted(args)
    from ocrpress.cli.inputs import expand
    from ocrpress.cli.places import make_places
    from ocrpress.cli.rendering import Rendering
    from ocrpress.cli.signals import Interruption
    from ocrpress.measure.tokens import open_counter

    inputs = expand(args.inputs)
    places = make_places(inputs, args.output, wanted.format)
    counter = open_counter(getattr(args, "checkpoint", None))
    with Interruption() as interruption:
        return Rendering(inputs, wanted, places, counter, interruption).run()


def _wanted(args: argparse.Namespace) -> Wanted:
    """What the options say. Raises UsageError for what cannot be."""
    given = vars(args)
    style = Style(**{name: given[name] for name in STYLE if name in given})
    style = replace(style, page=style.page.strip().lower())
    output, modes = args.output, tuple(dict.fromkeys(given.get("mode", ())))
    for mode in modes:
        if mode not in MODES:
            raise unknown("mode", mode, MODES)
    plan(1, 1, next(iter(MODES)), args.max_tiles)  # refuses a number of tiles out of range
    chosen = given.get("format", "pdf" if output and output.lower().endswith(".pdf") else FORMATS[0])
    if chosen not in FORMATS:
        raise unknown("format", chosen, FORMATS)
    if "budget" in given:
        _check_budget(given["budget"], given, style.page, modes)
    from ocrpress.cli.rendering import Wanted
    from ocrpress.typeset import check_style

    check_style(style)
    return Wanted(
        style, modes, args.markdown, chosen, args.max_tiles, given.get("budget"), "size" in given,
        as_json=args.json, quiet=args.quiet, debug=args.debug,
    )  # fmt: skip


def _check_budget(budget: int, given: dict[str, Any], page: str, modes: tuple[str, ...]) -> None:
    """Raise UsageError for a budget that cannot be, or options that leave nothing to choose."""
    if budget < 1:
        raise UsageError(f"--budget is {budget}", "it must be 1 or more vision tokens")
    if "page" in given and page not in MODES:
        raise UsageError(
            f"--budget chooses among the pages of modes, and --page {page} is none",
            f"leave it out, or take {', '.join(MODES)}",
        )
    if "dpi" in given:
        raise UsageError("--budget sets pages pixel for pixel, so --dpi has no meaning", "leave it out")
    if "page" in given and modes and page not in modes:
        raise UsageError(f"--page {page} is of none of the modes {', '.join(modes)}", "leave out --page or --mode")
