"""What an engine saw or a model wrote of a page -> its blocks in reading order."""

from ocrpress.layout.blocks import build_blocks, text_blocks
from ocrpress.layout.joining import join_text
from ocrpress.layout.markup import markup_blocks

__all__ = ["build_blocks", "join_text", "markup_blocks", "text_blocks"]
