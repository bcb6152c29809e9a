"""`ocrpress bench`: pages a second and a day, of any engine, beside what the hardware would allow."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ocrpress.cli.choose import AUTO, HEEDED, Choice, choose_engines
from ocrpress.cli.parser import add_debug, items
from ocrpress.engines import ENGINES
from ocrpress.engines.base import EngineOptions
from ocrpress.errors import UsageError
from ocrpress.modes import DEFAULT_MAX_TILES, MODES, NATIVE, get_mode, plan

if TYPE_CHECKING:
    from ocrpress.cli.parser import Parser
    from ocrpress.measure.bars import Bars
    from ocrpress.measure.bench import Settings, Subject, Watcher
    from ocrpress.measure.throughput import Cell

PASSED_ON = ("checkpoint", "device", "url", "model")
REPEATS = 3
DESCRIPTION = """Measure pages a second: every engine in every mode, with every number of slots and every length of
answers. Options marked with a star take several values: comma lists, or the option again. Without a FILE, pages of text
are drawn, and the run begins with page images; with FILEs it renders them too."""
# Options that are ours alone, and which engines they are for.
NEEDS: dict[str, Callable[[str], bool]] = {
    "random_weights": lambda name: name == "deepseek",
    "baseline": lambda name: name == "deepseek",
    "slots": lambda name: "slots" in HEEDED[name],
    "tokens": lambda name: "max_tokens" in HEEDED[name],
}
# Batches of the baseline, and whether `generate` is kept from exchanging the expert products (see measure.baseline).
BASELINES = {"cuda": ((1, False), (16, False), (64, False), (64, True)), "cpu": ((1, False), (8, False))}


def add_parser(subparsers: argparse._SubParsersAction[Parser], about: str) -> None:
    """Add the command. Options without a default are left out when not given: their defaults live in the library."""
    parser = subparsers.add_parser(
        "bench",
        help=about,
        description=DESCRIPTION,
        epilog="a table, then one line of JSON; exit codes as of every command, 1 if pages failed",
        argument_default=argparse.SUPPRESS,
    )
    add = parser.add_argument
    several: dict[str, Any] = {"action": "extend", "type": items, "default": []}
    add("files", nargs="*", default=[], metavar="FILE", help="documents to take the pages from, over and over")
    add("--engine", metavar="E*", **several, help=f"{', '.join([AUTO, *ENGINES])} (default: {AUTO})")
    add("--mode", metavar="M*", **several, help=f"{', '.join([*MODES, NATIVE.name])} (default: the engine's own)")
    add("--slots", metavar="N*", **several, help="pages decoded side by side (default: what fits)")
    add("--tokens", metavar="T*", **several, help="force the length of answers: 1000, or a spread like 100-1000")
    add("--pages", type=int, metavar="N", help="pages of a run (default: 4 for every slot, at least 8)")
    add("--repeat", type=int, metavar="N", default=REPEATS, help="runs after the warm-up (default: %(default)s)")
    add("--task", metavar="T", help="what is asked of the model (default: the engine's own)")
    add("--max-tiles", type=int, metavar="N", help=f"of the modes with tiles (default: {DEFAULT_MAX_TILES})")
    add("--seed", type=int, metavar="N", help="of the drawn pages and of the order of lengths (default: 0)")
    add("--password", metavar="P", help="of encrypted PDFs")
    _add_model(parser.add_argument_group("options of the engines deepseek and server").add_argument)
    add("-o", "--out", type=Path, metavar="FILE", help="write the JSON there too, after every cell")
    add("--quiet", action="store_true", default=False, help="no progress on stderr")
    add_debug(parser)


def _add_model(add: Callable[..., object]) -> None:
    """Options of the engines that have a model."""
    add("--checkpoint", metavar="C", help="a name that 'ocrpress models' lists, a folder, or a hub id (owner/name)")
    add(
        "--random-weights",
        action="store_true",
        default=False,
        help="noise of full size in place of a checkpoint; of deepseek",
    )
    add("--baseline", action="store_true", default=False, help="measure transformers' own generate too; of deepseek")
    add("--device", metavar="D", help=f"auto, cpu, cuda or cuda:N; of deepseek (default: {EngineOptions.device})")
    add("--url", metavar="URL", help="of the endpoint, like http://localhost:8000/v1; of server")
    add("--model", metavar="NAME", help="the endpoint's name for its model (default: it is asked); of server")


def run(args: argparse.Namespace) -> int:
    """Measure; returns 1 if pages failed. All that can be refused is refused before an engine is opened."""
    choices = _choices(args)
    settings = _settings(args)
    from ocrpress.cli.say import say
    from ocrpress.measure.bench import Watcher
    from ocrpress.measure.report import NOISE
    from ocrpress.output import check_writable

    out: Path | None = getattr(args, "out", None)
    if out:
        check_writable(out)
    noise: bool = args.random_weights
    if noise:
        say(f"NOISE: {NOISE}")
    for choice in choices:
        if choice.why:
            say(f"engine {choice.name}: {choice.why}")
    session = Session(settings, noise, out, Watcher(_bars(args.quiet), say))
    try:
        for choice in choices:
            session.measure(choice, args.baseline)
    finally:
        session.show()
    return int(any(cell.failed for cell in session.cells))


class Session:
    """What has been measured so far; printed at the end, whatever ends it.

    Args:
        noise: the model's weights are random.
        out: a file that gets the JSON after every cell.
    """

    def __init__(self, settings: Settings, noise: bool, out: Path | None, watcher: Watcher) -> None:
        self.settings, self.noise, self.out, self.watcher = settings, noise, out, watcher
        self.cells: list[Cell] = []
        self.subjects: list[Subject] = []

    def measure(self, choice: Choice, baseline: bool) -> None:
        """Every cell of one engine."""
        from dataclasses import replace

        from ocrpress.measure.bench import measure_all, open_subject
        from ocrpress.output import write_text

        subject = open_subject(choice.name, choice.options)
        self.subjects.append(subject)
        batches = BASELINES[subject.device.partition(":")[0]] if baseline and subject.loaded else ()
        slots = self.settings.slots if "slots" in HEEDED[choice.name] else ()
        settings = replace(self.settings, baselines=batches, slots=slots)
        with closing(measure_all(subject, settings, self.watcher)) as cells:
            for cell in cells:
                self.cells.append(cell)
                if cell.failed:
                    self.watcher.remark(f"{cell.engine}, {cell.work.mode}: {cell.failed} pages failed: {cell.error}")
                if self.out:
                    write_text(self.out, self._json(indent=1))

    def show(self) -> None:
        """Print the tables and the JSON line, if there is anything to show."""
        from ocrpress.cli.stdout import write_stdout
        from ocrpress.cli.table import table
        from ocrpress.measure.report import NOISE, STAGES_NOTE, ratio_lines, rows, stage_rows

        if not self.cells:
            return
        parts = [table(rows(self.cells)), f"seconds by stage ({STAGES_NOTE})\n{table(stage_rows(self.cells))}"]
        if ratios := ratio_lines(self.cells):
            parts.append("\n".join(ratios) + "\n")
        if self.noise:
            parts.append(f"NOISE: {NOISE}\n")
        write_stdout("\n".join(parts) + "\n" + self._json())

    def _json(self, indent: int | None = None) -> str:
        import json

        from ocrpress.measure.report import result_object

        found = result_object(self.cells, self.subjects, self.settings, self.noise)
        return json.dumps(found, ensure_ascii=False, indent=indent) + "\n"


def _choices(args: argparse.Namespace) -> list[Choice]:
    """The engines to measure. Raises UsageError for one that is unknown, and for an option that none of them heeds."""
    given = {name: getattr(args, name) for name in PASSED_ON if hasattr(args, name)}
    if args.random_weights:
        given["random_weights"] = True
    default = "deepseek" if args.random_weights else AUTO
    names = list(dict.fromkeys(args.engine or [default]))
    choices = choose_engines(names, given)
    for option, heed in NEEDS.items():
        if getattr(args, option, None) and not any(heed(choice.name) for choice in choices):
            others = " or ".join(f"--engine {name}" for name in ENGINES if heed(name))
            raise UsageError(
                f"the engine {choices[0].name} has no use for --{option.replace('_', '-')}", f"take {others}"
            )
    return choices


def _settings(args: argparse.Namespace) -> Settings:
    """What is measured. Raises UsageError, InputError for a pattern that matches nothing."""
    from ocrpress.cli.inputs import check_matched, expand
    from ocrpress.measure.bench import Settings
    from ocrpress.measure.work import parse_lengths

    for mode in args.mode:
        get_mode(mode)
    plan(1, 1, NATIVE.name, getattr(args, "max_tiles", DEFAULT_MAX_TILES))  # refuses a number of tiles out of range
    files = expand(args.files)
    for file in files:
        check_matched(file)
    for option in ("pages", "repeat"):
        if getattr(args, option, 1) < 1:
            raise UsageError(f"--{option} is {getattr(args, option)}", "it must be 1 or more")
    given = {
        name: getattr(args, name) for name in ("pages", "task", "max_tiles", "seed", "password") if hasattr(args, name)
    }
    return Settings(
        modes=tuple(args.mode), slots=tuple(_whole("slots", text) for text in args.slots),
        lengths=tuple(parse_lengths(text) for text in args.tokens), repeats=args.repeat, files=tuple(files), **given,
    )  # fmt: skip


def _whole(option: str, text: str) -> int:
    if not (text.isascii() and text.isdigit() and int(text)):
        raise UsageError(f"--{option} is '{text}'", "it must be a whole number, 1 or more")
    return int(text)


def _bars(quiet: bool) -> Bars:
    from ocrpress.cli.progress import progress

    return lambda name, pages: progress(name, pages, quiet)
