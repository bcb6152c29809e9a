"""The page at `/`: files of a fixed table, served as they are. Knows nothing of the service behind the API.

Its scripts may do what the page's policy says and no more: they come from here, talk to here, and never make markup of
text (`require-trusted-types-for 'script'`).
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from functools import cache
from importlib.resources import files

from fastapi import APIRouter, Request, Response

from ocrpress.server.errors import NotFound

POLICY = "; ".join(
    (
        "default-src 'none'",
        "script-src 'self'",
        "style-src 'self'",
        "img-src 'self' blob:",
        "connect-src 'self'",
        "base-uri 'none'",
        "form-action 'none'",
        "frame-ancestors 'none'",
        "require-trusted-types-for 'script'",
        "trusted-types 'none'",
    )
)
_SCRIPTS = (
    "main", "api", "blocks", "changes", "diff", "documents", "dom", "export", "forms", "intake", "menu", "modes",
    "pane", "pictures", "reading", "status", "stream", "tabs", "upload", "viewer",
)  # fmt: skip
ASSETS: dict[str, str] = {
    "style.css": "text/css; charset=utf-8",
    "icon.svg": "image/svg+xml",
    **{f"{name}.js": "text/javascript; charset=utf-8" for name in _SCRIPTS},
}
"""What `/page/{asset}` serves: name -> media type."""

router = APIRouter(include_in_schema=False)


@dataclass(frozen=True)
class Asset:
    """A file of the page, and what tells its versions apart."""

    body: bytes
    kind: str
    etag: str


@router.get("/")
async def index(request: Request) -> Response:
    """The page."""
    return _answer(request, _load("index.html", "text/html; charset=utf-8"))


@router.get("/page/{asset}")
async def asset(request: Request, asset: str) -> Response:
    """A file of the page. Raises NotFound for a name that is not in the table."""
    if asset not in ASSETS:
        raise NotFound("the page has no such file", "")
    return _answer(request, _load(asset, ASSETS[asset]))


def _answer(request: Request, found: Asset) -> Response:
    """The file, or 304 where the browser has it."""
    headers = {
        "Content-Security-Policy": POLICY,
        "X-Content-Type-Options": "nosniff",
        "Referrer-Policy": "no-referrer",
        "Cross-Origin-Opener-Policy": "same-origin",
        "Cross-Origin-Resource-Policy": "same-origin",
        "Cache-Control": "no-cache",  # asked for again every time, and answered by 304
        "ETag": found.etag,
    }
    known = {tag.strip().removeprefix("W/") for tag in request.headers.get("if-none-match", "").split(",")}
    if found.etag in known or "*" in known:
        return Response(status_code=304, headers=headers)
    return Response(found.body, media_type=found.kind, headers=headers)


@cache
def _load(name: str, kind: str) -> Asset:
    """A file of a few kilobytes, read once."""
    body = (files(__name__) / name).read_bytes()
    return Asset(body, kind, f'"{hashlib.sha256(body).hexdigest()[:32]}"')
