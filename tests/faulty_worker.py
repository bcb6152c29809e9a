"""The reading process with an engine that does harm, on pages that a test chose. Run as `python faulty_worker.py SPEC`.

SPEC is a JSON file: "engine" holds the settings of the FakeEngine; "faults" are lists [width, page, what, times]: the
first so many times that the page with that number, of the document whose pages are so many points wide, is read,
something happens (times 0: always). Page 0 is the opening of the document whose file has that name; the document
"engine" is the engine. "read" names a file that gets a line for all of these, before anything happens. With
"side_by_side" pages are pulled in a thread of their own and read in others, as rapid and server do. "plan" is what the
engine says of how it runs.
"""

from __future__ import annotations

import ctypes
import json
import os
import resource
import signal
import sys
import time
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

from ocrpress.document import Completion, Request
from ocrpress.engines.deepseek.plan import DecodePlan
from ocrpress.engines.fake import FakeEngine, describe
from ocrpress.engines.side_by_side import SideBySide
from ocrpress.errors import EngineError
from ocrpress.jobs.reading import feed, worker


def crash() -> None:
    """Here and now; a signal that is sent may come a little later."""
    ctypes.string_at(0)


def be_killed() -> None:
    os.kill(os.getpid(), signal.SIGKILL)
    hang()


def leave() -> None:
    os._exit(7)


def hang() -> None:
    time.sleep(1e6)


def hang_with_the_interpreter() -> None:
    """No other thread of Python runs any more."""
    ctypes.PyDLL(None).pause()


def eat_memory() -> None:
    used = int(Path("/proc/self/statm").read_text().split()[0]) * os.sysconf("SC_PAGE_SIZE")
    resource.setrlimit(resource.RLIMIT_AS, (used + (64 << 20), resource.RLIM_INFINITY))
    bytearray(1 << 40)


def give_up() -> None:
    raise EngineError("the accelerator is gone", "reboot")


def raise_anything() -> None:
    print("a line that a library printed")
    raise ValueError("no such\nthing")


def dawdle() -> None:
    time.sleep(0.3)


HARM: dict[str, Callable[[], None]] = {
    function.__name__: function
    for function in (
        crash, be_killed, leave, hang, hang_with_the_interpreter, eat_memory, give_up, raise_anything, dawdle,
    )
}  # fmt: skip


class Harmful(FakeEngine):
    """A FakeEngine that does to pages what the test chose."""

    def read(self, requests: Iterable[Request]) -> Iterator[Completion]:
        if not SPEC.get("side_by_side"):
            yield from super().read(requests)
            return
        pool = ThreadPoolExecutor(self.in_flight)
        with SideBySide(requests, lambda request: pool.submit(self._answer, request), self.in_flight) as pages:
            for future in pages:
                yield future.result()

    def _answer(self, request: Request) -> Completion:
        what = harm(str(round(request.page.width)), request.page.number)
        if what == "answer_another":
            return replace(super()._answer(request), key=request.key + 1000)
        return super()._answer(request)


def harm(document: str, page: int) -> str:
    """Do to it what was chosen, or say what is not for this function to do."""
    line = f"{document!a} {page}\n".replace("'", "")
    with Path(SPEC["read"]).open("a") as file:
        file.write(line)
    times = Path(SPEC["read"]).read_text().count(line)
    for name, number, what, most in SPEC["faults"]:
        if (str(name), number) == (document, page) and (not most or times <= most):
            HARM.get(what, lambda: None)()
            return str(what)
    return ""


def open_engine(name: str, options: object) -> FakeEngine:
    harm("engine", 0)
    engine = Harmful(describe, **SPEC["engine"])
    if "plan" in SPEC:
        engine.plan = DecodePlan(**SPEC["plan"])
    return engine


def open_source(path, *more):
    harm(Path(path).stem, 0)
    return OPEN_SOURCE(path, *more)


SPEC = json.loads(Path(sys.argv[1]).read_text())
OPEN_SOURCE = feed.open_source
worker.open_engine = open_engine
feed.open_source = open_source
worker.main()
