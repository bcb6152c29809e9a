"""What others published of the curve, to be drawn apart from what is measured here."""

from __future__ import annotations

# Lower edge of a bucket of 100 text tokens -> set-of-words precision at 64 and at 100 vision tokens. DeepSeek-OCR on
# the English pages of the Fox benchmark (DeepSeek-OCR, arXiv 2510.18234, table 2).
SOURCE = "DeepSeek-OCR paper, table 2 (Fox, English)"
SET_PRECISION: dict[int, dict[int, float]] = {
    64: {600: 0.965, 700: 0.938, 800: 0.838, 900: 0.859, 1000: 0.793, 1100: 0.764, 1200: 0.591},
    100: {600: 0.985, 700: 0.973, 800: 0.968, 900: 0.968, 1000: 0.915, 1100: 0.898, 1200: 0.871},
}
