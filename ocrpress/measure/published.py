"""What others published of the curve, to be drawn apart from what is measured here."""

from __future__ import annotations

# Lower edge of a bucket of 100 text tokens -> set-of-words precision at 64 and at 100 vision tokens. DeepSeek-OCR on
# the English pages of the Fox benchmark (DeepSeek-OCR, arXiv 2510.18234, table 2).
SET_PRECISION: dict[int, dict[int, float]] = {
    64: {600: 0.965, 700: 0.938, 800: 0.838, 900: 0.859, 1000: 0.793, 1100: 0.764, 1200: 0.591},
    100: {600: 0.985, 700: 0.973, 800: 0.968, 900: 0.968, 1000: 0.915, 1100: 0.898, 1200: 0.871},
}
# Text tokens per vision token of the points of SET_PRECISION: mean of the bucket's pages, from the same table.
COMPRESSION: dict[int, dict[int, float]] = {
    64: {600: 10.5, 700: 11.8, 800: 13.2, 900: 15.1, 1000: 16.5, 1100: 17.7, 1200: 19.7},
    100: {600: 6.7, 700: 7.5, 800: 8.5, 900: 9.7, 1000: 10.6, 1100: 11.3, 1200: 12.6},
}
