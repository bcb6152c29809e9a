"""Any text has a reading, whatever became of it: cut, spliced, doubled, sprinkled with tags, looping."""

from __future__ import annotations

import json
import random
import re
import time

import pytest
from markup_samples import SAMPLES

from ocrpress.document import Document, PageResult, block_text
from ocrpress.inline import tokens
from ocrpress.layout import markup_blocks
from ocrpress.layout.html_tables import MOST_COLUMNS
from ocrpress.writers import WriterOptions, render

POINTS = (612.0, 792.0)
TASKS = ("markdown", "text", "figure", "describe", "locate=a thing")
KINDS = {
    "heading", "paragraph", "list", "table", "figure", "caption", "equation", "code", "header", "footer", "page_number",
}  # fmt: skip
SCRAPS = (
    *"<>[](){}|\\$*_`~#-+=&;:.,\n\t 09aÄ中\x00\ud800\ufdd0\u2028",
    "<|ref|>", "<|/ref|>", "<|det|>", "<|/det|>", "[[1, 2, 3, 4]]", "<｜end▁of▁sentence｜>", "<image>", "<PAGE>",
    "<table>", "</table>", "<tr>", "<td>", "</td>", '<td colspan="9999" rowspan=9999>', "<th", "<br>", "<center>",
    "<sup>", "</sup>", "<b>", "</b>", "<script>", "<!--", "-->", "&lt;", "&amp;gt;", "&#x110000;", "&#0;", "\\(", "\\)",
    "\\[", "\\]", "$$", "\\begin{align}", "\\end{align}", "\\\\", "```", "~~~", "\n\n", "\n# ", "\n- ", "\n1. ", "\n> ",
    "\n---\n", "\n===\n", "| a | b |\n", "|---|\n", "**", "***", "![a](b)", "[a](http://b)", "[^1]", "\n[^1]: ", "  \n",
    "text[[1, 2, 3, 4]]", "<|det|>title [1, 2, 3, 4]<|/det|>", "<|ref|>image<|/ref|><|det|>[[1,2,3,4]]<|/det|>",
)  # fmt: skip


def mutated(random_, text):
    """The text, damaged in one to six ways."""
    for _ in range(random_.randint(1, 6)):
        start, end = sorted(random_.randint(0, len(text)) for _ in range(2))
        end = min(end, start + 400)
        other = random_.choice(SAMPLES)[:4000]
        at = random_.randint(0, len(other))
        text = random_.choice(
            (
                lambda: text[:start],  # noqa: B023, called at once
                lambda: text[:start] + text[end:],  # noqa: B023
                lambda: text[:start] + text[start:end] * 3 + text[end:],  # noqa: B023
                lambda: text[:start] + random_.choice(SCRAPS) + text[start:],  # noqa: B023
                lambda: text[:start] + other[at : at + 200] + text[end:],  # noqa: B023
                lambda: text[:start] + "".join(random_.choices(SCRAPS, k=12)) + text[end:],  # noqa: B023
            )
        )()
    return text[:20_000]


def check(text, task):
    blocks = markup_blocks(text, POINTS, task)
    for block in blocks:
        assert block.kind in KINDS
        left, top, right, bottom = block.box
        assert 0 <= left < right <= POINTS[0]
        assert 0 <= top < bottom <= POINTS[1]
        assert 1 <= block.level <= 6 if block.kind == "heading" else block.level == 0
        assert len({len(row) for row in block.rows}) <= 1
        assert all(0 < len(row) <= MOST_COLUMNS for row in block.rows)
        assert block.text.strip() or block.rows or block.kind == "figure"
        stars = [said for kind, said in tokens(block.text) if kind == "mark"]
        assert block.kind in ("equation", "code") or not block.markup or len("".join(stars)) % 2 == 0
    page = PageResult(1, "ok", blocks, *POINTS)
    document = Document("x", (page,))
    markdown = render(document, "md", WriterOptions(page_breaks="none", keep_furniture=True))
    fenced = re.sub(r"^(`{3,})\n.*?\n\1$", "", markdown, flags=re.MULTILINE | re.DOTALL)
    assert not re.search(r"(?<!\\)<(?!br>|!-- figure -->)[A-Za-z/!?]", re.sub(r"(?<!\\)`[^`\n]+`", "", fenced)), (
        markdown
    )
    assert len(json.loads(render(document, "json"))["pages"][0]["blocks"]) == len(blocks)
    render(document, "txt")


@pytest.mark.parametrize("seed", range(6))
def test_damaged_answers_are_read_and_written(seed):
    random_ = random.Random(seed)
    for _ in range(200):
        text = mutated(random_, random_.choice(SAMPLES))
        try:
            check(text, random_.choice(TASKS))
        except Exception as error:
            raise AssertionError(f"{error!r} on {text!r}") from error


@pytest.mark.parametrize("seed", range(4))
def test_nonsense_is_read_and_written(seed):
    random_ = random.Random(1000 + seed)
    for _ in range(300):
        text = "".join(random_.choices(SCRAPS, k=random_.randint(0, 60)))
        try:
            check(text, random_.choice(TASKS))
        except Exception as error:
            raise AssertionError(f"{error!r} on {text!r}") from error


@pytest.mark.parametrize("sample", SAMPLES)
def test_an_answer_cut_off_anywhere_keeps_the_blocks_before(sample):
    whole = [(block.kind, block_text(block)[:20]) for block in markup_blocks(sample, POINTS)]
    for end in range(0, len(sample), max(5, len(sample) // 120)):
        cut = [(block.kind, block_text(block)[:20]) for block in markup_blocks(sample[:end], POINTS)]
        same = next(
            (number for number, pair in enumerate(zip(cut, whole, strict=False)) if pair[0] != pair[1]), len(cut)
        )
        assert same >= len(cut) - 2, sample[:end][-60:]


UNITS = (
    "```tex\n$\n~~~tex\n$\n", "<|ref|>image<|/ref|><|det|>[[1,2,3,4]]<|/det|>a\n\n",
    "<|ref|>", "[[[[", "<table><tr>", "<table>", "<td>", "<td colspan=500 rowspan=9999>x", "\\(", "\\[", "$", "$$", "`",
    "```\n", "```md\n~~~md\n", "*", "**a ", "*a ", "_a ", "***a", "<", "<b>", "<!--", "&", "[", "[a](http://", "- a\n",
    " - a\n", "# a\n", "| a ", "| a |\n", "|-|\n", ">", "> ", "a\n===\n", "\\begin{align}", "\\", "a-\n", "[^1]: a\n",
    "<li>", "  \n", "(1) a\n",
    "<|det|>text [1, 2, 3, 4]<|/det|>- a\n", "<tr><td>x", "</tr>x\n\n", "<sup>", "中**", "\n",
)  # fmt: skip


@pytest.mark.parametrize("unit", UNITS)
def test_reading_and_writing_are_linear(unit):
    def seconds(size):
        started = time.process_time()
        check(unit * (size // len(unit)), "markdown")
        return time.process_time() - started

    # Three tries: on a busy machine the clock may change between the two. What is quadratic fails all of them.
    assert any(seconds(40_000) < max(20 * seconds(5_000), 0.5) for _ in range(3))


@pytest.mark.parametrize("unit", ["<|ref|>", "[[[[", "<table><tr>", "\\[", "<td>x"])
def test_a_megabyte_of_one_thing_is_read_in_seconds(unit):
    started = time.process_time()
    markup_blocks(unit * (1_000_000 // len(unit)), POINTS)
    assert time.process_time() - started < 8  # some two on an idle machine; a square would be hours
