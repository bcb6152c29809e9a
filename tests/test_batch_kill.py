"""A batch that is killed again and again at random moments, and goes on each time: nothing is lost, nothing is doubled,
and what comes out is byte for byte what comes out of a batch that nobody disturbs."""

from __future__ import annotations

import contextlib
import os
import random
import signal
import subprocess
import time
from collections import Counter
from pathlib import Path

import batch_tools
import pytest
from conftest import environment
from pdfmaker import Page, make_pdf, text

from ocrpress.jobs.ledger.book import read_ledger

DOCUMENTS = 40
BROKEN = (7, 19, 33)  # of these nothing can be opened
HOLED = (4, 26)  # one page of these cannot be drawn
SECONDS = 0.04  # a page
# Pages that the engine has begun and the ledger does not hold yet when all is killed: the one that is being read, one
# whose answer is on its way, and those that come while a commit waits for the disk.
IN_FLIGHT, MOST_IN_FLIGHT = 3, 8  # on average; at a moment when the disk is slow
OPTIONS = ("--engine", "fake", "--mode", "tiny", "--workers", "1", "--quiet")


def make_documents(folder: Path, seed: int) -> int:
    """Documents of one to six pages, no two pages alike; gives the number of pages that can be read."""
    chance, readable = random.Random(seed), 0
    for number in range(DOCUMENTS):
        path = folder / ("abc"[number % 3]) / f"document {number:02}.pdf"
        path.parent.mkdir(parents=True, exist_ok=True)
        if number in BROKEN:
            path.write_bytes(b"%%PDF-1.7\nof document %d nothing is left" % number)
            continue
        pages = [Page(text(f"{number}.{n}", size=150, top=400)) for n in range(1, chance.randint(1, 6) + 1)]
        readable += len(pages)
        if number in HOLED:
            pages.append(Page(broken=True))
        path.write_bytes(make_pdf(pages))
    return readable


class Batch:
    """A batch that can be run, killed and looked at."""

    def __init__(self, root: Path, name: str, seconds: float) -> None:
        self.root, self.out, self.log, self.seconds = root, root / name, root / f"{name}.log", seconds

    def start(self) -> subprocess.Popen[str]:
        command = batch_tools.batch_command(self.log, self.seconds, "in", "-o", self.out.name, *OPTIONS)
        return subprocess.Popen(command, cwd=self.root, env=environment(), stderr=subprocess.PIPE, text=True)

    def run(self) -> int:
        process = self.start()
        _, err = process.communicate(timeout=120)
        assert "Traceback" not in err
        return process.returncode

    def begun(self) -> Counter[str]:
        return batch_tools.pages_begun(self.log)

    def held(self) -> int:
        """Pages in the ledger that an engine has read."""
        try:
            with read_ledger(self.out) as ledger:
                return ledger.row("SELECT COUNT(*) FROM pages WHERE attempts > 0")[0]
        except Exception:  # there is none yet
            return 0

    def files(self) -> dict[str, bytes]:
        """The results by name; the report and the ledger apart."""
        found = {str(path.relative_to(self.out)): path for path in self.out.rglob("*") if path.is_file()}
        return {
            name: path.read_bytes()
            for name, path in found.items()
            if name != "report.html" and not name.startswith(".ocrpress/")
        }


def tree_of(pid: int) -> list[int]:
    """The process and all that it has started, parents first."""
    parents = {}
    for entry in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError, IndexError):
            parents[int(entry.name)] = int((entry / "stat").read_text().rpartition(")")[2].split()[1])
    found = [pid]
    for each in found:
        found += [child for child, parent in parents.items() if parent == each]
    return found


def kill(process: subprocess.Popen[str], whole_tree: bool) -> None:
    """SIGKILL, to the process alone or to all that it has started, too; returns when all of it is gone."""
    tree = tree_of(process.pid)
    for pid in tree if whole_tree else tree[:1]:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
    process.communicate()
    until = time.monotonic() + 20
    while any(is_alive(pid) for pid in tree):  # what has lost its parent goes by itself
        assert time.monotonic() < until
        time.sleep(0.005)


def is_alive(pid: int) -> bool:
    with contextlib.suppress(OSError):
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    return False


def wait_for_a_moment(batch: Batch, process: subprocess.Popen[str], chance: random.Random, pages: int) -> None:
    """Some time after so many pages more were begun; or, one time of five, some time after the start."""
    early = chance.random() < 0.2
    goal = 0 if early else batch.begun().total() + chance.randint(1, pages)
    while process.poll() is None and batch.begun().total() < goal:
        time.sleep(0.002)
    time.sleep(chance.uniform(0, 1.0 if early else 0.08))


def disturbed(batch: Batch, moments: int, seed: int, pages: int) -> list[int]:
    """Kill the batch so many times; how many pages were lost each time."""
    chance, lost = random.Random(seed), []
    for _ in range(moments):
        begun, held = batch.begun().total(), batch.held()
        process = batch.start()
        wait_for_a_moment(batch, process, chance, pages)
        kill(process, whole_tree=chance.random() < 0.5)
        lost.append(batch.begun().total() - begun - (batch.held() - held))
    return lost


@pytest.mark.parametrize("moments", [8, pytest.param(50, marks=pytest.mark.slow)])
def test_killed_at_any_moment_it_goes_on_and_nothing_shows(tmp_path, moments):
    readable = make_documents(tmp_path / "in", seed=moments)
    calm, rough = Batch(tmp_path, "calm", 0), Batch(tmp_path, "rough", SECONDS)
    assert calm.run() == 1
    assert sorted(calm.begun().values()) == [1] * readable

    lost = disturbed(rough, moments, seed=moments, pages=max(2, 2 * readable // moments - 2))
    assert rough.run() == 1

    assert rough.files() == calm.files()
    assert len(calm.files()) == DOCUMENTS - len(BROKEN)
    assert not [path for path in rough.out.rglob(".*") if path.name != ".ocrpress"]
    assert not list((rough.out / ".ocrpress").glob("new-*"))
    assert pages_of(rough) == pages_of(calm)
    begun = rough.begun()
    assert len(begun) == readable
    assert begun.total() - readable == sum(lost)
    assert sum(lost) <= IN_FLIGHT * moments
    assert max(lost) <= MOST_IN_FLIGHT
    assert rough.run() == 1  # and there is nothing left to do
    assert rough.begun() == begun


def pages_of(batch: Batch) -> list[tuple[bytes, int, str, str]]:
    with read_ledger(batch.out) as ledger:
        return ledger.rows(
            "SELECT name, number, pages.state, documents.state FROM documents LEFT JOIN pages ON document = id"
            " ORDER BY name, number"
        )
