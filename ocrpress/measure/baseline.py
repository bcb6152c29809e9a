"""What a user would run without ocrpress: transformers' own `generate` over the same model, a batch at a time.

All is done that speaks for it: pages of a batch are prepared in threads and encoded in chunks that fit memory,
sequences of one length need no padding, and no n-gram rule is asked of it, which our engine keeps. A batch ends with
its longest answer, as static batches do.
"""

from __future__ import annotations

import os
import time
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, nullcontext
from itertools import groupby, islice
from typing import Any

import torch
from torch import Tensor

from ocrpress.document import Completion, Request
from ocrpress.engines.base import Capabilities
from ocrpress.engines.deepseek.vision import PixelViews, pixel_views
from ocrpress.errors import EngineError
from ocrpress.measure.loaded import Loaded
from ocrpress.modes import plan
from ocrpress.views import make_views

NAME = "transformers"
ENCODED = {"cuda": 8, "cpu": 1}  # pages in one call: its SAM writes out its position bias, 400 MB for a view of 1024²
MOST_THREADS = 8


class GenerateEngine:
    """transformers' `generate` behind the engine protocol, so that both are measured by the same code.

    Args:
        batch: pages generated together; 1 reads page by page.
        grouped: on a GPU, keep `generate` from exchanging its grouped expert products for batched ones when it decodes:
            it copies the chosen experts' weights for every row, which pays for small batches alone.
    """

    def __init__(self, loaded: Loaded, batch: int, grouped: bool = False) -> None:
        self.name = f"{NAME} grouped" if grouped else NAME
        self._loaded, self._batch, self._grouped = loaded, batch, grouped
        self._pool = ThreadPoolExecutor(min(MOST_THREADS, os.cpu_count() or 1))
        card = loaded.card
        self.capabilities = Capabilities(
            modes=card.modes, tasks=card.tasks, grounding=False, decoding=True, in_flight=batch
        )

    def close(self) -> None:
        """End the threads. Safe to call twice."""
        self._pool.shutdown(wait=False)

    def read(self, requests: Iterable[Request]) -> Iterator[Completion]:
        """Answer every request, batch by batch.

        Raises:
            EngineError: the device has no memory for such a batch.
        """
        source = iter(requests)
        while batch := list(islice(source, self._batch)):
            started = time.perf_counter()
            views = list(self._pool.map(_views, batch))
            viewed = (time.perf_counter() - started) / len(batch)
            pages = list(zip(batch, views, strict=True))
            for _, group in groupby(sorted(pages, key=self._length), key=self._length):
                try:
                    yield from self._answer(list(group), viewed)
                except torch.OutOfMemoryError as error:
                    raise EngineError(
                        f"{self.name} has no memory for {len(batch)} pages at a time", "take a smaller batch"
                    ) from error

    def _length(self, page: tuple[Request, PixelViews]) -> int:
        """Tokens of a page's prompt."""
        return page[1].plan.sequence_tokens + len(self._question(page[0].task))

    @torch.inference_mode()
    def _answer(self, pages: Sequence[tuple[Request, PixelViews]], viewed: float) -> list[Completion]:
        """Generate for pages whose prompts are equally long."""
        generation = self._loaded.card.generation
        started = self._now()
        prompts = self._prompts(pages)
        encoded = self._now()
        wanted = [request.decoding.max_tokens or generation.max_tokens for request, _ in pages]
        forced = all(request.decoding.ignore_end for request, _ in pages)
        with _grouped(self._loaded.model) if self._grouped else nullcontext():
            output = self._loaded.model.generate(
                inputs_embeds=prompts,
                attention_mask=torch.ones(prompts.shape[:2], dtype=torch.long, device=prompts.device),
                max_new_tokens=max(wanted), do_sample=False, pad_token_id=self._loaded.tokenizer.end,
                eos_token_id=None if forced else self._loaded.tokenizer.end,
            ).tolist()  # fmt: skip
        done = self._now()
        seconds = {
            "views": viewed,
            "encode": (encoded - started) / len(pages),
            "generate": (done - encoded) / len(pages),
        }
        return [
            self._completion(request, views, row[:most], seconds)
            for (request, views), row, most in zip(pages, output, wanted, strict=True)
        ]

    def _completion(
        self, request: Request, views: PixelViews, tokens: list[int], seconds: dict[str, float]
    ) -> Completion:
        """A page's answer; tokens behind its end are padding."""
        end = self._loaded.tokenizer.end
        ended = end in tokens and not request.decoding.ignore_end
        kept = tokens[: tokens.index(end)] if ended else tokens
        return Completion(
            request.key, self._loaded.tokenizer.decode(kept), "markup", stop="end" if ended else "length",
            plan=views.plan, output_tokens=len(kept), seconds=seconds,
        )  # fmt: skip

    def _prompts(self, pages: Sequence[tuple[Request, PixelViews]]) -> Tensor:
        """Embeddings (pages, tokens, hidden) of the prompts: start token, vision sequence, question."""
        codec = self._loaded.tokenizer
        visions = self._visions([views for _, views in pages])
        start = self._embedded([codec.bos])
        return torch.stack([
            torch.cat((start, vision.to(start.dtype), self._embedded(self._question(request.task))))
            for (request, _), vision in zip(pages, visions, strict=True)
        ])  # fmt: skip

    def _visions(self, views: Sequence[PixelViews]) -> list[Tensor]:
        """The model's own vision sequences, a few pages at a time."""
        found: list[Tensor] = []
        step = ENCODED[self._loaded.device.type]
        for first in range(0, len(views), step):
            chunk = views[first : first + step]
            tiles = [view.tiles for view in chunk if view.tiles is not None]
            local: dict[str, Any] = {}
            if tiles:
                local = {
                    "pixel_values_local": self._pixels(torch.cat(tiles)),
                    "num_local_patches": [0 if view.tiles is None else len(view.tiles) for view in chunk],
                    "patches_grid": [list(view.plan.grid) for view in chunk],
                }
            pixels = self._pixels(torch.stack([view.overview for view in chunk]))
            found += self._loaded.model.get_image_features(pixels, **local).pooler_output
        return found

    def _pixels(self, views: Tensor) -> Tensor:
        """uint8 (n, q, q, 3) -> -1 … 1, (n, 3, q, q), on the device."""
        scaled = views.to(self._loaded.device).permute(0, 3, 1, 2).float() / 127.5 - 1
        return scaled.to(self._loaded.dtype)

    def _question(self, task: str) -> list[int]:
        return list(self._loaded.tokenizer.encode(self._loaded.card.prompt(task)))

    def _embedded(self, tokens: list[int]) -> Tensor:
        ids = torch.tensor(tokens, device=self._loaded.device)
        embedded: Tensor = self._loaded.model.get_input_embeddings()(ids)
        return embedded

    def _now(self) -> float:
        if self._loaded.device.type == "cuda":
            torch.cuda.synchronize(self._loaded.device)
        return time.perf_counter()


def _views(request: Request) -> PixelViews:
    image = request.page.image
    return pixel_views(make_views(image, plan(image.width, image.height, request.mode, request.max_tiles)))


@contextmanager
def _grouped(model: Any) -> Iterator[None]:
    """Within, `generate` leaves the expert products as they are."""
    model._optimize_model_for_decode = nullcontext
    try:
        yield
    finally:
        del model._optimize_model_for_decode
