"""What stands before every route."""

from __future__ import annotations

import json
import logging
import socket
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress

import httpx
import pytest

from tinyrm.serve import guard

from .conftest import serving

QUESTION = {"prompt": "a?", "response": "yes"}
SECRET = "xyzzy plugh"


def bare(url, *pieces, pause=0.0, wait=20):
    """What a socket gets for some bytes, sent piece by piece."""
    host, port = url.removeprefix("http://").split(":")
    with socket.create_connection((host, int(port)), timeout=wait) as connection:
        got = b""
        with suppress(ConnectionError):  # a server that has had enough need not read all
            for piece in pieces:
                connection.sendall(piece)
                time.sleep(pause)
            while piece := connection.recv(65536):
                got += piece
        return got


def post(path, body, headers=b"Connection: close\r\n", length=None):
    return (
        (
            f"POST {path} HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
            f"Content-Length: {len(body) if length is None else length}\r\n"
        ).encode()
        + headers
        + b"\r\n"
        + body
    )


def test_a_token_is_asked_for(both):
    with serving(both, token="sesame-1") as url, httpx.Client(base_url=url) as client:
        shown = {"Authorization": b"Bearer sesame-1"}
        assert client.post("/v1/score", json=QUESTION, headers=shown).status_code == 200
        assert client.get("/metrics", headers=shown).status_code == 200
        for given in (None, "", "Bearer", "Bearer wrong", "Basic sesame-1", "sesame-1", "Bearer sesame-12"):
            headers = {} if given is None else {"Authorization": given.encode()}
            for call in (
                lambda headers=headers: client.post("/v1/score", json=QUESTION, headers=headers),
                lambda headers=headers: client.post("/", json={"inputs": ["a", "b"]}, headers=headers),
                lambda headers=headers: client.get("/metrics", headers=headers),
                lambda headers=headers: client.get("/openapi.json", headers=headers),
                lambda headers=headers: client.get("/nowhere", headers=headers),
            ):
                refused = call()
                assert refused.status_code == 401
                assert refused.headers["www-authenticate"] == "Bearer"
                assert "sesame" not in refused.text
        assert client.post("/predict", json={"inputs": ["a", "b"]}).json().keys() == {"error", "error_type"}
        assert client.post("/score", json={}).json()["error"]["type"] == "AuthenticationError"
        for route in ("/health", "/ready", "/ping"):
            assert client.get(route).status_code == 200


def test_a_body_too_large_is_refused_declared_or_not(both):
    with serving(both, max_body=1000) as url, httpx.Client(base_url=url) as client:
        fits = json.dumps(QUESTION | {"response": "y" * 900}).encode()
        headers = {"Content-Type": "application/json"}
        assert client.post("/v1/score", content=fits, headers=headers).status_code == 200
        for size in (1001, 100_000):
            large = json.dumps(QUESTION | {"response": "y" * size}).encode()
            declared = client.post("/v1/score", content=large, headers=headers)
            chunked = client.post("/v1/score", content=iter([large[:500], large[500:]]), headers=headers)
            for refused in (declared, chunked):
                assert refused.status_code == 413
                assert "1000 bytes" in refused.json()["error"]["message"]
        assert client.post("/predict", content=large, headers=headers).json()["error_type"] == "Validation"
        assert client.post("/v1/score", json=QUESTION).status_code == 200


@pytest.mark.parametrize(
    ("body", "kind", "status"),
    [
        (b"{", "application/json", 400),
        (b"\xff\xfe", "application/json", 400),
        (b"[" * 100_000, "application/json", 400),
        (b"1" * 10_000, "application/json", 400),
        (b"", "application/json", 422),
        (b"null", "application/json", 422),
        (b"{}", "text/plain", 415),
        (b"a=b", "application/x-www-form-urlencoded", 415),
        (json.dumps(QUESTION).encode(), "application/json; charset=utf-8", 200),
        (json.dumps(QUESTION).encode(), "application/vnd.x+json", 200),
    ],
    ids=str,
)
def test_what_is_not_json_is_told_so(client, body, kind, status):
    response = client.post("/v1/score", content=body, headers={"Content-Type": kind})
    assert response.status_code == status, response.text
    assert status == 200 or response.json()["error"]["code"] == status


def test_routes_and_methods_that_are_not_there(client):
    assert client.get("/nowhere").json()["error"]["type"] == "NotFoundError"
    assert client.get("/v1/score").status_code == 405


def test_slow_and_half_open_callers_hold_up_nobody(both):
    body = json.dumps(QUESTION).encode()
    with (
        serving(both, deadline=2.0) as url,
        httpx.Client(base_url=url, timeout=10) as client,
        ThreadPoolExecutor(60) as pool,
    ):
        half = [pool.submit(bare, url, post("/v1/score", body[:5], length=len(body))) for _ in range(20)]
        heads = [pool.submit(bare, url, b"POST /v1/score HTTP/1.1\r\nHost:", wait=1) for _ in range(20)]
        slow = [pool.submit(bare, url, *(post("/v1/score", body)[i:][:30] for i in range(0, 400, 30)), pause=0.05)]
        time.sleep(0.3)
        for _ in range(20):
            started = time.monotonic()
            assert client.post("/v1/score", json=QUESTION).status_code == 200
            assert time.monotonic() - started < 1
        assert all(b" 408 " in one.result().split(b"\r\n")[0] for one in half)
        assert b" 200 " in slow[0].result().split(b"\r\n")[0]
        for one in heads:
            with pytest.raises(TimeoutError):
                one.result()
        assert client.get("/health").status_code == 200


@pytest.mark.parametrize(
    "sent",
    [
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc",
        b"GET\r\n\r\n",
        b"POST /v1/score HTTP/1.1\r\nHost: localhost\r\nContent-Length: -5\r\n\r\n",
        b"POST /v1/score HTTP/1.1\r\nHost: localhost\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\n",
        b"POST /v1/score HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
        b"GET /" + b"a" * 200_000 + b" HTTP/1.1\r\n\r\n",
    ],
    ids=range(6),
)
def test_what_is_not_http_is_answered_and_survived(url, client, sent):
    got = bare(url, sent)
    assert not got or got.startswith(b"HTTP/1.1 4")
    assert client.get("/health").status_code == 200


class Broken:
    """A model that fails as a bug would, with what the user wrote in its message."""

    def __init__(self, model):
        self._model = model

    def __getattr__(self, name):
        return getattr(self._model, name)

    def score_many(self, rows, **named):
        raise RuntimeError(f"cannot read {rows[0][1]}")


def test_a_bug_shows_nothing(both, caplog):
    with serving(Broken(both)) as url, httpx.Client(base_url=url) as client, caplog.at_level(logging.DEBUG):
        response = client.post("/v1/score", json={"prompt": SECRET, "response": SECRET})
        assert (response.status_code, response.json()["error"]["message"]) == (500, "internal error")
        tei = client.post("/predict", json={"inputs": [SECRET, SECRET]})
        assert (tei.status_code, tei.json()) == (500, {"error": "internal error", "error_type": "Backend"})
        assert client.post("/v1/compare", json={"prompt": "a", "a": "b", "b": "c"}).status_code == 200
    assert "RuntimeError at " in caplog.text
    assert SECRET not in caplog.text


def test_no_text_of_a_user_is_logged_or_told_back_in_an_error(process, exported_folder):
    server = process("--model", exported_folder("bert"))
    with httpx.Client(base_url=server.url) as client:
        client.post("/v1/score", json={"prompt": SECRET, "response": SECRET})
        client.get("/health", params={"text": SECRET})
        errors = [
            client.post("/v1/score", json={"prompt": [SECRET], "response": {SECRET: SECRET}}),
            client.post("/v1/score", json={"prompt": SECRET, "response": "a", "domain": SECRET}),
            client.post("/v1/score", content=SECRET, headers={"Content-Type": "application/json"}),
            client.post("/classify", json={"input": SECRET}),
            client.post("/rerank", json={"query": SECRET, "texts": {"a": SECRET}}),
            client.post("/v1/chat/completions", json={"messages": [{"role": "user", "content": SECRET}]}),
            client.get(f"/{SECRET}"),
        ]
        for error in errors:
            assert 400 <= error.status_code < 500
            assert "xyzzy" not in error.text
            assert "/src/" not in error.text
            assert "Traceback" not in error.text
        assert "xyzzy" not in client.get("/metrics").text
    assert server.stop() == 0
    assert "xyzzy" not in "".join(server.lines)


def test_other_sites_are_let_in_only_where_told(both, client):
    asks = {"Origin": "https://a.example", "Access-Control-Request-Method": "POST"}
    assert "access-control-allow-origin" not in client.get("/health", headers=asks).headers
    assert client.options("/v1/score", headers=asks).status_code == 405
    with serving(both, cors_origins=("https://a.example",), token="t") as url, httpx.Client(base_url=url) as other:
        allowed = other.options("/v1/score", headers=asks | {"Access-Control-Request-Headers": "authorization"})
        assert (allowed.status_code, allowed.headers["access-control-allow-origin"]) == (200, "https://a.example")
        strange = other.options("/v1/score", headers=asks | {"Origin": "https://b.example"})
        assert strange.headers.get("access-control-allow-origin") is None
        refused = other.post("/v1/score", json=QUESTION, headers={"Origin": "https://a.example"})
        assert (refused.status_code, refused.headers["access-control-allow-origin"]) == (401, "https://a.example")


def test_without_a_token_only_this_machines_own_names_are_answered(both, url):
    """A site that gives its name this machine's address would else be of the same origin."""
    ask = {"prompt": "a?", "response": "b"}
    for host, status in {"localhost:1": 200, "127.0.0.1": 200, "[::1]:80": 200, "evil.example:8000": 403}.items():
        assert httpx.post(f"{url}/v1/score", json=ask, headers={"Host": host}).status_code == status
        assert httpx.get(f"{url}/health", headers={"Host": host}).status_code == status
    with serving(both, token="secret") as guarded:
        headers = {"Host": "model.example", "Authorization": "Bearer secret"}
        assert httpx.post(f"{guarded}/v1/score", json=ask, headers=headers).status_code == 200


def test_all_bodies_together_are_bounded_and_slow_ones_take_no_place(both, monkeypatch):
    monkeypatch.setattr(guard, "_HELD", 2)
    head = "POST /v1/score HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\r\n"
    small = {"prompt": "a?", "response": "b"}
    with serving(both, max_body=10_000, queue=2, max_items=2) as url:
        address = ("127.0.0.1", int(url.rpartition(":")[2]))
        slow = [socket.create_connection(address) for _ in range(4)]
        for connection in slow:
            connection.sendall(head.format(5000).encode() + b" " * 4900)
        time.sleep(0.3)
        assert httpx.post(f"{url}/v1/score", json=small).status_code == 200, "slow bodies took the places"
        more = httpx.post(f"{url}/v1/score", json={**small, "response": "b" * 1000})
        assert (more.status_code, more.headers["Retry-After"]) == (429, "1")
        for connection in slow:
            connection.close()
        time.sleep(0.3)
        assert httpx.post(f"{url}/v1/score", json={**small, "response": "b" * 1000}).status_code == 200


def test_routes_that_need_no_token_take_no_body(both):
    with serving(both, token="secret") as url:
        assert httpx.request("GET", f"{url}/health", content=b"x" * 100).status_code == 413


def test_one_prompt_of_many_turns_is_refused_before_it_is_multiplied(client):
    turns = [{"role": "user", "content": "a"}] * 1001
    for body in ({"responses": ["b"] * 5000}, {"response": "b"}):
        refused = client.post("/v1/score", json={"messages": turns, **body})
        assert refused.status_code == 422
    many = {"messages": turns[:1000], "responses": ["b"] * 300}
    assert "300 responses in one request" in client.post("/v1/score", json=many).json()["error"]["message"]


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("/classify", {"input": ["no border"] * 300}),
        ("/get_reward", {"query": ["no border"] * 300}),
        ("/predict", {"inputs": [["no border"]] * 300}),
        ("/score", {"text_1": "a", "text_2": ["b"] * 300}),
    ],
)
def test_too_many_texts_are_refused_before_they_are_parsed(client, path, body):
    answer = client.post(path, json=body)
    assert answer.status_code == 422
    assert "300 responses in one request" in answer.text


def test_a_caller_who_goes_away_is_no_fault(both, caplog):
    with serving(both, max_wait_ms=700) as url:
        with pytest.raises(httpx.ReadTimeout):
            httpx.post(f"{url}/v1/score", json={"prompt": "a?", "response": "b"}, timeout=0.2)
        time.sleep(1)
        counted = httpx.get(f"{url}/metrics").text
    assert 'status="499"' in counted
    assert 'status="500"' not in counted
    assert "internal error" not in caplog.text
