"""text-embeddings-inference's routes /predict and /info; its /rerank is in `reranking`.

Shapes: router/src/http/types.rs and router/src/lib.rs of text-embeddings-inference.
"""

from __future__ import annotations

from collections.abc import Sequence

from fastapi import APIRouter
from pydantic import BaseModel, Field
from starlette.requests import Request

from tinyrm.types import Message, Prompt
from tinyrm.version import __version__

from ..judge import Scored
from ..refusals import Answer, Refusal
from .requests import divided, judge_of, scalars

router = APIRouter(tags=["text-embeddings-inference"])


class TeiOptions(BaseModel):
    """truncate: the middle of what is too long is always cut; an explicit false refuses it instead."""

    truncate: bool | None = None
    raw_scores: bool = Field(False, description="Raw rewards in place of probabilities.")


class PredictRequest(TeiOptions):
    """inputs: one rendered conversation; [prompt, response], which is ONE pair; or a list of lists of one or two."""

    inputs: str | list[str] | list[list[str]]

    @property
    def batch(self) -> tuple[list[list[str]], bool]:
        """Each input as one or two texts, and whether the caller sent but one."""
        if isinstance(self.inputs, str):
            return [[self.inputs]], True
        texts = [text for text in self.inputs if isinstance(text, str)]
        return ([texts], True) if texts else ([pair for pair in self.inputs if isinstance(pair, list)], False)


@router.post("/predict")
async def predict(request: Request, body: PredictRequest) -> Answer:
    """One label, the reward, for one conversation or for each of a batch."""
    judge = judge_of(request)
    inputs, one = body.batch
    if not inputs:
        raise Refusal(400, "`inputs` cannot be empty", kind="Empty")
    judge.check_count(len(inputs))
    scored = await judge.score(request, [_row(texts) for texts in inputs])
    check_cut(body, scored)
    found = [[{"score": number(body, each), "label": "reward"}] for each in scored]
    return scalars(found[0] if one else found, judge.scoring, scored)


@router.get("/info")
async def info(request: Request) -> Answer:
    """What is served, in text-embeddings-inference's fields, and more under `tinyrm`."""
    judge = judge_of(request)
    settings = judge.settings
    return Answer(
        {
            "model_id": judge.name,
            "model_sha": None,
            "model_dtype": "float32",
            "served_model_name": judge.name,
            "model_type": {"reranker": {"id2label": {"0": "reward"}, "label2id": {"reward": 0}}},
            "max_concurrent_requests": settings.queue,
            "max_input_length": judge.max_length,
            "max_batch_tokens": judge.batcher.budget,
            "max_batch_requests": None,
            "max_client_batch_size": settings.max_items,
            "auto_truncate": True,
            "tokenization_workers": 1,
            "version": __version__,
            "sha": None,
            "docker_label": None,
            "tinyrm": {
                "backend": judge.model.backend.describe(),
                "templates": sorted(judge.model.manifest.templates),
                "protocol": judge.protocol,
                "scoring": judge.scoring,
                "ranking": judge.ranking,
                "baseline": None if judge.model.reads_single else settings.baseline,
                "calibrated": judge.calibrated,
                "domains": judge.domains,
                "max_body": settings.max_body,
                "max_chars": settings.max_chars,
                "queue": settings.queue,
                "deadline": settings.deadline,
                "workers": settings.workers,
            },
        }
    )


def number(options: TeiOptions, scored: Scored) -> float:
    return scored.logit if options.raw_scores else scored.p


def check_cut(options: TeiOptions, scored: Sequence[Scored]) -> None:
    """Raises: Refusal: something was cut, and the caller said not to."""
    cut = sum(1 for one in scored if one.cut)
    if options.truncate is False and cut:
        raise Refusal(422, f"{cut} of {len(scored)} inputs are too long for the model and `truncate` is false")


def _row(texts: Sequence[str]) -> tuple[Prompt, str]:
    if len(texts) == 1:
        return divided(texts[0])
    if len(texts) != 2:
        raise Refusal(422, "an input is one text, or a prompt and a response", kind="Validation")
    return (Message("user", texts[0]),), texts[1]
