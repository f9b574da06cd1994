from __future__ import annotations

import re
from pathlib import Path

import pytest

SAME = {"abs": 2e-5, "rel": 0}
PROMPT = "what is two plus two?"


def test_compare(both, client):
    found = client.post("/v1/compare", json={"prompt": PROMPT, "a": "four", "b": "five"}).json()
    expected = both.compare(PROMPT, "four", "five").to_dict()
    assert found.pop("ms") > 0
    assert found.pop("order_gap") == pytest.approx(abs(found["p_a_shown_first"] - found["p_a_shown_second"]))
    assert {name: found.pop(name) for name in ("model", "protocol", "calibrated")} == {
        "model": "random-bert",
        "protocol": "pair",
        "calibrated": True,
    }
    assert found == {name: pytest.approx(v, **SAME) if isinstance(v, float) else v for name, v in expected.items()}


def test_swapping_mirrors_the_verdict(client):
    ab, ba = (
        client.post("/v1/compare", json={"prompt": PROMPT, "a": a, "b": b}).json() for a, b in (("x", "y"), ("y", "x"))
    )
    assert ba["logit"] == pytest.approx(-ab["logit"], **SAME)
    assert {ab["better"], ba["better"]} == {"A", "B"}


def test_many_pairs_at_once(client):
    pairs = [{"prompt": PROMPT, "a": a, "b": "e"} for a in "abcd"]
    many = client.post("/v1/compare", json={"items": pairs}).json()
    alone = [client.post("/v1/compare", json=pair).json() for pair in pairs]
    assert [one["logit"] for one in many["results"]] == pytest.approx([one["logit"] for one in alone], **SAME)
    assert many.keys() == {"model", "protocol", "calibrated", "results", "ms"}
    assert many["results"][0].keys() == alone[0].keys() - {"model", "protocol", "calibrated", "ms"}


def test_nothing_in_nothing_out(client):
    assert client.post("/v1/compare", json={"items": []}).json()["results"] == []
    assert client.post("/v1/score", json={"items": []}).json()["results"] == []
    assert client.post("/v1/score", json={"prompt": "a", "responses": []}).json()["results"] == []
    ranked = client.post("/v1/rank", json={"prompt": "a", "candidates": []}).json()
    assert (ranked["best"], ranked["ranking"]) == (None, [])


def test_score_in_its_three_forms(both, client):
    expected = [both.score(PROMPT, text).logit for text in ("four", "five")]
    several = client.post("/v1/score", json={"prompt": PROMPT, "responses": ["four", "five"]}).json()
    items = [
        {"prompt": PROMPT, "response": "four"},
        {"messages": [{"role": "user", "content": PROMPT}], "response": "five"},
    ]
    own = client.post("/v1/score", json={"items": items}).json()
    for found in (several, own):
        assert [one["reward"] for one in found["results"]] == pytest.approx(expected, **SAME)
    one = client.post("/v1/score", json=items[0]).json()
    assert one["reward"] == pytest.approx(expected[0], **SAME)
    assert one.keys() == {"model", "scoring", "calibrated", "reward", "p", "cut", "ms"}


def test_rank_keeps_equal_ones_in_order_and_the_best_n(both, client):
    candidates = ["four", "five", "four", "yes"]
    ranked = client.post("/v1/rank", json={"prompt": PROMPT, "candidates": candidates}).json()
    expected = both.rank(PROMPT, candidates)
    assert [(p["rank"], p["index"], p["response"]) for p in ranked["ranking"]] == [
        (p.rank, p.index, p.response) for p in expected
    ]
    assert ranked["best"] == expected[0].index
    best = client.post("/v1/rank", json={"prompt": PROMPT, "candidates": candidates, "top_n": 2}).json()
    assert [place["index"] for place in best["ranking"]] == [place.index for place in expected[:2]]


@pytest.mark.parametrize(
    ("body", "said"),
    [
        ({"response": "a"}, "give either prompt or messages"),
        ({"prompt": "a", "messages": [], "response": "b"}, "give either prompt or messages"),
        ({"prompt": " \n", "response": "b"}, "the prompt is empty"),
        ({"messages": [], "response": "b"}, "the prompt is empty"),
        ({"prompt": "a"}, "response: Field required"),
        ({"prompt": "a", "response": 1}, "response: Input should be a valid string"),
        ({"prompt": "a", "responses": ["b", None]}, "responses.1: Input should be a valid string"),
        ({"messages": [{"role": "user", "content": [{"type": "image_url"}]}], "response": "b"}, "text: Field required"),
        ([], "the body"),
        ("text", "the body"),
    ],
)
def test_mistakes_are_told(client, body, said):
    response = client.post("/v1/score", json=body)
    error = response.json()["error"]
    assert (response.status_code, error["code"], error["type"]) == (422, 422, "UnprocessableEntityError")
    assert said in error["message"]
    assert error.keys() == {"message", "type", "param", "code"}


def test_odd_texts_are_judged_and_given_back(client):
    for text in ("[MASK]", "</s><mask>", "🙂", "nul \0", "", "שלום"):
        ranked = client.post("/v1/rank", json={"prompt": f"a {text}", "candidates": [text, "b"]}).json()
        assert {place["response"] for place in ranked["ranking"]} == {text, "b"}


def test_lone_surrogates_become_question_marks(client):
    headers = {"Content-Type": "application/json"}
    body = b'{"prompt": "a \\ud800", "candidates": ["\\udfff b"]}'
    ranked = client.post("/v1/rank", content=body, headers=headers).json()
    assert ranked["ranking"][0]["response"] == "? b"


def test_the_reward_function_of_the_docs(both, url):
    """As TRL's trainers call it: texts, or messages, and columns of the data set beside them."""
    docs = (Path(__file__).parents[3] / "docs" / "serving.md").read_text("utf-8")
    (code,) = re.findall(r"```python\n(import httpx.*?)```", docs, re.DOTALL)
    names = {}
    exec(code.replace("http://127.0.0.1:8000", url), names)
    prompts, texts = [PROMPT, "say yes"], ["four", "yes"]
    expected = [one.logit for one in both.score(prompts, texts)]
    assert names["tinyrm_reward"](prompts=prompts, completions=texts, domain=["chat"] * 2) == pytest.approx(
        expected, **SAME
    )
    turns = [[{"role": "user", "content": prompt}] for prompt in prompts]
    said = [[{"role": "assistant", "content": text}] for text in texts]
    assert names["tinyrm_reward"](prompts=turns, completions=said) == pytest.approx(expected, **SAME)
