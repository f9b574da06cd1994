"""/rerank and its aliases: text-embeddings-inference's shape where the request has `texts`, else vLLM's, which is
also Jina's and Cohere's."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter
from pydantic import BaseModel, Discriminator, Field, Tag
from starlette.requests import Request

from tinyrm.types import Message

from ..judge import Judge, Scored
from ..refusals import Answer, Refusal
from .requests import judge_of, new_id, scalars, usage
from .tei import PredictRequest, TeiOptions, check_cut, number, predict
from .vllm import Options

router = APIRouter(tags=["Reranking"])


class TeiRerank(TeiOptions):
    """text-embeddings-inference's request."""

    query: str
    texts: list[str]
    return_text: bool = False


class Document(BaseModel):
    """A document as Cohere's clients may send it."""

    text: str


class JinaRerank(Options):
    """vLLM's, Jina's and Cohere's request."""

    query: str
    documents: list[str | Document]
    top_n: int | None = Field(0, ge=0, description="How many of the best to give; 0 is all.")
    return_documents: bool = True
    raw_scores: bool = Field(False, description="As infinity names use_activation = false.")


def is_tei(body: Any) -> bool:
    return isinstance(body, dict) and "texts" in body


RerankBody = Annotated[
    Annotated[TeiRerank, Tag("as tei")] | Annotated[JinaRerank, Tag("as jina")],
    Discriminator(lambda body: "as tei" if is_tei(body) else "as jina"),
]


RootBody = Annotated[
    Annotated[TeiRerank, Tag("as rerank")] | Annotated[PredictRequest, Tag("as predict")],
    Discriminator(lambda body: "as rerank" if is_tei(body) else "as predict"),
]


@router.post("/", include_in_schema=False)
async def root(request: Request, body: RootBody) -> Answer:
    """Where huggingface_hub's client sends requests that name no route."""
    return await (_tei(request, body) if isinstance(body, TeiRerank) else predict(request, body))


@router.post("/rerank")
async def rerank(request: Request, body: RerankBody) -> Answer:
    """Texts from best to worst."""
    return await (_tei(request, body) if isinstance(body, TeiRerank) else _jina(request, body))


@router.post("/v1/rerank")
async def rerank_v1(request: Request, body: JinaRerank) -> Answer:
    """Documents from best to worst, as vLLM, Jina and Cohere give them."""
    return await _jina(request, body)


@router.post("/v2/rerank")
async def rerank_v2(request: Request, body: JinaRerank) -> Answer:
    """Documents from best to worst, as vLLM, Jina and Cohere give them."""
    return await _jina(request, body)


async def _tei(request: Request, body: TeiRerank) -> Answer:
    request.scope["tinyrm.shape"] = "tei"
    if not body.texts:
        raise Refusal(400, "`texts` cannot be empty", kind="Empty")
    judge = judge_of(request)
    scored = await _ranked(judge, request, body.query, body.texts)
    check_cut(body, scored)
    found = [
        {"index": i, **({"text": body.texts[i]} if body.return_text else {}), "score": number(body, scored[i])}
        for i in _order(scored)
    ]
    return scalars(found, judge.ranking, scored)


async def _jina(request: Request, body: JinaRerank) -> Answer:
    judge = judge_of(request)
    texts = [document if isinstance(document, str) else document.text for document in body.documents]
    scored = await _ranked(judge, request, body.query, texts)
    raw = body.raw or body.raw_scores
    results = [
        {
            "index": i,
            **({"document": {"text": texts[i], "multi_modal": None}} if body.return_documents else {}),
            "relevance_score": scored[i].logit if raw else scored[i].p,
        }
        for i in _order(scored)[: body.top_n or None]
    ]
    tokens = usage(scored)
    counted = {"prompt_tokens": tokens["prompt_tokens"], "total_tokens": tokens["total_tokens"]}
    answer = {"id": new_id("rerank"), "model": judge.name, "usage": counted, "results": results}
    return scalars({**answer, "scoring": judge.ranking}, judge.ranking, scored)


async def _ranked(judge: Judge, request: Request, query: str, texts: list[str]) -> list[Scored]:
    return await judge.rank(request, (Message("user", query),), texts)


def _order(scored: list[Scored]) -> list[int]:
    return sorted(range(len(scored)), key=lambda i: -scored[i].logit)
