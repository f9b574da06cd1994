"""Judging the rows of a file as they stream by."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import islice
from typing import Any

from ..data import BadRow, RawRow, Responses, to_responses
from ..errors import UserError
from .reward_model import RewardModel

WINDOW = 256
"""Rows judged together: enough to sort by length, few enough to hold in memory."""


def score_rows(model: RewardModel, rows: Iterable[RawRow], *, field: str = "tinyrm") -> Iterator[dict[str, Any]]:
    """Every row with its judgement under `field`, in the order of the input; nothing else of the row changes.

    One response gets its reward, two a verdict (A is the first: `chosen`, `response_a`, ...), more a
    ranking. A row that cannot be judged keeps its place and gets {"error": reason, "at": place}.
    """
    stream = iter(rows)
    while window := list(islice(stream, WINDOW)):
        for row in window:
            if row.value and not isinstance(row.value.get(field, {}), dict):  # an older judgement may be replaced
                raise UserError(f"{row.where}: the row has a column {field!r} already: name another with --field")
        tasks = [_task(row) for row in window]
        judged = _judge(model, [task for task in tasks if isinstance(task, tuple)])
        for row, task in zip(window, tasks, strict=True):
            found = next(judged) if isinstance(task, tuple) else {"error": task}
            yield {**(row.value or {}), field: found | ({"at": row.where} if "error" in found else {})}


def _task(row: RawRow) -> tuple[Responses, str | None] | str:
    """What a row asks, with its domain; or why it cannot be judged."""
    if row.value is None:
        return row.error or "unreadable"
    try:
        asked = to_responses(row.value, allow_empty_response=True)
    except BadRow as bad:
        return str(bad)
    domain = row.value.get("domain")
    return asked, domain if isinstance(domain, str) else None


def _judge(model: RewardModel, tasks: list[tuple[Responses, str | None]]) -> Iterator[dict[str, Any]]:
    """The judgement of each task, in order; single responses share batches, and so do pairs."""
    alone = "single" in model.manifest.templates
    singles = [(asked, domain) for asked, domain in tasks if asked.kind == "single" and alone]
    pairs = [(asked, domain) for asked, domain in tasks if asked.kind == "pair"]
    rewards = iter(
        model.score_many([(asked.prompt, asked.responses[0]) for asked, _ in singles], domains=[d for _, d in singles])
        if singles
        else []
    )
    verdicts = iter(
        model.compare_many(
            [(asked.prompt, asked.responses[0], asked.responses[1]) for asked, _ in pairs],
            domains=[d for _, d in pairs],
        )
    )
    for asked, domain in tasks:
        if asked.kind == "single":
            yield next(rewards).to_dict() if alone else {"error": f"{model.manifest.name} only compares responses"}
        elif asked.kind == "pair":
            yield next(verdicts).to_dict()
        else:
            ranking = model.rank(asked.prompt, asked.responses, domain=domain)
            scores = sorted((place.index, place.score) for place in ranking)
            yield {
                "best": ranking[0].index,
                "ranking": [place.index for place in ranking],
                "scores": [score for _, score in scores],
                "cut": [dict(place.cut) for place in sorted(ranking, key=lambda place: place.index)],
            }


def refuse_bad(rows: Iterable[RawRow]) -> Iterator[RawRow]:
    """The same rows, up to the first that cannot be judged.

    Raises:
        UserError: naming the row's file, line and reason.
    """
    for row in rows:
        task = _task(row)
        if isinstance(task, str):
            raise UserError(f"{row.where}: {task}")
        yield row
