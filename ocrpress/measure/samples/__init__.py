"""Data -> samples: pages with their true texts. Samples -> pages, drawn when they are asked for.

    texts, nothing ──▶ texts ──▶ setting ─┐
    PDFs ──▶ layers ──▶ trust ────────────┼─▶ Samples (texts) ──▶ SampleSource ──▶ PageImages
    images with a JSON list ──▶ listed ───┘    variants

Knows nothing of engines or scores.
"""

from __future__ import annotations

from ocrpress.measure.samples.choice import Choice
from ocrpress.measure.samples.loading import load_samples
from ocrpress.measure.samples.sample import Sample, Samples
from ocrpress.measure.samples.source import SampleSource, page_image
from ocrpress.measure.samples.variants import NATURAL, RANDOM, SHUFFLED, VARIANTS

__all__ = [
    "NATURAL", "RANDOM", "SHUFFLED", "VARIANTS", "Choice", "Sample", "SampleSource", "Samples", "load_samples",
    "page_image",
]  # fmt: skip
