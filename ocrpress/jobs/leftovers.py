"""Hidden files of writers that were killed (see `ocrpress.output`): found in a folder and removed."""

from __future__ import annotations

import contextlib
import os
import re
from collections.abc import Iterator
from pathlib import Path

from ocrpress.jobs.ledger.schema import STATE_FOLDER

_PARTIAL = re.compile(r"\.ocrpress-(\d+)-\d+\.part")


def remove_leftovers(out: Path, *, deep: bool) -> None:
    """Remove the half-written files of processes that are no more. Never raises for what it meets.

    Args:
        deep: look in all folders below, too, but for hidden ones; else only in `out` and that of the ledger.
    """
    for folder in (out, out / STATE_FOLDER):
        for path in _partials(folder, deep):
            with contextlib.suppress(OSError):
                path.unlink()


def _partials(folder: Path, deep: bool) -> Iterator[Path]:
    waiting = [folder]
    while waiting:
        with contextlib.suppress(OSError), os.scandir(waiting.pop()) as scan:
            for entry in scan:
                if (found := _PARTIAL.fullmatch(entry.name)) and not _is_alive(int(found[1])):
                    yield Path(entry.path)
                elif deep and not entry.name.startswith(".") and entry.is_dir(follow_symlinks=False):
                    waiting.append(Path(entry.path))


def _is_alive(pid: int) -> bool:
    """Is there a process of that number? It need not be the one that was meant."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except (OSError, OverflowError):
        return True
    return True
