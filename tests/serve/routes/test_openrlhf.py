"""OpenRLHF's remote reward: the bytes its client sends, and what it reads of the answer.

Its client (openrlhf/utils/agent.py, SingleTurnAgentExecutor) posts with aiohttp what `sample` builds here, one sample a
request, and of the first answer takes `rewards`, `scores` (or `rewards`) and `extra_logs`.
"""

from __future__ import annotations

import json
import socket
from concurrent.futures import ThreadPoolExecutor

import pytest

SAME = {"abs": 2e-5, "rel": 0}
PROMPT = "<|im_start|>user\nwhat is {}?<|im_end|>\n<|im_start|>assistant\n"


def sample(i):
    prompt = PROMPT.format(chr(97 + i))
    return {"query": [prompt + "yes " * (i + 1) + "<|im_end|>"], "prompts": [prompt], "labels": [None]}


def test_its_exact_bytes(both, url):
    """As aiohttp writes them, on a bare socket."""
    payload = json.dumps(sample(0)).encode()
    host = url.removeprefix("http://")
    head = (
        f"POST /get_reward HTTP/1.1\r\nHost: {host}\r\nAccept: */*\r\nAccept-Encoding: gzip, deflate\r\n"
        f"User-Agent: Python/3.11 aiohttp/3.10.5\r\nContent-Length: {len(payload)}\r\n"
        "Content-Type: application/json\r\n\r\n"
    )
    address, port = host.split(":")
    with socket.create_connection((address, int(port)), timeout=30) as connection:
        connection.sendall(head.encode() + payload)
        got = b""
        while b"\r\n\r\n" not in got or not got.endswith(b"}"):
            got += connection.recv(65536)
    status, _, rest = got.partition(b"\r\n")
    assert status == b"HTTP/1.1 200 OK"
    answer = json.loads(rest.partition(b"\r\n\r\n")[2])
    expected = both.score("what is a?", "yes")
    assert answer["rewards"] == pytest.approx([expected.logit], **SAME)
    assert answer["scores"] == pytest.approx([expected.p], abs=1e-5)
    assert answer["extra_logs"] == {"tokens_cut": [0.0]}
    assert answer["scoring"] == "single"


def test_many_samples_at_once_each_get_their_own(both, client):
    with ThreadPoolExecutor(16) as pool:
        found = list(pool.map(lambda i: client.post("/get_reward", json=sample(i)).json()["rewards"], range(20)))
    expected = [[both.score(f"what is {chr(97 + i)}?", ("yes " * (i + 1)).strip()).logit] for i in range(20)]
    assert found == [pytest.approx(one, **SAME) for one in expected]


def test_the_second_of_several_urls_gets_empty_lists(client, pairs_client):
    for speaks in (client, pairs_client):
        answer = speaks.post("/get_reward", json={"query": [], "prompts": [], "labels": []})
        assert answer.status_code == 200
        assert answer.json()["rewards"] == answer.json()["scores"] == []
        assert answer.json()["extra_logs"] == {"tokens_cut": []}


def test_older_clients_send_queries_alone(client):
    one = sample(3)
    assert client.post("/get_reward", json={"query": one["query"]}).json()["rewards"] == pytest.approx(
        client.post("/get_reward", json=one).json()["rewards"], **SAME
    )


def test_a_pair_model_names_its_rule(pairs_only, pairs_client):
    answer = pairs_client.post("/get_reward", json=sample(1))
    assert answer.headers["x-tinyrm-scoring"] == answer.json()["scoring"] == "baseline"
    expected = pairs_only.compare("what is b?", "yes yes", "I don't know.").logit
    assert answer.json()["rewards"] == pytest.approx([expected], **SAME)


def test_a_text_that_cannot_be_parted_is_refused(client):
    response = client.post("/get_reward", json={"query": ["no form"], "prompts": ["another"]})
    assert response.status_code == 422
    assert "ChatML" in response.json()["error"]["message"]
    assert client.post("/get_reward", json={"query": ["a", "b"], "prompts": ["c"]}).status_code == 422
