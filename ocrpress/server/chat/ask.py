"""A chat completion request -> works for the desk. All that can be wrong with it is found here, before it is queued."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AsyncExitStack, ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from anyio import CapacityLimiter, to_thread
from anyio.lowlevel import RunVar

from ocrpress.errors import InputError
from ocrpress.server.chat.answer import can_count, count_tokens
from ocrpress.server.chat.body import Body, Buffer, read_body
from ocrpress.server.chat.prompts import Wanted, wanted
from ocrpress.server.chat.receive import received, spool
from ocrpress.server.chat.request import Chat, read_chat
from ocrpress.server.desk.work import Told, Work
from ocrpress.server.errors import Draining
from ocrpress.server.intake.fields import options_of, writing_of
from ocrpress.server.intake.look import Sheet, look
from ocrpress.server.intake.uploads import AT_ONCE, FOLDER

if TYPE_CHECKING:
    from starlette.requests import Request

    from ocrpress.pipeline import Options
    from ocrpress.server.chat.reading import WorkOf
    from ocrpress.server.desk.facts import EngineFacts
    from ocrpress.server.service import Service

SIDE_BY_SIDE = 2  # threads that parse and decode: each keeps the loop from running for a moment

_limiter: RunVar[CapacityLimiter | None] = RunVar("_limiter", None)
_Found = TypeVar("_Found")


@dataclass(frozen=True)
class Asked:
    """A request, ready to be read.

    Attributes:
        works: one a document, in order.
        alone: it is about one page.
        prompt_tokens: of the prompt's text.
    """

    chat: Chat
    wanted: Wanted
    keep_furniture: bool
    works: tuple[WorkOf, ...]
    alone: bool
    prompt_tokens: int


async def ask(request: Request, service: Service, stack: AsyncExitStack) -> Asked:
    """Receive a request.

    Args:
        stack: its files are there until this is closed.

    Raises:
        UsageError: the request is wrong, or the engine does not know the task or the mode.
        InputError: one of its files cannot be read, or they have too many pages.
        Draining: the engine is not open.
    """
    engine, settings = engine_of(service), service.settings
    folder = (settings.folder / FOLDER).absolute()
    async with received(request, folder) as buffer:
        size = len(buffer)
        body, chat, tokens = await _aside(size, _read, buffer)
        asked = wanted(chat.prompt, engine.capabilities.tasks)
        fields = {"task": asked.task, **chat.fields}
        if not engine.capabilities.decoding:
            fields.pop("max_tokens", None)  # clients always send it; what writes no tokens needs no limit
        options, writing = options_of(fields, service), writing_of(fields)
        files = ExitStack()
        stack.push_async_callback(_aside, size, files.close)
        paths = await _aside(size, spool, body, chat.attachments, folder, settings.max_bytes, files)
    named = [(path, attachment.name) for path, attachment in zip(paths, chat.attachments, strict=True)]
    sheets = [await look(path, name, options, service) for path, name in named]
    count = sum(1 if sheet.numbers is None else len(sheet.numbers) for sheet in sheets)
    if count > options.max_pages:
        raise InputError(f"the request has {count} pages", f"send {options.max_pages} at a time, or fewer")
    client = request.scope["state"]["client"]
    works = tuple(
        _work_of(path, name, options, client, sheet) for (path, name), sheet in zip(named, sheets, strict=True)
    )
    alone = count == 1 and sheets[0].numbers is not None
    return Asked(chat, Wanted(options.task, asked.form), writing.keep_furniture, works, alone, tokens)


def engine_of(service: Service) -> EngineFacts:
    """The engine. Raises Draining while it is not open."""
    if service.desk.engine is None:
        raise Draining("the engine is not open yet", 5)
    return service.desk.engine


def _work_of(path: Path, name: str, options: Options, client: str, sheet: Sheet) -> WorkOf:
    def work_of(tell: Callable[[Told], object]) -> Work:
        return Work(str(path), name, options, client, sheet.numbers, tell)

    return work_of


def _read(buffer: Buffer) -> tuple[Body, Chat, int]:
    """A body, what it asks for, and how many tokens its prompt has."""
    body = read_body(buffer)
    chat = read_chat(body)
    return body, chat, count_tokens(chat.prompt)


async def _aside(size: int, function: Callable[..., _Found], *given: object) -> _Found:
    """What a function gives that takes the longer, the more bytes there are: from a thread if it takes long."""
    if size <= AT_ONCE and can_count():
        return function(*given)
    if (limiter := _limiter.get(None)) is None:
        _limiter.set(limiter := CapacityLimiter(SIDE_BY_SIDE))
    return await to_thread.run_sync(function, *given, limiter=limiter)
