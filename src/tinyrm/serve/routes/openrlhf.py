"""OpenRLHF's /get_reward.

Its client sends one sample a request, as `query` (prompt and response decoded, special tokens kept) and `prompts`; to
the second and later of several URLs it sends empty lists, and reads `rewards`, `scores` and `extra_logs`
(openrlhf/utils/agent.py).
"""

from __future__ import annotations

from typing import Any

from fastapi import APIRouter
from pydantic import BaseModel
from starlette.requests import Request

from ..refusals import Answer, Refusal
from .requests import divided, judge_of, scalars

router = APIRouter(tags=["OpenRLHF"])


class RewardRequest(BaseModel):
    """query: whole texts. prompts: how each begins, which tells the response apart. labels are not used."""

    query: list[str]
    prompts: list[str | None] | None = None
    labels: list[Any] | None = None


@router.post("/get_reward")
async def get_reward(request: Request, body: RewardRequest) -> Answer:
    """`rewards` are raw, `scores` are probabilities; `extra_logs` says how many tokens of each were cut."""
    judge = judge_of(request)
    prompts = body.prompts or [None] * len(body.query)
    if len(prompts) != len(body.query):
        raise Refusal(422, f"{len(body.query)} queries and {len(prompts)} prompts do not pair up")
    judge.check_count(len(body.query))
    rows = [divided(query, prompt) for query, prompt in zip(body.query, prompts, strict=True)]
    scored = await judge.score(request, rows)
    answer = {
        "rewards": [one.logit for one in scored],
        "scores": [one.p for one in scored],
        "extra_logs": {"tokens_cut": [float(sum(one.cut.values())) for one in scored]},
        "scoring": judge.scoring,
    }
    return scalars(answer, judge.scoring, scored)
