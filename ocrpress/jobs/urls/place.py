"""Where a batch has its documents, its results and its ledger, if some of them are behind URLs."""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from itertools import chain, islice
from pathlib import Path
from typing import TYPE_CHECKING

from ocrpress.jobs.disk import Disk
from ocrpress.jobs.finding.search import find
from ocrpress.jobs.ledger.book import open_ledger
from ocrpress.jobs.ledger.schema import RECORDS
from ocrpress.jobs.storage import Place
from ocrpress.jobs.urls.files import is_url, joined
from ocrpress.jobs.urls.found import check_urls, find_urls
from ocrpress.jobs.urls.out import UrlOut
from ocrpress.jobs.urls.storage import UrlStorage

if TYPE_CHECKING:
    from ocrpress.jobs.finding.found import Choice


@contextlib.contextmanager
def open_place(
    inputs: Sequence[str],
    out: str,
    choice: Choice,
    listed: Iterable[str] = (),
    *,
    rebuild: bool = False,
    checksum: bool = False,
) -> Iterator[Place]:
    """The places of a batch; at the end the ledger is closed and what is behind URLs is as it shall be.

    Args:
        inputs, listed: URLs all of them, or paths.
        out: a path or a URL.
        rebuild, checksum: as for a batch without URLs. A ledger behind a URL is made anew every time.

    Raises:
        UsageError: another run has the place, inputs of both kinds, results among documents, a package is missing.
        InputError, OutputError: what lies there cannot be read, or written.
    """
    ahead = iter(listed)
    first = list(islice(ahead, 1))
    urls = any(map(is_url, [*inputs, *first]))
    if urls:
        check_urls(inputs, out)
    with contextlib.ExitStack() as stack:
        there = stack.enter_context(UrlOut(out)) if is_url(out) else None
        folder = there.folder if there else Path(out)
        ledger = stack.enter_context(there.open_ledger() if there else open_ledger(folder, rebuild=rebuild))
        choice = replace(choice, skip=(*choice.skip, out))
        found = (find_urls if urls else find)(inputs, choice, chain(first, ahead))
        disk = Disk(folder, iter(()) if urls else found, checksum)
        yield Place(folder, ledger, UrlStorage(disk, found if urls else None, there), joined(out, RECORDS))
