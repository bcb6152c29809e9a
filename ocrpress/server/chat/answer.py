"""What was read -> the text of an answer, its tokens, and the objects of the wire.

A page's text depends on that page alone, so that an answer in pieces and one in a piece are the same. Running heads are
told apart from headings by the pages around them: for that, and for documents as files, there is /v1/convert.
"""

from __future__ import annotations

import secrets
import time
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from itertools import pairwise
from typing import Any, Literal

from ocrpress.document import FURNITURE, Block, Document, PageResult, block_text, box_to_grid
from ocrpress.layout.furniture import mark_furniture
from ocrpress.pipeline.options import WHAT_FOR
from ocrpress.server.answers.compression import token_counter
from ocrpress.server.chat.prompts import Wanted
from ocrpress.writers import WriterOptions, render
from ocrpress.writers.flow import failure
from ocrpress.writers.markdown import comment

BETWEEN = "\n\n"  # two pages, and two elements of a page
_WRITTEN = WriterOptions(keep_furniture=True, page_breaks="none")

Finish = Literal["stop", "length"]


@dataclass(frozen=True)
class PageText:
    """What a page gives to the answer.

    Attributes:
        finish: "length" if the page was cut off at the most tokens that it may have.
        prompt_tokens: what the page costs in the decoder's sequence; completion_tokens: what was written for it.
    """

    text: str
    finish: Finish
    prompt_tokens: int
    completion_tokens: int


@dataclass
class Sum:
    """What the pages of an answer come to."""

    prompt_tokens: int = 0
    completion_tokens: int = 0
    finish: Finish = "stop"
    texts: list[str] = field(default_factory=list)

    def add(self, page: PageText) -> str:
        """Take a page; what it adds to the text."""
        self.prompt_tokens += page.prompt_tokens
        self.completion_tokens += page.completion_tokens
        self.finish = "length" if page.finish == "length" else self.finish
        piece = (BETWEEN if self.texts else "") + page.text if page.text else ""
        if piece:
            self.texts.append(piece)
        return piece

    @property
    def usage(self) -> dict[str, int]:
        """As OpenAI has it."""
        return {
            "prompt_tokens": self.prompt_tokens,
            "completion_tokens": self.completion_tokens,
            "total_tokens": self.prompt_tokens + self.completion_tokens,
        }


def page_text(page: PageResult, wanted: Wanted, keep_furniture: bool = False, alone: bool = True) -> PageText:
    """The text of one page.

    Args:
        alone: it is the only one; then there is no need to say which page was cut off.
    """
    cut = page.status == "failed" and bool(page.blocks) and any(a.fault == "cut off" for a in page.attempts)
    failed = page.status == "failed" and not (cut and alone)
    parts = [comment(failure(page))] if failed else []
    if wanted.task.startswith(f"{WHAT_FOR}=") and wanted.form != "plain":
        parts += _located(page, wanted.task.partition("=")[2])
    else:
        kept = _kept(page, keep_furniture)
        kinds = [block.kind for block in kept]
        parts += [_element(page, block, kinds, wanted) for block in kept]
    text = BETWEEN.join(filter(None, parts))
    plan = page.plan
    return PageText(text, "length" if cut else "stop", plan.sequence_tokens if plan else 0, _written_tokens(page, text))


def count_tokens(text: str) -> int:
    """Tokens of a text, by the checkpoint's vocabulary; 0 where nothing is installed that counts. See `can_count`."""
    found = token_counter()
    return found.count(text) if found and text else 0


def can_count() -> bool:
    """Whether counting takes no time; the first time takes a second."""
    return token_counter.cache_info().currsize > 0


@dataclass(frozen=True)
class Envelope:
    """What every piece of an answer says of itself."""

    model: str
    id: str = field(default_factory=lambda: f"chatcmpl-{secrets.token_hex(16)}")
    created: int = field(default_factory=lambda: int(time.time()))

    def completion(self, found: Sum) -> dict[str, Any]:
        """The whole answer."""
        message = {"role": "assistant", "content": "".join(found.texts), "refusal": None}
        choice = {"index": 0, "message": message, "logprobs": None, "finish_reason": found.finish}
        return {**self._head("chat.completion"), "choices": [choice], "usage": found.usage}

    def chunk(self, delta: dict[str, str], finish: Finish | None = None) -> dict[str, Any]:
        """A piece of the answer."""
        choice = {"index": 0, "delta": delta, "logprobs": None, "finish_reason": finish}
        return {**self._head("chat.completion.chunk"), "choices": [choice]}

    def usage_chunk(self, found: Sum) -> dict[str, Any]:
        """The last piece, if it was asked for: no text, but what it all came to."""
        return {**self._head("chat.completion.chunk"), "choices": [], "usage": found.usage}

    def _head(self, kind: str) -> dict[str, Any]:
        return {"id": self.id, "object": kind, "created": self.created, "model": self.model}


def _kept(page: PageResult, keep_furniture: bool) -> list[Block]:
    """The blocks that are written: no running heads unless they are wanted."""
    [marked] = mark_furniture((page,))
    return [block for block in marked.blocks if keep_furniture or block.kind not in FURNITURE]


def _element(page: PageResult, block: Block, kinds: Sequence[str], wanted: Wanted) -> str:
    """A block in Markdown, behind its label and its box where they are wanted."""
    said = block.kind != "figure" or bool(block.rows) or bool(block_text(block).strip())
    text = _markdown(block) if said else ""
    if wanted.form == "plain":
        return text
    label, box = _label(block, kinds), list(box_to_grid(block.box, page.width, page.height))
    if wanted.form == "det":
        return f"<|det|>{label} {box}<|/det|>{text}"
    return f"<|ref|>{label}<|/ref|><|det|>[{box}]<|/det|>\n{text}".rstrip("\n")


def _located(page: PageResult, what: str) -> list[str]:
    boxes = [list(box_to_grid(block.box, page.width, page.height)) for block in page.blocks]
    return [f"<|ref|>{what}<|/ref|><|det|>{boxes}<|/det|>"] if boxes else []


def _markdown(block: Block) -> str:
    page = PageResult(1, "ok", (replace(block, image=""),))
    return render(Document("", (page,)), "md", _WRITTEN).removesuffix("\n")


def _label(block: Block, kinds: Sequence[str]) -> str:
    """What DeepSeek-OCR calls such a block."""
    if block.kind == "heading":
        return "title" if block.level == 1 else "sub_title"
    if block.kind == "caption":  # what it is the caption of stands beside it, as a rule
        beside = {other for pair in pairwise(kinds) if "caption" in pair for other in pair}
        return "table_caption" if "table" in beside and "figure" not in beside else "image_caption"
    return {"figure": "image", "paragraph": "text", "list": "text"}.get(block.kind, block.kind)


def _written_tokens(page: PageResult, text: str) -> int:
    taken = next((attempt for attempt in reversed(page.attempts) if attempt.fault is None), None)
    if taken is not None and taken.output_tokens is not None:
        return taken.output_tokens
    return count_tokens(text)
