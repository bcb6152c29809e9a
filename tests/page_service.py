"""A stand-in for the service behind the page: the same addresses and shapes, but the test says what it reads, how fast,
and what goes wrong. `test_serve_page.py` also has the page in front of the service itself."""

from __future__ import annotations

import asyncio
import contextlib
import io
import json
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

import uvicorn
from fastapi import FastAPI, Request, Response
from fastapi.responses import JSONResponse, PlainTextResponse, StreamingResponse
from PIL import Image, ImageDraw

from ocrpress.document import Block, Document, PageResult
from ocrpress.modes import MODES, NATIVE, plan
from ocrpress.server import page
from ocrpress.server.errors import NotFound
from ocrpress.writers import WriterOptions, json_schema, markdown

WIDTH, HEIGHT = 612.0, 792.0
PIXELS = (1275, 1650)


@dataclass
class Script:
    """What the stand-in does.

    Attributes:
        pages: what is read, by mode.
        token: that it wants; empty for none.
        full: how many uploads are told to come again in a second.
        refuse: (status, problem) for every upload.
        password: that a document needs.
        hold: pages after this one wait until `release`.
        cut: event streams end without a word after so many events, once.
    """

    pages: Callable[[str], list[PageResult]]
    token: str = ""
    full: int = 0
    refuse: tuple[int, dict[str, Any]] | None = None
    password: str = ""
    hold: int | None = None
    cut: int | None = None
    failed: dict[str, Any] | None = None
    uploads: list[dict[str, str]] = field(default_factory=list)
    deleted: list[str] = field(default_factory=list)
    jobs: dict[str, dict[str, Any]] = field(default_factory=dict)
    events_from: list[str] = field(default_factory=list)
    pictures: list[str] = field(default_factory=list)
    url: str = ""

    def release(self) -> None:
        """Read on."""
        self.hold = None


def result(number: int, *blocks: Block, mode: str = "base", status: str = "ok", error: str = "") -> PageResult:
    """A page as it was read."""
    return PageResult(
        number, status, blocks, WIDTH, HEIGHT, engine="stand-in", mode=mode, error=error,  # type: ignore[arg-type]
        plan=plan(*PIXELS, mode) if status != "failed" else None,
    )  # fmt: skip


def lines(number: int, *texts: str, mode: str = "base") -> PageResult:
    """A page of a heading and paragraphs below each other."""
    head = Block("heading", f"Heading of page {number}", (72, 60, 540, 90), level=1)
    body = [Block("paragraph", text, (72, 110 + 60 * i, 540, 150 + 60 * i)) for i, text in enumerate(texts)]
    return result(number, head, *body, mode=mode)


@contextlib.contextmanager
def standing_in(script: Script) -> Iterator[Script]:
    """The stand-in on a port of its own."""
    server = uvicorn.Server(uvicorn.Config(_application(script), port=0, log_level="warning", lifespan="off"))
    thread = threading.Thread(target=server.run, daemon=True)
    thread.start()
    while not server.started:
        assert thread.is_alive()
        threading.Event().wait(0.01)
    script.url = f"http://127.0.0.1:{server.servers[0].sockets[0].getsockname()[1]}"
    try:
        yield script
    finally:
        script.release()
        server.should_exit = server.force_exit = True
        thread.join(20)
        assert not thread.is_alive()


def _application(script: Script) -> FastAPI:
    app = FastAPI()
    app.include_router(page.router)

    @app.exception_handler(NotFound)
    async def _not_found(request: Request, error: Exception) -> Response:
        return _problem(404, "not-found", "there is no such thing", "")

    @app.middleware("http")
    async def _guard(request: Request, answer: Callable[[Request], Any]) -> Response:
        wants = script.token and request.url.path.startswith("/v1/")
        if wants and request.headers.get("authorization") != f"Bearer {script.token}":
            return _problem(401, "unauthorized", "a token is needed", "send the header 'Authorization: Bearer TOKEN'")
        return await answer(request)

    @app.get("/v1/modes")
    async def modes(width: int, height: int) -> Any:
        return {"engine": "stand-in", "default": "base", "modes": [_row(name, width, height) for name in _names()]}

    @app.post("/v1/jobs")
    async def begin(request: Request) -> Response:
        form = await request.form()
        fields = {name: value for name, value in form.items() if isinstance(value, str)}
        upload = form["file"]
        script.uploads.append({**fields, "file": upload.filename or ""})  # type: ignore[union-attr]
        if script.full:
            script.full -= 1
            return _problem(429, "full", "the queue is full", "try again in 1 s", {"Retry-After": "1"})
        if script.refuse:
            status, said = script.refuse
            return JSONResponse(said, status, media_type="application/problem+json")
        if script.password and fields.get("password") != script.password:
            return _problem(422, "password", "the document is encrypted", "give the right one with the field password")
        number = f"job-{len(script.jobs) + 1}"
        mode = fields.get("mode") or "base"
        script.jobs[number] = {"name": upload.filename, "mode": mode, "pages": script.pages(mode), "done": 0}  # type: ignore[union-attr]
        return JSONResponse(_job(script, number), 202, {"Location": f"/v1/jobs/{number}"})

    @app.get("/v1/jobs/{number}")
    async def job(number: str) -> Response:
        return (
            JSONResponse(_job(script, number))
            if number in script.jobs
            else _problem(404, "not-found", "no such job", "")
        )

    @app.delete("/v1/jobs/{number}")
    async def forget(number: str) -> Response:
        script.deleted.append(number)
        return (
            Response(status_code=204)
            if script.jobs.pop(number, None)
            else _problem(404, "not-found", "no such job", "")
        )

    @app.get("/v1/jobs/{number}/modes")
    async def costs(number: str) -> Any:
        count = len(script.jobs[number]["pages"])
        rows = [{"mode": name, "plan": _row(name, *PIXELS)["plan"]} for name in MODES]
        for row in rows:
            row |= {key: row["plan"][key] * count for key in ("vision_tokens", "sequence_tokens")}
            del row["plan"]
        return {"file": "", "pages": count, "unreadable": [], "modes": rows}

    @app.get("/v1/jobs/{number}/result")
    async def whole(number: str, format: str = "md") -> Response:  # noqa: A002
        said = script.jobs[number]
        document = Document(said["name"], tuple(said["pages"]), "stand-in", said["mode"])
        if format == "json":
            return JSONResponse(json_schema.as_object(document))
        return PlainTextResponse(document.text if format == "txt" else markdown.write(document, WriterOptions()))

    @app.get("/v1/jobs/{number}/pages/{place}/image")
    async def picture(number: str, place: int, width: int) -> Response:
        script.pictures.append(f"{number}/{place}")
        return Response(_draw(script.jobs[number]["pages"][place - 1], width), media_type="image/png")

    @app.get("/v1/jobs/{number}/events")
    async def events(number: str, request: Request) -> Response:
        if number not in script.jobs:
            return _lost()
        last = int(request.headers.get("last-event-id", "0"))
        script.events_from.append(request.headers.get("last-event-id", ""))
        return StreamingResponse(_events(script, number, last), media_type="text/event-stream")

    return app


async def _events(script: Script, number: str, last: int) -> Any:
    yield _event("job", {"job": _job(script, number)})
    sent = 0
    for place, read in enumerate(script.jobs[number]["pages"], 1):
        if place <= last:
            continue
        while script.hold is not None and place > script.hold:
            await asyncio.sleep(0.02)
        if number not in script.jobs:
            return
        said = script.jobs[number]
        said["done"] = max(said["done"], place)
        text = markdown.write(Document("", (read,)), WriterOptions(page_breaks="none"))
        yield _event("page", {"page": json_schema.page_object(read), "markdown": text}, place)
        sent += 1
        if script.cut is not None and sent >= script.cut:
            script.cut = None
            return
    yield _event("done", {"job": _job(script, number)})


def _event(event: str, data: object, number: int | None = None) -> str:
    head = f"id: {number}\n" if number else ""
    return f"{head}event: {event}\ndata: {json.dumps(data)}\n\n"


def _job(script: Script, number: str) -> dict[str, Any]:
    said = script.jobs[number]
    read: list[PageResult] = said["pages"]
    over = said["done"] == len(read)
    vision = sum(one.plan.vision_tokens for one in read if one.plan)
    sequence = sum(one.plan.sequence_tokens for one in read if one.plan)
    state = "failed" if script.failed else "done" if over else "reading" if said["done"] else "waiting"
    return {
        "id": number, "name": said["name"], "state": state, "engine": "stand-in", "mode": said["mode"],
        "pages": [one.number for one in read], "page_count": len(read), "pages_done": said["done"],
        "failed_pages": sum(one.status == "failed" for one in read), "error": script.failed,
        "compression": {
            "text_tokens": 640 * len(read), "characters": 2500 * len(read), "vision_tokens": vision,
            "sequence_tokens": sequence, "tokens_per_vision_token": 640 * len(read) / vision if vision else None,
            "tokens_per_sequence_token": 640 * len(read) / sequence if sequence else None,
            "characters_per_vision_token": 2500 * len(read) / vision if vision else None,
        } if over else None,
    }  # fmt: skip


def _names() -> list[str]:
    return [*MODES, NATIVE.name]


def _row(name: str, width: int, height: int) -> dict[str, Any]:
    found = plan(width, height, name)
    costs = {"vision_tokens": found.vision_tokens, "sequence_tokens": found.sequence_tokens}
    return {"mode": name, "readable": name != "gundam-m", "default": name == "base", "plan": costs}


def _draw(read: PageResult, width: int) -> bytes:
    image = Image.new("RGB", (width, round(width * HEIGHT / WIDTH)), "white")
    drawing = ImageDraw.Draw(image)
    scale = width / WIDTH
    for block in read.blocks:
        left, top, _, bottom = (value * scale for value in block.box)
        size = max(8, min(bottom - top, 20 * scale) * 0.6)
        drawing.text((left, top), block.text[:70], fill="black", font_size=size)
    stream = io.BytesIO()
    image.save(stream, "PNG")
    return stream.getvalue()


def _lost() -> Response:
    return _problem(404, "not-found", "no such job", "")


def _problem(status: int, kind: str, detail: str, remedy: str, headers: dict[str, str] | None = None) -> Response:
    said = {"type": f"urn:ocrpress:{kind}", "title": kind, "status": status, "detail": detail, "remedy": remedy}
    return JSONResponse(said, status, headers, media_type="application/problem+json")
