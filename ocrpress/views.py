"""PageImage pixels + plan -> the views that the DeepEncoder sees: the global view, and the tiles of the gundam modes.

Pure Pillow, uint8: equal byte for byte to what the published image code computes (bicubic, padding in grey 127).
Normalisation belongs to the engine that holds the model.
"""

from __future__ import annotations

from dataclasses import dataclass

from PIL import Image, ImageChops, ImageOps

from ocrpress.modes import Plan, get_mode

PADDING = (127, 127, 127)
TURNS = {90: Image.Transpose.ROTATE_270, 180: Image.Transpose.ROTATE_180, 270: Image.Transpose.ROTATE_90}


@dataclass(frozen=True)
class Views:
    """What an encoder is shown of one page.

    Attributes:
        overview: the global view, RGB, q × q pixels.
        tiles: row by row, left to right; empty where the plan has none.
    """

    plan: Plan
    overview: Image.Image
    tiles: tuple[Image.Image, ...] = ()


def make_views(image: Image.Image, plan: Plan) -> Views:
    """Cut a page into the views of its plan.

    Args:
        image: RGB, of the size that the plan was made for.
        plan: of a mode with views, so not `native`.

    Raises:
        ValueError: the image is not RGB, not of the plan's size, or the plan has no views.
    """
    mode = get_mode(plan.mode)
    if not mode.view:
        raise ValueError(f"mode {plan.mode} has no views")
    if image.mode != "RGB" or image.size != (plan.width, plan.height):
        raise ValueError(f"the plan is for RGB {plan.width} × {plan.height}, the image is {image.mode} {image.size}")
    if mode.view in image.size and not mode.tile:  # fitted already, nothing is resampled
        return Views(plan, overview(image, mode.view, mode.stretch))
    plain = without_colour(image)
    tiles = cut_tiles(plain, plan.grid, mode.tile)
    return Views(plan, coloured(overview(plain, mode.view, mode.stretch)), tuple(coloured(tile) for tile in tiles))


def without_colour(image: Image.Image) -> Image.Image:
    """The one plane of an RGB image whose three are equal, else the image.

    Most pages are black on white, and Pillow resamples each plane by itself: one costs a third of three and gives the
    same bytes.
    """
    red, green, blue = image.split()
    same = ImageChops.difference(red, green).getbbox() is None and ImageChops.difference(red, blue).getbbox() is None
    return red if same else image


def coloured(image: Image.Image) -> Image.Image:
    """An RGB image of one of three planes or one."""
    return image if image.mode == "RGB" else Image.merge("RGB", (image, image, image))


def turn(image: Image.Image, rotation: int) -> Image.Image:
    """The image turned clockwise by 0, 90, 180 or 270 degrees."""
    return image.transpose(TURNS[rotation]) if rotation else image


def overview(image: Image.Image, side: int, stretch: bool) -> Image.Image:
    """The global view: stretched to side × side, or fitted into it and padded with grey."""
    if stretch:
        return image.resize((side, side), Image.Resampling.BICUBIC)
    padding = PADDING if image.mode == "RGB" else PADDING[0]
    return ImageOps.pad(image, (side, side), Image.Resampling.BICUBIC, color=padding)


def cut_tiles(image: Image.Image, grid: tuple[int, int], tile: int) -> tuple[Image.Image, ...]:
    """The page stretched over a grid of (columns, rows) and cut into tile × tile squares; none for a 1 × 1 grid."""
    cols, rows = grid
    if cols * rows == 1:
        return ()
    canvas = image.resize((cols * tile, rows * tile), Image.Resampling.BICUBIC)
    corners = ((col * tile, row * tile) for row in range(rows) for col in range(cols))
    return tuple(canvas.crop((x, y, x + tile, y + tile)) for x, y in corners)
