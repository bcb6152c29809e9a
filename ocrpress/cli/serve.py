"""`ocrpress serve`: an HTTP API, and a page to drop a document on."""

from __future__ import annotations

import argparse
import os
import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ocrpress.cli.choose import choose_engine
from ocrpress.cli.options import MODEL_GROUP
from ocrpress.cli.parser import add_debug
from ocrpress.cli.reading import add_reading, add_rejection, reading_options, render_workers
from ocrpress.errors import UsageError
from ocrpress.jobs.reading.settings import PAGE_LIMITS, Settings
from ocrpress.server.settings import ServerSettings

if TYPE_CHECKING:
    from ocrpress.cli.choose import Choice
    from ocrpress.cli.parser import Parser

FOLDER = "OCRPRESS_FOLDER"
# What a request says of its own document, or has no place in a service.
OF_REQUESTS = frozenset({"--pages", "--password", "--keep-furniture", "--page-breaks"})
PASSED_ON = (
    "host", "port", "max_bytes", "max_pages", "queue", "max_jobs", "keep_hours", "request_seconds", "upload_seconds",
    "drain_seconds",
)  # fmt: skip
_UNITS = {"": 0, "K": 10, "M": 20, "G": 30, "T": 40}


def add_parser(subparsers: argparse._SubParsersAction[Parser], about: str) -> None:
    """Add the command. Options without a default are left out when not given: their defaults live in the library."""
    parser = subparsers.add_parser(
        "serve",
        help=about,
        description="Read documents for others, over HTTP: an API under /v1, described in /openapi.json, and a page at"
        " / to drop documents on. Needs pip install 'ocrpress[serve]'.",
        argument_default=argparse.SUPPRESS,
    )
    add = parser.add_argument
    add("--host", metavar="H", help=f"address to listen on (default: {ServerSettings.host}, this machine alone)")
    add("--port", type=int, metavar="N", help=f"port to listen on; 0 takes a free one (default: {ServerSettings.port})")
    add("--token-file", default=None, metavar="FILE", help="let in only those with a token of this file: 'NAME TOKEN'"
        " or 'TOKEN' a line")  # fmt: skip
    add("--origin", action="append", default=[], metavar="URL", help="a site whose pages may use the API from browsers,"
        " like https://example.org; may be repeated")  # fmt: skip
    add("--folder", default=None, metavar="DIR", help=f"for uploads, jobs and their results (default: ${FOLDER}, or one"
        " in the user's state folder)")  # fmt: skip
    _add_limits(parser.add_argument_group("limits").add_argument)
    add_reading(_without(OF_REQUESTS, parser.add_argument_group("how pages are read").add_argument))
    add("--workers", type=int, metavar="N", help=f"documents rendered side by side (default here: {render_workers()})")
    add_rejection(parser.add_argument_group(MODEL_GROUP).add_argument)
    add("--log-format", default="line", metavar="F", help="line or json (default: %(default)s)")
    add("--quiet", action="store_true", default=False, help="log only what goes wrong")
    add_debug(parser)


def _add_limits(add: Callable[..., object]) -> None:
    of = ServerSettings
    add("--max-pages", type=int, metavar="N", help=f"of a document (default: {of.max_pages:,})")
    add(
        "--max-bytes",
        type=_bytes,
        metavar="N",
        help=f"of an upload, like 500K, 100M or 1G (default: {_short(of.max_bytes)})",
    )
    add("--queue", type=int, metavar="N", help="documents that are read or wait for an answer; more are told to come"
        f" again (default: {of.queue:,})")  # fmt: skip
    add("--max-jobs", type=int, metavar="N", help=f"jobs that are not finished (default: {of.max_jobs:,})")
    add("--keep-hours", type=float, metavar="H", help=f"how long finished jobs are kept (default: {of.keep_hours:g})")
    add("--request-seconds", type=float, metavar="S", help="how long a request may wait for its pages; jobs have no"
        f" limit (default: {of.request_seconds:g})")  # fmt: skip
    add("--upload-seconds", type=float, metavar="S", help="how long an upload may send nothing (default:"
        f" {of.upload_seconds:g})")  # fmt: skip
    add("--drain-seconds", type=float, metavar="S", help="how long requests may go on after SIGTERM (default:"
        f" {of.drain_seconds:g})")  # fmt: skip
    limits = ", ".join(f"{engine} {seconds:g}" for engine, seconds in PAGE_LIMITS.items())
    add("--page-limit", type=float, metavar="S", help=f"seconds that a page may take (default: {limits};"
        " at most --request-seconds)")  # fmt: skip


def run(args: argparse.Namespace) -> int:
    """Serve until SIGTERM or Ctrl-C. All that can be refused is refused before the engine is opened."""
    from ocrpress.cli.say import say

    choice = choose_engine(args.engine, vars(args))
    settings = _settings(args, choice)
    _check_installed()

    from ocrpress.server.run import serve

    if args.token_file is not None:
        from ocrpress.server.door.token_file import is_open_to_others

        if is_open_to_others(Path(args.token_file)):
            say(f"others than you may read {args.token_file}: chmod 600 {args.token_file}")
    if choice.why:
        say(f"engine {choice.name}: {choice.why}")
    return serve(settings, say, args.log_format, quiet=args.quiet)


def _settings(args: argparse.Namespace, choice: Choice) -> ServerSettings:
    from ocrpress.server.door.token_file import read_tokens

    given: dict[str, Any] = {name: getattr(args, name) for name in PASSED_ON if hasattr(args, name)}
    for origin in args.origin:
        if not re.fullmatch(r"https?://[^/?#\s@]+", origin):
            raise UsageError(f"--origin {origin} is no origin", "give it like https://example.org, without a path")
    instead = {"max_pages": given.get("max_pages", ServerSettings.max_pages)}
    if not hasattr(args, "workers"):
        instead["workers"] = render_workers()
    options = reading_options(args, choice.name, **instead)
    reading = Settings(choice.name, choice.options, options, getattr(args, "page_limit", None))
    tokens = {} if args.token_file is None else read_tokens(Path(args.token_file))
    settings = ServerSettings(reading, _folder(args.folder), tokens=tokens, origins=tuple(args.origin), **given)
    # A page that hangs holds up all others until it is given up.
    longest = reading.page_limit or min(reading.limit, settings.request_seconds)
    return replace(settings, reading=replace(reading, page_limit=longest))


def _folder(given: str | None) -> Path:
    """Where the service keeps its things, absolute."""
    state = os.environ.get("XDG_STATE_HOME") or Path.home() / ".local" / "state"
    found = given or os.environ.get(FOLDER) or Path(state, "ocrpress", "serve")
    return Path(os.path.abspath(Path(found).expanduser()))  # noqa: PTH100 (a link stays what people called it)


def _check_installed() -> None:
    try:
        import fastapi  # noqa: F401
        import httptools  # noqa: F401
        import prometheus_client  # noqa: F401
        import python_multipart  # noqa: F401
        import uvicorn  # noqa: F401
    except ImportError as error:
        raise UsageError(f"'ocrpress serve' needs more ({error})", "run: pip install 'ocrpress[serve]'") from error


def _without(names: frozenset[str], add: Callable[..., object]) -> Callable[..., object]:
    """`add`, but for these options."""
    return lambda name, *more, **about: None if name in names else add(name, *more, **about)


def _bytes(text: str) -> int:
    """A number of bytes: "500000", "500K", "100M", "1.5 GiB"; K is 1024."""
    found = re.fullmatch(r"(\d{1,15}(?:\.\d{1,6})?)\s*([KMGT]?)(?:i?B)?", text.strip(), re.IGNORECASE)
    if not found:
        raise argparse.ArgumentTypeError(f"'{text}' is no number of bytes: give one like 500K, 100M or 1G")
    return int(float(found[1]) * (1 << _UNITS[found[2].upper()]))


def _short(count: int) -> str:
    """A number of bytes as `_bytes` takes it."""
    unit = max((unit for unit in _UNITS if count % (1 << _UNITS[unit]) == 0), key=lambda unit: _UNITS[unit])
    return f"{count >> _UNITS[unit]}{unit}"
