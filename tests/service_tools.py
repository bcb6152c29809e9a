"""The service, really running: a loop in a thread, a port of its own, a reading process; and documents to send it.

with running(tmp_path) as server:
    server.client.post("/v1/convert", files=upload(png()))
"""

from __future__ import annotations

import asyncio
import contextlib
import io
import json
import socket
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import httpx
import pdfmaker
from PIL import Image, ImageDraw

from ocrpress.engines.base import EngineOptions
from ocrpress.jobs.reading.link import COMMAND
from ocrpress.jobs.reading.settings import Settings
from ocrpress.pipeline import Options
from ocrpress.server.run import House, address, bound, make_service
from ocrpress.server.service import Service
from ocrpress.server.settings import ServerSettings

PATIENCE = 60.0  # seconds; for what must come, on a loaded machine


@dataclass
class Running:
    """A service that runs.

    Attributes:
        url: like http://127.0.0.1:40123, without a slash at the end.
        client: for requests to it; paths are enough.
        said: what it has told people.
        error: what it ended with.
    """

    service: Service
    url: str
    client: httpx.Client
    said: list[str] = field(default_factory=list)
    error: BaseException | None = None
    _house: House | None = None
    _loop: asyncio.AbstractEventLoop | None = None
    _thread: threading.Thread | None = None

    @property
    def folder(self) -> Path:
        """The service's own."""
        return self.service.settings.folder

    @property
    def port(self) -> int:
        return int(self.url.rpartition(":")[2])

    @property
    def uploads(self) -> list[Path]:
        """Uploads that are on the disk at the moment."""
        return sorted((self.folder / "uploads").iterdir())

    def begin_to_stop(self) -> None:
        """As SIGTERM does."""
        assert self._loop
        assert self._house
        self._loop.call_soon_threadsafe(self._house.stop)

    def stop(self) -> None:
        """Stop it and wait for its end. Safe to call twice."""
        if self._thread and self._thread.is_alive():
            with contextlib.suppress(RuntimeError):  # its loop has ended in this moment
                self.begin_to_stop()
            self._thread.join(PATIENCE)
            assert not self._thread.is_alive(), "it does not end"

    def connect(self) -> socket.socket:
        """A bare connection to it."""
        return socket.create_connection(("127.0.0.1", self.port), timeout=PATIENCE)


@contextlib.contextmanager
def running(
    folder: Path,
    engine: str = "fake",
    *,
    options: Options | None = None,
    engine_options: EngineOptions | None = None,
    page_limit: float | None = None,
    command: Sequence[str] = COMMAND,
    wait: bool = True,
    **settings: object,
) -> Iterator[Running]:
    """A service that runs, stopped at the end.

    Args:
        folder: a place for its own folder, which is kept between services that are given the same one.
        options: of the pipeline, where requests say nothing.
        command: what runs the reading process; see faulty_worker.py.
        wait: until its engine is open.
        settings: of ServerSettings.
    """
    reading = Settings(engine, engine_options or EngineOptions(), options or Options(), page_limit)
    given = {"port": 0, "drain_seconds": 0.5, "folder": folder / "served", **settings}
    made = ServerSettings(reading, **given)  # type: ignore[arg-type]
    with bound(made) as place, httpx.Client(base_url=address(place), timeout=PATIENCE, trust_env=False) as client:
        server = Running(make_service(made, command), address(place), client)
        _start(server, place)
        try:
            if wait:
                wait_until(lambda: server.service.desk.state == "ready" or server.error is not None)
                if server.error:
                    raise server.error
            yield server
        finally:
            server.stop()


def _start(server: Running, place: socket.socket) -> None:
    begun = threading.Event()

    async def live() -> None:
        server._loop, server._house = asyncio.get_running_loop(), House(server.service, place, server.said.append)
        begun.set()
        await server._house.run()

    def run() -> None:
        try:
            asyncio.run(live())
        except BaseException as error:
            server.error = error
        finally:
            begun.set()

    server._thread = threading.Thread(target=run, name="service")
    server._thread.start()
    begun.wait(PATIENCE)


def faulty_command(folder: Path, *faults: Sequence[object], **engine: object) -> tuple[str, ...]:
    """What runs a reading process that does harm, for `command`; see faulty_worker.py. Engine: of FakeEngine."""
    spec = {"engine": engine, "faults": faults, "read": str(folder / "read")}
    (folder / "read").touch()
    (folder / "spec.json").write_text(json.dumps(spec))
    return (sys.executable, "-P", str(Path(__file__).with_name("faulty_worker.py")), str(folder / "spec.json"))


def wait_until(condition: Callable[[], object], seconds: float = PATIENCE) -> None:
    """Wait for something that must come."""
    until = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < until, "in vain"
        time.sleep(0.01)


def upload(data: bytes, name: str = "page.png", kind: str = "application/octet-stream") -> dict[str, object]:
    """For `files=` of a request."""
    return {"file": (name, data, kind)}


def png(what: str | tuple[int, int] = "a page", kind: str = "PNG") -> bytes:
    """A picture of 300 by 200 pixels with a text on it, or one of that size with a black box."""
    width, height = (300, 200) if isinstance(what, str) else what
    image = Image.new("RGB", (width, height), "white")
    drawing = ImageDraw.Draw(image)
    if isinstance(what, str):
        drawing.text((20, 20), what, fill="black", font_size=24)
    else:
        drawing.rectangle((width // 10, height // 10, width // 3, height // 3), fill="black")
    stream = io.BytesIO()
    image.save(stream, kind, dpi=(72, 72))
    return stream.getvalue()


def pdf(pages: int = 1, **options: str) -> bytes:
    """A PDF whose pages say which page they are; options of pdfmaker.make_pdf, like user="secret"."""
    return pdfmaker.make_text_pdf(pages, **options)
