"""`ocrpress pull`: bring a checkpoint onto this machine."""

from __future__ import annotations

import sys
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from ocrpress.cli.parser import add_debug

if TYPE_CHECKING:
    import argparse
    from collections.abc import Callable, Iterator

    from ocrpress.cli.parser import Parser


def add_parser(subparsers: argparse._SubParsersAction[Parser], about: str) -> None:
    """Add the command."""
    parser = subparsers.add_parser(
        "pull",
        help=about,
        description="""Download a checkpoint for the engine deepseek: only safetensors and what describes them, at a
        pinned revision. A download that broke off goes on where it stopped. Checksums, tensor names and shapes are
        verified; then the folder is printed. If all of it is here, the hub is not asked.""",
        epilog="exit codes: 0 it is here and right; 2 unknown name or no room; 4 it cannot be had",
    )
    parser.add_argument("name", metavar="NAME", help="one of 'ocrpress models', or a hub id (owner/name)")
    parser.add_argument("--to", metavar="DIR", type=Path, help="put the files there instead of the Hugging Face cache")
    parser.add_argument("-q", "--quiet", action="store_true", help="no progress bar, no word about what went well")
    add_debug(parser)


def run(args: argparse.Namespace) -> int:
    """Download, verify, print the folder."""
    from ocrpress.cli.say import say
    from ocrpress.cli.stdout import write_stdout
    from ocrpress.engines.deepseek.download import pull

    shown = not args.quiet and sys.stderr is not None and sys.stderr.isatty()
    found = pull(args.name, args.to, _bar if shown else None, str if args.quiet else say)
    write_stdout(f"{found.folder}\n")
    return 0


@contextmanager
def _bar(what: str, size: int, done: int) -> Iterator[Callable[[int], object]]:
    """A bar of bytes on stderr, wiped off when the file is there."""
    from tqdm import tqdm

    with tqdm(
        desc=what, total=size, initial=done, unit="B", unit_scale=True, delay=1.0, leave=False, file=sys.stderr,
        dynamic_ncols=True,
    ) as bar:  # fmt: skip
        yield bar.update
