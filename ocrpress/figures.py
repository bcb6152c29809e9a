"""Figures cropped from page images into files, one at a time, by rename."""

from __future__ import annotations

import os
from dataclasses import dataclass, replace
from io import BytesIO
from pathlib import Path

from PIL import Image

from ocrpress.document import Block, PageImage
from ocrpress.output import check_folder, write_bytes
from ocrpress.views import turn


@dataclass(frozen=True)
class FigureWriter:
    """Writes `folder/PREFIX-pNNNN-K.png` and links them relative to `base`."""

    folder: Path
    prefix: str
    base: Path

    def write(
        self, page: PageImage, rotation: int, size: tuple[float, float], blocks: tuple[Block, ...]
    ) -> tuple[Block, ...]:
        """Crop every figure block out of the page (size in points, turned clockwise by rotation) and link it.

        Raises OutputError if a file cannot be written.
        """
        if not any(block.kind == "figure" for block in blocks):
            return blocks
        image = turn(page.image, rotation)
        x_scale, y_scale = image.width / size[0], image.height / size[1]
        linked, count = [], 0
        for block in blocks:
            if block.kind == "figure":
                count += 1
                left, top, right, bottom = (
                    round(edge * scale) for edge, scale in zip(block.box, (x_scale, y_scale) * 2, strict=True)
                )
                left, top = min(max(0, left), image.width - 1), min(max(0, top), image.height - 1)
                right, bottom = min(max(left + 1, right), image.width), min(max(top + 1, bottom), image.height)
                crop = image.crop((left, top, right, bottom))
                link = self._save(crop, f"{self.prefix}-p{page.number:04d}-{count}.png")
                linked.append(replace(block, image=link))
            else:
                linked.append(block)
        return tuple(linked)

    def _save(self, image: Image.Image, name: str) -> str:
        path = self.folder / name
        data = BytesIO()
        image.save(data, "PNG")
        check_folder(self.folder)
        write_bytes(path, data.getvalue())
        return Path(os.path.relpath(path, self.base)).as_posix()
