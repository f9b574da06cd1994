"""A running `tinyrm serve` from Python: compare, score and rank, as on a model that is loaded here."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from typing import Any

from ..errors import require
from ..types import PromptLike, Ranked, Reward, Verdict
from .exchange import About, Exchange, Progress, Request, Steps, T


class Client(Exchange):
    """A model behind a socket. Use as a context, or `close` it.

    compare, score, rank, compare_many and score_many take and give what they do on `RewardModel`.
    A server that is busy (429, 503) or drops a connection is asked again, after as long as it says, for `patience`
    seconds in all.

    Raises, from every method:
        UserError: the server is not there, stays busy, or refuses, with the reason that it gives.
    """

    def about(self) -> About:
        """What is served."""
        return self._run(self._about())

    def compare(self, prompt: PromptLike, a: str, b: str, *, domain: str | None = None) -> Verdict:
        """Which of two responses to a prompt is better."""
        return self.compare_many([(prompt, a, b)], domains=[domain])[0]

    def score(self, prompt: PromptLike, response: str, *, domain: str | None = None) -> Reward:
        """How good one response is; for a model that only compares pairs, against the server's `--baseline`."""
        return self.score_many([(prompt, response)], domains=[domain])[0]

    def rank(
        self,
        prompt: PromptLike,
        candidates: Sequence[str],
        *,
        domain: str | None = None,
        progress: Progress | None = None,
    ) -> list[Ranked]:
        """Candidates from best to worst, in one request: no more of them than the server's `--max-items`."""
        return self._run(self._rank(prompt, candidates, domain, progress))

    def compare_many(
        self,
        pairs: Sequence[tuple[PromptLike, str, str]],
        *,
        domains: Sequence[str | None] | None = None,
        progress: Progress | None = None,
    ) -> list[Verdict]:
        """A verdict for each (prompt, a, b), in as few requests as the server takes."""
        return self._run(self._compare_many(pairs, domains, progress))

    def score_many(
        self,
        responses: Sequence[tuple[PromptLike, str]],
        *,
        domains: Sequence[str | None] | None = None,
        progress: Progress | None = None,
    ) -> list[Reward]:
        """A reward for each (prompt, response), in as few requests as the server takes."""
        return self._run(self._score_many(responses, domains, progress))

    def close(self) -> None:
        """Closes the connections."""
        self._http.close()

    def __enter__(self) -> Client:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()

    def _open(self, **options: Any) -> Any:
        return require("httpx", "http").Client(**options)

    def _run(self, steps: Steps[T]) -> T:
        answer: Any = None
        while True:
            try:
                step = steps.send(answer)
            except StopIteration as done:
                result: T = done.value
                return result
            if isinstance(step, Request):
                answer = self._send(step)
            else:
                time.sleep(step)

    def _send(self, request: Request) -> Any:
        import httpx

        try:
            return request.send(self._http)
        except httpx.RequestError as problem:
            return problem


class AsyncClient(Exchange):
    """`Client` with the same methods to await. Ask many at once: the server batches what comes together."""

    async def about(self) -> About:
        """As `Client.about`."""
        return await self._run(self._about())

    async def compare(self, prompt: PromptLike, a: str, b: str, *, domain: str | None = None) -> Verdict:
        """As `Client.compare`."""
        return (await self.compare_many([(prompt, a, b)], domains=[domain]))[0]

    async def score(self, prompt: PromptLike, response: str, *, domain: str | None = None) -> Reward:
        """As `Client.score`."""
        return (await self.score_many([(prompt, response)], domains=[domain]))[0]

    async def rank(
        self,
        prompt: PromptLike,
        candidates: Sequence[str],
        *,
        domain: str | None = None,
        progress: Progress | None = None,
    ) -> list[Ranked]:
        """As `Client.rank`."""
        return await self._run(self._rank(prompt, candidates, domain, progress))

    async def compare_many(
        self,
        pairs: Sequence[tuple[PromptLike, str, str]],
        *,
        domains: Sequence[str | None] | None = None,
        progress: Progress | None = None,
    ) -> list[Verdict]:
        """As `Client.compare_many`."""
        return await self._run(self._compare_many(pairs, domains, progress))

    async def score_many(
        self,
        responses: Sequence[tuple[PromptLike, str]],
        *,
        domains: Sequence[str | None] | None = None,
        progress: Progress | None = None,
    ) -> list[Reward]:
        """As `Client.score_many`."""
        return await self._run(self._score_many(responses, domains, progress))

    async def close(self) -> None:
        """Closes the connections."""
        await self._http.aclose()

    async def __aenter__(self) -> AsyncClient:
        return self

    async def __aexit__(self, *exception: object) -> None:
        await self.close()

    def _open(self, **options: Any) -> Any:
        return require("httpx", "http").AsyncClient(**options)

    async def _run(self, steps: Steps[T]) -> T:
        answer: Any = None
        while True:
            try:
                step = steps.send(answer)
            except StopIteration as done:
                result: T = done.value
                return result
            answer = await (self._send(step) if isinstance(step, Request) else asyncio.sleep(step))

    async def _send(self, request: Request) -> Any:
        import httpx

        try:
            return await request.send(self._http)
        except httpx.RequestError as problem:
            return problem
