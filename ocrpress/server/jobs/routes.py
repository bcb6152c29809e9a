"""/v1/jobs: documents that are read while nobody waits for them.

    POST ─▶ 202, the job ─▶ GET it, follow its events ─▶ GET its result ─▶ DELETE it, or let it expire

Every handler first finds out whether the job is there for this client; see `index`.
"""

from __future__ import annotations

import re
import time
from collections.abc import Mapping
from functools import partial
from typing import TYPE_CHECKING, Annotated, Any

from anyio import to_thread
from fastapi import APIRouter, Path, Query, Request, Response
from fastapi.responses import JSONResponse

from ocrpress.errors import UsageError, unknown
from ocrpress.server.answers.sse import MEDIA_TYPE as EVENTS
from ocrpress.server.answers.writing import MEDIA_TYPES, headers_of
from ocrpress.server.door.problems import MEDIA_TYPE as PROBLEM
from ocrpress.server.door.problems import describe
from ocrpress.server.errors import BadRequest, Gone, NotYet
from ocrpress.server.intake.fields import ANSWER, WRITING, format_of, options_of, request_body, stream_of, writing_of
from ocrpress.server.intake.look import look
from ocrpress.server.intake.uploads import receive
from ocrpress.server.jobs.job import PREFIX
from ocrpress.server.jobs.pictures import WIDTHS, mode_costs, picture
from ocrpress.server.jobs.record import Record, new_id
from ocrpress.server.jobs.stream import EventStream

if TYPE_CHECKING:
    from ocrpress.errors import OcrpressError
    from ocrpress.server.jobs.store import JobStore
    from ocrpress.server.service import Service
    from ocrpress.writers import WriterOptions

router = APIRouter(tags=["jobs"])

MOST_LISTED = 100
_COUNT = re.compile(r"[0-9]{1,9}")

_ID = "q2Xw0cX3T0uYv9mJ1n5b7A"
_LINKS = {
    "self": f"{PREFIX}/{_ID}", "result": f"{PREFIX}/{_ID}/result", "events": f"{PREFIX}/{_ID}/events",
    "modes": f"{PREFIX}/{_ID}/modes",
}  # fmt: skip
_WAITING = {
    "id": _ID, "name": "scan.pdf", "state": "waiting", "created": "2026-01-05T09:00:00.000Z", "finished": None,
    "expires": None, "engine": "deepseek", "mode": "base", "format": "md", "pages": [1, 2], "page_count": 2,
    "pages_done": 0, "failed_pages": 0, "error": None, "compression": None, "links": _LINKS,
}  # fmt: skip
_COMPRESSION = {
    "pages": 2, "text_tokens": 1503, "characters": 6120, "vision_tokens": 512, "valid_tokens": 396,
    "sequence_tokens": 546, "tokens_per_vision_token": 2.9355, "tokens_per_sequence_token": 2.7527,
    "characters_per_vision_token": 11.9531, "counter": "tokenizer of deepseek-ocr",
}  # fmt: skip
_DONE = _WAITING | {
    "state": "done", "finished": "2026-01-05T09:00:04.210Z", "expires": "2026-01-06T09:00:04.210Z", "pages_done": 2,
    "compression": _COMPRESSION,
}  # fmt: skip
_TOLD = (
    'event: job\ndata: {"job":{"state":"reading"}}\n\n'
    'event: page\nid: 1\ndata: {"page":{"number":2,"status":"ok"},"markdown":"<!-- page 2 -->\\n\\nText.\\n"}\n\n'
    'event: done\ndata: {"job":{"state":"done"}}\n\n'
)
_COSTS = {
    "file": "scan.pdf", "pages": 2, "unreadable": [],
    "modes": [{"mode": "tiny", "tiles": 0, "vision_tokens": 128, "valid_tokens": 128, "sequence_tokens": 146}],
}  # fmt: skip


def _told(description: str, example: object, kind: str = "application/json") -> dict[str, Any]:
    return {"description": description, "content": {kind: {"example": example}}}


def _problem(error: OcrpressError) -> dict[str, Any]:
    return _told(str(describe(error)["title"]), describe(error), PROBLEM)


_GONE: dict[int | str, dict[str, Any]] = {410: _problem(Gone("the job was deleted, or has expired"))}
_NOT_YET: dict[int | str, dict[str, Any]] = {409: _problem(NotYet("the job is reading: 3 of 40 pages are read"))}

Job = Annotated[str, Path(alias="id", description="of the job", examples=[_ID])]


@router.post(
    PREFIX, summary="Have a document read", status_code=202, response_class=JSONResponse,
    responses={202: _told("The job; Location has its address.", _WAITING)},
    openapi_extra={"requestBody": request_body(["stream"])},
)  # fmt: skip
async def create(request: Request) -> Response:
    """A document in, a job out. It is read whatever becomes of the client, also after a restart of the service.

    The fields are those of /v1/convert; `format`, `keep_furniture` and `page_breaks` are how the result is written
    where a request for it does not say.
    """
    service, jobs = _service(request)
    with jobs.reserved():
        async with receive(request, service) as upload:
            fields = upload.fields
            options = options_of(fields, service)
            if stream_of(fields):
                raise UsageError("a job's answer is the job, and no stream", "follow the events of the job")
            format, writing = format_of(fields), writing_of(fields)  # noqa: A001
            sheet = await look(upload.path, upload.name, options, service)
            engine = service.desk.engine
            record = Record(
                new_id(), upload.name, _client(request), time.time(), engine.name if engine else "", options,
                sheet.numbers, format, writing,
            )  # fmt: skip
            await to_thread.run_sync(jobs.accept, record, upload.keep)
    job = await jobs.archive.job(record.id)
    return JSONResponse(job, 202, {"Location": f"{PREFIX}/{record.id}"})


@router.get(
    PREFIX, summary="Your jobs, newest first", response_class=JSONResponse,
    responses={200: _told("The jobs.", {"jobs": [_DONE]})},
)  # fmt: skip
async def listed(request: Request, limit: Annotated[int, Query(ge=1, le=MOST_LISTED)] = 20) -> Response:
    """The client's own jobs: those of its token, or of its address where the service wants no tokens."""
    _, jobs = _service(request)
    found = await jobs.archive.jobs(jobs.index.jobs_of(_client(request), limit))
    return JSONResponse({"jobs": found})


@router.get(
    PREFIX + "/{id}", summary="How far a job is", response_class=JSONResponse,
    responses={200: _told("The job.", _DONE), **_GONE},
)  # fmt: skip
async def state(request: Request, job: Job) -> Response:
    """How far the job is; when it is done, its compression, too."""
    return JSONResponse(await _found(request, job).archive.job(job))


@router.get(
    PREFIX + "/{id}/result", summary="What was read", response_class=Response,
    responses={
        200: {
            "description": "The text of all pages, also if some failed: they are marked in their places.",
            "headers": {name: {"schema": {"type": "integer"}} for name in headers_of(())},
            "content": {
                "text/markdown": {"example": "<!-- page 1 -->\n\n# On Pages\n"},
                "application/json": {"schema": {"type": "object"}},
                "text/plain": {"example": "On Pages\n"},
            },
        },
        **_NOT_YET,
        **_GONE,
    },
)  # fmt: skip
async def result(
    request: Request,
    job: Job,
    format: Annotated[str | None, Query(description="md, json or txt; else as the job was sent")] = None,  # noqa: A002
    keep_furniture: Annotated[str | None, Query(description="true keeps running heads and page numbers")] = None,
    page_breaks: Annotated[str | None, Query(description="comment or none")] = None,
) -> Response:
    """The document as text. If it could not be read at all, the answer is the problem."""
    jobs = _found(request, job)
    asked = _asked(request.query_params)
    wanted = format_of(asked) if asked.get("format") else None
    writing_of(asked)
    found = await jobs.archive.result(job, wanted, partial(_writing, asked))
    return Response(found.data, 200, found.headers, MEDIA_TYPES[found.format])


@router.get(
    PREFIX + "/{id}/events", summary="Follow a job", response_class=Response,
    responses={200: _told("`job`, a `page` each as they are read, `done`.", _TOLD, EVENTS), **_GONE},
)  # fmt: skip
async def events(request: Request, job: Job) -> Response:
    """Server-sent events: how the job is, all its pages so far, those that come, and how it ended.

    The id of a page's event counts them; with `Last-Event-ID` the pages after that one are sent. A stream that ends
    without `done` is to be asked for again.
    """
    service, _ = _service(request)
    jobs = _found(request, job)
    last = request.headers.get("last-event-id", "").strip() or "0"
    if not _COUNT.fullmatch(last):
        raise BadRequest("Last-Event-ID is no id of an event here", "leave it out")
    return EventStream(jobs.followers.follow(job, int(last), lambda: service.draining))


@router.get(
    PREFIX + "/{id}/pages/{number}/image", summary="A picture of a page", response_class=Response,
    responses={
        200: {"description": "As wide as asked for, or a little wider.", "content": {"image/webp": {}}},
        304: {"description": "It is as it was."},
        **_GONE,
    },
)  # fmt: skip
async def image(
    request: Request,
    job: Job,
    number: Annotated[int, Path(ge=1, le=10_000_000, description="of the page")],
    width: Annotated[int, Query(ge=1, le=WIDTHS[-1], description="in pixels")] = 1000,
) -> Response:
    """The page as it stands upright, so that the boxes of its blocks fit. Drawn from the upload."""
    jobs = _found(request, job)
    found = await picture(jobs.archive, jobs.studio, job, number, width)
    lasting = "private, max-age=31536000, immutable"
    headers = {"ETag": f'"{found.tag}"', "Cache-Control": lasting if found.lasting else "no-store"}
    if found.lasting and headers["ETag"] in request.headers.get("if-none-match", ""):
        return Response(status_code=304, headers=headers)
    return Response(await found.data(), 200, headers, "image/webp")


@router.get(
    PREFIX + "/{id}/modes", summary="What each mode would cost the document", response_class=JSONResponse,
    responses={200: _told("Totals, and means a page.", _COSTS), **_GONE},
)  # fmt: skip
async def modes(request: Request, job: Job) -> Response:
    """Vision tokens and sequence tokens of the job's pages in every mode, from their sizes. Nothing is read for it."""
    jobs = _found(request, job)
    found = await mode_costs(jobs.archive, jobs.studio, job)
    return JSONResponse(found, headers={"Cache-Control": "private, max-age=3600"})


@router.delete(
    PREFIX + "/{id}", summary="Delete a job", status_code=204, response_class=Response,
    responses={204: {"description": "It is gone, with its document and its result."}, **_GONE},
)  # fmt: skip
async def delete(request: Request, job: Job) -> Response:
    """Delete a job. If it is being read, the rest of it is not."""
    await to_thread.run_sync(_found(request, job).remove, job)
    return Response(status_code=204)


def _service(request: Request) -> tuple[Service, JobStore]:
    service: Service = request.app.state.service
    return service, service.jobs


def _client(request: Request) -> str:
    client: str = request.scope["state"]["client"]
    return client


def _found(request: Request, job: str) -> JobStore:
    """The jobs, if this one is there for this client. Raises NotFound, Gone."""
    _, jobs = _service(request)
    jobs.index.find(job, _client(request))
    return jobs


def _asked(query: Mapping[str, str]) -> dict[str, str]:
    """What a query says of the result. Raises UsageError for a parameter that is not known."""
    known = (ANSWER[0], *WRITING)
    for name in query:
        if name not in known:
            raise unknown("parameter", " ".join(name.split())[:60], known)
    return dict(query)


def _writing(asked: Mapping[str, str], own: WriterOptions) -> WriterOptions:
    """How a result is written: as it is asked for, else as the job says."""
    return writing_of({"keep_furniture": str(own.keep_furniture), "page_breaks": own.page_breaks, **asked})
