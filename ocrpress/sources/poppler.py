"""The second renderer: PDF pages by poppler, through pdf2image. Slower; reads some files that pdfium cannot."""

from __future__ import annotations

import math
import re
from typing import TYPE_CHECKING, Any

from ocrpress.errors import InputError, PageError, PasswordError, UsageError
from ocrpress.sources.checks import POPPLER_ADVICE
from ocrpress.sources.raster import DAMAGED_ADVICE, Raster, bounded, scaled_down, wanted_size

if TYPE_CHECKING:
    from ocrpress.sources.base import SourceOptions
    from ocrpress.sources.layer import Layer

_SIZE = re.compile(r"([-\d.eE+]+) x ([-\d.eE+]+) pts")


class PopplerDocument:
    """A PDF that poppler can open. Each call is a program run anew, so nothing is held open.

    Raises:
        PasswordError: encrypted, and the password is missing or wrong.
        InputError: poppler can make nothing of the file.
        UsageError: poppler is not installed.
    """

    def __init__(self, path: str, password: str | None) -> None:
        self._path = path
        self._described: tuple[int, dict[str, Any]] = (0, {})  # the page looked up last
        self._passwords: dict[str, Any] = {"userpw": password, "ownerpw": password}
        self.page_count = int(self._info()["Pages"])
        self._last_page_is_there: bool | None = None

    def render(self, number: int, options: SourceOptions) -> Raster:
        """Render page `number` (from 1), crop box and rotation as a reader shows them.

        Raises:
            PageError: poppler cannot draw the page.
        """
        from pdf2image import convert_from_path

        points = self._points(number)
        wanted = wanted_size(*points, options)
        size = bounded(wanted, options.max_pixels)
        # pdftoppm takes the size before it turns the page.
        asked = (size[1], size[0]) if self._is_turned(number) else size
        limit = math.ceil(options.page_seconds)
        try:
            images = convert_from_path(
                self._path, first_page=number, last_page=number, size=asked, use_cropbox=True, timeout=limit,
                **self._passwords,
            )  # fmt: skip
        except Exception as error:  # whatever it was, it costs this page only
            raise PageError(f"poppler cannot draw the page ({_one_line(error)})") from error
        if len(images) != 1:
            raise PageError("poppler cannot draw the page")
        image = images[0].convert("RGB")
        return Raster(image.size, points, image.tobytes(), scaled_down(wanted, size))

    def layer(self, number: int) -> Layer:
        """Raises PageError: text layers are pdfium's to read."""
        raise PageError(f"pdfium cannot open the document, so the text layer of page {number} is not to be had")

    def agrees(self, page_count: int) -> bool:
        """Are there so many pages? Poppler closes the gap that a broken page leaves, and then misses one at the end."""
        if self._last_page_is_there is None:
            self._last_page_is_there = min(self._points(self.page_count)) > 0
        return self.page_count == page_count and self._last_page_is_there

    def close(self) -> None:
        """Nothing to close."""

    def _info(self, **pages: Any) -> dict[str, Any]:
        from pdf2image import exceptions, pdfinfo_from_path

        try:
            return dict(pdfinfo_from_path(self._path, **self._passwords, **pages))
        except exceptions.PDFInfoNotInstalledError as error:
            raise UsageError("the renderer poppler is not installed", POPPLER_ADVICE) from error
        except Exception as error:
            if "password" in str(error).lower():
                raise PasswordError(f"{self._path} is encrypted and the password is missing or wrong") from error
            raise InputError(f"{self._path} is damaged beyond repair", DAMAGED_ADVICE) from error

    def _points(self, number: int) -> tuple[float, float]:
        """Size of a page as shown, in points: pdfinfo gives the crop box before rotation."""
        found = _SIZE.match(self._page_entry(number, "size"))
        if found is None:
            raise PageError("poppler finds no such page")
        width, height = float(found[1]), float(found[2])
        return (height, width) if self._is_turned(number) else (width, height)

    def _is_turned(self, number: int) -> bool:
        return self._page_entry(number, "rot") in {"90", "270"}

    def _page_entry(self, number: int, entry: str) -> str:
        """What pdfinfo says of a page, by its heading "Page    3 size" or "Page    3 rot"; empty if it says nothing."""
        if self._described[0] != number:
            self._described = number, self._info(first_page=number, last_page=number)
        values = {" ".join(key.split()): str(value) for key, value in self._described[1].items()}
        return values.get(f"Page {number} {entry}", "")


def _one_line(error: Exception) -> str:
    return " ".join(str(error).split())[:200] or type(error).__name__
