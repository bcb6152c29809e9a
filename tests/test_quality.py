"""Is there ink, does a text loop, is an answer to be taken, how is the page asked for again."""

from __future__ import annotations

import json
import os
import random
import time
from collections.abc import Iterable, Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from conftest import ROOT
from PIL import Image, ImageDraw, ImageFont

from ocrpress.document import Completion, Decoding, PageImage, Region
from ocrpress.errors import UsageError
from ocrpress.quality import ink
from ocrpress.quality.ink import count_letters
from ocrpress.quality.ladder import Ladder, Rung, first_rung, next_rung
from ocrpress.quality.loops import find_loop
from ocrpress.quality.verdict import judge, visible_letters

FOX = Path(os.environ.get("OCRPRESS_FOX", ROOT.parent / "shared" / "data" / "fox"))
LADDER = Ladder()
MODES = ("tiny", "small", "base", "large", "gundam", "gundam-m")
PAGE = (1600, 2200)


def prose(rng: random.Random, words: int) -> str:
    """Words of no language, in sentences and paragraphs."""
    parts = []
    for number in range(words):
        word = "".join(rng.choice("aeiou") + rng.choice("bdfklmnprst") for _ in range(rng.randint(1, 4)))
        end = ".\n\n" if number % 60 == 59 else ". " if number % 12 == 11 else " "
        parts.append(word + end)
    return "".join(parts)


def loops(rng: random.Random, text: str) -> Iterator[tuple[str, str]]:
    """What models append to a page when they loop; numbers of copies as a token limit leaves them."""
    words = text.split()
    start = rng.randrange(len(words) - 160)
    line = rng.choice([line for line in text.splitlines() if len(line) > 20])[:200]
    phrase = words[start : start + 25]
    yield "a letter", rng.choice("aбの文") * rng.randint(400, 4000)
    yield "a word", f"{rng.choice([word for word in words if word.isalpha()])} " * rng.randint(100, 2000)
    yield "three words", f"{' '.join(words[start : start + 3])} " * rng.randint(60, 600)
    yield "a line", f"{line}\n" * rng.randint(20, 200)
    yield "a paragraph", f"{' '.join(words[start : start + 60])}\n\n" * rng.randint(6, 30)
    yield "half a page", f"{' '.join(words[start : start + 160])}\n" * rng.randint(5, 12)
    yield "a numbered line", "".join(f"{number}. {line}\n" for number in range(1, rng.randint(30, 200)))
    row = "<tr><td>{}</td><td>{}</td><td>{}</td></tr>"
    yield "a table row", "".join(row.format(n, line, 2 * n + 10) for n in range(1, rng.randint(40, 200)))
    yield "cells", "<table><tr>" + "<td></td>" * rng.randint(150, 1500)
    yield "dots", "." * rng.randint(1200, 6000)
    yield "boxes", "<|ref|>image<|/ref|><|det|>[[12, 34, 56, 78]]<|/det|>\n" * rng.randint(120, 400)
    yield "Chinese", "今天我们讨论的是文档压缩的方法。" * rng.randint(20, 200)
    yield (
        "variations",
        " ".join(word if rng.random() > 1 / 40 else rng.choice(words) for word in phrase * rng.randint(40, 100)),
    )


def table(rows: Iterable[Iterable[object]]) -> str:
    return "<table>" + "".join(f"<tr>{''.join(f'<td>{c}</td>' for c in row)}</tr>\n" for row in rows) + "</table>"


def real_pages() -> dict[str, str]:
    """What real pages say, and say again."""
    rng = random.Random(7)
    title = "In Proceedings of the IEEE Conference on Computer Vision and Pattern Recognition (CVPR), pages"
    goods = ["steel bolt", "copper wire, 2 mm", "washer", "hinge, left", "hinge, right"]
    return {
        "prose": prose(rng, 900),
        "equal cells": table([(name, "0.00", "0.00", "n/a", "n/a") for name in prose(rng, 40).split()]),
        "a column of yes and no": table([(n, rng.choice(["Yes", "No"]), "Yes", "No") for n in range(1, 61)]),
        "a price list": table([(n, rng.choice(goods), f"{rng.random() * 90:.2f}", "EUR") for n in range(1, 80)]),
        "the same payment every month": table([(f"{m:02}/2024", "Rent", "Paid", "950.00") for m in range(1, 13)] * 2),
        "readings of one meter": table([
            (n, "Consumption in kilowatt hours", rng.randint(10, 99)) for n in range(1, 90)
        ]),
        "readings of one thermometer": "".join(f"Temperature, degrees: {rng.randint(1, 40)}\n" for _ in range(70)),
        "a timetable": table([
            [rng.choice(["Mathematics", "Physics", "English", "Sports"]) for _ in range(6)] for _ in range(80)
        ]),
        "a blank form": table([("",) * 8] * 35),
        "a long blank form": "<table><tr><th></th><th></th></tr>\n" + "<tr><td></td><td></td></tr>\n" * 150,
        "a numbered blank form": table([(n, "", "", "") for n in range(1, 61)]),
        "zeros": table([("0",) * 12] * 30),
        "a Markdown table": "| a | b | c |\n| --- | --- | --- |\n" + "| – | 0 | – |\n" * 40,
        "contents": "".join(
            f"{n}.{m} {prose(rng, 3).strip()} {'.' * rng.randint(20, 90)} {9 * n + m}\n"
            for n in range(1, 9) for m in range(1, 6)
        ),
        "lines to write on": "Name: " + ("_" * 80 + "\n") * 25,
        "an answer sheet": "".join(f"{n}. (A) (B) (C) (D) (E)\n" for n in range(1, 101)),
        "a list of equal skeletons": "".join(
            f"({chr(97 + n)}) the Minister may by order amend section {rng.randint(1, 200)} of this Act;\n"
            for n in range(26)
        ),
        "verse with a refrain": "".join(prose(rng, 30) + "Blow the wind southerly, southerly,\n" * 2 for _ in range(9)),
        "laughter": prose(rng, 200) + "Ha! ha ha ha ha ha ha ha ha ha! " + prose(rng, 200),
        "bibliography": "".join(
            f"[{n}] {prose(rng, 14).replace(chr(10), ' ')} {title} {100 * n}–{100 * n + 9}, {1990 + n % 30}.\n"
            for n in range(45)
        ),
        "code": "".join(
            f"    def test_{name}(self) -> None:\n        self.assertEqual({name}(self.first), {n})\n\n"
            for n, name in enumerate(prose(rng, 40).replace(".", "").split())
        ),
        "bytes": "static const char data[] = {\n" + ("    " + "0x00, " * 12 + "\n") * 40 + "};\n",
        "a matrix": "\\[\\begin{bmatrix}" + ("0 & " * 15 + "0 \\\\\n") * 16 + "\\end{bmatrix}\\]",
        "Chinese": "".join(chr(rng.randint(0x4E00, 0x6000)) for _ in range(1500)),
        "receipts in triplicate": prose(rng, 80) * 3,
        "boxes": "".join(
            f"<|ref|>text<|/ref|><|det|>[[{rng.randint(0, 999)}, {rng.randint(0, 999)}, {rng.randint(0, 999)}, 999]]"
            f"<|/det|>\n{prose(rng, 6)}\n" for _ in range(90)
        ),
        "icons": "".join(
            f"<|ref|>image<|/ref|><|det|>[[{rng.randint(0, 500)}, {40 * n}, 990, {40 * n + 9}]]<|/det|>\n"
            for n in range(25)
        ),
    }  # fmt: skip


REAL_PAGES = real_pages()


@pytest.mark.parametrize("name", REAL_PAGES)
def test_real_pages_are_no_loops(name: str) -> None:
    assert find_loop(REAL_PAGES[name]) is None


@pytest.mark.parametrize("ended", [True, False])
def test_every_kind_of_loop_is_found_and_what_stands_before_it_is_kept(ended: bool) -> None:
    for seed in range(5):
        rng = random.Random(seed)
        text = prose(rng, 600)
        for name, loop in loops(rng, text):
            cut = loop if ended else loop[: len(loop) - rng.randrange(len(loop) // 20)]
            found = find_loop(f"{text}\n\n{cut}", ended)
            assert found is not None, (name, seed)
            assert len(text) - 10 <= found.kept <= len(text) + 1200, (name, seed)
            assert str(found)


def test_a_cut_off_text_is_judged_more_severely_at_its_end() -> None:
    text = prose(random.Random(3), 300)
    row = "<tr><td>Rent</td><td>Paid in full and on time</td></tr>"
    for end in (row * 5, "the end of it " * 9, "." * 300, f"{text[:400]}\n" * 2):
        assert find_loop(text + end) is None
        assert find_loop(text + end, ended=False) is not None
    assert find_loop(text, ended=False) is None


def test_short_loops_are_found_too() -> None:
    text = prose(random.Random(10), 100)
    numbered = "".join(f"{number}. The same is said of every one of them.\n" for number in range(1, 20))
    for loop in (numbered, "0" * 1200, "The same is said of all of them. " * 13):
        assert find_loop(text + loop) is not None


def test_a_page_that_ends_with_what_it_said_before_is_kept_whole() -> None:
    text = prose(random.Random(11), 400)
    text += text[1000:1200]
    found = find_loop(f"{text}\n\n" + "and so on and on, " * 400)
    assert found is not None
    assert found.kept >= len(text)


def test_a_loop_in_the_middle_is_found_too() -> None:
    rng = random.Random(4)
    found = find_loop(prose(rng, 300) + "and so on, " * 400 + prose(rng, 300))
    assert found is not None
    assert found.sample.strip()
    assert "times over" in str(found)


def test_any_text_can_be_asked_about() -> None:
    rng = random.Random(5)
    alphabet = "a1 <>|\n\0\udcff文.]{}" + "\U0001f600"
    for length in (0, 1, 2, 11, 12, 13, 30, 500, 3000):
        for _ in range(20):
            text = "".join(rng.choice(alphabet[: rng.randint(1, len(alphabet))]) for _ in range(length))
            for ended in (True, False):
                found = find_loop(text, ended)
                assert found is None or 0 <= found.kept <= len(text)


@pytest.mark.parametrize("text", ["prose", "a ", "<td></td>", "1 2 3 "])
def test_a_hundred_thousand_characters_take_no_time(text: str) -> None:
    long = prose(random.Random(6), 20_000)[:100_000] if text == "prose" else text * (100_000 // len(text))
    started = time.perf_counter()
    find_loop(long, ended=False)
    assert time.perf_counter() - started < 2


@pytest.mark.skipif(not FOX.is_dir(), reason="no folder of Fox pages")
def test_true_texts_are_no_loops_and_loops_behind_them_are_found() -> None:
    texts = [page["text"] for name in ("pages", "random") for page in json.loads((FOX / f"{name}.json").read_text())]
    assert [text[:40] for text in texts for ended in (True, False) if find_loop(text, ended)] == []
    rng = random.Random(8)
    pairs = rng.sample([(text, loop) for text in texts for _, loop in loops(rng, text)], 150)
    missed = sum(find_loop(f"{text}\n{loop}", ended) is None for text, loop in pairs for ended in (True, False))
    assert missed <= 0.05 * 2 * len(pairs)


def page_of(image: Image.Image) -> PageImage:
    return PageImage(1, image, 612, 792)


def written(lines: int, size: tuple[int, int] = (850, 1100)) -> PageImage:
    """A page with so many lines of 60 letters."""
    image = Image.new("RGB", size, "white")
    draw, font = ImageDraw.Draw(image), ImageFont.load_default(16)
    for number in range(lines):
        draw.text(
            (60, 40 + 22 * number), "many letters that make a line of text on a page like this one", "black", font
        )
    return page_of(image)


def test_letters_are_counted_from_ink_within_a_factor_of_three() -> None:
    for lines in (1, 5, 40):
        assert 50 * lines / 3 < count_letters(written(lines).image) < 50 * lines * 3
    large = written(20).image.resize((3400, 4400))
    assert 1000 / 3 < count_letters(large) < 3000


def test_areas_rules_specks_and_a_few_marks_are_no_letters() -> None:
    image = Image.new("RGB", (1000, 1400), "white")
    image.paste(Image.radial_gradient("L").resize((600, 600)).convert("RGB"), (200, 200))
    draw = ImageDraw.Draw(image)
    for y in range(900, 1300, 40):
        draw.line((100, y, 900, y), fill="black", width=3)
    rng = random.Random(1)
    for _ in range(800):
        image.putpixel((rng.randrange(1000), rng.randrange(1400)), (0, 0, 0))
    draw.text((480, 1350), "– 7 –", fill="black")
    assert count_letters(image) < 40


def answer(text: str, stop: str = "end", **more: object) -> Completion:
    return Completion(1, text, form="markup", stop=stop, **more)  # type: ignore[arg-type]


def fault(completion: Completion, page: PageImage, task: str = "markdown") -> str | None:
    verdict = judge(completion, page, decoding=True, task=task)
    assert bool(verdict.reason) == (verdict.fault is not None)
    return verdict.fault


def test_a_good_answer_is_taken() -> None:
    verdict = judge(answer("A line of text."), written(1), decoding=True)
    assert (verdict.fault, verdict.reason, verdict.kept) == (None, "", 15)


def test_errors_loops_and_cut_off_answers_are_rejected_with_the_reason() -> None:
    text = prose(random.Random(9), 200)
    error = judge(answer("", "error", error="NaN in the logits"), written(5), decoding=True)
    assert (error.fault, error.reason, error.kept) == ("error", "NaN in the logits", 0)
    loop = judge(answer(text + "so it goes " * 300), written(5), decoding=True)
    assert loop.fault == "loop"
    assert "so it goes" in loop.reason
    assert len(text) <= loop.kept < len(text) + 30
    cut = judge(answer(text, "length", output_tokens=8192), written(5), decoding=True)
    assert (cut.fault, cut.kept) == ("cut off", len(text))
    assert "8192 tokens" in cut.reason


def test_engines_that_choose_no_tokens_are_rejected_for_errors_only() -> None:
    for completion in (answer("so it goes " * 300), answer("a", "length"), answer("")):
        assert judge(completion, written(40), decoding=False).fault is None
    assert judge(Completion(1, stop="error"), written(40), decoding=False).fault == "error"


def test_nothing_read_of_a_page_full_of_text_is_a_fault() -> None:
    full, grounding = written(40), "<|ref|>text<|/ref|><|det|>[[1, 2, 3, 4]]<|/det|>\n"
    for text in ("", " \n", "ok", grounding, grounding * 30, "<table><tr><td></td></tr></table>"):
        assert fault(answer(text), full) == "empty"
    assert fault(answer(prose(random.Random(2), 30)), full) is None
    for task in ("figure", "describe", "locate=the seal"):
        assert fault(answer(""), full, task) is None


def test_little_text_on_a_page_of_a_few_marks_is_none() -> None:
    image = Image.new("RGB", (850, 1100), "white")
    ImageDraw.Draw(image).text((400, 1000), "page 7", fill="black")
    assert fault(answer(""), page_of(image)) is None


@pytest.mark.parametrize(
    "text",
    [
        "<|ref|>image<|/ref|><|det|>[[0, 0, 999, 999]]<|/det|>", "<|det|>image [0, 0, 999, 999]<|/det|>",
        "image[[0, 0, 999, 999]]", "![A chart](1.png)",
    ],
)  # fmt: skip
def test_a_picture_that_was_marked_is_an_answer(text: str) -> None:
    assert fault(answer(text), written(40)) is None
    assert visible_letters(text.replace("A chart", "").replace("1.png", "")) == 0


def test_a_figure_region_is_an_answer() -> None:
    assert fault(answer("", regions=(Region("figure", (0, 0, 9, 9)),)), written(40)) is None


def climb(fault_: str, mode: str = "base", ladder: Ladder = LADDER, modes: tuple[str, ...] = MODES) -> list[Rung]:
    rungs: list[Rung] = []
    rung: Rung | None = first_rung(mode, 500)
    while rung is not None:
        rungs.append(rung)
        rung = next_rung(ladder, rung, fault_, PAGE, modes)  # type: ignore[arg-type]
    return rungs


def test_the_ladder_has_a_rule_temperatures_and_the_next_mode() -> None:
    own, rule, *drawn, mode = climb("loop")
    assert own.decoding == Decoding(max_tokens=500)
    assert (rule.kind, rule.mode) == ("rule", "base")
    assert rule.decoding == Decoding(0.0, LADDER.ngram, LADDER.window, 500, seed=1)
    assert [rung.decoding.temperature for rung in drawn] == [0.2, 0.5, 0.8]
    assert {rung.decoding.ngram for rung in drawn} == {LADDER.ngram}
    assert len({rung.decoding.seed for rung in drawn}) == 3
    assert (mode.kind, mode.mode, mode.decoding.temperature) == ("mode", "large", 0.0)
    assert climb("cut off") == climb("loop")


def test_rungs_that_cannot_help_are_left_out() -> None:
    assert [rung.kind for rung in climb("error")] == ["own", "mode"]
    assert [rung.kind for rung in climb("empty")] == ["own", *["temperature"] * 3, "mode"]


def test_more_retries_climb_through_all_larger_modes_and_fewer_end_earlier() -> None:
    many = climb("error", "tiny", Ladder(retries=50))
    assert [rung.mode for rung in many] == list(MODES)
    assert [rung.kind for rung in climb("loop", ladder=Ladder(retries=1))] == ["own", "rule"]
    assert len(climb("loop", ladder=Ladder(retries=0))) == 1
    assert [rung.kind for rung in climb("loop", ladder=Ladder(temperatures=()))][1:] == ["rule"] + ["mode"] * 3


def test_only_modes_that_the_engine_reads_and_that_see_more_are_larger() -> None:
    def larger(mode: str, size: tuple[int, int] = PAGE, modes: tuple[str, ...] = MODES) -> str | None:
        rung = next_rung(LADDER, first_rung(mode), "error", size, modes)
        return rung.mode if rung else None

    assert larger("base", modes=("base", "gundam")) == "gundam"
    assert larger("tiny", modes=("tiny",)) is None
    assert larger("large", size=(600, 600)) is None  # without tiles the gundam modes see no more
    assert larger("base", size=(600, 600)) == "large"
    assert larger("gundam-m") is None
    assert larger("native", modes=("native", *MODES)) is None


def test_figures_out_of_range_are_refused() -> None:
    for wrong in ({"retries": -1}, {"temperatures": (0.0,)}, {"temperatures": (2.5,)}, {"fallback": "rapit"}):
        with pytest.raises(UsageError):
            replace(LADDER, **wrong)


def test_ink_is_found_in_strips_as_on_the_whole_page() -> None:
    rng = np.random.default_rng(1)
    for _ in range(500):
        height, width = rng.integers(1, 80, 2)
        pixels = np.full((height, width, 3), rng.integers(0, 256), np.uint8)
        for _ in range(rng.integers(0, 4)):
            count = int(rng.integers(0, 60))
            pixels[rng.integers(0, height, count), rng.integers(0, width, count)] = rng.integers(0, 256)
        levels = pixels[..., 0].astype(int)
        ground = int(np.bincount(levels.ravel(), minlength=256).argmax())
        inked = (levels < ground - ink.CONTRAST) | (levels >= ground + ink.CONTRAST)
        assert ink.has_ink(Image.fromarray(pixels)) == (inked.sum() >= ink.FEWEST_INKED)
