"""The shards that stand in an output folder, kept in step with the ledger. Knows no records, only their keys.

A shard that is whole gets into its place in three steps:

    1  it is renamed into the folder      its documents may now be in it and in an older shard, with an older reading
    2  they leave the older shards        which are written anew without them, or removed where nothing is left
    3  the ledger is told                 which lets the contents of their pages go

Whatever moment the process dies at, the next run finishes it: a file that the ledger does not know is taken in as far
as its records are those of documents that wait, which `added` tells. So is every shard when the ledger itself was lost:
what is needed for that lies in `sharded.jsonl` beside it.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from itertools import chain, count
from pathlib import Path

from ocrpress.errors import OutputError
from ocrpress.jobs.datasets import files
from ocrpress.jobs.datasets import queries as told
from ocrpress.jobs.ledger.book import Ledger
from ocrpress.jobs.ledger.finished import Finished, FinishedLog, read_finished
from ocrpress.jobs.ledger.schema import sync_folder

LOG = "sharded.jsonl"


class Shelf:
    """The shards of a folder. All methods may raise OSError, OutputError and LedgerError.

    Args:
        out: the folder.
        ledger: open for writing.

    Attributes:
        workshop: the ledger's folder, where nobody takes a file for a shard.
    """

    def __init__(self, out: Path, ledger: Ledger) -> None:
        self._out = out
        self._ledger = ledger
        self.workshop = ledger.path.parent

    def recover(self) -> None:
        """Put right what an earlier run left half done.

        A shard that is missing has its documents read again. Files with the name of a shard that hold no record of
        this ledger are renamed (`….old`) if they are of ocrpress, else left alone.
        """
        for partial in chain(self.workshop.glob(".ocrpress-*.part"), self.workshop.glob("documents-*")):
            partial.unlink()  # of a run that was killed: the folder is locked, nobody else writes here
        known = told.shards(self._ledger)
        for number, paths in files.shard_files(self._out).items():
            if number not in known:
                for path in paths:
                    self._take_in(number, path)
        for number in told.shards(self._ledger).difference(files.shard_files(self._out)):
            told.lose_shard(self._ledger, number)
        self._ledger.commit()

    def put(self, made: Path, documents: list[int]) -> Path | None:
        """Give a shard that is whole its number and its place.

        Args:
            made: the file, in the workshop.
            documents: of its records, in order. Those that were begun again since are left out.

        Returns:
            Its path; None if nothing of it is wanted any more.
        """
        self._ledger.commit()  # what a shard is made of must not be lost later than the shard
        wanted = [document for document in documents if told.is_pending(self._ledger, document)]
        if not wanted:
            made.unlink()
            return None
        if len(wanted) < len(documents):
            keys = {told.key_of(self._ledger, document) for document in wanted}
            self._copy(made, keys, made.with_stem("documents-wanted")).replace(made)
        number = 1 + max(chain(told.shards(self._ledger), files.shard_files(self._out)), default=-1)
        path = self._out / files.shard_name(number, made.suffix[1:])
        self._place(made, path)
        self._settle(number, path, wanted)
        return path

    def _settle(self, number: int, path: Path, documents: list[int]) -> None:
        """These documents are in the shard of that number: steps 2 and 3."""
        self._log_finished(path, documents)
        for older in sorted(told.shards_of(self._ledger, documents)):
            self._take_out(older, documents)
        told.set_shard(self._ledger, documents, number)
        self._ledger.commit()

    def _log_finished(self, path: Path, documents: Iterable[int]) -> None:
        log = FinishedLog(self.workshop / LOG)
        try:
            for document in documents:
                entry = self._ledger.entry(document)
                stamp, ended = entry.stamp, entry.finished or 0.0
                log.add(
                    Finished(
                        entry.name, entry.path, path.name, stamp.size, stamp.mtime_ns, stamp.digest, entry.options,
                        entry.numbers, entry.page_count, entry.failed_pages, 0, "", entry.started or ended, ended,
                    )
                )  # fmt: skip
            log.flush()
        finally:
            log.close()

    def _take_out(self, number: int, documents: list[int]) -> None:
        """Take records of earlier readings of these documents out of a shard."""
        gone = set(documents)
        stay = {key for document, key in told.members(self._ledger, number).items() if document not in gone}
        for path in files.shard_files(self._out).get(number, []):
            if stay:
                self._keep_only(path, stay)
            else:
                path.unlink()
                sync_folder(self._out)

    def _keep_only(self, path: Path, keys: set[files.Key]) -> None:
        self._place(self._copy(path, keys, self.workshop / path.name), path)

    def _copy(self, path: Path, keys: set[files.Key], to: Path) -> Path:
        try:
            files.copy_records(path, keys, to)
        except ValueError as error:
            why = f"cannot take records out of {path} ({error})"
            raise OutputError(why, "move it away, and its documents are read again") from error
        return to

    def _place(self, made: Path, path: Path) -> None:
        """A file from the workshop gets its place, and keeps it if the power fails."""
        made.replace(path)
        sync_folder(self._out)

    # What an earlier run left

    def _take_in(self, number: int, path: Path) -> None:
        """Make a file that the ledger does not know a shard, as far as its records are wanted."""
        if not path.is_file():
            return
        try:
            keys = list(files.read_keys(path))
        except ValueError:
            return
        found = dict(self._matches(keys))
        if not found:
            path.rename(_free(path))
            sync_folder(self._out)
            return
        if len(found) < len(keys):
            self._keep_only(path, set(found))
        self._settle(number, path, list(found.values()))

    def _matches(self, keys: Iterable[files.Key]) -> Iterator[tuple[files.Key, int]]:
        """Those of the keys whose record a document waits for."""
        odd: dict[str, str] | None = None
        lost: dict[str, Finished] | None = None
        for key in keys:
            name = key.id
            if "#" in name and self._ledger.find(name) is None:
                odd = told.odd_names(self._ledger) if odd is None else odd
                name = odd.get(key.id, name)
            document = told.pending_of(self._ledger, name, key)
            if document is not None:
                yield key, document
                continue
            if lost is None:
                log = read_finished(self.workshop / LOG)
                lost = {told.record_id(os.fsencode(line.name)): line for line in log}
            line = lost.get(key.id)
            if line and told.timestamp(line.finished) == key.added:
                document = told.restore(self._ledger, line)
                if document is not None:
                    yield key, document


def _free(path: Path) -> Path:
    """A name beside the file that no shard has and nothing stands under."""
    names = (f"{path.name}.old" if number == 1 else f"{path.name}.old-{number}" for number in count(1))
    return next(found for name in names if not (found := path.with_name(name)).exists())
