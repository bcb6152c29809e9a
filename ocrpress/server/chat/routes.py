"""POST /v1/chat/completions and GET /v1/models: what clients of a vLLM that serves DeepSeek-OCR speak."""

from __future__ import annotations

import time
from contextlib import AsyncExitStack
from typing import TYPE_CHECKING, Any

from fastapi import APIRouter, Request, Response
from fastapi.responses import JSONResponse

from ocrpress.errors import InputError, OcrpressError
from ocrpress.server.answers.convert import unless_gone
from ocrpress.server.chat.ask import ask, engine_of
from ocrpress.server.chat.deliver import in_pieces, whole
from ocrpress.server.chat.reading import reading
from ocrpress.server.chat.request import BadField
from ocrpress.server.chat.shape import ChatRoute, openai_error
from ocrpress.server.door.problems import describe
from ocrpress.server.errors import Draining, Forbidden, Full, NotFound, TimeLimit, TooLarge, Unauthorized

if TYPE_CHECKING:
    from ocrpress.server.service import Service

router = APIRouter(tags=["chat"], route_class=ChatRoute)

_STARTED = int(time.time())
_PARTS = [
    {"type": "image_url", "image_url": {"url": "data:image/png;base64,iVBORw0KGgo…"}},
    {"type": "text", "text": "<|grounding|>Convert the document to markdown."},
]
_ASKED = {"model": "deepseek-ai/DeepSeek-OCR", "messages": [{"role": "user", "content": _PARTS}]}
_SCHEMA = {"type": "object", "required": ["messages"]}
_BODY = {"required": True, "content": {"application/json": {"schema": _SCHEMA, "example": _ASKED}}}
_ANSWERED = {
    "id": "chatcmpl-0123456789abcdef", "object": "chat.completion", "created": 1767225600,
    "model": "deepseek-ai/DeepSeek-OCR",
    "choices": [{
        "index": 0, "finish_reason": "stop", "logprobs": None,
        "message": {
            "role": "assistant", "refusal": None,
            "content": "<|ref|>title<|/ref|><|det|>[[117, 90, 881, 120]]<|/det|>\n# On Pages",
        },
    }],
    "usage": {"prompt_tokens": 282, "completion_tokens": 31, "total_tokens": 313},
}  # fmt: skip
_MODEL = {"id": "deepseek:tiny", "object": "model", "created": 1767225600, "owned_by": "ocrpress"}


_REFUSED: tuple[OcrpressError, ...] = (
    BadField("n", "n is not 1: a page has one answer", "leave n out"), Unauthorized("this service wants a token"),
    Forbidden("pages of another site may not use this service"), Draining("the engine is not open yet", 5),
)  # fmt: skip
_NOT_READ: tuple[OcrpressError, ...] = (
    TooLarge("image 1 has more than 104,857,600 bytes", "send less at a time"), Full("256 documents wait already", 12),
    InputError("image 1 is neither an image nor a PDF", "send one that is"),
    TimeLimit("image 1 was not read within 600 s", "send fewer pages"),
)  # fmt: skip
_NO_SUCH: tuple[OcrpressError, ...] = (NotFound("there is no model of that name here"),)


def _examples(found: object, about: str, more: tuple[OcrpressError, ...] = ()) -> dict[int | str, dict[str, Any]]:
    """What the description of the API says of answers, and of errors in the shape that they have here."""
    errors = [(error, describe(error)) for error in (*_REFUSED, *more)]
    told = [(200, about, found), *((error.http_status, said["title"], openai_error(said)) for error, said in errors)]
    return {
        status: {"description": text, "content": {"application/json": {"example": example}}}
        for status, text, example in told
    }


@router.post(
    "/v1/chat/completions", summary="Read the images of a chat, as OpenAI's clients ask",
    openapi_extra={"requestBody": _BODY}, response_class=JSONResponse,
    responses=_examples(_ANSWERED, "The text of all pages; with `stream` in server-sent events.", _NOT_READ),
)  # fmt: skip
async def complete(request: Request) -> Response:
    """Images and PDFs as data: URLs, several in a message: each is read, in order. Nothing is fetched.

    The prompt decides the task: those that DeepSeek-OCR was trained with are known, any other gets Markdown. A model
    whose name ends in a mode, such as "deepseek:tiny", is read in it. Errors have OpenAI's shape.
    """
    service: Service = request.app.state.service
    service.desk.check_room()
    async with AsyncExitStack() as stack:
        asked = await ask(request, service, stack)
        pages = await stack.enter_async_context(reading(service.desk, asked.works, service.settings.request_seconds))
        if asked.chat.stream:
            return await in_pieces(asked, pages, stack)
        return await unless_gone(request, whole(asked, pages))


@router.get("/v1/models", summary="The engine, and its modes by name", response_class=JSONResponse,
            responses=_examples({"object": "list", "data": [_MODEL]}, "The models."))  # fmt: skip
async def models(request: Request) -> JSONResponse:
    """Any other name is taken too: a client keeps the one that it knows."""
    return JSONResponse({"object": "list", "data": [_model(name) for name in _names(request)]})


@router.get("/v1/models/{name:path}", summary="One of them", response_class=JSONResponse,
            responses=_examples(_MODEL, "The model.", _NO_SUCH))  # fmt: skip
async def model(request: Request, name: str) -> JSONResponse:
    """An entry of /v1/models."""
    names = _names(request)
    if name not in names:
        raise NotFound("there is no model of that name here", f"these are: {', '.join(names)}")
    return JSONResponse(_model(name))


def _names(request: Request) -> list[str]:
    engine = engine_of(request.app.state.service)
    return [engine.name, *(f"{engine.name}:{mode}" for mode in engine.capabilities.modes)]


def _model(name: str) -> dict[str, Any]:
    return {"id": name, "object": "model", "created": _STARTED, "owned_by": "ocrpress"}
