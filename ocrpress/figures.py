"""Figures cropped from page images into files, one at a time, by rename."""

from __future__ import annotations

import os
from dataclasses import dataclass, replace
from pathlib import Path

from PIL import Image

from ocrpress.document import Block, PageImage
from ocrpress.errors import OutputError
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
                crop = image.crop((max(0, left), max(0, top), min(image.width, right), min(image.height, bottom)))
                link = self._save(crop, f"{self.prefix}-p{page.number:04d}-{count}.png")
                linked.append(replace(block, image=link))
            else:
                linked.append(block)
        return tuple(linked)

    def _save(self, image: Image.Image, name: str) -> str:
        path = self.folder / name
        partial = path.with_name(f".{name}.part")
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            image.save(partial, "PNG")
            partial.replace(path)
        except OSError as error:
            partial.unlink(missing_ok=True)
            raise OutputError(f"cannot write figure {path} ({error.strerror or error})") from error
        return Path(os.path.relpath(path, self.base)).as_posix()
