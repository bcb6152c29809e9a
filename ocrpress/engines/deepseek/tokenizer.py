"""Text to token ids and back, by a checkpoint's tokenizer.json. Knows nothing of pages, prompts or models.

The published processor encodes the text around `<image>` piece by piece, without special tokens, and puts the begin
token before all: so does who calls `encode` on what follows the image tokens.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Protocol

from ocrpress.engines.deepseek.hub import require
from ocrpress.errors import EngineError

TOKENIZER_FILE = "tokenizer.json"
BEGIN, END, PAD, IMAGE = "<｜begin▁of▁sentence｜>", "<｜end▁of▁sentence｜>", "<｜▁pad▁｜>", "<image>"


class TextCodec(Protocol):
    """What an engine asks of a tokenizer. `bos`, `end` and `image` are token ids."""

    @property
    def bos(self) -> int:
        """Opens every sequence."""
        ...

    @property
    def end(self) -> int:
        """Ends an answer."""
        ...

    @property
    def image(self) -> int:
        """Stands for one vision token."""
        ...

    def encode(self, text: str) -> list[int]:
        """Token ids of a text; nothing is put before or after it."""
        ...

    def decode(self, ids: Sequence[int]) -> str:
        """The text of token ids, the begin, end and padding tokens left out."""
        ...


class Tokenizer:
    """A checkpoint's own tokenizer.

    Args:
        folder: holds tokenizer.json.

    Raises:
        EngineError: the package tokenizers is missing, or tokenizer.json is missing, broken or lacks a special token.
    """

    def __init__(self, folder: Path) -> None:
        require("tokenizers")
        from tokenizers import Tokenizer as Backend

        path = folder / TOKENIZER_FILE
        if not path.is_file():
            raise EngineError(f"{folder} has no {TOKENIZER_FILE}", "download the checkpoint again (ocrpress pull)")
        try:
            self._backend = Backend.from_file(str(path))
        except Exception as error:  # the library raises Exception itself
            raise EngineError(
                f"{path} cannot be read ({error})", "download the checkpoint again (ocrpress pull)"
            ) from error
        self.bos, self.end, self.image = (self._id(path, token) for token in (BEGIN, END, IMAGE))
        self._silent = frozenset({self.bos, self.end, self._backend.token_to_id(PAD)})

    def encode(self, text: str) -> list[int]:
        """Token ids of a text; nothing is put before or after it."""
        return list(self._backend.encode(text, add_special_tokens=False).ids)

    def decode(self, ids: Sequence[int]) -> str:
        """The text of token ids. Grounding (`<|ref|>`, `<|det|>`) and table tokens stay; begin, end, padding go."""
        kept = [token for token in ids if token not in self._silent]
        return str(self._backend.decode(kept, skip_special_tokens=False))

    def _id(self, path: Path, token: str) -> int:
        found = self._backend.token_to_id(token)
        if found is None:
            raise EngineError(f"{path} has no token {token}", "it is not the tokenizer of this architecture")
        return int(found)
