"""Pages on their way through an engine: out to it, answers back, rejected pages out again; of one document or of many.

    pull ──▶ _requests ──▶ engine.read ──▶ _take ──▶ judged ──▶ taken ─────────────────────▶ deliver
                   ▲                                     │                                      ▲
                   └───────────── _again ◀── next rung ◀─┴──▶ none left ──▶ substitute ─────────┘

Every document has options of its own. `pull` may wait for ever; it is nudged when pages wait here. An engine may ask
for requests in a thread of its own: there pages are pulled, and those without ink delivered; after a nudge also those
that the substitute has read. Everything else happens in the thread of the caller. Knows nothing of files, nor of the
order of pages.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Generator, Iterator
from concurrent.futures import FIRST_COMPLETED, Future, wait
from contextlib import closing
from dataclasses import dataclass
from enum import Enum
from itertools import count
from threading import Lock
from typing import TYPE_CHECKING, Final, Literal

from ocrpress.document import Completion, PageImage, PageResult, Request, UnreadablePage
from ocrpress.errors import EngineError, OutputError
from ocrpress.modes import NATIVE
from ocrpress.pipeline.case import Case, Origin
from ocrpress.pipeline.substitute import Substitute
from ocrpress.quality.ink import has_ink
from ocrpress.quality.ladder import NO_FALLBACK, first_rung, next_rung
from ocrpress.quality.verdict import READING_TASKS, Verdict, judge

if TYPE_CHECKING:
    from ocrpress.document import Fault
    from ocrpress.engines.base import Engine

MOST_SUBSTITUTED = 2  # pages that wait for the substitute; then the caller waits, so that memory stays bounded


@dataclass(frozen=True)
class Leaf:
    """A page and the document that it is of."""

    origin: Origin
    page: PageImage | UnreadablePage


class _Nudge(Enum):
    NUDGED = 1


NUDGED: Final = _Nudge.NUDGED  # what `pull` gives once after every nudge: there may be no page, but it is not the end
Pulled = Leaf | Literal[_Nudge.NUDGED] | None


class Flow:
    """Pages being read.

    Args:
        fallback: name of the engine of last resort, NO_FALLBACK for none; a document may do without it.
        pull: the next page, None when there are no more; called in one thread at a time, it may wait.
        deliver: takes every page's result, once, in any order; called in the thread of `pull` and in that of `steps`.
        substitute: the engine of last resort, shared (then you close it); None opens `fallback` for this flow.
        salvage: when the engine gives up, deliver the pages that it holds of which something was read before.
        nudge: makes a `pull` that waits give NUDGED, or the next one; called in any thread. Only who waits needs it.
    """

    def __init__(
        self,
        engine: Engine,
        fallback: str,
        pull: Callable[[], Pulled],
        deliver: Callable[[Origin, PageResult], object],
        substitute: Substitute | None = None,
        *,
        salvage: bool = True,
        nudge: Callable[[], object] = lambda: None,
    ) -> None:
        self.engine = engine
        self._pull, self._deliver, self._salvage, self._nudge = pull, deliver, salvage, nudge
        self._own_substitute = substitute is None and engine.capabilities.decoding and fallback != NO_FALLBACK
        self._substitute = Substitute(fallback) if self._own_substitute else substitute
        self._keys = count(1)
        self._cases: dict[int, Case] = {}  # pages that the engine has or will have again
        self._again: deque[Case] = deque()  # those that it will have again
        self._substituted: dict[Future[Completion], Case] = {}
        self._collecting = Lock()
        self._asked = 0
        self._exhausted = False

    def steps(self) -> Iterator[None]:
        """Read; a step ends after every answer of the engine.

        Raises:
            EngineError, or whatever the engine raises: pages that it holds are not delivered, except with `salvage`
                those of which something was read before.
            OutputError: a figure cannot be written.
        """
        try:
            with closing(self._completions()) as completions:
                for completion in completions:
                    self._take(completion)
                    self._collect()
                    yield
        except OutputError:
            raise
        except Exception:
            for case in [case for case in self._cases.values() if case.faults and self._salvage]:
                self._settle(case)  # what was read of it is not lost with the engine
            self._collect(all_of_them=True)
            raise
        self._collect(all_of_them=True)

    def close(self) -> None:
        """A substitute of its own finishes its page first. Safe to call twice."""
        for future in list(self._substituted):
            future.cancel()
        if self._own_substitute and self._substitute:
            self._substitute.close()

    def _may_be_substituted(self, case: Case) -> bool:
        options = case.origin.options
        wanted = options.task in READING_TASKS and options.fallback != NO_FALLBACK
        return self.engine.capabilities.decoding and wanted

    def _completions(self) -> Generator[Completion, None, None]:
        """The engine's answers, round after round: what is rejected after it took the last page makes another one."""
        while self._again or not self._exhausted:
            asked = self._asked
            yield from self.engine.read(self._requests())
            if self._asked == asked:  # it takes no more pages
                yield from (self._no_answer(request.key) for request in self._requests())
            yield from [self._no_answer(key) for key, case in self._cases.items() if case.asked]

    def _no_answer(self, key: int) -> Completion:
        return Completion(key, stop="error", error=f"engine {self.engine.name} gave no answer for this page")

    def _requests(self) -> Iterator[Request]:
        """Pages that the engine must read: first those that were rejected, then the next of the document."""
        while (case := self._next_case()) is not None:
            case.asked = True
            self._asked += 1
            yield case.request()

    def _next_case(self) -> Case | None:
        while True:
            if self._again:
                case = self._again.popleft()
                if case.rung.kind == "mode":
                    self._redraw(case, case.rung.mode)
                return case
            pulled = self._pull()
            if pulled is None:
                self._exhausted = True
                return None
            if pulled is NUDGED:
                self._collect()
            elif new := self._new_case(pulled):
                return new

    def _new_case(self, leaf: Leaf) -> Case | None:
        """The page as the engine will have it; None if it need not."""
        finish, page, options = leaf.origin.finish, leaf.page, leaf.origin.options
        if isinstance(page, UnreadablePage):
            self._deliver(leaf.origin, finish.unreadable(page))
            return None
        if not has_ink(page.image):
            self._deliver(leaf.origin, finish.blank(page))
            return None
        mode = options.mode or self.engine.capabilities.modes[0]
        case = Case(next(self._keys), leaf.origin, page, first_rung(mode, options.max_tokens))
        self._cases[case.key] = case
        return case

    def _redraw(self, case: Case, mode: str) -> None:
        """Give a page the pixels that another mode can use."""
        page = case.origin.redraw(case.page.number, mode)
        if page is not None:
            case.redrawn(page)

    def _take(self, completion: Completion) -> None:
        """Judge an answer of the engine and act on it."""
        case, engine = self._cases.get(completion.key), self.engine
        if case is None or not case.asked:
            raise EngineError(f"engine {engine.name} answered for key {completion.key}, which it does not hold")
        case.asked = False
        decoding = engine.capabilities.decoding
        verdict = judge(completion, case.page, decoding, case.origin.options.task)
        case.record(engine.name, case.rung.mode, completion, verdict, decoding)
        if verdict.fault is None:
            self._done(case, case.origin.finish.read(case, completion, engine.name, case.rung.mode))
        elif not decoding:
            self._done(case, case.origin.finish.failed(case, verdict.reason))
        else:
            case.reject(completion, verdict)
            self._ask_again(case, verdict.fault)

    def _ask_again(self, case: Case, fault: Fault) -> None:
        """The next rung of the ladder for a rejected page, or the substitute, or the end."""
        options, image = case.origin.options, case.page.image
        modes = self.engine.capabilities.modes
        rung = next_rung(options.ladder(), case.rung, fault, image.size, modes, options.max_tiles)
        if rung is not None:
            case.rung = rung
            self._again.append(case)
            self._nudge()
        elif self._substitute and self._may_be_substituted(case) and not self._substitute.broken:
            self._hand_over(case, self._substitute)
        else:
            self._settle(case)

    def _hand_over(self, case: Case, substitute: Substitute) -> None:
        while len(self._substituted) >= MOST_SUBSTITUTED:
            wait(list(self._substituted), return_when=FIRST_COMPLETED)
            self._collect()
        del self._cases[case.key]
        self._redraw(case, NATIVE.name)
        future = substitute.ask(case.request())
        self._substituted[future] = case
        future.add_done_callback(lambda _: self._nudge())

    def _collect(self, all_of_them: bool = False) -> None:
        """Take the answers of the substitute that are there, or wait for all."""
        if all_of_them:
            wait(list(self._substituted))
        with self._collecting:  # the thread that pulls may be at it; and pages are handed over meanwhile
            for future in [future for future in list(self._substituted) if future.done()]:
                self._take_substituted(self._substituted.pop(future), future.result())

    def _take_substituted(self, case: Case, completion: Completion) -> None:
        """A page is "blank" if both engines found nothing on it; silence after a loop is no answer."""
        substitute = self._substitute
        if substitute is None or substitute.broken:
            self._settle(case)
            return
        silent = not (completion.text.strip() or completion.regions)
        verdict = judge(completion, case.page, decoding=False)
        if silent and verdict.fault is None and any(before.fault != "empty" for before in case.faults):
            verdict = Verdict("empty", "no text")
        mode = completion.plan.mode if completion.plan else NATIVE.name
        case.record(substitute.name, mode, completion, verdict, decoding=False)
        if verdict.fault:
            self._settle(case, f"the engine {substitute.name} could not read it either: {verdict.reason}")
            return
        warning = f"read by the engine {substitute.name} instead: {case.rejections(self.engine.name)}"
        self._done(case, case.origin.finish.read(case, completion, substitute.name, mode, warning))

    def _settle(self, case: Case, *warnings: str) -> None:
        """No answer was taken and none will be."""
        if self._substitute and self._substitute.broken and self._may_be_substituted(case):
            warnings = (*warnings, f"the engine {self._substitute.name} cannot take over: {self._substitute.broken}")
        self._done(case, case.origin.finish.salvaged(case, *warnings))

    def _done(self, case: Case, result: PageResult) -> None:
        self._cases.pop(case.key, None)
        self._deliver(case.origin, result)
