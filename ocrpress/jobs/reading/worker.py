"""The reading process: an engine and the pipeline, fed with documents on stdin, telling of every page on stdout. Run by
`crew`, not by people.

It hears {"settings": …, "tied"} first, then {"order": …} (with pixels behind it if it is of a single page that is drawn
already), {"drop": document} and {"end": true}. It says {"ready": capabilities, "engine", "mode", "about"}, what `feed`
says, {"done": document} with the encoded result behind it, and before it ends because it cannot go on {"broken": kind,
"message", "advice"} for an error of ours, or {"crashed": message, "cause"} for any other. It ends when its stdin does.
"""

from __future__ import annotations

import gc
import json
import os
import signal
import sys
import threading
import traceback
from dataclasses import asdict
from pathlib import Path
from typing import Any, BinaryIO, NoReturn

from ocrpress.document import PageResult
from ocrpress.engines import describe, open_engine
from ocrpress.errors import OcrpressError, OutputError
from ocrpress.figures import FigureWriter
from ocrpress.jobs.ledger import codec
from ocrpress.jobs.reading.feed import Desk, Feed
from ocrpress.jobs.reading.losses import CRASH, MEMORY
from ocrpress.jobs.reading.order import Order
from ocrpress.jobs.reading.settings import Settings
from ocrpress.pipeline import Options, Substitute, options_for
from ocrpress.pipeline.case import Finisher, Origin
from ocrpress.pipeline.flow import Flow
from ocrpress.quality.ladder import NO_FALLBACK
from ocrpress.sources.checks import check_options
from ocrpress.sources.pool import write_all
from ocrpress.sources.protocol import HEADER, Message, encode, failed_by

PR_SET_PDEATHSIG = 1  # of prctl(2)
LONGEST = 500  # characters of an error that nobody foresaw


def main() -> None:
    """Read what is ordered until stdin ends."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the parent's to handle
    voice = _Voice()
    stream = os.fdopen(os.dup(0), "rb")
    message, _ = _hear(stream)
    if message["tied"]:
        _end_with_the_parent()
    try:
        _serve(Settings.of_message(message["settings"]), stream, voice)
    except BaseException as error:
        voice.end_with(error)


def _end_with_the_parent() -> None:
    """Also where the engine lets no thread of Python run that could see stdin end (Linux)."""
    if sys.platform == "linux":
        import ctypes

        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)


class _Voice:
    """What this process says. Whatever a library prints goes to stderr."""

    def __init__(self) -> None:
        self._descriptor = os.dup(1)
        os.dup2(2, 1)
        self._lock = threading.Lock()

    def say(self, message: dict[str, Any], data: bytes = b"") -> None:
        with self._lock:
            try:
                write_all(self._descriptor, encode(message, len(data)) + data)
            except BrokenPipeError:
                os._exit(0)

    def end_with(self, error: BaseException) -> NoReturn:
        """Say why this process cannot go on, and end it at once: threads that wait for work hold nobody up."""
        if isinstance(error, OcrpressError):
            reply = failed_by(error).message
            kind = "output" if isinstance(error, OutputError) else reply["failure"]
            self.say({"broken": kind, "message": error.message, "advice": error.advice})
        else:
            traceback.print_exception(error)
            cause = MEMORY if isinstance(error, MemoryError) else CRASH
            said = " ".join(f"{type(error).__name__}: {error}".split()).removesuffix(":")
            self.say({"crashed": said[:LONGEST], "cause": cause})
        sys.stderr.flush()
        os._exit(1)


def _serve(settings: Settings, stream: BinaryIO, voice: _Voice) -> None:
    engine = open_engine(settings.engine, settings.engine_options)
    options = options_for(settings.options, engine)
    check_options(options.of_source())

    def finisher(order: Order, options: Options) -> Finisher:
        return Finisher(engine.name, options.mode or "", options.task, _figures(order))

    feed = Feed(options, finisher, voice.say, voice.end_with)
    found = {"engine": engine.name, "mode": options.mode or "", "about": describe(engine)}
    voice.say({"ready": asdict(engine.capabilities), **found})
    threading.Thread(target=_listen, args=(stream, feed, voice), daemon=True).start()
    substitute = Substitute(options.fallback) if options.fallback != NO_FALLBACK else None

    def deliver(origin: Origin, result: PageResult) -> None:
        if isinstance(origin, Desk):
            voice.say({"done": origin.order.document}, codec.encode(result))
            origin.settle()

    gc.collect()
    gc.freeze()  # what is here now stays to the end: the collector need not look at it again and again
    while True:
        feed.wait()
        flow = Flow(engine, options.fallback, feed.pull, deliver, substitute, salvage=False, nudge=feed.nudge)
        for _ in flow.steps():
            pass


def _figures(order: Order) -> FigureWriter | None:
    if order.figures is None:
        return None
    folder, prefix = order.figures
    return FigureWriter(Path(folder), prefix, Path(folder).parent)


def _listen(stream: BinaryIO, feed: Feed, voice: _Voice) -> None:
    """Hear orders until stdin ends, then leave at once, whatever the engine is doing."""
    try:
        while True:
            message, pixels = _hear(stream)
            if "end" in message:
                feed.end()
            elif "drop" in message:
                feed.drop(message["drop"])
            else:
                feed.add(Order.of_message(message["order"], pixels))
    except BaseException as error:
        voice.end_with(error)


def _hear(stream: BinaryIO) -> tuple[Message, bytes]:
    text_bytes, data_bytes = HEADER.unpack(_exactly(stream, HEADER.size))
    return json.loads(_exactly(stream, text_bytes)), _exactly(stream, data_bytes)


def _exactly(stream: BinaryIO, count: int) -> bytes:
    data = stream.read(count)
    if len(data) < count:
        os._exit(0)
    return data


if __name__ == "__main__":
    main()
