"""What a run of cells comes to: a Curve, the times apart from it, and the files of a result folder.

    Measured cells ──▶ make_curve ──▶ write_results ──▶ curve.json, curve.csv, curve.png, curve.svg, report.html

The same seed gives the same bytes of curve.json but for what stands under "times".
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ocrpress.measure.curve import Curve
from ocrpress.measure.machine import describe_machine
from ocrpress.measure.samples import page_image
from ocrpress.output import write_text

if TYPE_CHECKING:
    from PIL.Image import Image

    from ocrpress.measure.samples import Samples
    from ocrpress.measure.sweep import Measured


def make_curve(measured: Sequence[Measured], samples: Samples, settings: Mapping[str, Any]) -> Curve:
    """The cells, and all that they depend on. Pages that no engine could be shown are among what is left out."""
    unreadable = dict.fromkeys(pair for found in measured for pair in found.unreadable)
    return Curve(
        tuple(found.cell for found in measured), samples.about, samples.tokens_by, settings,
        (*samples.left_out, *unreadable), describe_machine(),
    )  # fmt: skip


def times_object(measured: Sequence[Measured], seconds: float) -> dict[str, Any]:
    """When, and how long: of the whole run, of scoring, and of every cell by stage, summed over its pages.

    A page's seconds are those of the run that read it, be it this one or an earlier one that was broken off.
    """
    return {
        "finished": datetime.now(UTC).isoformat(timespec="seconds"),
        "seconds": round(seconds, 3),
        "scoring_seconds": round(sum(found.scoring for found in measured), 3),
        "cells": [
            {"engine": found.cell.engine, "mode": found.cell.mode, "variant": found.cell.variant,
             "seconds_by_stage": _summed(found.seconds)}
            for found in measured
        ],
    }  # fmt: skip


def write_results(folder: Path, curve: Curve, times: Mapping[str, Any], samples: Samples) -> None:
    """All files of a result, each whole or not there; curve.json last, so that its presence means complete.

    Raises:
        OutputError: a file cannot be written.
    """
    from ocrpress.measure.curve_report import render_report
    from ocrpress.measure.curve_table import csv_text, curve_object
    from ocrpress.measure.plot import draw_plot

    max_tiles = int(curve.settings["max_tiles"])
    png = folder / "curve.png"
    draw_plot(curve, png, folder / "curve.svg")
    write_text(folder / "curve.csv", csv_text(curve))
    shown = {(sample.variant, sample.name): sample for found in samples.by_variant().values() for sample in found}

    def picture(variant: str, page: str, mode: str) -> Image | None:
        return page_image(shown[variant, page], mode, max_tiles)

    truths = {key: sample.text for key, sample in shown.items()}
    write_text(folder / "report.html", render_report(curve, truths, picture, png))
    found = {**curve_object(curve), "times": times}
    write_text(folder / "curve.json", json.dumps(found, ensure_ascii=False, allow_nan=False, indent=1) + "\n")


def _summed(pages: Sequence[Mapping[str, float]]) -> dict[str, float]:
    stages = dict.fromkeys(stage for page in pages for stage in page)
    return {stage: round(sum(page.get(stage, 0.0) for page in pages), 3) for stage in stages}
