"""Images with a JSON list of their texts -> samples: [{"image": path from the list, "text", "text_tokens"?}, …]."""

from __future__ import annotations

import codecs
import json
from pathlib import Path
from typing import Any

from ocrpress.errors import InputError
from ocrpress.measure.samples.sample import Sample, natural
from ocrpress.measure.tokens import Counter

USUAL_LIST = "pages.json"
FORM = 'a list of {"image": path, "text": what stands there, "text_tokens": how many (optional)}'


def find_list(folder: Path) -> Path | None:
    """The list of a folder: its pages.json, or the only JSON file that is a list; None if it has none.

    Raises:
        InputError: there are several, and none is called pages.json; or the folder cannot be read.
    """
    try:
        found = sorted(path for path in folder.iterdir() if path.suffix == ".json" and _begins_a_list(path))
    except OSError as error:
        raise InputError(f"the folder {folder} cannot be read ({error.strerror})", "check its permissions") from error
    usual = folder / USUAL_LIST
    if usual.is_file() or len(found) == 1:
        return usual if usual.is_file() else found[0]
    if found:
        names = ", ".join(path.name for path in found[:3])
        raise InputError(f"the folder {folder} has several JSON lists ({names})", "name the one to take")
    return None


def _begins_a_list(path: Path) -> bool:
    if not path.is_file():
        return False
    with path.open("rb") as stream:
        return stream.read(64).removeprefix(codecs.BOM_UTF8).lstrip().startswith(b"[")


def listed_samples(file: Path, counter: Counter, most: int | None = None) -> tuple[list[Sample], set[bool]]:
    """The images of a list with their texts, in its order, and whether the list says how many tokens they have.

    Args:
        most: no more samples than that; the rest of the list is looked at nevertheless.

    Returns:
        samples; and of their numbers of tokens, whether some were given (True) and some counted (False).

    Raises:
        InputError: the list is not of its form, or lists an image twice or one that is not there.
    """
    entries = _read(file)
    samples: list[Sample] = []
    seen: dict[Path, int] = {}
    missing: list[str] = []
    counts: set[bool] = set()
    for number, entry in enumerate(entries, 1):
        image, text, given = _checked(entry, f"{file}: entry {number}")
        path = (file.parent / image).absolute()
        if seen.setdefault(path, number) != number:
            raise InputError(f"{file}: entries {seen[path]} and {number} are the same image, {image}", "drop one")
        if not path.is_file():
            missing.append(image)
            continue
        if len(samples) == most:
            continue
        tokens = counter.count(text) if given is None else given
        counts.add(given is not None)
        samples.append(natural(image, text, tokens, "image", file=str(path)))
    if missing:
        count = f"{len(missing)} images that are" if len(missing) > 1 else "an image that is"
        first = f"{missing[0]}, …" if len(missing) > 1 else missing[0]
        raise InputError(f"{file} lists {count} not there ({first})", "put them there or take them off the list")
    return samples, counts


def _read(file: Path) -> list[dict[str, Any]]:
    try:
        entries = json.loads(file.read_bytes())
    except OSError as error:
        raise InputError(f"{file} cannot be read ({error.strerror or error})", "check the path") from error
    except (ValueError, RecursionError) as error:  # not UTF-8 is a ValueError too
        reason = " ".join(str(error).split())[:100]
        raise InputError(f"{file} is not JSON ({reason})", f"give {FORM}") from error
    if not isinstance(entries, list):
        raise InputError(f"{file} is no list", f"give {FORM}")
    if not entries:
        raise InputError(f"{file} lists no images", f"give {FORM}")
    return entries


def _checked(entry: Any, where: str) -> tuple[str, str, int | None]:
    """Image, text and tokens of an entry."""
    if not isinstance(entry, dict):
        raise InputError(f"{where} is no object", f"give {FORM}")
    image, text, tokens = entry.get("image"), entry.get("text"), entry.get("text_tokens")
    if not isinstance(image, str) or not image or "\0" in image:
        raise InputError(f"{where} names no image", f"give {FORM}")
    if not isinstance(text, str) or not text.strip():
        raise InputError(f"{where} ({image}) has no text", f"give {FORM}")
    if "text_tokens" in entry and not (type(tokens) is int and tokens > 0):
        raise InputError(f"{where} ({image}) has {tokens!r} for text_tokens", "give a whole number above 0")
    return image, text, tokens
