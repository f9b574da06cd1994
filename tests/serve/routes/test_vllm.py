"""vLLM's shapes, and what verl reads of them."""

from __future__ import annotations

import base64

import numpy as np
import pytest

SAME = {"abs": 2e-5, "rel": 0}
CHAT = "<|im_start|>user\n{}<|im_end|>\n<|im_start|>assistant\n{}<|im_end|>\n"
LIST = {"id", "object", "created", "model", "data", "usage", "scoring"}


def test_score_takes_four_pairs_of_names_one_to_many_and_one_to_one(both, client):
    expected = [both.score("a?", "yes").p, both.score("a?", "no").p]
    for first, second in (("text_1", "text_2"), ("queries", "documents"), ("queries", "items"), ("data_1", "data_2")):
        for prompts in ("a?", ["a?"], ["a?", "a?"]):
            for route in ("/score", "/v1/score"):
                if (route, second) == ("/v1/score", "items"):
                    continue  # TinyRM's own name for many
                answer = client.post(route, json={"model": "x", first: prompts, second: ["yes", "no"]}).json()
                assert answer.keys() == LIST
                assert answer["object"] == "list"
                assert [(one["index"], one["object"]) for one in answer["data"]] == [(0, "score"), (1, "score")]
                assert [one["score"] for one in answer["data"]] == pytest.approx(expected, abs=1e-5)
                assert answer["usage"]["prompt_tokens"] == answer["usage"]["total_tokens"] > 0
    assert client.post("/score", json={"text_1": "a?", "text_2": []}).json()["data"] == []


@pytest.mark.parametrize(
    "body",
    [
        {},
        {"text_1": "a"},
        {"text_1": "a", "documents": "b"},
        {"text_1": "a", "text_2": "b", "data_1": "a", "data_2": "b"},
        {"text_1": ["a", "b"], "text_2": ["a", "b", "c"]},
        {"text_1": 1, "text_2": "b"},
    ],
)
def test_score_refuses_what_does_not_pair_up(client, body):
    response = client.post("/score", json=body)
    assert response.status_code == 422
    assert response.json()["error"].keys() == {"message", "type", "param", "code"}


def test_verl_on_vllm(both, client):
    """verl/experimental/reward_loop: POST /classify, data[-1].probs[-1]."""
    body = {"model": "path/of/model", "input": CHAT.format("a?", "yes"), "activation": False}
    answer = client.post("/classify", json=body)
    assert answer.json()["data"][-1]["probs"][-1] == pytest.approx(both.score("a?", "yes").logit, **SAME)
    newer = client.post("/classify", json={**body, "activation": None, "use_activation": False}).json()
    assert newer["data"] == answer.json()["data"]


def test_verl_on_sglang(both, client):
    """verl/experimental/reward_loop: POST /v1/embeddings, data[-1].embedding[-1]."""
    answer = client.post("/v1/embeddings", json={"model": "m", "input": CHAT.format("a?", "yes")})
    assert answer.json()["data"][-1]["embedding"][-1] == pytest.approx(both.score("a?", "yes").logit, **SAME)


def test_classify(both, client):
    texts = [CHAT.format("a?", "yes"), CHAT.format("b?", "no")]
    answer = client.post("/classify", json={"input": texts}).json()
    assert answer.keys() == LIST
    assert answer["id"].startswith("classify-")
    expected = [both.score("a?", "yes").p, both.score("b?", "no").p]
    assert [one["probs"] for one in answer["data"]] == [pytest.approx([p], abs=1e-5) for p in expected]
    assert [(one["index"], one["label"], one["num_classes"]) for one in answer["data"]] == [
        (0, "reward", 1),
        (1, "reward", 1),
    ]
    assert answer["usage"].keys() == {"prompt_tokens", "total_tokens", "completion_tokens", "prompt_tokens_details"}
    assert client.post("/classify", json={"input": []}).json()["data"] == []


def test_pooling(client):
    answer = client.post("/pooling", json={"input": CHAT.format("a?", "yes"), "task": "classify"}).json()
    assert [(one["index"], one["object"], len(one["data"])) for one in answer["data"]] == [(0, "pooling", 1)]


def test_embeddings_as_openai_s_client_wants_them(both, client):
    body = {"model": "m", "input": [CHAT.format("a?", "yes")], "encoding_format": "base64"}
    (one,) = client.post("/v1/embeddings", json=body).json()["data"]
    found = np.frombuffer(base64.b64decode(one["embedding"]), "<f4")
    assert found == pytest.approx([both.score("a?", "yes").logit], **SAME)


@pytest.mark.parametrize(
    "body",
    [
        {},
        {"input": "no form at all"},
        {"input": [1, 2, 3]},
        {"input": [[1, 2]]},
        {"input": "a", "messages": []},
        {"messages": [{"role": "user", "content": "a"}]},
        {"messages": []},
    ],
)
def test_what_holds_no_response_is_refused(client, body):
    for route in ("/classify", "/pooling", "/v1/embeddings"):
        assert client.post(route, json=body).status_code == 422


def test_a_pair_model_names_its_rule(pairs_only, pairs_client):
    answer = pairs_client.post("/score", json={"text_1": "a?", "text_2": ["yes", "no"], "use_activation": False})
    assert answer.json()["scoring"] == "baseline"
    expected = [pairs_only.compare("a?", text, "I don't know.").logit for text in ("yes", "no")]
    assert [one["score"] for one in answer.json()["data"]] == pytest.approx(expected, **SAME)
