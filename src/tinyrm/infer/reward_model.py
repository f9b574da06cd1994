"""The model as its user sees it: compare, score, rank."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Literal

import numpy as np

from ..errors import UserError
from ..model.calibration import Calibration, sigmoid
from ..model.checkpoint import Manifest
from ..prompt import Cloze, ClozeWriter, Question
from ..types import Prompt, PromptLike, Ranked, Reward, Verdict, to_prompt
from .engine import Backend, answer

REFERENCES = 16
"""Candidates that everyone is compared with when a model that only compares pairs ranks a long list."""

Progress = Callable[[int], None]


class RewardModel:
    """Judges responses. Get one from `tinyrm.load()`."""

    def __init__(self, manifest: Manifest, writers: Mapping[str, ClozeWriter], backend: Backend) -> None:
        self.manifest = manifest
        self.backend = backend
        self._writers = writers
        self.tokens = 0
        """Tokens read so far, padding not counted."""

    @property
    def reads_single(self) -> bool:
        """Whether the model reads responses one by one; else it only compares pairs."""
        return "single" in self._writers

    def __repr__(self) -> str:
        return f"RewardModel({self.manifest.name!r}, {' and '.join(self._writers)}, {self.backend.name})"

    def compare(self, prompt: PromptLike, a: str, b: str, *, domain: str | None = None) -> Verdict:
        """Which of two responses to a prompt is better; swapping A and B gives exactly 1 - p.

        prompt: a string, or a conversation as a list of messages ({"role", "content"}).
        domain: `chat`, `safety` or `reasoning` where known; it picks the instruction and the temperature.
        """
        return self.compare_many([(to_prompt(prompt), a, b)], domains=[domain])[0]

    def score(self, prompt: PromptLike, response: str, *, domain: str | None = None) -> Reward:
        """How good one response is.

        Raises:
            UserError: the model only compares pairs.
        """
        return self.score_many([(to_prompt(prompt), response)], domains=[domain])[0]

    def rank(
        self,
        prompt: PromptLike,
        candidates: Sequence[str],
        *,
        domain: str | None = None,
        progress: Progress | None = None,
    ) -> list[Ranked]:
        """Candidates from best to worst; equal scores keep their order.

        The score is the reward where the model reads responses alone. A model that only compares
        gives the mean log-odds against all candidates (0 against itself); against the same 16 of
        them, evenly spaced, where there are more than 16: such scores compare within one ranking alone.
        """
        if isinstance(candidates, str):
            raise TypeError("candidates are a list of strings, not one string")
        turns = to_prompt(prompt)
        if self.reads_single:
            rewards = self.score_many(
                [(turns, text) for text in candidates], domains=[domain] * len(candidates), progress=progress
            )
            scores, cuts = [reward.logit for reward in rewards], [reward.cut for reward in rewards]
        else:
            scores, cuts = self._tournament(turns, candidates, domain, progress)
        order = sorted(range(len(candidates)), key=lambda i: -scores[i])
        return [Ranked(place + 1, i, candidates[i], scores[i], cuts[i]) for place, i in enumerate(order)]

    def compare_many(
        self,
        pairs: Sequence[tuple[Prompt, str, str]],
        *,
        domains: Sequence[str | None] | None = None,
        protocol: Literal["single", "pair"] | None = None,
        progress: Progress | None = None,
    ) -> list[Verdict]:
        """A verdict for each (prompt, a, b).

        protocol: `pair` shows both responses in one context, `single` each alone; by default `pair`
            if the model can. progress: called with the number of pairs done since the last call.

        Raises:
            UserError: the model has no such template, or a prompt is empty.
        """
        kind = protocol or ("pair" if "pair" in self._writers else "single")
        named = domains or [None] * len(pairs)
        questions = []
        for (prompt, a, b), domain in zip(pairs, named, strict=True):
            if kind == "pair":
                questions += [Question(prompt, (a, b), domain), Question(prompt, (b, a), domain)]
            else:
                questions += [Question(prompt, (a,), domain), Question(prompt, (b,), domain)]
        clozes, odds = self._odds(kind, questions, _per(2, progress))
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
        clozes, odds = self._odds("single", questions, progress)
        calibration = self._calibration("single")
        return [
            Reward(float(x), sigmoid((float(x) - calibration.offset) / calibration.temperature_of(domain)), cloze.cut)
            for cloze, x, domain in zip(clozes, odds, named, strict=True)
        ]

    def _odds(
        self, kind: str, questions: Sequence[Question], progress: Progress | None
    ) -> tuple[list[Cloze], np.ndarray]:
        """logit(word 0) - logit(word 1) [n] at each question's slot, in float64."""
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
        self.tokens += sum(len(cloze.ids) for cloze in clozes)
        words = answer(self.backend, clozes, progress)[:, self.manifest.columns(kind)].astype(np.float64)
        return clozes, words[:, 0] - words[:, 1]

    def _calibration(self, kind: str) -> Calibration:
        return self.manifest.calibration.get(kind, Calibration())

    def _tournament(
        self, prompt: Prompt, candidates: Sequence[str], domain: str | None, progress: Progress | None
    ) -> tuple[list[float], list[Mapping[str, int]]]:
        count = len(candidates)
        spaced = np.linspace(0, count - 1, min(REFERENCES, count)).round().astype(int)
        references = list(dict.fromkeys(int(i) for i in spaced))
        meetings = [(i, j) for i in range(count) for j in references if i != j]
        verdicts = self.compare_many(
            [(prompt, candidates[i], candidates[j]) for i, j in meetings],
            domains=[domain] * len(meetings),
            protocol="pair",
            progress=_per(max(1, len(references)), progress),
        )
        if progress is not None and count:
            progress(1)  # what the references save by not meeting themselves
        logits: list[list[float]] = [[] for _ in range(count)]
        cuts: list[dict[str, int]] = [{} for _ in range(count)]
        for (i, _), verdict in zip(meetings, verdicts, strict=True):
            logits[i].append(verdict.logit)
            cut = {"prompt": verdict.cut.get("prompt", 0), "response": verdict.cut.get("a", 0)}
            cuts[i] |= {name: max(n, cuts[i].get(name, 0)) for name, n in cut.items() if n}
        # A reference ties with itself, so that equal texts get equal scores, references or not.
        return [math.fsum(met) / len(references) for met in logits], list(cuts)


_SWAPPED = {"prompt": "prompt", "a": "b", "b": "a"}
"""Fields of the second order of a pair under their names in the first."""


def _per(clozes: int, progress: Progress | None) -> Progress | None:
    """Turns counts of clozes into counts of questions of several clozes each."""
    if progress is None:
        return None
    done = 0

    def advance(count: int) -> None:
        nonlocal done
        before, done = done // clozes, done + count
        progress(done // clozes - before)

    return advance
