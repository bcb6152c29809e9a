"""`ocrpress status`: how far a batch is, how fast, and what failed; also while it runs."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from ocrpress.cli.parser import add_debug

if TYPE_CHECKING:
    import argparse
    from collections.abc import Sequence

    from ocrpress.cli.parser import Parser
    from ocrpress.jobs.report.failures import Cause
    from ocrpress.jobs.report.summary import Summary

LISTED = 10  # failures of a kind that people are shown; --json and the report have more
LONGEST = 100  # characters of an error
LONGEST_NAME = 60  # of a path: its end
SILENT = 60.0  # seconds without a sign of life


def add_parser(subparsers: argparse._SubParsersAction[Parser], about: str) -> None:
    """Add the command."""
    parser = subparsers.add_parser(
        "status",
        help=about,
        description="Show how far a batch is, how fast it goes and what failed. It may be running.",
        epilog="exit codes: 0 all is well; 1 something failed, or the batch was broken off; 2 there is no batch",
    )
    parser.add_argument("folder", metavar="OUT", help="the output folder of an 'ocrpress batch'")
    parser.add_argument("--json", action="store_true", help="for programs")
    add_debug(parser)


def run(args: argparse.Namespace) -> int:
    """Print it. Returns 1 if something failed. Raises UsageError where there is no batch."""
    from ocrpress.cli.stdout import write_stdout
    from ocrpress.jobs.report.summary import summarise

    summary = summarise(Path(args.folder))
    if args.json:
        import json

        from ocrpress.jobs.report.summary_json import as_object

        write_stdout(json.dumps(as_object(summary), ensure_ascii=False, indent=1, allow_nan=False) + "\n")
    else:
        write_stdout(describe(summary))
    return 0 if summary.is_well else 1


def describe(summary: Summary) -> str:
    """A summary for people."""
    return "\n".join(filter(None, [_lines(summary), _failures(summary), _slowest(summary)]))


def _lines(summary: Summary) -> str:
    """A line a matter: its name, then figures."""
    from ocrpress.jobs.report.words import duration, number, rate

    documents, pages, tokens = summary.documents, summary.pages, summary.tokens
    found = [
        ("batch", _state(summary)),
        (
            "documents",
            f"{documents.done:,} of {documents.found:,} done, {documents.with_failed_pages:,} of them with failed "
            f"pages; {documents.failed:,} failed, {documents.open:,} being read, {documents.waiting:,} waiting",
        ),
        (
            "pages",
            f"{pages.finished:,} of {pages.known:,} known: {pages.ok:,} read, {pages.blank:,} blank, "
            f"{pages.failed:,} failed",
        ),
    ]
    if pages.retried or pages.substitute:
        again = (
            f"{pages.retried:,} pages asked for more than once, {pages.substitute:,} read by the engine of last resort"
        )
        found.append(("", again))
    recent = f"{rate(summary.recent.a_second)} in the last minute" if summary.state == "running" else ""
    overall = f"{rate(summary.overall.a_second)} over {duration(summary.overall.seconds)}" if summary.runs else ""
    found.append(("speed", "; ".join(filter(None, [recent, overall]))))
    if summary.seconds_left is not None:
        found.append(("left", f"about {duration(summary.seconds_left)} for what has been found so far"))
    if timing := summary.timing:
        seconds = f"mean {number(timing.mean)}, median {number(timing.median)}, 95 of 100 within {number(timing.p95)}"
        found.append(("seconds", f"{seconds} a page"))
    kinds = {"vision": tokens.vision, "in the sequence": tokens.sequence, "written": tokens.output}
    found.append(("tokens", ", ".join(f"{count:,} {kind}" for kind, count in kinds.items() if count)))
    return "".join(f"{name:<10} {text}\n" for name, text in found if text)


def _state(summary: Summary) -> str:
    from ocrpress.jobs.report.words import duration, moment

    run = summary.run
    if run is None:
        return "nothing was read yet"
    how = "".join(f", {name} {run.about[name]}" for name in ("engine", "mode", "format") if run.about.get(name))
    if summary.state == "running":
        silence = summary.now - run.beat
        heard = f", nothing was heard of it for {duration(silence)}" if silence > SILENT else ""
        return f"running since {moment(run.started)}{how}, process {run.pid}{heard}"
    code = "" if run.exit_code is None else f" with exit code {run.exit_code}"
    when = moment(run.ended or run.beat)
    if summary.state == "finished":
        return f"finished {when}{code}{how}"
    broken = f"ended{code}" if run.ended is not None else "was killed"
    return f"stopped: it {broken} {when}{how}; run the same command again to go on"


def _failures(summary: Summary) -> str:
    from ocrpress.cli.table import table

    failures = summary.failures
    parts = []
    if failures.document_causes:
        rows = [[_end(each.document), each.cause, _cut(each.error)] for each in failures.documents[:LISTED]]
        parts.append(_causes("failed documents", failures.document_causes))
        parts.append(table([["document", "cause", "what was wrong"], *rows]))
        parts.append(_more(summary.documents.failed - len(rows)))
    if failures.page_causes:
        rows = [
            [_end(each.document), str(each.number), each.cause, _cut(each.error)] for each in failures.pages[:LISTED]
        ]
        parts.append(_causes("failed pages", failures.page_causes))
        parts.append(table([["document", "page", "cause", "what was wrong"], *rows]))
        parts.append(_more(summary.pages.failed - len(rows)))
    if failures.left_out:
        rows = [[_end(each.path), _cut(each.why)] for each in failures.left_out[:LISTED]]
        parts.append(f"inputs that were left out: {failures.left_out_count:,}\n")
        parts.append(table([["input", "why"], *rows]))
        parts.append(_more(failures.left_out_count - len(rows)))
    return "\n".join(filter(None, parts))


def _causes(what: str, causes: Sequence[Cause]) -> str:
    return f"{what}: {', '.join(f'{each.count:,} {each.cause}' for each in causes)}\n"


def _more(count: int) -> str:
    return f"and {count:,} more: --json and report.html list up to 200\n" if count > 0 else ""


def _slowest(summary: Summary) -> str:
    from ocrpress.cli.table import table
    from ocrpress.jobs.report.words import NONE, number

    if not summary.slowest:
        return ""
    rows = [
        [_end(each.document), str(each.number), number(each.seconds), str(each.attempts or NONE), each.state]
        for each in summary.slowest
    ]
    return "slowest pages\n\n" + table([["document", "page", "seconds", "tries", "state"], *rows])


def _cut(text: str) -> str:
    return text if len(text) <= LONGEST else f"{text[:LONGEST]}…"


def _end(path: str) -> str:
    return path if len(path) <= LONGEST_NAME else f"…{path[-LONGEST_NAME:]}"
