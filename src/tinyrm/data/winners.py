"""How a row says which of two responses is better: the convention of every known shape, in one table."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, TypeAlias

from .turns import BadRow

Row: TypeAlias = "Mapping[str, Any]"
Winner: TypeAlias = Literal["first", "second", "tie"]

_COUNT_FROM_0: dict[int, Winner] = {0: "first", 1: "second"}
_COUNT_FROM_1: dict[int, Winner] = {1: "first", 2: "second"}


@dataclass(frozen=True)
class Shape:
    """Two columns of responses, and how a row says which is better.

    numbers: what a number in the winner column means. It follows from how the publisher numbers the
        columns; for lettered columns a bare number could count from 0 or from 1, so none is known.
    winner: columns that may name the winner, the first present one decides.
    votes: columns of several annotators, read like `winner`; more than half decides.
    scores: columns of numbers of which the higher wins, by a margin of their difference.
    """

    first: str
    second: str
    numbers: Mapping[int, Winner] = field(default_factory=dict)
    winner: tuple[str, ...] = ("winner", "label", "preference", "better")
    votes: tuple[str, ...] = ()
    scores: tuple[str, ...] = ()


CHOSEN = Shape("chosen", "rejected", winner=())

SHAPES = (
    CHOSEN,  # RewardBench, UltraFeedback, Anthropic HH, TRL, LLaMA-Factory and most others
    Shape("conversation_a", "conversation_b"),  # LMSYS arena, MT-Bench human judgments
    Shape("response_a", "response_b"),  # JudgeBench (`A>B`), LMSYS on Kaggle (one-hot), many others
    Shape("answer_a", "answer_b"),
    Shape("output_a", "output_b"),
    Shape("completion_a", "completion_b"),
    Shape("a", "b"),
    Shape("output_1", "output_2", _COUNT_FROM_1),  # LLMBar
    Shape("response_1", "response_2", _COUNT_FROM_1),
    Shape("answer_1", "answer_2", _COUNT_FROM_1),
    Shape(  # PandaLM, whose 0 is a tie
        "response1", "response2", {0: "tie", **_COUNT_FROM_1}, votes=("annotator1", "annotator2", "annotator3")
    ),
    Shape("response 1", "response 2", {**_COUNT_FROM_0, 2: "tie"}),  # Auto-J, which counts from 0 in spite of the names
    Shape(  # PKU-SafeRLHF; helpfulness before safety
        "response_0",
        "response_1",
        _COUNT_FROM_0,
        winner=("better_response_id", "safer_response_id", "winner", "label", "preference", "better"),
    ),
    Shape("answer_0", "answer_1", _COUNT_FROM_0, scores=("score_0", "score_1")),  # WebGPT comparisons
    Shape("human_ref_a", "human_ref_b", {1: "first", 0: "second"}, winner=("labels",)),  # SHP: 1 says that A is better
)

_WORDS: dict[str, Winner] = {
    **dict.fromkeys(("a", "model_a", "response_a", "answer_a", "assistant_a", "output_a", "a>b", "a>>b"), "first"),
    **dict.fromkeys(("b", "model_b", "response_b", "answer_b", "assistant_b", "output_b", "b>a", "b>>a"), "second"),
    **dict.fromkeys(("tie", "tie (bothbad)", "tie (both bad)", "both_bad", "bothbad", "a=b"), "tie"),
}
_ONE_HOT: dict[str, Winner] = {"winner_model_a": "first", "winner_model_b": "second", "winner_tie": "tie"}


def winner_of(row: Row, shape: Shape, column: str | None = None) -> tuple[Winner, float | None]:
    """Which response is better, and the margin where scores tell it; `column` decides before all others."""
    if has(row, "tie") and _yes(row["tie"], "tie"):
        return "tie", None
    if column is not None:
        if not has(row, named := column.strip().lower()):
            raise BadRow(f"no winner: the row has nothing in {column}")
        return _named_winner(row, named, shape), None
    if shape is CHOSEN:
        return "first", None
    if column := next((column for column in shape.winner if has(row, column)), None):
        return _named_winner(row, column, shape), None
    hot = [winner for column, winner in _ONE_HOT.items() if has(row, column) and _yes(row[column], column)]
    if len(hot) == 1:
        return hot[0], None
    votes = [_named_winner(row, column, shape) for column in shape.votes if has(row, column)]
    if votes:
        most = max(votes, key=votes.count)
        if 2 * votes.count(most) <= len(votes):
            raise BadRow("the annotators disagree")
        return most, None
    if shape.scores and all(has(row, column) for column in shape.scores):
        lead = (number_in(row, shape.scores[0]) or 0.0) - (number_in(row, shape.scores[1]) or 0.0)
        return ("first", lead) if lead > 0 else ("second", -lead) if lead < 0 else ("tie", 0.0)
    columns = shape.winner + shape.votes + shape.scores
    raise BadRow(f"no winner: {shape.first} and {shape.second} come without one of {', '.join(columns)}")


def _named_winner(row: Row, column: str, shape: Shape) -> Winner:
    value = row[column]
    if isinstance(value, bool) or not isinstance(value, str | int | float):
        raise BadRow(f"unknown winner: {column} = {value!r}")
    word = " ".join(str(value).lower().split())
    if word in (shape.first, shape.second):
        return "first" if word == shape.first else "second"
    if word in _WORDS:
        return _WORDS[word]
    try:
        number = float(word)
    except ValueError:
        raise BadRow(f"unknown winner: {column} = {value!r}") from None
    if number in shape.numbers:
        return shape.numbers[int(number)]
    raise BadRow(
        f"unknown winner: the number {column} = {value!r} does not say which of {shape.first} and {shape.second} "
        "is better; write 'a', 'b' or 'tie'"
    )


def _yes(value: Any, column: str) -> bool:
    word = str(value).strip().lower()
    if word not in ("0", "1", "0.0", "1.0", "true", "false"):
        raise BadRow(f"{column} = {value!r} is neither true nor false")
    return word in ("1", "1.0", "true")


def probability_in(row: Row, path: str) -> float:
    """A probability in a column, or within the column's table: `tinyrm.p_a`."""
    *tables, column = path.split(".")
    value: Any = row
    for table in tables:
        value = value.get(table) if isinstance(value, Mapping) else None
    probability = number_in(value, column) if isinstance(value, Mapping) else None
    if probability is None:
        raise BadRow(f"no soft label: the row has nothing in {path}")
    if not 0 <= probability <= 1:
        raise BadRow(f"{path} is no probability: {probability:g}")
    return probability


def number_in(row: Row, column: str) -> float | None:
    if not has(row, column):
        return None
    try:
        number = float(row[column])
    except (TypeError, ValueError, OverflowError):
        number = math.inf
    if not math.isfinite(number):
        raise BadRow(f"{column} is not a number: {row[column]!r}")
    return number


def has(row: Row, column: str) -> bool:
    """Whether there is a value: None, NaN and the empty string (CSV knows no other nothing) are none."""
    value = row.get(column)
    return value is not None and value != "" and not (isinstance(value, float) and math.isnan(value))
