"""The application: its routes, what it says of errors, and who stands at its door. Knows nothing of how it is run."""

from __future__ import annotations

from typing import TYPE_CHECKING

from fastapi import FastAPI
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException

from ocrpress import __version__
from ocrpress.errors import OcrpressError
from ocrpress.server import chat, jobs, page
from ocrpress.server.answers import convert
from ocrpress.server.chat.shape import OpenAIShape
from ocrpress.server.door import info, metrics
from ocrpress.server.door.guard import Guard
from ocrpress.server.door.openapi import complete
from ocrpress.server.door.problems import http_error, problem
from ocrpress.server.errors import BadRequest

if TYPE_CHECKING:
    from fastapi import Request, Response

    from ocrpress.server.service import Service

ABOUT = "Documents in, Markdown out, through an engine that reads pages at a chosen number of vision tokens."


def build_app(service: Service) -> FastAPI:
    """The application for this service: ASGI, with all that a request meets."""
    app = FastAPI(
        title="ocrpress", version=__version__, summary=ABOUT, docs_url=None, redoc_url=None, redirect_slashes=False,
        license_info={"name": "Apache-2.0", "identifier": "Apache-2.0"},
    )  # fmt: skip
    app.state.service = service
    for room in (info, convert, jobs, chat, metrics, page):
        app.include_router(room.router)
    app.add_exception_handler(OcrpressError, _own)
    app.add_exception_handler(HTTPException, _http)
    app.add_exception_handler(RequestValidationError, _invalid)
    app.add_middleware(Guard, service=service)
    app.add_middleware(service.metrics.wrap)
    app.add_middleware(OpenAIShape)
    complete(app, tokens=bool(service.settings.tokens))
    return app


async def _own(request: Request, error: Exception) -> Response:
    return problem(error)


async def _http(request: Request, error: Exception) -> Response:
    """What the framework refuses: no such route, another method."""
    if not isinstance(error, HTTPException):
        raise error
    method, path = request.method, request.url.path[:100]
    said = {404: f"there is no {path} here", 405: f"{path} takes no {method}"}
    return problem(http_error(error.status_code, said.get(error.status_code, error.detail)), error.headers)


async def _invalid(request: Request, error: Exception) -> Response:
    """A parameter in the address that cannot be."""
    if not isinstance(error, RequestValidationError):
        raise error
    first = error.errors()[0]
    name = ".".join(str(part) for part in first["loc"][1:])
    return problem(BadRequest(f"the parameter {name} is wrong ({first['msg']})", "see /openapi.json"))
