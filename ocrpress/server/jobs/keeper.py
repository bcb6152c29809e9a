"""The jobs' side of the desk's thread: the ledger and its one writer, jobs under way, and how long they are kept.

    begin ──▶ ledger ──▶ desk ──▶ pages ──▶ ledger ──▶ done, kept for a while ──▶ gone
                ▲ └─── after a restart: what is left ────┘
                └── again, when the engine or the disk was in trouble

Nothing here may end that thread. A ledger that cannot be written (full disk) is closed and opened again later; one that
is damaged is made anew from what can be read of it. Until then jobs wait, and what was not committed is read again.
"""

from __future__ import annotations

import contextlib
import logging
import time
from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING

from ocrpress.errors import LedgerError, OcrpressError, OutputError
from ocrpress.jobs.ledger.book import Ledger, open_ledger
from ocrpress.jobs.ledger.values import Stamp
from ocrpress.jobs.runner import BEAT, GROUP
from ocrpress.server.jobs.course import Course
from ocrpress.server.jobs.folders import Folders
from ocrpress.server.jobs.index import Index, State
from ocrpress.server.jobs.record import Record

if TYPE_CHECKING:
    from ocrpress.server.desk.desk import Desk
    from ocrpress.server.desk.work import Told
    from ocrpress.server.settings import ServerSettings

EXPIRY_SECONDS = 10.0  # between two looks for jobs that have expired
MOST_EXPIRED = 50  # that are removed at a time
LONGEST_PAUSE = 60.0  # seconds between two tries to open a ledger that cannot be written

log = logging.getLogger("ocrpress.server")


class Keeper:
    """A guest of the desk. All but `attach` and the attributes is for the desk's thread.

    Args:
        changed: told of jobs of which there is something new in the ledger, or which are gone; in the desk's thread.

    Attributes:
        index: which jobs there are.
        folders: what they are.
        trouble: why nothing can be stored at the moment; None if it can.
    """

    def __init__(self, settings: ServerSettings, changed: Callable[[str], object]) -> None:
        self.settings = settings
        self.folder = settings.folder.absolute()
        self.folders = Folders(self.folder / "jobs")
        self.index = Index(private=bool(settings.tokens))
        self.trouble: Exception | None = None
        self._changed = changed
        self._desk: Desk | None = None
        self._ledger: Ledger | None = None
        self._courses: dict[str, Course] = {}
        self._touched: set[str] = set()
        self._rebuild = False
        self._pause = 1.0
        self._reopen = self._opened_at = self._committed = self._beaten = self._expired = 0.0

    def attach(self, desk: Desk) -> None:
        """Who reads the jobs; before it is started."""
        self._desk = desk

    @property
    def desk(self) -> Desk:
        """Who reads the jobs."""
        if self._desk is None:
            raise RuntimeError("the jobs have no desk yet")
        return self._desk

    # The desk's guest

    def open(self) -> None:
        """Open the ledger and take up what earlier runs left. Raises UsageError (in use), OutputError."""
        self.folders.prepare()
        self._open()

    def tick(self) -> None:
        """Hand over what is due, make durable what came, and let go what has expired. Raises nothing."""
        now = time.monotonic()
        try:
            if self._ledger is None:
                if now < self._reopen:
                    return
                self._open()
            self._submit()
            self._commit(now)
            self._expire(now)
        except Exception as error:
            self._lose_ledger(error)

    def close(self) -> None:
        """Make durable what came. Raises nothing."""
        ledger, self._ledger = self._ledger, None
        if ledger:
            try:
                ledger.end_run(0)
                ledger.close()
            except Exception as error:
                log.error("the record of the jobs cannot be closed: %s", error)
        self.folders.close()

    # Jobs that come and go

    def _begin(self, record: Record, stamp: Stamp) -> None:
        """A job whose folder stands. Raises OutputError, LedgerError."""
        ledger = self._writable()
        try:
            if ledger.find(record.id):  # it was found when the ledger was opened again, in this moment
                return
            document = self._enter(ledger, record, stamp)
            ledger.commit()
        except Exception as error:
            self._lose_ledger(error)
            raise
        self._courses[record.id] = Course(record, self.folders.path(record), document)
        self.index.add(record, "waiting")
        self.tick()

    def _enter(self, ledger: Ledger, record: Record, stamp: Stamp) -> int:
        return ledger.begin(record.id, str(self.folders.path(record)), "", stamp, "")

    def _remove(self, job: str) -> None:
        """The folder first: what has no folder is removed from the ledger, whatever happens in between."""
        self.folders.remove(job)
        self.index.drop(job)
        course = self._courses.pop(job, None)
        if course and course.work:
            self.desk.cancel(course.work)
        self._touched.discard(job)
        self._changed(job)
        if self._ledger:
            try:
                entry = self._ledger.find(job)
                if entry:
                    self._ledger.remove(entry.id)
                self._ledger.commit()
            except Exception as error:
                self._lose_ledger(error)

    def _expire(self, now: float) -> None:
        if now - self._expired < EXPIRY_SECONDS:
            return
        self._expired = now
        before = time.time() - self.settings.keep_hours * 3600
        sql = "SELECT name FROM documents WHERE finished < ? LIMIT ?"
        for (name,) in self._writable().rows(sql, (before, MOST_EXPIRED)):
            try:
                self._remove(name.decode())
            except OutputError as error:
                log.error("a job that has expired cannot be removed: %s", error)

    # Jobs under way

    def _submit(self) -> None:
        """What the desk has nothing of, and is due, goes to it."""
        if self.desk.state != "ready":
            return
        ledger, now = self._writable(), time.monotonic()
        for course in list(self._courses.values()):
            if course.work is None and course.due <= now:
                self._do(course, partial(course.submit, ledger, self.desk, self._tell))

    def _tell(self, course: Course, turn: int, told: Told) -> None:
        """What the desk tells of a job. Raises nothing."""
        ledger = self._ledger
        if ledger is None or turn != course.turn or self._courses.get(course.record.id) is not course:
            return
        try:
            self._do(course, partial(course.take, ledger, told))
            now = time.monotonic()
            if now - self._committed >= GROUP:
                self._commit(now)
        except Exception as error:
            self._lose_ledger(error)

    def _do(self, course: Course, step: Callable[[], State]) -> None:
        """A step of a job. A mistake of ours costs that job; raises what is wrong with the ledger."""
        ledger = self._writable()
        try:
            state = step()
        except Exception as error:
            if isinstance(error, OcrpressError) or ledger.broken:
                raise
            log.exception("job %s", course.record.id)
            if course.work:
                self.desk.cancel(course.work)
            state = course.fail(ledger, OcrpressError("the service made a mistake"), "error")
        job = course.record.id
        self.index.set(job, state)
        self._touched.add(job)
        if state in ("done", "failed"):
            del self._courses[job]

    # The ledger

    def _open(self) -> None:
        """Open the ledger, if need be a new one, and take up all jobs that are not finished."""
        try:
            ledger = open_ledger(self.folder, rebuild=self._rebuild)
        except LedgerError as error:
            log.error("%s; it is made anew", error.message)
            ledger = open_ledger(self.folder, rebuild=True)
        self._rebuild = False
        try:
            reading = self.settings.reading
            ledger.start_run({"serving": True, "engine": reading.engine, "mode": reading.options.mode or ""})
            self._take_up(ledger)
            ledger.commit()
        except BaseException:
            with contextlib.suppress(Exception):
                ledger.close()
            raise
        self._ledger, self.trouble = ledger, None
        self._opened_at = time.monotonic()

    def _take_up(self, ledger: Ledger) -> None:
        """What is in the ledger and has no folder goes; what has a folder and is not in the ledger is begun."""
        records = sorted(self.folders.records(self.settings.keep_hours * 3600), key=lambda record: record.created)
        wanted, known = {record.id for record in records}, {}
        for entry in ledger.entries():
            if entry.name in wanted:
                known[entry.name] = entry
            else:
                ledger.remove(entry.id)
        for job in set(self.index.all()) - wanted:
            self.index.drop(job)
        self._courses.clear()
        for record in records:
            found = known.get(record.id)
            if found and found.state in ("done", "failed"):
                self.index.add(record, "done" if found.state == "done" else "failed")
                continue
            document = found.id if found else self._enter(ledger, record, self.folders.stamp(record))
            self._courses[record.id] = Course(record, self.folders.path(record), document)
            self.index.add(record, "reading" if found and found.page_count else "waiting")

    def _commit(self, now: float) -> None:
        """What came is durable; only then anybody is told of it."""
        ledger = self._writable()
        if self._touched and now - self._beaten >= BEAT:
            self._beaten = now
            ledger.beat()
        ledger.commit()
        self._committed = now
        touched, self._touched = self._touched, set()
        for job in touched:
            self._changed(job)

    def _writable(self) -> Ledger:
        if self._ledger is None:
            raise OutputError(f"the record of the jobs in {self.folder} cannot be written ({self.trouble})")
        return self._ledger

    def _lose_ledger(self, error: Exception) -> None:
        """The ledger cannot be written: what was not committed is lost, and is read again when it can be."""
        foreseen = isinstance(error, OcrpressError)
        log.error("the record of the jobs is in trouble: %s", error, exc_info=None if foreseen else error)
        now = time.monotonic()
        self._pause = 1.0 if now - self._opened_at > LONGEST_PAUSE else min(2 * self._pause, LONGEST_PAUSE)
        self.trouble, self._reopen = error, now + self._pause
        self._rebuild = isinstance(error, LedgerError)
        for course in self._courses.values():
            if course.work:
                self.desk.cancel(course.work)
            course.put_off(0)
        self._touched.clear()
        ledger, self._ledger = self._ledger, None
        if ledger:
            with contextlib.suppress(Exception):
                ledger.close()
