"""The service as a process: its folder, its socket, the engine, and how it ends.

    bound ─▶ listening (not ready) ─▶ engine open: ready ─▶ SIGTERM: draining ─▶ closed

Knows nothing of what is asked of the service.
"""

from __future__ import annotations

import asyncio
import contextlib
import gc
import os
import resource
import shutil
import signal
import socket
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import uvicorn

from ocrpress.errors import OcrpressError, OutputError, UsageError
from ocrpress.jobs.reading.link import COMMAND
from ocrpress.server.app import build_app
from ocrpress.server.desk.desk import Desk
from ocrpress.server.desk.facts import Guest
from ocrpress.server.door.callers import is_loopback
from ocrpress.server.door.connection import connection_class
from ocrpress.server.door.logs import FORMATS, logging_to_stderr
from ocrpress.server.door.metrics import Metrics
from ocrpress.server.intake.uploads import FOLDER
from ocrpress.server.jobs.store import JobStore
from ocrpress.server.service import Service
from ocrpress.sources.bench import Bench

if TYPE_CHECKING:
    from ocrpress.server.settings import ServerSettings

LOG = "reading.log"
BACKLOG = 1024
KEEP_ALIVE = 75.0  # seconds; longer than a load balancer's minute, so that it is not we who close a used connection
LAST_WORDS = 3.0  # seconds in which those who still wait are told that the service ends
LOOK = 0.5  # seconds between two looks at the desk
MOST_FILES = 65536
SPARE_FILES = 128  # descriptors for what is not a connection
_SIGNALS = (signal.SIGTERM, signal.SIGINT)


def serve(
    settings: ServerSettings,
    say: Callable[[str], object] = print,
    log_format: str = FORMATS[0],
    *,
    quiet: bool = False,
) -> int:
    """Serve until SIGTERM or Ctrl-C. Returns the exit code.

    Args:
        say: tells people where the service is to be found.
        quiet: log only what went wrong.

    Raises:
        UsageError: the port is taken, or another service uses the folder.
        OutputError: the folder cannot be used.
        EngineError: the engine cannot be opened, or the service cannot go on.
    """
    os.umask(0o077)  # uploads are nobody else's
    _allow_many_files()
    with bound(settings) as place, logging_to_stderr(log_format, quiet=quiet):
        return asyncio.run(_until_signal(House(make_service(settings), place, say, quiet)))


async def _until_signal(house: House) -> int:
    loop = asyncio.get_running_loop()
    heard: list[int] = []

    def hear(number: int) -> None:
        if heard:
            os._exit(128 + number)  # the processes that read and draw end with their pipes
        heard.append(number)
        house.stop()

    for number in _SIGNALS:
        loop.add_signal_handler(number, hear, number)
    await house.run()
    return 0


def make_service(settings: ServerSettings, command: Sequence[str] = COMMAND) -> Service:
    """All that handlers need; nothing runs yet. Raises OutputError if the folder cannot be used.

    Args:
        command: what runs the reading process.
    """
    folder = settings.folder
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        (folder / FOLDER).mkdir(mode=0o700, exist_ok=True)
    except OSError as error:
        raise OutputError(f"cannot use {folder} ({error.strerror or error})", "choose another with --folder") from error
    jobs, metrics = JobStore(settings), Metrics(settings.reading)
    guests: list[Guest] = [jobs, Leftovers(folder / FOLDER)]
    desk = Desk(settings.reading, settings.queue, guests, metrics.saw_page, folder / LOG, command)
    jobs.attach(desk)
    metrics.attach(desk, jobs)
    return Service(settings, desk, jobs, metrics, Bench())


@dataclass(frozen=True)
class Leftovers:
    """Uploads of a service that was killed: a guest of the desk, which goes after the one that locks the folder."""

    folder: Path

    def open(self) -> None:
        """Remove them; nothing is uploaded before the engine is open."""
        for path in self.folder.iterdir():
            shutil.rmtree(path, ignore_errors=True) if path.is_dir() else path.unlink(missing_ok=True)

    def tick(self) -> None:
        """Nothing."""

    def close(self) -> None:
        """Nothing."""


class House:
    """A service, its HTTP server and its socket, in one event loop."""

    def __init__(
        self, service: Service, place: socket.socket, say: Callable[[str], object], quiet: bool = False
    ) -> None:
        self.service, self._place, self._say, self._quiet = service, place, say, quiet
        self._stop = asyncio.Event()
        limits = connection_class(most=_most_connections(), head_seconds=service.settings.upload_seconds)
        self._http = _Server(
            uvicorn.Config(
                build_app(service), http=limits, ws="none", lifespan="off", log_config=None, access_log=False,
                server_header=False, proxy_headers=False, timeout_keep_alive=round(KEEP_ALIVE),
                timeout_graceful_shutdown=round(LAST_WORDS), backlog=BACKLOG,
            )
        )  # fmt: skip

    def stop(self) -> None:
        """Begin to drain; within the loop."""
        self._stop.set()

    async def run(self) -> None:
        """Serve until `stop`. Raises OcrpressError where it cannot begin, or not go on."""
        listening = asyncio.create_task(self._http.serve([self._place]))
        opening = asyncio.create_task(asyncio.to_thread(self.service.desk.start))
        stopping = asyncio.create_task(self._stop.wait())
        try:
            await asyncio.wait([listening, opening, stopping], return_when=asyncio.FIRST_COMPLETED)
            if opening.done():
                opening.result()
                gc.collect()
                gc.freeze()  # what is here now stays to the end: the collector need not look at it again and again
                self._announce()
                await self._watch(listening)
                await self._drain()
            if listening.done():
                listening.result()
        except OcrpressError as error:
            raise _of_the_service(error) from error
        finally:
            self.service.draining = True
            await self._close(listening)
            stopping.cancel()
            await asyncio.gather(opening, stopping, return_exceptions=True)

    async def _watch(self, listening: asyncio.Task[None]) -> None:
        """Wait for the end: `stop`, or that the desk cannot go on."""
        desk = self.service.desk
        while not self._stop.is_set() and not listening.done():
            if desk.state == "closed":
                raise desk.error or OcrpressError("the engine was closed")
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._stop.wait(), LOOK)

    async def _drain(self) -> None:
        """Let what is under way finish, for a while."""
        self.service.draining = True
        await self._idle(self.service.settings.drain_seconds)

    async def _idle(self, seconds: float) -> None:
        """Wait until nothing is under way, at most so long."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                while self.service.under_way:
                    await asyncio.sleep(0.02)

    async def _close(self, listening: asyncio.Task[None]) -> None:
        """Who still waits is told so by the desk; then connections are closed."""
        await asyncio.to_thread(self.service.desk.close)
        await self._idle(LAST_WORDS)
        self._http.should_exit = True
        await asyncio.gather(listening, return_exceptions=True)
        await asyncio.to_thread(self.service.bench.close)

    def _announce(self) -> None:
        settings, engine = self.service.settings, self.service.desk.engine
        about = f" (engine {engine.name}, mode {engine.mode})" if engine else ""
        if engine and engine.about and not self._quiet:
            self._say(engine.about)
        self._say(f"serving on {address(self._place)}{about}")
        if not settings.tokens and not is_loopback(settings.host):
            self._say(f"anybody who reaches {settings.host} may use it: --token-file lets in only those with a token")


class _Server(uvicorn.Server):
    """uvicorn's; signals are ours."""

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Leave them alone."""
        yield


@contextlib.contextmanager
def bound(settings: ServerSettings) -> Iterator[socket.socket]:
    """A socket that listens where the settings say. Raises UsageError."""
    host, port = settings.host, settings.port
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
    except (OSError, UnicodeError) as error:
        raise UsageError(f"no address is known for {host!r} ({error})", "give one with --host") from error
    family, kind, protocol, _, place = min(found, key=lambda one: one[0] != socket.AF_INET)  # localhost: 127.0.0.1
    with socket.socket(family, kind, protocol) as opened:
        opened.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            opened.bind(place)
            opened.listen(BACKLOG)
        except OSError as error:
            why = error.strerror or error
            raise UsageError(f"cannot listen on {host} port {port} ({why})", "choose another with --port") from error
        yield opened


def address(place: socket.socket) -> str:
    """The URL of a socket that listens."""
    host, port = place.getsockname()[:2]
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"


def _of_the_service(error: OcrpressError) -> OcrpressError:
    """An error of the batch's ledger advises its options; these are ours."""
    if not isinstance(error, UsageError) or "-o" not in error.advice.split():
        return error
    advice = " ".join("--folder" if word.strip(",;") == "-o" else word for word in error.advice.split())
    return type(error)(error.message, advice)


def _allow_many_files() -> None:
    """A connection takes a descriptor, its upload another one; the usual limit of 1024 is soon reached."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    most = MOST_FILES if hard == resource.RLIM_INFINITY else min(hard, MOST_FILES)
    if soft != resource.RLIM_INFINITY and soft < most:
        with contextlib.suppress(OSError, ValueError):
            resource.setrlimit(resource.RLIMIT_NOFILE, (most, hard))


def _most_connections() -> int:
    """So many that descriptors do not run out."""
    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    most = MOST_FILES if soft == resource.RLIM_INFINITY else soft
    return max(16, (min(most, MOST_FILES) - SPARE_FILES) // 3)
