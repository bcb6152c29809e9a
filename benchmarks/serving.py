"""`ocrpress serve` measured: under load, beside the engine called directly, and how it is while its engine is busy.

    python benchmarks/serving.py load [--clients 200] [--seconds 60] [--out FILE.json]
    python benchmarks/serving.py overhead [--pages 200] [--repeats 3] [--out FILE.json]
    python benchmarks/serving.py health [--engines fake rapid] [--clients 12] [--seconds 60] [--out FILE.json]

Every part starts services of its own on free ports of 127.0.0.1, as whole processes, and stops them with SIGTERM. The
load comes from serving/loadtest.py, a process of its own. `load` takes the engine `fake`, which costs next to nothing:
measured is everything else. `overhead` posts page after page from one client, and reads the same files in this process
by `ocrpress.convert` and in a reading process of its own, page by page in turn. `health` asks /healthz twenty times a
second meanwhile. Prints a table, then a JSON line.
"""

from __future__ import annotations

import argparse
import contextlib
import http.client
import io
import json
import signal
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Callable, Iterator, Sequence
from importlib.metadata import version
from pathlib import Path
from statistics import median
from typing import Any

from PIL import Image, ImageDraw

import ocrpress
from ocrpress.engines.fake import FakeEngine
from ocrpress.jobs.reading.crew import Crew
from ocrpress.jobs.reading.order import Done, Order, Refused
from ocrpress.jobs.reading.settings import Settings
from ocrpress.measure.machine import describe_machine

LOAD_TEST = Path(__file__).resolve().parents[1] / "serving" / "loadtest.py"
PATIENCE = 120.0  # seconds; for a service to start or to stop
PACKAGES = ("fastapi", "httptools", "prometheus-client", "python-multipart", "starlette", "uvicorn")
A4 = (661, 935)  # pixels, at 80 dpi
BETWEEN = 0.05  # seconds between two questions about health
TARGETS = ("--least-rate", "100", "--most-p99-ratio", "3", "--most-growth", "1.1")  # of load


@contextlib.contextmanager
def service(engine: str, *options: str) -> Iterator[int]:
    """A service that is ready, in a folder of its own; gives its port. It must end well on SIGTERM."""
    with socket.create_server(("127.0.0.1", 0)) as place:
        port: int = place.getsockname()[1]
    with tempfile.TemporaryDirectory() as folder:
        serve = ["serve", "--engine", engine, "--port", str(port), "--folder", folder, "--quiet", *options]
        process = subprocess.Popen([sys.executable, "-m", "ocrpress", *serve], stderr=subprocess.DEVNULL)
        try:
            _wait_until_ready(process, port)
            yield port
        finally:
            process.send_signal(signal.SIGTERM)
            code = process.wait(PATIENCE)
        if code:
            raise SystemExit(f"ocrpress {' '.join(serve)} ended with {code}")


def _wait_until_ready(process: subprocess.Popen[bytes], port: int) -> None:
    until = time.monotonic() + PATIENCE
    while process.poll() is None and time.monotonic() < until:
        with contextlib.suppress(OSError), urllib.request.urlopen(f"http://127.0.0.1:{port}/readyz"):
            return
        time.sleep(0.05)
    raise SystemExit("the service does not start")


def load_test(port: int, *options: str) -> dict[str, Any]:
    """What serving/loadtest.py finds; its table goes to stdout, what it missed to stderr."""
    command = [sys.executable, str(LOAD_TEST), f"http://127.0.0.1:{port}", *options]
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True)
    lines = done.stdout.splitlines()
    if not lines:
        raise SystemExit("the load test did not run")
    print("\n".join(lines[:-1]))
    found: dict[str, Any] = json.loads(lines[-1])
    return {"targets": " ".join(TARGETS), "targets_met": done.returncode == 0, **found}


def load(args: argparse.Namespace) -> dict[str, Any]:
    """Many clients, one page each at a time."""
    clients = ("--clients", str(args.clients), "--seconds", str(args.seconds))
    with service("fake") as port:
        return load_test(port, *clients, *TARGETS, *(["--addresses"] if args.addresses else []))


def health(args: argparse.Namespace) -> dict[str, Any]:
    """How soon /healthz answers while a dozen clients keep the engine busy."""
    found = {}
    for engine in args.engines:
        with service(engine) as port:
            clients = ["--clients", str(args.clients), "--seconds", str(args.seconds), "--warmup", "2"]
            command = [sys.executable, str(LOAD_TEST), f"http://127.0.0.1:{port}", *clients]
            with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as loading:
                time.sleep(3)  # its pages are made, its clients are at work
                seconds = ask_health(port, args.seconds - 2)
                told, _ = loading.communicate()
        pages = json.loads(told.splitlines()[-1])
        found[engine] = {"answers": len(seconds), **spread(seconds), "pages_per_second": pages["pages_per_second"],
                         "errors": pages["errors"]}  # fmt: skip
        print(f"{engine:<8} {_shown(found[engine])}  beside {pages['pages_per_second']:g} pages/s")
    return {"clients": args.clients, "seconds": args.seconds, "engines": found}


def ask_health(port: int, seconds: float) -> list[float]:
    """Seconds of each answer, every time over a new connection, as probes do it."""
    until, took = time.monotonic() + seconds, []
    while time.monotonic() < until:
        started = time.perf_counter()
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/healthz") as answer:
            answer.read()
        took.append(time.perf_counter() - started)
        time.sleep(BETWEEN)
    return took


def overhead(args: argparse.Namespace) -> dict[str, Any]:
    """One client over HTTP, and the same pages read directly, page by page in turn."""
    with tempfile.TemporaryDirectory() as folder, service("fake") as port, reading_process() as crew:
        files = make_files(Path(folder), args.pages)
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=PATIENCE)
        ways: dict[str, Callable[[Path], str]] = {
            "convert": lambda path: ocrpress.convert(path, engine=FakeEngine()).text,
            "reading process": crew,
            "HTTP": lambda path: post(connection, path),
        }
        rounds = [time_ways(ways, files, turn) for turn in range(args.repeats + 1)][1:]  # the first warms up
        connection.close()
    medians = {way: [1000 * median(taken[way]) for taken in rounds] for way in ways}
    found: dict[str, Any] = {"pages": args.pages, "repeats": args.repeats}
    for way, values in medians.items():
        every = [1000 * seconds for taken in rounds for seconds in taken[way]]
        found[way.replace(" ", "_")] = {
            "median_ms": round(median(every), 3), "p90_ms": round(sorted(every)[int(0.9 * len(every))], 3),
            "rounds_ms": [round(value, 3) for value in values],
        }  # fmt: skip
        print(f"{way:<16} median {median(every):6.2f} ms a page, rounds {min(values):.2f} to {max(values):.2f}")
    for way in ("convert", "reading process"):
        more = [over - direct for over, direct in zip(medians["HTTP"], medians[way], strict=True)]
        found[f"overhead_over_{way.replace(' ', '_')}_ms"] = round(median(more), 3)
        print(f"HTTP over {way}: {median(more):.2f} ms a page ({min(more):.2f} to {max(more):.2f})")
    return found


def time_ways(ways: dict[str, Callable[[Path], str]], files: Sequence[Path], turn: int) -> dict[str, list[float]]:
    """Seconds of every page by every way, the ways in another order each time. All must read the same."""
    taken: dict[str, list[float]] = {way: [] for way in ways}
    names = list(ways)
    for number, path in enumerate(files):
        texts = set()
        first = (turn + number) % len(names)
        for way in names[first:] + names[:first]:
            started = time.perf_counter()
            texts.add(ways[way](path).strip())
            taken[way].append(time.perf_counter() - started)
        if len(texts) != 1:
            raise SystemExit(f"{path.name} was not read alike: {texts}")
    return taken


class Single:
    """Orders for a reading process: one document, and the next when it is wanted."""

    exhausted = False

    def __init__(self) -> None:
        self.next: Order | None = None

    def take(self) -> Order | None:
        """See Orders."""
        order, self.next = self.next, None
        return order


@contextlib.contextmanager
def reading_process() -> Iterator[Callable[[Path], str]]:
    """Reads a document of one page in a process as the service has one, and gives its text."""
    crew, orders = Crew(Settings("fake")), Single()
    crew.open()
    events = crew.read(orders)
    number = 0

    def read(path: Path) -> str:
        nonlocal number
        number += 1
        orders.next = Order(number, str(path), path.name)
        for event in events:
            if isinstance(event, Refused):
                raise SystemExit(event.error)
            if isinstance(event, Done):
                return event.result.text
        raise SystemExit("the reading process has ended")

    try:
        yield read
    finally:
        crew.close()


def make_files(folder: Path, count: int) -> list[Path]:
    """Pages in grey, each with lines of its own."""
    paths = []
    for number in range(count):
        image = Image.new("L", A4, 255)
        drawing = ImageDraw.Draw(image)
        for line in range(40):
            drawing.text((60, 60 + 20 * line), f"Page {number}, line {line}: " + "the quick brown fox " * 4, fill=0)
        paths.append(folder / f"{number:05}.png")
        image.save(paths[-1])
    return paths


def post(connection: http.client.HTTPConnection, path: Path) -> str:
    """The text of a page that is posted."""
    edge = "ocrpress-benchmark-2f4b8c0a61d7"
    body = io.BytesIO()
    body.write(f'--{edge}\r\nContent-Disposition: form-data; name="file"; filename="{path.name}"\r\n\r\n'.encode())
    body.write(path.read_bytes())
    body.write(f"\r\n--{edge}--\r\n".encode())
    headers = {"Content-Type": f"multipart/form-data; boundary={edge}", "Accept": "text/plain"}
    connection.request("POST", "/v1/convert", body.getvalue(), headers)
    answer = connection.getresponse()
    text = answer.read().decode()
    if answer.status != 200:
        raise SystemExit(f"the service answered {answer.status}: {text}")
    return text


def spread(seconds: Sequence[float]) -> dict[str, float]:
    """Milliseconds."""
    ranked = sorted(1000 * value for value in seconds)
    shares = {"median_ms": 0.5, "p99_ms": 0.99, "max_ms": 1.0}
    return {name: round(ranked[min(len(ranked) - 1, int(share * len(ranked)))], 2) for name, share in shares.items()}


def _shown(found: dict[str, Any]) -> str:
    return f"median {found['median_ms']:.1f} ms, p99 {found['p99_ms']:.1f} ms, max {found['max_ms']:.1f} ms"


def main() -> None:
    """Parse, measure, print."""
    parser = argparse.ArgumentParser(description="ocrpress serve, measured")
    parser.add_argument("part", choices=["load", "overhead", "health"])
    parser.add_argument("--clients", type=int, help="of load (default: 200) and health (12)")
    parser.add_argument("--seconds", type=float, default=60.0)
    parser.add_argument("--addresses", action="store_true", help="of load: every client has an address of its own")
    parser.add_argument("--pages", type=int, default=200, help="of overhead")
    parser.add_argument("--repeats", type=int, default=3, help="of overhead")
    parser.add_argument("--engines", nargs="+", default=["fake", "rapid"], help="of health")
    parser.add_argument("--out", type=Path)
    args = parser.parse_args()
    args.clients = args.clients or {"load": 200, "health": 12}.get(args.part)
    measure = {"load": load, "overhead": overhead, "health": health}[args.part]
    about = describe_machine()
    about["versions"] = {**about["versions"], **{name: version(name) for name in PACKAGES}}  # type: ignore[dict-item]
    result = {"benchmark": f"serving {args.part}", **measure(args), **about}
    if args.out:
        args.out.write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")
    print(json.dumps(result))


if __name__ == "__main__":
    main()
