"""A summary for programs."""

from __future__ import annotations

import math
from dataclasses import asdict
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from ocrpress.jobs.report.failures import Failures
    from ocrpress.jobs.report.summary import Rate, Run, Summary
    from ocrpress.jobs.report.tallies import Timing


def as_object(summary: Summary) -> dict[str, Any]:
    """A summary as JSON may hold it: times in ISO 8601 (UTC), seconds and rates to six figures, None where unknown."""
    pages = {**asdict(summary.pages), "finished": summary.pages.finished}
    left = summary.seconds_left
    return {
        "folder": summary.folder, "state": summary.state, "well": summary.is_well, "time": _moment(summary.now),
        "runs": summary.runs, "run": _run(summary.run), "documents": asdict(summary.documents), "pages": pages,
        "rates": {"recent": _rate(summary.recent), "overall": _rate(summary.overall)},
        "seconds_left": None if left is None else round(left),
        "seconds_a_page": _timing(summary.timing),
        "seconds_by_stage": {name: _figure(seconds) for name, seconds in summary.stages.items()},
        "tokens": asdict(summary.tokens),
        "slowest": [{**asdict(page), "seconds": _figure(page.seconds)} for page in summary.slowest],
        **_failures(summary.failures),
        "options": [{"documents": count, "options": dict(options)} for options, count in summary.options],
    }  # fmt: skip


def _run(run: Run | None) -> dict[str, Any] | None:
    if run is None:
        return None
    times = {name: _moment(getattr(run, name)) for name in ("started", "ended", "beat")}
    return {**asdict(run), **times, "seconds": _figure(run.seconds)}


def _rate(rate: Rate) -> dict[str, Any]:
    return {
        "pages": rate.pages, "seconds": _figure(rate.seconds), "pages_per_second": _figure(rate.a_second),
        "pages_per_day": round(rate.a_day),
    }  # fmt: skip


def _timing(timing: Timing | None) -> dict[str, Any] | None:
    if timing is None:
        return None
    bins = [
        {"from": bin_.low, "to": bin_.high if math.isfinite(bin_.high) else None, "pages": bin_.pages}
        for bin_ in timing.bins
    ]
    figures = {name: _figure(getattr(timing, name)) for name in ("mean", "median", "p95")}
    return {**figures, "looked_at": timing.looked_at, "sampled": timing.sampled, "histogram": bins}


def _failures(failures: Failures) -> dict[str, Any]:
    """Without what is known of files only to draw pages of them."""
    found = asdict(failures)
    for page in found["pages"]:
        del page["path"], page["size"], page["mtime_ns"]
    return {
        "failed_documents_by_cause": found["document_causes"], "failed_pages_by_cause": found["page_causes"],
        "failed_documents": found["documents"], "failed_pages": found["pages"],
        "left_out_count": failures.left_out_count, "left_out": found["left_out"],
    }  # fmt: skip


def _figure(value: float) -> float:
    return float(f"{value:.6g}")


def _moment(seconds: float | None) -> str | None:
    return None if seconds is None else datetime.fromtimestamp(seconds, UTC).isoformat(timespec="milliseconds")
