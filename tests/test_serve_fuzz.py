"""Ten thousand requests that went wrong: each is answered, soon, as it should be, and leaves nothing behind.

A finding has a number; `fuzz_requests.mutant(number)` gives its bytes again.
"""

from __future__ import annotations

import asyncio
import json
import logging
import threading
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from fuzz_requests import Case, mutant
from fuzz_wire import Answer, send
from service_tools import Running, png, running, upload, wait_until

BY_DESIGN = {503, 504, 507}  # the engine is lost for a moment, a page takes too long, the disk is full
SIDE_BY_SIDE = 4
POOLS = ("AnyIO worker", "asyncio_")  # threads that are kept for later; their number is bounded by their pools
SPARE_FILES = 8  # of threads that were not there yet: each has the ledger open
WARM = 200  # requests until all is open that stays open

SHARE, ALL = 1_000, 10_000
LONGEST = 20.0  # seconds; nothing here takes a tenth of a second on an idle machine


@dataclass(frozen=True)
class Held:
    """What the process holds: open files, threads, tasks of the loop."""

    files: int
    threads: int
    tasks: int


def held_by(server: Running) -> Held:
    threads = [thread for thread in threading.enumerate() if not thread.name.startswith(POOLS)]
    return Held(
        len(list(Path("/proc/self/fd").iterdir())), len(threads), in_loop(server, lambda: len(asyncio.all_tasks()))
    )


def in_loop(server: Running, function: Callable[[], Any]) -> Any:
    async def call() -> Any:
        return function()

    assert server._loop
    return asyncio.run_coroutine_threadsafe(call(), server._loop).result(30)


def fault(case: Case, answer: Answer) -> str:
    """What is wrong with an answer; empty if nothing is."""
    status, body = answer.status, answer.body
    if answer.seconds > LONGEST:
        return f"it took {answer.seconds:.1f} s"
    if status == 0:
        return "" if case.left else "no answer"
    if status >= 500 and status not in BY_DESIGN:
        return f"status {status}: {body[:300]!r}"
    if status < 300:
        return "a mistake within a stream" if b"urn:ocrpress:internal" in body or b'"code":"internal"' in body else ""
    if case.data.startswith(b"HEAD ") or status == 304:
        return ""
    return fault_of_problem(answer, case.chat)


def fault_of_problem(answer: Answer, chat: bool) -> str:
    kind = answer.headers.get("content-type", "").partition(";")[0]
    chat = chat and "x-request-id" in answer.headers  # what is no HTTP is refused before anybody knows its address
    try:
        found = json.loads(answer.body)
        if chat:
            told = kind == "application/json" and set(found["error"]) == {"message", "type", "param", "code"}
        else:
            told = kind == "application/problem+json" and found["title"] and found["detail"]
            told = told and found["status"] == answer.status and found["type"].startswith("urn:ocrpress:")
    except (ValueError, KeyError, TypeError) as error:
        return f"status {answer.status} as {kind} ({error!r}): {answer.body[:200]!r}"
    return "" if told else f"status {answer.status} is told as {kind}: {found}"


def attack(server: Running, numbers: range) -> tuple[dict[int, str], Counter[tuple[str, int]]]:
    """Send requests; what was wrong by number, and how many had which status."""
    faults: dict[int, str] = {}
    seen: Counter[tuple[str, int]] = Counter()
    jobs: list[str] = []

    def one(number: int) -> None:
        case = mutant(number, tuple(jobs[-3:]))
        try:
            answer = send(server.port, case)
        except (OSError, AssertionError) as error:
            faults[number] = f"{case.kind}: {error!r}"
            return
        seen[case.kind, answer.status] += 1
        if answer.status == 202:
            jobs.append(json.loads(answer.body)["id"])
        if wrong := fault(case, answer):
            faults[number] = f"{case.kind}: {wrong}"

    with ThreadPoolExecutor(SIDE_BY_SIDE) as pool:
        list(pool.map(one, numbers))
    return faults, seen


def settle(server: Running) -> None:
    """Wait until all that was asked for is done, and clear the jobs."""
    while found := server.client.get("/v1/jobs", params={"limit": 100}).json()["jobs"]:
        for job in found:
            server.client.delete(f"/v1/jobs/{job['id']}")
    wait_until(lambda: not server.uploads)
    wait_until(lambda: server.service.desk.load().documents == server.service.desk.load().jobs == 0)
    wait_until(lambda: server.service.under_way == 0)


def survive(server: Running, count: int, caplog: pytest.LogCaptureFixture) -> Counter[tuple[str, int]]:
    """So many requests, and what is to be true afterwards. Returns how many of which kind had which status."""
    with caplog.at_level(logging.ERROR):
        faults, seen = attack(server, range(WARM))
        settle(server)
        before = held_by(server)
        more, seen_then = attack(server, range(WARM, count))
        settle(server)
    faults, seen = faults | more, seen + seen_then
    assert not faults, "\n".join(f"{number}: {what}" for number, what in sorted(faults.items())[:20])
    assert sum(seen.values()) == count
    wait_until(lambda: held_by(server).tasks <= before.tasks)
    after = held_by(server)
    assert after.threads <= before.threads
    assert after.files <= before.files + SPARE_FILES, "files stay open"
    mistakes = [record for record in caplog.records if record.levelno >= logging.ERROR]
    assert not mistakes, mistakes[0].getMessage()
    wait_until(lambda: not list((server.folder / "jobs").iterdir()))
    assert server.service.desk.restarts == 0  # no document has taken the reading process with it
    assert server.client.post("/v1/convert", files=upload(png())).status_code == 200
    return seen


@pytest.mark.filterwarnings("ignore:::PIL")
def test_requests_that_went_wrong_are_answered_and_leave_nothing(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with running(tmp_path, upload_seconds=2.0, request_seconds=15.0) as server:
        seen = survive(server, SHARE, caplog)
    assert len({status for _, status in seen}) > 5  # they did not all fail at the door


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:::PIL")
def test_ten_thousand_of_them(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    with running(tmp_path, upload_seconds=2.0, request_seconds=15.0) as server:
        seen = survive(server, ALL, caplog)
    print(sorted(seen.items()))


def test_a_number_gives_the_same_request_again() -> None:
    assert [mutant(number).data for number in range(200)] == [mutant(number).data for number in range(200)]
    assert len({mutant(number).data for number in range(200)}) > 190
