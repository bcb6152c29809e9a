"""Answers requests for pages of PDFs and their text: the work of a worker process, or of this one without workers."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Protocol

from ocrpress.errors import EngineError, OcrpressError
from ocrpress.sources.base import SourceOptions
from ocrpress.sources.protocol import Message, Reply, failed, failed_by

if TYPE_CHECKING:
    from ocrpress.sources.layer import Layer
    from ocrpress.sources.raster import Raster


class PdfDocument(Protocol):
    """What a renderer makes of a file."""

    page_count: int

    def render(self, number: int, options: SourceOptions) -> Raster:
        """Page `number`, from 1. Raises PageError."""
        ...

    def layer(self, number: int) -> Layer:
        """The text layer of page `number`, from 1. Raises PageError."""
        ...

    def agrees(self, page_count: int) -> bool:
        """Are there so many pages, and none left out? If not, its page 7 may be page 8 to another renderer."""
        ...

    def close(self) -> None:
        """Close the file."""
        ...


def open_document(path: str, renderer: str, password: str | None) -> PdfDocument:
    """The document, opened by "pdfium" or "poppler". Raises InputError, or EngineError where the renderer is broken."""
    try:
        if renderer == "poppler":
            from ocrpress.sources.poppler import PopplerDocument

            return PopplerDocument(path, password)
        from ocrpress.sources.pdfium import PdfiumDocument

        return PdfiumDocument(path, password)
    except ImportError as error:
        package = "pdf2image" if renderer == "poppler" else "pypdfium2"
        raise EngineError(f"{renderer} cannot be loaded ({error})", f"run 'pip install {package}'") from error


class Clerk:
    """Keeps the documents it was asked about open, one for each renderer."""

    def __init__(self) -> None:
        self._open: dict[str, tuple[Message, PdfDocument]] = {}

    def answer(self, request: Message) -> Reply:
        """Carry out a request of `protocol`. Never raises for what a document can cause: the reply says it."""
        start = time.perf_counter()
        try:
            document = self._document(request)
            if not request["page"]:
                return Reply({"pages": document.page_count})
            if "of" in request and not document.agrees(request["of"]):
                return failed("page", f"{request['renderer']} counts the pages differently")
            if request.get("layer"):
                layer = document.layer(request["page"])
                return Reply({"hidden": layer.hidden}, layer.text.encode(errors="replace"))
            raster = document.render(request["page"], SourceOptions(**request["options"]))
        except OcrpressError as error:
            return failed_by(error)
        except Exception as error:  # a renderer may raise anything; it costs this page, not the document
            return failed("page", f"{request['renderer']} failed ({type(error).__name__}: {error})")
        seconds = time.perf_counter() - start
        facts = {"size": raster.size, "points": raster.points, "warnings": raster.warnings, "seconds": seconds}
        return Reply(facts, raster.pixels)

    def close(self) -> None:
        """Close all documents."""
        for _, document in self._open.values():
            document.close()
        self._open.clear()

    def _document(self, request: Message) -> PdfDocument:
        renderer, password = request["renderer"], request["options"]["password"]
        key = {"path": request["path"], "password": password}
        held = self._open.get(renderer)
        if held is not None and held[0] == key and request["page"]:  # page 0 opens anew: the file may be another by now
            return held[1]
        if held is not None:
            del self._open[renderer]
            held[1].close()
        document = open_document(request["path"], renderer, password)
        self._open[renderer] = (key, document)
        return document
