"""A Python function as a judge, named `module:function`."""

from __future__ import annotations

import hashlib
import importlib
import inspect
import math
import sys
import traceback
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from tinyrm.errors import UserError
from tinyrm.types import Prompt

from .base import BATCH, Pair, PairJudge, Progress, Scored, ScoringJudge
from .texts import as_messages


class FunctionJudge(ScoringJudge):
    """`(prompts, responses) -> rewards`: lists of one length, of message lists, strings and numbers."""

    def __init__(self, name: str) -> None:
        self._function = find_function(name)
        super().__init__({"name": name, "kind": "function", **_source(self._function)})

    def score_many(self, responses: Sequence[tuple[Prompt, str]], progress: Progress) -> list[Scored]:
        rewards: list[float] = []
        for start in range(0, len(responses), BATCH):
            batch = responses[start : start + BATCH]
            prompts = [as_messages(prompt) for prompt, _ in batch]
            rewards += _call(self.about["name"], self._function, len(batch), prompts, [text for _, text in batch])
            progress(len(batch))
        return [Scored(reward) for reward in rewards]


class PairFunctionJudge(PairJudge):
    """`(prompts, first, second) -> probabilities` that the first response is better; asked in both orders."""

    def __init__(self, name: str) -> None:
        self._function = find_function(name)
        super().__init__({"name": name, "kind": "pairwise function", **_source(self._function)})

    def first_wins(self, pairs: Sequence[Pair], progress: Progress) -> list[float]:
        odds: list[float] = []
        for start in range(0, len(pairs), BATCH):
            batch = pairs[start : start + BATCH]
            prompts = [as_messages(prompt) for prompt, _, _ in batch]
            shown = ([first for _, first, _ in batch], [second for _, _, second in batch])
            found = _call(self.about["name"], self._function, len(batch), prompts, *shown)
            if not all(0 <= p <= 1 for p in found):
                raise UserError(f"{self.about['name']} gave a probability that is not between 0 and 1")
            odds += [log_odds(p) for p in found]
            progress(len(batch))
        return odds


def log_odds(p: float) -> float:
    """log(p / (1 - p)), infinite for 0 and 1."""
    return -math.inf if p == 0 else math.inf if p == 1 else math.log(p) - math.log1p(-p)


def find_function(name: str) -> Callable[..., Any]:
    """The function of `module:function`; modules of the working directory are found too.

    Raises:
        UserError: there is no such module or function, or its import fails.
    """
    module_name, _, function_name = name.partition(":")
    if (here := str(Path.cwd())) not in sys.path:
        sys.path.insert(0, here)  # as `python -m` has it
    try:
        found: Any = importlib.import_module(module_name)
    except ModuleNotFoundError as missing:
        if missing.name is None or not f"{module_name}.".startswith(f"{missing.name}."):
            raise UserError(f"{module_name} cannot be imported: it needs {missing.name}, not installed") from None
        raise UserError(f"no module {module_name!r} is installed, or lies in {here}") from None
    except Exception as problem:
        raise UserError(f"{module_name} cannot be imported: {_where(problem)}") from None
    for part in function_name.split("."):
        if not hasattr(found, part):
            raise UserError(f"{module_name} has no {function_name!r}")
        found = getattr(found, part)
    if not callable(found) or inspect.iscoroutinefunction(found):
        raise UserError(f"{name} is no plain function")
    function: Callable[..., Any] = found
    return function


def _call(name: str, function: Callable[..., Any], expected: int, *arguments: Any) -> list[float]:
    try:
        found = function(*arguments)
    except Exception as problem:
        raise UserError(f"{name} failed: {_where(problem)}") from problem
    try:
        values = np.asarray(found.tolist() if hasattr(found, "tolist") else list(found), dtype=np.float64)
    except (TypeError, ValueError):
        raise UserError(f"{name} gave {type(found).__name__} where a list of {expected} numbers was expected") from None
    if values.shape != (expected,):
        raise UserError(f"{name} gave numbers of shape {values.shape} for {expected} rows")
    if np.isnan(values).any():
        raise UserError(f"{name} gave NaN or None for a row")
    return [float(value) for value in values]


def _where(problem: Exception) -> str:
    """What went wrong and in which line, on one line."""
    frames = traceback.extract_tb(problem.__traceback__)
    place = f" ({Path(frames[-1].filename).name}, line {frames[-1].lineno})" if frames else ""
    reason = (str(problem).splitlines() or [""])[0]
    return f"{type(problem).__name__}: {reason}{place}"


def _source(function: Callable[..., Any]) -> dict[str, str]:
    """The hash of the file in which the function is written, where there is one."""
    try:
        file = inspect.getsourcefile(inspect.unwrap(function))
        return {"sha256": hashlib.sha256(Path(str(file)).read_bytes()).hexdigest()}
    except (OSError, TypeError):
        return {}
