"""What the user names -> Samples: finds out what each thing is, gathers pages and texts, and makes the variants.

Pages that came with their pixels stand first, in the order of the data; pages that are set here follow.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from ocrpress.errors import InputError, UsageError
from ocrpress.measure.samples.choice import Choice, check_choice
from ocrpress.measure.samples.layers import pdf_samples
from ocrpress.measure.samples.listed import FORM, USUAL_LIST, find_list, listed_samples
from ocrpress.measure.samples.prose import builtin_prose
from ocrpress.measure.samples.sample import LeftOut, Sample, Samples
from ocrpress.measure.samples.setting import Twins, set_samples
from ocrpress.measure.samples.texts import Text, cut, estimated_need, plain_text
from ocrpress.measure.samples.variants import NATURAL, VARIANTS
from ocrpress.measure.tokens import Counter
from ocrpress.sources.checks import STDIN
from ocrpress.sources.sniff import HEAD_BYTES, IMAGE_SUFFIXES, Format, is_markdown, sniff
from ocrpress.sources.text import read_text

ADVICE = "give text, PDFs with a text layer, or images with a JSON list of their texts"
LIST_SUFFIX = ".json"
NAMED = 3  # of what was left out, when nothing is left


@dataclass
class _Gathered:
    """What was found in the data so far.

    Attributes:
        pages: natural, with pixels of their own.
        counts: whether the tokens of some pages were given, and of some counted.
    """

    pages: list[Sample] = field(default_factory=list)
    texts: list[Text] = field(default_factory=list)
    left_out: list[LeftOut] = field(default_factory=list)
    about: list[str] = field(default_factory=list)
    counts: set[bool] = field(default_factory=set)


def load_samples(data: Sequence[str], counter: Counter, choice: Choice = Choice()) -> Samples:  # noqa: B008 - frozen
    """Pages with their true texts.

    Args:
        data: text files (Markdown by its name, "-" for stdin), PDFs, JSON lists of images, folders that have such a
            list, and folders of texts and PDFs; none for the prose that Python carries.
        counter: of the tokens that the data does not give.

    Raises:
        UsageError: the choice cannot be, or asks for variants of pages that are not set here.
        InputError: something cannot be read, or no page is left.
    """
    check_choice(choice)
    found = _Gathered()
    for name in data:
        _gather(name, found, counter, choice)
    if not data:
        prose = builtin_prose(estimated_need(choice))
        found.texts.append(Text("prose", prose.text))
        found.about.append(prose.about)
    pages, made, left_out = _pages(found, counter, choice)
    if not pages and not made:
        raise _nothing(data, left_out)
    items = [*pages]
    for variant in _variants(pages, choice):
        items += [twins[VARIANTS.index(variant)] for twins in made]
    if any(item.origin == "typeset" for item in items):
        found.counts.add(False)
    return Samples(tuple(items), _about(found, pages, made, choice), tuple(left_out), _tokens_by(found.counts, counter))


def _pages(found: _Gathered, counter: Counter, choice: Choice) -> tuple[list[Sample], list[Twins], list[LeftOut]]:
    """Pages with pixels of their own, those that are set here, and what was left out; no two of one name."""
    whole = _named(found.pages[: choice.limit])
    pages, whole = ([], whole) if choice.typeset else (whole, [])
    pieces, lacking = cut(found.texts, counter, choice) if found.texts else ([], [])
    most = None if choice.limit is None else choice.limit - len(pages)
    made, unset = set_samples(_named([*whole, *pieces]), choice.style, choice.seed, counter, most)
    return pages, made, [*found.left_out, *lacking, *unset]


def _gather(name: str, found: _Gathered, counter: Counter, choice: Choice) -> None:
    """Add what one argument names."""
    path = Path(name)
    if name == STDIN:
        _add_text(name, "stdin", read_text(sys.stdin.buffer, name), found)
    elif path.is_dir():
        listed = find_list(path)
        if listed:
            _add_list(listed, found, counter, choice)
        else:
            _gather_folder(path, found, counter, choice)
    else:
        _gather_file(path, name, found, counter, choice)


def _gather_file(path: Path, name: str, found: _Gathered, counter: Counter, choice: Choice) -> None:
    kind = _kind(path, name)
    if path.suffix.lower() == LIST_SUFFIX:
        _add_list(path, found, counter, choice)
    elif kind == "pdf":
        _refuse_variants(choice)
        samples, left_out = pdf_samples(name, counter, _room(found, choice), choice.password)
        found.pages += samples
        found.left_out += left_out
        found.about.append(f"{path.name} by its text layer")
        found.counts.add(False)
    elif kind in {None, "text"}:
        with path.open("rb") as stream:
            _add_text(name, path.name, read_text(stream, name), found)
    else:
        raise InputError(f"{name} is an image, and nothing tells its text", f"name the JSON file that does: {FORM}")


def _gather_folder(folder: Path, found: _Gathered, counter: Counter, choice: Choice) -> None:
    """The texts and PDFs of a folder; one that cannot be read does not end the run."""
    files = sorted((path for path in folder.iterdir() if path.is_file() and path.name[0] != "."), key=_natural_order)
    if not files:
        raise InputError(f"the folder {folder} has no files", ADVICE)
    images = [path for path in files if path.suffix.lower() in IMAGE_SUFFIXES]
    if len(images) == len(files):
        raise InputError(f"the folder {folder} has images, and nothing tells their texts", f"add {USUAL_LIST}: {FORM}")
    for path in files:
        try:
            _gather_file(path, str(path), found, counter, choice)
        except InputError as error:
            found.left_out.append((path.name, error.message))


def _add_list(file: Path, found: _Gathered, counter: Counter, choice: Choice) -> None:
    _refuse_variants(choice)
    samples, given = listed_samples(file, counter, _room(found, choice))
    found.pages += samples
    what = "texts" if choice.typeset else "images"
    found.about.append(f"the {what} of {file.absolute().parent.name}/{file.name}")
    found.counts |= given


def _add_text(name: str, shown: str, text: str, found: _Gathered) -> None:
    plain = plain_text(text, is_markdown(name))
    if not plain:
        raise InputError(f"{name} has no text", "give a file with words in it")
    found.texts.append(Text(shown, plain))
    found.about.append(shown)


def _refuse_variants(choice: Choice) -> None:
    wrong = [variant for variant in choice.variants if variant != NATURAL]
    if wrong and not choice.typeset:
        raise UsageError(f"{wrong[0]} words need pages that are set here", "add --typeset")


def _room(found: _Gathered, choice: Choice) -> int | None:
    return None if choice.limit is None else choice.limit - len(found.pages)


def _kind(path: Path, name: str) -> Format | None:
    try:
        with path.open("rb") as stream:
            return sniff(stream.read(HEAD_BYTES))
    except FileNotFoundError as error:
        raise InputError(f"{name} does not exist", "check the spelling") from error
    except (OSError, ValueError) as error:
        raise InputError(f"{name} cannot be read ({getattr(error, 'strerror', None) or error})", "check it") from error


def _variants(pages: Sequence[Sample], choice: Choice) -> Sequence[str]:
    """Those asked for; else all, or the natural one alone where some pages are not set here."""
    wanted = choice.variants or ((NATURAL,) if pages else VARIANTS)
    return [variant for variant in VARIANTS if variant in wanted]


def _named(pages: Sequence[Sample]) -> list[Sample]:
    """The pages, each with a name of its own."""
    taken: dict[str, int] = {}
    named = []
    for page in pages:
        taken[page.name] = taken.get(page.name, 0) + 1
        turn = taken[page.name]
        named.append(page if turn == 1 else replace(page, name=f"{page.name} ({turn})"))
    return named


def _about(found: _Gathered, pages: Sequence[Sample], made: Sequence[Twins], choice: Choice) -> str:
    count = len(pages) + len(made)
    what = [f"{count} page{'s' if count > 1 else ''}: {', '.join(_shortened(found.about))}"]
    if made:
        style = choice.style
        smaller = sum(twins[0].style.size < style.size for twins in made)
        what.append(f"set in {style.font}, {style.size:g} pt, {style.page}")
        what += [f"{smaller} of them smaller"] if smaller else []
    return ", ".join(what)


def _shortened(names: Sequence[str]) -> list[str]:
    return [*names] if len(names) <= NAMED else [*names[: NAMED - 1], f"{len(names) - NAMED + 1} more"]


def _tokens_by(counts: set[bool], counter: Counter) -> str:
    if counts == {True}:
        return "given by the data"
    return f"given by the data where it says, else {counter.name}" if True in counts else counter.name


def _nothing(data: Sequence[str], left_out: Sequence[LeftOut]) -> InputError:
    """Why there is no page at all, in one line."""
    why = _shortened([f"{name}: {why}" for name, why in left_out])
    return InputError(
        f"no page of {', '.join(_shortened(data)) or 'the prose'} can be measured ({'; '.join(why)})", ADVICE
    )


def _natural_order(path: Path) -> list[tuple[int, str]]:
    """Sort key: page2 before page10."""
    return [(int(part), "") if part.isdecimal() else (-1, part.casefold()) for part in re.split(r"(\d+)", path.name)]
