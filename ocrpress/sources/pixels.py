"""Whatever Pillow decodes -> RGB, 8 bits a channel, upright, on white."""

from __future__ import annotations

from typing import cast

from PIL import Image, ImageOps

_DEEP = frozenset({"I", "F", "I;16", "I;16L", "I;16B", "I;16N"})
_WHITE = (255, 255, 255, 255)


def to_rgb(image: Image.Image) -> Image.Image:
    """The image as RGB: deep greys scaled to 8 bits, transparency laid on white, the EXIF orientation carried out.

    Raises whatever Pillow raises for data that it cannot decode.
    """
    image.load()
    upright = _upright(image)
    if upright.mode in _DEEP:
        upright = _eight_bits(upright)
    if upright.mode in {"RGBA", "LA", "PA", "RGBa", "La"} or "transparency" in upright.info:
        return _on_white(upright)
    return upright if upright.mode == "RGB" else upright.convert("RGB")


def _upright(image: Image.Image) -> Image.Image:
    try:
        return ImageOps.exif_transpose(image)
    except Exception:  # broken EXIF data says nothing about the pixels
        return image.copy()  # as exif_transpose: the page must outlive the file


def _on_white(image: Image.Image) -> Image.Image:
    seen = image.convert("RGBA")
    ground = Image.new("RGBA", seen.size, _WHITE)
    return Image.alpha_composite(ground, seen).convert("RGB")


def _eight_bits(image: Image.Image) -> Image.Image:
    """Greys of 16 or 32 bits, or floating point, as 8 bits; converting to "L" alone would clip them."""
    floats = image.convert("F") if image.mode == "F" else image.convert("I").convert("F")
    low, high = cast("tuple[float, float]", floats.getextrema())
    bottom, top = _scale_ends(image.mode, low, high)
    scale = 255.0 / (top - bottom)
    return floats.point(lambda value: value * scale + (0.5 - bottom * scale)).convert("L")


def _scale_ends(mode: str, low: float, high: float) -> tuple[float, float]:
    """The values that stand for black and white; where the format does not say, the narrowest usual range that fits."""
    if mode.startswith("I;16"):
        return 0.0, 65535.0
    usual = (1.0, 255.0, 65535.0) if mode == "F" else (255.0, 65535.0)
    for top in usual:
        if low >= 0 and high <= top:
            return 0.0, top
    return (low, high) if high > low else (low, low + 1.0)
