"""Views, byte for byte what the published image code makes (tests/golden/views.json)."""

from __future__ import annotations

import json
import zlib
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from ocrpress.modes import MODES, plan
from ocrpress.views import cut_tiles, make_views, overview

CASES = json.loads((Path(__file__).parent / "golden" / "views.json").read_text())


def picture(width: int, height: int, seed: int) -> Image.Image:
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[0:height, 0:width]
    channels = [x * 255 // max(1, width - 1), y * 255 // max(1, height - 1), ((x // 7 + y // 5) % 2) * 255]
    pixels = np.stack(channels, axis=-1).astype(np.uint8)
    pixels[rng.random((height, width)) < 0.02] = 0
    return Image.fromarray(pixels)


@pytest.mark.parametrize("case", CASES, ids=lambda case: f"{case['width']}x{case['height']}-{case['mode']}")
def test_views_equal_the_published_code(case: dict) -> None:
    image = picture(case["width"], case["height"], case["seed"])
    views = make_views(image, plan(*image.size, case["mode"], case["max_tiles"]))
    assert zlib.crc32(views.overview.tobytes()) == case["global_crc32"]
    assert [zlib.crc32(tile.tobytes()) for tile in views.tiles] == case["tiles_crc32"]


def test_views_of_another_page_than_the_plan_are_refused() -> None:
    with pytest.raises(ValueError, match="plan is for RGB 10 × 10"):
        make_views(Image.new("RGB", (11, 10)), plan(10, 10, "base"))
    with pytest.raises(ValueError, match="image is L"):
        make_views(Image.new("L", (10, 10)), plan(10, 10, "base"))
    with pytest.raises(ValueError, match="no views"):
        make_views(Image.new("RGB", (10, 10)), plan(10, 10, "native"))


@pytest.mark.parametrize("mode", ["tiny", "base", "gundam"])
@pytest.mark.parametrize("size", [(1224, 1584), (900, 500), (2480, 3508)])
def test_a_page_without_colour_gives_the_same_bytes_as_its_three_planes(mode: str, size: tuple[int, int]) -> None:
    grey = picture(*size, seed=4).convert("L").convert("RGB")
    made = plan(*size, mode)
    views = make_views(grey, made)
    spec = MODES[mode]
    assert views.overview.tobytes() == overview(grey, spec.view, spec.stretch).tobytes()
    assert [tile.tobytes() for tile in views.tiles] == [
        tile.tobytes() for tile in cut_tiles(grey, made.grid, spec.tile)
    ]
