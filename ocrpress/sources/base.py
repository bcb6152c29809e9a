"""What every source is: a name, the pages it will give, and a lazy stream of them."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal, Protocol

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from ocrpress.document import PageImage, UnreadablePage

Renderer = Literal["auto", "pdfium", "poppler"]
RENDERERS: tuple[Renderer, ...] = ("auto", "pdfium", "poppler")


@dataclass(frozen=True)
class SourceOptions:
    """How pages are taken from a document.

    Attributes:
        mode: the mode that will read the pages; decides how many pixels are worth rendering.
        dpi: resolution to render at; None lets the mode decide.
        pages: "1-3,7" or "5-"; None for all.
        password: of an encrypted PDF.
        renderer: "auto" is pdfium, and poppler for a page that pdfium cannot render.
        max_pixels: largest page image, in pixels; a larger page is scaled down and says so.
        max_pages: most pages taken from one document.
        max_tiles: largest number of tiles of a page; None leaves it to checkpoint and mode.
        workers: processes that render PDF pages ahead of the engine; 0 renders in this process.
        page_seconds: time limit for rendering one page in a worker.
    """

    mode: str = "native"
    dpi: float | None = None
    pages: str | None = None
    password: str | None = field(default=None, repr=False)
    renderer: Renderer = "auto"
    max_pixels: int = 50_000_000
    max_pages: int = 100_000
    max_tiles: int | None = None
    workers: int = 1
    page_seconds: float = 120.0


class Source(Protocol):
    """A document being read, one page in memory at a time (plus those that workers rendered ahead)."""

    @property
    def name(self) -> str:
        """The name it came under: a path, or "-"."""
        ...

    @property
    def page_count(self) -> int:
        """How many pages `pages` will give."""
        ...

    @property
    def numbers(self) -> Sequence[int]:
        """The numbers of those pages in the document, rising, from 1."""
        ...

    @property
    def drawn(self) -> bool:
        """Whether pages are drawn at the size that the options ask for (PDF), rather than being pixels already."""
        ...

    def pages(self) -> Iterator[PageImage | UnreadablePage]:
        """The pages asked for, in page order. A page that cannot be read keeps its place as an UnreadablePage."""
        ...

    def redraw(self, number: int, mode: str) -> PageImage | None:
        """A page drawn once more, as another mode would see it; None if no other pixels are to be had of it.

        May be called while `pages` is being iterated, but not from two threads at a time.
        """
        ...

    def close(self) -> None:
        """Close files and stop workers. Safe to call twice."""
        ...
