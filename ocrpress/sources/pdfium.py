"""The first renderer: PDF pages by pdfium, straight at the size wanted. Knows nothing of workers or Pillow."""

from __future__ import annotations

import contextlib
import threading
from typing import TYPE_CHECKING, Any

from ocrpress.errors import InputError, PageError, PasswordError
from ocrpress.sources.raster import DAMAGED_ADVICE, Raster, bounded, scaled_down, wanted_size

if TYPE_CHECKING:
    from ocrpress.sources.base import SourceOptions
    from ocrpress.sources.layer import Layer

_WHITE = (255, 255, 255, 255)

# pdfium is one machine with global state: in one process, one call at a time.
_LOCK = threading.RLock()


class PdfiumDocument:
    """A PDF opened by pdfium; pages are loaded one at a time and let go at once.

    Raises:
        PasswordError: encrypted, and the password is missing or wrong.
        InputError: pdfium can make nothing of the file, even after repair.
    """

    def __init__(self, path: str, password: str | None) -> None:
        import pypdfium2

        with _LOCK:
            try:
                self._document: Any = pypdfium2.PdfDocument(path, password=password)
            except pypdfium2.PdfiumError as error:
                raise _open_error(path, password, error) from error
            with contextlib.suppress(pypdfium2.PdfiumError):  # a broken form: the pages can still be read
                self._document.init_forms()
            self.page_count: int = len(self._document)

    def render(self, number: int, options: SourceOptions) -> Raster:
        """Render page `number` (from 1), crop box, rotation, annotations and form fields as a reader shows them.

        Raises:
            PageError: pdfium cannot load or draw the page.
        """
        with _LOCK:
            page = self._load(number)
            try:
                points: tuple[float, float] = page.get_size()
                wanted = wanted_size(points[0], points[1], options)
                size = bounded(wanted, options.max_pixels)
                return Raster(size, points, _draw(page, size), scaled_down(wanted, size))
            except MemoryError as error:
                raise PageError("pdfium ran out of memory") from error
            finally:
                page.close()

    def layer(self, number: int) -> Layer:
        """The text layer of page `number` (from 1).

        Raises:
            PageError: pdfium cannot load the page, or it has more text than a page can hold.
        """
        from ocrpress.sources.layer import read_layer

        with _LOCK:
            page = self._load(number)
            try:
                return read_layer(page, number)
            finally:
                page.close()

    def agrees(self, page_count: int) -> bool:
        """Are there so many pages? pdfium leaves a gap where a page is broken."""
        return self.page_count == page_count

    def close(self) -> None:
        """Close the file."""
        with _LOCK:
            self._document.close()

    def _load(self, number: int) -> Any:
        import pypdfium2

        try:
            return self._document[number - 1]
        except pypdfium2.PdfiumError as error:
            raise PageError(f"pdfium cannot load the page ({error})") from error


def _draw(page: Any, size: tuple[int, int]) -> memoryview:
    """The page as RGB bytes. Drawn into exactly `size`, which the library's own `render` (one scale) cannot promise."""
    import pypdfium2
    from pypdfium2 import raw

    width, height = size
    bitmap = pypdfium2.PdfBitmap.new_native(width, height, raw.FPDFBitmap_BGR, rev_byteorder=True)
    try:
        bitmap.fill_rect(_WHITE, 0, 0, width, height)
        target = (bitmap, page, 0, 0, width, height, 0, raw.FPDF_ANNOT | raw.FPDF_REVERSE_BYTE_ORDER)
        raw.FPDF_RenderPageBitmap(*target)
        if page.formenv:
            raw.FPDF_FFLDraw(page.formenv, *target)
        return memoryview(bitmap.buffer)  # the bytes are ours and outlive the bitmap
    finally:
        bitmap.close()


def _open_error(path: str, password: str | None, error: Any) -> InputError:
    from pypdfium2 import raw

    code = getattr(error, "err_code", None)
    if code == raw.FPDF_ERR_PASSWORD:
        return PasswordError(f"{path} is encrypted and {'the password is wrong' if password else 'needs a password'}")
    if code == raw.FPDF_ERR_SECURITY:
        return InputError(f"{path} is encrypted in a way that pdfium does not know", "save it without encryption")
    return InputError(f"{path} is damaged beyond repair", DAMAGED_ADVICE)
