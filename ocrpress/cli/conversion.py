"""Inputs one after the other through one engine into a sink; what fails is reported, what is finished is written."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from ocrpress.cli.inputs import check_matched, output_stems
from ocrpress.cli.progress import progress
from ocrpress.cli.say import say, say_error
from ocrpress.engines import describe, open_engine
from ocrpress.errors import EngineError, OutputError
from ocrpress.pipeline import Options, Substitute, open_reading
from ocrpress.quality.ladder import NO_FALLBACK
from ocrpress.sources.pages import ranges

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ocrpress.cli.choose import Choice
    from ocrpress.cli.signals import Interruption
    from ocrpress.cli.sinks import Sink
    from ocrpress.document import Document, PageResult
    from ocrpress.engines.base import Engine
    from ocrpress.pipeline import Reading


@dataclass
class Conversion:
    """Documents to convert.

    Args:
        inputs: paths, "-" for stdin.
        engine: its name, how it is opened, and why it was chosen (empty if the user chose it).
        quiet: no progress, no word about what went well.
        debug: tracebacks of inputs that fail while others go on.
    """

    inputs: Sequence[str]
    options: Options
    engine: Choice
    sink: Sink
    interruption: Interruption
    quiet: bool = False
    debug: bool = False
    _engine: Engine | None = None
    _substitute: Substitute | None = None
    _announced: bool = False
    _broken: Exception | None = None
    _written: int = 0
    _page_failed: bool = False
    _codes: list[int] = field(default_factory=list)

    def run(self) -> int:
        """Convert every input; returns the exit code.

        Raises:
            Interrupted: after what was finished has been written.
            EngineError, OutputError: no further input could do better.
            OcrpressError: there is one input, and it cannot be read.
        """
        stems = output_stems(self.inputs)
        if self.options.fallback != NO_FALLBACK:
            self._substitute = Substitute(self.options.fallback)  # one for all documents, opened when it is needed
        try:
            try:
                for index, path in enumerate(self.inputs):
                    self._convert(index, path, stems[index])
                    self.interruption.check()
            finally:
                self.sink.finish()
        finally:
            for opened in (self._engine, self._substitute):
                if opened:
                    opened.close()
        return self._exit_code()

    def _convert(self, index: int, path: str, stem: str) -> None:
        try:
            document = self._read(path, stem)
        except Exception as error:
            self._fail(error)
            return
        if document is None:
            say(f"interrupted before the first page of {path} was finished: nothing is written for it")
            return
        self.sink.write(index, document)
        self._summarise(document)
        if self._broken:
            broken, self._broken = self._broken, None
            self._fail(broken)
        else:
            self._written += 1

    def _fail(self, error: Exception) -> None:
        """Report an input that failed and go on; raise the error if nothing else could do better."""
        if len(self.inputs) == 1 or isinstance(error, (EngineError, OutputError)):
            raise error
        self._codes.append(say_error(error, self.debug))

    def _read(self, path: str, stem: str) -> Document | None:
        """The document; None if reading was interrupted before its first page was finished."""
        check_matched(path)
        pages: list[PageResult] = []
        reading: Reading | None = None
        complete = False
        try:
            self.interruption.start()
            self._engine = self._engine or open_engine(self.engine.name, self.engine.options)
            options = replace(self.options, figures_base=self.sink.folder, figures_prefix=stem)
            with open_reading(path, self._engine, options, self._substitute) as reading:
                self._announce(self._engine)
                with progress(reading.name, reading.page_count, self.quiet) as bar:
                    for page in reading:
                        pages.append(page)
                        bar.update(1)
            complete = True
        except Exception as error:
            if reading is None or not pages:
                raise
            self._broken = error  # raised again once what is finished has been written
        except KeyboardInterrupt:
            if self.interruption.number is None:
                raise  # not ours
        finally:
            self.interruption.reading = False
        if reading is None or not (complete or pages):
            return None
        return reading.document(tuple(pages), complete or len(pages) == reading.page_count)

    def _announce(self, engine: Engine) -> None:
        """Say once why the engine was chosen, and how it runs."""
        why = f"engine {self.engine.name}: {self.engine.why}" if self.engine.why else ""
        for line in (why, describe(engine)):
            if line and not self.quiet and not self._announced:
                say(line)
        self._announced = True

    def _summarise(self, document: Document) -> None:
        """At most one line each about an interruption, failed pages, and warnings."""
        count = max(document.page_count, len(document.pages))
        if not document.complete:
            say(f"broken off: {document.source}: {len(document.pages)} of {count} pages are written")
        if document.failed:
            self._page_failed = True
            first = document.failed[0]
            say(
                f"{document.source}: {len(document.failed)} of {count} pages failed "
                f"({ranges([page.number for page in document.failed])}; page {first.number}: {first.error}): "
                "each is marked in its place in the output"
            )
        warnings = [(page.number, warning) for page in document.pages for warning in page.warnings]
        if warnings and not self.quiet:
            more = f" (and {len(warnings) - 1} more warnings, all in --format json)" if len(warnings) > 1 else ""
            say(f"{document.source}: page {warnings[0][0]}: {warnings[0][1]}{more}")

    def _exit_code(self) -> int:
        if not self._codes:
            return int(self._page_failed)
        if self._written:
            return 1
        return self._codes[0] if len(set(self._codes)) == 1 else 3
