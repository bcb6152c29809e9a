"""A service that is killed again and again in the middle of 20 jobs, and goes on each time: every job is finished, all
pages are there once, and what comes out is byte for byte what comes out of a service that nobody disturbs.

Run as `python test_serve_jobs_kill.py LOG SECONDS …` it is `ocrpress serve …` over a reading process that takes so many
seconds a page, and notes in LOG what it begins.
"""

from __future__ import annotations

import contextlib
import functools
import itertools
import json
import random
import signal
import subprocess
import sys
import threading
import time
from collections import Counter
from pathlib import Path

import batch_tools
import httpx
import pytest
from conftest import environment
from pdfmaker import Page, make_pdf, text
from service_tools import running
from test_batch_kill import kill

from ocrpress.jobs.ledger.book import read_ledger
from ocrpress.pipeline import Options

JOBS = 20
HOLED = (4, 11)  # one page of these cannot be drawn
TEXT = 7  # this one is a text: how many pages it has shows when it is opened
SECONDS = 0.03  # a page
# Pages that were begun and are not in the ledger yet: the one that is being read, one whose answer is on its way, and
# those that come between two commits.
MOST_IN_FLIGHT = 12


def make_documents(seed: int) -> dict[str, tuple[bytes, int]]:
    """Documents by name, with the number of their pages; no two pages are alike."""
    chance, made = random.Random(seed), {}
    for number in range(JOBS):
        if number == TEXT:
            lines = "\n\n".join(f"Line {line} of the text, which fills some pages." for line in range(100))
            made["notes.txt"] = lines.encode(), 0
            continue
        pages = [Page(text(f"{number}.{n}", size=150, top=400)) for n in range(1, chance.randint(2, 6) + 1)]
        if number in HOLED:
            pages.append(Page(broken=True))
        made[f"document {number:02}.pdf"] = make_pdf(pages), len(pages)
    return made


class Served:
    """A service in a process of its own, with a folder that stays when it is killed."""

    def __init__(self, root: Path, name: str, seconds: float) -> None:
        self.folder, self.begun_log, self.log = root / name, root / f"{name}.begun", root / f"{name}.log"
        self.seconds = seconds
        self.client = httpx.Client(timeout=30, trust_env=False)
        self.process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        options = ("--engine", "fake", "--mode", "tiny", "--workers", "1", "--port", "0", "--folder", str(self.folder))
        command = (sys.executable, __file__, str(self.begun_log), str(self.seconds), *options)
        said = self.log.stat().st_size if self.log.exists() else 0
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(command, env=environment(), stdout=log, stderr=log)
        url = self._url(said)
        self.client.base_url = url

    def _url(self, said: int) -> str:
        until = time.monotonic() + 60
        while time.monotonic() < until and self.process and self.process.poll() is None:
            for word in self.log.read_text()[said:].split():
                if word.startswith("http://127.0.0.1:"):
                    return word
            time.sleep(0.01)
        raise AssertionError(self.log.read_text()[said:])

    def kill(self, *, whole_tree: bool) -> None:
        assert self.process
        kill(self.process, whole_tree)  # type: ignore[arg-type]

    def stop(self) -> int:
        assert self.process
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(30)

    def begun(self) -> Counter[str]:
        return batch_tools.pages_begun(self.begun_log)


def post(client: httpx.Client, name: str, data: bytes) -> str:
    answer = client.post("/v1/jobs", files={"file": (name, data)})
    assert answer.status_code == 202, answer.text
    return answer.json()["id"]


def jobs_of(client: httpx.Client) -> list[dict]:
    return client.get("/v1/jobs", params={"limit": 100}).json()["jobs"]


def finished(client: httpx.Client) -> dict[str, dict]:
    """All jobs by name, when all are finished."""
    until = time.monotonic() + 90
    while True:
        jobs = jobs_of(client)
        if all(job["state"] in ("done", "failed") for job in jobs):
            assert len({job["name"] for job in jobs}) == len(jobs)
            return {job["name"]: job for job in jobs}
        assert time.monotonic() < until, jobs
        time.sleep(0.05)


def results(client: httpx.Client) -> dict[str, tuple[str, bytes, str]]:
    """State, Markdown and JSON of all jobs; what took how long is left out."""
    found = {}
    for name, job in finished(client).items():
        whole = client.get(job["links"]["result"], params={"format": "json"}).json()
        for page in whole["pages"]:
            page.pop("seconds")
            for attempt in page["attempts"]:
                attempt.pop("seconds")
        markdown = client.get(job["links"]["result"]).content
        failed = sum(page["status"] == "failed" for page in whole["pages"])
        assert (job["pages_done"], job["failed_pages"]) == (len(whole["pages"]), failed)
        found[name] = job["state"], markdown, json.dumps(whole)
    return found


def told(client: httpx.Client, job: dict) -> tuple[list[int], list[int]]:
    """Ids and page numbers of the events of a job that is finished."""
    events = client.get(job["links"]["events"]).text.split("\n\n")
    pages = [event for event in events if event.startswith("event: page")]
    numbers = [json.loads(event.partition("data: ")[2])["page"]["number"] for event in pages]
    return [int(event.split("\n")[1].removeprefix("id: ")) for event in pages], numbers


@pytest.fixture
def served(tmp_path):
    made: list[Served] = []

    def make(name: str, seconds: float) -> Served:
        made.append(Served(tmp_path, name, seconds))
        return made[-1]

    yield make
    for each in made:
        each.client.close()
        if each.process and each.process.poll() is None:
            each.kill(whole_tree=True)


def pages_of(folder: Path) -> list[tuple[int, str]]:
    """How often each page of each document is in the ledger."""
    with read_ledger(folder) as ledger:
        return ledger.rows("SELECT name, number, COUNT(*) FROM documents JOIN pages ON document = id GROUP BY 1, 2")


@pytest.mark.parametrize("moments", [3, pytest.param(25, marks=pytest.mark.slow)])
def test_killed_in_the_middle_of_twenty_jobs_it_finishes_them_all_and_no_page_twice(tmp_path, served, moments):
    documents, chance = make_documents(seed=moments), random.Random(moments)
    with running(
        tmp_path / "calm",
        options=Options(mode="tiny"),
        command=batch_tools.worker_command(tmp_path / "calm.begun", 0),
    ) as calm:
        for name, (data, _) in documents.items():
            post(calm.client, name, data)
        expected = results(calm.client)
    readable = batch_tools.pages_begun(tmp_path / "calm.begun")
    assert set(readable.values()) == {1}

    rough = served("rough", SECONDS)
    rough.start()
    ids = {name: post(rough.client, name, data) for name, (data, _) in documents.items()}
    step = max(1, (readable.total() - 10) // moments)
    for moment in range(moments):
        goal = min(readable.total() - 3, (moment + 1) * step - chance.randint(0, step // 2))
        while rough.begun().total() < goal:
            time.sleep(0.005)
        time.sleep(chance.uniform(0, 0.05))
        rough.kill(whole_tree=chance.random() < 0.5)
        rough.start()
    assert results(rough.client) == expected

    jobs = finished(rough.client)
    assert {name: job["id"] for name, job in jobs.items()} == ids
    for name, (_, pages) in documents.items():
        count = pages or jobs[name]["page_count"]
        assert jobs[name]["state"] == "done"
        assert jobs[name]["failed_pages"] == (name in {f"document {number:02}.pdf" for number in HOLED})
        places, numbers = told(rough.client, jobs[name])
        assert places == list(range(1, count + 1))
        assert sorted(numbers) == jobs[name]["pages"] == list(range(1, count + 1))
    found = pages_of(rough.folder)
    assert {times for *_, times in found} == {1}
    assert len(found) == sum(job["page_count"] for job in jobs.values())
    begun = rough.begun()
    assert set(begun) == set(readable)
    assert begun.total() - readable.total() <= MOST_IN_FLIGHT * moments
    assert rough.stop() == 0
    assert not list((rough.folder / "uploads").iterdir())


@pytest.mark.parametrize("rounds", [1, pytest.param(10, marks=pytest.mark.slow)])
def test_a_job_that_was_accepted_survives_a_kill_at_any_moment_and_no_other_leaves_anything(served, rounds):
    chance, rough = random.Random(rounds), served("rough", 0.2)
    accepted: set[str] = set()
    for number in range(rounds):
        rough.start()
        killing = threading.Timer(chance.uniform(0, 0.3), rough.process.kill)  # in the middle of whatever it does
        with contextlib.suppress(httpx.TransportError):
            for each in itertools.count():
                accepted.add(post(rough.client, f"{number}-{each}.pdf", make_pdf([Page(text(f"{number} {each}"))])))
                if each == 0:
                    killing.start()
        killing.join()
        rough.kill(whole_tree=True)
    rough.start()
    kept = {path.name for path in (rough.folder / "jobs").iterdir()}
    assert accepted
    assert accepted <= kept
    assert len(kept) <= len(accepted) + rounds  # the kill has cut off an answer
    assert all(rough.client.get(f"/v1/jobs/{job}").status_code == 200 for job in kept)  # a list has 100 at most
    with read_ledger(rough.folder) as ledger:
        assert {entry.name for entry in ledger.entries()} == kept
    assert not list((rough.folder / "uploads").iterdir())


def _serve(log: str, seconds: str, arguments: list[str]) -> int:
    from ocrpress.__main__ import main
    from ocrpress.server import run

    command = batch_tools.worker_command(Path(log), float(seconds))
    run.make_service = functools.partial(run.make_service, command=command)  # type: ignore[assignment]
    return main(["serve", *arguments])


if __name__ == "__main__":
    sys.exit(_serve(sys.argv[1], sys.argv[2], sys.argv[3:]))
