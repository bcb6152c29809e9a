"""The process that drives a Ray cluster for `cluster`; not run by people.

    orders ─▶ from_items ─▶ draw (tasks) ─▶ Reading (actors, one engine each) ─▶ keep (tasks) ─▶ rows

Ray streams pages from stage to stage, holds back a stage whose successor is slow, and does again what a killed process
or node had. A process of its own, because Ray takes over signals, prints, starts threads that cannot be stopped, and
aborts when it is left in the middle of something.

It hears {"settings", "cluster", "records", "command"} first, then {"orders": count} with rows of them as JSON behind
it. It says {"folder": …} where Ray has its files if it is our own, every row that comes back (see `stages`),
and {"through": true} after the last row of some orders. It ends, with a Ray of our own, when its stdin does.
"""

from __future__ import annotations

import functools
import json
import os
import queue
import secrets
import shutil
import signal
import threading
import time
import traceback
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, BinaryIO

from ocrpress import __version__
from ocrpress.errors import EngineError, OcrpressError
from ocrpress.jobs.cluster.joining import DRAWING_CPUS, Cluster, Connection, Shares
from ocrpress.jobs.cluster.stages import Ability, Head, Reading, ask, broken, draw, keep
from ocrpress.jobs.reading.settings import Settings
from ocrpress.sources.pool import write_all
from ocrpress.sources.protocol import HEADER, Message, encode

MOST_CALLS = 8  # threads that bring pages to an engine and wait for them
LEAST_KEPT, MOST_KEPT = 4, 256  # pages in a file of records
MOST_TOGETHER = 16  # documents that one task draws: a task costs this process some 10 ms
ENOUGH_TASKS = 32  # for an engine; with more documents than that, several share a task
KEEPING_CPUS = 0.1
ROOM = 900.0  # seconds that a cluster has to make room for an engine: some start machines only when they are needed
PAGE_BYTES = 1 << 16  # of a page of text, compressed

Orders = list[dict[str, str]]


@dataclass(frozen=True)
class Task:
    """What is to be done, whatever the orders are.

    Attributes:
        records: folder for the records of pages.
        command: what runs the process that has the engine.
    """

    settings: Settings
    cluster: Cluster
    records: str
    command: tuple[str, ...] | None = None


def main() -> None:
    """Read what is ordered until stdin ends."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the parent's to handle
    voice = os.dup(1)
    os.dup2(2, 1)  # whatever a library prints
    stream = os.fdopen(os.dup(0), "rb")
    told, _ = _hear(stream)
    task = Task(
        Settings.of_message(told["settings"]), Cluster(**told["cluster"]), told["records"],
        tuple(told["command"]) if told["command"] else None,
    )  # fmt: skip
    rounds: queue.Queue[Orders] = queue.Queue()
    opened: list[Connection] = []
    threading.Thread(target=_listen, args=(stream, rounds, opened), daemon=True).start()

    def say(message: Message, body: bytes = b"") -> None:
        write_all(voice, encode(message, len(body)) + body)

    try:
        _drive(task, rounds, opened, say)
    except OcrpressError as error:
        say(broken(error))
    except Exception as error:  # Ray raises what its parts raise
        traceback.print_exception(error)
        first = " ".join(str(error).split())[:500]
        say(broken(EngineError(f"the cluster broke off ({type(error).__name__}: {first})", "run the batch again")))
    threading.Event().wait()  # for the end of stdin


def _listen(stream: BinaryIO, rounds: queue.Queue[Orders], opened: list[Connection]) -> None:
    """Hear orders until stdin ends, then leave at once, whatever Ray is doing."""
    try:
        while True:
            _, data = _hear(stream)
            rounds.put(json.loads(data))
    except EOFError:
        for connection in opened:
            if connection.folder:
                shutil.rmtree(connection.folder, ignore_errors=True)
        os.killpg(0, signal.SIGKILL)  # the parts of our own Ray are of this group


def _hear(stream: BinaryIO) -> tuple[Message, bytes]:
    text_bytes, data_bytes = HEADER.unpack(_exactly(stream, HEADER.size))
    return json.loads(_exactly(stream, text_bytes)), _exactly(stream, data_bytes)


def _exactly(stream: BinaryIO, count: int) -> bytes:
    data = stream.read(count)
    if len(data) < count:
        raise EOFError
    return data


def _drive(task: Task, rounds: queue.Queue[Orders], opened: list[Connection], say: Any) -> None:
    connection = Connection(task.cluster)
    opened.append(connection)
    if connection.folder:
        say({"folder": str(connection.folder)})
    on_gpu = task.settings.engine == "deepseek" and not task.settings.engine_options.device.startswith("cpu")
    shares = connection.shares(task.cluster, on_gpu)
    ability = _ask(task, shares)
    while True:
        for head, body in _rows(task, rounds.get(), ability, shares):
            say(head, body)
        say({"through": True})


def _ask(task: Task, shares: Shares) -> Ability:
    """What the engine can do, asked where it will run."""
    import ray

    asking = ray.remote(ask).options(num_cpus=shares.cpus, num_gpus=shares.gpus, max_retries=1)
    try:
        found = ray.get(asking.remote(task.settings, __version__), timeout=ROOM)
    except ray.exceptions.GetTimeoutError as error:
        what = f"no node of the cluster has had room for an engine ({shares.gpus:g} GPUs, {shares.cpus:g} CPUs)"
        raise EngineError(f"{what} for {ROOM / 60:g} minutes", "look at 'ray status'") from error
    if isinstance(found, OcrpressError):
        raise found
    return found


def _rows(task: Task, orders: Orders, ability: Ability, shares: Shares) -> Iterator[tuple[Head, bytes]]:
    """What becomes of the orders, as it comes."""
    import ray.data
    from ray.data import ActorPoolStrategy, DataContext, TaskPoolStrategy

    context = DataContext.get_current()
    context.enable_progress_bars = False
    calls = min(MOST_CALLS, ability.in_flight)
    batch = -(-ability.in_flight // calls)
    # Pages go on in blocks of so many bytes: one by one, or some together where an engine takes many at a time.
    context.target_max_block_size = 1 if batch == 1 else batch * PAGE_BYTES
    context.max_errored_blocks = -1  # what dies again and again costs its documents only
    pool = ActorPoolStrategy(
        size=shares.engines,
        max_concurrent_calls_per_actor=calls + 1,  # one more than fill the engine, so that it never waits for them
        max_tasks_in_flight_per_actor=calls + 2,
        enable_true_multi_threading=True,
    )
    together = min(MOST_TOGETHER, max(1, len(orders) // (ENOUGH_TASKS * shares.engines)))
    kept = min(MOST_KEPT, max(LEAST_KEPT, shares.engines * ability.in_flight // 2))
    name = f"{time.strftime('%Y%m%dT%H%M%S', time.gmtime())}-{secrets.token_hex(3)}"
    dataset = (
        ray.data.from_items(orders, override_num_blocks=-(-len(orders) // together))
        .flat_map(functools.partial(draw, ability=ability), num_cpus=DRAWING_CPUS)
        .map_batches(
            Reading, fn_constructor_args=(task.settings, __version__, task.command), compute=pool,
            batch_size=batch, batch_format="pyarrow", zero_copy_batch=True, num_cpus=shares.cpus,
            num_gpus=shares.gpus or None,
        )
        .map_batches(
            functools.partial(keep, folder=task.records, run=name), batch_size=kept, batch_format="pyarrow",
            zero_copy_batch=True, num_cpus=KEEPING_CPUS, compute=TaskPoolStrategy(-(-shares.engines // 8)),
        )
    )  # fmt: skip
    table: Any
    for table in dataset.iter_batches(batch_size=None, batch_format="pyarrow", prefetch_batches=0):
        for head, body in zip(table["head"].to_pylist(), table["body"].to_pylist(), strict=True):
            yield json.loads(head), body


if __name__ == "__main__":
    main()
