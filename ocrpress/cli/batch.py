"""`ocrpress batch`: folders of documents, resumable: run again it goes on where it stopped."""

from __future__ import annotations

import argparse
import contextlib
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ocrpress.cli.choose import choose_engine
from ocrpress.cli.options import MODEL_GROUP
from ocrpress.cli.parser import add_debug
from ocrpress.cli.reading import add_reading, add_rejection, reading_options, render_workers, writing_options
from ocrpress.jobs.plan import SHARDED
from ocrpress.jobs.reading.settings import PAGE_LIMITS, Settings
from ocrpress.writers import FORMATS

if TYPE_CHECKING:
    from ocrpress.cli.choose import Choice
    from ocrpress.cli.parser import Parser
    from ocrpress.jobs.cluster.joining import Cluster
    from ocrpress.jobs.plan import Plan

STDIN = "-"
CLUSTER = ("cluster_engines", "cluster_gpus", "cluster_cpus")


def add_parser(subparsers: argparse._SubParsersAction[Parser], about: str) -> None:
    """Add the command. Options without a default are left out when not given: their defaults live in the library."""
    parser = subparsers.add_parser(
        "batch",
        help=about,
        description="Turn folders of documents into Markdown, or another format, in a folder that mirrors theirs. Run "
        "again with the same -o it goes on where it stopped; what is done, and has not changed, is passed over.",
        argument_default=argparse.SUPPRESS,
    )
    add = parser.add_argument
    add("inputs", nargs="*", default=[], metavar="INPUT", help="folders (with all that is below), files, patterns")
    add("-o", "--output", metavar="OUT", required=True, help="folder for the results, the ledger and report.html")
    _add_inputs(parser.add_argument_group("which documents").add_argument)
    add_reading(add)
    formats = ", ".join((*FORMATS, *SHARDED))
    add("--format", metavar="F", default=FORMATS[0], help=f"{formats} (default: {FORMATS[0]}); the last two are"
        " datasets, many documents a file")  # fmt: skip
    add("--figures", action="store_true", default=False, help="crop figures into a folder beside each output")
    add("--workers", type=int, metavar="N", help=f"documents rendered side by side (default here: {render_workers()})")
    _add_running(parser.add_argument_group("how it runs").add_argument)
    _add_cluster(parser.add_argument_group("many machines (pip install 'ocrpress[cluster]')").add_argument)
    add_rejection(parser.add_argument_group(MODEL_GROUP).add_argument)
    add("--quiet", action="store_true", default=False, help="no progress on stderr")
    add_debug(parser)


def _add_inputs(add: Callable[..., object]) -> None:
    add("--include", action="append", default=[], metavar="P", help="of folders take only files that match, like"
        " '*.pdf' or 'reports/**' (default: PDFs and images); may be repeated")  # fmt: skip
    add("--exclude", action="append", default=[], metavar="P", help="leave out what matches; may be repeated")
    add("--from", dest="list", default=None, metavar="FILE", help="paths, one a line, from a file, or - for stdin")
    add("--null", action="store_true", default=False, help="each path of --from ends with a null byte")


def _add_running(add: Callable[..., object]) -> None:
    add("--retry-failed", action="store_true", default=False, help="read again what failed before")
    add("--force", action="store_true", default=False, help="read everything again")
    add("--checksum", action="store_true", default=False, help="compare the contents of files whose size and time are"
        " unchanged, too")  # fmt: skip
    add("--rebuild", action="store_true", default=False, help="make a damaged ledger anew from the outputs")
    limits = ", ".join(f"{engine} {seconds:g}" for engine, seconds in PAGE_LIMITS.items())
    add("--page-limit", type=float, metavar="S", help=f"seconds that a page may take (default: {limits})")
    tries = f"how often a page may crash or outlast its process (default: {Settings.tries})"
    add("--page-tries", type=int, metavar="N", help=tries)


def _add_cluster(add: Callable[..., object]) -> None:
    add("--cluster", default=None, metavar="A", help="run on a Ray cluster: its address, or auto; INPUT and OUT may be"
        " URLs like s3://bucket/folder")  # fmt: skip
    add("--cluster-engines", type=int, metavar="N", help="engines side by side (default: one a GPU, or one a node)")
    add("--cluster-gpus", type=float, metavar="N", help="that an engine takes (default: 1, where it runs on GPUs)")
    add("--cluster-cpus", type=float, metavar="N", help="that an engine takes (default: half of a node's, 1 on GPUs)")


def run(args: argparse.Namespace) -> int:
    """Run a batch; returns the exit code. All that can be refused is refused before a file is read."""
    from ocrpress.cli.batching import Batch
    from ocrpress.cli.signals import Interruption
    from ocrpress.errors import UsageError
    from ocrpress.jobs.finding.found import Choice as Files

    choice = choose_engine(args.engine, vars(args))
    plan = _plan(args, choice)
    if not args.inputs and args.list is None:
        raise UsageError("no inputs", "name folders or files, or give a list with --from")
    if args.list == STDIN and sys.stdin and sys.stdin.isatty():
        raise UsageError("--from - reads the list from stdin, and that is a terminal", "pipe it in, or name a file")
    files = Files(tuple(args.include), tuple(args.exclude))
    with _listed(args.list, args.null) as listed, Interruption() as interruption:
        batch = Batch(
            plan, args.inputs, listed, files, args.output, choice.why, interruption, _cluster(args), args.quiet
        )
        return batch.run(checksum=args.checksum, rebuild=args.rebuild)


def _plan(args: argparse.Namespace, choice: Choice) -> Plan:
    from ocrpress import __version__
    from ocrpress.jobs.plan import Plan

    instead: dict[str, Any] = {"figures": None}
    if not hasattr(args, "workers"):
        instead["workers"] = render_workers()
    options = reading_options(args, choice.name, **instead)
    running = {"page_limit": "page_limit", "page_tries": "tries"}
    given = {name: getattr(args, option) for option, name in running.items() if hasattr(args, option)}
    settings = Settings(choice.name, choice.options, options, **given)
    about = {
        "engine": choice.name, "mode": options.mode, "format": args.format, "inputs": args.inputs, "list": args.list,
        "version": __version__, "cluster": args.cluster,
    }  # fmt: skip
    writing = writing_options(args)
    return Plan(settings, args.format, writing, args.figures, args.retry_failed, args.force, about)


def _cluster(args: argparse.Namespace) -> Cluster | None:
    """Where the work is done; None for this machine alone."""
    from ocrpress.errors import UsageError
    from ocrpress.jobs.cluster.joining import Cluster

    given = {name.removeprefix("cluster_"): getattr(args, name) for name in CLUSTER if hasattr(args, name)}
    if args.cluster is None:
        if given:
            raise UsageError(f"--cluster-{next(iter(given))} is of no use here", "it belongs to --cluster")
        return None
    return Cluster(args.cluster, **given)


@contextlib.contextmanager
def _listed(name: str | None, null: bool) -> Iterator[Iterator[str] | None]:
    """The paths of a list."""
    from ocrpress.errors import InputError
    from ocrpress.jobs.finding.search import read_list

    if name is None:
        yield None
    elif name == STDIN:
        if sys.stdin is None:
            raise InputError("the list cannot be read (there is no standard input)", "pipe it in, or name a file")
        # Not sys.stdin: a thread may be waiting for its next line when the program ends, which Python would wait for.
        yield read_list(open(sys.stdin.fileno(), "rb", closefd=False), null)  # noqa: SIM115
    else:
        try:
            stream = Path(name).open("rb")  # noqa: SIM115 (a thread may be reading it to the very end)
        except (OSError, ValueError) as error:
            why = getattr(error, "strerror", None) or error
            raise InputError(f"the list {name} cannot be read ({why})", "check the path") from error
        yield read_list(stream, null)
