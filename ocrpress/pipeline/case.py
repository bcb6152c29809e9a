"""A page on its way through the pipeline, and the PageResult that it ends as. Knows nothing of streams or order."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Protocol

from ocrpress.document import Attempt, Block, Completion, PageImage, PageResult, Request, UnreadablePage
from ocrpress.layout import build_blocks, markup_blocks, text_blocks
from ocrpress.quality.verdict import visible_letters

if TYPE_CHECKING:
    from ocrpress.figures import FigureWriter
    from ocrpress.pipeline.options import Options
    from ocrpress.quality.ladder import Rung
    from ocrpress.quality.verdict import Verdict


class Origin(Protocol):
    """The document that a page is of."""

    @property
    def options(self) -> Options:
        """How it is read; `mode` is one that the engine reads."""
        ...

    @property
    def finish(self) -> Finisher:
        """Makes the document's PageResults."""
        ...

    def redraw(self, number: int, mode: str) -> PageImage | None:
        """A page drawn once more, as another mode would see it; None if no other pixels are to be had of it."""
        ...


@dataclass
class Case:
    """A page in flight.

    Attributes:
        key: names it among all pages in flight.
        origin: the document that it is of.
        rung: how it is asked for, or was last.
        asked: an engine has it; its answer is awaited.
        attempts: what became of every try.
        faults: what was wrong with the engine's answers.
        seconds: over all tries, by stage.
        best: of the rejected answers the one with the most that is worth keeping, cut to that; and its mode.
    """

    key: int
    origin: Origin
    page: PageImage
    rung: Rung
    asked: bool = False
    attempts: list[Attempt] = field(default_factory=list)
    faults: list[Verdict] = field(default_factory=list)
    seconds: dict[str, float] = field(default_factory=dict)
    best: Completion | None = None
    best_mode: str = ""

    def __post_init__(self) -> None:
        self.seconds |= self.page.seconds

    def request(self) -> Request:
        """What an engine is asked."""
        attempt, options = len(self.attempts) + 1, self.origin.options
        rung = self.rung
        return Request(
            self.key, self.page, rung.mode, options.task, options.max_tiles, attempt, rung.decoding, self.origin
        )  # fmt: skip

    def redrawn(self, page: PageImage) -> None:
        """The page has other pixels from now on."""
        warnings = tuple(dict.fromkeys((*self.page.warnings, *page.warnings)))
        self.page = replace(page, warnings=warnings)
        self._add(page.seconds)

    def record(self, engine: str, mode: str, completion: Completion, verdict: Verdict, decoding: bool) -> None:
        """Book a try; `decoding`: the engine was told how to choose its tokens."""
        seconds = sum(completion.seconds.values())
        asked = self.rung.decoding if decoding else None
        self.attempts.append(
            Attempt(
                engine, mode, completion.stop, seconds, verdict.reason, asked, completion.output_tokens, verdict.fault
            )
        )
        self._add(completion.seconds)

    def reject(self, completion: Completion, verdict: Verdict) -> None:
        """Keep of an answer what is worth it, if it is more than of the ones before."""
        self.faults.append(verdict)
        kept = replace(completion, text=completion.text[: verdict.kept])
        if self.best is None or visible_letters(kept.text) > visible_letters(self.best.text):
            self.best, self.best_mode = kept, self.rung.mode

    def rejections(self, engine: str) -> str:
        """How many answers of an engine were rejected, and why the last one was."""
        count, reason = len(self.faults), self.faults[-1].reason
        if count == 1:
            return f"the answer of {engine} was rejected: {reason}"
        return f"{count} answers of {engine} were rejected, the last because: {reason}"

    def _add(self, seconds: Mapping[str, float]) -> None:
        for stage, more in seconds.items():
            self.seconds[stage] = self.seconds.get(stage, 0.0) + more


@dataclass(frozen=True)
class Finisher:
    """Makes the PageResults of one document.

    Args:
        engine, mode: of the document; a page may come to have others.
        task: what was asked for.
        figures: None crops none.
    """

    engine: str
    mode: str
    task: str
    figures: FigureWriter | None

    def blank(self, page: PageImage) -> PageResult:
        """A page without ink."""
        return PageResult(
            page.number, "blank", width=page.width, height=page.height, engine=self.engine, mode=self.mode,
            seconds=page.seconds, warnings=page.warnings,
        )  # fmt: skip

    def unreadable(self, page: UnreadablePage) -> PageResult:
        """A page without pixels."""
        return PageResult(
            page.number, "failed", width=page.width, height=page.height, engine=self.engine, mode=self.mode,
            seconds=page.seconds, error=page.error,
        )  # fmt: skip

    def read(self, case: Case, completion: Completion, engine: str, mode: str, *warnings: str) -> PageResult:
        """A page whose answer was taken.

        Raises:
            OutputError: a figure cannot be written.
        """
        page = case.page
        points = (page.height, page.width) if completion.rotation in (90, 270) else (page.width, page.height)
        started = time.perf_counter()
        try:
            blocks = _blocks(page, completion, points, self.task)
        except Exception as error:  # what an engine says of one page must not end the document
            return self.failed(case, f"layout failed ({type(error).__name__}: {error})")
        seconds = {**case.seconds, "layout": time.perf_counter() - started}
        if self.figures:
            blocks = self.figures.write(page, completion.rotation, points, blocks)
            seconds["figures"] = time.perf_counter() - started - seconds["layout"]
        return PageResult(
            page.number, "ok" if blocks else "blank", blocks, *points, completion.rotation, engine, mode,
            completion.plan, tuple(case.attempts), seconds, (*page.warnings, *completion.warnings, *warnings),
        )  # fmt: skip

    def failed(self, case: Case, error: str, *warnings: str) -> PageResult:
        """A page of which nothing was read."""
        page = case.page
        return PageResult(
            page.number, "failed", width=page.width, height=page.height, engine=self.engine, mode=self.mode,
            attempts=tuple(case.attempts), seconds=case.seconds, error=error, warnings=(*page.warnings, *warnings),
        )  # fmt: skip

    def salvaged(self, case: Case, *warnings: str) -> PageResult:
        """A page of which no answer was taken: failed, with what was worth keeping of the best one.

        It is not "ok" with a warning: a page that was cut off and passes for read is the worst of all.
        """
        if case.best is None or not visible_letters(case.best.text):
            return self.failed(case, case.rejections(self.engine), *warnings)
        result = self.read(case, case.best, self.engine, case.best_mode, *warnings)
        if not result.blocks:
            return self.failed(case, case.rejections(self.engine), *warnings)
        error = f"{case.rejections(self.engine)}; the best of what was read is kept"
        return replace(result, status="failed", error=error)


def _blocks(page: PageImage, completion: Completion, points: tuple[float, float], task: str) -> tuple[Block, ...]:
    if completion.form == "markup":
        return markup_blocks(completion.text, points, task)
    if not completion.regions:  # an engine that says what stands on the page but not where
        return text_blocks(completion.text, points)
    size = (page.image.width, page.image.height)
    return build_blocks(completion.regions, size[::-1] if completion.rotation in (90, 270) else size, points)
