"""One run of `ocrpress batch`: opens the ledger, the reader and the rest, runs, reports."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from glob import has_magic
from pathlib import Path
from typing import TYPE_CHECKING

from ocrpress.cli.batch_progress import Progress
from ocrpress.cli.say import say
from ocrpress.cli.signals import Interrupted, exit_code_of
from ocrpress.errors import InputError, OcrpressError, OutputError, UsageError
from ocrpress.jobs.disk import Disk
from ocrpress.jobs.finding.found import shown
from ocrpress.jobs.finding.search import find
from ocrpress.jobs.ledger.book import open_ledger
from ocrpress.jobs.ledger.schema import RECORDS, state_folder
from ocrpress.jobs.leftovers import remove_leftovers
from ocrpress.jobs.reading.crew import Crew
from ocrpress.jobs.runner import Runner, State
from ocrpress.jobs.storage import Place
from ocrpress.jobs.urls.files import is_url, joined, local_path
from ocrpress.output import check_folder

if TYPE_CHECKING:
    from ocrpress.cli.signals import Interruption
    from ocrpress.jobs.cluster.joining import Cluster
    from ocrpress.jobs.datasets.shards import ShardWriter
    from ocrpress.jobs.finding.found import Choice, Found, LeftOut
    from ocrpress.jobs.ledger.book import Ledger
    from ocrpress.jobs.plan import Plan
    from ocrpress.jobs.reading.order import Reader

LOG = "worker.log"
PICTURE_SECONDS = 30.0  # for the report's pictures of failed pages


@dataclass
class Batch:
    """A batch.

    Args:
        listed: paths of a list, besides the inputs; None if there is no list.
        out: a folder, or on a cluster an URL.
        why: the engine was chosen; empty if the user chose it.
        cluster: None for this machine alone.

    Raises:
        UsageError: URLs without a cluster, or a dataset at a URL.
    """

    plan: Plan
    inputs: Sequence[str]
    listed: Iterator[str] | None
    files: Choice
    out: str
    why: str
    interruption: Interruption
    cluster: Cluster | None = None
    quiet: bool = False

    def __post_init__(self) -> None:
        self.inputs, self.out = [local_path(path) for path in self.inputs], local_path(self.out)
        if self.cluster and not is_url(self.out):
            self.out = str(Path(self.out).absolute())  # the nodes may work elsewhere
        urls = [name for name in (*self.inputs, self.out) if is_url(name)]
        if urls and not self.cluster:
            raise UsageError(f"{urls[0]} is an URL", "add --cluster auto, or name files and folders of this machine")
        if is_url(self.out) and self.plan.sharded:
            raise UsageError(f"--format {self.plan.format} cannot be written to an URL", "write it to a folder first")

    def run(self, *, checksum: bool = False, rebuild: bool = False) -> int:
        """Run; returns the exit code.

        Raises:
            OcrpressError: it cannot begin, or not go on. Interrupted: by a signal. What was finished is kept.
        """
        with self._opened(checksum, rebuild) as place:
            if self.why and not self.quiet:
                say(f"engine {self.plan.settings.engine}: {self.why}")
            remove_leftovers(place.folder, deep=rebuild or _was_killed(place.ledger))
            reader = self._reader(place)
            code = 1
            try:
                code = self._read(place, reader)
            except OcrpressError as error:
                code = error.exit_code
                raise
            except Interrupted as error:
                code = exit_code_of(error)
                say("interrupted: what is finished is kept, and the same command goes on from there")
                raise
            finally:
                reader.close()
                self._close(place, code)
                remove_leftovers(place.folder, deep=self.plan.figures)  # its process may have been at one
        return code

    @contextlib.contextmanager
    def _opened(self, checksum: bool, rebuild: bool) -> Iterator[Place]:
        """The place of the batch. A list may hold URLs, if there is a cluster."""
        if self.cluster and (self.listed is not None or any(map(is_url, [*self.inputs, self.out]))):
            from ocrpress.jobs.urls.place import open_place

            listed = map(local_path, self.listed or ())
            place = open_place(self.inputs, self.out, self.files, listed, rebuild=rebuild, checksum=checksum)
            with place as opened:
                yield opened
            return
        folder = Path(self.out)
        check_folder(folder)
        with open_ledger(folder, rebuild=rebuild) as ledger:
            yield Place(folder, ledger, Disk(folder, self._found(), checksum), str(folder / RECORDS))

    def _reader(self, place: Place) -> Reader:
        log, settings = state_folder(place.folder) / LOG, self.plan.settings
        if self.cluster is None:
            return Crew(settings, log=log)
        from ocrpress.jobs.cluster.reader import ClusterReader

        return ClusterReader(settings, self.cluster, place.records, place.ledger.entry, log=log)

    def _read(self, place: Place, reader: Reader) -> int:
        with Progress(self.quiet) as progress:
            said = ""

            def watch(state: State) -> None:
                nonlocal said
                about: str = getattr(reader, "about", "")  # on a cluster every node has its own
                if about != said and not self.quiet:
                    said = about
                    say(about)
                progress.update(
                    state.documents, state.found, not state.all_found, state.pages, state.known, state.failed,
                    skipped=state.skipped,
                )  # fmt: skip
                self.interruption.check()

            shards = self._shards(place.ledger)
            state = Runner(self.plan, place.ledger, place.storage, reader, watch, shards).run()
            if not state.found:
                raise InputError(self._nothing(place.ledger), "check the path, or choose files with --include")
            progress.finish(_counted(state))
        if state.exit_code:
            status = "" if is_url(self.out) else f"'ocrpress status {self.out}' and "
            say(f"not everything could be read; {status}{joined(self.out, 'report.html')} say what")
        return state.exit_code

    def _found(self) -> Iterator[Found | LeftOut]:
        out = os.path.realpath(self.out)
        skip = () if any(_folder(path) == out for path in self.inputs) else (out,)  # results beside their documents
        return find(self.inputs, replace(self.files, skip=skip), self.listed or ())

    def _nothing(self, ledger: Ledger) -> str:
        found = ledger.row("SELECT path, why FROM notes WHERE run = (SELECT MAX(id) FROM runs)")
        why = f" ({shown(os.fsdecode(found[0]))}: {found[1]})" if found else ""
        return f"no documents in {', '.join(map(shown, self.inputs)) or 'the list'}{why}"

    def _shards(self, ledger: Ledger) -> ShardWriter | None:
        if not self.plan.sharded:
            return None
        from ocrpress.jobs.datasets.shards import ShardWriter

        keep = self.plan.writing.keep_furniture
        return ShardWriter(Path(self.out), self.plan.format, ledger, keep_furniture=keep)

    def _close(self, place: Place, code: int) -> None:
        """The last word of this run; if even that cannot be written, what went wrong before is what counts."""
        if place.ledger.broken:
            return
        try:
            place.ledger.end_run(code)
            place.ledger.commit()
            self._report(place.folder, pictures=code in (0, 1))
        except OutputError as error:
            say(f"the report is not written: {error}")

    def _report(self, folder: Path, pictures: bool) -> None:
        from ocrpress.jobs.report.report import write_report
        from ocrpress.jobs.report.summary import summarise

        seconds = PICTURE_SECONDS if pictures else 0.0  # whoever interrupts does not want to wait for them
        write_report(folder, summarise(folder), self.plan.settings.options.password, seconds)


def _was_killed(ledger: Ledger) -> bool:
    """Did the run before this one not come to an end?"""
    return ledger.row("SELECT 1 FROM (SELECT ended FROM runs ORDER BY id DESC LIMIT 1) WHERE ended IS NULL") is not None


def _folder(path: str) -> str:
    """The folder that an input names, with its links followed; of a pattern, the part before the first wildcard."""
    if has_magic(path) and not os.path.lexists(path):
        parts = path.split("/")
        path = "/".join(parts[: next(number for number, part in enumerate(parts) if has_magic(part))])
        path = path or ("/" if parts[0] == "" else ".")
    return os.path.realpath(path)


def _counted(state: State) -> str:
    """How it went, in a line."""
    words = [f"{state.documents:,} documents", f"{state.pages:,} pages read"]
    if state.skipped:
        words.insert(1, f"{state.skipped:,} of them as they were")
    if state.failed:
        words.append(f"{state.failed:,} failed")
    if state.failed_before:
        words.append(f"{state.failed_before:,} documents with earlier failures (--retry-failed reads them again)")
    if state.lost:
        words.append(f"{state.lost:,} inputs left out")
    return ", ".join(words)
