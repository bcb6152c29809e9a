"""`ocrpress convert`: documents in, Markdown, JSON or plain text out."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from dataclasses import fields
from typing import TYPE_CHECKING, Any

from ocrpress.cli.choose import AUTO, HEEDED, choose_engine
from ocrpress.cli.options import MODEL_GROUP, add_model
from ocrpress.cli.parser import add_debug
from ocrpress.engines import ENGINES
from ocrpress.engines.cards import TASKS
from ocrpress.modes import MODES, NATIVE, get_mode
from ocrpress.quality.ladder import FALLBACKS, Ladder
from ocrpress.sources.base import RENDERERS, SourceOptions
from ocrpress.writers import FORMATS, PAGE_BREAKS, WriterOptions, check_format

if TYPE_CHECKING:
    from ocrpress.cli.parser import Parser
    from ocrpress.pipeline import Options

# What the library calls an option, where the command line has a longer story to tell about it.
PASSED_ON = (
    "mode", "task", "dpi", "pages", "password", "renderer", "figures", "max_tiles", "workers", "max_tokens", "retries",
    "fallback",
)  # fmt: skip


def add_parser(subparsers: argparse._SubParsersAction[Parser], about: str) -> None:
    """Add the command. Options without a default are left out when not given: their defaults live in the library."""
    parser = subparsers.add_parser(
        "convert",
        help=about,
        description="Turn documents into Markdown, JSON or plain text. Text goes to stdout unless -o is given.",
        argument_default=argparse.SUPPRESS,
    )
    add = parser.add_argument
    add("inputs", nargs="+", metavar="INPUT", help="a PDF, an image, a folder of images, a text or Markdown file"
        " (typeset, then read), a pattern, or - for stdin")  # fmt: skip
    add("-o", "--output", metavar="OUT", help="a file, or a folder (several inputs, or a name that ends in /)")
    add("--mode", metavar="M", help=f"{', '.join([NATIVE.name, *MODES])} (default: the engine's own)")
    add("--engine", metavar="E", default=AUTO, help=f"{', '.join([AUTO, *ENGINES])} (default: {AUTO})")
    add("--format", metavar="F", default=FORMATS[0], help=f"{', '.join(FORMATS)} (default: {FORMATS[0]})")
    add("--dpi", type=float, metavar="N", help="resolution of PDF and text pages (default: what the mode can use)")
    add("--pages", metavar="R", help="pages to read, like 1-3,7 or 5- (default: all)")
    add("--password", metavar="P", help="of encrypted PDFs")
    add("--renderer", metavar="R", help=f"{', '.join(RENDERERS)} (default: {SourceOptions.renderer})")
    add("--figures", metavar="DIR", help="crop figures into this folder and link them")
    add("--keep-furniture", action="store_true", default=False, help="keep running heads and page numbers")
    add("--page-breaks", metavar="B", default=PAGE_BREAKS[0], help=f"{' or '.join(PAGE_BREAKS)} (default: %(default)s)")
    add("--max-tiles", type=int, metavar="N", help=f"of the gundam modes (default: {SourceOptions.max_tiles})")
    add("--workers", type=int, metavar="N", help=f"processes that render PDF pages (default: {SourceOptions.workers})")
    _add_model(parser.add_argument_group(MODEL_GROUP).add_argument)
    add("--quiet", action="store_true", default=False, help="no progress and no warnings on stderr")
    add_debug(parser)


def _add_model(add: Callable[..., object]) -> None:
    """Which model, and what is done about answers that are rejected."""
    add_model(add, TASKS[0])
    add("--retries", type=int, metavar="N", help=f"further tries at a page (default: {Ladder.retries})")
    add("--no-retries", dest="retries", action="store_const", const=0, help="take the first answer or none")
    add(
        "--fallback",
        metavar="E",
        help=f"reads what this engine cannot: {' or '.join(FALLBACKS)} (default: {Ladder.fallback})",
    )


def run(args: argparse.Namespace) -> int:
    """Convert; returns the exit code. All that can be refused is refused before the engine is opened."""
    engine = choose_engine(args.engine, vars(args))
    check_format(args.format)
    writing = WriterOptions(args.keep_furniture, args.page_breaks)
    given = {name: getattr(args, name) for name in PASSED_ON if hasattr(args, name)}
    if "mode" in given:
        get_mode(given["mode"])
    options = check_reading(given, engine.name)

    from ocrpress.cli.batch import Batch
    from ocrpress.cli.inputs import expand
    from ocrpress.cli.signals import Interruption
    from ocrpress.cli.sinks import make_sink
    from ocrpress.output import check_folder

    inputs = expand(args.inputs)
    sink = make_sink(inputs, getattr(args, "output", None), args.format, writing)
    if options.figures:
        check_folder(options.figures)
    with Interruption() as interruption:
        return Batch(inputs, options, engine, sink, interruption, args.quiet, args.debug).run()


def check_reading(given: dict[str, Any], engine: str) -> Options:
    """The pipeline's options. Raises UsageError for one that no document could be read with."""
    from ocrpress.pipeline import check_task, make_options
    from ocrpress.sources.checks import check_options
    from ocrpress.sources.pages import parse_ranges

    options = make_options(given)
    check_task(options.task, TASKS if HEEDED[engine] else TASKS[:1], engine)
    shared = {item.name: getattr(options, item.name) for item in fields(SourceOptions) if item.name != "mode"}
    check_options(SourceOptions(**{**shared, "mode": options.mode or SourceOptions.mode}))
    if options.pages is not None:
        parse_ranges(options.pages)
    return options
