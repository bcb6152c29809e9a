"""How many pixels a page is rendered at."""

from __future__ import annotations

import itertools
import math

import pytest
from PIL import Image

from ocrpress.errors import PageError
from ocrpress.modes import MODES, plan
from ocrpress.sources.base import SourceOptions
from ocrpress.sources.raster import MAX_SIDE, MOST_STRETCH, bounded, render_size, scaled_down, to_image
from ocrpress.views import make_views

PAGES = [
    (612.0, 792.0),
    (595.28, 841.89),
    (792.0, 612.0),
    (500.0, 500.0),
    (300.0, 600.0),
    (33.3, 777.7),
    (1440.0, 810.0),
]


@pytest.mark.parametrize(("mode", "view"), [("base", 1024), ("large", 1280)])
@pytest.mark.parametrize("page", PAGES)
def test_fitted_modes_render_the_long_side_of_the_view(mode: str, view: int, page: tuple[float, float]) -> None:
    size = render_size(*page, SourceOptions(mode=mode))
    assert max(size) == view
    assert min(size) == pytest.approx(view * min(page) / max(page), abs=0.51)


def test_a_fitted_page_is_not_resampled() -> None:
    size = render_size(612, 792, SourceOptions(mode="base"))
    image = Image.effect_noise(size, 80).convert("RGB")
    view = make_views(image, plan(*size, "base")).overview
    left = round((1024 - size[0]) / 2)
    assert view.crop((left, 0, left + size[0], 1024)).tobytes() == image.tobytes()


@pytest.mark.parametrize(("mode", "view"), [("tiny", 512), ("small", 640)])
@pytest.mark.parametrize("page", PAGES)
def test_stretched_modes_just_cover_the_square(mode: str, view: int, page: tuple[float, float]) -> None:
    size = render_size(*page, SourceOptions(mode=mode))
    if max(page) / min(page) > MOST_STRETCH:  # a scroll: what is squeezed beyond reading is not rendered
        assert max(size) == MOST_STRETCH * view
        return
    assert min(size) == view
    assert size[0] / size[1] == pytest.approx(page[0] / page[1], rel=0.01)


@pytest.mark.parametrize("mode", ["gundam", "gundam-m"])
@pytest.mark.parametrize("max_tiles", [6, 9])
def test_tiled_modes_cover_the_grid_that_the_plan_then_chooses(mode: str, max_tiles: int) -> None:
    spec = MODES[mode]
    sides = [100.0, 210.0, 333.3, 419.53, 420.0, 595.28, 612.0, 640.0, 792.0, 841.89, 1000.0, 2000.0]
    for page in itertools.product(sides, sides):
        size = render_size(*page, SourceOptions(mode=mode, max_tiles=max_tiles, max_pixels=10**9))
        cols, rows = plan(*size, mode, max_tiles).grid
        if max(page) / min(page) > 9:
            continue
        assert size[0] >= cols * spec.tile, page
        assert size[1] >= rows * spec.tile, page
        assert min(size) >= spec.view or cols * rows > 1
        assert cols * rows > 1


def test_native_is_144_dpi_up_to_2000_pixels() -> None:
    assert render_size(612, 792, SourceOptions()) == (1224, 1584)
    assert render_size(2384, 3370, SourceOptions()) == (1415, 2000)


def test_dpi_wins_over_the_mode() -> None:
    assert render_size(72, 144, SourceOptions(mode="tiny", dpi=300)) == (300, 600)


@pytest.mark.parametrize("mode", ["native", *MODES])
@pytest.mark.parametrize("page", [(14400, 3), (3, 14400), (0.001, 0.001), (1e9, 1e9), (1e-6, 1e9), (200_000, 200_000)])
@pytest.mark.parametrize("dpi", [None, 1200.0])
@pytest.mark.parametrize("max_pixels", [1, 1000, 50_000_000])
def test_every_page_stays_within_the_limits(
    mode: str, page: tuple[float, float], dpi: float | None, max_pixels: int
) -> None:
    width, height = render_size(*page, SourceOptions(mode=mode, dpi=dpi, max_pixels=max_pixels))
    assert 1 <= width <= MAX_SIDE
    assert 1 <= height <= MAX_SIDE
    assert width * height <= max_pixels


@pytest.mark.parametrize("page", [(0, 100), (100, 0), (-5, 10), (math.nan, 10), (math.inf, 10)])
def test_a_page_without_area_is_a_page_error(page: tuple[float, float]) -> None:
    with pytest.raises(PageError, match="no area"):
        render_size(*page, SourceOptions())


def test_scaling_down_is_said() -> None:
    assert scaled_down((10, 10), (10, 10)) == ()
    assert "from 4000 × 4000 to 1000 × 1000" in scaled_down((4000, 4000), bounded((4000, 4000), 1_000_000))[0]


def test_bytes_become_an_image() -> None:
    assert to_image((2, 1), b"\xff\0\0\0\xff\0").getpixel((1, 0)) == (0, 255, 0)
