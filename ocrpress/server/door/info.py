"""What the service is and how it is: the resolution modes, health, readiness."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

from fastapi import APIRouter, Query, Request
from fastapi.responses import JSONResponse

from ocrpress.errors import UsageError
from ocrpress.modes import DEFAULT_MAX_TILES, MODES, NATIVE, Mode, Plan, plan

if TYPE_CHECKING:
    from ocrpress.server.desk.desk import Desk
    from ocrpress.server.service import Service

router = APIRouter()

LONGEST_SIDE = 100_000  # pixels

_PLAN = {
    "width": 1240, "height": 1754, "grid": [1, 1], "tiles": 0, "vision_tokens": 256, "valid_tokens": 181,
    "sequence_tokens": 273,
}  # fmt: skip
_BASE = {
    "mode": "base", "view": 1024, "tile": 0, "fit": "pad", "view_vision_tokens": 256, "tile_vision_tokens": 0,
    "view_sequence_tokens": 273, "readable": True, "default": True, "plan": _PLAN,
}  # fmt: skip
_READY = {"ready": True, "why": "", "engine": "rapid", "mode": "native"}
_NOT_READY = {"ready": False, "why": "the engine is being opened", "engine": None, "mode": None}


def _example(example: object, about: str) -> dict[str, Any]:
    return {"description": about, "content": {"application/json": {"example": example}}}


@router.get(
    "/v1/modes",
    tags=["modes"],
    summary="The resolution modes, and what each would cost a page",
    responses={200: _example({"engine": "deepseek", "default": "base", "modes": [_BASE]}, "The modes.")},
)
async def modes(
    request: Request,
    width: Annotated[int | None, Query(ge=1, le=LONGEST_SIDE, description="of a page, in pixels")] = None,
    height: Annotated[int | None, Query(ge=1, le=LONGEST_SIDE, description="of a page, in pixels")] = None,
    max_tiles: Annotated[int, Query(ge=2, le=100, description="of the gundam modes")] = DEFAULT_MAX_TILES,
) -> JSONResponse:
    """The mode table. With `width` and `height` each mode's plan for such a page, in tokens.

    `readable` says whether the engine reads the mode; it is null until the engine is open.
    """
    if (width is None) != (height is None):
        raise UsageError("width and height come together", "give both, in pixels, or none")
    desk = _service(request).desk
    known = desk.engine.capabilities.modes if desk.engine else None
    default = desk.engine.mode if desk.engine else None
    rows = []
    for mode in (*MODES.values(), NATIVE):
        row = _row(mode)
        row["readable"] = None if known is None else mode.name in known
        row["default"] = mode.name == default
        if width is not None and height is not None:
            row["plan"] = _plan(plan(width, height, mode.name, max_tiles))
        rows.append(row)
    name = desk.engine.name if desk.engine else None
    return JSONResponse({"engine": name, "default": default, "modes": rows})


@router.get(
    "/healthz",
    tags=["health"],
    summary="Does the service run?",
    responses={200: _example({"status": "ok"}, "It runs.")},
)
@router.head("/healthz", include_in_schema=False)
async def healthz() -> JSONResponse:
    """200 while the service runs, whatever its engine does."""
    return JSONResponse({"status": "ok"})


@router.get(
    "/readyz",
    tags=["health"],
    summary="Does the service take documents?",
    responses={200: _example(_READY, "It does."), 503: _example(_NOT_READY, "Not now; why, is said.")},
)
@router.head("/readyz", include_in_schema=False)
async def readyz(request: Request) -> JSONResponse:
    """200 while documents are taken; else 503, and why: the service starts or stops, is full, its engine is broken."""
    service = _service(request)
    why, engine = why_not_ready(service), service.desk.engine
    found = {"ready": not why, "why": why, "engine": engine and engine.name, "mode": engine and engine.mode}
    return JSONResponse(found, 503 if why else 200)


def why_not_ready(service: Service) -> str:
    """Why no documents are taken now; empty if they are."""
    desk = service.desk
    if service.draining or desk.state == "closed":
        return "the service is being stopped"
    if desk.state == "starting":
        return "the engine is being opened"
    if desk.state == "broken":
        return "the engine does not run; it is tried again"
    if _is_full(desk, service.settings.queue):
        return "the queue is full"
    return ""


def _is_full(desk: Desk, queue: int) -> bool:
    return desk.load().documents >= queue


def _service(request: Request) -> Service:
    service: Service = request.app.state.service
    return service


def _row(mode: Mode) -> dict[str, Any]:
    return {
        "mode": mode.name,
        "view": mode.view,
        "tile": mode.tile,
        "fit": ("stretch" if mode.stretch else "pad") if mode.view else "none",
        "view_vision_tokens": mode.view_tokens,
        "tile_vision_tokens": mode.tile_tokens,
        "view_sequence_tokens": plan(1, 1, mode.name).sequence_tokens,  # of a page that needs no tiles
    }


def _plan(found: Plan) -> dict[str, Any]:
    return {
        "width": found.width, "height": found.height, "grid": list(found.grid), "tiles": found.tiles,
        "vision_tokens": found.vision_tokens, "valid_tokens": found.valid_tokens,
        "sequence_tokens": found.sequence_tokens,
    }  # fmt: skip
