"""A job on its way: what is left of it goes to the desk, what comes back goes into the ledger, each page once.

All in the desk's thread. Errors of the ledger and of the disk are raised; whose business they are, the store decides.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from ocrpress.document import PageResult
from ocrpress.errors import EngineError, InputError, OcrpressError, PasswordError, UsageError
from ocrpress.jobs.reading.order import Done, Opened
from ocrpress.jobs.runner import UNREADABLE
from ocrpress.pipeline import check_task
from ocrpress.server.desk.work import Told, Work
from ocrpress.server.errors import TryLater
from ocrpress.sources.pages import ranges

if TYPE_CHECKING:
    from ocrpress.jobs.ledger.book import Ledger
    from ocrpress.server.desk.desk import Desk
    from ocrpress.server.desk.facts import EngineFacts
    from ocrpress.server.jobs.index import State
    from ocrpress.server.jobs.record import Record

TRIES = 5  # in a row that the service, not the document, may be to blame before the job is failed
PAUSE = 1.0  # seconds after the first of them; twice as long each time
_PASSWORD = "password"  # noqa: S105 - the cause of a failure
_ENGINE, _OPTIONS = "engine", "options"

Tell = Callable[["Course", int, Told], object]


class Course:
    """A job that is not finished.

    Args:
        path: of its document.
        document: its number in the ledger.

    Attributes:
        work: what the desk has of it; None if it has nothing.
        turn: how often it was handed to the desk; what comes of an earlier turn is late and of no use.
        due: when it is to be handed to the desk, by `time.monotonic`.
    """

    def __init__(self, record: Record, path: Path, document: int) -> None:
        self.record, self.path, self.document = record, path, document
        self.work: Work | None = None
        self.turn = 0
        self.due = 0.0
        self._tries = 0
        self._whole = True

    def submit(self, ledger: Ledger, desk: Desk, tell: Tell) -> State:
        """Have the desk read what is left of it. Raises what the ledger raises."""
        entry = ledger.entry(self.document)
        left = ledger.left(self.document)
        if entry.page_count and not left:
            return self._finish(ledger)
        error = _refusal(self.record, desk.engine)
        if error:
            return self.fail(ledger, error, _OPTIONS)
        self._whole = not entry.page_count
        numbers, options = self.record.numbers, self.record.options
        if not self._whole and numbers is None:
            options = replace(options, pages=ranges(left))
        elif not self._whole:
            numbers = tuple(left)
        self.turn += 1
        turn = self.turn
        self.work = Work(
            str(self.path), self.record.name, options, self.record.client, numbers,
            lambda told: tell(self, turn, told), durable=True,
        )  # fmt: skip
        try:
            desk.submit(self.work)
        except TryLater as later:
            self.put_off(later.retry_after)
        return "waiting" if self._whole else "reading"

    def put_off(self, seconds: float) -> None:
        """The desk has nothing of it any more; it is handed over again, later."""
        self.work = None
        self.turn += 1
        self.due = time.monotonic() + seconds

    def take(self, ledger: Ledger, told: Told) -> State:
        """What the desk tells. Raises what the ledger raises."""
        if isinstance(told, Opened):
            if self._whole:
                ledger.opened(self.document, told.numbers)
            return self._finish(ledger) if ledger.is_complete(self.document) else "reading"
        if isinstance(told, Done):
            return self._done(ledger, told.result, told.cause)
        if told.error is None or isinstance(told.error, InputError):
            missing = InputError("pages of it did not come", "send the document again")
            return self._refused(ledger, told.error or missing, told.cause or "error")
        return self._again(ledger, told.error)

    def fail(self, ledger: Ledger, error: OcrpressError, cause: str) -> State:
        """It cannot be read (on); what was read of it stays in the ledger."""
        ledger.fail(self.document, as_text(error), cause)
        self.work = None
        return "failed"

    def _done(self, ledger: Ledger, result: PageResult, cause: str) -> State:
        failed = result.status == "failed"
        fallback = not failed and bool(result.attempts) and result.engine != self.record.engine
        if failed and not cause and not result.attempts:
            cause = UNREADABLE
        if ledger.add_page(self.document, result, cause, fallback):
            self._tries = 0
        return self._finish(ledger) if ledger.is_complete(self.document) else "reading"

    def _refused(self, ledger: Ledger, error: OcrpressError, cause: str) -> State:
        """Pages of it that are known are failed, each in its place; without any, the document is."""
        left = ledger.left(self.document)
        mode = self.record.options.mode or ""
        for number in left:
            page = PageResult(number, "failed", engine=self.record.engine, mode=mode, error=str(error))
            ledger.add_page(self.document, page, cause)
        return self._finish(ledger) if left else self.fail(ledger, error, cause)

    def _again(self, ledger: Ledger, error: OcrpressError) -> State:
        """The service is to blame: it is tried again, but not for ever if nothing comes of it."""
        self._tries += 1
        if self._tries >= TRIES:
            return self.fail(ledger, error, _ENGINE)
        self.put_off(PAUSE * 2 ** (self._tries - 1))
        return "reading" if ledger.entry(self.document).page_count else "waiting"

    def _finish(self, ledger: Ledger) -> State:
        ledger.finish(self.document, 0, "", keep=True)
        self.work = None
        return "done"


def as_text(error: OcrpressError) -> str:
    """An error as the ledger holds it: what is wrong in the first line, what can be done in the second."""
    return f"{' '.join(error.message.split())}\n{' '.join(error.advice.split())}"


def as_error(text: str, cause: str) -> OcrpressError:
    """The error that `as_text` wrote."""
    kinds: dict[str, type[OcrpressError]] = {
        _PASSWORD: PasswordError, _ENGINE: EngineError, _OPTIONS: UsageError,
    }  # fmt: skip
    message, _, advice = text.partition("\n")
    return kinds.get(cause, InputError)(message, advice)


def _refusal(record: Record, engine: EngineFacts | None) -> OcrpressError | None:
    """Why the engine that is open now cannot read the job, which may have come when another one was."""
    if engine is None:
        return None
    mode, known = record.options.mode, engine.capabilities
    if mode is not None and mode not in known.modes:
        return UsageError(f"the engine {engine.name} does not read mode '{mode}'", "send the document again")
    try:
        check_task(record.options.task, known.tasks, engine.name)
    except UsageError as error:
        return error
    return None
