"""Is an engine's answer for a page to be taken? The reasons against it, gravest first: error, loop, cut off, empty."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from ocrpress.quality.ink import count_letters
from ocrpress.quality.loops import find_loop

if TYPE_CHECKING:
    from ocrpress.document import Completion, Fault, PageImage

READING_TASKS = frozenset({"markdown", "text", "ocr", "pages"})  # the others may rightly answer with a word, or none
FEWEST_LETTERS = 40  # that a page's ink must be worth before an empty answer is a fault
EMPTY_SHARE = 1 / 40  # of those letters, below which an answer is as good as empty
ENOUGH_LETTERS = 500  # are never empty, whatever is on the page

_REF = re.compile(r"<\|ref\|>(.*?)<\|/ref\|>", re.DOTALL)
_DET = re.compile(r"<\|det\|>(.*?)<\|/det\|>", re.DOTALL)
_BARE = re.compile(r"^[ \t]*([a-z_]+)[ \t]?\[\[?[\d., \t\[\]-]*\]", re.MULTILINE)  # servers may drop the tags
_TAG = re.compile(r"<[^<>]{0,200}>")
_PICTURE = re.compile(r"(image|figure|picture|photo|chart|diagram|drawing|seal|stamp|logo)(?!_)", re.IGNORECASE)


@dataclass(frozen=True)
class Verdict:
    """What is to be thought of an answer.

    Attributes:
        fault: the kind of fault; None if the answer is to be taken.
        reason: the same in words, for people; empty if the answer is to be taken.
        kept: characters at the beginning of the text that are worth keeping if no better answer comes.
    """

    fault: Fault | None = None
    reason: str = ""
    kept: int = 0


def judge(completion: Completion, page: PageImage, decoding: bool, task: str = "markdown") -> Verdict:
    """Whether an answer is to be taken.

    Args:
        page: what the engine was shown.
        decoding: the engine chooses its tokens (`Capabilities.decoding`), so it can loop, be cut off, or say nothing;
            of engines that do not, only errors are faults.
        task: emptiness is a fault of READING_TASKS only.
    """
    text = completion.text
    if completion.stop == "error":
        return Verdict("error", completion.error or "an error without a reason")
    if not decoding:
        return Verdict(kept=len(text))
    ended = completion.stop == "end"
    loop = find_loop(text, ended)
    if loop is not None:
        return Verdict("loop", f"it repeats {loop}", loop.kept)
    if not ended:
        tokens = f" after {completion.output_tokens} tokens" if completion.output_tokens else ""
        return Verdict("cut off", f"cut off{tokens}, without an end", len(text))
    if task in READING_TASKS and _is_empty(completion, page):
        return Verdict("empty", "no text, though the page has much that looks like it", len(text))
    return Verdict(kept=len(text))


def visible_letters(text: str) -> int:
    """Letters and digits of a text, without tags, labels and boxes."""
    return sum(map(str.isalnum, _TAG.sub("", _BARE.sub("", _DET.sub("", _REF.sub("", text))))))


def _is_empty(completion: Completion, page: PageImage) -> bool:
    """Whether nearly nothing was read of a page full of ink. A picture that was marked is an answer."""
    letters = visible_letters(completion.text)
    if letters >= ENOUGH_LETTERS or _has_picture(completion):
        return False
    ink = count_letters(page.image)
    return ink >= FEWEST_LETTERS and letters < EMPTY_SHARE * ink


def _has_picture(completion: Completion) -> bool:
    marked = (label for tag in (_REF, _DET, _BARE) for label in tag.findall(completion.text))
    if any(_PICTURE.search(label) for label in marked) or "![" in completion.text or "<img" in completion.text:
        return True
    return any(region.kind == "figure" for region in completion.regions)
