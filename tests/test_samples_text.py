"""Text -> pages: what is cut, how it is varied, what fits."""

from __future__ import annotations

import random
import string
import subprocess
import sys
from collections import Counter as Tally
from functools import cache
from pathlib import Path

import pytest
from conftest import environment

from ocrpress.errors import InputError, UsageError
from ocrpress.measure.samples import Choice, Sample, Samples, load_samples
from ocrpress.measure.samples.choice import STYLE
from ocrpress.measure.samples.prose import Prose, builtin_prose, paragraphs
from ocrpress.measure.samples.sample import natural
from ocrpress.measure.samples.setting import set_samples
from ocrpress.measure.samples.texts import Text, cut, plain_text
from ocrpress.measure.samples.variants import NATURAL, RANDOM, SHUFFLED, VARIANTS, vary
from ocrpress.measure.tokens import Counter
from ocrpress.typeset import lay_out
from ocrpress.typeset.style import Style

COUNTER = Counter("quarters of characters", lambda text: len(text) // 4)
PHRASE = "the cause of a thing is often not what stands next to it but what came long before and went unseen"
WORDS = PHRASE.split()


def sentences(count: int, seed: int = 0) -> str:
    """Paragraphs of numbered sentences: each occurs once."""
    chance = random.Random(seed)
    made = []
    for number in range(count):
        words = chance.choices(WORDS, k=chance.randint(5, 25))
        made.append(f"Sentence {number} says that {' '.join(words)}." + ("\n\n" if number % 6 == 5 else " "))
    return "".join(made).strip()


LONG = sentences(2000)


def pages(text: str = LONG, **choice: object) -> list[Sample]:
    found, _ = cut([Text("notes.txt", text)], COUNTER, Choice(**choice))  # type: ignore[arg-type]
    return found


def test_every_bucket_gets_its_pages_and_each_page_is_in_its_bucket() -> None:
    found = pages(per_bucket=4)
    assert Tally(page.bucket for page in found) == dict.fromkeys(range(600, 1300, 100), 4)
    assert all(page.bucket <= COUNTER.count(page.text) == page.text_tokens < page.bucket + 100 for page in found)
    assert {page.name for page in found} == {
        f"notes.txt {edge}-{n}" for edge in range(600, 1300, 100) for n in (1, 2, 3, 4)
    }


def test_pages_are_whole_sentences_of_the_text_and_none_twice() -> None:
    found = pages(per_bucket=4)
    assert all(page.text in LONG for page in found)
    assert all(page.text.startswith("Sentence ") and page.text.endswith(".") for page in found)
    numbers = [word for page in found for word in page.text.split() if word.isdigit()]
    assert len(numbers) == len(set(numbers))


def test_pages_are_spread_over_the_text_and_over_the_widths_of_their_buckets() -> None:
    found = pages(per_bucket=4)
    first, *_, last = sorted(LONG.index(page.text) for page in found)
    assert first < len(LONG) / 4
    assert last > len(LONG) / 2
    rests = [page.text_tokens % 100 for page in found]
    assert min(rests) < 25
    assert max(rests) > 75


def test_the_seed_alone_decides_what_is_cut() -> None:
    assert pages(seed=1) == pages(seed=1)
    assert {page.text for page in pages(seed=1)} != {page.text for page in pages(seed=2)}


def test_a_text_that_is_just_long_enough_is_used_up() -> None:
    text = sentences(300)
    found = pages(text, per_bucket=1)
    assert len(found) == 7
    assert sum(page.text_tokens for page in found) > 0.9 * len(text) // 4


def test_a_text_too_short_for_all_pages_gives_what_it_has() -> None:
    found, left_out = cut([Text("a.txt", sentences(150))], COUNTER, Choice())
    assert 1 <= len(found) < 21
    assert left_out == [("a.txt", f"text for {len(found)} of 21 pages of these lengths")]


def test_a_text_below_the_lowest_bucket_is_one_page() -> None:
    short = sentences(8)
    found, left_out = cut([Text("a.txt", short), Text("b.txt", "Hello there.")], COUNTER, Choice())
    assert [(page.name, page.text, page.bucket) for page in found] == [
        ("a.txt", short, len(short) // 400 * 100), ("b.txt", "Hello there.", 0)
    ]  # fmt: skip
    assert left_out == []


def test_pages_are_cut_from_many_texts_and_never_across_two() -> None:
    texts = [Text(f"{n}.txt", sentences(120, seed=n).replace("Sentence", f"Sentence{n}")) for n in range(12)]
    found, left_out = cut(texts, COUNTER, Choice(per_bucket=1))
    assert len(found) == 7
    assert not left_out
    for page in found:
        own = page.name.split(".")[0]
        assert all(word == f"Sentence{own}" for word in page.text.split() if word.startswith("Sentence"))
    assert len({page.name.split(" ")[0] for page in found}) > 3


def test_gaps_between_pages_give_way_where_they_would_cost_pages() -> None:
    texts = [Text(f"{n}.txt", sentences(31, seed=n)) for n in range(12)]
    assert all(630 < len(text.text) / 4 < 800 for text in texts)
    found, left_out = cut(texts, COUNTER, Choice(buckets=(600, 700), per_bucket=11))
    assert len(found) == 11
    assert not left_out


@pytest.mark.parametrize(
    ("text", "begins"),
    [("word " * 20_000, "word "), ("文字" * 20_000, ("文", "字")), ("长的句子。" * 8000, "长的句子。")],
)
def test_text_without_short_sentences_is_cut_between_words(text: str, begins: str | tuple[str, ...]) -> None:
    found = pages(text, per_bucket=1)
    assert len(found) == 7
    assert all(page.bucket <= page.text_tokens < page.bucket + 100 for page in found)
    assert all(page.text.startswith(begins) for page in found)


def test_one_word_of_any_length_ends_in_no_page_and_no_loop() -> None:
    found, left_out = cut([Text("a.txt", "x" * 300_000)], COUNTER, Choice())
    assert found == []
    assert left_out == [("a.txt", "text for 0 of 21 pages of these lengths")]


def test_a_text_of_any_length_is_looked_at_only_where_it_is_cut() -> None:
    counted = 0

    def count(text: str) -> int:
        nonlocal counted
        counted += len(text)
        return len(text) // 4

    found, _ = cut([Text("a.txt", LONG * 40)], Counter("", count), Choice(per_bucket=1))
    assert len(found) == 7
    assert counted < 400_000 < len(LONG * 40) / 15


@pytest.mark.parametrize("variant", VARIANTS)
def test_a_variant_keeps_white_space_and_the_number_of_words_and_characters(variant: str) -> None:
    text = LONG[:5000]
    varied = vary(text, variant, "page", 0)
    assert len(varied) == len(text)
    assert varied.count("\n\n") == text.count("\n\n")
    if variant == SHUFFLED:
        assert Tally(varied.split()) == Tally(text.split())
        assert varied.split() != text.split()
    else:
        assert [len(word) for word in varied.split()] == [len(word) for word in text.split()]


def test_the_natural_variant_is_the_text_itself() -> None:
    assert vary(" As it \n is. ", NATURAL, "page", 0) == " As it \n is. "


def test_random_letters_are_all_letters_each_about_as_often() -> None:
    tally = Tally(vary(LONG[:40_000], RANDOM, "page", 0).replace("\n", " ").replace(" ", ""))
    assert set(tally) == set(string.ascii_letters)
    assert max(tally.values()) < 1.5 * min(tally.values())


def test_a_page_has_the_same_variants_in_any_company_and_others_have_others() -> None:
    text = LONG[:3000]
    for variant in (SHUFFLED, RANDOM):
        assert vary(text, variant, "page 1", 0) == vary(text, variant, "page 1", 0)
        others = [vary(text, variant, "page 2", 0), vary(text, variant, "page 1", 1)]
        assert vary(text, variant, "page 1", 0) not in others


def test_draws_do_not_depend_on_the_process() -> None:
    code = "from ocrpress.measure.samples.variants import vary; print(vary('one two three four', 'random', 'p', 3))"
    found = {
        subprocess.run(
            [sys.executable, "-c", code], env=environment(PYTHONHASHSEED=seed), capture_output=True, check=True
        ).stdout
        for seed in ("1", "2")
    }
    assert found == {vary("one two three four", "random", "p", 3).encode() + b"\n"}


def test_words_of_other_scripts_get_letters_of_the_page_and_characters_are_shuffled_singly() -> None:
    russian = "Все люди рождаются свободными и равными, PDF."
    varied = vary(russian, RANDOM, "p", 0).split()
    assert all(char in russian for word in varied[:-1] for char in word)
    assert varied[-1].isascii()
    chinese = "人人生而自由,在尊严和权利上一律平等"
    assert sorted(vary(chinese, SHUFFLED, "p", 0)) == sorted(chinese)
    assert vary(chinese, SHUFFLED, "p", 0) != chinese


def test_prose_is_paragraphs_of_sentences() -> None:
    document = """
The "assert" statement
**********************

Assert statements are a convenient way to insert *debugging* assertions into a
program, and the text of this paragraph is long enough to be taken for built-
in prose, with marks like ``code`` and **bold** taken off.

   assert_stmt ::= "assert" expression ["," expression]

* A list item that is a paragraph of prose, as it says what happens when the
  expression is false and goes on to say that for at least twenty-five words.

Term
   The definition of a term is prose as well, if it is long enough to be read as
   sentences and not as a mere remark on the side, which this one is by now.

   >>> print("code")

Too short to be prose.
"""
    first, second, third = paragraphs(document)
    assert first.startswith("Assert statements are a convenient way to insert debugging assertions")
    assert first.endswith("taken for built-in prose, with marks like code and bold taken off.")
    assert second.startswith("A list item that")
    assert third.startswith("The definition of a term")


@cache
def much_prose() -> Prose:
    return builtin_prose(350_000)


def test_python_carries_enough_prose_for_ten_pages_of_each_bucket() -> None:
    little, much = builtin_prose(1), much_prose()
    assert len(little.text) > 120_000
    assert len(much.text) > 350_000
    assert much.text.startswith(little.text)
    found = much.text.split("\n\n")
    assert len(found) == len(set(found))
    assert all("\n" not in paragraph and paragraph[-1] in '.!?)"”’' for paragraph in found)
    assert not any(sign in much.text for sign in (">>>", "::=", "``", "\n\n\n"))
    assert sum(char.isalpha() or char == " " for char in much.text) > 0.93 * len(much.text)


def test_the_prose_says_which_python_it_is_of_and_changes_its_mark_with_its_text() -> None:
    import platform

    little, much = builtin_prose(1).about, much_prose().about
    assert platform.python_version() in little
    assert little.split("(")[1] != much.split("(")[1]


def test_a_python_without_documentation_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pydoc_data.topics", None)
    monkeypatch.setattr("sysconfig.get_path", lambda _: "/nonexistent")
    with pytest.raises(InputError, match=r"this Python carries no prose .*: give text files"):
        builtin_prose(1)


def test_markdown_loses_its_marks_only_where_it_is_markdown() -> None:
    text = "# Of *words*\r\n\r\n1. one\n2. two\n\n| a | b |\n|---|---|\n| c | d |\n"
    assert plain_text(text, markdown=True) == "Of words\n\n1. one\n2. two\n\na\tb\nc\td"
    assert plain_text(text, markdown=False).startswith("# Of *words*\n\n1. one\n2. two\n\n| a | b |")
    assert plain_text(" \n\n \x00", markdown=False) == ""


def set_one(text: str, style: Style = STYLE) -> tuple[Sample, ...]:
    (twins,), left_out = set_samples([natural("p", text, 7, "typeset")], style, 0, COUNTER)
    assert not left_out
    return twins


@pytest.mark.parametrize(
    "text",
    [
        sentences(40),
        "Lines that were wrapped at some sixty-five characters, as mail is, with well-\nknown words that are broken "
        "at the ends of lines and soft\u00adly too, go on\nfor three lines or more, so that the typesetter joins them "
        "to a paragraph.\n" * 4,
        "  verse\n    keeps   its\n  line ends\n\n\ta table\tof\tcells\n" * 8,
        "• one\n• two\n\n1. three\n2. four \u200b and \ufeff five\n\f After a form feed.",
    ],
)
def test_what_is_printed_of_every_variant_is_its_text(text: str) -> None:
    for twin in set_one(text):
        sheets = list(lay_out(twin.text, twin.style))
        assert len(sheets) == 1
        assert sheets[0].text.split() == twin.text.split()


def test_a_page_too_full_for_its_type_is_set_smaller_with_all_its_variants() -> None:
    twins = set_one(sentences(30), Style(size=12.0, page="a5"))
    assert [twin.variant for twin in twins] == list(VARIANTS)
    (size,) = {twin.style.size for twin in twins}
    assert 6 <= size < 12
    assert all(len(list(lay_out(twin.text, twin.style))) == 1 for twin in twins)
    larger = Style(size=size + 0.5, page="a5")
    assert any(len(list(lay_out(twin.text, larger))) > 1 for twin in twins)


def test_line_ends_of_another_page_are_given_up_where_they_would_cost_size() -> None:
    lines = "\n".join(f"Line {n} of a narrow col-\numn, as of a newspaper" for n in range(40))
    few, many = lines[:800], lines
    for text, lines_kept in ((few, True), (many, False)):
        twins, _ = set_samples([natural("p", text, 7, "image", file="x.png")], STYLE, 0, COUNTER)
        assert ("\n" in twins[0][0].text) is lines_kept
        assert twins[0][0].style.size == STYLE.size
    assert "narrow column, as" in twins[0][0].text
    assert set_one(many)[0].style.size < STYLE.size  # text of the user's own keeps its lines


def test_a_page_that_fits_in_no_legible_type_is_left_out() -> None:
    kept, left_out = set_samples([natural("p", sentences(400), 1, "typeset")], Style(page="74x105mm"), 0, COUNTER)
    assert kept == []
    assert left_out == [("p", "it does not fit on one page in type of 6 points")]


def test_characters_that_no_font_has_go_where_they_are_few_and_else_the_page_goes() -> None:
    strange = "\U000132f9"  # a hieroglyph
    few, many = natural("few", f"{sentences(12)} {strange}", 1, "typeset"), natural("many", strange * 30, 1, "typeset")
    kept, left_out = set_samples([few, many], STYLE, 0, COUNTER)
    assert [twins[0].name for twins in kept] == ["few"]
    assert strange not in kept[0][0].text
    assert left_out == [("many", f"the font serif lacks 30 of its 30 characters ({strange})")]


def load(*data: Path, **choice: object) -> Samples:
    return load_samples([str(path) for path in data], COUNTER, Choice(**choice))  # type: ignore[arg-type]


@pytest.fixture
def notes(tmp_path: Path) -> Path:
    path = tmp_path / "notes.txt"
    path.write_text(LONG)
    return path


def test_variants_are_twins_in_order_bucket_name_and_type(notes: Path) -> None:
    found = load(notes, per_bucket=1)
    groups = found.by_variant()
    assert list(groups) == list(VARIANTS)
    assert len(found.items) == 21
    for one, *others in zip(*groups.values(), strict=True):
        for other in others:
            assert (one.name, one.bucket, one.style) == (other.name, other.bucket, other.style)
            assert other.text_tokens == COUNTER.count(other.text)
            assert other.identity != one.identity
    assert found.about == "7 pages: notes.txt, set in serif, 9 pt, a4"
    assert found.tokens_by == "quarters of characters"


def test_asking_for_one_variant_changes_nothing_about_it(notes: Path) -> None:
    alone, all_of_them = load(notes, per_bucket=1, variants=("random",)), load(notes, per_bucket=1)
    assert alone.items == all_of_them.by_variant()["random"]


def test_a_limit_takes_fairly_from_the_buckets_and_the_same_pages(notes: Path) -> None:
    few, all_of_them = load(notes, limit=9, per_bucket=2), load(notes, per_bucket=2)
    found = few.by_variant()["natural"]
    assert len(found) == 9
    assert set(found) <= set(all_of_them.items)
    assert len({page.bucket for page in found}) == 7


def test_text_without_a_single_word_is_refused(tmp_path: Path) -> None:
    blank = tmp_path / "blank.txt"
    blank.write_text(" \n\n \n")
    with pytest.raises(InputError, match=r"blank\.txt has no text"):
        load(blank)


@pytest.mark.parametrize(
    ("choice", "message"),
    [
        ({"variants": ("shufled",)}, "unknown variant 'shufled': did you mean 'shuffled'"),
        ({"buckets": (600, 600)}, "the buckets 600-600 cannot be"),
        ({"buckets": (650, 700)}, "the buckets 650-700 cannot be"),
        ({"buckets": (-100, 700)}, "the buckets -100-700 cannot be"),
        ({"per_bucket": 0}, "0 pages a bucket"),
        ({"limit": 0}, "a limit of 0 pages"),
        ({"style": Style(page="a99")}, "a99"),
    ],
)
def test_a_choice_that_cannot_be_is_refused(notes: Path, choice: dict[str, object], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        load(notes, **choice)
