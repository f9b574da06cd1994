"""TinyRM's own routes: /v1/compare, /v1/score, /v1/rank."""

from __future__ import annotations

import time
from typing import Annotated, Any

from fastapi import APIRouter
from pydantic import BaseModel, Discriminator, Field, Tag, model_validator
from starlette.requests import Request

from tinyrm.types import Prompt, Verdict

from ..judge import DEADLINE, Judge, Scored
from ..refusals import Answer
from .requests import Turns, judge_of, scalars, to_prompt
from .vllm import ScoreRequest, score_pairs

router = APIRouter(tags=["TinyRM"])


class Asked(BaseModel):
    """A prompt as a text or as messages, and what it is about."""

    prompt: str | Turns | None = Field(None, description="What is answered: a text or messages.")
    messages: Turns | None = Field(None, description="The same as messages; one of the two.")
    domain: str | None = Field(None, description="chat, safety or reasoning, where known: picks the instruction.")

    @model_validator(mode="after")
    def _one_prompt(self) -> Asked:
        if (self.prompt is None) == (self.messages is None):
            raise ValueError("give either prompt or messages")
        return self

    @property
    def turns(self) -> Prompt:
        return to_prompt(self.messages if self.prompt is None else self.prompt)  # type: ignore[arg-type]


class Pair(Asked):
    """Two responses to a prompt."""

    a: str
    b: str


class Pairs(BaseModel):
    """Many pairs, taken all or not at all."""

    items: list[Pair]


class Response(Asked):
    """A response to a prompt."""

    response: str


class Responses(Asked):
    """Responses to one prompt."""

    responses: list[str]


class ResponseItems(BaseModel):
    """Responses to prompts of their own."""

    items: list[Response]


class Candidates(Asked):
    """Responses to put in order."""

    candidates: list[str]
    top_n: int = Field(0, ge=0, description="How many of the best to give; 0 is all.")


def _pairs_or_pair(body: Any) -> str:
    return "as many" if isinstance(body, dict) and "items" in body else "as one"


def _kind_of_score(body: Any) -> str:
    fields = body if isinstance(body, dict) else {}
    if {"text_1", "text_2", "queries", "documents", "data_1", "data_2"} & fields.keys():
        return "as vllm"
    return next((f"as {name}" for name in ("items", "responses") if name in fields), "as one")


CompareBody = Annotated[
    Annotated[Pair, Tag("as one")] | Annotated[Pairs, Tag("as many")],
    Discriminator(_pairs_or_pair),
]
ScoreBody = Annotated[
    Annotated[Response, Tag("as one")]
    | Annotated[Responses, Tag("as responses")]
    | Annotated[ResponseItems, Tag("as items")]
    | Annotated[ScoreRequest, Tag("as vllm")],
    Discriminator(_kind_of_score),
]


@router.post("/v1/compare")
async def compare(request: Request, body: CompareBody) -> Answer:
    """Which of two responses is better; one pair, or many as `items`."""
    judge = judge_of(request)
    items = body.items if isinstance(body, Pairs) else [body]
    verdicts = await judge.compare(
        request, [(item.turns, item.a, item.b) for item in items], [item.domain for item in items]
    )
    head = {"model": judge.name, "protocol": judge.protocol, "calibrated": judge.calibrated[judge.protocol]}
    if isinstance(body, Pairs):
        return Answer({**head, "results": [_verdict(verdict) for verdict in verdicts], "ms": _ms(request, judge)})
    return Answer({**head, **_verdict(verdicts[0]), "ms": _ms(request, judge)})


@router.post("/v1/score")
async def score(request: Request, body: ScoreBody) -> Answer:
    """How good a response is; one, several to one prompt as `responses`, or many as `items`. Also vLLM's /v1/score."""
    if isinstance(body, ScoreRequest):
        return await score_pairs(request, body)
    judge = judge_of(request)
    if isinstance(body, Responses):
        prompt = body.turns
        rows = [(prompt, text) for text in body.responses]
        domains = [body.domain] * len(rows)
    else:
        items = body.items if isinstance(body, ResponseItems) else [body]
        rows, domains = [(item.turns, item.response) for item in items], [item.domain for item in items]
    scored = await judge.score(request, rows, domains)
    head = _head(judge, judge.scoring)
    if isinstance(body, Response):
        return scalars({**head, **_score(scored[0]), "ms": _ms(request, judge)}, judge.scoring, scored)
    results = [_score(one) for one in scored]
    return scalars({**head, "results": results, "ms": _ms(request, judge)}, judge.scoring, scored)


@router.post("/v1/rank")
async def rank(request: Request, body: Candidates) -> Answer:
    """Candidates from best to worst; equal ones keep their order."""
    judge = judge_of(request)
    scored = await judge.rank(request, body.turns, body.candidates, body.domain)
    order = sorted(range(len(scored)), key=lambda i: -scored[i].logit)
    ranking = [
        {
            "rank": place,
            "index": i,
            "score": scored[i].logit,
            "p": scored[i].p,
            "response": body.candidates[i],
            "cut": dict(scored[i].cut),
        }
        for place, i in enumerate(order[: body.top_n or None], 1)
    ]
    head = {**_head(judge, judge.ranking), "best": order[0] if order else None}
    return scalars({**head, "ranking": ranking, "ms": _ms(request, judge)}, judge.ranking, scored)


def _head(judge: Judge, rule: str) -> dict[str, Any]:
    kind = "single" if rule == "single" else "pair"
    return {"model": judge.name, "scoring": rule, "calibrated": judge.calibrated[kind]}


def _verdict(verdict: Verdict) -> dict[str, Any]:
    return {**verdict.to_dict(), "order_gap": abs(verdict.p_a_shown_first - verdict.p_a_shown_second)}


def _score(scored: Scored) -> dict[str, Any]:
    return {"reward": scored.logit, "p": scored.p, "cut": dict(scored.cut)}


def _ms(request: Request, judge: Judge) -> float:
    """Milliseconds since the last byte of the request was here."""
    started: float = request.scope[DEADLINE] - judge.settings.deadline
    return round(1000 * (time.monotonic() - started), 3)
