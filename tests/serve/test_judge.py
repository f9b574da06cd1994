"""The numbers that routes give are the model's own, alone and under load."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import httpx
import pytest

from tinyrm.model.calibration import sigmoid

from .conftest import serving

PROMPT = "what is two plus two?"
SAME = {"abs": 2e-5, "rel": 0}
"""Float32 sums in another order, as in tests/infer."""


def words(count, start=0):
    return " ".join(chr(97 + (start + 7 * i) % 26) for i in range(count))


def test_scores_are_the_model_s(both, client):
    response = client.post("/v1/score", json={"prompt": PROMPT, "response": "four", "domain": "safety"})
    expected = both.score(PROMPT, "four", domain="safety")
    found = response.json()
    assert (found["reward"], found["p"]) == (pytest.approx(expected.logit, **SAME), pytest.approx(expected.p, abs=1e-5))
    assert (found["scoring"], response.headers["x-tinyrm-scoring"]) == ("single", "single")


def test_same_score_alone_and_under_load(both, url):
    rows = [(words(1 + i % 9, i), words(1 + 5 * i % 60, 2 * i)) for i in range(60)]
    expected = [both.score(prompt, response).logit for prompt, response in rows]

    def ask(row):
        return client.post("/v1/score", json={"prompt": row[0], "response": row[1]}).json()["reward"]

    with httpx.Client(base_url=url, timeout=60) as client, ThreadPoolExecutor(24) as pool:
        assert [ask(row) for row in rows[:10]] == pytest.approx(expected[:10], **SAME)
        assert list(pool.map(ask, rows)) == pytest.approx(expected, **SAME)


def test_callers_share_batches(both, url):
    """Otherwise nothing above says anything of load."""
    with httpx.Client(base_url=url, timeout=60) as client:
        before = _metrics(client)
        with ThreadPoolExecutor(24) as pool:
            bodies = [{"prompt": PROMPT, "response": words(40, i)} for i in range(96)]
            assert all(pool.map(lambda body: client.post("/v1/score", json=body).is_success, bodies))
        after = _metrics(client)
    questions = after["tinyrm_questions_total"] - before["tinyrm_questions_total"]
    batches = after["tinyrm_batch_questions_count"] - before["tinyrm_batch_questions_count"]
    assert questions == 96
    assert batches < 96
    assert after["tinyrm_tokens_total"] > before["tinyrm_tokens_total"]


def _metrics(client):
    lines = [line.rsplit(" ", 1) for line in client.get("/metrics").text.splitlines() if not line.startswith("#")]
    return {name: float(value) for name, value in lines}


def test_a_pair_model_scores_a_lone_response_against_the_baseline(pairs_only, pairs_client):
    response = pairs_client.post("/v1/score", json={"prompt": PROMPT, "responses": ["four", "five"]})
    assert response.headers["x-tinyrm-scoring"] == response.json()["scoring"] == "baseline"
    for text, found in zip(("four", "five"), response.json()["results"], strict=True):
        verdict = pairs_only.compare(PROMPT, text, "I don't know.")
        assert found["reward"] == pytest.approx(verdict.logit, **SAME)
        assert found["p"] == pytest.approx(verdict.p_a, abs=1e-5)


@pytest.mark.parametrize("count", [0, 1, 2, 5, 20])
def test_a_pair_model_ranks_by_the_group(pairs_only, pairs_client, count):
    """As RewardModel.rank does it, whose rule is written out again in the server to share batches."""
    candidates = [words(3 + i % 7, 3 * i) for i in range(count)]
    found = pairs_client.post("/v1/rank", json={"prompt": PROMPT, "candidates": candidates}).json()
    expected = pairs_only.rank(PROMPT, candidates)
    assert found["scoring"] == "group"
    assert [place["index"] for place in found["ranking"]] == [place.index for place in expected]
    scores = [place["score"] for place in found["ranking"]]
    assert scores == pytest.approx([place.score for place in expected], **SAME)
    temperature = pairs_only.manifest.calibration["pair"].temperature
    assert [place["p"] for place in found["ranking"]] == pytest.approx([sigmoid(s / temperature) for s in scores])


def test_what_was_cut_is_said(both, client, pairs_client):
    long = "a " * 5000
    for speaks in (client, pairs_client):
        response = speaks.post("/v1/rank", json={"prompt": PROMPT, "candidates": ["b", long]})
        cuts = {place["index"]: place["cut"] for place in response.json()["ranking"]}
        assert cuts[0].keys() <= {"prompt"}
        assert cuts[1]["response"] > 4000
    assert client.post("/v1/score", json={"prompt": PROMPT, "response": long}).headers["x-tinyrm-cut"] == "1"
    verdict = client.post("/v1/compare", json={"prompt": PROMPT, "a": "b", "b": long}).json()
    assert verdict["cut"] == dict(both.compare(PROMPT, "b", long).cut)


def test_limits_are_told(both):
    with serving(both, max_items=2, max_chars=50) as url, httpx.Client(base_url=url) as client:

        def refused(path, body):
            response = client.post(path, json=body)
            assert response.status_code == 422
            return str(response.json()["error"])

        assert "3 responses" in refused("/v1/rank", {"prompt": "a", "candidates": ["b"] * 3})
        assert "2 are allowed" in refused("/score", {"text_1": "a", "text_2": ["b"] * 3})
        assert "2 are allowed" in refused("/rerank", {"query": "a", "texts": ["b"] * 3})
        assert "2 are allowed" in refused("/predict", {"inputs": [["a", "b"]] * 3})
        assert "51 characters" in refused("/v1/score", {"prompt": "a", "response": "b" * 51})
        assert "51 characters" in refused("/v1/compare", {"prompt": "b" * 51, "a": "", "b": ""})
        assert "it knows chat" in refused("/v1/score", {"prompt": "a", "response": "b", "domain": "secret words"})
        assert "secret" not in refused("/v1/score", {"prompt": "a", "response": "b", "domain": "secret words"})
        assert client.post("/v1/score", json={"prompt": "b" * 50, "responses": ["b", "c"]}).status_code == 200


def test_candidates_that_could_never_wait_are_not_told_to_come_back(pairs_only):
    with serving(pairs_only, max_items=10, queue=20) as url, httpx.Client(base_url=url) as client:
        body = {"prompt": "a", "candidates": [words(2, i) for i in range(10)]}
        assert client.post("/v1/rank", json=body).status_code == 422
        assert client.post("/v1/rank", json=body | {"candidates": body["candidates"][:4]}).status_code == 200


def test_the_prompt_is_one_in_every_form(both, client):
    expected = both.score([{"role": "system", "content": "b"}, {"role": "user", "content": "c?"}], "yes").logit
    turns = [{"role": "system", "content": "b"}, {"role": "user", "content": [{"type": "text", "text": "c?"}]}]
    rendered = "<|im_start|>system\nb<|im_end|>\n<|im_start|>user\nc?<|im_end|>\n<|im_start|>assistant\nyes<|im_end|>\n"
    answer = {"role": "assistant", "content": "yes"}
    raw = {"use_activation": False}
    found = [
        client.post("/v1/score", json={"messages": turns, "response": "yes"}).json()["reward"],
        client.post("/v1/score", json={"prompt": turns, "response": "yes"}).json()["reward"],
        client.post("/classify", json={"messages": [*turns, answer], **raw}).json()["data"][0]["probs"][0],
        client.post("/classify", json={"input": rendered, **raw}).json()["data"][0]["probs"][0],
        client.post("/pooling", json={"input": [rendered], **raw}).json()["data"][0]["data"][0],
        client.post("/v1/embeddings", json={"input": rendered}).json()["data"][0]["embedding"][0],
        client.post("/predict", json={"inputs": rendered, "raw_scores": True}).json()[0]["score"],
        client.post("/get_reward", json={"query": [rendered]}).json()["rewards"][0],
    ]
    assert found == pytest.approx([expected] * len(found), **SAME)
