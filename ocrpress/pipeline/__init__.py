"""File in, PageResults out, in page order: sources -> engine -> quality -> layout. Holds only the pages in flight.

with open_reading("paper.pdf", RapidEngine(), Options(mode="base")) as reading:
    for page in reading: ...
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import TYPE_CHECKING, Any, BinaryIO

from ocrpress.engines import DEFAULT_ENGINE, DEFAULT_OPTIONS, open_engine
from ocrpress.engines.base import EngineOptions
from ocrpress.errors import UsageError
from ocrpress.modes import get_mode
from ocrpress.pipeline.options import Options, check_task, make_options
from ocrpress.pipeline.reading import Reading
from ocrpress.pipeline.substitute import Substitute
from ocrpress.sources import open_source

if TYPE_CHECKING:
    from ocrpress.document import Document, PageResult
    from ocrpress.engines.base import Engine

__all__ = [
    "EngineOptions", "Options", "Reading", "Substitute", "check_task", "convert", "make_options", "open_reading",
    "options_for", "stream",
]  # fmt: skip

PathLike = str | os.PathLike[str]


def stream(
    path: PathLike | BinaryIO,
    *,
    engine: str | Engine = DEFAULT_ENGINE,
    engine_options: EngineOptions = DEFAULT_OPTIONS,
    **options: Any,
) -> Iterator[PageResult]:
    """Read a document page by page, in page order, in bounded memory.

    Args:
        path: a PDF, an image, a folder of images, a text, "-" for standard input, or an open binary file.
        engine: a name of `ocrpress.engines.ENGINES`, or an engine of your own (then you close it).
        engine_options: how an engine that is given by name is opened: its checkpoint, device, address, …
        **options: the fields of `Options`.

    Raises:
        OcrpressError: the options, the document as a whole or the engine cannot be used; never for a single page.
    """
    with _opened(path, engine, engine_options, make_options(options)) as reading:
        yield from reading


def convert(
    path: PathLike | BinaryIO,
    *,
    engine: str | Engine = DEFAULT_ENGINE,
    engine_options: EngineOptions = DEFAULT_OPTIONS,
    **options: Any,
) -> Document:
    """Read a whole document. Arguments and errors are those of `stream`."""
    with _opened(path, engine, engine_options, make_options(options)) as reading:
        return reading.document(tuple(reading))


@contextmanager
def _opened(
    path: PathLike | BinaryIO, engine: str | Engine, engine_options: EngineOptions, options: Options
) -> Iterator[Reading]:
    """A reading, closed at the end, and its engine too if it was opened here."""
    if not isinstance(engine, str) and engine_options != DEFAULT_OPTIONS:
        raise UsageError("engine_options are for an engine given by name", "this one is open already")
    opened = open_engine(engine, engine_options) if isinstance(engine, str) else engine
    try:
        with open_reading(path, opened, options) as reading:
            yield reading
    finally:
        if isinstance(engine, str):
            opened.close()


def open_reading(
    path: PathLike | BinaryIO, engine: Engine, options: Options, substitute: Substitute | None = None
) -> Reading:
    """Open a document for reading. Raises before the first page if document, mode or options cannot be used.

    Args:
        substitute: the engine of last resort, shared by several readings (then you close it); None opens
            `options.fallback` for this one, when it is first needed.
    """
    options = options_for(options, engine)
    return Reading(open_source(path, options.of_source()), engine, options, substitute)


def options_for(options: Options, engine: Engine) -> Options:
    """The options with their mode and largest number of tiles filled in.

    Raises UsageError for a mode or a task that this engine does not read.
    """
    mode = options.mode or engine.capabilities.modes[0]
    get_mode(mode)
    if mode not in engine.capabilities.modes:
        known = ", ".join(engine.capabilities.modes)
        raise UsageError(f"engine {engine.name} does not read mode '{mode}'", f"it reads {known}")
    check_task(options.task, engine.capabilities.tasks, engine.name)
    return replace(options, mode=mode, max_tiles=options.max_tiles or engine.capabilities.max_tiles)
