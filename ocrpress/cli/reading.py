"""How pages are taken, read and written: the options that `convert` and `batch` share."""

from __future__ import annotations

import os
from argparse import Namespace
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from ocrpress.cli.choose import AUTO, HEEDED
from ocrpress.cli.options import add_model
from ocrpress.engines import ENGINES
from ocrpress.engines.cards import TASKS
from ocrpress.modes import MODES, NATIVE, get_mode
from ocrpress.quality.ladder import FALLBACKS, Ladder
from ocrpress.sources.base import RENDERERS, SourceOptions
from ocrpress.writers import PAGE_BREAKS, WriterOptions

if TYPE_CHECKING:
    from ocrpress.pipeline import Options

# What the library calls an option, where the command line has a longer story to tell about it.
PASSED_ON = (
    "mode", "task", "dpi", "pages", "password", "renderer", "figures", "max_tiles", "workers", "max_tokens", "retries",
    "fallback",
)  # fmt: skip


def add_reading(add: Callable[..., object]) -> None:
    """How pages are taken, read and written. None has a default: what is not given is left to the library."""
    add("--mode", metavar="M", help=f"{', '.join([NATIVE.name, *MODES])} (default: the engine's own)")
    add("--engine", metavar="E", default=AUTO, help=f"{', '.join([AUTO, *ENGINES])} (default: {AUTO})")
    add("--dpi", type=float, metavar="N", help="resolution of PDF and text pages (default: what the mode can use)")
    add("--pages", metavar="R", help="pages to read, like 1-3,7 or 5- (default: all)")
    add("--password", metavar="P", help="of encrypted PDFs")
    add("--renderer", metavar="R", help=f"{', '.join(RENDERERS)} (default: {SourceOptions.renderer})")
    add("--keep-furniture", action="store_true", default=False, help="keep running heads and page numbers")
    add("--page-breaks", metavar="B", default=PAGE_BREAKS[0], help=f"{' or '.join(PAGE_BREAKS)} (default: %(default)s)")
    add("--max-tiles", type=int, metavar="N", help="of the modes with tiles (default: the checkpoint's, mostly 9)")


def add_rejection(add: Callable[..., object]) -> None:
    """Which model, and what is done about answers that are rejected."""
    add_model(add, TASKS[0])
    add("--retries", type=int, metavar="N", help=f"further tries at a page (default: {Ladder.retries})")
    add("--no-retries", dest="retries", action="store_const", const=0, help="take the first answer or none")
    add(
        "--fallback",
        metavar="E",
        help=f"reads what this engine cannot: {' or '.join(FALLBACKS)} (default: {Ladder.fallback})",
    )


def writing_options(args: Namespace) -> WriterOptions:
    """How documents are written. Raises UsageError."""
    return WriterOptions(args.keep_furniture, args.page_breaks)


def reading_options(args: Namespace, engine: str, **instead: Any) -> Options:
    """The pipeline's options, as given, but for those that are said here.

    Raises UsageError for one that no document could be read with.
    """
    from ocrpress.pipeline import check_task, make_options
    from ocrpress.sources.checks import check_options
    from ocrpress.sources.pages import parse_ranges

    given = {name: getattr(args, name) for name in PASSED_ON if hasattr(args, name)} | instead
    if "mode" in given:
        get_mode(given["mode"])
    options = make_options(given)
    check_task(options.task, TASKS if HEEDED[engine] else TASKS[:1], engine)
    check_options(options.of_source())
    if options.pages is not None:
        parse_ranges(options.pages)
    return options


def render_workers() -> int:
    """Documents that are rendered side by side: one a core, for they wait most of the time."""
    return max(2, min(8, os.cpu_count() or 2))
