"""Reward models behind HTTP, in the shapes of OpenRLHF, vLLM and text-embeddings-inference.

    openrlhf       POST {"query": [text], "prompts": [prompt], "labels": [null]}       -> {"rewards": [r]}
    vllm-score     POST {"text_1": prompt, "text_2": response}                         -> {"data": [{"score": r}]}
    vllm-classify  POST {"messages": [...]} or {"input": text}                         -> {"data": [{"probs": [r]}]}
    tei-predict    POST {"inputs": [[prompt, response]], "raw_scores": true, ...}      -> [[{"score": r, "label"}]]

Servers are asked for raw scores (`use_activation` false at vLLM), for a sigmoid's differences are no log-odds.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, TypeAlias
from urllib.parse import parse_qsl, urldefrag

from tinyrm.errors import UserError, nearest
from tinyrm.types import Prompt

from .base import Progress, Scored, ScoringJudge
from .http import STRANGE, Client, public
from .texts import as_messages, as_text

Shape: TypeAlias = Literal["openrlhf", "vllm-score", "vllm-classify", "tei-predict"]
_RAW = {"use_activation": False, "activation": False}
"""Newer and older vLLM."""


@dataclass(frozen=True)
class Options:
    """What stands behind `#` in the address: `model=NAME&text`.

    model: the name that vLLM is asked for. text: write prompt and response as one text, for a model without a chat
    template on the server.
    """

    model: str | None = None
    text: bool = False


def read_options(fragment: str) -> Options:
    """Options from `model=NAME&text`.

    Raises:
        UserError: an option of another name.
    """
    given = dict(parse_qsl(fragment, keep_blank_values=True))
    for name in given:
        if name not in ("model", "text"):
            raise UserError(f"unknown option {name!r} of a server{nearest(name, ('model', 'text'))}")
    return Options(given.get("model"), "text" in given)


class ServerJudge(ScoringJudge):
    """A server that scores responses; one request for each, several at a time."""

    def __init__(self, shape: Shape, address: str) -> None:
        url, fragment = urldefrag(address)
        self._options = read_options(fragment)
        asked = {"model": self._options.model} if self._options.model else {}
        super().__init__({"name": f"{shape}:{public(url)}", "kind": "server", **asked})
        self._body, self._reward = SHAPES[shape]
        self._client = Client(url, self.work.counts)

    def score_many(self, responses: Sequence[tuple[Prompt, str]], progress: Progress) -> list[Scored]:
        return self._client.map(self._ask, responses, progress)

    def _ask(self, asked: tuple[Prompt, str]) -> Scored:
        return self.read(self._client.post(self._body(*asked, self._options)))

    def read(self, answer: Any) -> Scored:
        """The reward in a server's answer.

        Raises:
            UserError: it is not where this shape has it.
        """
        try:
            return Scored(float(self._reward(answer)))
        except STRANGE:
            wanted = self.about["name"].partition(":")[0]
            raise UserError(f"{self._client.public} gave an answer that is not of the shape {wanted}") from None


def _one_text(prompt: Prompt, response: str) -> str:
    return f"{as_text(prompt)}\n\n{response}"


def _openrlhf(prompt: Prompt, response: str, options: Options) -> dict[str, Any]:
    return {"query": [_one_text(prompt, response)], "prompts": [as_text(prompt)], "labels": [None]}


def _vllm_score(prompt: Prompt, response: str, options: Options) -> dict[str, Any]:
    return {**_model(options), "text_1": as_text(prompt), "text_2": response, **_RAW}


def _vllm_classify(prompt: Prompt, response: str, options: Options) -> dict[str, Any]:
    written = {"input": _one_text(prompt, response)} if options.text else {"messages": as_messages(prompt, response)}
    return {**_model(options), **written, **_RAW}


def _tei_predict(prompt: Prompt, response: str, options: Options) -> dict[str, Any]:
    texts = [_one_text(prompt, response)] if options.text else [as_text(prompt), response]
    return {"inputs": [texts], "raw_scores": True, "truncate": True}


def _model(options: Options) -> dict[str, str]:
    return {"model": options.model} if options.model else {}


def _difference(values: Sequence[float]) -> float:
    """The reward of a classifier with one output, or with two: the second minus the first."""
    if len(values) not in (1, 2):
        raise ValueError("a reward has one output or two")
    return float(values[-1]) - (float(values[0]) if len(values) == 2 else 0.0)


def _by_label(labels: Sequence[Mapping[str, Any]]) -> float:
    """text-embeddings-inference sorts its labels by score: they are told apart by name."""
    return _difference([label["score"] for label in sorted(labels, key=lambda label: str(label["label"]))])


_Body: TypeAlias = Callable[[Prompt, str, Options], dict[str, Any]]
_Read: TypeAlias = Callable[[Any], float]
SHAPES: dict[str, tuple[_Body, _Read]] = {
    "openrlhf": (_openrlhf, lambda answer: answer["rewards"][0]),
    "vllm-score": (_vllm_score, lambda answer: answer["data"][0]["score"]),
    "vllm-classify": (_vllm_classify, lambda answer: _difference(answer["data"][0]["probs"])),
    "tei-predict": (_tei_predict, lambda answer: _by_label(answer[0])),
}
"""By name: the body of a request, and the reward in its answer."""
