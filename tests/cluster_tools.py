"""For tests of batches on a cluster: a store of objects that speaks S3, and a batch as `ocrpress batch` puts it
together.

As a program, `cluster_tools.py INPUT OUT LOG SECONDS` is the driver of such a batch, on the cluster that runs here, and
`cluster_tools.py` a reading process that finds a figure on every page.
"""

from __future__ import annotations

import contextlib
import os
import sys
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path

from batch_tools import worker_command

from ocrpress.jobs.cluster.reader import Cluster, ClusterReader
from ocrpress.jobs.finding.found import Choice
from ocrpress.jobs.plan import Plan
from ocrpress.jobs.reading.crew import Crew
from ocrpress.jobs.reading.settings import Settings
from ocrpress.jobs.runner import Runner, State
from ocrpress.jobs.urls.place import open_place
from ocrpress.pipeline import Options

FAKE = Settings("fake", options=Options(mode="tiny"))
TWO = Cluster(engines=2, cpus=0.5, memory=150 << 20)


@contextlib.contextmanager
def s3_store(monkeypatch) -> Iterator[str]:
    """A store of objects over HTTP, with one bucket; gives the bucket's URL."""
    import boto3
    from moto.server import ThreadedMotoServer

    server = ThreadedMotoServer("127.0.0.1", 0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    for name, value in {
        "AWS_ENDPOINT_URL": f"http://{host}:{port}", "AWS_ACCESS_KEY_ID": "x", "AWS_SECRET_ACCESS_KEY": "x",
        "AWS_DEFAULT_REGION": "us-east-1",
    }.items():  # fmt: skip
        monkeypatch.setenv(name, value)
    boto3.client("s3").create_bucket(Bucket="bucket")
    yield "s3://bucket"
    server.stop()


def run(
    inputs: str,
    out: str,
    *,
    cluster: Cluster | None = TWO,
    command: Sequence[str] | None = None,
    settings: Settings = FAKE,
    figures: bool = False,
) -> State:
    """One run of a batch; without a cluster, on this machine."""
    plan = Plan(settings, figures=figures)
    with open_place([inputs], out, Choice()) as place:
        ledger, storage = place.ledger, place.storage
        more = {"command": command} if command else {}
        reader = (
            ClusterReader(settings, cluster, place.records, ledger.entry, **more) if cluster else Crew(settings, **more)
        )
        try:
            state = Runner(plan, ledger, storage, reader, lambda state: None).run()
        finally:
            reader.close()
        ledger.end_run(state.exit_code)
        ledger.commit()
        return state


def recorded(data: Sequence[bytes]) -> Counter[tuple[str, int]]:
    """How often each page is in files of records: by the document's name, and the page's number."""
    from io import BytesIO

    import pyarrow.parquet as pq

    tables = [pq.read_table(BytesIO(each)) for each in data]
    return Counter(
        place for table in tables for place in zip(table["name"].to_pylist(), table["number"].to_pylist(), strict=True)
    )


def _be_worker() -> None:
    import ocrpress.jobs.reading.worker as worker
    from ocrpress.engines.fake import FakeEngine

    boxes = "<|ref|>image<|/ref|><|det|>[[250, 333, 749, 583]]<|/det|>\n"
    worker.open_engine = lambda name, options: FakeEngine(lambda request: boxes, sampling=True)
    worker.main()


if __name__ == "__main__" and not sys.argv[1:]:
    _be_worker()
elif __name__ == "__main__":
    given, place, log, seconds = sys.argv[1:]
    state = run(given, place, command=worker_command(Path(log), float(seconds)))
    os._exit(state.exit_code)
