"""The application: a loaded model, its batcher and all routes."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from typing import Any

from fastapi import APIRouter, FastAPI
from fastapi.exceptions import RequestValidationError
from fastapi.middleware.cors import CORSMiddleware
from prometheus_client import CONTENT_TYPE_LATEST
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response

from ..infer import RewardModel
from ..version import __version__
from .batcher import Batcher
from .guard import Guard, shape_of
from .judge import Judge, Question, answerer
from .meters import Meters
from .refusals import Answer, Refusal, Shape, to_answer
from .routes import native, openai, openrlhf, page, reranking, tei, vllm
from .settings import Settings

router = APIRouter(tags=["Operation"])
MOST_ERRORS = 3
"""Mistakes named in one answer."""


def create_app(model: RewardModel, settings: Settings, say: Callable[[str], None] | None = None) -> FastAPI:
    """The ASGI application that serves a model; `say` is told when it has stopped."""
    meters = Meters()
    answer = answerer(model)
    budget = settings.max_tokens_per_batch or model.backend.tokens_per_batch

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        counted = model.tokens

        def watch(questions: int, size: int, seconds: float) -> None:
            nonlocal counted
            meters.questions.inc(questions)
            meters.batches.observe(questions)
            meters.batch_tokens.observe(size)
            meters.batch_seconds.observe(seconds)
            meters.waiting.set(batcher.waiting)
            meters.tokens.inc(model.tokens - counted)
            counted = model.tokens

        batcher: Batcher[Question, Any] = Batcher(
            answer, budget=budget, max_wait=settings.max_wait_ms / 1000, capacity=settings.queue, watch=watch
        )
        app.state.judge = Judge(model, settings, batcher)
        yield
        await asyncio.to_thread(batcher.stop)
        if say is not None:
            say(f"stopped: {meters.answered} requests answered")

    app = FastAPI(
        title="TinyRM",
        version=__version__,
        description=f"The reward model {model.manifest.name} behind the routes of several clients.",
        lifespan=lifespan,
        default_response_class=Answer,
    )
    app.state.meters = meters
    for routes in (native, openrlhf, vllm, reranking, tei, openai, page):
        app.include_router(routes.router)
    app.include_router(router)
    paths = [*app.openapi()["paths"], "/", "/docs", "/openapi.json"]
    app.add_middleware(Guard, settings=settings, meters=meters, routes=paths)  # type: ignore[arg-type]
    if settings.cors_origins:
        app.add_middleware(
            CORSMiddleware,
            allow_origins=list(settings.cors_origins),
            allow_methods=["GET", "POST"],
            allow_headers=["authorization", "content-type"],
            expose_headers=["retry-after", "x-tinyrm-scoring", "x-tinyrm-cut"],
        )
    app.add_exception_handler(Refusal, _refused)
    app.add_exception_handler(RequestValidationError, _invalid)
    app.add_exception_handler(HTTPException, _http)
    return app


@router.get("/health")
async def health(request: Request) -> Answer:
    """Whether the process can judge."""
    if not request.app.state.judge.batcher.alive:
        raise Refusal(503, "the thread that judges has died")
    return Answer({"status": "ok"})


@router.get("/ping", include_in_schema=False)
async def ping(request: Request) -> Answer:
    """As /health, under the name that some platforms call."""
    return await health(request)


@router.get("/ready")
async def ready(request: Request) -> Answer:
    """Whether requests are welcome: the model is loaded, and there is room in the queue."""
    judge: Judge = request.app.state.judge
    if judge.batcher.waiting >= judge.settings.queue or not judge.batcher.alive:
        raise Refusal(503, "the queue is full", headers={"Retry-After": "1"})
    return Answer({"status": "ready", "model": judge.name})


@router.get("/metrics")
async def metrics(request: Request) -> Response:
    """Counters for Prometheus."""
    meters: Meters = request.app.state.meters
    meters.waiting.set(request.app.state.judge.batcher.waiting)
    return Response(meters.exposition(), headers={"Content-Type": CONTENT_TYPE_LATEST})


def _shape(request: Request, body: Any = None) -> Shape:
    if request.url.path == "/rerank" and reranking.is_tei(body):
        return "tei"
    shape: Shape = request.scope.get("tinyrm.shape") or shape_of(request.url.path)
    return shape


async def _refused(request: Request, refusal: Exception) -> Answer:
    assert isinstance(refusal, Refusal)
    return to_answer(refusal, _shape(request))


async def _invalid(request: Request, invalid: Exception) -> Answer:
    """What is wrong and where, never what was sent."""
    assert isinstance(invalid, RequestValidationError)
    errors = invalid.errors()
    if any(error["type"] == "json_invalid" for error in errors):
        return to_answer(Refusal(400, "the body is not JSON"), _shape(request))
    said = [_mistake(error["loc"], error["msg"]) for error in errors[:MOST_ERRORS]]
    more = f"; and {len(errors) - MOST_ERRORS} more" if len(errors) > MOST_ERRORS else ""
    return to_answer(Refusal(422, "; ".join(said) + more), _shape(request, invalid.body))


def _mistake(place: Sequence[str | int], message: str) -> str:
    """Where and what; without `body` and the names of the forms that a body may have ("as one")."""
    names = [str(name) for name in place[1:] if not str(name).startswith("as ")]
    return f"{'.'.join(names) or 'the body'}: {message.removeprefix('Value error, ')}"


async def _http(request: Request, problem: Exception) -> Answer:
    assert isinstance(problem, HTTPException)
    message = {
        400: "the body is not JSON that can be read",
        404: "there is no such route; /docs lists them",
        405: "this route does not take this method; /docs lists them",
    }.get(problem.status_code, "refused")
    return to_answer(Refusal(problem.status_code, message, headers=problem.headers), _shape(request))
