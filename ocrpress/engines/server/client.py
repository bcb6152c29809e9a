"""One page asked of an endpoint until it is answered or given up. Knows HTTP, nothing of pages or threads.

Three ends: an Answer; PageError, for this page alone; EngineError, when no page could do better. Whatever an endpoint
says is passed on in one line, and never with the key in it.
"""

from __future__ import annotations

import asyncio
import os
import re
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, NoReturn, TypeVar

import httpx2

from ocrpress.engines.server.address import Address
from ocrpress.engines.server.answer import Answer, error_message, read_answer, read_models
from ocrpress.engines.server.body import EXTRAS, OPTIONAL
from ocrpress.engines.server.patience import Patience, TryError, retry_after
from ocrpress.errors import EngineError, PageError, UsageError

LONGEST_ANSWER = 32 * 2**20  # bytes; a page of text has some thousand
NAMES_SHOWN = 10
_NAMES = {name: re.compile(rf"\b{name}\b") for name in OPTIONAL}
_TOO_LONG = re.compile(r"max_completion_tokens|context|token count", re.IGNORECASE)
_LOOKED_AT = 4000  # characters of a refusal in which names are looked for; some repeat the image behind them

Wait = Callable[[float], Awaitable[object]]
Found = TypeVar("Found")


@dataclass(frozen=True)
class Reply:
    """An HTTP response, read whole."""

    status: int
    headers: httpx2.Headers
    body: bytes

    @property
    def said(self) -> str:
        """Its status and what it says went wrong."""
        return f"status {self.status}: {error_message(self.body) or 'no reason given'}"


class RefusedError(PageError):
    """Status 400 or 422: something in the request, or in the page. `whole` is more of what the endpoint said."""

    def __init__(self, message: str, whole: str) -> None:
        super().__init__(message)
        self.whole = whole


class Client:
    """Asks one endpoint. To be made, used and closed in one event loop; several pages may be asked for at a time.

    Args:
        model: name of the model; None asks the endpoint.
        timeout: seconds for one try, from the first byte sent to the last byte of the answer.
        wait: sleeps; tests put their own here.

    Attributes:
        reached: whether the endpoint has ever sent anything.
        answered: whether it has ever answered for a page.

    Raises:
        UsageError: the address has a host that cannot be.
        EngineError: the proxy settings of the system cannot be used.
    """

    def __init__(
        self, address: Address, model: str | None, api_key: str, timeout: float, patience: Patience, wait: Wait
    ) -> None:
        self._address = address
        self._given = model
        self._model = model
        self._key = api_key
        self._timeout = timeout
        self._patience = patience
        self._wait = wait
        self._asking_names = asyncio.Lock()
        self.reached = False
        self.answered = False
        self._lost = 0  # pages in a row for which no connection could be made
        self._left_out: frozenset[str] = frozenset()
        try:
            httpx2.URL(address.url("/models"))
        except httpx2.InvalidURL as error:
            raise UsageError(f"'{address.shown}' is no address ({error})", "look at --url") from None
        try:
            self._http = httpx2.AsyncClient(
                headers={"Authorization": f"Bearer {api_key}"} if api_key else {},
                timeout=httpx2.Timeout(None, connect=patience.connect),
                limits=httpx2.Limits(max_connections=None),  # the engine bounds them
            )
        except (ValueError, ImportError, httpx2.InvalidURL) as error:
            raise EngineError(
                f"the proxy settings cannot be used ({error})", "look at HTTP_PROXY, HTTPS_PROXY and ALL_PROXY"
            ) from error

    async def close(self) -> None:
        """Close all connections."""
        await self._http.aclose()

    async def model(self) -> str:
        """The model's name: the given one, or the only one that the endpoint serves. Raises EngineError."""
        async with self._asking_names:
            if self._model is None:
                try:
                    names = await self._names()
                except PageError as error:
                    raise EngineError(str(error), "name the model with --model, or look at --url") from error
                if len(names) != 1:
                    many = f"serves {len(names)} models" if names else "serves no model"
                    raise EngineError(f"{self._address.shown} {many}", f"choose with --model: {_listed(names)}")
                self._model = names[0]
            return self._model

    async def ask(self, body: dict[str, Any]) -> Answer:
        """The answer to a chat completion request.

        An endpoint that refuses a field that it can do without is asked without it, and so are all later pages.

        Raises:
            PageError: no answer for this page.
            EngineError: no answer for any page.
        """
        body = {"model": await self.model(), **body}
        left_out = self._left_out
        while True:
            sent = {name: value for name, value in body.items() if name not in left_out}
            try:
                answer = await self._persist(partial(self._complete, sent))
                break
            except RefusedError as refused:
                doubtful = self._doubtful(refused.whole, sent)
                if not doubtful:
                    await self._check_model(refused.message)
                    raise
                left_out |= doubtful
        self.answered = True
        self._left_out |= left_out
        missed = [name for name in OPTIONAL if name in body and name in left_out and name != "max_tokens"]
        if missed:
            return replace(answer, warnings=(*answer.warnings, f"the endpoint refuses {', '.join(missed)}"))
        return answer

    def _doubtful(self, said: str, sent: dict[str, Any]) -> frozenset[str]:
        """Which fields to leave out after a refusal: those that it names; if it names none, all extras, once.

        A card's max_tokens may be as much as the whole context (DeepSeek-OCR: 8192 of 8192), which vLLM refuses. Left
        out, the context is the limit.
        """
        named = {name for name, pattern in _NAMES.items() if name in sent and pattern.search(said)}
        if "max_tokens" in sent and _TOO_LONG.search(said):
            named.add("max_tokens")
        if not named and not self.answered:
            named = {name for name in EXTRAS if name in sent}
        return frozenset(named)

    async def _complete(self, body: dict[str, Any]) -> Answer:
        reply = await self._send("POST", "/chat/completions", body)
        if reply.status in (400, 422):
            whole = reply.body[:_LOOKED_AT].decode("utf-8", "replace")
            raise RefusedError(f"{self._address.shown} refuses the page: {self._clean(reply.said)}", whole)
        if reply.status in (404, 405, 501):
            await self._check_model(reply.said)
        self._judge(reply, "/chat/completions")
        return read_answer(reply.body, body.get("max_tokens"))

    async def _names(self) -> tuple[str, ...]:
        """Names of the models that the endpoint serves."""

        async def attempt() -> tuple[str, ...]:
            reply = await self._send("GET", "/models")
            self._judge(reply, "/models")
            return read_models(reply.body)

        return await self._persist(attempt)

    async def _check_model(self, said: str) -> None:
        """EngineError if the endpoint says that it does not serve the model that was asked for."""
        if self._given is None:
            return
        try:
            reply = await self._send("GET", "/models")
            names = read_models(reply.body) if reply.status == 200 else ()
        except TryError:
            return
        if names and self._given not in names:
            raise EngineError(
                f"{self._address.shown} does not serve the model '{self._given}' ({self._clean(said)})",
                f"choose with --model: {_listed(names)}",
            )

    def _judge(self, reply: Reply, path: str) -> None:
        """Nothing for a success; else what its status means for this try, this page or all."""
        if 200 <= reply.status < 300:
            return
        shown, said = self._address.shown, self._clean(reply.said)
        if reply.status in (401, 402, 403, 407):
            which = "another" if self._key else "its"
            raise EngineError(f"{shown} does not let us in: {said}", f"give {which} key with --api-key")
        if reply.status in (404, 405, 501):
            raise EngineError(f"{shown}{path} does not answer: {said}", "look at --url: mostly it ends in /v1")
        if reply.status < 400:
            place = self._clean(reply.headers.get("location", "nowhere"))
            raise EngineError(f"{shown}{path} has moved to {place}", "give its new place with --url")
        if reply.status in (408, 425, 429) or reply.status >= 500:
            raise TryError("busy", said, retry_after(reply.headers.get("retry-after")))
        raise PageError(f"{shown} refuses the page: {said}")

    async def _persist(self, attempt: Callable[[], Awaitable[Found]]) -> Found:
        """Try until it is there, waiting longer each time. Raises what ended the last try."""
        tried = 0
        while True:
            tried += 1
            try:
                return await attempt()
            except TryError as failure:
                again = self._patience.again_in(failure, tried, self.reached)
                if again is None:
                    self._give_up(failure, tried)
                await self._wait(again)

    def _give_up(self, failure: TryError, tried: int) -> NoReturn:
        times = f"{tried} tries" if tried > 1 else "1 try"
        wish = f"; it asks to wait {failure.after:.0f} s" if failure.after and failure.after > 1 else ""
        said = self._clean(failure.message)
        if failure.trouble == "unreachable":
            lost = f"cannot reach {self._address.shown} ({said}; {times})"
            self._lost += 1
            if not self.reached or self._lost >= self._patience.lost_pages:
                raise EngineError(lost, "look at --url, and whether the endpoint is running") from None
            raise PageError(lost) from None
        raise PageError(f"no answer from {self._address.shown} after {times}: {said}{wish}") from None

    async def _send(self, method: str, path: str, body: dict[str, Any] | None = None) -> Reply:
        """One exchange. Raises TryError."""
        try:
            async with asyncio.timeout(self._timeout):
                return await self._exchange(method, path, body)
        except TimeoutError:
            raise TryError("stalled", f"no whole answer in {self._timeout:g} s") from None
        except (httpx2.ConnectError, httpx2.ConnectTimeout, httpx2.ProxyError) as error:
            raise TryError("unreachable", _cause(error)) from error
        except httpx2.HTTPError as error:
            raise TryError("broken", f"the connection broke off ({_cause(error)})") from error

    async def _exchange(self, method: str, path: str, body: dict[str, Any] | None) -> Reply:
        async with self._http.stream(method, self._address.url(path), json=body) as response:
            self.reached, self._lost = True, 0
            found = bytearray()
            async for chunk in response.aiter_bytes():
                found += chunk
                if len(found) > LONGEST_ANSWER:
                    raise TryError("broken", f"an answer of more than {LONGEST_ANSWER >> 20} MiB")
        return Reply(response.status_code, response.headers, bytes(found))

    def _clean(self, text: str) -> str:
        """The text without the key, should an endpoint repeat it."""
        return text.replace(self._key, "***") if self._key else text


def _cause(error: BaseException) -> str:
    """The innermost cause: "Connection refused" says more than "all attempts failed"."""
    inner: BaseException | None = error
    while inner:
        error = inner
        inner = error.exceptions[0] if isinstance(error, BaseExceptionGroup) else error.__cause__ or error.__context__
    if isinstance(error, ConnectionError) and error.errno:
        return os.strerror(error.errno)
    return " ".join(str(error).split()) or type(error).__name__


def _listed(names: tuple[str, ...]) -> str:
    """Names, the first ten of many."""
    more = f" and {len(names) - NAMES_SHOWN} more" if len(names) > NAMES_SHOWN else ""
    return (", ".join(names[:NAMES_SHOWN]) or "the endpoint lists none") + more
