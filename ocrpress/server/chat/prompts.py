"""What a prompt asks for: a task of the engine, and the form in which the answer is wanted.

The prompts that checkpoints were trained with are those of their cards. They are told apart without their image tokens,
white space, capitals and final stop. Any other prompt is a person's way to say "read this", and gets Markdown.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from typing import Literal

from ocrpress.engines.cards import WHAT, cards
from ocrpress.pipeline.options import WHAT_FOR
from ocrpress.server.errors import BadRequest

GROUNDING = "<|grounding|>"
LONGEST_SOUGHT = 300  # characters
READ, READ_PLAIN, READ_LINES = "markdown", "text", "ocr"
GROUND_UNASKED = frozenset({"unlimited-ocr"})  # checkpoints that say where the text stands, whatever they are asked
_IMAGE = re.compile(r"<image>|<\|image\|>|<｜image｜>")

Form = Literal["plain", "ref", "det"]
"""Of an answer: without boxes; as DeepSeek-OCR grounds it; as Unlimited-OCR does."""


@dataclass(frozen=True)
class Wanted:
    """What a prompt asks for.

    Attributes:
        task: "markdown", …, or "locate=WHAT".
    """

    task: str
    form: Form


def wanted(prompt: str, tasks: Sequence[str]) -> Wanted:
    """What a prompt asks for.

    Args:
        tasks: that the engine knows. One that reads pages, but not without their layout, reads them all the same.

    Raises:
        BadRequest: `Locate` with nothing, or with a novel, to look for.
    """
    shown = _folded(prompt)
    sought = next((found for pattern in _locating() if (found := pattern.fullmatch(shown))), None)
    if sought:
        return Wanted(f"{WHAT_FOR}={_sought(sought[1])}", "ref")
    plain = shown.casefold()
    task, form = _known().get(plain, (READ, "plain"))
    if plain.startswith(GROUNDING) and form == "plain":
        form = "ref"
    if task in (READ_PLAIN, READ_LINES) and task not in tasks:
        task = READ
    return Wanted(task, form)


def _folded(prompt: str) -> str:
    """The prompt as prompts are compared, but for its capitals."""
    text = " ".join(_IMAGE.sub(" ", prompt).split()).rstrip(" .。")
    return GROUNDING + text.replace(GROUNDING, "").strip() if GROUNDING in text else text


@cache
def _known() -> dict[str, tuple[str, Form]]:
    """Prompts as compared -> task and form."""
    found: dict[str, tuple[str, Form]] = {}
    for card in cards().values():
        for task, prompt in card.prompts.items():
            if WHAT not in prompt:
                asked = _folded(prompt).casefold()
                found.setdefault(asked, (task, "det" if card.name in GROUND_UNASKED else "plain"))
                found.setdefault(asked.removeprefix(GROUNDING), (task, "plain"))
    return found


@cache
def _locating() -> tuple[re.Pattern[str], ...]:
    prompts = {_folded(prompt) for card in cards().values() for prompt in card.prompts.values() if WHAT in prompt}
    return tuple(re.compile("(.*)".join(map(re.escape, prompt.split(WHAT))), re.IGNORECASE) for prompt in prompts)


def _sought(what: str) -> str:
    what = what.strip()
    if not what or len(what) > LONGEST_SOUGHT or "<" in what:
        raise BadRequest(
            f"what to look for is {'empty' if not what else 'too long or holds a tag'}",
            f"write up to {LONGEST_SOUGHT} characters between <|ref|> and <|/ref|>",
        )
    return what
