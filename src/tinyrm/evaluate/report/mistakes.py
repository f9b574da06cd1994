"""The verdicts that were most surely wrong, with their texts, which are read again from where they came."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from tinyrm.errors import UserError
from tinyrm.types import Preference

from ..benchmarks import BENCHMARKS, find_benchmark
from ..evaluation import read
from ..judging import digest_of
from ..saved import VERDICTS
from .runs import Run


@dataclass(frozen=True)
class Mistake:
    """p: probability given to the response that is labelled better."""

    subset: str
    p: float
    prompt: str
    chosen: str
    rejected: str


@dataclass(frozen=True)
class Mistakes:
    """The worst of them, the worst first, or why there are none to show."""

    shown: tuple[Mistake, ...]
    wrong: int
    why_none: str = ""


def worst(run: Run, count: int) -> Mistakes:
    """The `count` verdicts furthest on the wrong side, one a prompt."""
    wrong = sorted(
        (v for v in _verdicts(run) if v["credit"] is not None and v["p_chosen"] < 0.5), key=lambda v: v["p_chosen"]
    )
    if not wrong or not count:
        return Mistakes((), len(wrong), "" if wrong else "No verdict was wrong.")
    try:
        rows = _rows(run.facts)
    except UserError as problem:
        return Mistakes((), len(wrong), f"Their texts cannot be shown: {problem}")
    shown: dict[str, Mistake] = {}
    for verdict in wrong:
        row = rows.get(str(verdict["digest"]))
        if row is None or len(shown) == count:
            continue
        prompt = "\n\n".join(
            turn.content if len(row.prompt) == 1 else f"{turn.role}: {turn.content}" for turn in row.prompt
        )
        subset = str(verdict["subset"] or "")
        shown.setdefault(prompt, Mistake(subset, float(verdict["p_chosen"]), prompt, row.chosen, row.rejected))
    why = "" if shown else "Their texts cannot be shown: the rows that were judged are no longer there."
    return Mistakes(tuple(shown.values()), len(wrong), why)


def _rows(facts: Mapping[str, Any]) -> dict[str, Preference]:
    """The comparisons of an evaluation by the digest of their texts."""
    if facts["path"] == "-":
        raise UserError("the rows came from standard input")
    named = facts["benchmark"] in BENCHMARKS
    benchmark = find_benchmark(facts["benchmark"], facts["path"]) if named else find_benchmark(facts["path"])
    return {digest_of(preference): preference for preference in read(benchmark)[0].preferences}


def _verdicts(run: Run) -> list[dict[str, Any]]:
    path = run.saved.folder / VERDICTS
    try:
        # Not splitlines(), which also parts lines at characters that JSON leaves within a string.
        return [json.loads(line) for line in path.read_text("utf-8").split("\n") if line]
    except (OSError, ValueError) as problem:
        raise UserError(f"{path} is damaged or not there: {problem}") from None
