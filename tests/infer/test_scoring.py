from __future__ import annotations

import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import tinyrm
from tinyrm.data import RawRow, read_rows, to_responses
from tinyrm.errors import UserError
from tinyrm.infer.scoring import WINDOW, score_rows

ROWS = {
    "single": {"prompt": "what is a?", "response": "yes", "id": 7},
    "domain": {"prompt": "what is a?", "response": "yes", "domain": "safety", "more": {"nested": [1, None]}},
    "empty": {"prompt": "what is a?", "response": ""},
    "pair": {"prompt": "what is b?", "chosen": "yes yes", "rejected": "no"},
    "sides": {"prompt": "what is b?", "response_a": "no", "response_b": "yes", "winner": "model_b"},
    "many": {"prompt": "what is c?", "responses": ["yes", "no", "good", "yes"]},
    "chat": {"messages": [{"role": "user", "content": "d?"}, {"role": "assistant", "content": "no"}]},
    "old": {"prompt": "what is e?", "response": "no", "tinyrm": {"reward": "of an earlier run"}},
}
BAD = {
    "unreadable": (None, "not JSON"),
    "promptless": ({"prompt": "", "response": "yes", "id": 9}, "prompt is empty"),
    "shapeless": ({"text": "yes"}, "no response"),
    "empty list": ({"prompt": "a?", "responses": []}, "responses"),
}


@pytest.fixture(scope="module")
def judge(checkpoint_folder):
    return tinyrm.load(checkpoint_folder("bert"))


def raw(names: list[str]) -> list[RawRow]:
    found = []
    for number, name in enumerate(names, 1):
        value = ROWS.get(name) or BAD[name][0]
        found.append(RawRow(f"file:{number}", value, None if value else "not JSON: at all"))
    return found


def directly(judge, row):
    """The judgement of a row by the methods of the model, one row at a time."""
    asked = to_responses(row, allow_empty_response=True)
    domain = row.get("domain")
    if asked.kind == "single":
        return judge.score(asked.prompt, *asked.responses, domain=domain).to_dict()
    if asked.kind == "pair":
        return judge.compare(asked.prompt, *asked.responses, domain=domain).to_dict()
    ranking = judge.rank(asked.prompt, asked.responses, domain=domain)
    scores = {place.index: place.score for place in ranking}
    order = [place.index for place in ranking]
    return {
        "best": order[0],
        "ranking": order,
        "scores": [scores[i] for i in range(len(scores))],
        "cuts": [{}] * len(order),
    }


@settings(max_examples=25, deadline=None)
@given(names=st.lists(st.sampled_from([*ROWS, *BAD]), max_size=12))
def test_each_row_keeps_its_place_its_columns_and_its_judgement(judge, names):
    rows = raw(names)
    judged = list(score_rows(judge, rows))
    assert len(judged) == len(rows)
    for name, row, out in zip(names, rows, judged, strict=True):
        given_row = row.value or {}
        assert {key: value for key, value in out.items() if key != "tinyrm"} == {
            key: value for key, value in given_row.items() if key != "tinyrm"
        }
        if name in BAD:
            assert out["tinyrm"]["at"] == row.where
            assert BAD[name][1] in out["tinyrm"]["error"]
            continue
        expected = directly(judge, given_row)
        assert out["tinyrm"].keys() == expected.keys()
        for key, value in expected.items():
            assert out["tinyrm"][key] == (value if key in ("cut", "cuts", "better") else pytest.approx(value, abs=2e-5))


def test_the_rows_given_are_not_changed(judge):
    rows = raw(["single", "old"])
    before = json.dumps([row.value for row in rows])
    list(score_rows(judge, rows, field="judged"))
    assert json.dumps([row.value for row in rows]) == before


def test_another_field_leaves_ours_alone(judge):
    (out,) = score_rows(judge, raw(["old"]), field="judged")
    assert out["tinyrm"] == {"reward": "of an earlier run"}
    assert "reward" in out["judged"]


def test_rows_stream_window_by_window(judge):
    taken = 0

    def endless():
        nonlocal taken
        while True:
            taken += 1
            yield RawRow(f"file:{taken}", {"prompt": "a?", "response": "yes", "id": taken})

    stream = score_rows(judge, endless())
    assert [next(stream)["id"] for _ in range(WINDOW + 1)] == list(range(1, WINDOW + 2))
    assert taken <= 2 * WINDOW


def test_every_third_line_of_garbage(judge, tmp_path):
    path = tmp_path / "rows.jsonl"
    lines = [
        b"\xff{garbage" if i % 3 == 2 else json.dumps({"prompt": f"what is {i}?", "response": "yes"}).encode()
        for i in range(30)
    ]
    path.write_bytes(b"\n".join(lines))
    judged = list(score_rows(judge, read_rows(path)))
    assert [("error" in row["tinyrm"]) for row in judged] == [i % 3 == 2 for i in range(30)]
    assert [row["prompt"] for row in judged if "prompt" in row] == [f"what is {i}?" for i in range(30) if i % 3 != 2]
    assert judged[5]["tinyrm"]["at"] == "rows.jsonl:6"


def test_refusing_names_the_first_bad_row_after_the_good_ones(judge):
    stream = score_rows(judge, raw(["single", "promptless", "shapeless"]), on_bad_row="refuse")
    assert next(stream)["id"] == 7
    with pytest.raises(UserError, match=r"^file:2: the prompt is empty"):
        next(stream)
    good = raw(list(ROWS))
    assert list(score_rows(judge, good, on_bad_row="refuse")) == list(score_rows(judge, good))


def test_a_model_that_only_compares_says_so(checkpoint_folder):
    pairs_only = tinyrm.load(checkpoint_folder("bert", ("pair",)))
    (out,) = score_rows(pairs_only, raw(["pair"]))
    assert out["tinyrm"]["better"] in ("A", "B")
    pair, single = score_rows(pairs_only, raw(["pair", "single"]))
    assert pair == out
    assert single["tinyrm"] == {"error": "random-bert only compares responses", "at": single["tinyrm"]["at"]}
