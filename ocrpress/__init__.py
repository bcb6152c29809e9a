"""ocrpress: long documents to Markdown through optical compression, with the loss measured.

>>> import ocrpress
>>> document = ocrpress.convert("paper.pdf", mode="base")  # doctest: +SKIP
>>> for page in ocrpress.stream("paper.pdf"): print(page.text)  # doctest: +SKIP
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from ocrpress.document import Block, Document, PageResult
    from ocrpress.engines.base import EngineOptions
    from ocrpress.errors import OcrpressError
    from ocrpress.modes import MODES, Plan, plan
    from ocrpress.pipeline import Options, convert, stream
    from ocrpress.writers import render

__version__ = "0.1.0"

_HOMES = {
    "Block": "document", "Document": "document", "EngineOptions": "engines.base", "PageResult": "document",
    "OcrpressError": "errors", "MODES": "modes", "Plan": "modes", "plan": "modes", "Options": "pipeline",
    "convert": "pipeline", "stream": "pipeline", "render": "writers",
}  # fmt: skip

__all__ = [
    "MODES", "Block", "Document", "EngineOptions", "OcrpressError", "Options", "PageResult", "Plan", "convert", "plan",
    "render", "stream",
]  # fmt: skip


def __getattr__(name: str) -> Any:
    """Public names are imported when first used, so that `import ocrpress` is instant."""
    if name not in _HOMES:
        raise AttributeError(f"module 'ocrpress' has no attribute '{name}'")
    from importlib import import_module

    return getattr(import_module(f"ocrpress.{_HOMES[name]}"), name)
