"""A row of any usual shape -> Preference or Responses; see `winners` for the table of shapes."""

from __future__ import annotations

import contextlib
import json
import math
from dataclasses import dataclass, replace
from itertools import combinations
from typing import Any, Literal

from tinyrm.types import Message, Preference, Prompt

from .turns import BadRow, divide, kind, parse_transcript, to_turns, transcript_turns
from .winners import CHOSEN, SHAPES, Row, Shape, Winner, has, number_in, probability_in, winner_of

_PROMPTS = ("prompt", "question", "instruction", "query", "input", "history", "conversations")
_MANY = ("candidates", "responses", "completions")
_ONE = ("response", "completion", "output", "answer")
_KNOWN = (
    "prompt + chosen + rejected, chosen + rejected as conversations, or prompt + two responses "
    "(response_a + response_b, output_1 + output_2, ...) + winner"
)


@dataclass(frozen=True, slots=True)
class Responses:
    """A prompt and the responses to score: one, a pair in the order of its columns, or any number.

    domain: what the row says of it, in its column `domain`.
    """

    prompt: Prompt
    responses: tuple[str, ...]
    kind: Literal["single", "pair", "candidates"]
    domain: str | None = None


def to_preference(
    row: Row,
    *,
    winner: str | None = None,
    soft: str | None = None,
    allow_equal: bool = False,
    allow_empty_response: bool = False,
) -> Preference:
    """The comparison that a row of any known shape holds.

    `winner` is the column that names the better response, where a row has several such; `soft` one
    with a probability that the first response is better, which then decides (a soft label).

    Raises:
        BadRow: the row has no known shape, lacks a text or a winner, or says something ambiguous.
    """
    row = _named(row)
    shape = _shape(row)
    if shape is None:
        raise BadRow(f"no known shape: the row has the columns {_columns(row)}; known are {_KNOWN}")
    prompt, first, second = _pair(row, shape)
    sure = None if soft is None else probability_in(row, soft)
    better, margin = winner_of(row, shape, winner) if sure is None else (_likelier(sure), None)
    for column, text in ((shape.first, first), (shape.second, second)):
        if not allow_empty_response and not text.strip():
            raise BadRow(f"{column} is empty")
    if first == second and better != "tie" and not allow_equal:
        raise BadRow(f"{shape.first} and {shape.second} are equal")
    chosen, rejected = (second, first) if better == "second" else (first, second)
    return Preference(
        prompt,
        chosen,
        rejected,
        margin=number_in(row, "margin") if margin is None else margin,
        tie=better == "tie",
        probability=None if sure is None else max(sure, 1 - sure),
        **_labels(row),
    )


def to_preferences(
    row: Row, *, winner: str | None = None, soft: str | None = None, keep_equal: bool = False
) -> list[Preference]:
    """All comparisons that a row holds: one (`to_preference`), or, where a list of responses comes with their `ranks`
    (1 is the best, equal ranks say nothing), each of two that differ in rank.

    keep_equal: also a lone pair of equal or empty responses.

    Raises:
        BadRow: see `to_preference`; or the ranks do not fit the responses, or say nothing.
    """
    named = _named(row)
    column = next((column for column in _MANY if has(named, column) and has(named, "ranks")), None)
    if column is None or _shape(named) is not None or soft is not None or winner is not None:
        return [to_preference(row, winner=winner, soft=soft, allow_equal=keep_equal, allow_empty_response=keep_equal)]
    prompt, texts = _required_prompt(named), _texts(named[column], column)
    ranks = _ranks(named["ranks"])
    if ranks is None or len(ranks) != len(texts):
        raise BadRow(f"ranks is not a list of {len(texts)} numbers, one for each of {column}")
    if not all(text.strip() for text in texts):
        raise BadRow("a response is empty")
    ranked = sorted(zip(ranks, texts, strict=True), key=lambda pair: pair[0])
    found = [
        Preference(prompt, better, worse, **_labels(named))
        for (rank, better), (other, worse) in combinations(ranked, 2)
        if rank < other and better != worse
    ]
    if not found:
        raise BadRow(f"no two of {column} differ in rank")
    return found


def _ranks(value: Any) -> list[float] | None:
    if isinstance(value, str):  # a list in a CSV
        with contextlib.suppress(ValueError):
            value = json.loads(value)
    if not isinstance(value, list) or any(isinstance(rank, bool) for rank in value):
        return None
    return value if all(isinstance(rank, int | float) and math.isfinite(rank) for rank in value) else None


def _likelier(first: float) -> Winner:
    return "tie" if first == 0.5 else "first" if first > 0.5 else "second"


def _labels(row: Row) -> dict[str, Any]:
    return {column: str(row[column]) for column in ("domain", "source", "subset", "id") if has(row, column)}


def to_responses(row: Row, *, allow_empty_response: bool = False) -> Responses:
    """The responses that a row holds, better or not: a pair, a list of candidates, or one.

    Raises:
        BadRow: the row has no known shape, or lacks a text.
    """
    row = _named(row)
    if (shape := _shape(row)) and (
        # Rows of several shapes in one table carry the columns of them all, empty where they are not theirs.
        has(row, shape.first) or has(row, shape.second) or not any(has(row, c) for c in (*_MANY, *_ONE, "messages"))
    ):
        prompt, *texts = _pair(row, shape)
        found = Responses(prompt, tuple(texts), "pair")
    elif column := next((column for column in _MANY if has(row, column)), None):
        found = Responses(_required_prompt(row), _texts(row[column], column), "candidates")
    elif column := next((column for column in _ONE if has(row, column)), None):
        found = Responses(_required_prompt(row), _texts([row[column]], column), "single")
    elif column := next((column for column in ("messages", "conversations") if has(row, column)), None):
        turns = to_turns(row[column], column)
        if len(turns) < 2 or turns[-1].role != "assistant":
            raise BadRow(f"{column} does not end with a turn of the assistant")
        found = Responses(_checked(turns[:-1]), (turns[-1].content,), "single")
    elif any(row.get(column) == "" for column in _ONE):
        found = Responses(_required_prompt(row), ("",), "single")
    else:
        raise BadRow(
            f"no response: the row has the columns {_columns(row)}; known are prompt + response, "
            f"prompt + candidates (a list), messages, {_KNOWN}"
        )
    if not allow_empty_response and not all(text.strip() for text in found.responses):
        raise BadRow("a response is empty")
    domain = row.get("domain")
    return replace(found, domain=domain) if isinstance(domain, str) else found


def to_row_prompt(row: Row) -> Prompt:
    """The prompt of a row, whatever else it holds.

    Raises:
        BadRow: there is none.
    """
    named = _named(row)
    prompt = _prompt(named)
    return _checked(prompt) if prompt else to_responses(row, allow_empty_response=True).prompt


def _named(row: Row) -> Row:
    return {str(name).strip().lower(): value for name, value in row.items()}


def _columns(row: Row) -> str:
    return ", ".join([*row][:12]) + (", ..." if len(row) > 12 else "")


def _shape(row: Row) -> Shape | None:
    whole = [shape for shape in SHAPES if has(row, shape.first) and has(row, shape.second)]
    if len(whole) > 1 and whole[0] is not CHOSEN:
        raise BadRow(f"ambiguous: the columns {_columns(row)} hold {len(whole)} pairs of responses")
    return whole[0] if whole else next((shape for shape in SHAPES if {shape.first, shape.second} <= row.keys()), None)


def _pair(row: Row, shape: Shape) -> tuple[Prompt, str, str]:
    first, second = ("" if not has(row, column) else row[column] for column in (shape.first, shape.second))
    if isinstance(first, str) and isinstance(second, str):
        if lists := _parallel_lists(row.get("prompt"), first, second):
            prompt, first, second = divide(None, *lists)
        elif any(has(row, column) for column in _PROMPTS):
            prompt = _required_prompt(row)
        elif (one := transcript_turns(first)) and (other := transcript_turns(second)):
            prompt, first, second = divide(None, one, other)
        else:
            prompt = _required_prompt(row)
    elif isinstance(first, str) != isinstance(second, str) and first and second:
        raise BadRow(f"{shape.first} and {shape.second} are of different types")
    else:
        sides = [
            to_turns(value, column) if value else () for value, column in ((first, shape.first), (second, shape.second))
        ]
        if has(row, "turn"):  # MT-Bench judges a conversation after its first or its second turn
            sides = [_until(side, row["turn"]) for side in sides]
        prompt, first, second = divide(_prompt(row), sides[0], sides[1])
    return _checked(prompt), first, second


def _until(turns: Prompt, turn: Any) -> Prompt:
    replies = [place for place, message in enumerate(turns, 1) if message.role == "assistant"]
    return turns[: replies[turn - 1]] if isinstance(turn, int) and 0 < turn <= len(replies) else turns


def _parallel_lists(*texts: Any) -> tuple[Prompt, Prompt] | None:
    """Conversations of the arena's Kaggle form: prompt and both responses are JSON lists, a turn an item."""
    if not all(isinstance(text, str) and text.lstrip().startswith("[") for text in texts):
        return None
    try:
        asked, first, second = map(json.loads, texts)
    except ValueError:
        return None
    if not len(asked) == len(first) == len(second) or not all(
        isinstance(item, str | None) for item in (*asked, *first, *second)
    ):
        return None
    sides = []
    for replies in (first, second):
        turns = zip(asked, replies, strict=True)
        sides.append(tuple(m for q, a in turns for m in (Message("user", q or ""), Message("assistant", a or ""))))
    return sides[0], sides[1]


def _prompt(row: Row) -> Prompt | None:
    column = next((column for column in _PROMPTS if has(row, column)), None)
    if column is None:
        return None
    value = row[column]
    if isinstance(value, dict) and "full_text" in value:  # WebGPT
        value = value["full_text"]
    if isinstance(value, str):
        if column == "instruction" and has(row, "input"):  # Alpaca
            value = f"{value}\n\n{row['input']}"
        prompt = parse_transcript(value) or (Message("user", value),)
    else:
        prompt = to_turns(value, column)
    if isinstance(system := row.get("system"), str) and system.strip() and prompt[:1] and prompt[0].role != "system":
        prompt = (Message("system", system), *prompt)
    return prompt


def _required_prompt(row: Row) -> Prompt:
    prompt = _prompt(row)
    if prompt is None:
        if any(column in row for column in _PROMPTS):
            raise BadRow("the prompt is empty")
        raise BadRow(f"no prompt: the row has the columns {_columns(row)}; a prompt is called {', '.join(_PROMPTS)}")
    return _checked(prompt)


def _checked(prompt: Prompt) -> Prompt:
    if not any(turn.content.strip() for turn in prompt):
        raise BadRow("the prompt is empty")
    return prompt


def _texts(value: Any, column: str) -> tuple[str, ...]:
    if isinstance(value, str) and value.lstrip().startswith("["):  # a list in a CSV
        try:
            value = json.loads(value)
        except ValueError:
            raise BadRow(f"{column} is not a JSON list") from None
    if not isinstance(value, list) or not value:
        raise BadRow(f"{column} is not a list of texts but {'empty' if value == [] else kind(value)}")
    texts = []
    for item in value:
        if not isinstance(item, str):
            turns = to_turns(item, column)
            if len(turns) != 1:
                raise BadRow(f"{column} holds {len(turns)} messages where one response is expected")
            item = turns[0].content
        texts.append(item)
    return tuple(texts)
