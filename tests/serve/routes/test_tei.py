"""text-embeddings-inference's shapes, and huggingface_hub's client speaking to them."""

from __future__ import annotations

import pytest
from huggingface_hub import InferenceClient

SAME = {"abs": 2e-5, "rel": 0}
CHAT = "<|im_start|>user\n{}<|im_end|>\n<|im_start|>assistant\n{}<|im_end|>\n"


def test_predict_takes_one_text_one_pair_or_a_batch(both, client):
    a, b = both.score("a?", "yes").logit, both.score("b?", "no").logit

    def scores(inputs):
        return client.post("/predict", json={"inputs": inputs, "raw_scores": True}).json()

    one = [{"score": pytest.approx(a, **SAME), "label": "reward"}]
    other = [{"score": pytest.approx(b, **SAME), "label": "reward"}]
    assert scores(CHAT.format("a?", "yes")) == one
    assert scores(["a?", "yes"]) == one
    assert scores([CHAT.format("a?", "yes")]) == one
    assert scores([["a?", "yes"]]) == [one]
    assert scores([["a?", "yes"], [CHAT.format("b?", "no")]]) == [one, other]


def test_probabilities_unless_raw(both, client):
    found = client.post("/predict", json={"inputs": ["a?", "yes"]}).json()
    assert found == [{"score": pytest.approx(both.score("a?", "yes").p, abs=1e-5), "label": "reward"}]


@pytest.mark.parametrize(
    ("inputs", "status", "kind"),
    [
        ([], 400, "Empty"),
        ("no form", 422, "Validation"),
        (["a", "b", "c"], 422, "Validation"),
        ([["a", "b", "c"]], 422, "Validation"),
        ([[]], 422, "Validation"),
        (["a", ["b"]], 422, "Validation"),
        (None, 422, "Validation"),
        ({"a": "b"}, 422, "Validation"),
        (["  ", "b"], 422, "Validation"),
    ],
)
def test_errors(client, inputs, status, kind):
    for route in ("/predict", "/"):
        response = client.post(route, json={"inputs": inputs})
        assert response.status_code == status
        assert response.json().keys() == {"error", "error_type"}
        assert response.json()["error_type"] == kind


def test_an_explicit_no_to_truncation_is_heard(client):
    body = {"inputs": ["a?", "b " * 5000]}
    assert client.post("/predict", json=body).status_code == 200
    assert client.post("/predict", json={**body, "truncate": True}).status_code == 200
    refused = client.post("/predict", json={**body, "truncate": False})
    assert (refused.status_code, refused.json()["error_type"]) == (422, "Validation")
    texts = {"query": "a?", "texts": ["b", "b " * 5000], "truncate": False}
    assert client.post("/rerank", json=texts).status_code == 422


def test_info(client, pairs_client):
    found = client.get("/info").json()
    assert found["model_type"] == {"reranker": {"id2label": {"0": "reward"}, "label2id": {"reward": 0}}}
    assert (found["model_id"], found["max_input_length"], found["auto_truncate"]) == ("random-bert", 128, True)
    assert found.keys() >= {
        "model_sha",
        "model_dtype",
        "served_model_name",
        "max_concurrent_requests",
        "max_batch_tokens",
        "max_client_batch_size",
        "tokenization_workers",
        "version",
    }
    assert (found["tinyrm"]["scoring"], found["tinyrm"]["baseline"]) == ("single", None)
    pairs = pairs_client.get("/info").json()["tinyrm"]
    assert (pairs["scoring"], pairs["ranking"], pairs["baseline"]) == ("baseline", "group", "I don't know.")


def test_huggingface_hub_s_client(both, url, monkeypatch):
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", False)  # the tests are; loopback is no Hub
    client = InferenceClient(model=url, timeout=60)
    (found,) = client.text_classification([["a?", "yes"]])
    assert (found.label, found.score) == ("reward", pytest.approx(both.score("a?", "yes").p, abs=1e-5))
    info = InferenceClient(provider="hf-inference", timeout=60)
    assert info.health_check(url)
    assert info.get_endpoint_info(model=url)["model_id"] == "random-bert"
    chat = client.chat_completion(
        [{"role": "user", "content": "Question: a?\nResponse A: yes\nResponse B: no"}], logprobs=True, top_logprobs=2
    )
    assert chat.choices[0].message.content in ("A", "B")
    assert {token.token for token in chat.choices[0].logprobs.content[0].top_logprobs} == {"A", "B"}
