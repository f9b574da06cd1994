"""A reward function for trainers that learn from rewards: TRL's GRPOTrainer and RLOOTrainer."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from ..errors import UserError
from ..types import Prompt, to_prompt
from .loading import BackendName, load
from .reward_model import RewardModel


class RewardFunction:
    """Rewards completions; see `reward_function`, which makes one."""

    def __init__(
        self,
        model: RewardModel | str | Path | None,
        *,
        relative: bool,
        domain: str | None,
        domain_column: str,
        prompt_column: str | None,
        backend: BackendName,
        name: str | None,
    ) -> None:
        self._source = None if isinstance(model, RewardModel) else (model, backend)
        self._model = model if isinstance(model, RewardModel) else load(model, backend=backend)
        self.relative, self.domain = relative, domain
        self.domain_column, self.prompt_column = domain_column, prompt_column
        self.__name__ = name or self._model.manifest.name + ("-relative" if relative else "")
        if not relative and not self._model.reads_single:
            raise UserError(f"{self._model.manifest.name} only compares pairs: use reward_function(relative=True)")

    def __repr__(self) -> str:
        return f"RewardFunction({self.__name__!r})"

    def __getstate__(self) -> dict[str, Any]:
        if self._source is None:
            raise TypeError(
                "a reward function of a loaded model cannot be pickled: give reward_function its name or path"
            )
        return {name: value for name, value in self.__dict__.items() if name != "_model"}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)
        model, backend = state["_source"]
        self._model = load(model, backend=backend)

    def __call__(self, prompts: Sequence[Any], completions: Sequence[Any], **columns: Any) -> list[float]:
        """A reward for each completion.

        prompts, completions: strings, or lists of messages. columns: those of the data set, and what else the trainer
            gives; only `domain_column` and `prompt_column` are read.
        """
        if self.prompt_column is not None:
            if self.prompt_column not in columns:
                raise UserError(f"the data set has no column {self.prompt_column!r}; it has {', '.join(columns)}")
            prompts = columns[self.prompt_column]
        turns = [to_prompt(prompt) for prompt in prompts]
        texts = [_text(completion) for completion in completions]
        domains: list[str | None] = [self.domain] * len(texts)
        if self.domain is None and columns.get(self.domain_column) is not None:
            domains = [name if isinstance(name, str) else None for name in columns[self.domain_column]]
        if not self.relative:
            found = self._model.score_many(list(zip(turns, texts, strict=True)), domains=domains)
            return [reward.logit for reward in found]
        return self._relative(turns, texts, domains)

    def _relative(self, prompts: list[Prompt], texts: list[str], domains: list[str | None]) -> list[float]:
        groups: dict[tuple[Prompt, str | None], list[int]] = {}
        for place, key in enumerate(zip(prompts, domains, strict=True)):
            groups.setdefault(key, []).append(place)
        rankings = self._model.rank(
            [prompt for prompt, _ in groups],
            [[texts[place] for place in places] for places in groups.values()],
            domain=[domain for _, domain in groups],
            protocol="pair" if self._model.reads_pairs else "single",
        )
        rewards = [0.0] * len(texts)
        for places, ranking in zip(groups.values(), rankings, strict=True):
            mean = sum(one.score for one in ranking) / len(ranking)
            for one in ranking:
                rewards[places[one.index]] = one.score - mean
        return rewards


def reward_function(
    model: RewardModel | str | Path | None = None,
    *,
    relative: bool = False,
    domain: str | None = None,
    domain_column: str = "domain",
    prompt_column: str | None = None,
    backend: BackendName = "auto",
    name: str | None = None,
) -> RewardFunction:
    """A function for `reward_funcs` of TRL's GRPOTrainer and RLOOTrainer.

    model: as of `tinyrm.load`, or a loaded model; with a name or path the function can be pickled.
    relative: False gives the reward of each completion, read alone. True gives the mean log-odds that it beats the
        others of its prompt in the batch, of mean 0 in each group: by comparing pairs where the model can (see
        `Tournament`), else by the differences of rewards. A trainer on several processes may split a group; each part
        is then compared within itself.
    domain: of all prompts; if None, the column `domain_column` of the data set says it where there is one.
    prompt_column: a column with the prompts as a judge should read them, where the trainer's own hold a chat template.
    name: under which the trainer logs the rewards; the model's if None.

    Raises:
        UserError: the model cannot be loaded, or only compares pairs and `relative` is False.
    """
    return RewardFunction(
        model,
        relative=relative,
        domain=domain,
        domain_column=domain_column,
        prompt_column=prompt_column,
        backend=backend,
        name=name,
    )


def _text(completion: Any) -> str:
    """What the assistant said: a text, or that of its messages, without calls of tools and their answers."""
    if isinstance(completion, str):
        return completion
    if not all(isinstance(turn, Mapping) for turn in completion):
        raise TypeError("a completion is a string or a list of messages")
    said = to_prompt([{"content": None, **turn} for turn in completion])
    return "\n\n".join(turn.content for turn in said if turn.role == "assistant" and turn.content)
