"""Pages of one cell that were read, kept on disk as they come, so that an interrupted run can go on.

A file of JSON lines: a head that says what was measured and with what, then a line a page; of two lines for a page the
later one holds. A file with another head is of another measurement, and is begun anew. A last line that was torn by a
crash is dropped.
"""

from __future__ import annotations

import contextlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

from ocrpress.errors import OutputError
from ocrpress.output import write_text


@dataclass
class Kept:
    """The pages of a cell.

    Args:
        path: of the file; its folder exists.
        head: what makes two measurements the same.
        fresh: begin anew, whatever is there.

    Raises:
        OutputError: the file cannot be read or written; what is in it stays.
    """

    path: Path
    head: Mapping[str, Any]
    fresh: bool = False

    def __post_init__(self) -> None:
        lines = [] if self.fresh else self._lines()
        self.pages: dict[str, dict[str, Any]] = {}
        if lines and lines[0] == self._first():
            self.pages = {page["page"]: page for page in _whole(lines[1:])}
        with self._translated():
            text = "".join(f"{_dump(line)}\n" for line in self.pages.values())
            write_text(self.path, f"{self._first()}\n{text}")
            self._stream: IO[str] = self.path.open("a", encoding="utf-8")

    def add(self, page: dict[str, Any]) -> None:
        """Keep one more; its key "page" names it."""
        with self._translated():
            self._stream.write(f"{_dump(page)}\n")
            self._stream.flush()
        self.pages[page["page"]] = page

    def close(self) -> None:
        """Close the file."""
        with contextlib.suppress(OSError):
            self._stream.close()

    def _first(self) -> str:
        return _dump(self.head)

    def _lines(self) -> list[str]:
        with self._translated():
            try:
                return self.path.read_text(encoding="utf-8", errors="replace").split("\n")
            except FileNotFoundError:
                return []

    @contextlib.contextmanager
    def _translated(self) -> Any:
        try:
            yield
        except OSError as error:
            raise OutputError(f"cannot write {self.path} ({error.strerror or error})") from error


def _whole(lines: list[str]) -> list[dict[str, Any]]:
    """The lines up to the first that is not whole."""
    found = []
    for line in lines:
        try:
            page = json.loads(line)
        except ValueError:
            break
        if not isinstance(page, dict) or "page" not in page:
            break
        found.append(page)
    return found


def _dump(found: Mapping[str, Any]) -> str:
    return json.dumps(found, ensure_ascii=True, sort_keys=True)
