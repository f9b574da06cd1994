"""The same question in every form that people hold it in."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tinyrm.errors import UserError
from tinyrm.infer.inputs import read, rows_of
from tinyrm.types import Message, to_prompt

TURNS = [{"role": "user", "content": "a?"}, {"role": "assistant", "content": "b"}, {"role": "user", "content": "c?"}]
text = st.text(st.characters(exclude_categories=("Cs",)), max_size=8)
pairs = st.lists(st.tuples(text.filter(str.strip), text, text), min_size=1, max_size=4)


def ask(prompt, a=None, b=None, domain=None):
    return read("pair", prompt, {"a": a, "b": b}, domain)


def array(texts):
    return np.array(texts, dtype=object)  # NumPy's own strings drop NULs at their end


@given(rows=pairs, box=st.sampled_from([list, tuple, array, pd.Series, pa.array]))
def test_columns_of_any_kind_are_rows_in_their_order(rows, box):
    columns = [list(column) for column in zip(*rows, strict=True)]
    asked = ask(*map(box, columns))
    assert asked.rows == [(to_prompt(prompt), (a, b)) for prompt, a, b in rows]
    assert asked.domains == [None] * len(rows)
    assert not asked.one


@given(rows=pairs)
def test_tables_of_any_kind_are_the_same_rows(rows):
    dicts = [dict(zip(("prompt", "response_a", "response_b", "domain"), (*row, "chat"), strict=True)) for row in rows]
    columns = {name: [row[name] for row in dicts] for name in dicts[0]}
    tables = [dicts, columns, pa.table(columns), pd.DataFrame(columns), pa.table(columns).to_reader().read_all()]
    found = [ask(table) for table in tables]
    assert all(asked == found[0] for asked in found)
    assert [texts for _, texts in found[0].rows] == [(a, b) for _, a, b in rows]
    assert found[0].domains == ["chat"] * len(rows)
    assert ask(dicts, domain="safety").domains == ["safety"] * len(rows)


def test_what_is_one_serves_all_rows():
    assert ask("q", "a", "b") == ask(TURNS[:1] and "q", "a", "b")
    assert ask("q", "a", "b").one
    assert ask(TURNS, "a", "b").one
    many = ask("q", ["a1", "a2"], "b", domain=["chat", None])
    assert many.rows == [(to_prompt("q"), ("a1", "b")), (to_prompt("q"), ("a2", "b"))]
    assert (many.domains, many.one) == (["chat", None], False)
    assert ask([TURNS, "q"], "a", "b").rows[0][0] == tuple(Message(t["role"], t["content"]) for t in TURNS)
    assert ask([TURNS], ["a"], ["b"]).rows == ask(TURNS, ["a"], ["b"]).rows
    assert ask([], [], []).rows == []


def test_candidates_are_one_list_or_lists():
    one = read("candidates", "q", {"candidates": ["x", "y"]}, None)
    assert one.one
    assert one.rows == [(to_prompt("q"), ("x", "y"))]
    many = read("candidates", ["q", "r"], {"candidates": [["x", "y"], ["z"]]}, None)
    assert not many.one
    assert many.rows == [(to_prompt("q"), ("x", "y")), (to_prompt("r"), ("z",))]
    assert (
        read("candidates", {"prompt": ["q"], "candidates": [("x", "y")]}, {"candidates": None}, None).rows == one.rows
    )
    parquet = pd.DataFrame({"prompt": ["q"], "responses": [np.array(["x", "y"], dtype=object)]})
    assert read("candidates", parquet, {"candidates": None}, None).rows == one.rows


@pytest.mark.parametrize(
    ("given_", "error", "says"),
    [
        ((["q", "r"], ["a"], ["b"]), UserError, "different lengths: 1 of a, 1 of b, 2 of prompt"),
        (("q", "a"), TypeError, "compare needs b"),
        (("q", pd.DataFrame({"a": ["x"]}), "b"), TypeError, "a data frame stands where one column is expected"),
        ((3,), TypeError, "takes a prompt and two responses, or a table of rows; not int"),
        (("q", 3, "b"), TypeError, "a is a string or a list of strings, not int"),
        (({"prompt": ["q"]}, "a", "b"), TypeError, "give it alone"),
        (([{"prompt": "q", "response": "x"}],), UserError, "row 0 .* holds one response, which score judges"),
        (([{"prompt": "q", "chosen": "x", "rejected": "y"}, {"prompt": "q"}],), UserError, "row 1 of the table"),
    ],
)
def test_what_cannot_be_read_is_named(given_, error, says):
    with pytest.raises(error, match=says):
        ask(*given_)


def test_domains_are_as_many_as_rows():
    with pytest.raises(UserError, match="1 domains for 2 rows"):
        ask("q", ["a", "b"], "c", domain=["chat"])
    with pytest.raises(TypeError, match="a domain is a string"):
        ask("q", "a", "b", domain=3)


def test_columns_are_known_in_any_case():
    row = {"Prompt": "q", "Response_A": "x", "Response_B": "y", "Domain": "safety"}
    assert ask([row]) == ask([{name.lower(): value for name, value in row.items()}])
    assert ask([row]).domains == ["safety"]


def test_a_cell_may_hold_messages():
    turns = [Message("user", "a?"), Message("assistant", "b"), Message("user", "c?")]
    assert ask([{"prompt": turns, "chosen": "x", "rejected": "y"}]).rows == [(tuple(turns), ("x", "y"))]


def test_messages_are_no_table():
    assert rows_of(TURNS) is None
    assert rows_of([{"prompt": "q"}]) == [{"prompt": "q"}]
