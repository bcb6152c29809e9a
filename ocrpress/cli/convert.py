"""`ocrpress convert`: documents in, Markdown, JSON or plain text out."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING

from ocrpress.cli.choose import choose_engine
from ocrpress.cli.options import MODEL_GROUP
from ocrpress.cli.parser import add_debug
from ocrpress.cli.reading import add_reading, add_rejection, reading_options, writing_options
from ocrpress.sources.base import SourceOptions
from ocrpress.writers import FORMATS, check_format

if TYPE_CHECKING:
    from ocrpress.cli.parser import Parser


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
    add_reading(add)
    add("--format", metavar="F", default=FORMATS[0], help=f"{', '.join(FORMATS)} (default: {FORMATS[0]})")
    add("--figures", metavar="DIR", help="crop figures into this folder and link them")
    add("--workers", type=int, metavar="N", help=f"processes that render PDF pages (default: {SourceOptions.workers})")
    add_rejection(parser.add_argument_group(MODEL_GROUP).add_argument)
    add("--quiet", action="store_true", default=False, help="no progress and no warnings on stderr")
    add_debug(parser)


def run(args: argparse.Namespace) -> int:
    """Convert; returns the exit code. All that can be refused is refused before the engine is opened."""
    engine = choose_engine(args.engine, vars(args))
    check_format(args.format)
    writing = writing_options(args)
    options = reading_options(args, engine.name)

    from ocrpress.cli.conversion import Conversion
    from ocrpress.cli.inputs import expand
    from ocrpress.cli.signals import Interruption
    from ocrpress.cli.sinks import make_sink
    from ocrpress.output import check_folder

    inputs = expand(args.inputs)
    sink = make_sink(inputs, getattr(args, "output", None), args.format, writing)
    if options.figures:
        check_folder(options.figures)
    with Interruption() as interruption:
        return Conversion(inputs, options, engine, sink, interruption, args.quiet, args.debug).run()
