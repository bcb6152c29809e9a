"""Batches on a cluster: a real Ray on this machine, with two processes that read, and a store of objects over HTTP."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import cluster_tools
import psutil
import pytest
from batch_tools import pages_begun, worker_command
from cluster_tools import TWO, recorded, run
from conftest import ROOT, environment
from pdfmaker import make_text_pdf
from PIL import Image

from ocrpress.document import PageResult
from ocrpress.errors import OutputError, UsageError
from ocrpress.jobs.cluster.events import Tally
from ocrpress.jobs.cluster.joining import Cluster, Connection, Shares, share_out
from ocrpress.jobs.ledger import codec
from ocrpress.jobs.ledger.schema import RECORDS
from ocrpress.jobs.reading.order import Done, Order
from ocrpress.jobs.reading.settings import Settings
from ocrpress.jobs.urls.files import get_all, get_one, joined, put, sizes_below
from ocrpress.pipeline import Options


@pytest.fixture(scope="module")
def store():
    """The URL of a bucket. It stands before Ray does: the processes of Ray inherit where it is."""
    with pytest.MonkeyPatch.context() as monkeypatch, cluster_tools.s3_store(monkeypatch) as url:
        monkeypatch.setenv("PYTHONPATH", environment()["PYTHONPATH"])
        yield url


@pytest.fixture(scope="module")
def ray_here(store):
    """A Ray that the tests share: "auto" finds it."""
    import ray

    connection = Connection(TWO)
    with pytest.MonkeyPatch.context() as monkeypatch:
        monkeypatch.setenv("RAY_ADDRESS", ray.get_runtime_context().gcs_address)
        yield
    connection.close()


def put_documents(folder: str) -> None:
    """Five pages in three documents, and two that cannot be read."""
    put(joined(folder, "three.pdf"), make_text_pdf(3))
    put(joined(folder, "sub/one.pdf"), make_text_pdf(1))
    put(joined(folder, "broken.pdf"), b"%PDF-1.7 and no more")
    put(joined(folder, "sub/empty.pdf"), b"")
    import io

    data = io.BytesIO()
    image = Image.effect_noise((100, 100), 90).convert("RGB")
    image.save(data, "PNG")
    put(joined(folder, "image.png"), data.getvalue())


PAGES = {("three.pdf", 1): 1, ("three.pdf", 2): 1, ("three.pdf", 3): 1, ("sub/one.pdf", 1): 1, ("image.png", 1): 1}
OUTPUTS = ["image.md", "sub/one.md", "three.md"]


def outputs(out: str) -> dict[str, bytes]:
    """The results, by name."""
    if out.startswith("s3://"):
        return {name: get_one(joined(out, name)) or b"" for name in sizes_below(out) if name.endswith(".md")}
    return {str(path.relative_to(out)): path.read_bytes() for path in Path(out).rglob("*.md")}


def records(out: str) -> list[bytes]:
    return [data for _, data in get_all(joined(out, RECORDS), ".parquet")]


def readers() -> list[psutil.Process]:
    """The processes of Ray that have an engine each."""
    return [each for each in psutil.process_iter() if "MapWorker(MapBatches(Reading))" in " ".join(_line(each))]


def _line(process: psutil.Process) -> list[str]:
    try:
        return process.cmdline()
    except psutil.Error:
        return []


def kill_when(log: Path, pages: int, victim) -> None:
    """Kill what `victim` gives once so many pages were begun."""
    for _ in range(1200):
        if sum(pages_begun(log).values()) >= pages:
            os.kill(victim(), signal.SIGKILL)
            return
        time.sleep(0.05)
    raise AssertionError("it has not come so far in a minute")


def test_a_cluster_gives_what_one_machine_gives(tmp_path, ray_here):
    put_documents(str(tmp_path / "in"))
    alone = run(str(tmp_path / "in"), str(tmp_path / "alone"), cluster=None)
    together = run(str(tmp_path / "in"), str(tmp_path / "together"))
    assert (alone.failed, together.failed, together.pages) == (2, 2, 5)
    assert outputs(str(tmp_path / "together")) == outputs(str(tmp_path / "alone"))
    assert sorted(outputs(str(tmp_path / "together"))) == OUTPUTS
    assert recorded(records(str(tmp_path / "together"))) == PAGES | {("broken.pdf", 0): 1}


def test_a_page_that_crashes_its_engine_costs_itself_only(tmp_path, ray_here):
    for width in (100, 101, 102):
        frames = [Image.effect_noise((width, 40), 90).convert("RGB") for _ in range(3)]
        path = tmp_path / "in" / f"{width}.tiff"
        path.parent.mkdir(exist_ok=True)
        frames[0].save(path, save_all=True, append_images=frames[1:], dpi=(72, 72))
    spec = {"engine": {}, "faults": [[101, 2, "crash", 0], [102, 1, "hang", 0]], "read": str(tmp_path / "read")}
    (tmp_path / "spec.json").write_text(json.dumps(spec))
    (tmp_path / "read").touch()
    command = (sys.executable, "-P", str(ROOT / "tests" / "faulty_worker.py"), str(tmp_path / "spec.json"))
    settings = Settings("fake", options=Options(mode="tiny"), page_limit=2.0)
    state = run(str(tmp_path / "in"), str(tmp_path / "out"), settings=settings, command=command)
    assert (state.pages, state.failed) == (9, 2)
    texts = outputs(str(tmp_path / "out"))
    assert b"crashed (SIGSEGV)" in texts["101.md"]
    assert b"longer than 2 s" in texts["102.md"]
    assert [text.count(b"is 100 by 40") for text in texts.values()].count(3) == 1


def test_pages_of_a_process_that_is_killed_are_read_by_another(tmp_path, ray_here):
    for number in range(6):
        put(str(tmp_path / "in" / f"{number}.pdf"), make_text_pdf(5))
    log = tmp_path / "log"
    killed = []

    def victim() -> int:
        killed.append(readers()[0].pid)
        return killed[0]

    # By what its engine has begun, not by what came back: that comes in bursts, and the last of them when all is read.
    killer = threading.Thread(target=kill_when, args=(log, 8, victim))
    killer.start()
    state = run(str(tmp_path / "in"), str(tmp_path / "out"), command=worker_command(log, 0.2))
    killer.join()
    assert (state.pages, state.failed, len(killed)) == (30, 0, 1)
    run(str(tmp_path / "in"), str(tmp_path / "alone"), cluster=None)
    assert outputs(str(tmp_path / "out")) == outputs(str(tmp_path / "alone"))
    assert set(recorded(records(str(tmp_path / "out"))).values()) == {1}
    begun = pages_begun(log)
    assert sum(begun.values()) <= 30 + 4  # what was in flight in the one process, at most


def test_a_batch_behind_urls_goes_on_after_its_driver_was_killed(tmp_path, store, ray_here):
    inputs, out = f"{store}/in", f"{store}/out"
    put_documents(inputs)
    for number in range(4):
        put(f"{inputs}/more/{number}.pdf", make_text_pdf(5))
    log = tmp_path / "log"
    driver = subprocess.Popen(
        [sys.executable, str(ROOT / "tests" / "cluster_tools.py"), inputs, out, str(log), "0.2"],
        env=environment(), cwd=tmp_path,
    )  # fmt: skip
    kill_when(log, 12, lambda: driver.pid)
    driver.wait()
    assert psutil.wait_procs(readers(), timeout=30)[1] == []
    before = pages_begun(log)
    have = recorded(records(out))
    assert have
    again = run(inputs, out, command=worker_command(log, 0.0))
    assert again.failed + again.failed_before == 2
    assert again.pages == 25 - sum(number > 0 for _, number in have)
    assert pages_begun(log).total() - before.total() == again.pages
    local = tmp_path / "in"
    for name in sizes_below(inputs):
        put(str(local / name), get_one(joined(inputs, name)) or b"")
    run(str(local), str(tmp_path / "alone"), cluster=None)
    assert outputs(out) == outputs(str(tmp_path / "alone"))
    assert set(recorded(records(out)).values()) == {1}
    after = pages_begun(log)
    assert run(inputs, out, command=worker_command(log, 0.0)).pages == 0
    assert pages_begun(log) == after


def test_figures_go_behind_the_url_beside_their_document(store, ray_here):
    from io import BytesIO

    put(f"{store}/figures/in/sub/two.pdf", make_text_pdf(2))
    command = (sys.executable, str(ROOT / "tests" / "cluster_tools.py"))
    out = f"{store}/figures/out"
    state = run(f"{store}/figures/in", out, command=command, figures=True)
    assert (state.pages, state.failed) == (2, 0)
    names = [f"sub/two.figures/two-p000{number}-1.png" for number in (1, 2)]
    assert [name for name in sizes_below(out) if name.endswith(".png")] == names
    with Image.open(BytesIO(get_one(joined(out, names[0])) or b"")) as image:
        assert image.format == "PNG"
    assert b"(two.figures/two-p0002-1.png)" in outputs(out)["sub/two.md"]


def test_the_command_reads_and_writes_behind_urls(store, ray_here, ocrpress):
    put_documents(f"{store}/command/in")
    options = ("--engine", "fake", "--mode", "tiny", "--cluster", "auto")
    done = ocrpress("batch", f"{store}/command/in", "-o", f"{store}/command/out", *options)
    assert done.code == 1, done.err
    assert "3 documents" in done.err or "5 documents" in done.err
    assert sorted(outputs(f"{store}/command/out")) == OUTPUTS
    report = (get_one(f"{store}/command/out/report.html") or b"").decode()
    assert "broken.pdf" in report
    again = ocrpress("batch", f"{store}/command/in", "-o", f"{store}/command/out", *options)
    assert again.code == 1
    assert "0 pages read" in again.err


def test_records_lie_below_a_folder_that_is_named_from_here(ray_here, ocrpress, tmp_path):
    put(str(tmp_path / "in" / "one.pdf"), make_text_pdf(1))
    done = ocrpress("batch", "in", "-o", "out", "--engine", "fake", "--mode", "tiny", "--cluster", "auto")
    assert done.code == 0, done.err
    assert recorded(records(str(tmp_path / "out"))) == {("one.pdf", 1): 1}


def test_urls_need_a_cluster(ocrpress, tmp_path):
    done = ocrpress("batch", "s3://bucket/in", "-o", tmp_path / "out", "--engine", "fake")
    assert (done.code, done.err.strip()) == (
        2, "ocrpress: s3://bucket/in is an URL: add --cluster auto, or name files and folders of this machine"
    )  # fmt: skip
    done = ocrpress("batch", tmp_path, "-o", tmp_path / "out", "--cluster-engines", 2)
    assert done.code == 2
    assert "--cluster-engines is of no use here" in done.err


# What comes back, without a cluster


def row(kind, document=1, number=1, **more):
    body = codec.encode(PageResult(number, "ok")) if kind == "done" else b""
    return {"kind": kind, "document": document, "numbers": "1-3", "cause": "", **more}, body


@pytest.fixture
def tally():
    made = Tally()
    made.begin(Order(1, "/x.pdf", "x.pdf"))
    return made


def told(tally, *rows):
    """The events of these rows, shortened."""
    events = [event for each in rows for event in tally.take(*each)]
    return [event.result.number if isinstance(event, Done) else type(event).__name__ for event in events]


def test_pages_come_once_and_after_their_document_was_opened(tally):
    assert told(tally, row("done", number=2), row("done", number=2), row("done")) == ["Opened", 2, 1]
    assert told(tally, row("done", number=7), row("done", number=3), row("done", number=3)) == [3]
    assert told(tally, row("done"), row("done", document=5)) == []
    assert tally.end() == ([], [])


def test_a_refusal_waits_for_the_pages_that_were_drawn_before_it(tally):
    refused = row("refused", error="it ended", cause="crash", given=2)
    assert told(tally, row("done"), refused) == ["Opened", 1]
    assert told(tally, row("done", number=2)) == [2, "Refused"]
    assert tally.end() == ([], [])


def test_what_was_lost_is_tried_once_more_and_then_refused(tally):
    tally.begin(Order(2, "/y.pdf", "y.pdf", "4-"))
    told(tally, row("done", number=2))
    again, refused = tally.end()
    assert [(order.document, order.pages) for order in again] == [(1, "1,3"), (2, "4-")]
    assert refused == []
    for order in again:
        tally.begin(order)
    assert told(tally, row("done", numbers="1,3")) == [1]
    again, refused = tally.end()
    assert again == []
    assert [(each.document, each.cause) for each in refused] == [(1, "crash"), (2, "crash")]
    assert tally.end() == ([], [])


def test_a_row_that_says_that_nothing_can_go_on_raises_what_it_says(tally):
    head = {"kind": "broken", "error": "OutputError", "message": "no room", "advice": "make some"}
    with pytest.raises(OutputError, match="no room: make some"):
        told(tally, (head, b""))


# What is refused


def test_an_address_where_no_cluster_is_is_an_engine_error():
    code = "from ocrpress.jobs.cluster.joining import *; Connection(Cluster('127.0.0.1:1'))"
    done = subprocess.run(
        [sys.executable, "-c", code], env=environment(), capture_output=True, text=True, timeout=60, check=False
    )
    last = done.stderr.splitlines()[-1]
    assert "EngineError: no Ray cluster at 127.0.0.1:1 (" in last
    assert last.endswith("start one with 'ray start --head', or take --cluster auto for one on this machine alone")


@pytest.mark.parametrize("wrong", [{"engines": 0}, {"gpus": -1}, {"cpus": -0.5}])
def test_room_that_cannot_be_is_refused(wrong):
    with pytest.raises(UsageError):
        Cluster(**wrong)


SMALL, BIG, GPUS = {"CPU": 2.0}, {"CPU": 64.0}, {"CPU": 64.0, "GPU": 8.0}


@pytest.mark.parametrize(
    ("nodes", "asked", "on_gpu", "shares"),
    [
        ([{"CPU": 1.0}], {}, False, Shares(1, 0, 0.5)),
        ([SMALL], {}, False, Shares(1, 0, 1)),
        ([SMALL], {"engines": 2}, False, Shares(2, 0, 0.5)),
        ([BIG], {}, False, Shares(1, 0, 32)),
        ([BIG, BIG, BIG], {}, True, Shares(3, 0, 32)),
        ([BIG, BIG], {"engines": 8}, False, Shares(8, 0, 8)),
        ([GPUS, GPUS], {}, True, Shares(16, 1, 1)),
        ([GPUS], {"gpus": 0.5}, True, Shares(16, 0.5, 1)),
        ([GPUS], {}, False, Shares(1, 0, 32)),
        ([], {"engines": 4, "gpus": 1}, True, Shares(4, 1, 1)),
    ],
)
def test_engines_leave_room_for_what_draws_pages(nodes, asked, on_gpu, shares):
    assert share_out(nodes, Cluster(**asked), on_gpu, grows=True) == shares


@pytest.mark.parametrize("asked", [{"engines": 4}, {"cpus": 2.0}, {"gpus": 1.0}])
def test_more_than_this_machine_has_is_refused(asked):
    with pytest.raises(UsageError, match="need more than this machine has: take fewer, or less for each"):
        share_out([SMALL], Cluster(**asked), False, grows=False)
