"""For tests of the ledger: pages and documents to put into it, and Python in a process of its own."""

from __future__ import annotations

import hashlib
import subprocess
import sys
from pathlib import Path

from conftest import environment

from ocrpress.document import Attempt, Block, PageResult
from ocrpress.jobs.ledger.book import Stamp
from ocrpress.modes import plan


def page(number: int, status="ok", text="words", **more) -> PageResult:
    blocks = (Block("paragraph", f"{text} of page {number}", (1 / 3, 2.0, 3.0, 4.0)),) if status == "ok" else ()
    return PageResult(
        number, status, blocks, 612.0, 792.0, 0, "rapid", "base",
        **{"plan": plan(1000, 1000, "base"), "attempts": (Attempt("rapid", "base", "end", 0.5, output_tokens=9),),
           "seconds": {"render": 0.25}} | more,
    )  # fmt: skip


def stamp(text: str = "") -> Stamp:
    return Stamp(len(text), 5, hashlib.sha256(text.encode()).hexdigest())


def begin(ledger, name="a.pdf", pages=3, **more) -> int:
    """A document that is open."""
    given = {"path": f"/in/{name}", "output": f"{name}.md", "stamp": stamp(), "options": "o"} | more
    document = ledger.begin(name, *given.values())
    ledger.opened(document, range(1, pages + 1))
    return document


def write(out: Path, ledger, document: int, *, keep=False) -> None:
    """Write a document that is complete, as a batch does."""
    entry = ledger.entry(document)
    data = "\n".join(page.text for page in ledger.results(document)).encode()
    (out / entry.output).write_bytes(data)
    ledger.finish(document, len(data), hashlib.sha256(data).hexdigest(), keep=keep)


def contents(ledger, document: int) -> list[int]:
    """The pages whose contents the ledger holds."""
    sql = "SELECT number FROM pages WHERE document = ? AND result IS NOT NULL ORDER BY number"
    return [number for (number,) in ledger.rows(sql, (document,))]


def state(out: Path) -> Path:
    return out / ".ocrpress"


def run_python(code: str, *arguments: object, **more) -> subprocess.Popen:
    """Code in which `out` is the first argument, and the names of this file and of the ledger are at hand."""
    head = "from ledger_tools import *\nfrom ocrpress.jobs.ledger.book import *\nout = Path(sys.argv[1])\n"
    return subprocess.Popen(
        [sys.executable, "-c", head + code, *map(str, arguments)], env=environment(), stdout=subprocess.PIPE,
        stderr=subprocess.PIPE, **more,
    )  # fmt: skip
