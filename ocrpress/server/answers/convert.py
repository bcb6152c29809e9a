"""POST /v1/convert: a document in, its text out; whole, or page by page as they are read.

    receive ─▶ options ─▶ look ─▶ desk ─▶ pages ─▶ whole document | events

A client that leaves is noticed wherever its request is, also in the queue: its pages are not read, its file goes.
"""

from __future__ import annotations

import asyncio
import logging
import re
from collections.abc import AsyncGenerator, Callable, Coroutine, Sequence
from contextlib import AsyncExitStack, aclosing
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any, TypeVar

import anyio
from anyio import to_thread
from fastapi import APIRouter, Request, Response
from starlette.requests import ClientDisconnect

from ocrpress.document import Document, PageResult
from ocrpress.errors import OcrpressError
from ocrpress.jobs.reading.order import Done, Opened
from ocrpress.server.answers.compression import compression
from ocrpress.server.answers.sse import MEDIA_TYPE as EVENTS
from ocrpress.server.answers.sse import encode, respond
from ocrpress.server.answers.writing import MEDIA_TYPES, aptly, document_said, headers_of, page_said
from ocrpress.server.desk.follow import follow
from ocrpress.server.desk.work import Told, Work
from ocrpress.server.door.problems import describe, request_id
from ocrpress.server.intake.fields import format_of, options_of, request_body, stream_of, writing_of
from ocrpress.server.intake.look import Sheet, look
from ocrpress.server.intake.uploads import Upload, receive
from ocrpress.writers import render

if TYPE_CHECKING:
    from ocrpress.pipeline import Options
    from ocrpress.server.service import Service
    from ocrpress.writers import WriterOptions

router = APIRouter(tags=["convert"])
Made = TypeVar("Made")

log = logging.getLogger("ocrpress.server")
_KINDS = {EVENTS: ("md", True), **{kind.partition(";")[0]: (form, False) for form, kind in MEDIA_TYPES.items()}}
_WEIGHT = re.compile(r"[01](\.[0-9]{0,3})?")


@dataclass(frozen=True)
class Asked:
    """A request to convert.

    Attributes:
        form: of the answer: "md", "json" or "txt".
        stream: pages as they come.
    """

    upload: Upload
    options: Options
    writing: WriterOptions
    form: str
    stream: bool
    client: str
    engine: str

    def work_of(self, sheet: Sheet) -> Callable[[Callable[[Told], object]], Work]:
        """What makes the work, given what it shall be told through."""
        path, name = str(self.upload.path), self.upload.name
        return lambda tell: Work(path, name, self.options, self.client, sheet.numbers, tell)

    def document(self, pages: list[PageResult]) -> Document:
        """The document that these pages make, in whatever order they came."""
        ordered = tuple(sorted(pages, key=lambda page: page.number))
        return Document(self.upload.name, ordered, self.engine, self.options.mode or "", True, len(ordered))


_EVENTS = (
    'event: document\ndata: {"name":"scan.pdf","pages":[1],"engine":"rapid","mode":"native"}\n\n'
    'event: page\ndata: {"page":{"number":1,"status":"ok"},"markdown":"<!-- page 1 -->\\n\\n# On Pages\\n"}\n\n'
    'event: result\ndata: {"markdown":"<!-- page 1 -->\\n\\n# On Pages\\n","failed_pages":0,"compression":{}}\n\n'
)
_ANSWERS: dict[int | str, dict[str, Any]] = {
    200: {
        "description": "The text of all pages, also if some failed: they are marked in their places. As events,"
        " `document`, a `page` each in the order in which they are read, `result`; or `error`, with a problem, as the"
        " last.",
        "headers": {name: {"schema": {"type": "integer"}} for name in headers_of(())},
        "content": {
            "text/markdown": {"example": "<!-- page 1 -->\n\n# On Pages\n"},
            "application/json": {"schema": {"type": "object"}},
            "text/plain": {"example": "On Pages\n"},
            EVENTS: {"example": _EVENTS},
        },
    },
    408: {"description": "The upload does not come, or too slowly."},
    504: {"description": "It was not read in time; `/v1/jobs` has no such limit."},
}


@router.post(
    "/v1/convert", summary="Read a document", response_class=Response, responses=_ANSWERS,
    openapi_extra={"requestBody": request_body()},
)  # fmt: skip
async def convert(request: Request) -> Response:
    """A document in, its text out: as Markdown, JSON or plain text, whole or page by page as they are read.

    What a file is, its contents decide. If the client leaves, its pages are not read.
    """
    service: Service = request.app.state.service
    service.desk.check_room()
    async with AsyncExitStack() as stack:
        upload = await stack.enter_async_context(receive(request, service))
        asked = _asked(request, upload, service)
        if not asked.stream:
            return await unless_gone(request, _whole(asked, service))
        sheet = await unless_gone(request, look(upload.path, upload.name, asked.options, service))
        return await _in_pieces(asked, sheet, service, stack)


def _asked(request: Request, upload: Upload, service: Service) -> Asked:
    """What the request wants. Raises UsageError, Draining."""
    form, stream = accepted(request.headers.get("accept", ""))
    fields = upload.fields
    options = options_of(fields, service)
    engine = service.desk.engine
    return Asked(
        upload, options, writing_of(fields), format_of(fields, form), stream_of(fields) or stream,
        request.scope["state"]["client"], engine.name if engine else "",
    )  # fmt: skip


async def _whole(asked: Asked, service: Service) -> Response:
    """The answer in one piece."""
    sheet = await look(asked.upload.path, asked.upload.name, asked.options, service)
    seconds = service.settings.request_seconds
    async with aclosing(follow(service.desk, asked.work_of(sheet), seconds)) as events:
        pages = [event.result async for event in events if isinstance(event, Done)]
    document = asked.document(pages)
    text = await aptly(document.pages, lambda: render(document, asked.form, asked.writing).encode())
    return Response(text, 200, headers_of(pages), MEDIA_TYPES[asked.form])


async def _in_pieces(asked: Asked, sheet: Sheet, service: Service, stack: AsyncExitStack) -> Response:
    """The answer as server-sent events.

    Args:
        stack: closed when all is sent, or the client has left.

    Raises:
        Full, Draining: the desk does not take it. What happens later is told by an event, the last.
    """
    queue: asyncio.Queue[Opened | Done | None] = asyncio.Queue()
    reader = asyncio.create_task(_read(asked, sheet, service, queue))
    stack.push_async_callback(_stop, reader)
    await asyncio.sleep(0)  # now it is submitted, or refused
    if reader.done():
        await reader
    return respond(_events(asked, sheet, reader, queue), after=stack.pop_all().aclose)


async def _read(asked: Asked, sheet: Sheet, service: Service, queue: asyncio.Queue[Opened | Done | None]) -> None:
    """What the desk tells, into the queue, and None at the end. In one task: the time limit is bound to it."""
    try:
        async with aclosing(follow(service.desk, asked.work_of(sheet), service.settings.request_seconds)) as events:
            async for event in events:
                queue.put_nowait(event)
    finally:
        queue.put_nowait(None)


async def _stop(task: asyncio.Task[None]) -> None:
    task.cancel()
    with anyio.CancelScope(shield=True):
        await asyncio.wait({task})
    if not task.cancelled():
        task.exception()  # it was told, or nobody is there to be told


async def _events(
    asked: Asked, sheet: Sheet, reader: asyncio.Task[None], queue: asyncio.Queue[Opened | Done | None]
) -> AsyncGenerator[bytes, None]:
    """`document`, a `page` each as they come, then `result`; or `error` as the last."""
    pages: list[PageResult] = []
    try:
        if sheet.numbers is not None:
            yield _begin(asked, sheet.numbers)
        while (event := await queue.get()) is not None:
            if isinstance(event, Done):
                pages.append(event.result)
                yield await aptly([event.result], partial(_page, asked, event.result))
            elif sheet.numbers is None:
                yield _begin(asked, event.numbers)
        await reader
        yield await to_thread.run_sync(_end, asked, pages)
    except Exception as error:
        if not isinstance(error, OcrpressError):
            log.exception("request %s failed", request_id.get())
        yield encode("error", {"problem": describe(error)})


def _begin(asked: Asked, numbers: Sequence[int]) -> bytes:
    found = {"name": asked.upload.name, "pages": list(numbers), "engine": asked.engine, "mode": asked.options.mode}
    return encode("document", found)


def _page(asked: Asked, page: PageResult) -> bytes:
    return encode("page", page_said(page, asked.upload.name, asked.writing))


def _end(asked: Asked, pages: list[PageResult]) -> bytes:
    document = asked.document(pages)
    found = document_said(document, asked.form, asked.writing)
    found |= {"failed_pages": len(document.failed), "compression": compression(document.pages)}
    return encode("result", found)


async def unless_gone(request: Request, work: Coroutine[Any, Any, Made]) -> Made:
    """What the work comes to; it is given up when the client leaves (ClientDisconnect). The body must be read."""
    task, gone = asyncio.create_task(work), asyncio.create_task(_left(request))
    try:
        await asyncio.wait({task, gone}, return_when=asyncio.FIRST_COMPLETED)
        if not task.done():
            raise ClientDisconnect
        return task.result()
    finally:
        gone.cancel()
        if not task.done():
            task.cancel()
            with anyio.CancelScope(shield=True):
                await asyncio.wait({task})


async def _left(request: Request) -> None:
    while (await request.receive())["type"] != "http.disconnect":
        pass


def accepted(header: str) -> tuple[str, bool]:
    """The format that an Accept header likes best of ours, and whether it wants events."""
    best, liking = ("md", False), 0.0
    for part in header.split(",") if header not in {"", "*/*"} else ():
        kind, *parameters = (piece.strip().lower() for piece in part.split(";"))
        weight = next((text[2:].strip() for text in parameters if text.startswith("q=")), "1")
        quality = float(weight) if _WEIGHT.fullmatch(weight) else 0.0
        if kind in _KINDS and quality > liking:
            best, liking = _KINDS[kind], quality
    return best
