"""Errors as RFC 9457 problems: what went wrong, why, and what the client can do about it.

What a client may not know stays here: an error that nobody foresaw, or one about this machine, is told in general words
and logged with the request's number. Knows nothing of routes.
"""

from __future__ import annotations

import errno
import logging
import re
from collections.abc import Mapping
from contextvars import ContextVar
from typing import Any

from fastapi.responses import JSONResponse

from ocrpress import errors as ours
from ocrpress.errors import OcrpressError
from ocrpress.server import errors as service

MEDIA_TYPE = "application/problem+json"

request_id: ContextVar[str] = ContextVar("request_id", default="")
"""Of the request that is being answered; what its handlers start inherits it."""

log = logging.getLogger("ocrpress.server")

TITLES: dict[type[OcrpressError], tuple[str, str]] = {
    OcrpressError: ("internal", "The service has failed"),
    ours.UsageError: ("usage", "The request cannot be done as it is asked"),
    ours.OutputError: ("storage", "The service cannot store this"),
    ours.LedgerError: ("storage", "The service cannot store this"),
    ours.InputError: ("document", "The document cannot be read"),
    ours.PasswordError: ("password", "The document is encrypted"),
    ours.PageError: ("page", "The page cannot be read"),
    ours.EngineError: ("engine", "The engine does not run"),
    service.BadRequest: ("bad-request", "The request is malformed"),
    service.Unauthorized: ("unauthorized", "A token is needed"),
    service.Forbidden: ("forbidden", "The request is not allowed"),
    service.NotFound: ("not-found", "There is no such thing"),
    service.WrongMethod: ("wrong-method", "The method is not allowed here"),
    service.TooSlow: ("too-slow", "The upload does not come"),
    service.NotYet: ("not-yet", "The job is not done yet"),
    service.Gone: ("gone", "The job is no more"),
    service.TooLarge: ("too-large", "The upload is too large"),
    service.Full: ("full", "The queue is full"),
    service.Draining: ("unavailable", "The service does not take requests now"),
    service.TimeLimit: ("time-limit", "The request took too long"),
}
"""Error -> the last part of its problem's type, and the problem's title. A class that is not here has its parent's."""

_INSIDE = "see what the service's log says of this request"
_FLAG = re.compile(r"--([a-z][a-z-]*)")
_FIELDS = frozenset({
    "mode", "task", "pages", "password", "dpi", "max-tiles", "max-tokens", "retries", "keep-furniture", "page-breaks",
    "format",
})  # fmt: skip
_HTTP_ERRORS: dict[int, type[OcrpressError]] = {
    400: service.BadRequest,
    401: service.Unauthorized,
    403: service.Forbidden,
    404: service.NotFound,
    405: service.WrongMethod,
    413: service.TooLarge,
    422: service.BadRequest,
}


def describe(error: Exception) -> dict[str, Any]:
    """The problem as JSON may hold it: type, title, status, detail, remedy, and the instance within a request."""
    known = error if isinstance(error, OcrpressError) else _foreseen(error)
    kind, title = next(TITLES[base] for base in type(known).__mro__ if base in TITLES)
    detail, remedy = _told(known)
    found: dict[str, Any] = {
        "type": f"urn:ocrpress:{kind}", "title": title, "status": known.http_status, "detail": detail,
    }  # fmt: skip
    if remedy:
        found["remedy"] = remedy
    if isinstance(known, service.TryLater):
        found["retry_after"] = known.retry_after
    if number := request_id.get():
        found["instance"] = f"urn:ocrpress:request:{number}"
    return found


def problem(error: Exception, headers: Mapping[str, str] | None = None) -> JSONResponse:
    """The answer to a request that failed. What is not the client's doing is logged."""
    found = describe(error)
    if found["status"] >= 500 and not isinstance(error, service.TryLater | service.TimeLimit):
        foreseen = isinstance(error, OcrpressError)
        log.error("request %s failed: %s", request_id.get(), error, exc_info=None if foreseen else error)
    more = dict(headers or {})
    if "retry_after" in found:
        more["Retry-After"] = str(found["retry_after"])
    if found["status"] == 401:
        more["WWW-Authenticate"] = 'Bearer realm="ocrpress"'
    return JSONResponse(found, found["status"], more, MEDIA_TYPE)


def http_error(status: int, detail: str) -> OcrpressError:
    """What the framework says with a number, in one of our errors."""
    kind = _HTTP_ERRORS.get(status, service.BadRequest if status < 500 else OcrpressError)
    return kind(detail)


def _foreseen(error: Exception) -> OcrpressError:
    """An error of ours for one that is not: a full disk is foreseen, all else is a mistake of this program."""
    if isinstance(error, OSError) and error.errno in {errno.ENOSPC, errno.EDQUOT}:
        return ours.OutputError("the service has no room left")
    return OcrpressError(f"{type(error).__name__}: {error}")


def _told(error: OcrpressError) -> tuple[str, str]:
    """Detail and remedy, as a client may know them and can follow them."""
    if isinstance(error, ours.EngineError):
        return "the engine cannot read anything at the moment", f"try again later, or {_INSIDE}"
    if isinstance(error, ours.OutputError):
        return "the service has no room for this, or its folder cannot be written", f"try again later, or {_INSIDE}"
    if error.http_status == OcrpressError.http_status:
        return "the service made a mistake", _INSIDE
    return " ".join(error.message.split()), " ".join(_FLAG.sub(_field, error.advice).split())


def _field(flag: re.Match[str]) -> str:
    """The command line has flags where a request has fields."""
    name = flag[1]
    return f"the field {name.replace('-', '_')}" if name in _FIELDS else f"the service's option {flag[0]}"
