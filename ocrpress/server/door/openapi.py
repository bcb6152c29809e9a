"""What every route has in common in /openapi.json: its problems, the token. The routes say the rest themselves."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ocrpress.errors import InputError
from ocrpress.server.door.problems import MEDIA_TYPE, describe
from ocrpress.server.errors import BadRequest, Draining, Forbidden, Full, NotFound, TooLarge, Unauthorized

if TYPE_CHECKING:
    from fastapi import FastAPI

    from ocrpress.errors import OcrpressError

PROBLEM: dict[str, Any] = {
    "type": "object",
    "description": "What went wrong, why, and what to do about it (RFC 9457).",
    "required": ["type", "title", "status", "detail"],
    "properties": {
        "type": {"type": "string", "description": "stable, for programs", "examples": ["urn:ocrpress:full"]},
        "title": {"type": "string", "description": "of all problems of this type"},
        "status": {"type": "integer", "description": "the response's status"},
        "detail": {"type": "string", "description": "of this one: what and why"},
        "remedy": {"type": "string", "description": "what the client can do about it"},
        "retry_after": {"type": "integer", "description": "seconds until another try makes sense"},
        "instance": {"type": "string", "description": "number of the request, as the service's log has it"},
    },
}
SECURITY = {"token": {"type": "http", "scheme": "bearer", "description": "where the service was started with tokens"}}

ANYWHERE: dict[str, OcrpressError] = {
    "BadRequest": BadRequest("unknown field 'mod'", "did you mean 'mode'?"),
    "Unauthorized": Unauthorized("this service wants a token"),
    "Forbidden": Forbidden("pages of another site may not use this service"),
    "Unavailable": Draining("the service is being stopped", 10),
}
OF_UPLOADS: dict[str, OcrpressError] = {
    "TooLarge": TooLarge("the upload is larger than 104,857,600 bytes", "send less"),
    "Unreadable": InputError("scan.pdf is not a document that can be read", "send a PDF, an image or a text"),
    "Full": Full("256 documents are waiting already", 12),
}
OF_THINGS: dict[str, OcrpressError] = {"NotFound": NotFound("there is no such job", "it may have expired")}
OF_COUNTS = '# TYPE ocrpress_pages_total counter\nocrpress_pages_total{status="ok",engine="rapid",mode="native"} 7.0\n'
_OPEN = ("/healthz", "/readyz")
_METHODS = {"get", "post", "put", "patch", "delete"}


def complete(app: FastAPI, *, tokens: bool) -> None:
    """Have the application's description say what all routes have in common.

    Args:
        tokens: the service wants them.
    """
    plain = app.openapi

    def openapi() -> dict[str, Any]:
        if not app.openapi_schema:
            app.openapi_schema = _completed(plain(), tokens)
        return app.openapi_schema

    app.openapi = openapi  # type: ignore[method-assign]


def _completed(found: dict[str, Any], tokens: bool) -> dict[str, Any]:
    components = found.setdefault("components", {})
    schemas = components.setdefault("schemas", {})
    for unused in ("HTTPValidationError", "ValidationError"):
        schemas.pop(unused, None)
    schemas["Problem"] = PROBLEM
    all_of_them = {**ANYWHERE, **OF_UPLOADS, **OF_THINGS}
    components["responses"] = {name: _response(error) for name, error in all_of_them.items()}
    components["securitySchemes"] = SECURITY
    if counts := found["paths"].get("/metrics"):
        counts["get"]["responses"]["200"]["content"] = {"text/plain": {"example": OF_COUNTS}}
    for path, item in found["paths"].items():
        for method in _METHODS & item.keys():
            _complete_operation(item[method], method, path)
            if tokens and path not in _OPEN:
                item[method]["security"] = [{"token": []}]
    return found


def _complete_operation(operation: dict[str, Any], method: str, path: str) -> None:
    responses = operation.setdefault("responses", {})
    if "HTTPValidationError" in str(responses.get("422", "")):
        del responses["422"]  # such are told with 400 here
    if path in _OPEN:
        return
    errors = ANYWHERE | (OF_UPLOADS if method == "post" else {}) | (OF_THINGS if "{" in path else {})
    for name, error in errors.items():
        responses.setdefault(str(error.http_status), {"$ref": f"#/components/responses/{name}"})


def _response(error: OcrpressError) -> dict[str, Any]:
    found = describe(error)
    found["instance"] = "urn:ocrpress:request:0123456789abcdef"
    content = {MEDIA_TYPE: {"schema": {"$ref": "#/components/schemas/Problem"}, "example": found}}
    headers = {"Retry-After": {"schema": {"type": "integer"}, "description": "seconds"}}
    return {"description": found["title"], "content": content} | (
        {"headers": headers} if "retry_after" in found else {}
    )
