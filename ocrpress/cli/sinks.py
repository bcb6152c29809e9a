"""Where converted documents go: standard output, a file, a folder of files. All are checked before a page is read."""

from __future__ import annotations

import contextlib
import os
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from ocrpress.cli.inputs import STDIN, exists, is_folder, output_stems
from ocrpress.cli.stdout import write_stdout
from ocrpress.errors import OutputError
from ocrpress.output import check_folder, check_writable, write_text
from ocrpress.writers import WriterOptions, render

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ocrpress.document import Document


class Sink(Protocol):
    """What takes the finished documents."""

    @property
    def folder(self) -> Path:
        """The folder that links in the documents are relative to."""
        ...

    def write(self, index: int, document: Document) -> None:
        """Take the document of the input of that index, the inputs in order. Raises OutputError."""
        ...

    def finish(self) -> None:
        """Nothing more comes. Raises OutputError."""
        ...


def make_sink(inputs: Sequence[str], output: str | None, format: str, options: WriterOptions) -> Sink:  # noqa: A002
    """The sink for `-o OUTPUT` (None and "-" are stdout), checked.

    One input goes to the file of that name, or into the folder if one is there or the name ends in a slash; several
    inputs go into the folder, each under its own name.

    Raises:
        OutputError: it cannot be written, or it is one of the inputs.
    """
    if output is None or output == "-":
        return StdoutSink(tuple(inputs), format, options)
    place = Path(output)
    several = len(inputs) > 1
    if several and exists(output) and not is_folder(output):
        raise OutputError(f"{output} is a file, but there are {len(inputs)} inputs", "name a folder with -o")
    if several or is_folder(output) or output.endswith(("/", os.sep)):
        check_folder(place)
        paths = tuple(place / f"{stem}.{format}" for stem in output_stems(inputs))
    else:
        paths = (place,)
    for path in paths:
        _refuse_input(path, inputs)
        check_writable(path)
    return FileSink(paths, format, options)


@dataclass(frozen=True)
class FileSink:
    """One file a document, whole or not there."""

    paths: tuple[Path, ...]
    format: str
    options: WriterOptions

    @property
    def folder(self) -> Path:
        """The folder that the files lie in."""
        return self.paths[0].parent

    def write(self, index: int, document: Document) -> None:
        """Write the document's file."""
        write_text(self.paths[index], render(document, self.format, self.options))

    def finish(self) -> None:
        """Every file is whole already."""


@dataclass
class StdoutSink:
    """All documents one after the other; several as one JSON array, or under a line with their names."""

    inputs: tuple[str, ...]
    format: str
    options: WriterOptions
    _written: int = field(default=0, init=False)

    @property
    def folder(self) -> Path:
        """Links are relative to the current folder."""
        return Path()

    def write(self, index: int, document: Document) -> None:
        """Print the document."""
        text = render(document, self.format, self.options)
        if len(self.inputs) > 1:
            text = self._head(document.source) + (text.rstrip("\n") if self.format == "json" else text)
        self._written += 1
        write_stdout(text)

    def finish(self) -> None:
        """Close the array."""
        if self.format == "json" and len(self.inputs) > 1:
            write_stdout("\n]\n" if self._written else "[]\n")

    def _head(self, name: str) -> str:
        from ocrpress.writers.clean import one_line
        from ocrpress.writers.markdown import comment

        if self.format == "json":
            return ",\n" if self._written else "[\n"
        between = "\n" if self._written else ""
        title = comment(f"document {name}") if self.format == "md" else f"==> {one_line(name)} <=="
        return f"{between}{title}\n\n"


def _refuse_input(path: Path, inputs: Sequence[str]) -> None:
    for name in inputs:
        with contextlib.suppress(OSError, ValueError):
            if name != STDIN and path.samefile(name):
                raise OutputError(f"{path} is the input itself", "choose another name with -o")
