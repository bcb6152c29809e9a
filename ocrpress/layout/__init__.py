"""Regions that an engine saw -> reading order -> blocks."""

from ocrpress.layout.blocks import build_blocks, text_blocks
from ocrpress.layout.joining import join_text

__all__ = ["build_blocks", "join_text", "text_blocks"]
