"""Errors that only a service has; each owns its HTTP status, as those of `ocrpress.errors` do.

OcrpressError
├── UsageError
│   ├── BadRequest     400  the request is not what HTTP or this API wants
│   ├── Unauthorized   401  no token, or one that is not known
│   ├── Forbidden      403  a page of another site asks
│   ├── NotFound       404  no such job, page or address
│   ├── WrongMethod    405  the address takes other methods
│   ├── TooSlow        408  the upload does not come
│   ├── NotYet         409  the job is still being read
│   ├── Gone           410  the job was deleted or has expired
│   └── TooLarge       413  more bytes than are taken
├── Full               429  the queue is full; `retry_after`
├── Draining           503  the service is being stopped, or its engine is not open yet; `retry_after`
└── TimeLimit          504  the request took longer than it may
"""

from __future__ import annotations

from ocrpress.errors import OcrpressError, UsageError


class BadRequest(UsageError):  # noqa: N818 (named as HTTP names them)
    """The request is not what HTTP or this API wants."""

    http_status = 400


class Unauthorized(UsageError):  # noqa: N818
    """No token, or one that is not known."""

    http_status = 401
    default_advice = "send the header 'Authorization: Bearer TOKEN'"


class Forbidden(UsageError):  # noqa: N818
    """A page of another site asks, or another name was used for this host."""

    http_status = 403


class NotFound(UsageError):  # noqa: N818
    """There is no such thing here."""

    http_status = 404


class WrongMethod(UsageError):  # noqa: N818
    """The address takes other methods."""

    http_status = 405


class TooSlow(UsageError):  # noqa: N818
    """The upload does not come, or too slowly."""

    http_status = 408


class NotYet(UsageError):  # noqa: N818
    """The job is still being read."""

    http_status = 409


class Gone(UsageError):  # noqa: N818
    """The job was deleted, or has expired."""

    http_status = 410


class TooLarge(UsageError):  # noqa: N818
    """More bytes than are taken."""

    http_status = 413


class TryLater(OcrpressError):  # noqa: N818
    """It could be done at another time.

    Args:
        retry_after: seconds until another try makes sense, 1 or more.
    """

    def __init__(self, message: str, retry_after: int, advice: str | None = None) -> None:
        super().__init__(message, f"try again in {retry_after} s" if advice is None else advice)
        self.retry_after = retry_after

    def __reduce__(self) -> tuple[type[OcrpressError], tuple[str, int, str]]:  # type: ignore[override]
        return type(self), (self.message, self.retry_after, self.advice)


class Full(TryLater):
    """The queue is full."""

    http_status = 429


class Draining(TryLater):
    """The service is being stopped, or its engine is not open (yet)."""

    exit_code = 4
    http_status = 503


class TimeLimit(OcrpressError):  # noqa: N818
    """The request took longer than it may."""

    http_status = 504
