"""Our own client: the answers of the model behind it, patience with a busy server, one sentence for what goes wrong."""

from __future__ import annotations

import asyncio
import json
import random
import threading
from contextlib import contextmanager
from datetime import datetime, timedelta, timezone
from email.utils import format_datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

import tinyrm
from tinyrm.errors import UserError
from tinyrm.serve import exchange
from tinyrm.types import to_prompt

from .conftest import serving

SAME = {"abs": 2e-5, "rel": 0}
PROMPT = "what is two plus two?"
TALK = [
    {"role": "system", "content": "be short"},
    {"role": "user", "content": "hi"},
    {"role": "assistant", "content": "yes"},
    {"role": "user", "content": PROMPT},
]
ODD = ["[MASK]", "lone \ud800 surrogate", "nul \0 nul", "", "🙂", "שלום"]


def close(found, expected):
    """Whether verdicts, rewards or places are those of the model, but for float32 sums in another order."""
    one, other = found.to_dict(), expected.to_dict()
    return one == {name: pytest.approx(v, **SAME) if isinstance(v, float) else v for name, v in other.items()}


@pytest.fixture(scope="module")
def caller(url):
    with tinyrm.Client(url) as client:
        yield client


@contextmanager
def scripted(*answers):
    """The URL of a server that gives these (status, headers, body) in turn, the last for ever; and what it was sent."""
    heard, left = [], list(answers)

    class Handler(BaseHTTPRequestHandler):
        def _answer(self):
            heard.append((self.path, dict(self.headers), self.rfile.read(int(self.headers.get("Content-Length", 0)))))
            status, headers, body = left.pop(0) if len(left) > 1 else left[0]
            if status is None:  # closes without a word
                self.close_connection = True
                return
            payload = body if isinstance(body, bytes) else json.dumps(body).encode()
            self.send_response(status)
            for name, value in {"Content-Length": str(len(payload)), **headers}.items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(payload)

        do_GET = do_POST = _answer

        def log_message(self, *_): ...

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.server_port}", heard
    finally:
        server.shutdown()
        server.server_close()


GOOD = (200, {}, {"results": [{"reward": 1.5, "p": 0.8, "cut": {"response": 3}}]})
BUSY = (429, {"Retry-After": "0"}, {"error": {"message": "the queue is full"}})


def test_it_answers_as_the_model_does(both, caller):
    for prompt in (PROMPT, TALK):
        assert close(caller.compare(prompt, "four", "five"), both.compare(prompt, "four", "five"))
        assert close(caller.score(prompt, "four"), both.score(prompt, "four"))
        candidates = ["four", "five", "four", "yes"]
        for found, expected in zip(caller.rank(prompt, candidates), both.rank(prompt, candidates), strict=True):
            assert close(found, expected)
    assert close(
        caller.compare(PROMPT, "four", "five", domain="safety"), both.compare(PROMPT, "four", "five", domain="safety")
    )


@pytest.mark.parametrize("response", ODD)
def test_odd_texts_arrive_whole(both, caller, response):
    assert close(caller.score(PROMPT, response), both.score(PROMPT, response))


def test_long_lists_go_in_several_requests(both, caller):
    told = []
    rows = [(to_prompt(PROMPT), f"{chr(97 + i % 26)} {i}") for i in range(2 * exchange.CHUNK + 3)]
    domains = [None, "chat", "safety"] * (len(rows) // 3 + 1)
    found = caller.score_many(rows, domains=domains[: len(rows)], progress=told.append)
    for one, other in zip(found, both.score_many(rows, domains=domains[: len(rows)]), strict=True):
        assert close(one, other)
    assert told == [exchange.CHUNK, exchange.CHUNK, 3]
    long = [(to_prompt("a " * 700), f"{i}") for i in range(6)]
    with serving(both, max_items=5, max_body=6000) as url, tinyrm.Client(url) as strict:
        told.clear()
        strict.score_many(rows[:12], progress=told.append)
        assert told == [5, 5, 2]
        told.clear()
        strict.score_many(long, progress=told.append)
        assert told == [4, 2], "as many as fit into a request of its size"
        with pytest.raises(UserError, match=r"refuses \(413\)"):
            strict.score(PROMPT, "a" * 7000)
    pairs = [(prompt, response, "yes") for prompt, response in rows[:70]]
    for one, other in zip(caller.compare_many(pairs), both.compare_many(pairs), strict=True):
        assert close(one, other)
    assert caller.score_many([]) == []


def test_awaited_together_they_answer_as_alone(both, url):
    async def ask():
        async with tinyrm.AsyncClient(url) as client:
            about = await client.about()
            scores = await asyncio.gather(*(client.score(PROMPT, f"{i} {i}") for i in range(40)))
            verdict = await client.compare(PROMPT, "four", "five")
            ranking = await client.rank(PROMPT, ["four", "five"])
            return about, scores, verdict, ranking

    about, scores, verdict, ranking = asyncio.run(ask())
    assert (about.model, set(about.templates)) == ("random-bert", {"single", "pair"})
    assert all(close(score, both.score(PROMPT, f"{i} {i}")) for i, score in enumerate(scores))
    assert close(verdict, both.compare(PROMPT, "four", "five"))
    assert [place.index for place in ranking] == [place.index for place in both.rank(PROMPT, ["four", "five"])]


def test_a_token_is_shown(both):
    with serving(both, token="secret") as url:
        with tinyrm.Client(url, token="secret") as client:
            assert client.about().model == "random-bert"
        for token in (None, "other"):
            with tinyrm.Client(url, token=token) as client, pytest.raises(UserError, match="wants the token"):
                client.about()


@pytest.mark.parametrize(
    "trouble",
    [BUSY, (503, {}, {"error": {"message": "stopping"}}), (None, {}, b"")],
    ids=["429", "503", "dropped"],
)
@pytest.mark.parametrize("kind", ["sync", "async"])
def test_trouble_that_passes_is_waited_out(trouble, kind):
    async def awaited(url):
        async with tinyrm.AsyncClient(url, patience=20) as client:
            return await client.score(PROMPT, "four")

    with scripted(trouble, trouble, GOOD) as (url, heard):
        if kind == "sync":
            with tinyrm.Client(url, patience=20) as client:
                found = client.score(PROMPT, "four")
        else:
            found = asyncio.run(awaited(url))
        assert found == tinyrm.Reward(1.5, 0.8, {"response": 3})
        assert len(heard) == 3
        assert len({body for _, _, body in heard}) == 1, "the same question each time"


def test_it_waits_as_long_as_it_is_told_and_then_gives_up(monkeypatch):
    slept = []
    monkeypatch.setattr(random, "uniform", lambda low, high: high)
    monkeypatch.setattr("tinyrm.serve.client.time.sleep", slept.append)
    with (
        scripted((429, {"Retry-After": "7"}, {})) as (url, heard),
        tinyrm.Client(url, patience=30) as client,
        pytest.raises(UserError, match=r"is busy \(429\).*gave up"),
    ):
        client.score(PROMPT, "four")
    assert slept == pytest.approx([7.1, 7.2, 7.4, 7.8, 0.5], abs=1e-6)
    assert len(heard) == len(slept) + 1


def test_when_to_come_back_may_be_a_date():
    class Answer:
        def __init__(self, value):
            self.headers = {"retry-after": value} if value is not None else {}

    soon = format_datetime(datetime.now(timezone.utc) + timedelta(seconds=30), usegmt=True)
    assert exchange._retry_after(Answer(soon)) == pytest.approx(30, abs=2)
    for text, seconds in {
        "3": 3,
        " 4 ": 4,
        None: 0,
        "": 0,
        "soon": 0,
        "-5": 0,
        "Wed, 21 Oct 2015 07:28:00 GMT": 0,
    }.items():
        assert exchange._retry_after(Answer(text)) == seconds


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        ((422, {}, {"error": {"message": "the prompt is empty"}}), r"refuses \(422\): the prompt is empty"),
        ((413, {}, {"error": {"message": "too large"}}), r"refuses \(413\): too large"),
        ((404, {}, {"error": {"message": "Not Found"}}), "answers 404, and not as `tinyrm serve` does"),
        ((200, {}, b"<html>"), "answers 200, and not as `tinyrm serve` does"),
        ((200, {}, {"results": []}), "in another form"),
        ((200, {}, {"results": [{"reward": "x"}]}), "in another form"),
        ((500, {}, b"oops"), "answers 500"),
    ],
)
def test_what_is_no_answer_is_told_in_one_sentence(answer, said):
    with scripted(answer) as (url, heard):
        with tinyrm.Client(url) as client, pytest.raises(UserError, match=said) as raised:
            client.score(PROMPT, "four")
        assert len(heard) == 1, "what will not pass is not asked again"
    assert "\n" not in str(raised.value)


def test_nobody_there_and_nobody_answering():
    with (
        tinyrm.Client("http://127.0.0.1:1") as client,
        pytest.raises(UserError, match="is `tinyrm serve` running there"),
    ):
        client.about()
    for url in ("ftp://a", "http://", "http://[::1", "http://a:port"):
        with pytest.raises(UserError, match="no URL of a server"):
            tinyrm.Client(url)
    with pytest.raises(UserError, match="no header can"):
        tinyrm.Client("127.0.0.1:1", token="é\n")
    with pytest.raises(UserError) as raised, tinyrm.Client("http://me:hidden@127.0.0.1:1") as client:
        client.about()
    assert "hidden" not in str(raised.value)
