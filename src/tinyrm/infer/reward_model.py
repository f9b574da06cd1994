"""The model as its user sees it: compare, score, rank."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Mapping, Sequence
from functools import partial
from itertools import islice
from typing import Any, Literal, overload

import numpy as np

from ..errors import UserError
from ..model.calibration import Calibration, sigmoid
from ..model.checkpoint import Manifest
from ..prompt import Cloze, ClozeWriter, Question
from ..types import Prompt, PromptLike, Ranked, Reward, Verdict
from .engine import Backend, answer
from .inputs import Asked, read
from .results import Results
from .tournament import Progress, Scored, hold, rescaled

Protocol = Literal["single", "pair"]


class RewardModel:
    """Judges responses. Get one from `tinyrm.load()`."""

    def __init__(self, manifest: Manifest, writers: Mapping[str, ClozeWriter], backend: Backend) -> None:
        self.manifest = manifest
        self.backend = backend
        self._writers = writers
        self.tokens = 0
        """Tokens read so far, padding not counted."""
        self._counting = threading.Lock()

    @property
    def computes(self) -> str:
        """What computes, in which numbers."""
        return self.backend.computes

    @property
    def reads_single(self) -> bool:
        """Whether the model reads responses one by one; else it only compares pairs."""
        return "single" in self._writers

    @property
    def reads_pairs(self) -> bool:
        """Whether the model shows both responses of a pair in one context."""
        return "pair" in self._writers

    def __repr__(self) -> str:
        return f"RewardModel({self.manifest.name!r}, {' and '.join(self._writers)}, {self.backend.name})"

    @overload
    def compare(self, prompt: PromptLike, a: str, b: str, *, domain: str | None = None) -> Verdict: ...

    @overload
    def compare(self, prompt: Any, a: Any = None, b: Any = None, *, domain: Any = None) -> Results[Verdict]: ...

    def compare(self, prompt: Any, a: Any = None, b: Any = None, *, domain: Any = None) -> Verdict | Results[Verdict]:
        """Which of two responses to a prompt is better; swapping A and B gives exactly 1 - p.

        prompt: a string, or a conversation as a list of messages ({"role", "content"}); or a list of prompts; or a
            table (data frame, Arrow table, ...) whose rows hold the responses too. See `infer/inputs.py`.
        a, b: a string each, or lists. Lists and tables give `Results`, a list of verdicts in their order.
        domain: `chat`, `safety` or `reasoning` where known; it picks the instruction and the temperature. A list has
            one for each row, and so may a table in its column `domain`.

        Raises:
            UserError: a prompt is empty, lists differ in length, or a row of a table cannot be read.
        """
        asked = read("pair", prompt, {"a": a, "b": b}, domain)
        verdicts = self.compare_many([(turns, a, b) for turns, (a, b) in asked.rows], domains=asked.domains)
        return verdicts[0] if asked.one else Results(verdicts)

    @overload
    def score(self, prompt: PromptLike, response: str, *, domain: str | None = None) -> Reward: ...

    @overload
    def score(self, prompt: Any, response: Any = None, *, domain: Any = None) -> Results[Reward]: ...

    def score(self, prompt: Any, response: Any = None, *, domain: Any = None) -> Reward | Results[Reward]:
        """How good one response is, or each of a list or a table; arguments as of `compare`.

        Raises:
            UserError: the model only compares pairs, or as `compare`.
        """
        asked = read("single", prompt, {"response": response}, domain)
        rewards = self.score_many([(turns, text) for turns, (text,) in asked.rows], domains=asked.domains)
        return rewards[0] if asked.one else Results(rewards)

    def rank(
        self,
        prompt: Any,
        candidates: Any = None,
        *,
        domain: Any = None,
        full: bool = False,
        protocol: Protocol | None = None,
        progress: Progress | None = None,
    ) -> Results[Any]:
        """Candidates from best to worst; equal scores keep their order. Arguments as of `compare`.

        The score is the reward where the model reads responses alone. A model that only compares holds a
        tournament, and the score is the log-odds that its comparisons fit best; such scores compare within one
        ranking alone. See `Tournament` for the rule and the number of comparisons.

        candidates: a list of strings, which gives a list of `Ranked`; or a list of such lists, which gives a list of
            rankings in their order, as a table does.
        full: a tournament compares every pair, however many there are.
        protocol: `single` or `pair` to choose where the model can do both. progress: called with the number of
            candidates done since the last call.
        """
        asked = read("candidates", prompt, {"candidates": candidates}, domain)
        if (protocol or ("single" if self.reads_single else "pair")) == "single":
            found = self._by_reward(asked, progress)
        else:
            found = hold(asked, partial(self.compare_many, protocol="pair"), full=full, progress=progress)
        rankings = [
            Results(
                Ranked(place + 1, i, texts[i], scores[i], cuts[i])
                for place, i in enumerate(sorted(range(len(texts)), key=lambda i: -scores[i]))
            )
            for (_, texts), (scores, cuts) in zip(asked.rows, found, strict=True)
        ]
        return rankings[0] if asked.one else Results(rankings)

    async def acompare(self, *args: Any, **more: Any) -> Any:
        """`compare` in a thread, so that the event loop goes on."""
        return await asyncio.to_thread(self.compare, *args, **more)

    async def ascore(self, *args: Any, **more: Any) -> Any:
        """`score` in a thread, so that the event loop goes on."""
        return await asyncio.to_thread(self.score, *args, **more)

    async def arank(self, *args: Any, **more: Any) -> Any:
        """`rank` in a thread, so that the event loop goes on."""
        return await asyncio.to_thread(self.rank, *args, **more)

    def compare_many(
        self,
        pairs: Sequence[tuple[Prompt, str, str]],
        *,
        domains: Sequence[str | None] | None = None,
        protocol: Protocol | None = None,
        progress: Progress | None = None,
    ) -> list[Verdict]:
        """A verdict for each (prompt, a, b).

        protocol: `pair` shows both responses in one context, `single` each alone; by default `pair`
            if the model can. progress: called with the number of pairs done since the last call.

        Raises:
            UserError: the model has no such template, or a prompt is empty.
        """
        kind = protocol or ("pair" if self.reads_pairs else "single")
        named = domains or [None] * len(pairs)
        questions = []
        for (prompt, a, b), domain in zip(pairs, named, strict=True):
            if kind == "pair":
                questions += [Question(prompt, (a, b), domain), Question(prompt, (b, a), domain)]
            else:
                questions += [Question(prompt, (a,), domain), Question(prompt, (b,), domain)]
        clozes, odds = self.log_odds(kind, questions, rescaled(progress, 1, 2))
        calibration = self._calibration(kind)
        verdicts = []
        for i, domain in zip(range(0, len(clozes), 2), named, strict=True):
            first, second = clozes[i], clozes[i + 1]
            if kind == "pair":
                shown = (float(odds[i]), -float(odds[i + 1]))
                logit = (shown[0] + shown[1]) / 2
                cut = {name: max(first.cut.get(name, 0), second.cut.get(other, 0)) for name, other in _SWAPPED.items()}
            else:
                logit = float(odds[i]) - float(odds[i + 1])
                shown = (logit, logit)
                cut = {
                    "prompt": max(first.cut.get("prompt", 0), second.cut.get("prompt", 0)),
                    "a": first.cut.get("response", 0),
                    "b": second.cut.get("response", 0),
                }
            temperature = calibration.temperature_of(domain)
            p, p_first, p_second = (sigmoid(x / temperature) for x in (logit, *shown))
            verdicts.append(Verdict(p, logit, p_first, p_second, {name: n for name, n in cut.items() if n}))
        return verdicts

    def score_many(
        self,
        responses: Sequence[tuple[Prompt, str]],
        *,
        domains: Sequence[str | None] | None = None,
        progress: Progress | None = None,
    ) -> list[Reward]:
        """A reward for each (prompt, response).

        Raises:
            UserError: the model only compares pairs, or a prompt is empty.
        """
        named = domains or [None] * len(responses)
        questions = [Question(prompt, (text,), domain) for (prompt, text), domain in zip(responses, named, strict=True)]
        clozes, odds = self.log_odds("single", questions, progress)
        calibration = self._calibration("single")
        return [
            Reward(float(x), sigmoid((float(x) - calibration.offset) / calibration.temperature_of(domain)), cloze.cut)
            for cloze, x, domain in zip(clozes, odds, named, strict=True)
        ]

    def log_odds(
        self, kind: str, questions: Sequence[Question], progress: Progress | None = None
    ) -> tuple[list[Cloze], np.ndarray]:
        """The clozes of questions, and logit(word 0) - logit(word 1) [n] at each one's slot, in float64.

        Raises:
            UserError: the model has no template of this kind, or a prompt is empty.
        """
        if kind not in self._writers:
            able = "only compares pairs" if kind == "single" else "only reads responses one by one"
            raise UserError(f"{self.manifest.name} {able}: it has no {kind!r} template")
        for question in questions:
            if not any(turn.content.strip() for turn in question.prompt):
                raise UserError("the prompt is empty: there is nothing to judge a response by")
            if not all(isinstance(response, str) for response in question.responses):
                raise TypeError("a response is a string")
        clozes = self._writers[kind].write(questions)
        if not clozes:
            return clozes, np.zeros(0)
        with self._counting:
            self.tokens += sum(len(cloze.ids) for cloze in clozes)
        words = answer(self.backend, clozes, progress)[:, self.manifest.columns(kind)].astype(np.float64)
        return clozes, words[:, 0] - words[:, 1]

    def _calibration(self, kind: str) -> Calibration:
        return self.manifest.calibration.get(kind, Calibration())

    def _by_reward(self, asked: Asked, progress: Progress | None) -> list[Scored]:
        rewards = iter(
            self.score_many(
                [(prompt, text) for prompt, texts in asked.rows for text in texts],
                domains=[name for name, (_, texts) in zip(asked.domains, asked.rows, strict=True) for _ in texts],
                progress=progress,
            )
        )
        groups = [list(islice(rewards, len(texts))) for _, texts in asked.rows]
        return [([reward.logit for reward in group], [reward.cut for reward in group]) for group in groups]


_SWAPPED = {"prompt": "prompt", "a": "b", "b": "a"}
"""Fields of the second order of a pair under their names in the first."""
