"""What a benchmark says of where it ran, under the name by which the scripts in this folder import it."""

from __future__ import annotations

from ocrpress.measure.machine import describe_machine

__all__ = ["describe_machine"]
