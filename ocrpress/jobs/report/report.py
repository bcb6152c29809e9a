"""OUT/report.html: a batch in one file that needs nothing else: totals, speed, and what failed, with pictures."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from ocrpress.jobs.report.failures import LISTED
from ocrpress.jobs.report.report_html import Bar, bars, document, no_picture, picture, shown, table, terms, tiles
from ocrpress.jobs.report.thumbnails import ALL_SECONDS, choose, draw_thumbnails
from ocrpress.jobs.report.words import NONE, duration, moment, number, rate, short
from ocrpress.output import write_text

if TYPE_CHECKING:
    from ocrpress.jobs.report.failures import Cause, Failures
    from ocrpress.jobs.report.summary import Summary
    from ocrpress.jobs.report.tallies import Timing
    from ocrpress.jobs.report.thumbnails import Thumbnail

REPORT = "report.html"
NO_CODE = "none so far"


def write_report(folder: Path, summary: Summary, password: str | None = None, seconds: float = ALL_SECONDS) -> Path:
    """Write the report of a batch into its output folder, whole or not at all.

    Args:
        password: of encrypted PDFs, for the pictures of their pages.
        seconds: that drawing all pictures may take; 0 draws none.

    Raises:
        OutputError: it cannot be written.
    """
    path = folder / REPORT
    write_text(path, render(summary, draw_thumbnails(choose(summary.failures.pages), password, seconds)))
    return path


def render(summary: Summary, thumbnails: Sequence[Thumbnail] = ()) -> str:
    """The report as HTML."""
    body = [_head(summary), _totals(summary), _speed(summary), _failures(summary.failures, thumbnails)]
    body += [_slowest(summary), _left_out(summary.failures), _how(summary)]
    return document(f"ocrpress batch: {summary.folder}", "".join(body))


def _head(summary: Summary) -> str:
    kind = {"finished": "good", "running": "", "stopped": "bad"}[summary.state]
    said = {
        "finished": "finished",
        "running": "still running when this was written",
        "stopped": "stopped before its end: run the same command again to go on",
    }[summary.state]
    when = f" · {moment(summary.now)}"
    return f'<h1>{shown(summary.folder)}</h1>\n<p><b class="{kind}">{said}</b>{shown(when)}</p>\n'


def _totals(summary: Summary) -> str:
    documents, pages = summary.documents, summary.pages
    failed = documents.failed + pages.failed
    found = [
        (f"{documents.done:,} of {documents.found:,}", "documents done", ""),
        (f"{pages.finished:,}", f"pages, {pages.blank:,} of them blank", ""),
        (f"{pages.failed:,}", f"failed pages, in {documents.with_failed_pages:,} documents done", _mark(pages.failed)),
        (f"{documents.failed:,}", "documents that could not be read on", _mark(documents.failed)),
        (number(summary.overall.a_second), f"pages/s, {short(summary.overall.a_day)} a day", ""),
    ]
    more = {
        "not begun, or not read to the end": f"{documents.waiting + documents.open:,} documents",
        "pages asked for more than once": f"{pages.retried:,}",
        "pages read by the engine of last resort": f"{pages.substitute:,}",
        "vision tokens": f"{summary.tokens.vision:,}",
        "tokens in the decoder's sequence": f"{summary.tokens.sequence:,}",
    }
    if summary.tokens.output is not None:
        more["tokens written"] = f"{summary.tokens.output:,}"
    well = "" if failed else '<p class="good">Nothing failed.</p>\n'
    return f"<h2>Totals</h2>\n{tiles(found)}{well}{terms(more)}"


def _speed(summary: Summary) -> str:
    pairs = {
        "over all": f"{rate(summary.overall.a_second)}, {summary.overall.pages:,} pages in "
        f"{duration(summary.overall.seconds)} of {_runs(summary.runs)}",
        "in its last minute": rate(summary.recent.a_second),
    }
    timing = summary.timing
    if timing:
        spread = f"mean {number(timing.mean)}, median {number(timing.median)}, 95 of 100 within {number(timing.p95)}"
        pairs["seconds a page"] = spread
    if summary.stages:
        stages = ", ".join(f"{name} {number(seconds)}" for name, seconds in summary.stages.items())
        pairs["seconds by stage"] = f"{stages} (stages overlap)"
    return f"<h2>Speed</h2>\n{terms(pairs)}{_histogram(timing) if timing else ''}"


def _histogram(timing: Timing) -> str:
    found = []
    for each in timing.bins:
        share = 100 * each.pages / timing.looked_at
        span = f"{each.low:g} to {each.high:g} s" if math.isfinite(each.high) else f"{each.low:g} s or more"
        found.append(Bar(f"{each.low:g}", each.pages, f"{span}: {each.pages:,} pages, {share:.1f} %"))
    last = timing.bins[-1].high
    of = f"an even sample of {timing.looked_at:,} pages" if timing.sampled else f"{timing.looked_at:,} pages"
    label = f"Histogram of seconds a page, over {of} that were read; the steps grow with the seconds"
    drawing = bars(found, f"{last:g}" if math.isfinite(last) else "", label, "seconds a page")
    return f'<p class="dim">{shown(label)}.</p>\n{drawing}'


def _failures(failures: Failures, thumbnails: Sequence[Thumbnail]) -> str:
    parts = []
    if failures.document_causes:
        parts += ["<h2>Documents that could not be read on</h2>\n", _causes(failures.document_causes, "documents")]
        rows = [[each.document, each.cause, each.error] for each in failures.documents]
        parts.append(table([["document", "cause", "what was wrong"], *rows], _which(rows, failures.document_causes)))
    if failures.page_causes:
        parts += ["<h2>Failed pages</h2>\n", _causes(failures.page_causes, "pages"), _pictures(thumbnails)]
        head = ["document", "page", "cause", "tries", "what was wrong"]
        rows = [
            [each.document, str(each.number), each.cause, str(each.attempts or NONE), each.error]
            for each in failures.pages
        ]
        parts.append(table([head, *rows], _which(rows, failures.page_causes), numbers=(1, 3)))
    return "".join(parts)


def _causes(causes: Sequence[Cause], what: str) -> str:
    rows = [[each.cause, f"{each.count:,}", each.example] for each in causes]
    return table([["cause", what, "the first of them"], *rows], "By cause", numbers=(1,))


def _which(rows: Sequence[object], causes: Sequence[Cause]) -> str:
    count = sum(each.count for each in causes)
    return f"All {count:,}" if len(rows) == count else f"The first {LISTED} of {count:,}"


def _pictures(thumbnails: Sequence[Thumbnail]) -> str:
    """Drawn from the inputs after the run: they show the page, not what went wrong with it."""
    found = []
    for each in thumbnails:
        name = f"{each.page.document}, page {each.page.number}"
        caption = f"{name}: {each.page.cause}"
        found.append(picture(each.png, name, caption) if each.png else no_picture(each.why, caption))
    return f'<div class="pictures">\n{"".join(found)}</div>\n' if found else ""


def _slowest(summary: Summary) -> str:
    if not summary.slowest:
        return ""
    rows = [
        [
            each.document,
            str(each.number),
            number(each.seconds),
            str(each.attempts or NONE),
            each.state,
            each.engine,
            each.mode,
        ]
        for each in summary.slowest
    ]
    head = ["document", "page", "seconds", "tries", "state", "engine", "mode"]
    return f"<h2>Slowest pages</h2>\n{table([head, *rows], 'Seconds are over all tries', numbers=(1, 2, 3))}"


def _left_out(failures: Failures) -> str:
    if not failures.left_out:
        return ""
    rows = [[each.path, each.why] for each in failures.left_out]
    left = failures.left_out_count
    which = f"All {left:,}" if len(rows) == left else f"The first {LISTED} of {left:,}"
    return f"<h2>Inputs that were left out</h2>\n{table([['input', 'why'], *rows], which)}"


def _how(summary: Summary) -> str:
    parts = ["<h2>How it was made</h2>\n"]
    if summary.run:
        run = summary.run
        times = {"started": moment(run.started), "took": duration(run.seconds)}
        times["exit code"] = NO_CODE if run.exit_code is None else str(run.exit_code)
        parts += [f"<h3>The newest of {_runs(summary.runs)}</h3>\n", terms(times | _plain(run.about))]
    for options, count in summary.options:
        parts += [f"<h3>Options of {count:,} documents</h3>\n", terms(_plain(options))]
    return "".join(parts)


def _plain(found: object) -> dict[str, object]:
    """Values as a person would write them; nothing for what was left at nothing."""
    pairs = found.items() if hasattr(found, "items") else ()
    return {
        str(name): value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
        for name, value in pairs
        if value is not None and value not in ("", [], {})
    }


def _runs(count: int) -> str:
    return f"{count:,} run" if count == 1 else f"{count:,} runs"


def _mark(count: int) -> str:
    return "bad" if count else "good"
