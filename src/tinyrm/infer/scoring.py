"""Judging the rows of a file as they stream by."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import islice
from typing import Any, Literal

from ..data import BadRow, RawRow, Responses, to_responses
from ..errors import UserError
from .reward_model import RewardModel

WINDOW = 256
"""Rows judged together: enough to sort by length, few enough to hold in memory."""


def score_rows(
    model: RewardModel,
    rows: Iterable[RawRow],
    *,
    field: str = "tinyrm",
    on_bad_row: Literal["skip", "refuse"] = "skip",
) -> Iterator[dict[str, Any]]:
    """Every row with its judgement under `field`, in the order of the input; nothing else of the row changes.

    One response gets its reward, two a verdict (A is the first: `chosen`, `response_a`, ...), more a
    ranking. A row that cannot be judged keeps its place and gets {"error": reason, "at": place}, or,
    with on_bad_row = refuse, ends the work after the rows before it.

    Raises:
        UserError: a row has a column `field` already, or cannot be judged and is not to be skipped.
    """
    stream = iter(rows)
    while window := list(islice(stream, WINDOW)):
        tasks: list[Responses | str] = []
        refused = ""
        for row in window:
            if row.value and not isinstance(row.value.get(field, {}), dict):  # an older judgement may be replaced
                raise UserError(f"{row.where}: the row has a column {field!r} already: name another with --field")
            task = _task(model, row)
            if on_bad_row == "refuse" and isinstance(task, str):
                refused = f"{row.where}: {task}"
                break
            tasks.append(task)
        judged = _judge(model, [task for task in tasks if isinstance(task, Responses)])
        for row, task in zip(window, tasks, strict=False):
            found = next(judged) if isinstance(task, Responses) else {"error": task, "at": row.where}
            yield {**(row.value or {}), field: found}
        if refused:
            raise UserError(refused)


def _task(model: RewardModel, row: RawRow) -> Responses | str:
    """What a row asks, or why it cannot be judged."""
    if row.value is None:
        return row.error or "unreadable"
    try:
        asked = to_responses(row.value, allow_empty_response=True)
    except BadRow as bad:
        return str(bad)
    if asked.kind == "single" and not model.reads_single:
        return f"{model.manifest.name} only compares responses"
    return asked


def _judge(model: RewardModel, tasks: Sequence[Responses]) -> Iterator[dict[str, Any]]:
    """The judgement of each task, in order; responses of all rows share batches, and so do pairs."""
    pairs = [task for task in tasks if task.kind == "pair"]
    verdicts = iter(
        model.compare_many(
            [(task.prompt, task.responses[0], task.responses[1]) for task in pairs],
            domains=[task.domain for task in pairs],
        )
    )
    alone = [task for task in tasks if task.kind != "pair"] if model.reads_single else []
    rewards = iter(
        model.score_many(
            [(task.prompt, text) for task in alone for text in task.responses],
            domains=[task.domain for task in alone for _ in task.responses],
        )
        if alone
        else []
    )
    for task in tasks:
        texts = task.responses
        if task.kind == "pair":
            yield next(verdicts).to_dict()
        elif task.kind == "single":
            yield next(rewards).to_dict()
        elif model.reads_single:
            found = list(islice(rewards, len(texts)))
            yield _ranking([reward.logit for reward in found], [reward.cut for reward in found])
        else:
            ranked = sorted(model.rank(task.prompt, texts, domain=task.domain), key=lambda place: place.index)
            yield _ranking([place.score for place in ranked], [place.cut for place in ranked])


def _ranking(scores: Sequence[float], cuts: Sequence[Mapping[str, int]]) -> dict[str, Any]:
    """What a row of candidates gets: equal scores keep their order."""
    order = sorted(range(len(scores)), key=lambda i: -scores[i])
    return {"best": order[0], "ranking": order, "scores": list(scores), "cuts": [dict(cut) for cut in cuts]}
