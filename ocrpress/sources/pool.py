"""Worker processes that answer requests ahead of the reader: in order, bounded in number, bytes and time.

The reader pulls. Between two pulls every worker works on one request and then waits with its answer in hand, so nothing
here needs a thread, and no more than that waits in memory. A worker that dies or hangs costs its own request only.
"""

from __future__ import annotations

import contextlib
import os
import select
import signal
import subprocess
import sys
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from ocrpress.errors import EngineError
from ocrpress.sources.protocol import HEADER, MAX_JSON, Message, Pixels, Reply, encode, failed

WORKER_COMMAND = (sys.executable, "-P", "-m", "ocrpress.sources.worker")
AHEAD_BYTES = 256 << 20  # of answers that wait for an earlier one
PIPE_BYTES = 1 << 20
TRANSFER_SECONDS = 60.0  # for the bytes of an answer that has begun; far more than a loaded machine needs

Retry = Callable[[Message, Reply], Message | None]


class WorkerLostError(Exception):
    """The worker has died, or says nothing that can be understood. The message says how it ended."""


class Worker:
    """One worker process and its two pipes.

    Args:
        command: what to run.
        what: what people call it.
        errors: takes its stderr; None throws it away.
    """

    def __init__(
        self, command: Sequence[str] = WORKER_COMMAND, what: str = "the renderer", errors: IO[bytes] | None = None
    ) -> None:
        self.what = what
        # A group of its own: Ctrl-C in the terminal is for the parent, and what the worker starts can end with it.
        try:
            self._process = subprocess.Popen(
                command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, bufsize=0,
                stderr=subprocess.DEVNULL if errors is None else errors, env=_environment(), start_new_session=True,
            )  # fmt: skip
        except OSError as error:
            raise EngineError(f"a worker process cannot be started ({error})", "render with workers=0") from error
        self.pid = self._process.pid
        if self._process.stdin is None or self._process.stdout is None:
            raise WorkerLostError("the worker has no pipes")
        self._stdin, self._stdout = self._process.stdin, self._process.stdout
        self.fileno, self.stdin_fileno = self._stdout.fileno(), self._stdin.fileno()
        self.requests = 0  # that it was sent
        _widen(self.fileno)

    @property
    def alive(self) -> bool:
        """Is the process running, as far as one can see?"""
        return self._process.poll() is None

    def send(self, request: Message, data: Pixels = b"") -> None:
        """Hand over a request; a worker that is no more is found out when its answer is read."""
        self.requests += 1
        with contextlib.suppress(BrokenPipeError):
            write_all(self._stdin.fileno(), encode(request, memoryview(data).nbytes))
            write_all(self._stdin.fileno(), data)

    def ready(self, seconds: float) -> bool:
        """Has the answer begun, or the worker ended, within so many seconds?"""
        return bool(_ready([self.fileno], seconds))

    def receive(self) -> Reply:
        """The answer that has begun. Raises WorkerLostError."""
        import json

        json_bytes, pixel_bytes = HEADER.unpack(self._read(HEADER.size))
        if json_bytes > MAX_JSON:
            raise WorkerLostError("the renderer answered nonsense")
        return Reply(json.loads(bytes(self._read(json_bytes))), self._read(pixel_bytes))

    def kill(self) -> None:
        """End the process and what it started, at once; what it has said can still be read."""
        # Not yet waited for, so the number cannot belong to anyone else, even if the process has ended.
        if self._process.returncode is None:
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.killpg(self.pid, signal.SIGKILL)
            self._process.kill()
            self._process.wait()

    def stop(self) -> None:
        """End the process and what it started, at once. Safe to call twice."""
        self.kill()
        self._stdin.close()
        self._stdout.close()

    def _read(self, count: int) -> bytearray:
        data = bytearray(count)
        view, end = memoryview(data), time.monotonic() + TRANSFER_SECONDS
        while view.nbytes:
            got = os.readv(self.fileno, [view]) if self.ready(end - time.monotonic()) else 0
            if not got:
                raise WorkerLostError(self.how_it_ended())
            view = view[got:]
        return data

    def how_it_ended(self) -> str:
        """In words; for a process whose pipe has come to its end."""
        try:
            code = self._process.wait(timeout=1.0)
        except subprocess.TimeoutExpired:
            return f"{self.what} stopped in the middle of its answer"
        if code >= 0:
            return f"{self.what} ended with exit code {code}"
        name = signal.Signals(-code).name if -code in set(signal.Signals) else f"signal {-code}"
        return f"{self.what} was killed ({name})" if -code == signal.SIGKILL else f"{self.what} crashed ({name})"


def ask(worker: Worker, request: Message, seconds: float) -> Reply:
    """One request to one worker; a reply with failure "late" or "lost" leaves the worker of no further use."""
    worker.send(request)
    if not worker.ready(seconds):
        return _late(seconds)
    return _receive(worker)


@dataclass
class _Task:
    request: Message
    reply: Reply | None = None
    deadline: float = 0.0


class Pool:
    """Workers over a stream of requests.

    Args:
        workers: most processes at a time, 1 or more; they are started as there is work for them.
        seconds: time limit for one request.
        launch: gives a worker; `release` takes it back, if it is still of use when the pool is closed.
    """

    def __init__(
        self,
        workers: int,
        seconds: float,
        launch: Callable[[], Worker] = Worker,
        release: Callable[[Worker], object] = Worker.stop,
    ) -> None:
        self._most, self._seconds, self._launch, self._release = workers, seconds, launch, release
        self._idle: list[Worker] = []
        self._busy: dict[Worker, _Task] = {}
        self._queue: deque[_Task] = deque()  # what the reader has not taken yet, in order
        self._again: deque[_Task] = deque()
        self._closed = False

    @property
    def pids(self) -> tuple[int, ...]:
        """The process numbers of the workers."""
        return tuple(worker.pid for worker in (*self._idle, *self._busy))

    def answers(self, requests: Iterable[Message], retry: Retry | None = None) -> Iterator[tuple[Message, Reply]]:
        """Requests and their replies, in order; at most twice as many ahead of the reader as there are workers.

        Args:
            retry: given a request that failed and its reply, the request to make in its place, or None to let it be.
        """
        pending = iter(requests)
        try:
            while not self._closed:
                self._hand_out(pending)
                if not self._queue:
                    return
                head = self._queue[0]
                while head.reply is None:
                    self._collect(retry, wait=True)
                    self._hand_out(pending)
                self._collect(retry, wait=False)
                self._hand_out(pending)
                self._queue.popleft()
                yield head.request, head.reply
        finally:
            self.close()

    def close(self) -> None:
        """Release idle workers, stop the others. What they were doing is lost, and `answers` ends where it is."""
        self._closed = True
        for worker in self._idle:
            self._release(worker)
        for worker in self._busy:
            worker.stop()
        self._idle.clear()
        self._busy.clear()
        self._queue.clear()
        self._again.clear()

    def _hand_out(self, pending: Iterator[Message]) -> None:
        """Give every worker something to do, as far as the bounds allow."""
        while len(self._busy) < self._most:
            task = self._next_task(pending)
            if task is None:
                return
            worker = self._idle.pop() if self._idle else self._launch()
            task.deadline = time.monotonic() + self._seconds
            self._busy[worker] = task
            worker.send(task.request)

    def _next_task(self, pending: Iterator[Message]) -> _Task | None:
        if self._again:
            return self._again.popleft()
        held = sum(len(task.reply.pixels) for task in self._queue if task.reply)
        if len(self._queue) >= 2 * self._most or (held > AHEAD_BYTES and self._busy):
            return None
        request = next(pending, None)
        if request is None:
            return None
        self._queue.append(_Task(request))
        return self._queue[-1]

    def _collect(self, retry: Retry | None, *, wait: bool) -> None:
        """Take the answers that are there; with `wait`, until there is one or a time limit passes."""
        now = time.monotonic()
        soonest = min((task.deadline for task in self._busy.values()), default=now)
        ready = _ready([worker.fileno for worker in self._busy], soonest - now if wait else 0.0)
        now = time.monotonic()
        for worker, task in list(self._busy.items()):
            if worker.fileno in ready:
                reply = _receive(worker)
            elif now >= task.deadline:
                reply = _late(self._seconds)
            else:
                continue
            del self._busy[worker]
            if reply.failure in {"lost", "late"}:
                worker.stop()
            else:
                self._idle.append(worker)
            self._settle(task, reply, retry)

    def _settle(self, task: _Task, reply: Reply, retry: Retry | None) -> None:
        instead = retry(task.request, reply) if retry and reply.failure else None
        if instead is None:
            task.reply = reply
        else:
            task.request = instead
            self._again.append(task)


def write_all(descriptor: int, data: Pixels) -> None:
    """All of the data, however little a write takes. Raises OSError."""
    view = memoryview(data).cast("B")
    while view.nbytes:
        view = view[os.write(descriptor, view) :]


def _receive(worker: Worker) -> Reply:
    try:
        return worker.receive()
    except WorkerLostError as error:
        return failed("lost", str(error))


def _late(seconds: float) -> Reply:
    return failed("late", f"rendering took longer than {seconds:g} s and was stopped")


def _ready(descriptors: Sequence[int], seconds: float) -> set[int]:
    """Those of the descriptors that can be read, waiting up to so many seconds for one."""
    poll = select.poll()
    for descriptor in descriptors:
        poll.register(descriptor, select.POLLIN)
    # Rounded up: a wait cut short by less than a millisecond would spin.
    return {descriptor for descriptor, _ in poll.poll(max(0, int(seconds * 1000 + 0.999)))}


def _widen(descriptor: int) -> None:
    """A larger pipe moves a page in fewer steps."""
    with contextlib.suppress(ImportError, AttributeError, OSError):
        import fcntl

        fcntl.fcntl(descriptor, fcntl.F_SETPIPE_SZ, PIPE_BYTES)


def _environment() -> dict[str, str]:
    """The parent's environment, with the module path that the parent really uses, so that both run the same code."""
    root = str(Path(__file__).resolve().parents[2])
    paths = [path for path in sys.path if path]
    if root not in paths:
        paths.insert(0, root)
    return {**os.environ, "PYTHONPATH": os.pathsep.join(paths)}
