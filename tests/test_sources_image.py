"""Images as pages."""

from __future__ import annotations

import io
import struct
import warnings
import zlib
from typing import TYPE_CHECKING

import numpy as np
import pytest
from PIL import Image

from ocrpress.document import PageImage, UnreadablePage
from ocrpress.errors import InputError, UsageError
from ocrpress.sources import SourceOptions, open_source
from ocrpress.sources.image import DECODE_LIMIT

if TYPE_CHECKING:
    from pathlib import Path

RED, GREEN, BLUE, WHITE, BLACK = (255, 0, 0), (0, 255, 0), (0, 0, 255), (255, 255, 255), (0, 0, 0)


def read(path: Path, **options: object) -> list[PageImage | UnreadablePage]:
    source = open_source(path, SourceOptions(**options))  # type: ignore[arg-type]
    try:
        pages = list(source.pages())
        assert source.page_count == len(pages)
        return pages
    finally:
        source.close()


def only(path: Path, **options: object) -> PageImage:
    (page,) = read(path, **options)
    assert isinstance(page, PageImage), page
    assert page.image.mode == "RGB"
    assert page.seconds["render"] > 0
    return page


def near(pixel: object, wanted: tuple[int, int, int], by: int = 6) -> bool:
    return all(abs(a - b) <= by for a, b in zip(pixel, wanted, strict=True))  # type: ignore[call-overload]


def halves(left: tuple[int, int, int] = RED, right: tuple[int, int, int] = BLUE) -> Image.Image:
    image = Image.new("RGB", (64, 32), left)
    image.paste(right, (32, 0, 64, 32))
    return image


@pytest.mark.parametrize("suffix", ["png", "jpg", "webp", "tif", "gif", "bmp"])
def test_each_format_is_read_by_its_content(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"a.{suffix}"
    halves().save(path, quality=95)
    misnamed = path.rename(tmp_path / "a.pdf")
    page = only(misnamed)
    assert (page.image.size, page.warnings) == ((64, 32), ())
    if suffix != "bmp":  # which says 96 dpi unasked
        assert (page.width, page.height) == (64, 32)
    assert near(page.image.getpixel((8, 16)), RED)
    assert near(page.image.getpixel((56, 16)), BLUE)


def test_points_come_from_a_resolution_that_can_be_true(tmp_path: Path) -> None:
    path = tmp_path / "a.png"
    halves().save(path, dpi=(144, 72))
    page = only(path)
    assert (page.width, page.height) == pytest.approx((32, 32), rel=1e-3)
    halves().save(path, dpi=(1, 1))
    assert only(path).width == 64


@pytest.mark.parametrize("suffix", ["tif", "gif", "webp"])
def test_frames_are_pages_and_can_be_chosen(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"a.{suffix}"
    frames = [Image.new("RGB", (40, 30), (n * 20, 0, 0)) for n in range(1, 9)]
    frames[0].save(path, save_all=True, append_images=frames[1:], lossless=True)
    pages = read(path)
    assert [page.number for page in pages] == list(range(1, 9))
    for page in pages:
        assert isinstance(page, PageImage)
        assert near(page.image.getpixel((5, 5)), (page.number * 20, 0, 0))
    chosen = read(path, pages="2,5-6")
    assert [near(page.image.getpixel((5, 5)), (page.number * 20, 0, 0)) for page in chosen] == [True] * 3  # type: ignore[union-attr]


def test_frames_are_decoded_only_when_asked_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "a.tif"
    frames = [Image.new("RGB", (40, 30), (n, 0, 0)) for n in range(6)]
    frames[0].save(path, save_all=True, append_images=frames[1:])
    decoded = []
    monkeypatch.setattr("ocrpress.sources.image.to_rgb", lambda image: decoded.append(1) or image.convert("RGB"))
    pages = open_source(path).pages()
    assert decoded == []
    next(pages)
    next(pages)
    assert len(decoded) == 2
    pages.close()  # type: ignore[attr-defined]


@pytest.mark.parametrize("suffix", ["jpg", "tif", "png", "webp"])
@pytest.mark.parametrize("orientation", range(1, 9))
def test_the_orientation_tag_is_carried_out(tmp_path: Path, suffix: str, orientation: int) -> None:
    upright = Image.new("RGB", (64, 32), WHITE)
    upright.paste(RED, (0, 0, 32, 16))  # top left
    upright.paste(BLUE, (32, 16, 64, 32))  # bottom right
    undo = {2: 0, 3: 3, 4: 1, 5: 5, 6: 2, 7: 6, 8: 4}  # numbers of Pillow's transpositions
    stored = upright if orientation == 1 else upright.transpose(Image.Transpose(undo[orientation]))
    exif = Image.Exif()
    exif[0x0112] = orientation
    path = tmp_path / f"a.{suffix}"
    stored.save(path, exif=exif, dpi=(144, 144), **({} if suffix == "tif" else {"quality": 95}))
    page = only(path)
    assert page.image.size == (64, 32)
    assert page.width > page.height
    assert near(page.image.getpixel((8, 8)), RED, 40)
    assert near(page.image.getpixel((56, 24)), BLUE, 40)


@pytest.mark.parametrize("mode", ["RGBA", "LA"])
def test_transparency_is_laid_on_white(tmp_path: Path, mode: str) -> None:
    image = Image.new("RGBA", (20, 10), (0, 0, 0, 0))
    image.paste((0, 0, 0, 255), (10, 0, 20, 10))
    path = tmp_path / "a.png"
    image.convert(mode).save(path)
    page = only(path)
    assert (page.image.getpixel((2, 2)), page.image.getpixel((15, 2))) == (WHITE, BLACK)


@pytest.mark.parametrize("mode", ["P", "L", "RGB", "1"])
def test_a_transparent_colour_is_white(tmp_path: Path, mode: str) -> None:
    image = Image.new("L", (20, 10), 0)
    image.paste(255, (10, 0, 20, 10))
    path = tmp_path / "a.png"
    key: object = (0, 0, 0) if mode == "RGB" else 0
    image.convert(mode).save(path, transparency=key)
    assert only(path).image.getpixel((2, 2)) == WHITE


def test_deep_greys_are_scaled_not_clipped(tmp_path: Path) -> None:
    ramp = np.linspace(0, 65535, 256).round().astype(np.uint16)[None].repeat(4, 0)
    for suffix in ("png", "tif"):
        path = tmp_path / f"a.{suffix}"
        Image.fromarray(ramp).save(path)
        got = np.asarray(only(path).image)[0, :, 0].astype(int)
        assert abs(got - np.arange(256)).max() <= 1, suffix


@pytest.mark.parametrize("top", [1.0, 255.0, 65535.0, 3e9])
def test_floating_point_greys_are_scaled(tmp_path: Path, top: float) -> None:
    path = tmp_path / "a.tif"
    Image.fromarray(np.linspace(0, top, 256, dtype=np.float32)[None].repeat(4, 0)).save(path)
    got = np.asarray(only(path).image)[0, :, 0].astype(int)
    assert abs(got - np.arange(256)).max() <= 1


def test_negative_and_flat_floats_are_read(tmp_path: Path) -> None:
    path = tmp_path / "a.tif"
    Image.fromarray(np.full((4, 4), -7.5, dtype=np.float32)).save(path)
    assert only(path).image.size == (4, 4)


@pytest.mark.parametrize(("mode", "suffix"), [("CMYK", "jpg"), ("CMYK", "tif"), ("P", "gif"), ("YCbCr", "jpg")])
def test_other_colour_spaces_become_rgb(tmp_path: Path, mode: str, suffix: str) -> None:
    path = tmp_path / f"a.{suffix}"
    halves().convert(mode).save(path, quality=95)
    page = only(path)
    assert near(page.image.getpixel((8, 16)), RED, 12)


@pytest.mark.parametrize("suffix", ["png", "tif"])
def test_one_bit_pages_are_black_and_white(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"a.{suffix}"
    halves(WHITE, BLACK).convert("1").save(path)
    page = only(path)
    assert (page.image.getpixel((8, 16)), page.image.getpixel((56, 16))) == (WHITE, BLACK)


@pytest.mark.parametrize("suffix", ["jpg", "png"])
def test_a_large_image_is_scaled_down_and_says_so(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"a.{suffix}"
    halves().resize((3200, 1600)).save(path, dpi=(100, 100))
    page = only(path, max_pixels=500_000)
    assert page.image.size == (1000, 500)
    assert (page.width, page.height) == pytest.approx((2304, 1152), rel=1e-3)
    assert "scaled down from 3200 × 1600 to 1000 × 500" in page.warnings[0]
    assert near(page.image.getpixel((100, 250)), RED)


def png_bomb(width: int, height: int) -> bytes:
    """A small file that claims to be enormous, with as much data as it takes to decode a part of it."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    header = struct.pack(">IIBBBBB", width, height, 1, 0, 0, 0, 0)
    rows = zlib.compress(bytes(1_000_000), 9)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", rows) + chunk(b"IEND", b"")


def test_a_pixel_bomb_is_refused_by_its_header(tmp_path: Path) -> None:
    import tracemalloc

    path = tmp_path / "a.png"
    path.write_bytes(png_bomb(60_000, 60_000))
    tracemalloc.start()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        (page,) = read(path)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert isinstance(page, UnreadablePage)
    assert f"60000 × 60000 pixels are too many, the limit is {DECODE_LIMIT}" in page.error
    assert peak < 20_000_000


def test_a_large_honest_image_prints_no_warning(tmp_path: Path) -> None:
    path = tmp_path / "a.png"
    Image.new("1", (10_000, 10_000), 1).save(path)  # more than Pillow's own limit
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        page = only(path, max_pixels=250_000)
    assert page.image.size == (500, 500)
    assert page.image.getpixel((250, 250)) == WHITE


@pytest.mark.parametrize("suffix", ["jpg", "png", "tif", "webp", "bmp"])
def test_a_truncated_image_is_an_unreadable_page(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"a.{suffix}"
    Image.effect_noise((300, 200), 90).convert("RGB").save(path)
    data = path.read_bytes()
    path.write_bytes(data[: len(data) // 2])
    try:
        (page,) = read(path)
    except InputError as error:  # TIFF keeps its directory at the end, WebP counts its bytes first
        assert suffix in {"tif", "webp"}
        assert "damaged image" in str(error)
        return
    assert isinstance(page, UnreadablePage)
    assert f"a.{suffix} cannot be decoded" in page.error


def test_one_broken_frame_costs_one_page(tmp_path: Path) -> None:
    path = tmp_path / "a.tif"
    frames = [Image.new("RGB", (64, 64), (n * 50, 0, 0)) for n in range(1, 4)]
    frames[0].save(path, save_all=True, append_images=frames[1:], compression="tiff_adobe_deflate")
    data = bytearray(path.read_bytes())
    with Image.open(io.BytesIO(data)) as image:
        image.seek(1)
        start = image.tag_v2[273][0]  # type: ignore[attr-defined]
    data[start : start + 8] = b"\xff" * 8
    path.write_bytes(data)
    assert [isinstance(page, PageImage) for page in read(path)] == [True, False, True]


def test_a_header_alone_is_no_image(tmp_path: Path) -> None:
    for head in (b"\x89PNG\r\n\x1a\n", b"\xff\xd8\xff\xe0", b"GIF89a", b"II*\x00", b"RIFF\0\0\0\0WEBP"):
        path = tmp_path / "a.img"
        path.write_bytes(head)
        with pytest.raises(InputError, match="damaged image"):
            open_source(path)


def test_a_folder_is_read_in_natural_order_without_what_is_no_image(tmp_path: Path) -> None:
    for n in (10, 2, 1, 33):
        Image.new("L", (10, 10), n).save(tmp_path / f"page{n}.png")
    Image.new("L", (10, 10), 3).save(tmp_path / "Page3.JPG")
    frames = [Image.new("L", (10, 10), 40 + n) for n in range(3)]
    frames[0].save(tmp_path / "page40.tif", save_all=True, append_images=frames[1:])
    Image.new("L", (10, 10), 99).save(tmp_path / ".hidden.png")
    (tmp_path / "notes.txt").write_text("no image")
    (tmp_path / "folder.png").mkdir()
    (tmp_path / "other.pdf").write_bytes(b"%PDF-1.4")
    got = [page.image.getpixel((5, 5)) for page in read(tmp_path)]  # type: ignore[union-attr]
    assert [pixel[0] for pixel in got] == [1, 2, 3, 10, 33, 40, 41, 42]  # type: ignore[index]


def test_a_damaged_image_in_a_folder_keeps_its_place(tmp_path: Path) -> None:
    for n in (1, 3, 5):
        Image.new("L", (10, 10), n).save(tmp_path / f"{n}.png")
    (tmp_path / "2.png").write_bytes(b"")
    (tmp_path / "4.tif").write_bytes(b"II*\x00")
    got = read(tmp_path)
    assert [isinstance(page, PageImage) for page in got] == [True, False, True, False, True]
    assert isinstance(got[1], UnreadablePage)
    assert "2.png" in got[1].error


def test_folders_without_images_and_too_many_frames_are_errors(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="has no images"):
        open_source(tmp_path)
    for n in range(4):
        Image.new("L", (10, 10), n).save(tmp_path / f"{n}.png")
    with pytest.raises(InputError, match="4 pages, the limit is 3"):
        open_source(tmp_path, SourceOptions(max_pages=3))
    with pytest.raises(UsageError, match="from 1 to 4"):
        open_source(tmp_path, SourceOptions(pages="5"))
