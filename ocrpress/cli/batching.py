"""One run of `ocrpress batch`: opens the ledger, the reader and the rest, runs, reports."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from glob import has_magic
from pathlib import Path
from typing import TYPE_CHECKING

from ocrpress.cli.batch_progress import Progress
from ocrpress.cli.say import say
from ocrpress.cli.signals import Interrupted, exit_code_of
from ocrpress.errors import InputError, OcrpressError, OutputError
from ocrpress.jobs.crew import Crew
from ocrpress.jobs.disk import Disk
from ocrpress.jobs.finding import find
from ocrpress.jobs.found import shown
from ocrpress.jobs.ledger import open_ledger
from ocrpress.jobs.ledger_schema import state_folder
from ocrpress.jobs.leftovers import remove_leftovers
from ocrpress.jobs.runner import Runner, State
from ocrpress.output import check_folder

if TYPE_CHECKING:
    from ocrpress.cli.signals import Interruption
    from ocrpress.jobs.found import Choice, Found, LeftOut
    from ocrpress.jobs.ledger import Ledger
    from ocrpress.jobs.plan import Plan
    from ocrpress.jobs.shards import ShardWriter

LOG = "worker.log"
PICTURE_SECONDS = 30.0  # for the report's pictures of failed pages


@dataclass
class Batch:
    """A batch on this machine.

    Args:
        listed: paths of a list, besides the inputs.
        why: the engine was chosen; empty if the user chose it.
    """

    plan: Plan
    inputs: Sequence[str]
    listed: Iterator[str]
    files: Choice
    out: Path
    why: str
    interruption: Interruption
    quiet: bool = False

    def run(self, *, checksum: bool = False, rebuild: bool = False) -> int:
        """Run; returns the exit code.

        Raises:
            OcrpressError: it cannot begin, or not go on. Interrupted: by a signal. What was finished is kept.
        """
        check_folder(self.out)
        with open_ledger(self.out, rebuild=rebuild) as ledger:
            if self.why and not self.quiet:
                say(f"engine {self.plan.settings.engine}: {self.why}")
            remove_leftovers(self.out, deep=rebuild or _was_killed(ledger))
            crew = Crew(self.plan.settings, log=state_folder(self.out) / LOG)
            code = 1
            try:
                code = self._read(ledger, Disk(self.out, self._found(), checksum), crew)
            except OcrpressError as error:
                code = error.exit_code
                raise
            except Interrupted as error:
                code = exit_code_of(error)
                say("interrupted: what is finished is kept, and the same command goes on from there")
                raise
            finally:
                crew.close()
                self._close(ledger, code)
                remove_leftovers(self.out, deep=self.plan.figures)  # its process may have been at one
        return code

    def _read(self, ledger: Ledger, disk: Disk, crew: Crew) -> int:
        with Progress(self.quiet) as progress:

            def watch(state: State) -> None:
                progress.update(
                    state.documents, state.found, not state.all_found, state.pages, state.known, state.failed,
                    skipped=state.skipped,
                )  # fmt: skip
                self.interruption.check()

            state = Runner(self.plan, ledger, disk, crew, watch, self._shards(ledger)).run()
            if not state.found:
                raise InputError(self._nothing(ledger), "check the path, or choose files with --include")
            progress.finish(_counted(state))
        if state.exit_code:
            say(f"not everything could be read; 'ocrpress status {self.out}' and {self.out / 'report.html'} say what")
        return state.exit_code

    def _found(self) -> Iterator[Found | LeftOut]:
        out = os.path.realpath(self.out)
        skip = () if any(_folder(path) == out for path in self.inputs) else (out,)  # results beside their documents
        return find(self.inputs, replace(self.files, skip=skip), self.listed)

    def _nothing(self, ledger: Ledger) -> str:
        found = ledger.row("SELECT path, why FROM notes WHERE run = (SELECT MAX(id) FROM runs)")
        why = f" ({shown(os.fsdecode(found[0]))}: {found[1]})" if found else ""
        return f"no documents in {', '.join(map(shown, self.inputs)) or 'the list'}{why}"

    def _shards(self, ledger: Ledger) -> ShardWriter | None:
        if not self.plan.sharded:
            return None
        from ocrpress.jobs.shards import ShardWriter

        keep = self.plan.writing.keep_furniture
        return ShardWriter(self.out, self.plan.format, ledger, keep_furniture=keep)

    def _close(self, ledger: Ledger, code: int) -> None:
        """The last word of this run; if even that cannot be written, what went wrong before is what counts."""
        if ledger.broken:
            return
        try:
            ledger.end_run(code)
            ledger.commit()
            self._report(pictures=code in (0, 1))
        except OutputError as error:
            say(f"the report is not written: {error}")

    def _report(self, pictures: bool) -> None:
        from ocrpress.jobs.report import write_report
        from ocrpress.jobs.summary import summarise

        seconds = PICTURE_SECONDS if pictures else 0.0  # whoever interrupts does not want to wait for them
        write_report(self.out, summarise(self.out), self.plan.settings.options.password, seconds)


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
