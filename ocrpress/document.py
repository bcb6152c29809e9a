"""The nouns that walk through the pipeline, frozen. This file knows nothing of files, engines or Markdown.

    PageImage | UnreadablePage ──▶ Request ──▶ Completion ──▶ PageResult ──▶ Document

Coordinates: a `Box` is (left, top, right, bottom), the origin at the top left, y down. Regions are in pixels of the
page image as the engine righted it; blocks are in points (1/72 inch) of the righted page.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal

from ocrpress.inline import plain

if TYPE_CHECKING:
    from PIL.Image import Image

    from ocrpress.modes import Plan

Box = tuple[float, float, float, float]
Status = Literal["ok", "blank", "failed"]
Fault = Literal["error", "loop", "cut off", "empty"]  # why an answer is not taken

# A region is a line of text, or one of the areas that a layout model marks.
RegionKind = Literal[
    "line", "text", "title", "figure", "figure_caption", "table", "table_caption", "header", "footer", "reference",
    "equation",
]  # fmt: skip
# A block is a unit of the finished page, in reading order.
BlockKind = Literal[
    "heading", "paragraph", "list", "table", "figure", "caption", "equation", "code", "header", "footer", "page_number",
]  # fmt: skip
FURNITURE: frozenset[str] = frozenset({"header", "footer", "page_number"})


@dataclass(frozen=True)
class PageImage:
    """One page as pixels.

    Attributes:
        number: page number in its document, from 1.
        image: RGB, 8 bits a channel.
        width, height: size of the page in points.
        seconds: what making it cost, by stage.
        warnings: what a reader of the result should know (scaled down, second renderer used, …).
    """

    number: int
    image: Image
    width: float
    height: float
    seconds: Mapping[str, float] = field(default_factory=dict)
    warnings: tuple[str, ...] = ()


@dataclass(frozen=True)
class UnreadablePage:
    """A page that no renderer could turn into pixels; it keeps its place in the document."""

    number: int
    error: str
    width: float = 0.0
    height: float = 0.0
    seconds: Mapping[str, float] = field(default_factory=dict)


@dataclass(frozen=True)
class Decoding:
    """How a model chooses its tokens; None leaves a figure to the checkpoint's own defaults.

    Attributes:
        temperature: 0 takes the likeliest token; above, tokens are drawn (0 to 2).
        ngram: no run of this many tokens may occur twice within the window; 0 turns the rule off.
        window: how many of the last tokens the rule looks at.
        max_tokens: the longest answer, in tokens.
        seed: of the draw; the same seed gives the same tokens whatever else is being decoded.
        ignore_end: go on past the end token to max_tokens; only benchmarks want that.
    """

    temperature: float = 0.0
    ngram: int | None = None
    window: int | None = None
    max_tokens: int | None = None
    seed: int = 0
    ignore_end: bool = False


@dataclass(frozen=True)
class Request:
    """One page on its way into an engine. `key` names it among all pages in flight; the Completion carries it back.

    Attributes:
        task: a name of the engine's `Capabilities.tasks`; "locate=WHAT" says what to look for.
        document: whose page it is, compared by identity: pages of different documents are never read together.
        attempt: 1 at first, then one more each time the page is asked for again.
        decoding: for engines whose `Capabilities.decoding` is true; the others take no notice.
    """

    key: int
    page: PageImage
    mode: str
    task: str = "markdown"
    max_tiles: int | None = None
    attempt: int = 1
    decoding: Decoding = Decoding()
    document: object = None


@dataclass(frozen=True)
class Region:
    """What an engine saw: a line of text or a layout area, in pixels of the righted page image.

    Attributes:
        confidence: 0 to 1.
        angle: degrees by which the baseline of a line falls to the right (clockwise positive); 0 for areas.
        height: of a line, across its baseline, in pixels; 0 for areas.
    """

    kind: RegionKind
    box: Box
    text: str = ""
    confidence: float = 1.0
    angle: float = 0.0
    height: float = 0.0


@dataclass(frozen=True)
class Completion:
    """What an engine answered for one page.

    Attributes:
        text: raw text as the engine gave it (lines joined by newlines, or what a model generated).
        form: what the text is: "lines" of a page, or "markup" that a vision-language model wrote in reading order
            (Markdown, HTML tables, formulas, and `<|ref|>…<|det|>…` grounding).
        regions: where the lines stand, if the engine says (`Capabilities.grounding`); markup carries its own boxes.
        stop: "end" (it stopped by itself), "length" (cut off), "error".
        rotation: clockwise degrees (0, 90, 180, 270) by which the page was turned to stand upright; regions refer to
            the turned page.
        output_tokens: tokens generated; None for engines without tokens.
    """

    key: int
    text: str = ""
    form: Literal["lines", "markup"] = "lines"
    regions: tuple[Region, ...] = ()
    stop: Literal["end", "length", "error"] = "end"
    error: str = ""
    rotation: int = 0
    plan: Plan | None = None
    output_tokens: int | None = None
    seconds: Mapping[str, float] = field(default_factory=dict)
    warnings: tuple[str, ...] = ()


@dataclass(frozen=True)
class Block:
    """One unit of the finished page, in reading order.

    Attributes:
        text: plain text; for a list, its items joined by newlines with their markers, nested ones indented; for a
            table, empty.
        box: in points of the righted page.
        level: heading level 1 to 6; 0 for other kinds.
        rows: cells of a table, row by row, all rows equally long.
        image: path of the cropped figure, relative to the output; empty if it was not written.
        continues: the paragraph goes on in the next paragraph of the document (its last line ends without a stop).
        markup: the text of an equation is LaTeX; any other text, and the cells, are in the dialect of
            `ocrpress.inline`, and line ends are meant. `block_text` and `block_rows` give them plain.
    """

    kind: BlockKind
    text: str
    box: Box
    level: int = 0
    rows: tuple[tuple[str, ...], ...] = ()
    image: str = ""
    continues: bool = False
    confidence: float = 1.0
    markup: bool = False


@dataclass(frozen=True)
class Attempt:
    """One try at a page: which engine and mode, how it stopped, and why it was not taken.

    Attributes:
        fault: the kind of fault; None if the answer was taken.
        rejected: the same in words; empty if the answer was taken.
        decoding: how it was asked to choose its tokens; None for engines that do not.
        output_tokens: tokens generated; None for engines without tokens.
    """

    engine: str
    mode: str
    stop: str
    seconds: float
    rejected: str = ""
    decoding: Decoding | None = None
    output_tokens: int | None = None
    fault: Fault | None = None


@dataclass(frozen=True)
class PageResult:
    """What became of one page: read, blank or failed, never missing.

    Attributes:
        number: page number in its document, from 1.
        status: "ok", "blank" (no ink, or nothing to read) or "failed" (then `error` says why, and `blocks` may hold
            what of rejected answers was worth keeping).
        attempts: every try at the page, in order; none for a page without ink.
        engine, mode: of the answer that was taken.
        blocks: in reading order, furniture (running heads, page numbers) included and marked by its kind.
        width, height: size of the righted page in points (0 if the page could not be opened).
        rotation: clockwise degrees by which the page was turned.
        seconds: by stage: render, views, detect, recognise, layout, …; over all attempts.
    """

    number: int
    status: Status
    blocks: tuple[Block, ...] = ()
    width: float = 0.0
    height: float = 0.0
    rotation: int = 0
    engine: str = ""
    mode: str = ""
    plan: Plan | None = None
    attempts: tuple[Attempt, ...] = ()
    seconds: Mapping[str, float] = field(default_factory=dict)
    warnings: tuple[str, ...] = ()
    error: str = ""

    @property
    def text(self) -> str:
        """Plain text of the page without furniture, blocks separated by blank lines."""
        kept = (block_text(block) for block in self.blocks if block.kind not in FURNITURE)
        return "\n\n".join(text for text in kept if text)


@dataclass(frozen=True)
class Document:
    """A whole document as read.

    Attributes:
        source: the name it came under (a path, or "-").
        pages: in page order.
        complete: False if reading was interrupted; then `pages` holds what was finished.
        page_count: how many pages were to be read; 0 if unknown.
    """

    source: str
    pages: tuple[PageResult, ...]
    engine: str = ""
    mode: str = ""
    complete: bool = True
    page_count: int = 0

    @property
    def failed(self) -> tuple[PageResult, ...]:
        """The pages that could not be read."""
        return tuple(page for page in self.pages if page.status == "failed")

    @property
    def text(self) -> str:
        """Plain text of all pages, pages separated by blank lines."""
        return "\n\n".join(text for page in self.pages if (text := page.text))


def block_text(block: Block) -> str:
    """Plain text of a block; a table gives one line a row, cells separated by tabs."""
    if block.rows:
        return "\n".join("\t".join(row) for row in block_rows(block))
    return plain(block.text) if block.markup and block.kind != "equation" else block.text


def block_rows(block: Block) -> tuple[tuple[str, ...], ...]:
    """Plain text of a table's cells."""
    return tuple(tuple(plain(cell) for cell in row) for row in block.rows) if block.markup else block.rows


def box_to_grid(box: Box, width: float, height: float) -> tuple[int, int, int, int]:
    """A box as integers 0–999 of the page, the coordinates that grounded models print.

    Args:
        box: in the units of `width` and `height`.
        width, height: size of the page; a page of no size gives zeros.
    """
    if width <= 0 or height <= 0:
        return (0, 0, 0, 0)
    left, top, right, bottom = box
    scaled = (left / width, top / height, right / width, bottom / height)
    x0, y0, x1, y1 = (min(999, max(0, round(999 * value))) for value in scaled)
    return x0, y0, x1, y1
