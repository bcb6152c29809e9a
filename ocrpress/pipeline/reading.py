"""A document on its way through an engine: pages out to it, answers back, rejected pages out again, results in order.

    source ──▶ _requests ──▶ engine.read ──▶ _take ──▶ judged ──▶ taken ─────────────────────▶ _ready ──▶ in order
                   ▲                                      │                                      ▲
                   └───────────── _again ◀── next rung ◀──┴──▶ none left ──▶ substitute ─────────┘

An engine may ask for requests in a thread of its own; everything else happens in the reader's.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Generator, Iterator
from concurrent.futures import FIRST_COMPLETED, Future, wait
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, Self

from ocrpress.document import Completion, Document, PageImage, PageResult, Request, UnreadablePage
from ocrpress.errors import EngineError, OutputError
from ocrpress.figures import FigureWriter
from ocrpress.modes import NATIVE
from ocrpress.pipeline.case import Case, Finisher
from ocrpress.pipeline.substitute import Substitute
from ocrpress.quality.ink import has_ink
from ocrpress.quality.ladder import NO_FALLBACK, first_rung, next_rung
from ocrpress.quality.verdict import READING_TASKS, Verdict, judge

if TYPE_CHECKING:
    from types import TracebackType

    from ocrpress.document import Fault
    from ocrpress.engines.base import Engine
    from ocrpress.pipeline.options import Options
    from ocrpress.sources.base import Source

MOST_SUBSTITUTED = 2  # pages that wait for the substitute; then the reader waits, so that memory stays bounded


class Reading:
    """A document being read: iterate for its PageResults, in page order. Close it, or use it as a context.

    A page whose answers were all rejected goes to the substitute; failing that it is "failed", with its reason and with
    the blocks that were worth keeping.
    """

    def __init__(self, source: Source, engine: Engine, options: Options, substitute: Substitute | None = None) -> None:
        self.engine = engine
        self.options = options
        self.mode: str = options.mode or ""
        self.name: str = source.name
        self.page_count: int = source.page_count
        self._source = source
        self._pages: Iterator[PageImage | UnreadablePage] | None = None
        self._drawing = threading.Lock()  # a source serves one thread at a time
        self._finish = Finisher(engine.name, self.mode, options.task, _figure_writer(self.name, options))
        self._own_substitute = substitute is None and self._may_be_substituted
        self._substitute = Substitute(options.fallback) if self._own_substitute else substitute
        self._cases: dict[int, Case] = {}  # pages that the engine has or will have again
        self._again: deque[Case] = deque()  # those that it will have again
        self._substituted: dict[Future[Completion], Case] = {}
        self._ready: dict[int, PageResult] = {}  # results that wait for an earlier page
        self._order: deque[int] = deque()
        self._asked = 0
        self._exhausted = False

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close the document and stop its workers. A substitute of its own finishes its page first."""
        for future in self._substituted:
            future.cancel()
        self._source.close()
        if self._own_substitute and self._substitute:
            self._substitute.close()

    def __iter__(self) -> Iterator[PageResult]:
        try:
            with closing(self._completions()) as completions:
                for completion in completions:
                    self._take(completion)
                    self._collect()
                    yield from self._in_order()
        except OutputError:
            raise
        except Exception:
            for case in [case for case in self._cases.values() if case.faults]:
                self._settle(case)  # what was read of it is not lost with the engine
            self._collect(all_of_them=True)
            yield from self._in_order()
            raise
        self._collect(all_of_them=True)
        yield from self._in_order()

    def document(self, pages: tuple[PageResult, ...], complete: bool = True) -> Document:
        """The Document that these pages make."""
        return Document(self.name, pages, self.engine.name, self.mode, complete, self.page_count)

    @property
    def _may_be_substituted(self) -> bool:
        decoding, task = self.engine.capabilities.decoding, self.options.task
        return decoding and task in READING_TASKS and self.options.fallback != NO_FALLBACK

    def _in_order(self) -> Iterator[PageResult]:
        while self._order and self._order[0] in self._ready:
            yield self._ready.pop(self._order.popleft())

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
            yield case.request(self.options.task, self.options.max_tiles)

    def _next_case(self) -> Case | None:
        if self._again:
            case = self._again.popleft()
            if case.rung.kind == "mode":
                self._redraw(case, case.rung.mode)
            return case
        while (page := self._next_page()) is not None:
            self._order.append(page.number)
            if isinstance(page, UnreadablePage):
                self._ready[page.number] = self._finish.unreadable(page)
            elif not has_ink(page.image):
                self._ready[page.number] = self._finish.blank(page)
            else:
                case = self._cases[page.number] = Case(page, first_rung(self.mode, self.options.max_tokens))
                return case
        self._exhausted = True
        return None

    def _next_page(self) -> PageImage | UnreadablePage | None:
        with self._drawing:
            if self._pages is None:
                self._pages = iter(self._source.pages())
            return next(self._pages, None)

    def _redraw(self, case: Case, mode: str) -> None:
        """Give a page the pixels that another mode can use."""
        with self._drawing:
            page = self._source.redraw(case.page.number, mode)
        if page is not None:
            case.redrawn(page)

    def _take(self, completion: Completion) -> None:
        """Judge an answer of the engine and act on it."""
        case, engine = self._cases.get(completion.key), self.engine
        if case is None or not case.asked:
            raise EngineError(f"engine {engine.name} answered for page {completion.key}, which it does not hold")
        case.asked = False
        decoding = engine.capabilities.decoding
        verdict = judge(completion, case.page, decoding, self.options.task)
        case.record(engine.name, case.rung.mode, completion, verdict, decoding)
        if verdict.fault is None:
            self._done(case, self._finish.read(case, completion, engine.name, case.rung.mode))
        elif not decoding:
            self._done(case, self._finish.failed(case, verdict.reason))
        else:
            case.reject(completion, verdict)
            self._ask_again(case, verdict.fault)

    def _ask_again(self, case: Case, fault: Fault) -> None:
        """The next rung of the ladder for a rejected page, or the substitute, or the end."""
        options, image = self.options, case.page.image
        modes = self.engine.capabilities.modes
        rung = next_rung(options.ladder(), case.rung, fault, image.size, modes, options.max_tiles)
        if rung is not None:
            case.rung = rung
            self._again.append(case)
        elif self._substitute and self._may_be_substituted and not self._substitute.broken:
            self._hand_over(case, self._substitute)
        else:
            self._settle(case)

    def _hand_over(self, case: Case, substitute: Substitute) -> None:
        while len(self._substituted) >= MOST_SUBSTITUTED:
            wait(self._substituted, return_when=FIRST_COMPLETED)
            self._collect()
        del self._cases[case.page.number]
        self._redraw(case, NATIVE.name)
        self._substituted[substitute.ask(case.request(self.options.task, self.options.max_tiles))] = case

    def _collect(self, all_of_them: bool = False) -> None:
        """Take the answers of the substitute that are there, or wait for all."""
        if all_of_them:
            wait(self._substituted)
        for future in [future for future in self._substituted if future.done()]:
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
        self._done(case, self._finish.read(case, completion, substitute.name, mode, warning))

    def _settle(self, case: Case, *warnings: str) -> None:
        """No answer was taken and none will be."""
        if self._substitute and self._substitute.broken and self._may_be_substituted:
            warnings = (*warnings, f"the engine {self._substitute.name} cannot take over: {self._substitute.broken}")
        self._done(case, self._finish.salvaged(case, *warnings))

    def _done(self, case: Case, result: PageResult) -> None:
        self._cases.pop(case.page.number, None)
        self._ready[case.page.number] = result


def _figure_writer(name: str, options: Options) -> FigureWriter | None:
    if options.figures is None:
        return None
    prefix = options.figures_prefix or (Path(name).stem if name != "-" else "page") or "page"
    return FigureWriter(options.figures, prefix, options.figures_base or Path())
