"""The pixels that a mode leaves of a page, in the page's own shape: the control that reads what the VLM is shown."""

from __future__ import annotations

from PIL import Image

from ocrpress.modes import Plan, get_mode
from ocrpress.views import make_views

Size = tuple[int, int]


def seen_pixels(page: Image.Image, plan: Plan) -> Image.Image:
    """What the views of a plan hold of the page: no more detail than theirs, the page's aspect ratio.

    Tiles are joined again where there are any; else it is the global view without its padding. A squeezed axis is
    stretched back; nothing is ever shown that the views did not hold.
    """
    mode = get_mode(plan.mode)
    if not mode.view:
        return page
    views = make_views(page, plan)
    if views.tiles:
        cols, rows = plan.grid
        seen = Image.new("RGB", (cols * mode.tile, rows * mode.tile))
        for index, tile in enumerate(views.tiles):
            seen.paste(tile, (index % cols * mode.tile, index // cols * mode.tile))
    elif mode.stretch:
        seen = views.overview
    else:
        seen = unpadded(views.overview, page.size)
    size = shape_like(seen.size, page.size)
    return seen if size == seen.size else seen.resize(size, Image.Resampling.BICUBIC)


def unpadded(view: Image.Image, page: Size) -> Image.Image:
    """A fitted square view without its padding."""
    scale = view.width / max(page)
    width, height = max(1, round(page[0] * scale)), max(1, round(page[1] * scale))
    left, top = (view.width - width) // 2, (view.height - height) // 2
    return view.crop((left, top, left + width, top + height))


def shape_like(seen: Size, page: Size) -> Size:
    """The smallest size with the aspect ratio of `page` that holds `seen`, both axes."""
    scale = max(seen[0] / page[0], seen[1] / page[1])
    return max(1, round(page[0] * scale)), max(1, round(page[1] * scale))
