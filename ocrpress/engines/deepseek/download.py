"""Bring a checkpoint onto this machine: resumable, pinned, verified. The one place that asks the Hugging Face hub.

Files go into the Hugging Face cache, where other programs find them too, or into a folder. A download that breaks off
leaves a part behind that the next one goes on from; a file counts only when its checksum is right. (huggingface_hub's
own download gives its part a random name and starts over in a new process: it is asked for the list of files alone.)
"""

from __future__ import annotations

import fcntl
import hashlib
import re
import shutil
import time
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from fnmatch import fnmatch
from pathlib import Path
from typing import BinaryIO
from urllib.parse import quote

import httpx2

from ocrpress import __version__
from ocrpress.engines.cards import Card, WeightsFile, cards, load_card
from ocrpress.engines.deepseek.checkpoint import Checkpoint, check_checkpoint, open_checkpoint
from ocrpress.engines.deepseek.config import CONFIG_FILE, read_architecture
from ocrpress.engines.deepseek.hub import cache_folder, find_snapshot, is_hub_id, require
from ocrpress.engines.deepseek.tokenizer import Tokenizer
from ocrpress.errors import EngineError, OutputError

# Weights and what describes them: no code, no other formats.
NEEDED = ("*.safetensors", "*.safetensors.index.json", CONFIG_FILE, "generation_config.json", "tokenizer*.json",
          "special_tokens_map.json")  # fmt: skip
_HEX = re.compile("[0-9a-f]{40}([0-9a-f]{24})?")
LIKE = 1.1  # times the size that a card names, or a part of it: what still passes for it
SECONDS = 30.0  # that the hub may be silent
TRIES = 5  # in a row without a single new byte
PAUSE = 1.0  # seconds after the first such try; each further one doubles it
BLOCK = 2**22
AGAIN = "check the network, HF_HUB_OFFLINE and HF_ENDPOINT, then run it again"

Advance = Callable[[int], object]
# (what, bytes in all, bytes already done) -> counts the bytes as they come
Bar = Callable[[str, int, int], AbstractContextManager[Advance]]


@dataclass(frozen=True)
class RemoteFile:
    """A file in the top folder of a repository, as the hub describes it."""

    name: str
    size: int  # in bytes
    digest: str  # SHA-256 or, of the small files, git's SHA-1; the cache keeps the file under this name


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
    here = to or find_snapshot(repository, revision)
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
    return verified(Checkpoint(name, folder, card or open_checkpoint(str(folder)).card))


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
    files = tuple(
        RemoteFile(file.rfilename, file.lfs.size, file.lfs.sha256) if file.lfs
        else RemoteFile(file.rfilename, file.size or 0, file.blob_id or "")
        for file in found.siblings or () if _is_needed(file.rfilename)
    )  # fmt: skip
    for file in files:
        if not (file.size and _HEX.fullmatch(file.digest)):  # the digest names a file, too
            raise EngineError(f"the hub gives no size and checksum of {file.name}", "check HF_ENDPOINT")
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
        size = sum(path.stat().st_size for path in paths) / 1e9
        if card and not card.download_gb / LIKE <= size <= card.download_gb * LIKE:  # another model of the same layout
            return None
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
    if card and (pinned := card.weights.get(path.name)):
        return RemoteFile(path.name, pinned.size, pinned.sha256)
    digest = path.resolve().name
    in_cache = path.is_symlink() and _HEX.fullmatch(digest)
    return RemoteFile(path.name, path.stat().st_size, digest) if in_cache else None


def _compare(remote: Remote, card: Card | None) -> None:
    """The hub offers what the card names."""
    offered = {file.name: WeightsFile(file.size, file.digest) for file in remote.files}
    for name, pinned in (card.weights if card else {}).items():
        if offered.get(name) != pinned:
            raise EngineError(
                f"the hub's {name} of {remote.repository} is not the one that our card names", "report it"
            )


def _bring(remote: Remote, to: Path | None, bar: Bar) -> Path:
    """Bring all files into one folder, the small ones first: a wrong config.json is found before the weights come."""
    store = to or cache_folder(remote.repository) / "blobs"
    folder = to or store.parent / "snapshots" / remote.commit
    targets = {file: store / (file.name if to else file.digest) for file in remote.files}
    try:
        store.mkdir(parents=True, exist_ok=True)
        parts = {
            file: target.with_name(f"{target.name}.part") for file, target in targets.items() if not target.exists()
        }
        needed = sum(file.size - (part.stat().st_size if part.exists() else 0) for file, part in parts.items())
        if needed > (free := shutil.disk_usage(store).free):
            raise OutputError(
                f"{remote.repository} needs {needed / 1e9:.1f} GB in {store}, where {free / 1e9:.1f} GB are free",
                "make room there, or choose another place with --to",
            )
        for file, target in sorted(targets.items(), key=lambda item: (item[0].size, item[0].name)):
            if not (target.exists() and _is_right(file, target, bar)):
                _fetch(remote, file, target, bar)
            if to is None:
                _link(folder / file.name, target)
            if file.name == CONFIG_FILE:
                read_architecture(folder)
    except OSError as error:  # of the disk: httpx2's are none
        raise OutputError(
            f"cannot write into {store} ({error.strerror or error})",
            "make room there and run it again: it goes on from there; or choose another place with --to",
        ) from error
    return folder


def _fetch(remote: Remote, file: RemoteFile, target: Path, bar: Bar) -> None:
    """Download one file beside its place, under its name with ".part"; it is moved there once its checksum is right."""
    from huggingface_hub import constants

    url = f"{constants.ENDPOINT}/{remote.repository}/resolve/{remote.commit}/{quote(file.name)}"
    part = target.with_name(f"{target.name}.part")
    with part.open("ab") as content:
        try:  # two downloads into one file would mix their bytes
            fcntl.flock(content, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise EngineError(f"{file.name} is being downloaded by another process", "wait for it") from error
        except OSError:
            pass  # a file system without locks: the checksum will tell
        with bar(file.name, file.size, content.tell()) as advance:
            _go_on(url, file, content, advance)
        if not _is_right(file, part, bar):
            part.unlink()
            raise EngineError(f"{file.name} of {remote.repository} came corrupted", "run it again: it is fetched anew")
        part.replace(target)


def _go_on(url: str, file: RemoteFile, content: BinaryIO, advance: Advance) -> None:
    """Append what is missing, in several tries as long as they bring new bytes."""
    from huggingface_hub import get_token

    # Encoded, the offsets would be of something else. httpx2 shows the token to no other host that the hub forwards to.
    headers = {"User-Agent": f"ocrpress/{__version__}", "Accept-Encoding": "identity"}
    headers |= {"Authorization": f"Bearer {token}"} if (token := get_token()) else {}
    failures = 0
    with httpx2.Client(headers=headers, follow_redirects=True, timeout=SECONDS) as client:
        while (before := content.tell()) < file.size:
            why = "the connection ended"
            try:
                with client.stream("GET", url, headers={"Range": f"bytes={before}-"} if before else {}) as response:
                    response.raise_for_status()
                    if before and response.status_code != httpx2.codes.PARTIAL_CONTENT:
                        advance(-before)  # this server cannot resume
                        content.truncate(0)
                        content.seek(0)
                    for block in response.iter_raw():
                        content.write(block)
                        content.flush()
                        advance(len(block))
                        if content.tell() > file.size:
                            return  # the checksum will tell
            except httpx2.HTTPStatusError as error:
                why = f"the hub answers {(status := error.response.status_code)}"
                if status < 500 and status not in (408, 429):
                    advice = "run: hf auth login" if status in (401, 403) else "try again later"
                    raise EngineError(f"{why} for {file.name}", advice) from error
            except httpx2.HTTPError as error:
                why = str(error) or type(error).__name__
            failures = 0 if content.tell() > before else failures + 1
            if failures == TRIES:
                raise EngineError(
                    f"the download of {file.name} broke off at {before / 1e9:.2f} of {file.size / 1e9:.2f} GB ({why})",
                    "run it again: it goes on from there",
                )
            time.sleep(PAUSE * (2**failures // 2))


def _link(shown: Path, blob: Path) -> None:
    """Show a blob under its name: a relative link in the commit's folder of the cache, as others make it."""
    shown.parent.mkdir(parents=True, exist_ok=True)
    if not shown.exists():
        shown.unlink(missing_ok=True)  # a link to nowhere
        try:
            shown.symlink_to(Path("..", "..", "blobs", blob.name))
        except OSError:  # a file system without links
            shutil.copyfile(blob, shown)


def _is_right(file: RemoteFile, path: Path, bar: Bar) -> bool:
    """Whether a file has the size and the checksum that the hub names."""
    if path.stat().st_size != file.size:
        return False
    # Git heads a blob with its size; no secret hangs on its SHA-1.
    git = hashlib.sha1(b"blob %d\0" % file.size, usedforsecurity=False)
    digest = git if len(file.digest) == 2 * git.digest_size else hashlib.sha256()
    with path.open("rb") as content, bar(f"verifying {file.name}", file.size, 0) as advance:
        while block := content.read(BLOCK):
            digest.update(block)
            advance(len(block))
    return digest.hexdigest() == file.digest


def _is_needed(name: str) -> bool:
    return "/" not in name and "\\" not in name and any(fnmatch(name, pattern) for pattern in NEEDED)
