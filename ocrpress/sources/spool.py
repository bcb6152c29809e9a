"""A stream -> a file: stdin, pipes and uploads are written to disk first, so that they may be larger than memory."""

from __future__ import annotations

import contextlib
import shutil
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

from ocrpress.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from ocrpress.document import PageImage, UnreadablePage
    from ocrpress.sources.base import Source

_CHUNK = 1 << 20


def spool(stream: BinaryIO, name: str) -> Path:
    """Write all of the stream to a temporary file, which the caller removes. Raises InputError if that fails."""
    try:
        with tempfile.NamedTemporaryFile(prefix="ocrpress-", delete=False) as file:
            path = Path(file.name)
            try:
                shutil.copyfileobj(stream, file, _CHUNK)
            except BaseException:
                path.unlink(missing_ok=True)
                raise
    except OSError as error:
        reason = error.strerror or str(error)
        raise InputError(f"{name} cannot be stored while it is read ({reason})", "give a file instead") from error
    return path


class SpooledSource:
    """A source over a temporary file, which goes when the source is closed."""

    def __init__(self, source: Source, path: Path) -> None:
        self._source, self._path = source, path

    @property
    def name(self) -> str:
        """The name it came under."""
        return self._source.name

    @property
    def page_count(self) -> int:
        """How many pages `pages` will give."""
        return self._source.page_count

    @property
    def numbers(self) -> Sequence[int]:
        """The numbers of those pages."""
        return self._source.numbers

    @property
    def drawn(self) -> bool:
        """Whether pages are drawn at the size that the options ask for."""
        return self._source.drawn

    def pages(self) -> Iterator[PageImage | UnreadablePage]:
        """The pages asked for, in page order."""
        return self._source.pages()

    def redraw(self, number: int, mode: str) -> PageImage | None:
        """A page drawn once more, as another mode would see it."""
        return self._source.redraw(number, mode)

    def close(self) -> None:
        """Close the source and remove the file. Safe to call twice."""
        self._source.close()
        self._path.unlink(missing_ok=True)

    def __del__(self) -> None:
        """A source that nobody closed leaves no file behind."""
        with contextlib.suppress(OSError):
            self._path.unlink(missing_ok=True)
