"""vLLM's routes for sequence classifiers, and the one of SGLang that verl calls.

Shapes: vllm/entrypoints/pooling/{scoring,classify,pooling}/protocol.py; verl's reward loop reads
`data[-1].probs[-1]` of /classify and `data[-1].embedding[-1]` of /v1/embeddings.
"""

from __future__ import annotations

import base64
from collections.abc import Callable, Sequence
from typing import Any, Literal

import numpy as np
from fastapi import APIRouter
from pydantic import BaseModel, Field, model_validator
from starlette.requests import Request

from ..judge import Judge, Scored
from ..refusals import Answer, Refusal
from .requests import Turns, divided, judge_of, last_response, listing, scalars, to_prompt, usage

router = APIRouter(tags=["vLLM and verl"])
Texts = str | list[str]


class Options(BaseModel):
    """What all of these requests may say. What is not named here is ignored: lengths are the model's own affair."""

    model: str | None = None
    use_activation: bool | None = Field(None, description="Probabilities (true, the default) or raw rewards.")
    activation: bool | None = None
    softmax: bool | None = None

    @property
    def raw(self) -> bool:
        said = [flag for flag in (self.use_activation, self.activation, self.softmax) if flag is not None]
        return bool(said) and not said[0]

    def number(self, scored: Scored) -> float:
        return scored.logit if self.raw else scored.p


class ScoreRequest(Options):
    """Prompts and responses under one of vLLM's four pairs of names; one prompt to many responses, or one to one."""

    text_1: Texts | None = None
    text_2: Texts | None = None
    queries: Texts | None = None
    documents: Texts | None = None
    items: Texts | None = None
    data_1: Texts | None = None
    data_2: Texts | None = None

    @model_validator(mode="after")
    def _one_pair(self) -> ScoreRequest:
        if len(self._given()) != 1:
            raise ValueError(
                "give one of text_1 and text_2, queries and documents, queries and items, data_1 and data_2"
            )
        return self

    def _given(self) -> list[tuple[Texts, Texts]]:
        pairs = (
            (self.text_1, self.text_2),
            (self.queries, self.documents),
            (self.queries, self.items),
            (self.data_1, self.data_2),
        )
        return [(first, second) for first, second in pairs if first is not None and second is not None]

    @property
    def sides(self) -> tuple[list[str], list[str]]:
        """Raises: Refusal."""
        ((first, second),) = self._given()
        prompts = [first] if isinstance(first, str) else first
        responses = [second] if isinstance(second, str) else second
        if len(prompts) == 1:
            prompts = prompts * len(responses)
        if len(prompts) != len(responses):
            raise Refusal(422, f"{len(prompts)} prompts and {len(responses)} responses do not pair up")
        return prompts, responses


class InputRequest(Options):
    """A rendered conversation, several, or one as messages, that end with the response to judge."""

    input: str | list[str] | list[int] | list[list[int]] | None = None
    messages: Turns | None = None

    @model_validator(mode="after")
    def _one_input(self) -> InputRequest:
        if (self.input is None) == (self.messages is None):
            raise ValueError("give either input or messages")
        return self

    async def judged(self, request: Request) -> list[Scored]:
        """Raises: Refusal."""
        if self.messages is not None:
            rows = [last_response(self.messages)]
        else:
            texts = [self.input] if isinstance(self.input, str) else self.input or []
            if not all(isinstance(text, str) for text in texts):
                raise Refusal(422, "token ids are of your tokenizer, not of this model's: send text")
            judge_of(request).check_count(len(texts))
            rows = [divided(str(text)) for text in texts]
        return await judge_of(request).score(request, rows)


class EmbeddingRequest(InputRequest):
    """As OpenAI's clients send it."""

    encoding_format: Literal["float", "base64"] = "float"


@router.post("/score")
async def score(request: Request, body: ScoreRequest) -> Answer:
    """A number for each prompt and response."""
    return await score_pairs(request, body)


async def score_pairs(request: Request, body: ScoreRequest) -> Answer:
    judge = judge_of(request)
    prompts, responses = body.sides
    judge.check_count(len(prompts))
    rows = [(to_prompt(prompt), response) for prompt, response in zip(prompts, responses, strict=True)]
    scored = await judge.score(request, rows)
    return _listed("score", judge, scored, lambda one: {"object": "score", "score": body.number(one)})


@router.post("/classify")
async def classify(request: Request, body: InputRequest) -> Answer:
    """One class, the reward: its probability, or (use_activation or activation = false) its raw value."""
    scored = await body.judged(request)
    return _listed(
        "classify",
        judge_of(request),
        scored,
        lambda one: {"label": "reward", "probs": [body.number(one)], "num_classes": 1},
    )


@router.post("/pooling")
async def pooling(request: Request, body: InputRequest) -> Answer:
    """As /classify, in the shape of a pooled vector of one number."""
    scored = await body.judged(request)
    return _listed("pool", judge_of(request), scored, lambda one: {"object": "pooling", "data": [body.number(one)]})


@router.post("/v1/embeddings")
async def embeddings(request: Request, body: EmbeddingRequest) -> Answer:
    """The raw reward as an embedding of one number, which is how verl asks a reward model on SGLang."""
    scored = await body.judged(request)
    return _listed(
        "embd",
        judge_of(request),
        scored,
        lambda one: {"object": "embedding", "embedding": _embedding(one, body.encoding_format)},
    )


def _listed(prefix: str, judge: Judge, scored: Sequence[Scored], row: Callable[[Scored], dict[str, Any]]) -> Answer:
    """A list of one `row` for each response, as vLLM's routes give it."""
    data = [{"index": i, **row(one)} for i, one in enumerate(scored)]
    answer = {**listing(prefix, judge), "data": data, "usage": usage(scored), "scoring": judge.scoring}
    return scalars(answer, judge.scoring, scored)


def _embedding(scored: Scored, encoding: str) -> Any:
    if encoding == "float":
        return [scored.logit]
    return base64.b64encode(np.asarray([scored.logit], dtype="<f4").tobytes()).decode("ascii")
