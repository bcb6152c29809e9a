"""Anything -> a lazy stream of pages. `open_source` is the door; what a file is, its first bytes decide.

path ──sniff──▶ pdf.py ──▶ pool.py ──▶ worker.py ──▶ clerk.py ──▶ pdfium.py | poppler.py ──▶ PageImage
             ├▶ image.py ──▶ pixels.py ──▶ PageImage
             └▶ text.py ──▶ ocrpress.typeset ──▶ PageImage
"""

from __future__ import annotations

import os
import stat
import sys
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

from ocrpress.errors import InputError
from ocrpress.sources.base import RENDERERS, Renderer, Source, SourceOptions
from ocrpress.sources.checks import STDIN, check_options, has_poppler, shown_name
from ocrpress.sources.pages import PageRange, parse_ranges
from ocrpress.sources.raster import render_size
from ocrpress.sources.sniff import HEAD_BYTES, sniff

if TYPE_CHECKING:
    from ocrpress.sources.bench import Bench
    from ocrpress.sources.spool import SpooledSource

__all__ = ["RENDERERS", "Renderer", "Source", "SourceOptions", "has_poppler", "open_source", "render_size"]


def open_source(
    path: str | os.PathLike[str] | BinaryIO,
    options: SourceOptions | None = None,
    bench: Bench | None = None,
    name: str | None = None,
) -> Source:
    """Open a document. The caller closes the source.

    Args:
        path: a PDF, an image, a folder of images, a plain text or Markdown file, "-" for stdin, or a binary stream
            (read to its end here).
        options: how pages are taken; None for the defaults. `dpi` and `mode` decide the size of the pages of PDFs and
            texts only: the pixels of images are handed on as they are, up to `max_pixels`.
        bench: of workers that documents share; None lets each start its own.
        name: what users call it, which is what errors say and tells Markdown from plain text; None takes the path.

    Raises:
        UsageError: an option is out of range, or none of the pages asked for is there.
        PasswordError: encrypted, and the password is missing or wrong.
        InputError: it cannot be read, or has more than `options.max_pages` pages.
        EngineError: the renderer itself cannot run here.
    """
    options = options or SourceOptions()
    check_options(options)
    ranges = None if options.pages is None else parse_ranges(options.pages)
    if not isinstance(path, (str, os.PathLike)):
        return _open_stream(path, name or _stream_name(path), options, ranges, bench)
    file = os.fspath(path)
    if file == STDIN:
        return _open_stream(sys.stdin.buffer, STDIN, options, ranges, bench)
    name = name or file
    kind = _stat(file, name).st_mode
    if stat.S_ISDIR(kind):
        from ocrpress.sources.image import ImageSource, image_folder

        return ImageSource(name, image_folder(Path(file), name), options, ranges)
    if not stat.S_ISREG(kind):  # a named pipe or the like can be read only once
        with _open_file(file, name) as stream:
            return _open_stream(stream, name, options, ranges, bench)
    return _open_regular(file, name, options, ranges, bench)


def _open_regular(
    file: str, name: str, options: SourceOptions, ranges: tuple[PageRange, ...] | None, bench: Bench | None
) -> Source:
    with _open_file(file, name) as stream:
        head = stream.read(HEAD_BYTES)
    shown = shown_name(name)
    if not head:
        raise InputError(f"{shown} is empty", "give a file with something in it")
    found = sniff(head)
    path = Path(file).absolute()
    if found is None or found == "text":  # what it is not, the source of texts says
        from ocrpress.sources.text import TextSource

        return TextSource(path, name, options, ranges)
    if found == "pdf":
        from ocrpress.sources.pdf import PdfSource

        return PdfSource(str(path), name, options, ranges, bench)
    from ocrpress.sources.image import ImageSource, image_file

    return ImageSource(name, image_file(path, shown, found), options, ranges)


def _open_stream(
    stream: BinaryIO, name: str, options: SourceOptions, ranges: tuple[PageRange, ...] | None, bench: Bench | None
) -> SpooledSource:
    from ocrpress.sources.spool import SpooledSource, spool

    path = spool(stream, shown_name(name))
    try:
        return SpooledSource(_open_regular(str(path), name, options, ranges, bench), path)
    except BaseException:
        path.unlink(missing_ok=True)
        raise


def _stat(file: str, name: str) -> os.stat_result:
    try:
        return Path(file).stat()
    except (OSError, ValueError) as error:
        raise _cannot_read(name, error) from error


def _open_file(file: str, name: str) -> BinaryIO:
    try:
        return Path(file).open("rb")
    except OSError as error:
        raise _cannot_read(name, error) from error


def _cannot_read(name: str, error: Exception) -> InputError:
    if isinstance(error, FileNotFoundError):
        return InputError(f"{name} does not exist", "check the spelling")
    if isinstance(error, PermissionError):
        return InputError(f"{name} may not be read", "check its permissions")
    return InputError(f"{name} cannot be read ({getattr(error, 'strerror', None) or error})", "check the path")


def _stream_name(stream: BinaryIO) -> str:
    name = getattr(stream, "name", STDIN)
    return name if isinstance(name, str) else STDIN
