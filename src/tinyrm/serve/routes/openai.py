"""OpenAI's /v1/chat/completions, where it asks which of two answers is better, and /v1/models."""

from __future__ import annotations

import math
import time
from typing import Any

from fastapi import APIRouter
from pydantic import BaseModel, Field
from starlette.requests import Request

from tinyrm.types import Verdict

from ..judge import Judge, Question
from ..refusals import Answer, Refusal
from .judge_prompts import Asked, known_layouts, read
from .requests import Turn, judge_of, new_id

router = APIRouter(tags=["OpenAI"])
LEAST = 1e-12
"""Probabilities below it have its logarithm, since JSON has no infinity."""


class ChatRequest(BaseModel):
    """A prompt for a judge. Temperature and the like are ignored: the verdict is a probability, not a sample."""

    messages: list[Turn] = Field(min_length=1)
    model: str | None = None
    logprobs: bool | None = None
    top_logprobs: int | None = Field(None, ge=0, le=20)
    max_tokens: int | None = None
    max_completion_tokens: int | None = None
    n: int | None = 1
    stream: bool | None = False


@router.post("/v1/chat/completions")
async def chat_completions(request: Request, body: ChatRequest) -> Answer:
    """Answers A or B to the prompt of a pairwise judge, with the logprobs of both."""
    judge = judge_of(request)
    if body.stream:
        raise Refusal(422, "the answer is one letter, so it cannot be streamed: leave stream out")
    if body.n not in (None, 1):
        raise Refusal(422, "the verdict is a probability, not a sample: leave n out and read the logprobs")
    asked = read([turn.message() for turn in body.messages])
    if asked is None:
        raise Refusal(
            422,
            f"the last message of the user is no prompt of a pairwise judge that is known ({known_layouts()}); "
            "/v1/compare takes prompt, a and b as fields",
        )
    (verdict,) = await judge.compare(request, [(asked.prompt, asked.a, asked.b)])
    short = 1 in (body.max_tokens, body.max_completion_tokens)
    return Answer(_completion(judge, asked, verdict, body, short))


@router.get("/v1/models")
async def models(request: Request) -> Answer:
    """The one model that is served."""
    return Answer({"object": "list", "data": [_model(judge_of(request))]})


@router.get("/v1/models/{name:path}")
async def model(request: Request, name: str) -> Answer:
    """The model, if it is this one."""
    judge = judge_of(request)
    if name != judge.name:
        raise Refusal(404, f"the model served here is {judge.name}")
    return Answer(_model(judge))


def _model(judge: Judge) -> dict[str, Any]:
    return {"id": judge.name, "object": "model", "created": 0, "owned_by": "tinyrm", "max_model_len": judge.max_length}


def _completion(judge: Judge, asked: Asked, verdict: Verdict, body: ChatRequest, short: bool) -> dict[str, Any]:
    letter = "C" if verdict.better == "tie" and asked.may_tie else "B" if verdict.better == "B" else "A"
    before, after = ("", "") if short else asked.around(letter)
    tokens = judge.size(Question(asked.prompt, asked.a, asked.b))
    logprobs = {"A": _log(verdict.p_a), "B": _log(1 - verdict.p_a)}
    content = None
    if body.logprobs:
        likeliest = sorted(logprobs, key=lambda name: -logprobs[name])[: body.top_logprobs or 0]
        alternatives = [_token(name, logprobs[name]) for name in likeliest]
        chosen = {**_token(letter, logprobs.get(letter, 0.0)), "top_logprobs": alternatives}
        frame = [{**_token(text, 0.0), "top_logprobs": []} for text in (before, after)]
        content = [token for token in (frame[0], chosen, frame[1]) if token["token"]]
    return {
        "id": new_id("chatcmpl"),
        "object": "chat.completion",
        "created": int(time.time()),
        "model": judge.name,
        "choices": [
            {
                "index": 0,
                "message": {"role": "assistant", "content": before + letter + after, "refusal": None},
                "logprobs": None if content is None else {"content": content, "refusal": None},
                "finish_reason": "stop",
            }
        ],
        "usage": {"prompt_tokens": tokens, "completion_tokens": 1, "total_tokens": tokens + 1},
        "tinyrm": verdict.to_dict(),
    }


def _token(text: str, logprob: float) -> dict[str, Any]:
    return {"token": text, "logprob": logprob, "bytes": list(text.encode())}


def _log(p: float) -> float:
    return math.log(max(p, LEAST))
