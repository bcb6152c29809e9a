"""The text layer of a PDF page: what the file says stands there, and how much of that can be seen. By pdfium.

Knows nothing of workers; says nothing about whether a layer can be trusted.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from ocrpress.errors import PageError

MOST_CHARACTERS = 500_000  # of one page; a poster in small type has a tenth of that
COVERING = 0.8  # of the page's area, for a picture that hides what was drawn before
BROKEN_WORD = "\u00ad"  # soft hyphen: here the page breaks a word with a hyphen at the end of a line
_BREAK_MARKS = str.maketrans({"\x02": BROKEN_WORD, "\ufffe": BROKEN_WORD})  # how pdfium has written it over the years


@dataclass(frozen=True)
class Layer:
    """The text layer of a page.

    Attributes:
        number: page number in its document, from 1.
        text: in the order of the file, lines parted by newlines; U+00AD where a line end breaks a word.
        hidden: share (0 to 1) of the page's text objects that no reader sees: drawn in invisible ink, or under a
            picture of the whole page. Programs that read scans leave their reading so.
    """

    number: int
    text: str
    hidden: float = 0.0


def read_layer(page: Any, number: int) -> Layer:
    """The layer of a page that pypdfium2 has loaded. Raises PageError for more text than a page can hold."""
    textpage = page.get_textpage()
    try:
        count = textpage.count_chars()
        if count > MOST_CHARACTERS:
            raise PageError(f"its text layer has {count} characters, the limit is {MOST_CHARACTERS}")
        text: str = textpage.get_text_range() if count else ""
    finally:
        textpage.close()
    text = text.replace("\r\n", "\n").replace("\r", "\n").translate(_BREAK_MARKS)
    return Layer(number, text, _hidden(page) if count else 0.0)


def _hidden(page: Any) -> float:
    """Share of the text objects that cannot be seen, by the order in which the page draws."""
    from pypdfium2 import raw

    invisible = {raw.FPDF_TEXTRENDERMODE_INVISIBLE, raw.FPDF_TEXTRENDERMODE_CLIP}
    width, height = page.get_size()
    seen = hidden = 0
    for thing in page.get_objects(filter=(raw.FPDF_PAGEOBJ_TEXT, raw.FPDF_PAGEOBJ_IMAGE)):
        if thing.type == raw.FPDF_PAGEOBJ_TEXT:
            if raw.FPDFTextObj_GetTextRenderMode(thing) in invisible:
                hidden += 1
            else:
                seen += 1
        elif seen and thing.level == 0:
            left, bottom, right, top = thing.get_bounds()
            if (right - left) * (top - bottom) >= COVERING * width * height and _is_opaque(thing, page):
                seen, hidden = 0, seen + hidden
    return hidden / (seen + hidden) if hidden else 0.0


def _is_opaque(picture: Any, page: Any) -> bool:
    """Whether most of a picture lets nothing through; watermarks are pictures of the whole page too."""
    from pypdfium2 import PdfBitmap, raw

    if raw.FPDFPageObj_HasTransparency(picture):
        return False
    drawn = raw.FPDFImageObj_GetRenderedBitmap(page.pdf, page, picture)  # at one pixel a point, with its own mask
    if not drawn:
        return False
    bitmap = PdfBitmap.from_raw(drawn)
    try:
        alpha = bytes(bitmap.buffer)[3::4] if bitmap.format == raw.FPDFBitmap_BGRA else b"\xff"
    finally:
        bitmap.close()
    return alpha.count(255) >= COVERING * len(alpha)
