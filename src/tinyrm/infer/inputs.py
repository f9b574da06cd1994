"""What a user gives to compare, score and rank: one question, lists of them, or a table.

What something is follows from its type and never from its text:

| given | is |
| --- | --- |
| a string | one prompt, or one response |
| a list of messages (`Message`, or dicts with `content`) | one prompt: a conversation |
| a list of anything else, a column of a data frame, an array | many |
| a data frame, an Arrow table, a dict of columns, a list of dicts without `content` | a table, whose rows hold all |

What is one serves all rows where something else is many.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from ..data import BadRow, to_responses
from ..errors import UserError
from ..types import Message, Prompt, to_prompt

Kind = Literal["single", "pair", "candidates"]
_ASKS = {"single": "score", "pair": "compare", "candidates": "rank"}
_HOLDS = {"single": "one response", "pair": "a pair of responses", "candidates": "a list of candidates"}


@dataclass(frozen=True, slots=True)
class Asked:
    """Prompts with their responses and domains, and whether that is one question rather than a list of one."""

    rows: list[tuple[Prompt, tuple[str, ...]]]
    domains: list[str | None]
    one: bool


def read(kind: Kind, prompt: Any, responses: Mapping[str, Any], domain: Any) -> Asked:
    """Tells what was asked.

    responses: by name what stands beside the prompt, all None if `prompt` is a table.
    domain: one for all rows or a list; if None, the column `domain` of a table.

    Raises:
        UserError: lists differ in length, or a row of a table is not what the method judges.
        TypeError: something is neither a text nor a list of them.
    """
    left_out = [name for name, value in responses.items() if value is None]
    if len(left_out) == len(responses):
        return _read_table(kind, prompt, domain)
    if left_out:
        raise TypeError(f"{_ASKS[kind]} needs {' and '.join(left_out)} beside the prompt")
    if isinstance(prompt, Mapping) or hasattr(prompt, "columns"):
        raise TypeError("a table holds the responses beside the prompts: give it alone")
    named = {name: _column(value) for name, value in responses.items()}
    many = {name: value for name, value in named.items() if not _is_one_response(kind, name, value)}
    prompt = _column(prompt)
    if not _is_one_prompt(prompt) or (many and isinstance(prompt, list) and not prompt):
        many["prompt"] = prompt
    count = _length(many)
    prompts = [to_prompt(one) for one in many.get("prompt", [prompt])]
    if "prompt" not in many:
        prompts *= count
    columns = [value if name in many else [value] * count for name, value in named.items()]
    if kind == "candidates":
        lists = [_column(candidates) for candidates in columns[0]]
        if not all(_is_one_response(kind, "candidates", candidates) for candidates in lists):
            raise TypeError("candidates are a list of strings for each prompt")
        texts = [tuple(candidates) for candidates in lists]
    else:
        texts = list(zip(*columns, strict=True))
    return Asked(list(zip(prompts, texts, strict=True)), _domains(domain, count), one=not many)


def _read_table(kind: Kind, given: Any, domain: Any) -> Asked:
    table = rows_of(given)
    if table is None:
        needed = {"single": "a response", "pair": "two responses", "candidates": "candidates"}[kind]
        raise TypeError(f"{_ASKS[kind]} takes a prompt and {needed}, or a table of rows; not {type(given).__name__}")
    rows, named = [], []
    for place, row in enumerate(table):
        try:
            found = to_responses(row, allow_empty_response=True)
        except BadRow as bad:
            raise UserError(f"row {place} of the table, counted from 0: {bad}") from None
        if kind not in ("candidates", found.kind):
            raise UserError(
                f"row {place} of the table, counted from 0, holds {_HOLDS[found.kind]}, "
                f"which {_ASKS[found.kind]} judges; {_ASKS[kind]} judges {_HOLDS[kind]}"
            )
        rows.append((found.prompt, found.responses))
        named.append(found.domain)
    return Asked(rows, named if domain is None else _domains(domain, len(rows)), one=False)


def rows_of(table: Any) -> list[dict[str, Any]] | None:
    """The rows of a table as dicts, or None if it is none.

    Known by what they can do: Arrow tables (`to_pylist`), polars (`to_dicts`), pandas (`to_dict("records")`),
    anything with the Arrow PyCapsule interface, `datasets` (`to_list`), dicts of columns, lists of dicts.
    """
    if isinstance(table, Mapping):
        columns = {str(name): _column(values) for name, values in table.items()}
        if not all(isinstance(values, list | tuple) for values in columns.values()):
            return None
        count = _length(columns)
        return [{name: _plain(values[i]) for name, values in columns.items()} for i in range(count)]
    found: Any = None
    if isinstance(table, list | tuple):
        found = table
    elif hasattr(table, "to_pylist"):
        found = table.to_pylist()
    elif hasattr(table, "to_dicts"):
        found = table.to_dicts()
    elif hasattr(table, "to_dict") and hasattr(table, "columns"):
        found = table.to_dict("records")
    elif hasattr(table, "__arrow_c_stream__"):
        import pyarrow

        found = pyarrow.table(table).to_pylist()
    elif hasattr(table, "to_list"):
        found = table.to_list()
    if found is None or not all(isinstance(row, Mapping) and "content" not in row for row in found):
        return None
    return [{str(name): _plain(value) for name, value in row.items()} for row in found]


def _is_one_prompt(prompt: Any) -> bool:
    return isinstance(prompt, str) or (
        isinstance(prompt, list | tuple) and all(isinstance(turn, Message | Mapping) for turn in prompt)
    )


def _is_one_response(kind: Kind, name: str, value: Any) -> bool:
    if kind == "candidates":
        if isinstance(value, str):
            raise TypeError("candidates are a list of strings, not one string")
        return isinstance(value, list | tuple) and all(isinstance(text, str) for text in value)
    if not isinstance(value, str | list | tuple):
        raise TypeError(f"{name} is a string or a list of strings, not {type(value).__name__}")
    return isinstance(value, str)


def _column(value: Any) -> Any:
    """A list of the items of a column or an array; anything else as it is."""
    if hasattr(value, "columns"):
        raise TypeError("a data frame stands where one column is expected: give the column")
    if isinstance(value, str | bytes | list | tuple | Mapping) or value is None:
        return value
    for name in ("tolist", "to_pylist", "to_list"):  # NumPy and pandas, Arrow, polars
        if hasattr(value, name):
            return [_plain(item) for item in getattr(value, name)()]
    return list(value) if isinstance(value, Iterable) else value


def _plain(value: Any) -> Any:
    """Arrays, which pandas makes of the lists of a Parquet file, as lists; its NA as None; messages as dicts."""
    if isinstance(value, Message):
        return {"role": value.role, "content": value.content}
    if type(value).__name__ == "NAType":
        return None
    if isinstance(value, Mapping):
        return {key: _plain(inner) for key, inner in value.items()}
    if hasattr(value, "tolist"):
        value = value.tolist()
    return [_plain(inner) for inner in value] if isinstance(value, list | tuple) else value


def _length(columns: Mapping[str, Sequence[Any]]) -> int:
    """How long all of some columns are; 1 if there is none."""
    lengths = {name: len(values) for name, values in columns.items()}
    if len(set(lengths.values())) > 1:
        raise UserError("lists of different lengths: " + ", ".join(f"{n} of {name}" for name, n in lengths.items()))
    return next(iter(lengths.values()), 1)


def _domains(domain: Any, count: int) -> list[str | None]:
    if domain is None or isinstance(domain, str):
        return [domain] * count
    found = _column(domain)
    if not isinstance(found, list | tuple) or not all(name is None or isinstance(name, str) for name in found):
        raise TypeError("a domain is a string, or a list with one for each row")
    if len(found) != count:
        raise UserError(f"{len(found)} domains for {count} rows")
    return list(found)
