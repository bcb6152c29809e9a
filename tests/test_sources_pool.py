"""The pool of workers, with workers that do as they are told."""

from __future__ import annotations

import os
import signal
import sys
import textwrap
import time
from typing import TYPE_CHECKING

import pytest

from ocrpress.sources.pool import Pool, Worker, ask

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from ocrpress.sources.protocol import Message, Reply

# Each request says what to do: {"n": 1, "do": "answer" | "die" | "hang" | "half" | "nonsense" | "fail", "sleep": s}.
SCRIPT = textwrap.dedent(
    """
    import json, os, signal, sys, time
    from ocrpress.sources.protocol import HEADER, encode
    stdin, stdout = sys.stdin.buffer, sys.stdout.buffer
    while header := stdin.read(HEADER.size):
        request = json.loads(stdin.read(HEADER.unpack(header)[0]))
        with open(os.environ["POOL_TEST_LOG"], "a") as log:
            log.write(f"{request['n']}\\n")
        time.sleep(request.get("sleep", 0))
        do = request.get("do", "answer")
        if do == "die":
            os.kill(os.getpid(), signal.SIGSEGV)
        if do == "hang":
            time.sleep(600)
        if do == "nonsense":
            stdout.write(b"x" * 4096)
        elif do == "half":
            stdout.write(encode({"n": request["n"]}, 1000) + b"x" * 10)
            stdout.flush()
            os._exit(3)
        elif do == "fail":
            stdout.write(encode({"failure": "page", "message": "no", "advice": ""}))
        else:
            size = request.get("size", 4)
            stdout.write(encode({"n": request["n"], "pid": os.getpid()}, size) + bytes([request["n"] % 256]) * size)
        stdout.flush()
    """
)


@pytest.fixture
def launch(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[], Worker]:
    script = tmp_path / "worker.py"
    script.write_text(SCRIPT)
    monkeypatch.setenv("POOL_TEST_LOG", str(tmp_path / "log"))
    return lambda: Worker((sys.executable, "-S", "-P", str(script)))


def started(tmp_path: Path) -> list[int]:
    log = tmp_path / "log"
    return [int(line) for line in log.read_text().split()] if log.exists() else []


def alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


def requests(count: int, **special: Message) -> Iterator[Message]:
    for n in range(1, count + 1):
        yield {"n": n, **special.get(f"p{n}", {})}


def test_answers_come_in_order_with_their_pixels(launch: Callable[[], Worker]) -> None:
    pool = Pool(2, 30, launch=launch)
    got = list(pool.answers(requests(12, p1={"sleep": 0.2}, p6={"sleep": 0.1}, p9={"size": 3_000_000})))
    assert [reply.message["n"] for _, reply in got] == list(range(1, 13))
    assert got[8][1].pixels == bytes([9]) * 3_000_000
    assert len({reply.message["pid"] for _, reply in got}) == 2
    assert pool.pids == ()


def test_nothing_is_started_before_it_is_asked_for(launch: Callable[[], Worker], tmp_path: Path) -> None:
    pool = Pool(1, 30, launch=launch)
    answers = pool.answers(requests(100))
    assert pool.pids == ()
    next(answers)
    time.sleep(0.3)
    assert max(started(tmp_path)) <= 2
    pids = pool.pids
    answers.close()  # type: ignore[attr-defined]
    assert not any(alive(pid) for pid in pids)


def test_no_more_than_twice_the_workers_run_ahead(launch: Callable[[], Worker], tmp_path: Path) -> None:
    pool = Pool(2, 30, launch=launch)
    answers = pool.answers(requests(100, p1={"sleep": 0.6}))
    next(answers)
    time.sleep(0.2)
    assert 2 < max(started(tmp_path)) <= 5
    pool.close()


def test_a_worker_that_dies_costs_its_own_request(launch: Callable[[], Worker]) -> None:
    pool = Pool(2, 30, launch=launch)
    got = [reply for _, reply in pool.answers(requests(8, p3={"do": "die"}, p4={"do": "half"}, p6={"do": "nonsense"}))]
    assert [reply.failure for reply in got] == [None, None, "lost", "lost", None, "lost", None, None]
    assert "SIGSEGV" in got[2].message["message"]
    assert "exit code 3" in got[3].message["message"]


def test_a_worker_killed_from_outside_costs_its_own_request(launch: Callable[[], Worker]) -> None:
    pool = Pool(1, 30, launch=launch)
    answers = pool.answers(requests(5, p2={"sleep": 5}))
    next(answers)
    os.kill(pool.pids[0], signal.SIGKILL)
    got = [reply for _, reply in answers]
    assert [reply.failure for reply in got] == ["lost", None, None, None]
    assert "SIGKILL" in got[0].message["message"]


def test_a_request_that_hangs_is_stopped_and_the_rest_goes_on(launch: Callable[[], Worker]) -> None:
    pool = Pool(2, 0.7, launch=launch)
    start = time.monotonic()
    got = [reply for _, reply in pool.answers(requests(6, p2={"do": "hang"}))]
    assert [reply.failure for reply in got] == [None, "late", None, None, None, None]
    assert "longer than 0.7 s" in got[1].message["message"]
    assert time.monotonic() - start < 5


def test_an_answer_that_waits_for_a_slow_reader_is_not_late(launch: Callable[[], Worker]) -> None:
    pool = Pool(1, 0.6, launch=launch)
    got = []
    for _, reply in pool.answers(requests(3, p2={"size": 5_000_000})):
        time.sleep(0.9)
        got.append(reply.failure)
    assert got == [None, None, None]


def test_a_failed_request_can_be_replaced_and_keeps_its_place(launch: Callable[[], Worker]) -> None:
    def again(request: Message, reply: Reply) -> Message | None:
        return None if "tries" in request else {"n": request["n"], "tries": 2, "failed": reply.failure}

    pool = Pool(2, 30, launch=launch)
    got = list(pool.answers(requests(6, p2={"do": "fail"}, p4={"do": "die"}), again))
    assert [reply.message["n"] for _, reply in got] == [1, 2, 3, 4, 5, 6]
    assert [request.get("failed") for request, _ in got] == [None, "page", None, "lost", None, None]


def test_closing_in_the_middle_ends_the_answers(launch: Callable[[], Worker]) -> None:
    pool = Pool(2, 30, launch=launch)
    answers = pool.answers(requests(10))
    next(answers)
    pids = pool.pids
    pool.close()
    assert list(answers) == []
    assert not any(alive(pid) for pid in pids)


def test_a_worker_that_cannot_start_is_found_out() -> None:
    worker = Worker((sys.executable, "-c", "raise SystemExit(7)"))
    reply = ask(worker, {"n": 1}, 10)
    worker.stop()
    assert reply.failure == "lost"
    assert "exit code 7" in reply.message["message"]
