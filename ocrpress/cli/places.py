"""Where rendered pages go: a folder of PNG files, or one PDF a text. Checked before a text is read."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from ocrpress.cli.inputs import exists, is_folder, output_stems
from ocrpress.errors import OutputError, UsageError
from ocrpress.output import check_folder, check_writable, write_bytes, writing

if TYPE_CHECKING:
    from contextlib import AbstractContextManager

    from PIL.Image import Image

WritePage = Callable[["Image", float], Path]  # the next page and its pixels an inch -> the file that it is in
_IMAGE_SUFFIXES = (".png", ".pdf", ".jpg", ".jpeg", ".tif", ".tiff")


class Place(Protocol):
    """What takes the pages of one text."""

    def writing(self) -> AbstractContextManager[WritePage]:
        """Write pages, in order. A file is whole or not there."""
        ...

    def left_over(self, pages: int) -> list[Path]:
        """Pages beyond the last that are still there from before."""
        ...


def make_places(inputs: Sequence[str], output: str | None, format: str) -> list[Place | None]:  # noqa: A002
    """A place for each text, checked; None for all without an output.

    The output is a folder, in which the pages of a text are called after its file. For one text as a PDF it may be the
    name of that PDF.

    Raises:
        UsageError: the output cannot be such a place.
        OutputError: it cannot be written.
    """
    if output is None:
        return [None] * len(inputs)
    if output == "-":
        raise UsageError("pages are not written to the standard output", "name a folder with -o")
    named = Path(output).suffix.lower() in _IMAGE_SUFFIXES
    if named and not is_folder(output) and not output.endswith(("/", os.sep)):
        return [_pdf(inputs, output, format)]
    if exists(output) and not is_folder(output):
        raise OutputError(f"{output} is a file", "name a folder with -o")
    folder = Path(output)
    check_folder(folder)
    stems = output_stems(inputs)
    if format == "png":
        return [PngFiles(folder, stem) for stem in stems]
    places = [PdfFile(folder / f"{stem}.pdf") for stem in stems]
    for place in places:
        check_writable(place.path)
    return list(places)


def _pdf(inputs: Sequence[str], output: str, format: str) -> Place:  # noqa: A002
    if format != "pdf" or not output.lower().endswith(".pdf"):
        raise UsageError(
            f"{output} is no place for {format} pages", "name a folder with -o, or a PDF with --format pdf"
        )
    if len(inputs) > 1:
        raise OutputError(f"{output} is one PDF, but there are {len(inputs)} texts", "name a folder with -o")
    check_writable(Path(output))
    return PdfFile(Path(output))


@dataclass(frozen=True)
class PngFiles:
    """FOLDER/STEM-0001.png and so on."""

    folder: Path
    stem: str

    @contextmanager
    def writing(self) -> Iterator[WritePage]:
        """Write pages; each is there as soon as it is written."""
        from ocrpress.typeset.files import png

        count = 0

        def write(image: Image, dpi: float) -> Path:
            nonlocal count
            count += 1
            path = self.folder / f"{self.stem}-{count:04}.png"
            write_bytes(path, png(image, dpi))
            return path

        yield write

    def left_over(self, pages: int) -> list[Path]:
        """Pages of a longer text of that name."""
        name = re.compile(re.escape(self.stem) + r"-(\d{4,})\.png")
        found = [(match, path) for path in self.folder.iterdir() if (match := name.fullmatch(path.name))]
        return sorted(path for match, path in found if int(match[1]) > pages)


@dataclass(frozen=True)
class PdfFile:
    """One PDF."""

    path: Path

    @contextmanager
    def writing(self) -> Iterator[WritePage]:
        """Write pages; the file is there when all are."""
        from ocrpress.typeset.files import PdfWriter

        with writing(self.path) as put:
            pdf = PdfWriter(put)

            def write(image: Image, dpi: float) -> Path:
                pdf.add(image, dpi)
                return self.path

            yield write
            pdf.finish()

    def left_over(self, pages: int) -> list[Path]:
        """None: the new file replaces the old one."""
        return []
