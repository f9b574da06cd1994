"""POST with JSON, some requests at a time, patient with a server that is busy."""

from __future__ import annotations

import email.utils
import os
import random
import threading
import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from typing import Any, TypeVar
from urllib.parse import urlsplit

from tinyrm.errors import UserError, require

from .base import Progress

CONCURRENCY = 8
TRIES = 6
TIMEOUT = 180.0
"""Seconds that a server may take for one answer."""
LONGEST_WAIT = 60.0
BUSY = (429, 503)
STRANGE = (LookupError, TypeError, ValueError, AttributeError, ArithmeticError)
"""What reading an answer that is not as expected may raise."""
_In = TypeVar("_In")
_Out = TypeVar("_Out")


class Refused(UserError):
    """A server said no for good; `status` is the HTTP status, `detail` what it said."""

    def __init__(self, message: str, status: int, detail: str) -> None:
        super().__init__(message)
        self.status, self.detail = status, detail


class Client:
    """One server. key: the environment variable with what is shown as `Authorization: Bearer`, if it is set.

    `counts` is told of retries.

    Raises:
        UserError: httpx is not installed, or the address is none.
    """

    def __init__(self, url: str, counts: Counter[str], *, key: str = "JUDGE_TOKEN") -> None:
        self._httpx = httpx = require("httpx", "http")
        parts = urlsplit(url)
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise UserError(f"{url!r} is no address of a server: http://HOST:PORT/PATH")
        self.url = url
        self.public = public(url)
        self._counts = counts
        self._lock = threading.Lock()
        token = (os.environ.get(key) or "").strip()
        if not (token.isascii() and token.isprintable()):
            raise UserError(f"{key} holds characters that no header can carry")
        self._client = httpx.Client(
            timeout=httpx.Timeout(TIMEOUT, connect=10.0),
            limits=httpx.Limits(max_connections=CONCURRENCY),
            headers={"Authorization": f"Bearer {token}"} if token else {},
        )

    def post(self, body: Mapping[str, Any], path: str = "") -> Any:
        """What the server answers, as JSON.

        A busy server (429, 503) and a broken connection are tried again, after the time that `Retry-After` asks for
        or twice as long as the last time.

        Raises:
            Refused: another status than 2xx. UserError: no answer, or none that is JSON.
        """
        pause = 0.5
        for tries_left in reversed(range(TRIES)):
            try:
                answer = self._client.post(self.url + path, json=body)
            except self._httpx.HTTPError as problem:
                # A read that timed out is not asked again: the server may still be at work on it.
                if isinstance(problem, self._httpx.ReadTimeout) or not tries_left:
                    raise UserError(f"no answer from {self.public}: {type(problem).__name__} {problem}") from None
                wanted = None
            else:
                if answer.is_success:
                    return self._json(answer)
                if answer.status_code not in BUSY or not tries_left:
                    detail = " ".join(answer.text.split())[:300]
                    said = f"{self.public} answered {answer.status_code}: {detail or answer.reason_phrase}"
                    raise Refused(said, answer.status_code, detail)
                wanted = _seconds(answer.headers.get("Retry-After"))
            with self._lock:
                self._counts["retries"] += 1
            time.sleep(min(LONGEST_WAIT, wanted if wanted is not None else pause * random.uniform(1, 1.5)))
            pause *= 2
        raise AssertionError("unreachable")

    def map(
        self,
        ask: Callable[[_In], _Out],
        items: Sequence[_In],
        progress: Progress,
        weight: Callable[[_In], int] = lambda item: 1,
    ) -> list[_Out]:
        """`ask` of every item, CONCURRENCY at a time, in order; the first failure ends it. weight: for `progress`."""
        with ThreadPoolExecutor(CONCURRENCY) as pool:
            asked = {pool.submit(ask, item): item for item in items}
            try:
                for done in as_completed(asked):
                    done.result()
                    progress(weight(asked[done]))
            except BaseException:
                pool.shutdown(wait=False, cancel_futures=True)
                raise
            return [done.result() for done in asked]

    def _json(self, answer: Any) -> Any:
        try:
            return answer.json()
        except ValueError:
            raise UserError(f"{self.public} answered with something that is no JSON") from None


def public(url: str) -> str:
    """An address without what may be secret in it: user, password, query."""
    parts = urlsplit(url)
    try:
        port = f":{parts.port}" if parts.port else ""
    except ValueError:
        raise UserError(f"{parts.netloc.rpartition('@')[2]!r} is no host with a port") from None
    host = f"[{parts.hostname}]" if ":" in (parts.hostname or "") else parts.hostname
    return f"{parts.scheme}://{host}{port}{parts.path}"


def _seconds(retry_after: str | None) -> float | None:
    """`Retry-After`: seconds, or a date."""
    if retry_after is None:
        return None
    try:
        return max(0.0, float(retry_after))
    except ValueError:
        pass
    try:
        return max(0.0, email.utils.parsedate_to_datetime(retry_after).timestamp() - time.time())
    except ValueError:
        return None
