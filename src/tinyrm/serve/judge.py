"""A reward model behind a queue: what the routes ask, limits and deadlines included."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeAlias

from starlette.requests import Request

from ..infer import RewardModel
from ..infer.tournament import Tournament
from ..model.calibration import Calibration, sigmoid
from ..types import Prompt, Reward, Verdict
from .batcher import Batcher, Full, Stopped
from .refusals import Refusal
from .settings import Settings

BYTES_PER_TOKEN = 3
"""To guess how long a cloze is before it is written: a batch's budget needs no more."""
FRAME = 16
"""Tokens of a template's own."""
MOST_TURNS = 1000
"""Of one conversation."""
GONE = 499
"""Status of a request whose caller did not wait: nobody reads it, but it is counted."""
DEADLINE = "tinyrm.deadline"
"""Key of an ASGI scope: when the request must be answered, in the time of time.monotonic()."""


@dataclass(frozen=True, slots=True)
class Question:
    """A response to read alone, or (with `other`) two to compare."""

    prompt: Prompt
    response: str
    other: str | None = None
    domain: str | None = None


Found: TypeAlias = "Reward | Verdict"


@dataclass(frozen=True, slots=True)
class Scored:
    """One number for one response. p: the same as a probability; see the rule that made it. tokens: a guess."""

    logit: float
    p: float
    cut: Mapping[str, int] = field(default_factory=dict)
    tokens: int = 0


class Judge:
    """Asks a model what routes want to know, through a batcher that all callers share.

    A number for one response comes by one of three rules, which every answer names:
    single: the model reads responses one by one.
    baseline: the model only compares; the log-odds against `settings.baseline`, an answer that is always the same.
    group: the model only compares; what a tournament among the candidates of the request says (`infer/tournament.py`).
    """

    def __init__(self, model: RewardModel, settings: Settings, batcher: Batcher[Question, Found]) -> None:
        self.model = model
        self.settings = settings
        self.batcher = batcher
        templates = model.manifest.templates
        self.protocol = "pair" if "pair" in templates else "single"
        self.calibrated = {kind: kind in model.manifest.calibration for kind in templates}
        self.max_length = max(template.max_length for template in templates.values())
        self.domains = sorted({name for template in templates.values() for name in template.instructions})

    @property
    def name(self) -> str:
        return self.model.manifest.name

    @property
    def scoring(self) -> str:
        """The rule for a response alone."""
        return "single" if self.model.reads_single else "baseline"

    @property
    def ranking(self) -> str:
        """The rule for candidates beside each other."""
        return "single" if self.model.reads_single else "group"

    async def compare(
        self, request: Request, pairs: Sequence[tuple[Prompt, str, str]], domains: Sequence[str | None] | None = None
    ) -> list[Verdict]:
        """Raises: Refusal."""
        named = domains or [None] * len(pairs)
        self._check(len(pairs), [(prompt, (a, b)) for prompt, a, b in pairs], named)
        questions = [Question(prompt, a, b, domain) for (prompt, a, b), domain in zip(pairs, named, strict=True)]
        return await self._ask(request, questions)

    async def score(
        self, request: Request, rows: Sequence[tuple[Prompt, str]], domains: Sequence[str | None] | None = None
    ) -> list[Scored]:
        """Raises: Refusal."""
        named = domains or [None] * len(rows)
        self._check(len(rows), [(prompt, (text,)) for prompt, text in rows], named)
        other = None if self.model.reads_single else self.settings.baseline
        questions = [Question(prompt, text, other, domain) for (prompt, text), domain in zip(rows, named, strict=True)]
        found = await self._ask(request, questions)
        return [_scored(one, self.size(asked)) for one, asked in zip(found, questions, strict=True)]

    async def rank(
        self, request: Request, prompt: Prompt, candidates: Sequence[str], domain: str | None = None
    ) -> list[Scored]:
        """A number for each candidate, in their order, that compares within this request.

        Raises: Refusal.
        """
        if self.model.reads_single:
            return await self.score(request, [(prompt, text) for text in candidates], [domain] * len(candidates))
        self._check(len(candidates), [(prompt, candidates)] if candidates else [], [domain])
        tournament = Tournament(candidates)
        cuts: dict[str, dict[str, int]] = {text: {} for text in candidates}
        admitted = False
        while meetings := tournament.round():
            questions = [Question(prompt, candidates[i], candidates[j], domain) for i, j in meetings]
            verdicts: list[Verdict] = await self._ask(request, questions, admitted=admitted)
            tournament.record([verdict.logit for verdict in verdicts])
            for (i, j), verdict in zip(meetings, verdicts, strict=True):
                for place, side in ((i, "a"), (j, "b")):
                    cut = {"prompt": verdict.cut.get("prompt", 0), "response": verdict.cut.get(side, 0)}
                    kept = cuts[candidates[place]]
                    kept |= {name: max(n, kept.get(name, 0)) for name, n in cut.items() if n}
            admitted = True
        temperature = self.model.manifest.calibration.get("pair", Calibration()).temperature_of(domain)
        return [
            Scored(logit, sigmoid(logit / temperature), cuts[text], self.size(Question(prompt, text)))
            for text, logit in zip(candidates, tournament.scores(), strict=True)
        ]

    def check_count(self, count: int) -> None:
        """Refuses more responses than a request may hold: for routes whose texts take work before they are asked.

        Raises: Refusal.
        """
        most = self.settings.max_items
        if count > most:
            raise Refusal(422, f"{count} responses in one request, where {most} are allowed: send fewer")

    def _check(self, count: int, asked: Sequence[tuple[Prompt, Sequence[str]]], domains: Sequence[str | None]) -> None:
        limits = self.settings
        self.check_count(count)
        for prompt, responses in asked:
            if len(prompt) > MOST_TURNS:
                raise Refusal(422, f"a conversation of {len(prompt)} turns, where {MOST_TURNS} are allowed: send fewer")
            longest = max((len(text) for text in (*(turn.content for turn in prompt), *responses)), default=0)
            if longest > limits.max_chars:
                raise Refusal(422, f"a text of {longest} characters, where {limits.max_chars} are allowed: send less")
            if not any(turn.content.strip() for turn in prompt):
                raise Refusal(422, "the prompt is empty: there is nothing to judge a response by")
        for domain in domains:
            if domain is not None and domain not in self.domains:
                raise Refusal(422, f"the model has no such domain; it knows {', '.join(self.domains)}")

    def size(self, question: Question) -> int:
        """About how many tokens a question makes."""
        enough = self.max_length * BYTES_PER_TOKEN
        texts = [turn.content for turn in question.prompt] + [question.response, question.other or ""]
        tokens = FRAME + sum(_utf8(text[:enough]) for text in texts) // BYTES_PER_TOKEN
        return min(tokens, self.max_length) * (1 if question.other is None else 2)

    async def _ask(self, request: Request, questions: Sequence[Question], *, admitted: bool = False) -> list[Any]:
        """The answers to questions, unless the deadline passes or the caller goes away first.

        admitted: these go on with a request that was taken before.
        """
        if len(questions) > self.settings.queue:
            message = f"so many candidates make {len(questions)} comparisons, where {self.settings.queue} can wait"
            raise Refusal(422, f"{message}: send fewer")
        deadline: float = request.scope.get(DEADLINE) or time.monotonic() + self.settings.deadline
        try:
            sizes = [self.size(question) for question in questions]
            ticket = self.batcher.submit(questions, sizes, deadline, admitted=admitted)
        except Full as full:
            message = f"too many questions are waiting: try again in {full.retry_after} s"
            raise Refusal(429, message, headers={"Retry-After": str(full.retry_after)}) from None
        except Stopped:
            raise Refusal(503, "the server is stopping") from None
        answers = asyncio.wrap_future(ticket.future)
        gone = asyncio.ensure_future(_disconnect(request))
        waited: set[asyncio.Future[Any]] = {answers, gone}
        try:
            await asyncio.wait(
                waited, timeout=max(0.0, deadline - time.monotonic()), return_when=asyncio.FIRST_COMPLETED
            )
            if answers.done():
                return answers.result()
            if gone.done():
                raise Refusal(GONE, "the caller went away")
            raise TimeoutError
        except TimeoutError:
            raise Refusal(504, f"no answer within the deadline of {self.settings.deadline:g} s") from None
        finally:
            gone.cancel()
            if not answers.done():
                self.batcher.drop(ticket)


def answerer(model: RewardModel) -> Any:
    """What a batcher calls: questions of both kinds -> their answers, in order."""

    def answer(questions: list[Question]) -> list[Found]:
        pairs = [asked for asked in questions if asked.other is not None]
        alone = [asked for asked in questions if asked.other is None]
        verdicts = iter(
            model.compare_many(
                [(asked.prompt, asked.response, asked.other or "") for asked in pairs],
                domains=[asked.domain for asked in pairs],
            )
            if pairs
            else ()
        )
        rewards = iter(
            model.score_many(
                [(asked.prompt, asked.response) for asked in alone], domains=[asked.domain for asked in alone]
            )
            if alone
            else ()
        )
        return [next(rewards) if asked.other is None else next(verdicts) for asked in questions]

    return answer


def _scored(found: Found, tokens: int) -> Scored:
    if isinstance(found, Reward):
        return Scored(found.logit, found.p, found.cut, tokens)
    cut = {"prompt": found.cut.get("prompt", 0), "response": found.cut.get("a", 0)}
    return Scored(found.logit, found.p_a, {name: n for name, n in cut.items() if n}, tokens)


async def _disconnect(request: Request) -> None:
    """Returns when the caller has gone away; the body has been read before."""
    while (await request.receive())["type"] != "http.disconnect":
        pass


def _utf8(text: str) -> int:
    return len(text) if text.isascii() else len(text.encode("utf-8", "replace"))
