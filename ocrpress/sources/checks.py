"""Are the options of a source sound, and is a document of the size that they allow?"""

from __future__ import annotations

import math
import shutil

from ocrpress.errors import InputError, UsageError, unknown
from ocrpress.modes import get_mode
from ocrpress.sources.base import RENDERERS, SourceOptions

MIN_DPI, MAX_DPI = 10.0, 1200.0
POPPLER_ADVICE = "install it with 'apt-get install poppler-utils' or 'brew install poppler'"


STDIN = "-"


def shown_name(name: str) -> str:
    """The name of a document as an error message has it."""
    return "the standard input" if name == STDIN else name


def has_poppler() -> bool:
    """Are poppler's programs on the path?"""
    return shutil.which("pdftoppm") is not None and shutil.which("pdfinfo") is not None


def check_options(options: SourceOptions) -> None:
    """Raise a UsageError that names the first option that is out of range or cannot be had here."""
    get_mode(options.mode)
    if options.renderer not in RENDERERS:
        raise unknown("renderer", options.renderer, RENDERERS)
    if options.renderer == "poppler" and not has_poppler():
        raise UsageError("the renderer poppler is not installed", POPPLER_ADVICE)
    if options.dpi is not None and not MIN_DPI <= options.dpi <= MAX_DPI:
        raise UsageError(f"{options.dpi:g} dpi is out of range", f"choose from {MIN_DPI:g} to {MAX_DPI:g}")
    if not 0 < options.page_seconds < math.inf:
        raise UsageError(f"a time limit of {options.page_seconds:g} seconds a page", "it must be more than 0")
    for name, least in (("max_pixels", 1), ("max_pages", 1), ("max_tiles", 2), ("workers", 0)):
        value = getattr(options, name)
        if value is not None and value < least:
            raise UsageError(f"{name} is {value}", f"it must be {least} or more")


def check_page_count(name: str, count: int, options: SourceOptions) -> None:
    """Raises InputError if a document gives more pages than may be taken from one."""
    if count > options.max_pages:
        found = f"{shown_name(name)} gives {count} pages, the limit is {options.max_pages}"
        raise InputError(found, "choose some with --pages")
