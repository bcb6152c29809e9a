"""Bring a checkpoint onto this machine: resumable, pinned, verified. The one place that asks the Hugging Face hub.

Files go into the Hugging Face cache, where other programs find them too, or into a folder. A download that breaks off
leaves a part behind that the next one goes on from; a file counts only when its checksum is right. (huggingface_hub's
own download starts over in a new process: it is asked for the list of files alone.)
"""

from __future__ import annotations

import hashlib
import re
import shutil
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from fnmatch import fnmatch
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import quote

from ocrpress.engines.cards import Card, cards, load_card
from ocrpress.engines.deepseek.checkpoint import Checkpoint, check_checkpoint, open_checkpoint
from ocrpress.engines.deepseek.config import CONFIG_FILE, read_architecture
from ocrpress.engines.deepseek.fetch import Advance, fetch
from ocrpress.engines.deepseek.hub import cache_folder, find_snapshot, is_hub_id, require
from ocrpress.engines.deepseek.tokenizer import Tokenizer
from ocrpress.errors import EngineError, OutputError

if TYPE_CHECKING:
    from huggingface_hub.hf_api import RepoSibling

# Weights and what describes them: no code, no other formats.
NEEDED = ("*.safetensors", "*.safetensors.index.json", CONFIG_FILE, "generation_config.json", "tokenizer*.json",
          "special_tokens_map.json")  # fmt: skip
_HEX = re.compile("[0-9a-f]{40}([0-9a-f]{24})?")
SECONDS = 30.0  # that the hub may take to answer
BLOCK = 2**22
AGAIN = "check the network, HF_HUB_OFFLINE and HF_ENDPOINT, then run it again"

# (what, bytes in all, bytes already done) -> counts the bytes as they come
Bar = Callable[[str, int, int], AbstractContextManager[Advance]]


@dataclass(frozen=True)
class RemoteFile:
    """A file of a repository, as the hub describes it.

    Attributes:
        name: in the top folder of the repository.
        size: in bytes.
        sha256: of its content; empty for the small files, which have `git_sha1` alone.
        git_sha1: of its content under git's heading, as git names a blob.
    """

    name: str
    size: int
    sha256: str
    git_sha1: str

    @property
    def digest(self) -> str:
        """The name under which the cache keeps it."""
        return self.sha256 or self.git_sha1


@dataclass(frozen=True)
class Remote:
    """A repository at one commit, and those of its files that are needed."""

    repository: str
    commit: str
    files: tuple[RemoteFile, ...]


class HubUnreachableError(EngineError):
    """The hub does not answer."""


def pull(name: str, to: Path | None = None, bar: Bar | None = None, tell: Callable[[str], object] = str) -> Checkpoint:
    """Download what is not here yet, verify all of it, and open it.

    The hub is not asked if all of a card's revision is here; without a pinned revision it is, but may be out of reach.

    Args:
        name: a card's name or a hub id ("owner/name").
        to: the folder that gets the files; None takes the Hugging Face cache.
        bar: shows the progress of one file.
        tell: told in a line what was verified, where the hub was not needed.

    Raises:
        UsageError: unknown name.
        OutputError: no room, or no permission to write.
        EngineError: a package is missing, the hub cannot be reached or does not know it, the download broke off, or
            what came is not what was promised or not a checkpoint of this architecture.
    """
    card = cards().get(name)
    if card is None and not is_hub_id(name):
        load_card(name)
    if card is not None and card.weights_here:
        return verified(open_checkpoint(name))
    for package in ("huggingface_hub", "tokenizers"):
        require(package)
    bar = bar or (lambda *_: nullcontext(lambda _: None))
    repository, revision = (card.repository, card.revision) if card else (name, "")
    here = to if to is not None else find_snapshot(repository, revision)
    if revision and here and (found := _whole(name, here, card, bar, tell)):
        return found
    try:
        remote = look_up(repository, revision)
    except HubUnreachableError as error:
        if not revision and here and (found := _whole(name, here, card, bar, tell)):
            tell(error.message)
            return found
        raise
    _compare(remote, card)
    folder = _bring(remote, to, bar)
    opened = open_checkpoint(str(folder))
    return verified(Checkpoint(name, folder, card or opened.card))


def verified(checkpoint: Checkpoint) -> Checkpoint:
    """The checkpoint itself, if config.json, every tensor's name and shape, and the tokenizer are right."""
    check_checkpoint(checkpoint)
    Tokenizer(checkpoint.folder)
    return checkpoint


def look_up(repository: str, revision: str = "") -> Remote:
    """Ask the hub for a repository's files. Raises EngineError if it does not know it or cannot be reached."""
    from huggingface_hub import HfApi
    from huggingface_hub.errors import GatedRepoError, HfHubHTTPError, RepositoryNotFoundError, RevisionNotFoundError

    try:
        found = HfApi().model_info(repository, revision=revision or None, files_metadata=True, timeout=SECONDS)
    except GatedRepoError as error:
        raise EngineError(f"the hub guards {repository}", "ask for access there, then run: hf auth login") from error
    except RepositoryNotFoundError as error:
        raise EngineError(
            f"the hub knows no {repository}, or keeps it private", "check its name, or run: hf auth login"
        ) from error
    except RevisionNotFoundError as error:
        raise EngineError(f"{repository} has no commit {revision} any more", "update ocrpress") from error
    except HfHubHTTPError as error:
        raise EngineError(
            f"the hub answers {error.response.status_code} for {repository}", "try again later"
        ) from error
    except Exception as error:  # of whichever HTTP client this version of huggingface_hub uses
        raise HubUnreachableError(f"the hub cannot be reached ({type(error).__name__}: {error})", AGAIN) from error
    files = tuple(_describe(file) for file in found.siblings or () if _is_needed(file.rfilename))
    if not any(file.name.endswith(".safetensors") for file in files):
        raise EngineError(f"{repository} has no safetensors", "only safetensors are read: take another repository")
    if not any(file.name == CONFIG_FILE for file in files):
        raise EngineError(f"{repository} has no {CONFIG_FILE}", "take another repository")
    if not _HEX.fullmatch(found.sha or ""):
        raise EngineError(f"the hub gives no commit of {repository}", "check HF_ENDPOINT")
    return Remote(repository, found.sha or "", files)


def _whole(name: str, folder: Path, card: Card | None, bar: Bar, tell: Callable[[str], object]) -> Checkpoint | None:
    """The checkpoint of a folder, all of it there and verified; None if anything is missing or wrong.

    A file is what the card pins; one of the cache bears its checksum as its name; of others the contents must fit.
    """
    try:
        paths = sorted(path for path in folder.iterdir() if _is_needed(path.name))
        promised = {path: file for path in paths if (file := _promised(path, card))}
        complete = {path.name for path in paths} >= set(card.weights if card else ())
        if not (complete and all(_is_right(file, path, bar) for path, file in promised.items())):
            return None
        found = verified(Checkpoint(name, folder, card or open_checkpoint(str(folder)).card))
    except (OSError, EngineError):
        return None
    sums = f"the checksums of {len(promised)} of {len(paths)} files, the tokenizer, and the tensors' names and shapes"
    tell(f"{name} is here; verified without the hub: {sums}")
    return found


def _promised(path: Path, card: Card | None) -> RemoteFile | None:
    """What a file on this machine must be, if that is known without the hub."""
    if card and path.name in card.weights:
        pinned = card.weights[path.name]
        return RemoteFile(path.name, pinned.size, pinned.sha256, "")
    digest = path.resolve().name
    if not (path.is_symlink() and _HEX.fullmatch(digest)):
        return None
    return RemoteFile(path.name, path.stat().st_size, *((digest, "") if len(digest) == 64 else ("", digest)))


def _bring(remote: Remote, to: Path | None, bar: Bar) -> Path:
    """The folder with all files, the small ones first: a wrong config.json is found before the weights are fetched."""
    store = to if to is not None else cache_folder(remote.repository) / "blobs"
    try:
        store.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise OutputError(f"{store} cannot be made ({error.strerror})", "choose another place with --to") from error
    targets = {file: store / (file.name if to is not None else file.digest) for file in remote.files}
    _check_room(store, sum(file.size for file, target in targets.items() if not target.exists()), remote)
    folder = store
    for file in sorted(remote.files, key=lambda file: (file.size, file.name)):
        target = targets[file]
        if not (target.exists() and _is_right(file, target, bar)):
            _fetch(remote, file, target, bar)
        if to is None:
            folder = _link(remote, file, target).parent
        if file.name == CONFIG_FILE:
            read_architecture(folder)
    return folder


def _fetch(remote: Remote, file: RemoteFile, target: Path, bar: Bar) -> None:
    """One file, its checksum verified."""
    from huggingface_hub import constants, get_token

    url = f"{constants.ENDPOINT}/{remote.repository}/resolve/{remote.commit}/{quote(file.name)}"
    fetch(url, target, file.size, file.name, bar, token=get_token())
    if not _is_right(file, target, bar):
        target.unlink()
        raise EngineError(f"{file.name} of {remote.repository} came corrupted", "run it again: it is fetched anew")


def _link(remote: Remote, file: RemoteFile, blob: Path) -> Path:
    """The name under which the cache shows a blob: a relative link in the commit's folder, as others make it."""
    shown = blob.parents[1] / "snapshots" / remote.commit / file.name
    shown.parent.mkdir(parents=True, exist_ok=True)
    if not shown.exists():
        shown.unlink(missing_ok=True)  # a link to nowhere
        try:
            shown.symlink_to(Path("..", "..", "blobs", blob.name))
        except OSError:  # a file system without links
            shutil.copyfile(blob, shown)
    return shown


def _compare(remote: Remote, card: Card | None) -> None:
    """The hub offers what the card names."""
    for name, pinned in (card.weights if card else {}).items():
        offered = next((file for file in remote.files if file.name == name), None)
        if offered is None or (offered.sha256, offered.size) != (pinned.sha256, pinned.size):
            raise EngineError(
                f"the hub's {name} of {remote.repository} is not the one that our card names", "report it"
            )


def _is_right(file: RemoteFile, path: Path, bar: Bar) -> bool:
    """Whether a file has the size and the checksum that the hub names."""
    if path.stat().st_size != file.size:
        return False
    if file.sha256:
        digest, wanted = hashlib.sha256(), file.sha256
    else:
        # How git names a blob: no secret hangs on it.
        digest, wanted = hashlib.sha1(b"blob %d\0" % file.size, usedforsecurity=False), file.git_sha1
    with path.open("rb") as content, bar(f"verifying {file.name}", file.size, 0) as advance:
        while block := content.read(BLOCK):
            digest.update(block)
            advance(len(block))
    return digest.hexdigest() == wanted


def _check_room(folder: Path, needed: int, remote: Remote) -> None:
    free = shutil.disk_usage(folder).free
    if needed > free:
        raise OutputError(
            f"{remote.repository} needs {needed / 1e9:.1f} GB in {folder}, where {free / 1e9:.1f} GB are free",
            "make room there, or choose another place with --to",
        )


def _is_needed(name: str) -> bool:
    return "/" not in name and "\\" not in name and any(fnmatch(name, pattern) for pattern in NEEDED)


def _describe(file: RepoSibling) -> RemoteFile:
    size = file.lfs.size if file.lfs else file.size
    found = RemoteFile(file.rfilename, size or 0, file.lfs.sha256 if file.lfs else "", file.blob_id or "")
    if size is None or not _HEX.fullmatch(found.digest):  # the digest names a file, too
        raise EngineError(f"the hub gives no size and checksum of {found.name}", "check HF_ENDPOINT")
    return found
