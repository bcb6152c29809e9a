"""Set pages laid aside on disk, so that a long text is laid out once and yet never in memory as a whole."""

from __future__ import annotations

import contextlib
import pickle
import tempfile
import zlib
from collections.abc import Iterator
from dataclasses import fields, replace
from operator import attrgetter
from typing import cast

from ocrpress.errors import InputError
from ocrpress.typeset.sheet import Run, Sheet

_values = attrgetter(*(item.name for item in fields(Run)))


class Shelf:
    """Sheets by number, packed, in a temporary file that has no name: it is gone when the process is."""

    def __init__(self) -> None:
        """Empty. Raises InputError if there is no room for temporary files."""
        self._places: dict[int, tuple[int, int]] = {}  # where in the file, and how many bytes
        self._end = 0
        with _storing():
            self._file = tempfile.TemporaryFile(prefix="ocrpress-")  # noqa: SIM115 - closed by close()

    def __len__(self) -> int:
        """How many sheets lie here."""
        return len(self._places)

    def put(self, sheet: Sheet) -> None:
        """Lay a sheet aside. Raises InputError if it cannot be stored."""
        # Runs as bare tuples: they are many, and pickling objects takes four times as long.
        bare = (replace(sheet, runs=()), [_values(run) for run in sheet.runs])
        packed = zlib.compress(pickle.dumps(bare, pickle.HIGHEST_PROTOCOL), 1)
        with _storing():
            self._file.seek(self._end)
            self._file.write(packed)
            self._file.flush()
        self._places[sheet.number] = (self._end, len(packed))
        self._end += len(packed)

    def get(self, number: int) -> Sheet:
        """The sheet of that number. Raises KeyError if it was not laid aside."""
        place, length = self._places[number]
        with _storing():
            self._file.seek(place)
            packed = self._file.read(length)
        sheet, runs = pickle.loads(zlib.decompress(packed))  # noqa: S301 - nobody else can reach the file
        return replace(cast("Sheet", sheet), runs=tuple(Run(*values) for values in runs))

    def close(self) -> None:
        """Give up the file. Safe to call twice."""
        self._file.close()


@contextlib.contextmanager
def _storing() -> Iterator[None]:
    try:
        yield
    except OSError as error:
        reason = error.strerror or str(error)
        raise InputError(
            f"pages cannot be stored while they are set ({reason})", "make room for temporary files"
        ) from error
