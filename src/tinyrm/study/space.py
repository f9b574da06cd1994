"""The space of a sweep: keys of the recipe, and the values that each may take."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, fields, is_dataclass
from typing import Any

from optuna.distributions import BaseDistribution, CategoricalDistribution, FloatDistribution, IntDistribution
from optuna.trial import BaseTrial

from ..config import Recipe
from ..errors import UserError, nearest
from ..model.base import layers_of
from ..prompt import builtin
from ..prompt.template import INSTRUCTIONS
from .ingredients import value_of, with_values

UNSET = "unset"
"""A choice that leaves its key out of the recipe: an instruction left to the template, alpha left to the rank."""
TIMES = re.compile(r"(\d+(?:\.\d+)?)x")
"""A choice of alpha as a multiple of the rank, such as `2x`: what scales the update is alpha / rank."""
SEARCHABLE = ("prompt", "model", "warmup", "train")
FROZEN, ADAPTER = "model.frozen", "model.adapter."
KIND, RANK, ALPHA = "model.adapter.kind", "model.adapter.rank", "model.adapter.alpha"
RANGE = ("low", "high", "log", "step")
MOST_DEPTHS = 10


@dataclass(frozen=True)
class Axis:
    """One key of the space, with its `choices` as the recipe writes them; a range if it has none."""

    key: str
    distribution: BaseDistribution
    choices: tuple[Any, ...] = ()

    @property
    def plain(self) -> Any:
        """What a recipe would say of this axis."""
        found = self.distribution
        return list(self.choices) or {name: getattr(found, name) for name in RANGE}

    def suggest(self, trial: BaseTrial) -> Any:
        """A value of the trial's, as the recipe would write it."""
        match self.distribution:
            case CategoricalDistribution(choices=labels):
                return self.choices[labels.index(trial.suggest_categorical(self.key, labels))]
            case IntDistribution(low=low, high=high, log=log, step=step):
                return trial.suggest_int(self.key, low, high, log=log, step=step)
            case FloatDistribution(low=low, high=high, log=log, step=step):
                return trial.suggest_float(self.key, low, high, log=log, step=step)
        raise TypeError(f"no axis is of the kind {self.distribution!r}")


def space_of(recipe: Recipe) -> tuple[Axis, ...]:
    """What `[sweep.space]` of a recipe says, or the paper's six keys; those that need an adapter come last.

    Raises:
        UserError: a key is unknown or cannot be searched, or a value does not fit its key.
    """
    written = dict(_by_key(recipe.sweep.space)) or default_space(recipe)
    axes = [_axis(recipe, key, value) for key, value in written.items()]
    pointless = [key for key in written if key.startswith(ADAPTER) and key != KIND]
    if pointless and KIND not in written and recipe.model.adapter.kind == "none":
        raise UserError(f"sweep.space searches {pointless[0]}, but {KIND} is 'none': set it, or search it too")
    return tuple(sorted(axes, key=lambda axis: axis.key.startswith(ADAPTER) and axis.key != KIND))


def suggest(trial: BaseTrial, space: Iterable[Axis], recipe: Recipe) -> Recipe:
    """The recipe of a trial. Rank, alpha and their like are asked for only where there is an adapter.

    Raises:
        UserError: the values do not go together.
    """
    values: dict[str, Any] = {}
    for axis in space:
        adapter = values.get(KIND, recipe.model.adapter.kind)
        if adapter != "none" or axis.key == KIND or not axis.key.startswith(ADAPTER):
            values[axis.key] = axis.suggest(trial)
    return recipe_with(recipe, values)


def recipe_with(recipe: Recipe, values: Mapping[str, Any]) -> Recipe:
    """The recipe with values of a space at dotted keys."""
    plain = {key: float(value) if isinstance(value, float) else value for key, value in values.items()}  # numpy's too
    values = {key: None if value == UNSET else value for key, value in plain.items()}
    alpha = values.get(ALPHA)
    if isinstance(alpha, str) and (times := TIMES.fullmatch(alpha)):
        values[ALPHA] = float(times[1]) * values.get(RANK, recipe.model.adapter.rank)
    return with_values(recipe, values)


def short_names(keys: Iterable[str]) -> dict[str, str]:
    """The last word of each key, with as many before it as tell it from the others."""
    keys = list(keys)

    def shortest(key: str) -> str:
        words = key.split(".")
        tails = (".".join(words[-count:]) for count in range(1, len(words) + 1))
        return next((tail for tail in tails if sum(f".{other}".endswith(f".{tail}") for other in keys) == 1), key)

    return {key: shortest(key) for key in keys}


def shortened(value: Any, most: int = 24) -> str:
    """A value of the space for people, in so many characters at most."""
    if isinstance(value, float):
        return f"{value:.3g}"
    text = str(value)
    return text if len(text) <= most else f"{text[: most - 1].rstrip()}…"


def default_space(recipe: Recipe) -> dict[str, Any]:
    """The paper's six: learning rate, frozen depth, instruction, adapter, rank and alpha.

    Alpha is the rank itself (LoRA's authors and PEFT) or twice it (DoRA's authors).
    """
    top = layers_of(recipe.model.base) - 1
    # Depths spread evenly from none to all but one: the fewer there are, the more trials share a cached prefix.
    step = next((step for step in (1, 2, 3) if top % step == 0 and top // step < MOST_DEPTHS), 1)
    return {
        "train.lr": {"low": 1e-5, "high": 1e-3, "log": True},
        FROZEN: {"low": 0, "high": top, "step": step},
        "prompt.instruction": _instructions(recipe),
        KIND: ["none", "lora", "dora"],
        RANK: [8, 16, 32, 64, 128],
        ALPHA: ["1x", "2x"],
    }


def _instructions(recipe: Recipe) -> list[str]:
    """Instructions of the domain that the recipe keeps to, and the general one; of chat's if it keeps to none."""
    kind, domain = recipe.prompt.template, recipe.data.only or "chat"
    template = builtin(kind)
    further = INSTRUCTIONS.get(domain, ()) if kind == "pair" else ()
    return [UNSET, *dict.fromkeys((template.instruction(None), template.instruction(domain), *further))]


def _by_key(table: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    """Dotted keys and what is written of them: a table of plain values is a range, any other is one of the recipe's."""
    for name, value in table.items():
        if isinstance(value, Mapping) and any(isinstance(inner, (Mapping, list)) for inner in value.values()):
            yield from _by_key(value, f"{prefix}{name}.")
        else:
            yield prefix + name, value


def _axis(recipe: Recipe, key: str, written: Any) -> Axis:
    _check_key(recipe, key)
    if isinstance(written, list) and written:
        choices = tuple(choice for place, choice in enumerate(written) if choice not in written[:place])
        for choice in choices:
            _fits(recipe, key, choice)
        return Axis(key, CategoricalDistribution([_label(choice) for choice in choices]), choices)
    if not isinstance(written, Mapping) or not {"low", "high"} <= set(written):
        raise UserError(f"sweep.space: `{key}` is a list of choices or a range {{ low = ..., high = ... }}")
    for name in written:
        if name not in RANGE:
            raise UserError(f"sweep.space: a range has no `{name}` ({key}){nearest(name, RANGE)}")
    low, high = (_fits(recipe, key, written[bound]) for bound in ("low", "high"))
    log, step, number = written.get("log", False), written.get("step"), type(low)
    if number not in (int, float) or type(high) is not number or not math.isfinite(high - low):
        raise UserError(f"sweep.space: `{key}` is not a number, or has no end: list its choices")
    if not isinstance(log, bool) or (step is not None and type(step) not in (int, number)):
        raise UserError(f"sweep.space: in the range of `{key}`, log is true or false and step is a number like low")
    try:
        if number is int:
            return Axis(key, IntDistribution(low, high, log=log, step=1 if step is None else step))
        return Axis(key, FloatDistribution(low, high, log=log, step=step))
    except ValueError as problem:
        raise UserError(f"sweep.space: the range of `{key}` cannot be: {problem}") from None


def _label(choice: Any) -> Any:
    """The choice as the study can store it."""
    return choice if isinstance(choice, (str, int, float)) else json.dumps(choice)


def _check_key(recipe: Recipe, key: str) -> None:
    found: Any = recipe
    for name in key.split("."):
        known = [field.name for field in fields(found)] if is_dataclass(found) else []
        if name not in known:
            raise UserError(f"sweep.space: unknown key `{key}`{nearest(name, known) if known else ''}")
        found = getattr(found, name)
    if key.split(".")[0] not in SEARCHABLE or is_dataclass(found):
        raise UserError(
            f"sweep.space: `{key}` cannot be searched: only keys within {', '.join(SEARCHABLE)} can, "
            "so that all trials are judged on the same held-out pairs"
        )


def _fits(recipe: Recipe, key: str, value: Any) -> Any:
    """The value as the recipe holds it; refused if the recipe would not take it."""
    try:
        return value_of(recipe_with(recipe, {key: value}), key)
    except UserError as problem:
        raise UserError(f"sweep.space: {problem}") from None
