"""Workers between documents: kept, replaced, never lost."""

from __future__ import annotations

import os
import random
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from pdfmaker import make_pdf, make_text_pdf, nested_page

from ocrpress.document import PageImage, UnreadablePage
from ocrpress.errors import InputError
from ocrpress.sources import SourceOptions, open_source
from ocrpress.sources import bench as benches
from ocrpress.sources.bench import Bench
from ocrpress.sources.pool import Worker

OPTIONS = SourceOptions(mode="tiny", workers=1, page_seconds=5.0)


@pytest.fixture
def bench(monkeypatch: pytest.MonkeyPatch) -> Iterator[Bench]:
    """A bench that is closed in the end, and knows the workers that it started."""
    made = Bench()
    started: list[Worker] = []

    def start() -> Worker:
        started.append(Worker())
        return started[-1]

    monkeypatch.setattr(benches, "Worker", start)
    made.started = started  # type: ignore[attr-defined]
    yield made
    made.close()
    assert not any(worker.alive for worker in started)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    found = tmp_path / "four.pdf"
    found.write_bytes(make_text_pdf(4))
    return found


def read(path: Path, bench: Bench, options: SourceOptions = OPTIONS) -> list[PageImage | UnreadablePage]:
    source = open_source(path, options, bench)
    try:
        return list(source.pages())
    finally:
        source.close()


def started(bench: Bench) -> int:
    return len(bench.started)  # type: ignore[attr-defined]


def test_one_worker_serves_document_after_document(bench: Bench, path: Path) -> None:
    for _ in range(5):
        assert [page.number for page in read(path, bench)] == [1, 2, 3, 4]
    assert started(bench) == 1


def test_a_file_that_is_another_one_now_is_read_as_it_is(bench: Bench, path: Path) -> None:
    """The worker keeps its document open; the next source of that name must not see it."""
    assert len(read(path, bench)) == 4
    path.write_bytes(make_text_pdf(2, lines=30))
    first = read(path, bench)
    assert len(first) == 2
    with pytest.raises(InputError):
        path.write_bytes(b"nothing")
        read(path, bench)


def test_a_document_left_in_the_middle_gives_its_workers_back_or_stops_them(bench: Bench, path: Path) -> None:
    for _ in range(3):
        source = open_source(path, OPTIONS, bench)
        pages = source.pages()
        assert next(pages).number == 1
        source.close()
    assert [page.number for page in read(path, bench)] == [1, 2, 3, 4]


def test_closing_a_source_leaves_a_shared_bench_open(bench: Bench, path: Path) -> None:
    source = open_source(path, OPTIONS, bench)
    source.close()
    assert len(bench._idle) == 1
    assert bench._idle[0].alive


def test_a_worker_that_died_on_the_bench_is_replaced(bench: Bench, path: Path) -> None:
    read(path, bench)
    (worker,) = bench._idle
    os.kill(worker.pid, 9)
    worker._process.wait()
    assert [page.number for page in read(path, bench)] == [1, 2, 3, 4]
    assert started(bench) == 2


def test_a_worker_that_hangs_is_not_given_back(bench: Bench, tmp_path: Path) -> None:
    path = tmp_path / "endless.pdf"
    path.write_bytes(make_pdf([nested_page(1)]))
    (page,) = read(path, bench, SourceOptions(mode="tiny", workers=1, page_seconds=0.5, renderer="pdfium"))
    assert isinstance(page, UnreadablePage)
    assert "longer than 0.5 s" in page.error
    assert not bench._idle


def test_a_worker_is_replaced_after_so_many_requests(bench: Bench, path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(benches, "MOST_REQUESTS", 10)
    for _ in range(6):
        assert len(read(path, bench)) == 4
    assert started(bench) == 3  # a document takes five requests


def test_a_closed_bench_keeps_nobody(bench: Bench) -> None:
    kept, given = bench.take(), bench.take()
    bench.give(kept)
    bench.close()
    bench.close()
    assert not kept.alive
    bench.give(given)
    assert not given.alive
    assert not bench._idle


def test_threads_share_a_bench(bench: Bench, path: Path) -> None:
    wrong: list[object] = []

    def run(seed: int) -> None:
        draw = random.Random(seed)
        for _ in range(8):
            wanted = draw.choice(["1-4", "2", "3-4"])
            source = open_source(path, SourceOptions(mode="tiny", workers=1, pages=wanted), bench)
            if [page.number for page in source.pages()] != list(source.numbers):
                wrong.append(wanted)
            source.close()

    threads = [threading.Thread(target=run, args=(seed,)) for seed in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
        assert not thread.is_alive()
    assert not wrong
    assert started(bench) <= 3
