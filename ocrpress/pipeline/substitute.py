"""The engine of last resort: reads single pages that another engine could not, in a thread beside it.

A thread, because that other engine is usually on a GPU, which would stand idle for the seconds that a page takes here.
"""

from __future__ import annotations

from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import replace
from typing import TYPE_CHECKING

from ocrpress.document import Completion, Request
from ocrpress.engines import open_engine
from ocrpress.errors import OcrpressError
from ocrpress.modes import NATIVE

if TYPE_CHECKING:
    from ocrpress.engines.base import Engine


class Substitute:
    """An engine that is opened when it is first needed, and closed once.

    Args:
        name: of `ocrpress.engines.ENGINES`.
    """

    def __init__(self, name: str) -> None:
        self.name = name
        self.broken = ""  # why it cannot run, once that is known
        self._engine: Engine | None = None
        self._thread = ThreadPoolExecutor(1, "substitute")

    def ask(self, request: Request) -> Future[Completion]:
        """Have a page read. The future never raises: what goes wrong is a Completion with stop "error"."""
        return self._thread.submit(self._answer, request)

    def close(self) -> None:
        """Finish the page that is being read, forget the others, close the engine. Safe to call twice."""
        self._thread.shutdown(cancel_futures=True)
        if self._engine:
            self._engine.close()
            self._engine = None

    def _answer(self, request: Request) -> Completion:
        if not self.broken:
            try:
                return self._read(request)
            except OcrpressError as error:
                self.broken = str(error)
            except Exception as error:  # it is the last resort: whatever it raises, the document goes on
                self.broken = f"{type(error).__name__}: {error}"
        return Completion(request.key, stop="error", error=self.broken)

    def _read(self, request: Request) -> Completion:
        self._engine = self._engine or open_engine(self.name)
        modes = self._engine.capabilities.modes
        mode = NATIVE.name if NATIVE.name in modes else modes[0]
        for completion in self._engine.read([replace(request, mode=mode)]):
            return completion
        return Completion(request.key, stop="error", error=f"engine {self.name} gave no answer for this page")
