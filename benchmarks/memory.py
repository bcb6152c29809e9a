"""Peak memory of `ocrpress convert` over a long PDF against a short one: it must not grow with the pages.

    python benchmarks/memory.py [--pages 20 500] [--engine rapid] [--out FILE.json]

The PDFs are made here: every page has its own text, drawn as vectors. The peak is that of the whole process tree (the
sum of proportional set sizes, sampled every 50 ms). Prints a table, then a JSON line.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import psutil

from ocrpress.measure.machine import describe_machine


def make_pdf(pages: int, path: Path, lines: int = 12) -> None:
    """A PDF of A4 pages, each with a few lines of its own text in Helvetica."""
    objects = [b"<< /Type /Catalog /Pages 2 0 R >>", b"", b"<< /Type /Font /Subtype /Type1 /BaseFont /Helvetica >>"]
    kids = []
    for page in range(1, pages + 1):
        rows = "".join(f"0 -20 Td (Page {page}, line {row}: the quick brown fox.) Tj " for row in range(1, lines + 1))
        content = f"BT /F1 14 Tf 72 780 Td {rows}ET".encode()
        objects.append(b"<< /Length %d >>\nstream\n%s\nendstream" % (len(content), content))
        objects.append(
            b"<< /Type /Page /Parent 2 0 R /MediaBox [0 0 595 842] /Contents %d 0 R"
            b" /Resources << /Font << /F1 3 0 R >> >> >>" % len(objects)
        )
        kids.append(b"%d 0 R" % len(objects))
    objects[1] = b"<< /Type /Pages /Kids [%s] /Count %d >>" % (b" ".join(kids), pages)
    body, offsets = b"%PDF-1.4\n", []
    for number, content in enumerate(objects, 1):
        offsets.append(len(body))
        body += b"%d 0 obj\n%s\nendobj\n" % (number, content)
    table = b"".join(b"%010d 00000 n \n" % offset for offset in offsets)
    body += b"xref\n0 %d\n0000000000 65535 f \n%s" % (len(objects) + 1, table)
    body += b"trailer << /Size %d /Root 1 0 R >>\nstartxref\n%d\n%%%%EOF\n" % (len(objects) + 1, body.index(b"xref\n0"))
    path.write_bytes(body)


def peak_memory(command: list[str]) -> tuple[int, float]:
    """Peak bytes of the process tree while a command runs, and its seconds."""
    started, peak = time.perf_counter(), 0
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as process:
        parent = psutil.Process(process.pid)
        while process.poll() is None:
            total = 0
            with contextlib.suppress(psutil.Error):
                for member in [parent, *parent.children(recursive=True)]:
                    with contextlib.suppress(psutil.Error):
                        total += member.memory_full_info().pss
            peak = max(peak, total)
            time.sleep(0.05)
    if process.returncode:
        raise SystemExit(f"{' '.join(command)} ended with {process.returncode}")
    return peak, time.perf_counter() - started


def main() -> None:
    """Parse, measure, print."""
    parser = argparse.ArgumentParser(description="peak memory of a long PDF against a short one")
    parser.add_argument("--pages", type=int, nargs=2, default=[20, 500], metavar=("SHORT", "LONG"))
    parser.add_argument("--engine", default="rapid")
    parser.add_argument("--out", type=Path)
    args = parser.parse_args()
    peaks, seconds = [], []
    with tempfile.TemporaryDirectory() as folder:
        for pages in args.pages:
            pdf, out = Path(folder, f"{pages}.pdf"), Path(folder, f"{pages}.md")
            make_pdf(pages, pdf)
            command = [sys.executable, "-m", "ocrpress", "convert", "--engine", args.engine, "-o", str(out), str(pdf)]
            peak, took = peak_memory(command)
            peaks.append(peak)
            seconds.append(round(took, 1))
            print(f"{pages:>6} pages {peak / 2**20:>8.0f} MiB {took:>8.1f} s")
    ratio = round(peaks[1] / peaks[0], 3)
    print(f"ratio {ratio}")
    result = {
        "benchmark": "memory", "engine": args.engine, "pages": args.pages, "peak_bytes": peaks, "seconds": seconds,
        "ratio": ratio, **describe_machine(),
    }  # fmt: skip
    if args.out:
        args.out.write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")
    print(json.dumps(result))


if __name__ == "__main__":
    main()
