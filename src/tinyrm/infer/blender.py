"""`tinyrm.Blender` in place of `llm_blender.Blender`: what PairRM's users call, with the same names and shapes.

After llm_blender/blender/blender.py of github.com/yuchenlin/LLM-Blender. Where its code and its documentation part,
the code is followed, and it is said here.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, TypeAlias

import numpy as np

from ..data.turns import BadRow, divide, to_turns
from ..errors import UserError
from ..prompt import Question
from ..types import to_prompt
from .loading import load
from .reward_model import RewardModel

BOTH = "[A,B]+[B,A]"
REFERENCES = {
    "longest": lambda texts: max(texts, key=len),
    "shortest": lambda texts: min(texts, key=len),
    "median_length": lambda texts: sorted(texts, key=len)[len(texts) // 2],
    "first": lambda texts: texts[0],
    "last": lambda texts: texts[-1],
}
"""What `ref_mode` picks of the candidates."""
GENERATION = ("loadfuser", "fuse", "rank_and_fuse", "n_generate", "best_of_n_generate")
Texts: TypeAlias = Sequence[str]


class Blender:
    """Ranks and compares as LLM-Blender does, with a reward model of TinyRM.

    Arguments that have no meaning here are taken and not used: `batch_size` (batches are formed by length),
    `device`, `source_max_length`, `candidate_max_length` (what is too long loses its middle), `disable_tqdm`, and the
    three configurations of `Blender(...)`. `instructions` are put before the inputs as they stand, without a blank.

    Numbers are log-odds of both orders' mean (LLM-Blender: their sum), or rewards where the model reads responses
    alone. They are not PairRM's: thresholds have to be chosen anew.
    """

    def __init__(self, blender_config: Any = None, ranker_config: Any = None, fuser_config: Any = None) -> None:
        self.blender_config = blender_config
        self.ranker: RewardModel | None = None
        if isinstance(path := getattr(ranker_config, "load_checkpoint", None), str):
            self.loadranker(path)

    def loadranker(self, ranker_path: Any = None, device: str | None = None, **kwargs: Any) -> None:
        """Loads a model as `tinyrm.load`: the shipped one if no path is given; `backend` and `threads` are heeded.

        Raises:
            UserError: there is no such model, or it is one of LLM-Blender's.
        """
        if str(ranker_path).startswith("llm-blender/"):
            raise UserError(
                f"{ranker_path} is not a model of TinyRM: leave the path out for the one that ships with it"
            )
        self.ranker = load(ranker_path, **{name: kwargs[name] for name in ("backend", "threads") if name in kwargs})

    def rank(
        self,
        inputs: Texts,
        candidates: Sequence[Texts],
        instructions: Texts | None = None,
        return_scores: bool = False,
        batch_size: int = 8,
        disable_tqdm: bool = False,
        **rank_kwargs: Any,
    ) -> np.ndarray:
        """Ranks [inputs, candidates] int32, 1 the best and equal ones sharing the better place; or scores float32.

        Raises:
            UserError: an input has no candidate, or another number of them than the first.
        """
        scores = self._scores(inputs, candidates, instructions, full=False)
        return scores if return_scores else _ranks(scores)

    def rank_with_ref(
        self,
        inputs: Texts,
        candidates: Sequence[Texts],
        instructions: Texts | None = None,
        return_scores: bool = False,
        batch_size: int = 8,
        ref_mode: str = "longest",
        ref_candidates: Texts | None = None,
        **rank_kwargs: Any,
    ) -> np.ndarray:
        """Each candidate against one reference: ranks [inputs, candidates] int32, or scores float64, the reference's 0.

        ref_mode: `longest`, `shortest`, `median_length`, `first` or `last` of the candidates. LLM-Blender's README
            calls it `mode`, which is heeded too. ref_candidates: references of your own, one for each input.

        Raises:
            UserError: as `rank`, or there is no such mode.
        """
        _check(inputs, candidates)
        mode = rank_kwargs.get("mode", ref_mode)
        if ref_candidates is None:
            if mode not in REFERENCES:
                raise UserError(f"unknown ref_mode {mode!r}: {', '.join(REFERENCES)}")
            ref_candidates = [REFERENCES[mode](texts) for texts in candidates]
        elif len(ref_candidates) != len(inputs):
            raise UserError(f"{len(ref_candidates)} references for {len(inputs)} inputs")
        prompts = _prompts(inputs, instructions)
        rows = [
            (prompt, text, reference)
            for prompt, texts, reference in zip(prompts, candidates, ref_candidates, strict=True)
            for text in texts
        ]
        verdicts = self._loaded().compare([p for p, _, _ in rows], [a for _, a, _ in rows], [b for _, _, b in rows])
        scores = np.asarray([verdict.logit for verdict in verdicts]).reshape(len(inputs), -1)
        return scores if return_scores else _ranks(scores)

    def compare(
        self,
        inputs: Texts,
        candidates_A: Texts,
        candidates_B: Texts,
        instructions: Texts | None = None,
        batch_size: int = 4,
        return_logits: bool = False,
        mode: str = BOTH,
        disable_tqdm: bool = False,
    ) -> np.ndarray:
        """Whether A is better [inputs], bool; or the log-odds that it is.

        mode: `[A,B]` shows A first, and costs half as much; `[B,A]` shows B first, and as in LLM-Blender's code
            (not as in its documentation) says then whether *B* is better; anything else means both, averaged.
            A model that reads responses alone knows no order and always tells whether A is better.
        """
        if not len(inputs) == len(candidates_A) == len(candidates_B):
            raise UserError(f"{len(inputs)} inputs, {len(candidates_A)} candidates A, {len(candidates_B)} candidates B")
        model, prompts = self._loaded(), _prompts(inputs, instructions)
        if mode in ("[A,B]", "[B,A]") and model.reads_pairs:
            first, second = (candidates_A, candidates_B)[:: 1 if mode == "[A,B]" else -1]
            pairs = zip(prompts, first, second, strict=True)
            _, logits = model.log_odds("pair", [Question(to_prompt(p), (a, b)) for p, a, b in pairs])
        else:
            verdicts = model.compare(prompts, list(candidates_A), list(candidates_B))
            logits = np.asarray([verdict.logit for verdict in verdicts], dtype=np.float64)
        return logits if return_logits else logits > 0

    def compare_conversations(
        self,
        conversations_a: Sequence[list[dict[str, Any]]],
        conversations_b: Sequence[list[dict[str, Any]]],
        batch_size: int = 4,
        return_logits: bool = False,
        mode: str = BOTH,
    ) -> np.ndarray:
        """Whether conversation A is better [conversations], bool; or the log-odds that it is.

        Both have the same turns of `USER`; what they share up to the first other answer is the prompt.

        Raises:
            UserError: two conversations do not belong together.
        """
        if len(conversations_a) != len(conversations_b):
            raise UserError(f"{len(conversations_a)} conversations A, but {len(conversations_b)} conversations B")
        rows = []
        for place, pair in enumerate(zip(conversations_a, conversations_b, strict=True)):
            try:
                first, second = (to_turns([*turns], "a conversation") for turns in pair)
                roles = [["user", "assistant"][i % 2] for i in range(len(first))]
                if not roles or len(roles) % 2 or any([turn.role for turn in one] != roles for one in (first, second)):
                    raise BadRow("turns must be of USER and ASSISTANT by turns, and as many in both")
                if first[::2] != second[::2]:
                    raise BadRow("the turns of USER differ")
                rows.append(divide(None, first, second))
            except BadRow as bad:
                raise UserError(f"conversation {place}: {bad}") from None
        prompts, a, b = ([row[i] for row in rows] for i in range(3))
        return self.compare(prompts, a, b, return_logits=return_logits, mode=mode)  # type: ignore[arg-type]

    def get_best_of_n(
        self,
        inputs: Texts,
        candidates: Sequence[Texts],
        instructions: Texts | None = None,
        pairrm_cmp_type: str = "bubble",
        return_all: bool = False,
        batch_size: int = 8,
    ) -> list[Any]:
        """The best candidate of each input; with `return_all` all of them, the best first.

        pairrm_cmp_type: `full` compares every pair, however many there are. `bubble` leaves the number to
            `RewardModel.rank`, and orders all, where LLM-Blender finds the best one alone.
        """
        return self._chosen(inputs, candidates, instructions, pairrm_cmp_type, return_all, sign=-1)

    def get_worst_of_n(
        self,
        inputs: Texts,
        candidates: Sequence[Texts],
        instructions: Texts | None = None,
        pairrm_cmp_type: str = "bubble",
        return_all: bool = False,
        batch_size: int = 8,
    ) -> list[Any]:
        """The worst candidate of each input; with `return_all` all of them, the worst first. See `get_best_of_n`."""
        return self._chosen(inputs, candidates, instructions, pairrm_cmp_type, return_all, sign=1)

    def __getattr__(self, name: str) -> Any:
        if name in GENERATION:
            raise UserError(f"Blender.{name}: TinyRM judges texts and makes none; give yours to get_best_of_n")
        raise AttributeError(f"Blender has no attribute {name!r}")

    def _chosen(
        self,
        inputs: Texts,
        candidates: Sequence[Texts],
        instructions: Texts | None,
        comparisons: str,
        return_all: bool,
        sign: int,
    ) -> list[Any]:
        scores = self._scores(inputs, candidates, instructions, full=comparisons == "full")
        order = np.argsort(sign * scores, axis=1, kind="stable").tolist()
        sorted_texts = [[texts[i] for i in places] for texts, places in zip(candidates, order, strict=True)]
        return sorted_texts if return_all else [texts[0] for texts in sorted_texts]

    def _scores(
        self, inputs: Texts, candidates: Sequence[Texts], instructions: Texts | None, *, full: bool
    ) -> np.ndarray:
        _check(inputs, candidates)
        rankings = self._loaded().rank(_prompts(inputs, instructions), [list(texts) for texts in candidates], full=full)
        scores = np.zeros((len(inputs), len(candidates[0]) if candidates else 0), dtype=np.float32)
        for row, ranking in zip(scores, rankings, strict=True):
            row[[place.index for place in ranking]] = [place.score for place in ranking]
        return scores

    def _loaded(self) -> RewardModel:
        if self.ranker is None:
            raise UserError("no ranker is loaded: call loadranker() first")
        return self.ranker


def _check(inputs: Texts, candidates: Sequence[Texts]) -> None:
    if len(inputs) != len(candidates):
        raise UserError(f"{len(inputs)} inputs, but candidates for {len(candidates)}")
    for place, texts in enumerate(candidates):
        if not len(texts) or len(texts) != len(candidates[0]):
            raise UserError(
                f"input {place} has {len(texts)} candidates, where all must have as many and one at least; "
                "RewardModel.rank takes lists of any length"
            )


def _prompts(inputs: Texts, instructions: Texts | None) -> list[str]:
    if instructions is None:
        return list(inputs)
    if len(instructions) != len(inputs):
        raise UserError(f"{len(instructions)} instructions for {len(inputs)} inputs")
    return [instruction + text for instruction, text in zip(instructions, inputs, strict=True)]


def _ranks(scores: np.ndarray) -> np.ndarray:
    """Ranks [rows, candidates] from 1; equal scores share the better one."""
    better = scores[:, None, :] > scores[:, :, None]
    return np.asarray(1 + better.sum(axis=2), dtype=np.int32)
