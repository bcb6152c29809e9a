"""What vision-language models write, by hand after published answers, and what is to come of it (`data/markup`).

paper: DeepSeek-OCR on a paper. manual: Unlimited-OCR on a manual in two languages. free: Markdown without grounding.
two_tables: the second one breaks off. lines: the text stands where the label belongs. garbage: torn tags. LOOP: a table
that never ends.
"""

from __future__ import annotations

from pathlib import Path

FOLDER = Path(__file__).parent / "data" / "markup"


def sample(name: str) -> str:
    """An answer as it was generated, or a text that is to be written."""
    text = (FOLDER / name).read_text(encoding="utf-8")
    return text.removesuffix("\n") if name.endswith(".answer") else text


PAPER, MANUAL, FREE = sample("paper.answer"), sample("manual.answer"), sample("free.answer")
TWO_TABLES, LINES, GARBAGE = sample("two_tables.answer"), sample("lines.answer"), sample("garbage.answer")
LOOP = (
    "<|ref|>text<|/ref|><|det|>[[100, 100, 900, 120]]<|/det|>\nOne line that is read.\n\n"
    "<|ref|>table<|/ref|><|det|>[[100, 200, 900, 400]]<|/det|>\n"
    "<table><tr><td>Year</td><td>Sum</td></tr><tr><td>1999" + "</td><td>" * 3000
)
SAMPLES = (PAPER, MANUAL, FREE, TWO_TABLES, LOOP, LINES, GARBAGE)
