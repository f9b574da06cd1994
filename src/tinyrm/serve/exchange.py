"""What a caller and a running server say to each other, without the waiting: one text for both kinds of client."""

from __future__ import annotations

import json
import random
from abc import ABC, abstractmethod
from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import datetime, timezone
from email.utils import parsedate_to_datetime
from typing import TYPE_CHECKING, Any, TypeAlias, TypeVar

from ..errors import UserError, require
from ..types import PromptLike, Ranked, Reward, Verdict, to_prompt

if TYPE_CHECKING:
    import httpx

CHUNK = 64
"""Questions of one request at most, fewer where the server takes fewer; a longer list is asked in several."""
FRAME = len(b'{"items":[]}')
BUSY = (429, 503)
"""Statuses of a server that would answer later."""
BACKOFF = (0.1, 5.0)
"""Seconds added to what a busy server asks for: the most at the first try, and, doubling, the most at all."""

T = TypeVar("T")
Progress: TypeAlias = Callable[[int], None]


@dataclass(frozen=True)
class Request:
    """What is to be sent. No body: a GET."""

    path: str
    body: Mapping[str, Any] | None = None

    def send(self, http: Any) -> Any:
        """What `http`, a client of httpx, gives for it: a response, or one to await."""
        if self.body is None:
            return http.get(self.path)
        return http.post(self.path, content=_json(self.body), headers={"Content-Type": "application/json"})


@dataclass(frozen=True)
class About:
    """What a server serves.

    templates: `single`, `pair` or both. most: responses of one request; most_bytes: its size.
    """

    model: str
    templates: tuple[str, ...]
    domains: tuple[str, ...]
    most: int
    most_bytes: int


Steps: TypeAlias = Generator["Request | float", Any, T]
"""Yields a request, and is sent the response or the `httpx.RequestError` in its place; or seconds to sleep.
What it returns is the result."""


class Exchange(ABC):
    """Asks a server at a URL. What waits, and how, is for its kinds to say."""

    def __init__(
        self, url: str = "http://127.0.0.1:8000", *, token: str | None = None, timeout: float = 60, patience: float = 60
    ) -> None:
        """
        url: where the server is. token: what it was told to ask for.
        timeout: seconds that one request may take. patience: seconds to wait, in all, for a server that is busy.

        Raises:
            UserError: httpx is not installed, or this is no URL.
        """
        httpx = require("httpx", "http")
        try:
            self.url = httpx.URL(url if "://" in url else f"http://{url}")
        except httpx.InvalidURL as problem:
            raise UserError(f"{url!r} is no URL of a server: {problem}") from None
        if self.url.scheme not in ("http", "https") or not self.url.host:
            raise UserError(f"{url!r} is no URL of a server: give one like http://127.0.0.1:8000")
        if token and not (token.isascii() and token.isprintable()):
            raise UserError("the token holds characters that no header can")
        self.timeout = timeout
        self.patience = patience
        self._limits: About | None = None
        self._http = self._open(
            base_url=self.url,
            timeout=httpx.Timeout(timeout, pool=None),  # callers that wait for each other wait as long as it takes
            headers={"Authorization": f"Bearer {token}"} if token else {},
        )

    @abstractmethod
    def _open(self, **options: Any) -> Any:
        """A client of httpx."""

    @property
    def _where(self) -> str:
        """The server's name in messages, without a password that its URL may hold."""
        return f"{self.url.scheme}://{self.url.netloc.decode('ascii')}"

    def _ask(self, path: str, body: Mapping[str, Any] | None = None) -> Steps[dict[str, Any]]:
        """One request, sent again while the server is busy or drops the connection: judging changes nothing."""
        import httpx

        waited, backoff = 0.0, BACKOFF[0]
        while True:
            answer: httpx.Response | httpx.RequestError = yield Request(path, body)
            if isinstance(answer, httpx.Response):
                if answer.status_code not in BUSY:
                    return self._read(answer, path)
                asked, why = _retry_after(answer), f"is busy ({answer.status_code})"
            elif isinstance(answer, httpx.TimeoutException):
                raise UserError(f"{self._where} did not answer within {self.timeout:g} s")
            elif isinstance(answer, (httpx.RemoteProtocolError, httpx.ReadError, httpx.WriteError)):
                asked, why = 0.0, "drops connections"
            else:
                raise UserError(f"no server answers at {self._where} ({answer}): is `tinyrm serve` running there?")
            if waited >= self.patience:
                raise UserError(f"{self._where} {why} and stays so: gave up after {waited:.1f} s of waiting")
            # Callers that were sent away should not return as one; the last try is when patience ends.
            wait = min(asked + backoff * random.uniform(0.5, 1), self.patience - waited)
            yield wait
            waited, backoff = waited + wait, min(2 * backoff, BACKOFF[1])

    def _read(self, answer: httpx.Response, path: str) -> dict[str, Any]:
        found: Any = None
        with suppress(ValueError):
            found = answer.json()
        if answer.status_code == 200 and isinstance(found, dict):
            return found
        if answer.status_code == 401:
            raise UserError(f"{self._where} wants the token that it was started with, and was given none or another")
        problem = found.get("error") if isinstance(found, dict) else None
        message = problem.get("message") if isinstance(problem, dict) else None
        if message is None or answer.status_code in (200, 404, 405):
            raise UserError(f"{self._where}{path} answers {answer.status_code}, and not as `tinyrm serve` does")
        raise UserError(f"{self._where} refuses ({answer.status_code}): {message}")

    def _about(self) -> Steps[About]:
        found = yield from self._ask("/info")
        with self._reading("/info"):
            told = found["tinyrm"]
            return About(
                str(found["model_id"]),
                tuple(told["templates"]),
                tuple(told["domains"]),
                int(found["max_client_batch_size"]),
                int(told["max_body"]),
            )

    def _compare_many(
        self,
        pairs: Sequence[tuple[PromptLike, str, str]],
        domains: Sequence[str | None] | None,
        progress: Progress | None,
    ) -> Steps[list[Verdict]]:
        named = domains or [None] * len(pairs)
        items = [
            {**_asked(prompt, domain), "a": a, "b": b} for (prompt, a, b), domain in zip(pairs, named, strict=True)
        ]
        return self._results("/v1/compare", items, _verdict, progress)

    def _score_many(
        self,
        responses: Sequence[tuple[PromptLike, str]],
        domains: Sequence[str | None] | None,
        progress: Progress | None,
    ) -> Steps[list[Reward]]:
        named = domains or [None] * len(responses)
        items = [
            {**_asked(prompt, domain), "response": text}
            for (prompt, text), domain in zip(responses, named, strict=True)
        ]
        return self._results("/v1/score", items, _reward, progress)

    def _results(
        self, path: str, items: Sequence[Any], read: Callable[[Any], T], progress: Progress | None
    ) -> Steps[list[T]]:
        found: list[T] = []
        if len(items) > 1 and self._limits is None:
            self._limits = yield from self._about()
        for chunk in _chunks(items, self._limits):
            answer = yield from self._ask(path, {"items": chunk})
            with self._reading(path):
                found += [read(one) for one, _ in zip(answer["results"], chunk, strict=True)]
            if progress is not None:
                progress(len(chunk))
        return found

    def _rank(
        self, prompt: PromptLike, candidates: Sequence[str], domain: str | None, progress: Progress | None
    ) -> Steps[list[Ranked]]:
        if isinstance(candidates, str):
            raise TypeError("candidates are a list of strings, not one string")
        answer = yield from self._ask("/v1/rank", {**_asked(prompt, domain), "candidates": list(candidates)})
        with self._reading("/v1/rank"):
            ranking = [_ranked(one, candidates) for one in answer["ranking"]]
        if progress is not None:
            progress(len(candidates))
        return ranking

    @contextmanager
    def _reading(self, path: str) -> Iterator[None]:
        try:
            yield
        except (KeyError, TypeError, ValueError, IndexError):
            raise UserError(f"{self._where}{path} answers in another form than `tinyrm serve`") from None


def _chunks(items: Sequence[Any], limits: About | None) -> Iterator[list[Any]]:
    """Requests that the server takes; an item that is too large by itself goes alone, to be told so."""
    most, most_bytes = (min(CHUNK, limits.most), limits.most_bytes) if limits else (1, 0)
    chunk: list[Any] = []
    size = FRAME
    for item in items:
        bytes_of = len(_json(item)) + 1
        if chunk and (len(chunk) == most or size + bytes_of > most_bytes):
            yield chunk
            chunk, size = [], FRAME
        chunk.append(item)
        size += bytes_of
    if chunk:
        yield chunk


def _json(body: Any) -> bytes:
    # Lone surrogates become question marks, as they do for a model that is loaded here.
    return json.dumps(body, ensure_ascii=False, separators=(",", ":")).encode("utf-8", "replace")


def _asked(prompt: PromptLike, domain: str | None) -> dict[str, Any]:
    turns = [{"role": turn.role, "content": turn.content} for turn in to_prompt(prompt)]
    return {"messages": turns, "domain": domain}


def _verdict(found: Any) -> Verdict:
    p_a, logit = float(found["p_a"]), float(found["logit"])
    return Verdict(p_a, logit, float(found["p_a_shown_first"]), float(found["p_a_shown_second"]), dict(found["cut"]))


def _reward(found: Any) -> Reward:
    return Reward(float(found["reward"]), float(found["p"]), dict(found["cut"]))


def _ranked(found: Any, candidates: Sequence[str]) -> Ranked:
    index = int(found["index"])
    return Ranked(int(found["rank"]), index, candidates[index], float(found["score"]), dict(found["cut"]))


def _retry_after(answer: httpx.Response) -> float:
    """Seconds that a Retry-After asks for (RFC 9110, 10.2.3: seconds or a date); 0 if there is none to be read."""
    said = answer.headers.get("retry-after", "").strip()
    if said.isascii() and said.isdigit():
        return float(said)
    with suppress(ValueError, TypeError, OverflowError):
        return max(0.0, (parsedate_to_datetime(said) - datetime.now(timezone.utc)).total_seconds())
    return 0.0
