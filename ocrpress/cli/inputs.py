"""The documents that a command line names: patterns expanded, and a name for each that no other one has."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING

from ocrpress.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

STDIN = "-"


def expand(arguments: Iterable[str]) -> list[str]:
    """Files, folders and "-" in the order given, each once; patterns that the shell has not expanded, sorted.

    A pattern that matches nothing stays as it is, for `check_matched` to refuse in its turn.
    """
    from glob import glob, has_magic

    found: dict[str, None] = {}
    for argument in arguments:
        if has_magic(argument) and not exists(argument):
            names = sorted(glob(argument, recursive=True))  # noqa: PTH207 - Path.glob takes no absolute patterns
            found.update(dict.fromkeys(names or [argument]))
        else:
            found[argument] = None
    return list(found)


def check_matched(path: str) -> None:
    """Raise InputError for a pattern that has matched nothing."""
    from glob import has_magic

    if has_magic(path) and not exists(path):
        raise InputError(f"no file matches '{path}'", "check the pattern and the folder")


def output_stems(inputs: Sequence[str]) -> list[str]:
    """For each input a file name without ending, such that no two are equal even where case does not count.

    The document's own name serves where no other has it; then the name with its ending, the name after its folder's,
    and at last a number.

    >>> output_stems(["a/x.pdf", "b/x.pdf", "y.pdf", "y.png"])
    ['a-x', 'b-x', 'y.pdf', 'y.png']
    """
    stems = [_stem(path) for path in inputs]
    for longer in (_with_ending, _with_folder):
        stems = _told_apart(stems, inputs, longer)
    taken: set[str] = set()
    unique = []
    for stem in stems:
        name, number = stem, 1
        while name.casefold() in taken:
            number += 1
            name = f"{stem}-{number}"
        taken.add(name.casefold())
        unique.append(name)
    return unique


def _told_apart(stems: list[str], inputs: Sequence[str], longer: Callable[[str], str]) -> list[str]:
    """The longer names for those inputs that share a stem, if they share it no more then."""
    counts = Counter(stem.casefold() for stem in stems)
    names = Counter(longer(path).casefold() for path in inputs)
    return [
        longer(path) if counts[stem.casefold()] > 1 and names[longer(path).casefold()] == 1 else stem
        for stem, path in zip(stems, inputs, strict=True)
    ]


def _stem(path: str) -> str:
    if path == STDIN:
        return "stdin"
    plain = Path(path)
    if is_folder(path):
        return plain.resolve().name or "folder"
    return plain.stem or "document"


def _with_ending(path: str) -> str:
    return _stem(path) if path == STDIN else (Path(path).name or _stem(path))


def _with_folder(path: str) -> str:
    folder = "" if path == STDIN else Path(path).absolute().parent.name
    return f"{folder}-{_stem(path)}" if folder else _stem(path)


def exists(path: str) -> bool:
    """Is there something of that name? A name that cannot be one is none."""
    try:
        return path == STDIN or Path(path).exists()
    except (OSError, ValueError):
        return False


def is_folder(path: str) -> bool:
    """Is there a folder of that name?"""
    try:
        return Path(path).is_dir()
    except (OSError, ValueError):
        return False
