"""What stands before every route: the token, the size and the pace of a request, and that nothing leaks."""

from __future__ import annotations

import asyncio
import hmac
import logging
import re
import time
import traceback
from collections.abc import Awaitable, Callable, Collection, MutableMapping
from typing import Any

from .judge import DEADLINE, GONE
from .meters import Meters
from .refusals import Refusal, Shape, to_answer
from .settings import Settings

LOG = logging.getLogger("tinyrm.serve")
OPEN = ("/", "/health", "/ready", "/ping")
"""Routes that can be read without a token."""
_TEI = ("/predict", "/")
_LOCAL = re.compile(rb"(localhost|127(\.\d+){3}|\[::1\])?(:\d*)?")
_HELD = 32
"""Largest bodies that may be in memory at once, all requests together."""
_PATIENCE = 5.0
"""Seconds that a body too large may take to be thrown away, so that the caller reads why."""

Scope = MutableMapping[str, Any]
Event = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Event]]
Send = Callable[[Event], Awaitable[None]]
App = Callable[[Scope, Receive, Send], Awaitable[None]]


def shape_of(path: str) -> Shape:
    """How the clients of a route read errors, before its body has been seen."""
    return "tei" if path in _TEI else "openai"


class Guard:
    """ASGI middleware. A request passes on once its whole body is here, so that a slow one holds up nobody."""

    def __init__(self, app: App, *, settings: Settings, meters: Meters, routes: Collection[str]) -> None:
        self._app = app
        self._settings = settings
        self._meters = meters
        self._routes = frozenset(routes)
        self._token = settings.token.encode() if settings.token is not None else None
        self._open = 0
        self._held = 0
        self._answers_to_all = self._token is not None or not settings.is_local

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        started, status = time.monotonic(), 0

        async def watched(event: Event) -> None:
            nonlocal status
            if event["type"] == "http.response.start":
                status = event["status"]
            await send(event)

        self._meters.open.inc()
        body = bytearray()
        try:
            await self._pass(scope, receive, watched, body)
        except Refusal as refusal:
            await to_answer(refusal, shape_of(scope["path"]))(scope, receive, watched)
        except Exception as bug:
            # Neither the message, which may hold what the user wrote, nor the trace leaves this process.
            place = traceback.extract_tb(bug.__traceback__)[-1]
            LOG.error("internal error: %s at %s:%s", type(bug).__name__, place.filename, place.lineno)
            if not status:
                await to_answer(Refusal(500, "internal error"), shape_of(scope["path"]))(scope, receive, watched)
        finally:
            self._held -= len(body)
            self._meters.open.dec()
            route = scope["path"] if scope["path"] in self._routes else "other"
            self._meters.answered += status not in (0, GONE)
            self._meters.requests.labels(route, str(status or GONE)).inc()
            self._meters.seconds.labels(route).observe(time.monotonic() - started)

    async def _pass(self, scope: Scope, receive: Receive, send: Send, body: bytearray) -> None:
        headers = dict(scope["headers"])
        is_open = scope["path"] in OPEN and scope["method"] in ("GET", "HEAD")
        self._check_host(headers.get(b"host", b""))
        if not is_open:
            self._check_token(headers.get(b"authorization", b""))
        try:
            most = 0 if is_open else self._settings.max_body
            here = await asyncio.wait_for(self._read(headers, receive, body, most), self._settings.deadline)
        except asyncio.TimeoutError:
            message = f"the body did not arrive within {self._settings.deadline:g} s"
            raise Refusal(408, message, headers={"Connection": "close"}) from None
        if not here:
            return  # the caller went away
        if body and not _is_json(headers.get(b"content-type", b"")):
            raise Refusal(415, "send JSON, with the header Content-Type: application/json")
        if self._open >= self._settings.queue and not is_open:
            raise Refusal(429, "too many requests are open: try again in 1 s", headers={"Retry-After": "1"})
        scope[DEADLINE] = time.monotonic() + self._settings.deadline
        unread: bytes | None = bytes(body)

        async def replay() -> Event:
            nonlocal unread
            if unread is None:
                return await receive()
            whole, unread = unread, None
            return {"type": "http.request", "body": whole, "more_body": False}

        self._open += 1
        try:
            await self._app(scope, replay, send)
        finally:
            self._open -= 1

    def _check_host(self, host: bytes) -> None:
        """A page of another site can give its name this machine's address, and is then of the same origin."""
        if self._answers_to_all or _LOCAL.fullmatch(host):
            return
        raise Refusal(
            403, "without a token this server answers to localhost alone: start it with --token, or ask there"
        )

    def _check_token(self, authorization: bytes) -> None:
        if self._token is None:
            return
        kind, _, given = authorization.partition(b" ")
        if kind.lower() != b"bearer" or not hmac.compare_digest(given.strip(), self._token):
            message = "this server wants a token: send the header Authorization: Bearer TOKEN"
            raise Refusal(401, message, headers={"WWW-Authenticate": "Bearer"})

    async def _read(self, headers: dict[bytes, bytes], receive: Receive, body: bytearray, most: int) -> bool:
        """Fills the body; False if the caller went away."""
        declared = headers.get(b"content-length", b"")
        too_large, more = declared.isdigit() and int(declared[:20]) > most, True
        while more and not too_large:
            event = await receive()
            if event["type"] == "http.disconnect":
                return False
            chunk = event.get("body", b"")
            body += chunk
            self._held += len(chunk)
            more, too_large = event.get("more_body", False), len(body) > most
            if not too_large and self._held > _HELD * self._settings.max_body:
                raise Refusal(429, "too much text is on its way: try again in 1 s", headers={"Retry-After": "1"})
        if not too_large:
            return True
        if more:
            await _discard(receive, 8 * most)  # bytes
        raise Refusal(413, f"the request is larger than {most} bytes", headers={"Connection": "close"})


async def _discard(receive: Receive, most: int) -> None:
    ends = time.monotonic() + _PATIENCE
    while most > 0 and (left := ends - time.monotonic()) > 0:
        try:
            event = await asyncio.wait_for(receive(), left)
        except asyncio.TimeoutError:
            return
        most -= len(event.get("body", b""))
        if event["type"] == "http.disconnect" or not event.get("more_body"):
            return


def _is_json(content_type: bytes) -> bool:
    kind = content_type.split(b";")[0].strip().lower()
    return kind == b"application/json" or (kind.startswith(b"application/") and kind.endswith(b"+json"))
