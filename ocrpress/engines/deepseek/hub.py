"""Where checkpoints lie on this machine: a folder, or the Hugging Face cache. Never downloads; needs no torch.

`download.py` is what downloads.
"""

from __future__ import annotations

import importlib.util
import re
from pathlib import Path

from ocrpress.engines.cards import Card
from ocrpress.engines.deepseek.config import CONFIG_FILE
from ocrpress.errors import EngineError

INSTALL = "run: pip install 'ocrpress[deepseek]'"
UPDATE = "run: pip install --upgrade 'ocrpress[deepseek]'"
_HUB_ID = re.compile(r"[A-Za-z0-9][\w.-]*/[A-Za-z0-9][\w.-]*")


def is_hub_id(name: str) -> bool:
    """Whether a name has the form "owner/name"."""
    return _HUB_ID.fullmatch(name) is not None


def find_snapshot(repository: str, revision: str = "") -> Path | None:
    """The folder of a repository in the Hugging Face cache; None if it is not there.

    Args:
        repository: "owner/name".
        revision: a commit; empty takes the latest that was downloaded.

    Raises:
        EngineError: huggingface_hub is not installed.
    """
    snapshots = cache_folder(repository) / "snapshots"
    configs = list(snapshots.glob(f"{revision or '*'}/{CONFIG_FILE}"))
    return max(configs, key=lambda path: path.lstat().st_mtime).parent if configs else None


def cache_folder(repository: str) -> Path:
    """Where the Hugging Face cache keeps a repository; it need not exist."""
    require("huggingface_hub")
    from huggingface_hub import constants

    return Path(constants.HF_HUB_CACHE) / f"models--{repository.replace('/', '--')}"


def find_weights(card: Card) -> Path | None:
    """The folder that holds a card's weights; None if it is not on this machine."""
    if card.weights_here:
        return card.folder
    return find_snapshot(card.repository, card.revision)


def require(package: str) -> None:
    """Raises EngineError with the install command if a package is not there."""
    if importlib.util.find_spec(package) is None:
        raise EngineError(f"the package {package} is not installed", INSTALL)
