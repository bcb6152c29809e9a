"""What a user would write without ocrpress: pdf2image and RapidOCR with their defaults, lines in the order they come.

    python benchmarks/plain_script.py FILE.pdf > text

The pages are separated by form feeds. It is the other side of benchmarks/speed.py.
"""

from __future__ import annotations

import sys

import numpy as np
from pdf2image import convert_from_path, pdfinfo_from_path
from rapidocr import RapidOCR


def main(path: str) -> None:
    """Read a PDF page by page and print its text."""
    engine = RapidOCR(params={"Global.log_level": "critical"})
    for number in range(1, pdfinfo_from_path(path)["Pages"] + 1):
        (image,) = convert_from_path(path, first_page=number, last_page=number)
        found = engine(np.asarray(image)[..., ::-1])
        print("\n".join(getattr(found, "txts", None) or ()), end="\f")


if __name__ == "__main__":
    main(sys.argv[1])
