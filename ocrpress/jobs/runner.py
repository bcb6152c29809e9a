"""A batch: orders to a reader, what comes back into the ledger, and a document's output when its last page is in.

Reads as a sentence: for every event of the reader, take it, and commit. What has been committed is never lost, and what
has not been is read again by the next run.
"""

from __future__ import annotations

import hashlib
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from ocrpress.document import Document, PageResult
from ocrpress.jobs.reading.order import Done, Event, Opened, Reader, Refused
from ocrpress.jobs.storage import PlaceError, Storage
from ocrpress.jobs.supply import Supply
from ocrpress.writers import render

if TYPE_CHECKING:
    from ocrpress.jobs.datasets.shards import ShardWriter
    from ocrpress.jobs.ledger.book import Entry, Ledger
    from ocrpress.jobs.plan import Plan

BEAT = 1.0  # seconds between signs of life
GROUP = 0.1  # seconds: pages that come faster than that become durable together
MOST_CHANGES = 2  # a file that changes more often while it is being read is failed
UNREADABLE = "unreadable page"  # the cause of a page that no renderer could draw


@dataclass(frozen=True)
class State:
    """How far a batch is.

    Attributes:
        found: documents seen so far; more will come unless `all_found`.
        documents: of those, settled: read, failed, or `skipped`: there was nothing to be done about them.
        pages: read in this run; `known` is how many it has to read in the documents that were opened.
        failed: failed pages of the documents that were read, and documents that could not be read.
        failed_before: documents with failures that are left as they are.
        lost: inputs that were left out.
    """

    found: int = 0
    all_found: bool = False
    documents: int = 0
    pages: int = 0
    known: int = 0
    failed: int = 0
    failed_before: int = 0
    lost: int = 0
    skipped: int = 0

    @property
    def exit_code(self) -> int:
        """0 if everything was read, 1 if something was not."""
        return int(bool(self.failed or self.failed_before or self.lost))


class Runner:
    """One run of a batch.

    Args:
        watch: told how far it is, again and again; may raise to stop.
        shards: writes documents of formats that share files.
    """

    def __init__(
        self,
        plan: Plan,
        ledger: Ledger,
        storage: Storage,
        reader: Reader,
        watch: Callable[[State], object],
        shards: ShardWriter | None = None,
    ) -> None:
        self._plan, self._ledger, self._storage, self._reader = plan, ledger, storage, reader
        self._watch, self._shards = watch, shards
        self._supply = Supply(plan, ledger, storage, self._assemble)
        self._settled = self._pages = self._known = self._failed = 0
        self._failing: Counter[int] = Counter()  # failed pages of documents that are not settled
        self._beaten = self._committed = 0.0

    @property
    def state(self) -> State:
        """How far it is."""
        supply, storage = self._supply, self._storage
        found = supply.found if supply.ended else max(supply.found, storage.seen)
        return State(
            found, supply.ended or storage.seen_all, self._settled + supply.passed, self._pages, self._known,
            self._failed + self._failing.total() + supply.failed_now, supply.failed_before, supply.lost, supply.passed,
        )  # fmt: skip

    def run(self) -> State:
        """Read all there is to be read.

        Raises:
            EngineError: the engine cannot run. OutputError: nothing can be written any more. InputError: a list of
            inputs cannot be read. Everything that was done before stays done.
        """
        self._ledger.save_options(self._plan.options_digest, self._plan.options_text())
        self._ledger.start_run(self._plan.about)
        self._ledger.commit()  # whoever comes after a kill shall know of it
        try:
            for event in self._reader.read(self._supply):
                self._take(event)
            self._write_shards(everything=True)
        finally:
            self._supply.stop()
            self._storage.close()
            if not self._ledger.broken:
                self._ledger.beat()
                self._ledger.commit()
        self._watch(self.state)
        return self.state

    def _take(self, event: Event) -> None:
        if isinstance(event, Done):
            self._done(event.document, event.result, event.cause)
            if time.monotonic() - self._committed >= GROUP:
                self._commit()
        elif isinstance(event, Opened):
            self._opened(event)
        elif isinstance(event, Refused):
            self._refused(event)
        else:
            self._pause()

    def _pause(self) -> None:
        """Nothing waits to be taken: make what was done durable."""
        now = time.monotonic()
        if now - self._beaten >= BEAT:
            self._beaten = now
            self._ledger.beat()
            self._write_shards()
        self._commit()
        self._watch(self.state)

    def _commit(self) -> None:
        self._ledger.commit()
        self._committed = time.monotonic()

    def _opened(self, event: Opened) -> None:
        if not self._supply.is_part(event.document):
            self._ledger.opened(event.document, event.numbers)
        self._known += len(event.numbers)
        if self._ledger.is_complete(event.document):  # a document without pages is refused; this one had them already
            self._assemble(event.document)

    def _done(self, document: int, result: PageResult, cause: str = "") -> None:
        fallback = result.status != "failed" and result.engine != self._plan.settings.engine
        if not cause and result.status == "failed" and not result.attempts:
            cause = UNREADABLE
        if not self._ledger.add_page(document, result, cause, fallback and bool(result.attempts)):
            return
        self._pages += 1
        self._failing[document] += result.status == "failed"
        if self._ledger.is_complete(document):
            self._assemble(document)

    def _refused(self, event: Refused) -> None:
        """Pages of it that are known are failed, each in its place; without any, the document is."""
        try:
            left = self._ledger.left(event.document)
        except KeyError:  # it was begun again
            return
        settings = self._plan.settings
        for number in left:
            failed = PageResult(
                number, "failed", engine=settings.engine, mode=settings.options.mode or "", error=event.error
            )
            self._done(event.document, failed, event.cause)
        if not left and not self._ledger.is_complete(event.document):
            entry = self._ledger.entry(event.document)
            if self._storage.gone(entry.path):
                self._fail(event.document, "it was there a moment ago and is gone", "vanished")
            elif not self._begun_again(entry):
                # Wherever it is shown, the name stands beside it.
                why = event.error.removeprefix(f"{entry.name} ")
                self._fail(event.document, event.error if why == event.error else f"it {why}", event.cause)

    def _begun_again(self, entry: Entry) -> bool:
        """Is the document's file another one by now? Then it is read again, or failed if that was so before."""
        stamp = self._storage.changed(entry.path, entry.stamp)
        if stamp is None:
            return False
        if entry.changes + 1 < MOST_CHANGES:
            self._failing.pop(entry.id, None)
            self._ledger.begin(entry.name, entry.path, entry.output, stamp, entry.options)
            self._supply.once_more(entry.name)
        else:
            self._fail(entry.id, "it changes while it is read: run the batch again when it is at rest", "changed")
        return True

    def _assemble(self, document: int) -> None:
        """All pages are there: write the document, unless its file is another one by now."""
        entry = self._ledger.entry(document)
        if self._begun_again(entry):
            return
        if self._plan.sharded:
            self._ledger.finish(document, 0, "", keep=True)
            self._settle(document, self._ledger.entry(document).failed_pages)
            return
        pages = tuple(self._ledger.results(document))
        data = self._rendered(entry.name, pages)
        try:
            self._storage.write(entry.output, data)
        except PlaceError as error:
            self._fail(document, str(error), "cannot be written")
            return
        failed = sum(page.status == "failed" for page in pages)
        self._ledger.finish(document, len(data), hashlib.sha256(data).hexdigest(), keep=failed > 0)
        self._settle(document, failed)

    def _rendered(self, name: str, pages: tuple[PageResult, ...]) -> bytes:
        settings, plan = self._plan.settings, self._plan
        mode = settings.options.mode or next((page.mode for page in pages if page.mode), "")
        document = Document(name, pages, settings.engine, mode, True, len(pages))
        return render(document, plan.format, plan.writing).encode("utf-8", "replace")

    def _fail(self, document: int, error: str, cause: str) -> None:
        self._ledger.fail(document, error, cause)
        self._settle(document, 1)

    def _settle(self, document: int, failed: int) -> None:
        self._settled += 1
        self._failing.pop(document, None)
        self._failed += failed

    def _write_shards(self, everything: bool = False) -> None:
        if self._shards and (everything or self._shards.due()):
            self._ledger.commit()
            self._shards.write(all=everything)
