"""What the nodes of a cluster do, stage by stage. Each takes rows of a Ray dataset and gives rows.

    orders ──draw──▶ pages as pixels ──Reading──▶ results ──keep──▶ results, and records of them in files

A row is {"head": JSON, "body": bytes}. Kinds of heads: "page" (the body is its pixels, compressed), "done" (the body is
the encoded result), "refused" (a document), "broken" (nothing can go on). All but the last name their "document", and
pages give its "numbers": the pages of it that will come.

A stage whose process is killed is run again by Ray, which takes of the second run the rows that it had not got from the
first, by their places. So every stage must give the same rows in the same order, and no stage may raise.
"""

from __future__ import annotations

import json
import shutil
import tempfile
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ocrpress import __version__, errors
from ocrpress.document import PageImage, PageResult, UnreadablePage
from ocrpress.errors import EngineError, InputError, OcrpressError
from ocrpress.jobs.cluster.desk import PageDesk
from ocrpress.jobs.cluster.records import Record, record_file
from ocrpress.jobs.ledger import codec
from ocrpress.jobs.ledger.values import as_ranges
from ocrpress.jobs.reading.crew import Crew
from ocrpress.jobs.reading.feed import cause_of, in_a_line
from ocrpress.jobs.reading.link import COMMAND
from ocrpress.jobs.reading.order import Order
from ocrpress.jobs.reading.settings import Settings
from ocrpress.jobs.urls.files import is_url, joined, opened, put, put_file
from ocrpress.pipeline import options_for
from ocrpress.pipeline.case import Finisher
from ocrpress.sources import open_source
from ocrpress.sources.bench import Bench

if TYPE_CHECKING:
    import pyarrow as pa

    from ocrpress.pipeline import Options
    from ocrpress.sources.base import Source

Row = dict[str, Any]
Head = dict[str, Any]

_bench = Bench()  # render workers wait here from one document to the next


@dataclass(frozen=True)
class Ability:
    """What the engine is and can do, asked on a node: the driver need not be able to open it.

    Attributes:
        name: that results carry.
        options: those of the batch, with the mode filled in.
    """

    name: str
    in_flight: int
    options: Options


def ask(settings: Settings, version: str) -> Ability | OcrpressError:
    """What the engine can do; or why it cannot run here."""
    from ocrpress.engines import open_engine

    try:
        _check_version(version)
        engine = open_engine(settings.engine, settings.engine_options)
        try:
            return Ability(engine.name, engine.capabilities.in_flight, options_for(settings.options, engine))
        finally:
            engine.close()
    except OcrpressError as error:
        return error


def draw(row: Row, ability: Ability) -> Iterator[Row]:
    """The pages of a document, each as soon as it is drawn.

    Args:
        row: the JSON of the order's message, and of what the records shall say of the document.
    """
    order = Order.of_message(json.loads(row["order"]), b"")
    head: Head = {"document": order.document, "about": json.loads(row["about"])}
    given = 0
    finish = Finisher(ability.name, ability.options.mode or "", ability.options.task, None)
    try:
        with opened(order.path) as file, closing(_open(file, order, ability.options)) as source:
            head["numbers"], pages = as_ranges(source.numbers), source.pages()
            for number in source.numbers:
                page = next(pages, None)
                if page is None:
                    raise InputError(f"{order.path} ended before page {number}", "read it again when it is whole")
                given += 1
                yield _drawn(head, order, page, finish)
    except Exception as error:  # one document must not end the others, whatever a library raises
        told = {"kind": "refused", "error": in_a_line(error), "cause": cause_of(error), "given": given}
        yield _row({**head, **told})


class Reading:
    """An engine, in a process of its own beside this one: a page that crashes or hangs it costs that page only.

    Batches come in several threads at a time; each gives back its pages in their order.
    """

    def __init__(self, settings: Settings, version: str, command: Sequence[str] | None = None) -> None:
        self._settings, self._version, self._command = settings, version, command
        self._desk: PageDesk | None = None
        self._lock = threading.Lock()

    def __call__(self, batch: pa.Table) -> Iterator[pa.Table]:
        """Read the pages of a batch; the other rows pass through."""
        try:
            _check_version(self._version)
            rows = self._read(batch)
        except OcrpressError as error:
            rows = [_row(broken(error))]
        yield _table(rows)

    def _read(self, batch: pa.Table) -> list[Row]:
        """All pages are asked for before the first is waited for."""
        asked: list[Row | Callable[[], Row]] = []
        for text, body in zip(batch["head"].to_pylist(), batch["body"], strict=True):
            head = json.loads(text)
            if head["kind"] == "page":
                asked.append(self._ask(head, _unpacked(body.as_buffer(), head["bytes"])))
            else:
                asked.append(_row(head, body.as_py()))
        return [row() if callable(row) else row for row in asked]

    def _ask(self, head: Head, pixels: bytes) -> Callable[[], Row]:
        """Have a page read; gives what waits for it. Figures that go behind a URL are cropped into a folder here."""
        order, here, there = Order.of_message(head["order"], pixels), None, ""
        if order.figures and is_url(order.figures[0]):
            there, prefix = order.figures
            here = Path(tempfile.mkdtemp(prefix="ocrpress-figures-"))
            order = replace(order, figures=(str(here / there.rstrip("/").rpartition("/")[2]), prefix))
        future = self._opened().ask(order, head["order"]["page"][0])

        def settled() -> Row:
            done = future.result()
            if here:
                for file in sorted(here.glob("*/*")):
                    put_file(joined(there, file.name), file)
                shutil.rmtree(here, ignore_errors=True)
            return _done(head, done.result, done.cause)

        return settled

    def _opened(self) -> PageDesk:
        with self._lock:
            if self._desk is None:
                self._desk = PageDesk(Crew(self._settings, self._command or COMMAND))
            return self._desk


def keep(batch: pa.Table, folder: str, run: str) -> pa.Table:
    """Write what became of the pages of a batch into a file of records: it is durable when the driver hears of it.

    Args:
        folder: path or URL.
        run: names the run; a file of the same pages has the same name, so that a second attempt leaves no second file.
    """
    found = [(json.loads(row["head"]), row["body"]) for row in batch.to_pylist()]
    records = [_record(head, body) for head, body in found if head["kind"] in {"done", "refused"}]
    if not records:
        return batch
    try:
        name, data = record_file(run, records)
        put(joined(folder, name), data)
    except OcrpressError as error:
        return _table([_row(broken(error))])
    return batch


def _record(head: Head, body: bytes) -> Record:
    if head["kind"] == "refused":
        return Record(head["about"], error=head["error"], cause=head["cause"])
    return Record(head["about"], head["numbers"], codec.decode(body), cause=head["cause"])


def error_of(head: Mapping[str, Any]) -> OcrpressError:
    """The error that a row of kind "broken" carries."""
    error: OcrpressError = getattr(errors, head["error"])(head["message"], head["advice"])
    return error


def _open(file: Any, order: Order, options: Options) -> Source:
    return open_source(file, replace(options, pages=order.pages, workers=1).of_source(), _bench)


def _drawn(head: Head, order: Order, page: PageImage | UnreadablePage, finish: Finisher) -> Row:
    if isinstance(page, UnreadablePage):
        return _done(head, finish.unreadable(page), "")
    message, pixels = replace(order, page=page).as_message()
    return _row({**head, "kind": "page", "order": message, "bytes": len(pixels)}, _packed(pixels))


def _done(head: Head, result: PageResult, cause: str) -> Row:
    kept = {name: head[name] for name in ("document", "numbers", "about")}
    return _row({**kept, "kind": "done", "cause": cause}, codec.encode(result))


def broken(error: OcrpressError) -> Head:
    """The head that carries an error which ends everything."""
    return {"kind": "broken", "error": type(error).__name__, "message": error.message, "advice": error.advice}


def _row(head: Head, body: bytes = b"") -> Row:
    return {"head": json.dumps(head), "body": body}


def _table(rows: Sequence[Row]) -> pa.Table:
    import pyarrow as pa

    heads, bodies = [row["head"] for row in rows], [row["body"] for row in rows]
    return pa.table({"head": pa.array(heads, pa.string()), "body": pa.array(bodies, pa.binary())})


def _packed(pixels: bytes) -> bytes:
    """Pages are mostly white: this leaves 1/8 to 1/400 of the bytes, in a tenth to a fifth of the time of drawing."""
    import pyarrow as pa

    packed: bytes = pa.Codec("zstd", 1).compress(pixels, asbytes=True)
    return packed


def _unpacked(packed: pa.Buffer, size: int) -> bytes:
    import pyarrow as pa

    pixels: bytes = pa.Codec("zstd").decompress(packed, size, asbytes=True)
    return pixels


def _check_version(version: str) -> None:
    if version != __version__:
        found = f"a node of the cluster has ocrpress {__version__}, and this machine {version}"
        raise EngineError(found, "install the same version on all nodes")
