"""The real worker process."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import textwrap
import time
from dataclasses import asdict
from pathlib import Path

import pytest
from pdfmaker import endless_page, make_pdf, make_text_pdf

from ocrpress.sources.base import SourceOptions
from ocrpress.sources.pool import Worker, ask

ROOT = Path(__file__).resolve().parents[1]


def request(path: Path, page: int, **options: object) -> dict[str, object]:
    return {"path": str(path), "renderer": "pdfium", "page": page, "options": asdict(SourceOptions(**options))}  # type: ignore[arg-type]


def gone(pid: int, seconds: float = 5.0) -> bool:
    """Has the process ended (a zombie that somebody else must reap counts) within so many seconds?"""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        try:
            state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
        except OSError:
            return True
        if state == "Z":
            return True
        time.sleep(0.02)
    return False


def test_it_counts_and_renders_and_starts_quickly(tmp_path: Path) -> None:
    path = tmp_path / "a.pdf"
    path.write_bytes(make_text_pdf(3))
    start = time.monotonic()
    worker = Worker()
    assert ask(worker, request(path, 0), 20).message["pages"] == 3
    taken = time.monotonic() - start
    reply = ask(worker, request(path, 2, mode="base"), 20)
    worker.stop()
    assert reply.message["size"] == [791, 1024]
    assert len(reply.pixels) == 791 * 1024 * 3
    assert taken < 2  # a tenth of that where nobody else wants the processor


def test_it_ignores_interrupts_and_ends_with_its_input_even_in_an_endless_page(tmp_path: Path) -> None:
    path = tmp_path / "a.pdf"
    path.write_bytes(make_pdf([endless_page()]))
    worker = Worker()
    assert ask(worker, request(path, 0), 20).message["pages"] == 1
    worker.send(request(path, 1))
    time.sleep(0.1)
    os.kill(worker.pid, signal.SIGINT)
    assert not worker.ready(0.2)
    worker._stdin.close()
    assert gone(worker.pid)
    worker.stop()


@pytest.mark.skipif(not Path("/proc").exists(), reason="looks at /proc")
def test_it_ends_when_its_parent_is_killed(tmp_path: Path) -> None:
    path = tmp_path / "a.pdf"
    path.write_bytes(make_text_pdf(3))
    code = textwrap.dedent(
        """
        import sys, time
        from ocrpress.sources.base import SourceOptions
        from ocrpress.sources.pool import Worker
        worker = Worker()
        print(worker.pid, flush=True)
        time.sleep(60)
        """
    )
    parent = subprocess.Popen(
        [sys.executable, "-c", code], stdout=subprocess.PIPE, env={**os.environ, "PYTHONPATH": str(ROOT)}
    )
    assert parent.stdout is not None
    pid = int(parent.stdout.readline())
    parent.kill()
    parent.wait()
    parent.stdout.close()
    assert gone(pid)


def test_it_imports_only_what_it_needs() -> None:
    code = (
        "import sys, ocrpress.sources.worker, ocrpress.sources.pdfium, pypdfium2; "
        "print(sorted({m.split('.')[0] for m in sys.modules} & {'numpy', 'PIL', 'openvino', 'cv2', 'pdf2image'}))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    )  # fmt: skip
    assert done.stdout.strip() == "[]"


def test_a_script_without_a_guard_or_a_file_can_read_a_pdf(tmp_path: Path) -> None:
    path = tmp_path / "a.pdf"
    path.write_bytes(make_text_pdf(2))
    script = (
        "from ocrpress.sources import open_source\n"
        f"source = open_source({str(path)!r})\n"
        "print(len(list(source.pages())))\n"
        "source.close()\n"
    )
    done = subprocess.run(
        [sys.executable, "-"], input=script, capture_output=True, text=True, cwd=ROOT, check=False, timeout=60
    )
    assert (done.stdout, done.stderr) == ("2\n", "")
