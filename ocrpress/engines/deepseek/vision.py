"""The vision encoder: views of pages -> the vision sequence that stands for each page in the decoder's prompt.

`pixel_views` runs in worker threads and makes host tensors; `Encoder` runs on one thread and, on a GPU, on the current
stream, which it never waits for. All views of one size, of all pages, are encoded together. Knows nothing of prompts,
slots or files.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from math import ceil, isqrt
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
import torch.nn.functional as F  # noqa: N812, the name that everybody knows
from torch import Tensor

from ocrpress.engines.deepseek.clip import ClipEncoder
from ocrpress.engines.deepseek.qwen import QwenEncoder
from ocrpress.engines.deepseek.sam import SamEncoder
from ocrpress.modes import Plan, get_mode

if TYPE_CHECKING:
    from PIL.Image import Image

    from ocrpress.views import Views

# Pixels encoded in one call. SAM's attention holds most: 170 to 225 bytes a pixel in bfloat16, by view size (tensors
# counted as on a GPU; a CPU kernel's own buffers come on top). On a GPU that is 1.4 GB for 8 pages of 1024²: matrix
# products of 33,000 rows, and work enough to hide some 470 kernel launches (reckoned, not measured). On the CPU four
# views of 512² together take 0.9 to 1.0 of the time of one by one, and eight no less.
MAX_PIXELS = {"cuda": 2**23, "cpu": 2**20}


@dataclass(frozen=True)
class PixelViews:
    """What crosses to the device for one page: bytes, in the order in which Pillow has them.

    Attributes:
        overview: uint8 (q, q, 3), the global view.
        tiles: uint8 (n, t, t, 3), row by row; None where the plan has none.
    """

    plan: Plan
    overview: Tensor
    tiles: Tensor | None = None

    def __post_init__(self) -> None:
        mode, tiles = get_mode(self.plan.mode), self.plan.tiles
        wanted = [(mode.view, mode.view, 3), (tiles, mode.tile, mode.tile, 3) if tiles else None]
        found = [tuple(self.overview.shape), None if self.tiles is None else tuple(self.tiles.shape)]
        if wanted != found:
            raise ValueError(f"the plan ({mode.name}, {self.plan.grid}) needs views {wanted}, these are {found}")


def pixel_views(views: Views, pin: bool = False) -> PixelViews:
    """A page's views as tensors on the host, pinned if asked (which needs CUDA), so that they cross without a wait."""
    tiles = _stack(views.tiles, pin) if views.tiles else None
    return PixelViews(views.plan, _stack([views.overview], pin)[0], tiles)


def _stack(images: Sequence[Image], pin: bool) -> Tensor:
    """RGB images of one size -> uint8 (n, height, width, 3)."""
    width, height = images[0].size
    stack = torch.empty((len(images), height, width, 3), dtype=torch.uint8, pin_memory=pin)
    for place, image in zip(stack.numpy(), images, strict=True):
        place[...] = np.asarray(image)
    return stack


class Encoder:
    """Both halves of the encoder and the projector, over the weights of a loaded model, on its device and in its dtype.

    The first half is SAM. The second is CLIP, whose features and SAM's together are projected, and a newline token ends
    each row of them (DeepSeek-OCR); or Qwen2, whose alone are, view by view, without newlines (DeepSeek-OCR-2).

    Args:
        model: an `UnlimitedOcrModel` or a `DeepseekOcr2Model`.
            Its vision weights must not change or move afterwards. On a GPU, a stream that encodes must first wait
            for the one that loaded them, and all calls belong on one stream: the first that needs a table makes it.
        max_pixels: of the views encoded in one call, which bounds memory; at least one view is. None takes MAX_PIXELS.

    Attributes:
        max_pixels: may be lowered between calls, when memory runs out.
    """

    def __init__(self, model: Any, max_pixels: int | None = None) -> None:
        tower = model.vision_tower
        self.projector = model.multi_modal_projector
        self.separator: Tensor = model.view_separator.detach()
        self.newline: Tensor | None = model.image_newline.detach() if hasattr(model, "image_newline") else None
        self.device, self.dtype = self.separator.device, self.separator.dtype
        self.max_pixels = max_pixels or MAX_PIXELS.get(self.device.type, MAX_PIXELS["cpu"])
        self.patch: int = tower.config.sam_config.patch_size
        with torch.no_grad():
            self.sam = SamEncoder(tower.sam_encoder)
            self.second = QwenEncoder(tower) if self.newline is None else ClipEncoder(tower.vision_encoder)

    @torch.no_grad()
    def encode(self, pages: Sequence[PixelViews]) -> list[Tensor]:
        """Each page's vision sequence, (plan.sequence_tokens, hidden).

        Tiles first, then the global view, then the separator. Where newline tokens end the rows of features, the tiles
        make one canvas; else they follow one another.
        """
        by_side: dict[int, list[Tensor]] = {}
        for page in pages:
            by_side.setdefault(page.overview.shape[0], []).append(page.overview)
            if page.tiles is not None:
                by_side.setdefault(page.tiles.shape[1], []).extend(page.tiles)
        features = {side: self._encode_views(views) for side, views in by_side.items()}
        return [self._sequence(page, features) for page in pages]

    @torch.no_grad()
    def encode_view(self, pixels: Tensor) -> Tensor:
        """Features of views already normalised to -1 … 1, in one call: (n, 3, q, q) -> (n, (q / 64)², hidden)."""
        views, channels, side, _ = pixels.shape
        across = side // self.patch
        cells = pixels.to(self.device, self.dtype).view(views, channels, across, self.patch, across, self.patch)
        return self._project(cells.permute(0, 2, 4, 1, 3, 5).flatten(3))

    def arrange(self, overview: Tensor, tiles: Tensor | None = None, grid: tuple[int, int] = (1, 1)) -> Tensor:
        """One page's vision sequence from its features.

        Args:
            overview: (q², hidden) of the global view.
            tiles: (columns × rows, t², hidden), row by row.
            grid: (columns, rows).
        """
        if self.newline is None:
            return torch.cat([*([] if tiles is None else tiles), overview, self.separator[None]])
        parts = []
        if tiles is not None:
            columns, rows = grid
            side = isqrt(tiles.shape[1])
            canvas = tiles.view(rows, columns, side, side, -1).transpose(1, 2)
            parts.append(self._end_lines(canvas.reshape(rows * side, columns * side, -1), self.newline))
        side = isqrt(overview.shape[0])
        return torch.cat([*parts, self._end_lines(overview.view(side, side, -1), self.newline), self.separator[None]])

    @staticmethod
    def _end_lines(lines: Tensor, newline: Tensor) -> Tensor:
        """(rows, columns, hidden) -> (rows × (columns + 1), hidden): a newline token after each row."""
        return torch.cat([lines, newline.expand(lines.shape[0], 1, -1)], 1).flatten(0, 1)

    def _encode_views(self, views: list[Tensor]) -> Iterator[Tensor]:
        """Features of each view, all of one size, in even chunks within the bound of pixels: (q², hidden) each."""
        largest = max(1, self.max_pixels // views[0].shape[0] ** 2)
        size = ceil(len(views) / ceil(len(views) / largest))
        features = []
        for start in range(0, len(views), size):
            chunk = torch.stack([view.to(self.device, non_blocking=True) for view in views[start : start + size]])
            features.append(self._project(self._normalise(chunk)))
        return iter(torch.cat(features))

    def _normalise(self, views: Tensor) -> Tensor:
        """uint8 (n, q, q, 3) -> patches from -1 to 1, as SamEncoder takes them."""
        count, side, _, channels = views.shape
        across = side // self.patch
        cells = views.view(count, across, self.patch, across, self.patch, channels)
        cells = cells.permute(0, 1, 3, 5, 2, 4)
        patches = torch.empty(cells.shape, dtype=self.dtype, device=self.device)
        # Differences to the middle are exact in any type: odd numbers below 256, halved.
        return torch.sub(cells, 127.5, out=patches).div_(127.5).flatten(3)

    def _project(self, patches: Tensor) -> Tensor:
        """Patches of n views -> (n, (q / 64)², hidden)."""
        local = self.sam(patches)
        features = self.second(local)
        if self.newline is not None:
            features = torch.cat([features, local.flatten(1, 2)], -1)
        return F.linear(features, self.projector.weight, self.projector.bias)

    def _sequence(self, page: PixelViews, features: dict[int, Iterator[Tensor]]) -> Tensor:
        """A page's sequence from the features that come next in each size."""
        overview = next(features[page.overview.shape[0]])
        if page.tiles is None:
            return self.arrange(overview)
        of_tiles = features[page.tiles.shape[1]]
        return self.arrange(overview, torch.stack([next(of_tiles) for _ in range(len(page.tiles))]), page.plan.grid)
