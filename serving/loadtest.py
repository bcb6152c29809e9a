#!/usr/bin/env python3
"""Load on a running `ocrpress serve`: many clients that post one page each, and what they were answered.

    python serving/loadtest.py http://127.0.0.1:8000 [--clients 200] [--seconds 60] [--token-file FILE] [--out FILE]

Needs Python, Pillow and loadtest_report.py beside it, nothing of ocrpress. Every client posts a PNG to /v1/convert,
waits for the answer, and posts the next; told 429, it waits as long as Retry-After says. The pages are A4 in grey at
72, 80, 90 and 100 dpi, all different, and no two requests under way have the same one. Where the service runs the
engine `fake`, which reads a checksum of the pixels, every answer is compared with the page that was sent: an answer to
somebody else's page is an error. Where another engine runs, an answer must hold text.

Prints a table, then a line of JSON. Exit codes: 0; 1 there were errors, or a target (--least-rate, --most-p99-ratio, …)
was missed; 2 it could not run. It sends only to this machine unless told --elsewhere, and ends by itself.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import io
import ipaddress
import json
import re
import socket
import sys
import time
import zlib
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from loadtest_report import Found, figures, missed, summary, table

SIZES = ((595, 842), (661, 935), (744, 1052), (827, 1169))  # A4 in pixels at 72, 80, 90 and 100 dpi
BOUNDARY = "ocrpress-load-test-9c1185a5c5e9fc54"
FORM = f"Content-Type: multipart/form-data; boundary={BOUNDARY}\r\nAccept: text/markdown\r\n"
MOST_CLIENTS, MOST_SECONDS = 2000, 3600.0
LONGEST_ANSWER = 16 << 20  # bytes
READ_AS = re.compile(rb"Page \d+ is \d+ by \d+ pixels, [0-9a-f]{8}\.")
TROUBLE = (OSError, EOFError, ValueError, IndexError)  # a connection that breaks, an answer that is none, a time-out


class Refused(Exception):  # noqa: N818
    """It cannot run so; in a line."""


@dataclass(frozen=True)
class Page:
    """A page: the body of the request that sends it, and what the engine `fake` reads of it."""

    body: bytes
    text: bytes


@dataclass(frozen=True)
class Answer:
    """An answer of the service; header names in lower case."""

    status: int
    headers: Mapping[str, str]
    body: bytes


@dataclass
class Connection:
    """One connection that is kept open, to one host; not for several tasks at a time. A library would cost more."""

    host: str
    port: int
    token: str = ""
    from_address: str = ""
    _streams: tuple[asyncio.StreamReader, asyncio.StreamWriter] | None = None

    async def ask(self, method: str, path: str, head: str = "", body: bytes = b"") -> Answer:
        """One request. Raises TROUBLE."""
        if self._streams is None:
            local = (self.from_address, 0) if self.from_address else None
            self._streams = await asyncio.open_connection(self.host, self.port, limit=1 << 20, local_addr=local)
        reader, writer = self._streams
        name = f"[{self.host}]" if ":" in self.host else self.host
        token = f"Authorization: Bearer {self.token}\r\n" if self.token else ""
        length = f"Content-Length: {len(body)}\r\n" if body else ""
        writer.write(f"{method} {path} HTTP/1.1\r\nHost: {name}:{self.port}\r\n{token}{head}{length}\r\n".encode())
        writer.write(body)
        with contextlib.suppress(ConnectionError):  # it may have answered before it had all of it
            await writer.drain()
        answer = await _read_answer(reader)
        if answer.headers.get("connection", "").lower() == "close":
            self.close()
        return answer

    def close(self) -> None:
        """Hang up. Safe to call twice."""
        if self._streams:
            self._streams[1].close()
            self._streams = None


async def _read_answer(reader: asyncio.StreamReader) -> Answer:
    lines = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")
    named = (line.partition(":") for line in lines[1:] if line)
    headers = {name.strip().lower(): value.strip() for name, _, value in named}
    size = int(headers.get("content-length", "none"))
    if size > LONGEST_ANSWER:
        raise ValueError("the answer is too long")
    return Answer(int(lines[0].split(" ", 2)[1]), headers, await reader.readexactly(size))


def make_pages(count: int) -> list[Page]:
    """So many different pages, in the sizes in turn: lines of letters, and a number of its own on each."""
    from PIL import Image, ImageDraw, ImageFont

    font, sheets, pages = ImageFont.load_default(11), [], []
    for size in SIZES:
        sheet = Image.new("L", size, 255)
        for line in range(sheet.height // 20 - 6):
            words = " ".join(f"{zlib.crc32(b'%d %d' % (line, word)):x}" for word in range(sheet.width // 70))
            ImageDraw.Draw(sheet).text((sheet.width // 10, 60 + 20 * line), words, fill=0, font=font)
        sheets.append(sheet)
    for number in range(count):
        image = sheets[number % len(sheets)].copy()
        ImageDraw.Draw(image).text((image.width // 2, 20), f"Page {number:06}", fill=0, font=font)
        file = io.BytesIO()
        image.save(file, "PNG", compress_level=3)
        checksum = zlib.crc32(image.convert("RGB").tobytes())
        text = f"Page 1 is {image.width} by {image.height} pixels, {checksum:08x}."
        pages.append(Page(multipart(f"page{number}.png", file.getvalue()), text.encode()))
    return pages


def multipart(name: str, content: bytes) -> bytes:
    """A form with one file."""
    disposition = f'Content-Disposition: form-data; name="file"; filename="{name}"'
    head = f"--{BOUNDARY}\r\n{disposition}\r\nContent-Type: image/png\r\n\r\n"
    return head.encode() + content + f"\r\n--{BOUNDARY}--\r\n".encode()


def fault_of(answer: Answer, page: Page, checksums: bool) -> str:
    """What is wrong with an answer, in words to count by; empty if nothing is."""
    if answer.status != 200:
        return f"status {answer.status}"
    if answer.headers.get("ocrpress-failed-pages", "0") != "0":
        return "the page failed"
    if not checksums:
        return "" if answer.body.strip() else "no text"
    found = READ_AS.findall(answer.body)
    if found == [page.text]:
        return ""
    return "somebody else's page" if found else "not the text of a page"


class LoadTest:
    """Clients that post pages until the time is over.

    Args:
        connect: a new connection for the client of that number; who asks for /metrics is 0, clients count from 1.
        pages: at least one a client.
        checksums: the service runs the engine `fake`.
        warmup, seconds: what is not counted, and what is.
        patience: seconds to wait for an answer.
    """

    def __init__(
        self, connect: Callable[[int], Connection], pages: Sequence[Page], checksums: bool, warmup: float,
        seconds: float, patience: float,
    ) -> None:  # fmt: skip
        self.found = Found()
        self._connect, self._pages = connect, deque(pages)
        self._checksums, self._patience = checksums, patience
        self._start = time.perf_counter() + warmup
        self._end = self._start + seconds

    async def run(self, clients: int) -> Found:
        """Until the time is over and what is under way is answered."""
        await asyncio.gather(self._scrape(), *(self._client(number) for number in range(1, clients + 1)))
        return self.found

    async def _client(self, number: int) -> None:
        connection = self._connect(number)
        while time.perf_counter() < self._end:
            page = self._pages.popleft()  # nobody else has it now
            wait = await self._post(connection, page)
            self._pages.append(page)
            if wait:
                connection.close()  # it would not be kept so long
                await asyncio.sleep(min(wait, max(0.0, self._end - time.perf_counter())))
        connection.close()

    async def _post(self, connection: Connection, page: Page) -> float:
        """Post a page; returns the seconds to wait before the next."""
        started, found = time.perf_counter(), self.found
        try:
            async with asyncio.timeout(self._patience):
                answer = await connection.ask("POST", "/v1/convert", FORM, page.body)
        except TROUBLE as error:
            found.errors[type(error).__name__] += 1
            return 0.1  # a service that refuses all is not to be flooded
        if answer.status == 429:
            found.told_to_wait += 1
            wait = answer.headers.get("retry-after", "")
            found.errors["429 without Retry-After"] += not wait.isdigit()
            return float(wait) if wait.isdigit() else 1.0
        if fault := fault_of(answer, page, self._checksums):
            found.errors[fault] += 1
            return 0.1
        ended = time.perf_counter()
        if self._start <= ended <= self._end:
            found.latencies.append(ended - started)
        return 0.0

    async def _scrape(self) -> None:
        """What the service says of itself, from the end of the warm-up to the end, some forty times."""
        connection, pause = self._connect(0), max(0.2, (self._end - self._start) / 40)
        await asyncio.sleep(self._start - time.perf_counter())
        while (now := time.perf_counter()) <= self._end:
            with contextlib.suppress(*TROUBLE):
                async with asyncio.timeout(self._patience):
                    answer = await connection.ask("GET", "/metrics")
                self.found.scrapes.append((now - self._start, figures(answer.body.decode())))
            connection.close()
            await asyncio.sleep(pause)


def target_of(url: str, elsewhere: bool) -> tuple[str, int]:
    """Host and port. Raises Refused if it is not this machine."""
    try:
        parts = urlsplit(url)
        host, port = parts.hostname or "", parts.port or 80
        if parts.scheme != "http" or not host or parts.path.strip("/"):
            raise ValueError("give one like http://127.0.0.1:8000")
        addresses = {str(found[4][0]) for found in socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)}
    except (OSError, ValueError) as error:
        raise Refused(f"'{url}' is no address of a service: {error}") from error
    if not elsewhere and not all(ipaddress.ip_address(address).is_loopback for address in addresses):
        raise Refused(f"{host} is not this machine: add --elsewhere if the load is meant for it and its owner agrees")
    return host, port


def tokens_of(path: Path | None) -> list[str]:
    """Tokens, one a line, each the last word of its line; empty for no file."""
    try:
        lines = path.read_text(encoding="utf-8").splitlines() if path else []
    except (OSError, ValueError) as error:
        raise Refused(f"the tokens cannot be read ({error})") from error
    return [line.split()[-1] for line in lines if line.strip() and not line.startswith("#")]


async def is_fake(connection: Connection, patience: float) -> bool:
    """Does the service run the engine `fake`? Raises Refused if there is none."""
    try:
        async with asyncio.timeout(patience):
            answer = await connection.ask("GET", "/metrics")
    except TROUBLE as error:
        raise Refused(f"nothing answers there ({type(error).__name__}: {error})") from error
    finally:
        connection.close()
    if answer.status != 200:
        raise Refused(f"/metrics answers {answer.status}: name the file of tokens with --token-file")
    return re.search(rb'^ocrpress_info\{[^}]*engine="fake"', answer.body, re.MULTILINE) is not None


async def run(args: argparse.Namespace) -> dict[str, Any]:
    """The whole test. Raises Refused."""
    (host, port), tokens = target_of(args.url, args.elsewhere), tokens_of(args.token_file)

    def connect(number: int) -> Connection:
        # All of 127.0.0.0/8 is this machine, on Linux.
        own = f"127.0.{1 + number // 250}.{1 + number % 250}" if args.addresses else ""
        return Connection(host, port, tokens[number % len(tokens)] if tokens else "", own)

    checksums = await is_fake(connect(0), args.patience)
    pages = make_pages(args.clients + max(8, args.clients // 4))
    cpu = time.process_time()
    test = LoadTest(connect, pages, checksums, args.warmup, args.seconds, args.patience)
    result = summary(await test.run(args.clients), args.clients, args.warmup, args.seconds)
    share = args.seconds / (args.warmup + args.seconds)
    if result["pages"]:
        result["cpu_ms_a_page"]["load test"] = round(1000 * (time.process_time() - cpu) * share / result["pages"], 3)
    return {"load_test": f"{host}:{port}", "checked": "checksums" if checksums else "text", **result}


def parse(arguments: Sequence[str] | None = None) -> argparse.Namespace:
    """The command line. Exits with 2 where it is wrong."""
    parser = argparse.ArgumentParser(description="load on a running ocrpress serve")
    add = parser.add_argument
    add("url", help="like http://127.0.0.1:8000")
    add("--clients", type=int, default=200, help=f"1 to {MOST_CLIENTS} (default: %(default)s)")
    add("--seconds", type=float, default=60.0, help=f"that count, up to {MOST_SECONDS:g} (default: %(default)s)")
    add("--warmup", type=float, default=5.0, help="seconds before that do not count (default: %(default)s)")
    add("--patience", type=float, default=120.0, help="seconds to wait for an answer (default: %(default)s)")
    add("--token-file", type=Path, metavar="FILE", help="clients take its tokens in turn")
    add("--addresses", action="store_true", help="give every client an address of its own, in 127.0.0.0/8 (Linux)")
    add("--elsewhere", action="store_true", help="allow a service that is not on this machine")
    add("--least-rate", type=float, metavar="N", help="pages a second")
    add("--most-p99-ratio", type=float, metavar="N", help="of p99 to p50")
    add("--most-growth", type=float, metavar="N", help="of memory, last quarter to first")
    add("--most-errors", type=int, default=0, metavar="N", help="(default: %(default)s)")
    add("--out", type=Path, metavar="FILE", help="write the JSON there, too")
    args = parser.parse_args(arguments)
    if not (1 <= args.clients <= MOST_CLIENTS and 0 < args.seconds <= MOST_SECONDS and 0 <= args.warmup <= 600):
        parser.error("clients, seconds or warm-up are out of range")
    return args


def main(arguments: Sequence[str] | None = None) -> int:
    """Parse, load, print."""
    args = parse(arguments)
    try:
        result = asyncio.run(run(args))
    except Refused as error:
        print(f"loadtest: {error}", file=sys.stderr)
        return 2
    print(table(result))
    if args.out:
        args.out.write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")
    failed = missed(result, args)
    for line in failed:
        print(f"loadtest: {line}", file=sys.stderr)
    print(json.dumps(result))
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
