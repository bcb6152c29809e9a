"""The checkpoints that ocrpress knows: one folder of `models/` each, with a card (README.md) and a model.toml.

Reads TOML and nothing else: no weights, no torch, no network. Whether a checkpoint is here is asked in
`engines/deepseek/hub.py`.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable, Mapping
from dataclasses import MISSING, dataclass, field, fields
from functools import cache
from pathlib import Path
from typing import Any, Literal

from ocrpress.errors import EngineError, UsageError, unknown
from ocrpress.modes import DEFAULT_MAX_TILES, MODES

DEFAULT_CHECKPOINT = "deepseek-ocr"
CARD_FILE = "model.toml"
PAGES = "pages"  # of a document, several in one pass: for an engine that can put them together
TASKS = ("markdown", "text", "ocr", PAGES, "figure", "describe", "locate")
WHAT = "{what}"  # in the prompt of `locate`: what to look for
_MARKUP = re.compile(r"<[^\s>]*>")


@dataclass(frozen=True)
class Generation:
    """How a checkpoint's authors decode.

    Attributes:
        ngram: no run of this many tokens may occur twice within the window; 0 turns the rule off.
        window: how many of the last tokens the rule looks at.
        exempt: token ids that the rule never bans (table cells repeat).
        max_tokens: the longest answer for a page, in tokens.
        pages_window: the window for the task "pages", whose answers are of several pages; 0 takes `window`.
    """

    ngram: int = 0
    window: int = 0
    exempt: tuple[int, ...] = ()
    max_tokens: int = 8192
    pages_window: int = 0


@dataclass(frozen=True)
class WeightsFile:
    """A file of weights as it was published: size in bytes, SHA-256 in hexadecimal."""

    size: int
    sha256: str


@dataclass(frozen=True)
class Card:
    """A model.toml.

    Attributes:
        name: name of its folder.
        folder: where model.toml and the card stand; the weights too, if `weights_here`.
        about: one line for people.
        licence: of the weights, as an SPDX identifier.
        attention: of the decoder: "full", or "reference" (every token sees the prompt and the last few tokens).
        modes: names of the modes it was trained for; the first is its default.
        prompts: task -> what is asked, without the image token and `after_image`; "{what}" in that of `locate`.
        repository: hub id ("owner/name"); empty if the weights are published nowhere.
        revision: the commit that `pull` takes; empty where none could be verified.
        download_gb: size of the download in gigabytes (10⁹ bytes).
        weights_here: whether the weights lie in `folder`.
        max_tiles: the largest number of tiles of a page.
        before_image: what opens the sequence in place of the start token, where the authors put something else.
        after_image: what stands between the image tokens and the prompt.
        after_prompt: what stands behind the prompt.
        skip: how the names of tensors begin that the files hold and this engine does not need.
        weights: file name -> what the published file is, where that is known from several sources.
    """

    name: str
    folder: Path
    about: str
    licence: str
    attention: Literal["full", "reference"]
    modes: tuple[str, ...]
    prompts: Mapping[str, str]
    generation: Generation
    repository: str = ""
    revision: str = ""
    download_gb: float = 0.0
    weights_here: bool = False
    max_tiles: int = DEFAULT_MAX_TILES
    before_image: str = ""
    after_image: str = "\n"
    after_prompt: str = ""
    skip: tuple[str, ...] = ()
    weights: Mapping[str, WeightsFile] = field(default_factory=dict)

    @property
    def tasks(self) -> tuple[str, ...]:
        """Names of the tasks it was trained for; the first is its default."""
        return tuple(self.prompts)

    def prompt(self, task: str) -> str:
        """The text that follows the image tokens, without `after_prompt`, for a task: "markdown", …, or "locate=WHAT".

        Raises:
            UsageError: a task that this checkpoint does not know, `locate` without WHAT, or a WHAT that would pass
                for a token of its own.
        """
        name, _, what = task.partition("=")
        if name not in self.prompts or bool(what.strip()) != (WHAT in self.prompts[name]):
            raise unknown("task", task, [f"{known}=WHAT" * (known == "locate") or known for known in self.prompts])
        if _MARKUP.search(what):
            raise UsageError(f"'{what}' cannot be looked for", "leave out what is written like a tag: <…>")
        return self.after_image + self.prompts[name].replace(WHAT, what.strip())


@cache
def cards() -> dict[str, Card]:
    """All cards by name, the default checkpoint's first. Raises EngineError for a model.toml that makes no sense."""
    found = {path.parent.name: read_card(path.parent) for path in sorted(_models().glob(f"*/{CARD_FILE}"))}
    return {name: found[name] for name in sorted(found, key=lambda name: (name != DEFAULT_CHECKPOINT, name))}


def load_card(name: str) -> Card:
    """The card of that name. Raises UsageError with the nearest known name."""
    if name not in cards():
        raise unknown("checkpoint", name, cards())
    return cards()[name]


def read_card(folder: Path) -> Card:
    """The model.toml of a folder.

    Raises:
        EngineError: it cannot be read, has unknown or missing keys, or values of the wrong kind.
    """
    import tomllib

    path = folder / CARD_FILE
    try:
        found = tomllib.loads(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise EngineError(f"{path} cannot be read ({error})", "mend it or remove it") from error
    _check_keys(path, "", found, Card, without={"name", "folder"})
    _check_keys(path, "generation.", found["generation"], Generation)
    _check_known(path, "prompts", found["prompts"], TASKS)
    _check_known(path, "modes", found["modes"], MODES)
    if found["attention"] not in ("full", "reference"):
        raise EngineError(f"{path}: attention is '{found['attention']}'", "it is 'full' or 'reference'")
    if bool(found.get("repository")) == bool(found.get("weights_here")):
        raise EngineError(f"{path}: either repository or weights_here", "one of them says where the weights are")
    for name, text in found["prompts"].items():
        if not isinstance(text, str) or (name == "locate") != (WHAT in text):
            raise EngineError(
                f"{path}: the prompt of {name} is '{text}'", f"'{WHAT}' belongs into that of locate alone"
            )
    if found.get("max_tiles", 2) < 2:
        raise EngineError(f"{path}: max_tiles is {found['max_tiles']}", "it is 2 or more")
    if not all(isinstance(prefix, str) and prefix for prefix in found.get("skip", ())):
        raise EngineError(f"{path}: skip is {found['skip']}", "it is a list of the beginnings of tensors' names")
    if not all(type(token) is int for token in found["generation"].get("exempt", ())):
        raise EngineError(f"{path}: generation.exempt is {found['generation']['exempt']}", "it is a list of token ids")
    for name, file in found.get("weights", {}).items():
        _check_keys(path, f"weights.{name}.", file, WeightsFile)
    return Card(**{
        **found, "name": folder.name, "folder": folder, "modes": tuple(found["modes"]),
        "skip": tuple(found.get("skip", ())),
        "generation": Generation(**{**found["generation"], "exempt": tuple(found["generation"].get("exempt", ()))}),
        "weights": {name: WeightsFile(**file) for name, file in found.get("weights", {}).items()},
    })  # fmt: skip


def _models() -> Path:
    """Where the cards are: in the installed package, or beside the package in a source checkout."""
    package = Path(__file__).resolve().parents[1]
    packed = package / "models"
    return packed if packed.is_dir() else package.parent / "models"


_KINDS: dict[str, type | tuple[type, ...]] = {
    "str": str, "int": int, "float": (int, float), "bool": bool, "Generation": dict, "tuple": list, "Mapping": dict,
    "Literal": str,
}  # fmt: skip


def _check_keys(path: Path, prefix: str, found: Any, kind: type, without: Iterable[str] = ()) -> None:
    """Keys and kinds of values are those of a dataclass."""
    if not isinstance(found, dict):
        raise EngineError(f"{path}: {prefix.rstrip('.')} is {found!r}", "it is a table")
    known = {each.name: each for each in fields(kind) if each.name not in without}
    _check_known(path, f"{prefix}keys" if not prefix else prefix.rstrip("."), found, known)
    for name, each in known.items():
        needed = each.default is MISSING and each.default_factory is MISSING
        if needed and name not in found:
            wanted = [each.name for each in known.values() if each.default is each.default_factory is MISSING]
            raise EngineError(f"{path} has no {prefix}{name}", f"it needs: {', '.join(wanted)}")
        expected = _KINDS[str(each.type).partition("[")[0]]
        value = found.get(name)
        if name in found and (not isinstance(value, expected) or (isinstance(value, bool) and expected is not bool)):
            raise EngineError(f"{path}: {prefix}{name} is {value!r}", f"it is a value of the kind {each.type}")


def _check_known(path: Path, where: str, found: Iterable[str], known: Iterable[str]) -> None:
    """Every name is known; else an EngineError with the nearest known name."""
    names = list(known)
    for name in found:
        if name not in names:
            near = difflib.get_close_matches(str(name), names, n=1)
            hint = f"did you mean '{near[0]}'? " if near else ""
            raise EngineError(f"{path}: unknown name '{name}' in {where}", f"{hint}Known: {', '.join(names)}")
