"""Texts one after the other into pages: laid out, drawn, written and counted, a page at a time."""

from __future__ import annotations

import contextlib
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

from ocrpress.cli.inputs import STDIN, check_matched, is_folder
from ocrpress.cli.progress import progress
from ocrpress.cli.rendered import Page, Rendered, as_json, as_text
from ocrpress.cli.say import say, say_error
from ocrpress.cli.stdout import write_stdout
from ocrpress.errors import InputError, OcrpressError, OutputError
from ocrpress.measure.accuracy import fold
from ocrpress.measure.budget import Fit, fit_budget
from ocrpress.measure.page_costs import page_cost
from ocrpress.modes import MODES
from ocrpress.sources import SourceOptions, render_size
from ocrpress.sources.checks import shown_name
from ocrpress.sources.sniff import is_markdown
from ocrpress.sources.text import lacking, read_text
from ocrpress.typeset import draw, lay_out, missing

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ocrpress.cli.places import Place
    from ocrpress.cli.signals import Interruption
    from ocrpress.measure.tokens import Counter
    from ocrpress.typeset.sheet import Sheet
    from ocrpress.typeset.style import Style

ADVICE = "give plain text or Markdown; with --plain any text is set as it stands"
POINTS_PER_INCH = 72


@dataclass(frozen=True)
class Wanted:
    """What the command line asks for.

    Attributes:
        modes: to count in, or to choose from; empty for the page's own, else all.
        markdown: None for what the file's name says.
        budget: vision tokens for a text; None for the style as it is.
        fixed_size: the budget may not change the type size.
    """

    style: Style
    modes: tuple[str, ...]
    markdown: bool | None
    format: str
    max_tiles: int
    budget: int | None
    fixed_size: bool
    as_json: bool
    quiet: bool
    debug: bool

    def counted_modes(self, style: Style, fit: Fit | None) -> tuple[str, ...]:
        """The modes that the pages are counted in."""
        if fit:
            return (fit.mode,)
        return self.modes or ((style.page,) if style.page in MODES else tuple(MODES))


@dataclass
class Rendering:
    """Texts to render.

    Args:
        inputs: paths, "-" for stdin.
        places: one a text; None where nothing is to be drawn.
    """

    inputs: Sequence[str]
    wanted: Wanted
    places: Sequence[Place | None]
    counter: Counter
    interruption: Interruption
    _done: list[Rendered] = field(default_factory=list)
    _codes: list[int] = field(default_factory=list)

    def run(self) -> int:
        """Render every text; returns the exit code.

        Raises:
            Interrupted: the page in hand was given up.
            OutputError: no further text could do better.
            OcrpressError: there is one text, and it cannot be rendered.
        """
        self.interruption.start()
        for name, place in zip(self.inputs, self.places, strict=True):
            try:
                rendered = self._render(name, place)
            except OcrpressError as error:
                if len(self.inputs) == 1 or isinstance(error, OutputError):
                    raise
                self._codes.append(say_error(error, self.wanted.debug))
                continue
            except KeyboardInterrupt:
                say(f"broken off: {shown_name(name)} is not rendered whole")
                raise
            if not self.wanted.as_json:
                write_stdout("\n" * bool(self._done) + as_text(rendered, self.counter.name))
            self._done.append(rendered)
        if self.wanted.as_json:
            write_stdout(as_json(self._done, self.counter.name))
        if not self._codes:
            return 0
        return 1 if self._done else self._codes[0] if len(set(self._codes)) == 1 else InputError.exit_code

    def _render(self, name: str, place: Place | None) -> Rendered:
        wanted = self.wanted
        text = self._read(name)
        markdown = is_markdown(name) if wanted.markdown is None else wanted.markdown
        try:
            fit = self._fit(name, text, markdown)
            style = fit.style if fit else wanted.style
            pages = self._pages(name, text, style, markdown, place, wanted.counted_modes(style, fit))
        except OutputError:
            raise
        except OcrpressError as error:
            raise type(error)(f"{shown_name(name)}: {error.message}", error.advice) from error
        rendered = Rendered(name, tuple(pages), style, fit, wanted.budget, missing(text, style))
        if not wanted.quiet:
            _warn(rendered, place.left_over(len(pages)) if place else [])
        return rendered

    def _fit(self, name: str, text: str, markdown: bool) -> Fit | None:
        wanted = self.wanted
        if wanted.budget is None:
            return None
        with progress(f"{name}: pages tried", None, wanted.quiet) as bar:
            return fit_budget(
                text, wanted.budget, wanted.style, wanted.modes or tuple(MODES), markdown=markdown,
                max_tiles=wanted.max_tiles, fixed_size=wanted.fixed_size, tried=lambda: bar.update(1),
            )  # fmt: skip

    def _pages(
        self, name: str, text: str, style: Style, markdown: bool, place: Place | None, modes: tuple[str, ...]
    ) -> list[Page]:
        pages: list[Page] = []
        # How many pages there will be nobody knows before the last is laid out; how much text there is, we do.
        bar_of = progress(name, len(text), self.wanted.quiet, unit="char")
        with bar_of as bar, place.writing() if place else contextlib.nullcontext() as write:
            for sheet in lay_out(text, style, markdown=markdown):
                file = write(draw(sheet), sheet.dpi) if write else None
                pages.append(self._page(sheet, file, modes))
                bar.update(len(sheet.text) + len(sheet.joint))
        return pages

    def _page(self, sheet: Sheet, file: Path | None, modes: tuple[str, ...]) -> Page:
        characters, tokens = len(fold(sheet.text)), self.counter.count(sheet.text)
        costs = tuple(
            page_cost(self._seen(sheet, mode), mode, characters, tokens, self.wanted.max_tiles) for mode in modes
        )
        return Page(sheet.number, sheet.width, sheet.height, file, costs)

    def _seen(self, sheet: Sheet, mode: str) -> tuple[int, int]:
        """The pixels that the mode is given: an image as it is, a page of a PDF drawn for it."""
        if self.wanted.format == "png":
            return sheet.width, sheet.height
        width, height = (side * POINTS_PER_INCH / sheet.dpi for side in (sheet.width, sheet.height))
        return render_size(width, height, SourceOptions(mode=mode, max_tiles=self.wanted.max_tiles))

    def _read(self, name: str) -> str:
        check_matched(name)
        if name == STDIN:
            return self._text_of(sys.stdin.buffer, name)
        if is_folder(name):
            raise InputError(f"{name} is a folder", "name the text files in it")
        try:
            with Path(name).open("rb") as stream:
                return self._text_of(stream, name)
        except FileNotFoundError as error:
            raise InputError(f"{name} does not exist", "check the spelling") from error
        except (OSError, ValueError) as error:
            reason = getattr(error, "strerror", None) or error
            raise InputError(f"{name} cannot be read ({reason})", "check the path and its permissions") from error

    def _text_of(self, stream: BinaryIO, name: str) -> str:
        return read_text(stream, name, as_it_stands=self.wanted.markdown is not None, advice=ADVICE)


def _warn(rendered: Rendered, left_over: Sequence[Path]) -> None:
    name = shown_name(rendered.source)
    for warning in lacking(rendered.missing, rendered.style):
        say(f"{name}: {warning}: try another --font")
    if left_over:
        more = f" and {len(left_over) - 1} more" if len(left_over) > 1 else ""
        say(f"{name}: left over from an earlier run: {left_over[0]}{more}")
