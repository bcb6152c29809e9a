"""A page beside the Markdown that ocrpress made of it, as one picture: the one in the README.

python benchmarks/picture.py [FILE.pdf] [-o PICTURE.png]
"""

from __future__ import annotations

import argparse
import textwrap
from pathlib import Path

from PIL import Image, ImageDraw, ImageFont

from ocrpress.document import Document, PageImage
from ocrpress.engines import open_engine
from ocrpress.pipeline import Options, open_reading
from ocrpress.sources import SourceOptions, open_source
from ocrpress.writers import WriterOptions, render

SAMPLE = Path(__file__).parent.parent / "tests" / "data" / "sample.pdf"
HEIGHT = 1100  # pixels of the picture
LETTERS = 78  # a line of Markdown


def first_page(path: Path) -> Image.Image:
    """The first page as an image, HEIGHT pixels high."""
    source = open_source(path, SourceOptions(pages="1"))
    try:
        page = next(iter(source.pages()))
    finally:
        source.close()
    if not isinstance(page, PageImage):
        raise SystemExit(f"{path}: {page.error}")
    return page.image.resize((round(page.image.width * HEIGHT / page.image.height), HEIGHT), Image.Resampling.LANCZOS)


def first_markdown(path: Path) -> str:
    """What ocrpress makes of the first page."""
    engine = open_engine("rapid")
    try:
        with open_reading(path, engine, Options(pages="1", figures=Path("figures"), figures_base=Path())) as reading:
            document: Document = reading.document(tuple(reading))
    finally:
        engine.close()
    return render(document, "md", WriterOptions(page_breaks="none"))


def draw(page: Image.Image, markdown: str) -> Image.Image:
    """Both beside each other, a rule between them."""
    font = ImageFont.load_default(15)
    lines = [row for line in markdown.splitlines() for row in (textwrap.wrap(line, LETTERS) or [""])]
    picture = Image.new("RGB", (page.width + 680, HEIGHT), "white")
    picture.paste(page, (0, 0))
    pen = ImageDraw.Draw(picture)
    pen.line((page.width, 30, page.width, HEIGHT - 30), fill=(180, 180, 180), width=2)
    for index, line in enumerate(lines[: (HEIGHT - 60) // 20]):
        color = (
            (150, 30, 30) if line.startswith("#") else (30, 60, 140) if line.startswith(("|", "!")) else (20, 20, 20)
        )
        pen.text((page.width + 24, 40 + 20 * index), line, fill=color, font=font)
    return picture


def main() -> None:
    """Parse, read, draw."""
    parser = argparse.ArgumentParser(description="a page beside its Markdown")
    parser.add_argument("file", type=Path, nargs="?", default=SAMPLE)
    parser.add_argument("-o", "--out", type=Path, default=Path(__file__).parent / "results" / "page-and-markdown.png")
    args = parser.parse_args()
    draw(first_page(args.file), first_markdown(args.file)).quantize(64).save(args.out, optimize=True)


if __name__ == "__main__":
    main()
