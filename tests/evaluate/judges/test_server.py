"""Reward servers of each shape, which know the length of a response."""

from __future__ import annotations

from contextlib import suppress
from functools import lru_cache

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.evaluate.judges.conftest import ANY_JSON

from tinyrm.errors import UserError
from tinyrm.evaluate.judges import load_judge
from tinyrm.types import to_prompt


def openrlhf(path, body, headers):
    assert body["labels"] == [None]
    (query,), (prompt,) = body["query"], body["prompts"]
    assert query.startswith(prompt + "\n\n")
    return 200, {"rewards": [float(len(query) - len(prompt) - 2)], "extra_logs": {}}


def vllm_score(path, body, headers):
    assert body["use_activation"] is False
    assert body["text_1"]
    return 200, {"object": "list", "data": [{"index": 0, "object": "score", "score": len(body["text_2"])}]}


def vllm_classify(path, body, headers):
    text = body["messages"][-1]["content"] if "messages" in body else body["input"].partition("\n\n")[2]
    return 200, {"data": [{"index": 0, "label": "LABEL_1", "probs": [1.0, 1.0 + len(text)], "num_classes": 2}]}


def tei_predict(path, body, headers):
    assert body["raw_scores"]
    ((*_, text),) = body["inputs"]
    text = text.partition("\n\n")[2] if len(body["inputs"][0]) == 1 else text
    labels = [{"score": float(len(text)), "label": "LABEL_1"}, {"score": 0.0, "label": "LABEL_0"}]
    return 200, [sorted(labels, key=lambda label: -label["score"])]


SHAPES = {
    "openrlhf": openrlhf,
    "vllm-score": vllm_score,
    "vllm-classify": vllm_classify,
    "tei-predict": tei_predict,
}


@pytest.mark.parametrize("options", ["", "#text", "#model=rm&text"])
@pytest.mark.parametrize("shape", SHAPES)
def test_rewards_come_over_the_wire(server, pairs, shape, options):
    running = server(SHAPES[shape])
    judge = load_judge(f"{shape}:{running.url}/some/path{options}")
    done = []
    verdicts = judge.compare_many(pairs, progress=done.append)
    assert [verdict.logit for verdict in verdicts] == [len(a) - len(b) for _, a, b in pairs]
    assert sum(done) == len(pairs)
    assert len(running.asked) == 2 * len(pairs)
    assert {asked.path for asked in running.asked} == {"/some/path"}
    assert judge.about["name"] == f"{shape}:{running.url}/some/path"
    if shape.startswith("vllm"):
        assert {asked.body.get("model") for asked in running.asked} == {"rm" if "model" in options else None}


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("wrong", [{}, [], {"rewards": []}, {"data": [{"probs": [1, 2, 3]}]}, [[]], {"data": None}, 7])
def test_answers_of_another_shape(server, shape, wrong):
    running = server(lambda path, body, headers: (200, wrong))
    with pytest.raises(UserError, match=f"not of the shape {shape}"):
        load_judge(f"{shape}:{running.url}/x").compare_many([(to_prompt("q"), "a", "b")])


@settings(max_examples=40)
@given(ANY_JSON | st.lists(st.lists(ANY_JSON, max_size=3), max_size=3))
def test_no_answer_is_too_strange(answer):
    for shape in SHAPES:
        with suppress(UserError):
            assert isinstance(nowhere(shape).read(answer).reward, float)


@lru_cache
def nowhere(shape):
    return load_judge(f"{shape}:http://127.0.0.1:1/")


def test_a_reward_that_is_no_number(server):
    running = server(lambda path, body, headers: (200, b'{"rewards": [NaN]}'))
    with pytest.raises(UserError, match="no finite number"):
        load_judge(f"openrlhf:{running.url}").compare_many([(to_prompt("q"), "a", "b")])


def test_a_token_is_shown_to_servers(server, monkeypatch):
    running = server(openrlhf)
    monkeypatch.setenv("JUDGE_TOKEN", "secret")
    judge = load_judge(f"openrlhf:{running.url}")
    judge.compare_many([(to_prompt("q"), "a", "b")])
    assert {asked.headers.get("Authorization") for asked in running.asked} == {"Bearer secret"}
    assert "secret" not in str(judge.about)


def test_options_are_checked():
    with pytest.raises(UserError, match="unknown option 'modle' of a server; did you mean 'model'"):
        load_judge("vllm-score:http://127.0.0.1:1/#modle=x")
