"""`ocrpress curve`: how much text survives at how many vision tokens, measured for any engine, on anybody's pages."""

from __future__ import annotations

import argparse
import time
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ocrpress.cli.choose import AUTO, HEEDED, Choice, choose_engines
from ocrpress.cli.options import MODEL_GROUP, add_model
from ocrpress.cli.parser import add_debug, items
from ocrpress.cli.say import say
from ocrpress.engines import ENGINES
from ocrpress.engines.base import EngineOptions
from ocrpress.errors import UsageError
from ocrpress.modes import DEFAULT_MAX_TILES, MODES, NATIVE, get_mode, plan

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ocrpress.cli.parser import Parser
    from ocrpress.measure.samples import Choice as SampleChoice
    from ocrpress.measure.samples import Samples
    from ocrpress.measure.sweep import Measured, Subject, Sweep

DESCRIPTION = """Measure how much text survives at how many vision tokens: every engine in every mode on every variant
of the pages, each page scored against its true text. DATA: text files, PDFs with a text layer, folders of images with a
JSON list of {"image", "text"}; without any, English prose that Python carries is set in pages. Options marked with a
star take several values: comma lists, or the option again. A run that was broken off goes on where it stopped."""
EPILOG = """DIR gets curve.json, curve.csv, curve.png, curve.svg and report.html; exit code 1 if pages could not be
shown to an engine, or an engine failed on them"""
DEFAULT_MODES = (NATIVE.name, "tiny", "small", "base")
PASSED_ON = ("checkpoint", "device", "slots", "url", "model", "api_key", "timeout")


def add_parser(subparsers: argparse._SubParsersAction[Parser], about: str) -> None:
    """Add the command. Options without a default are left out when not given: their defaults live in the library."""
    parser = subparsers.add_parser(
        "curve", help=about, description=DESCRIPTION, epilog=EPILOG, argument_default=argparse.SUPPRESS
    )
    add = parser.add_argument
    several: dict[str, Any] = {"action": "extend", "type": items, "default": []}
    add("data", nargs="*", default=[], metavar="DATA", help="what the pages are (default: prose that Python carries)")
    add("-o", "--output", required=True, type=Path, metavar="DIR", help="folder for the results")
    add("--engine", metavar="E*", **several, help=f"{', '.join([AUTO, *ENGINES])} (default: {AUTO})")
    modes = ", ".join([NATIVE.name, *MODES])
    add("--mode", metavar="M*", **several, help=f"{modes} (default: those of {', '.join(DEFAULT_MODES)} that it reads)")
    add(
        "--variant",
        metavar="V*",
        **several,
        help="natural, shuffled (its words), random (letters) (default: all that the data can have)",
    )
    add("--pages", type=int, default=2, metavar="N", help="pages of each bucket of 100 text tokens that are"
        " cut from text (default: %(default)s)")  # fmt: skip
    add("--buckets", metavar="A-B", help="text tokens of those pages (default: 600-1300, the published table's)")
    add("--limit", type=int, metavar="N", help="measure no more than N pages of each variant")
    add("--seed", type=int, default=0, metavar="N", help="of what is chosen, shuffled and drawn (default: %(default)s)")
    add("--typeset", action="store_true", default=False, help="set the texts of images and PDFs in pages of our own")
    add("--font", metavar="F", help="serif, sans, mono, a font file or a family; of the pages that are set here")
    add("--size", type=float, metavar="PT", help="size of their type")
    add(
        "--max-tiles",
        type=int,
        metavar="N",
        default=DEFAULT_MAX_TILES,
        help="of the modes with tiles (default: %(default)s)",
    )
    add("--password", metavar="P", help="of encrypted PDFs")
    add(
        "--no-control",
        action="store_true",
        default=False,
        help="leave out the control of VLMs: rapid on the very pixels",
    )
    add("--fresh", action="store_true", default=False, help="measure anew what was measured before")
    add_model(parser.add_argument_group(MODEL_GROUP).add_argument, "text")
    add("--quiet", action="store_true", default=False, help="no progress on stderr")
    add_debug(parser)


def run(args: argparse.Namespace) -> int:
    """Measure, write, print. All that can be refused is refused before an engine is opened."""
    for mode in args.mode:
        get_mode(mode)
    plan(1, 1, NATIVE.name, args.max_tiles)  # refuses a number of tiles out of range
    subjects = _subjects(args)
    choice = _sample_choice(args)

    from ocrpress.cli.progress import progress
    from ocrpress.cli.signals import Interruption
    from ocrpress.measure.samples import load_samples
    from ocrpress.measure.sweep import CELLS, Sweep, measure_cells
    from ocrpress.measure.tokens import open_counter
    from ocrpress.output import check_folder

    check_folder(args.output / CELLS)
    samples = load_samples(args.data, open_counter(getattr(args, "checkpoint", None)), choice)
    wanted = Sweep(
        subjects, tuple(args.mode or DEFAULT_MODES), samples.by_variant(), args.output, args.max_tiles,
        getattr(args, "max_tokens", None), args.fresh,
    )  # fmt: skip
    if not args.quiet:
        for name, why in samples.left_out:
            say(f"left out: {name}: {why}")
    with Interruption() as interruption:
        interruption.start()
        started = time.perf_counter()
        try:
            tell = None if args.quiet else say
            measured = list(measure_cells(wanted, lambda name, pages: progress(name, pages, args.quiet), tell))
        except BaseException:
            if any(file.read_bytes().count(b"\n") > 1 for file in (args.output / CELLS).iterdir()):
                say(f"broken off: what was measured is kept in {args.output}: the same command goes on from there")
            raise
        interruption.reading = False
        return _finish(args, wanted, samples, measured, time.perf_counter() - started)


def _subjects(args: argparse.Namespace) -> tuple[Subject, ...]:
    """The engines, and the control of those that choose tokens. Raises UsageError, EngineError."""
    from ocrpress.measure.sweep import CONTROL, Subject

    given = {name: getattr(args, name) for name in PASSED_ON if hasattr(args, name)}
    choices = choose_engines(list(dict.fromkeys(args.engine or [AUTO])), given)
    models = {choice.name for choice in choices if HEEDED[choice.name]}
    task = getattr(args, "task", None)
    if task and not models:
        raise UsageError(f"the engine {choices[0].name} has no use for --task", "leave it out")
    for choice in choices:
        if choice.why and not args.quiet:
            say(f"engine {choice.name}: {choice.why}")
    found = [
        Subject(choice.name, choice.options, _label(choice), task if choice.name in models else None,
                control=choice.name == CONTROL and bool(models))
        for choice in choices
    ]  # fmt: skip
    if models and not args.no_control and CONTROL not in {choice.name for choice in choices}:
        found.append(Subject(CONTROL, EngineOptions(), CONTROL, control=True))
    return tuple(found)


def _label(choice: Choice) -> str:
    """The engine, and which of its models if that was chosen."""
    chosen = choice.options.model if choice.name == "server" else choice.options.checkpoint
    return f"{choice.name} ({Path(chosen).name})" if chosen else choice.name


def _sample_choice(args: argparse.Namespace) -> SampleChoice:
    """What is asked of the data. Raises UsageError for what no data could give."""
    from ocrpress.measure.samples.choice import STYLE, Choice, check_choice

    set_so = {name: getattr(args, name) for name in ("font", "size") if hasattr(args, name)}
    found = Choice(
        tuple(dict.fromkeys(args.variant)), args.pages, _buckets(args), getattr(args, "limit", None), args.seed,
        replace(STYLE, **set_so), args.typeset, getattr(args, "password", None),
    )  # fmt: skip
    check_choice(found)
    return found


def _buckets(args: argparse.Namespace) -> tuple[int, int]:
    from ocrpress.measure.samples.choice import Choice

    if not hasattr(args, "buckets"):
        return Choice.buckets
    low, dash, high = args.buckets.partition("-")
    if not (dash and low.isdecimal() and high.isdecimal()):
        raise UsageError(f"--buckets is '{args.buckets}'", "give text tokens from and to, like 600-1300")
    return int(low), int(high)


def _finish(
    args: argparse.Namespace, wanted: Sweep, samples: Samples, measured: Sequence[Measured], seconds: float
) -> int:
    """Write the results and print the table; returns the exit code."""
    from ocrpress.cli.stdout import write_stdout
    from ocrpress.cli.table import table
    from ocrpress.measure.curve_table import bucket_rows, meanings, table_rows
    from ocrpress.measure.results import make_curve, times_object, write_results

    curve = make_curve(measured, samples, _settings(args, wanted))
    write_results(args.output, curve, times_object(measured, seconds), samples)
    rows = table_rows(curve)
    heads = "".join(f"{head:<10}{meaning}\n" for head, meaning in meanings(rows).items())
    write_stdout(
        f"{curve.about}; text tokens: {curve.tokens_by}\n\nby text tokens\n\n{table(bucket_rows(curve))}\n"
        f"all pages\n\n{table(rows)}\n{heads}\n{args.output / 'report.html'} shows the pages\n"
    )
    return int(any(page.fault == "error" for found in measured for page in found.cell.pages)
               or any(found.unreadable for found in measured))  # fmt: skip


def _settings(args: argparse.Namespace, wanted: Sweep) -> dict[str, Any]:
    """What the run was asked for, without what changes no figure."""
    engines = [
        {"engine": subject.name, "label": subject.label, "control": subject.control,
         "checkpoint": subject.options.checkpoint, "model": subject.options.model, "task": subject.task}
        for subject in wanted.subjects
    ]  # fmt: skip
    return {
        "engines": engines, "modes": list(wanted.modes), "variants": list(wanted.samples), "seed": args.seed,
        "pages_a_bucket": args.pages, "buckets": list(_buckets(args)), "limit": getattr(args, "limit", None),
        "typeset": args.typeset, "font": getattr(args, "font", None), "size": getattr(args, "size", None),
        "max_tiles": wanted.max_tiles, "max_tokens": wanted.max_tokens,
    }  # fmt: skip
