"""One path, two shapes: told apart by the fields of the request."""

from __future__ import annotations

import json
import subprocess

import pytest

SAME = {"abs": 2e-5, "rel": 0}
TEXTS = ["four", "five", "i don't know"]


def test_tei(both, client):
    found = client.post("/rerank", json={"query": "a?", "texts": TEXTS, "raw_scores": True, "return_text": True}).json()
    expected = both.rank("a?", TEXTS)
    assert [(one["index"], one["text"]) for one in found] == [(place.index, place.response) for place in expected]
    assert [one["score"] for one in found] == pytest.approx([place.score for place in expected], **SAME)
    plain = client.post("/rerank", json={"query": "a?", "texts": TEXTS}).json()
    assert [one.keys() for one in plain] == [{"index", "score"}] * 3
    assert all(0 < one["score"] < 1 for one in plain)


@pytest.mark.parametrize("route", ["/rerank", "/v1/rerank", "/v2/rerank"])
def test_vllm_jina_and_cohere(both, client, route):
    found = client.post(route, json={"model": "m", "query": "a?", "documents": TEXTS}).json()
    expected = both.rank("a?", TEXTS)
    assert found.keys() == {"id", "model", "usage", "results", "scoring"}
    assert found["usage"].keys() == {"prompt_tokens", "total_tokens"}
    assert [one["index"] for one in found["results"]] == [place.index for place in expected]
    assert [one["document"]["text"] for one in found["results"]] == [place.response for place in expected]
    ps = [one["relevance_score"] for one in found["results"]]
    assert ps == pytest.approx(sorted((both.score("a?", text).p for text in TEXTS), reverse=True), abs=1e-5)
    best = client.post(route, json={"query": "a?", "documents": [{"text": text} for text in TEXTS], "top_n": 1}).json()
    assert best["results"] == found["results"][:1]
    assert client.post(route, json={"query": "a?", "documents": []}).json()["results"] == []
    bare = client.post(route, json={"query": "a?", "documents": TEXTS, "return_documents": False}).json()
    assert "document" not in bare["results"][0]


def test_errors_in_the_shape_of_who_asked(client):
    empty = client.post("/rerank", json={"query": "a?", "texts": []})
    assert (empty.status_code, empty.json()) == (400, {"error": "`texts` cannot be empty", "error_type": "Empty"})
    for body in ({"query": "a?", "texts": [1]}, {"texts": ["a"]}, {"query": "", "texts": ["a"]}):
        refused = client.post("/rerank", json=body)
        assert (refused.status_code, refused.json()["error_type"]) == (422, "Validation")
        assert isinstance(refused.json()["error"], str)
    for body in ({"query": "a?", "documents": [1]}, {"query": "a?"}, {"query": "", "documents": ["a"]}):
        refused = client.post("/rerank", json=body)
        assert (refused.status_code, refused.json()["error"]["code"]) == (422, 422)


def test_a_pair_model_names_its_rule(pairs_only, pairs_client):
    tei = pairs_client.post("/rerank", json={"query": "a?", "texts": TEXTS, "raw_scores": True})
    assert tei.headers["x-tinyrm-scoring"] == "group"
    jina = pairs_client.post("/rerank", json={"query": "a?", "documents": TEXTS, "use_activation": False})
    assert jina.json()["scoring"] == "group"
    expected = [place.score for place in pairs_only.rank("a?", TEXTS)]
    assert [one["score"] for one in tei.json()] == pytest.approx(expected, **SAME)
    assert [one["relevance_score"] for one in jina.json()["results"]] == pytest.approx(expected, **SAME)


def test_curl(url, client):
    body = {"query": "a?", "texts": TEXTS}
    command = ["curl", "-sS", f"{url}/rerank", "-H", "Content-Type: application/json", "-d", json.dumps(body)]
    found = json.loads(subprocess.run(command, capture_output=True, check=True, timeout=60).stdout)
    assert found == client.post("/rerank", json=body).json()
