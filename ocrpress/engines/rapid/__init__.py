"""The embedded engine: CPU, offline, no download."""

from ocrpress.engines.rapid.engine import RapidEngine

__all__ = ["RapidEngine"]
